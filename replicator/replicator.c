/* SPDX-License-Identifier: GPL-2.0-or-later */
/* replicator - the pump: the order in which everything is given its turn, and the life around it. */
#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "journal/journal.h"
#include "livetree.h"
#include "replicator/own.h"

#define ROOT_MS 15000
#define TICK_MS 1000 /* a lost poke, a deferred row, a lost cookie: nothing waits longer for its second look */

/* ---- clocks and errands ---- */

int64_t
now_ms(const struct replicator *r)
{
	return r->setup.clock_ms ? r->setup.clock_ms() : clock_steady_ms();
}

void
pump_wake(struct replicator *r)
{
	if (!r->stopping)
		event_active(r->wake, EV_TIMEOUT, 0);
}

static void
run_errand(struct job *job)
{
	struct errand *e = (struct errand *)job;

	e->run(e);
}

static void
errand_done(struct job *job, bool cancelled)
{
	struct errand *e = (struct errand *)job;
	struct replicator *r = e->r;

	r->jobs--;
	r->stopping |= cancelled;
	e->done(e, cancelled);
	pump_wake(r);
}

void
errand_start(struct replicator *r, int lane, struct errand *e)
{
	e->r = r;
	e->job = (struct job){.run = run_errand, .done = errand_done};
	r->jobs++;
	workpool_submit(r->setup.pool, lane, &e->job);
}

void
state_changed(struct replicator *r)
{
	if (r->events->state)
		r->events->state(r->arg);
}

void
wrote_down(struct replicator *r, bool *waits, int err)
{
	bool full = err == -ERR_NOSPACE;

	if (err && !full)
		return; /* says nothing of the room there is */
	if (waits && *waits != full) {
		r->n_roomless += full ? 1 : -1;
		*waits = full;
	}
	full = full || (r->n_roomless && !PLANTED(room_lack_forgotten)); /* something small may have had room */
	if (full == r->status.disk_full)
		return;
	r->status.disk_full = full;
	state_changed(r);
}

/* ---- callbacks that are owed ---- */

struct promise *
promise_new(replicator_done *done, void *arg)
{
	struct promise *p = calloc(1, sizeof *p);

	if (!p) {
		err_set(ERR_NOMEM, "out of memory: try again");
		return NULL;
	}
	p->done = done;
	p->arg = arg;
	return p;
}

void
promise_keep(struct replicator *r, struct promise *p, int err, const char *text)
{
	p->err = err;
	snprintf(p->text, sizeof p->text, "%s", text ? text : "");
	TAILQ_INSERT_TAIL(&r->promises, p, link);
	pump_wake(r);
}

static void
keep_promises(struct replicator *r)
{
	struct promise *p;

	while ((p = TAILQ_FIRST(&r->promises))) {
		TAILQ_REMOVE(&r->promises, p, link);
		p->done(p->err, p->text, p->arg);
		free(p);
	}
}

/* ---- the pump ---- */

static void
pump_sends(struct replicator *r)
{
	uint8_t *data;
	size_t len;
	int err;

	while (r->phase == PHASE_RUN && link_queued(r->link) < LINK_QUEUE && outbox_take(r->outbox, &data, &len, &err)) {
		if (err < 0) {
			free(data);
			link_drop(r->link, err, "a frame could not be packed");
			return;
		}
		link_send_frame(r->link, data, len);
	}
}

/* A quiet that somebody waits for has no time for patience. */
static void
pump_settle(struct replicator *r)
{
	unsigned wait_ms = settle_flush(r->settle, now_ms(r), r->phase != PHASE_RUN || job_stops_flow(r));
	struct timeval wait = {.tv_usec = wait_ms * 1000};

	if (wait_ms)
		evtimer_add(r->wake, &wait);
}

/* From what frees resources to what takes them, so that a busy replicator finishes work before it starts more. */
static void
pump(struct replicator *r)
{
	agree_pump(r);
	pump_sends(r);
	convoy_pump(r);
	flow_pump(r);
	sweep_pump(r);
	feed_pump(r);
	barrier_pump(r);
	job_pump(r);
	ask_pump(r);
	pump_settle(r);
	keep_promises(r);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct replicator *r = arg;

	(void)fd;
	(void)what;
	if (!r->stopping)
		pump(r);
}

/* ---- is the tree still there? ---- */

struct rooting {
	struct errand errand;
	int err;
	char text[160];
};

static void
run_root(struct errand *e)
{
	struct rooting *k = (struct rooting *)e;

	k->err = origin_complete(&e->r->live);
	if (k->err < 0)
		snprintf(k->text, sizeof k->text, "%s", err_text());
}

static void
on_root(struct errand *e, bool cancelled)
{
	struct rooting *k = (struct rooting *)e;
	struct replicator *r = e->r;
	bool gone = k->err < 0;

	r->root_busy = false;
	if (!cancelled && gone != r->status.root_gone) {
		r->status.root_gone = gone;
		if (gone) {
			log_error("replicator.root", "%s: deletions are held", k->text);
		} else {
			log_info("replicator.root", "root and areas are there again");
			sweep_release_held(r);
		}
		state_changed(r);
	}
	free(k);
}

/* A root that went sends no events: it is looked at. */
static void
ask_root(struct replicator *r)
{
	struct rooting *k;

	if (r->root_busy || r->phase == PHASE_QUIET || now_ms(r) < r->root_due_ms || !(k = calloc(1, sizeof *k)))
		return;
	r->root_busy = true;
	r->root_due_ms = now_ms(r) + ROOT_MS;
	k->errand.run = run_root;
	k->errand.done = on_root;
	errand_start(r, r->setup.lane_hash, &k->errand);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct replicator *r = arg;

	(void)fd;
	(void)what;
	if (r->stopping)
		return;
	r->news = true;
	ask_root(r);
	clocks_pump(r);
	backlog_ask(r);
	pump(r);
}

/* ---- what the link says ---- */

static void
on_opened(void *arg)
{
	agree_opened(arg);
}

static void
on_welcome(struct wire_msg *msg, void *arg)
{
	struct replicator *r = arg;

	agree_welcome(r, msg);
	job_welcome(r, msg);
	if (r->events->link)
		r->events->link(true, "", r->arg);
}

static void
on_message(struct wire_msg *msg, void *arg)
{
	struct replicator *r = arg;
	int err = 0;

	if (msg->type == WIRE_ACK)
		err = outbox_durable(r->outbox, PLANTED(row_gone_when_received) ? msg->u.ack.received : msg->u.ack.durable);
	else if (msg->type == WIRE_NAK)
		err = outbox_nak(r->outbox, msg->u.nak.op, msg->u.nak.code > 0 ? -msg->u.nak.code : msg->u.nak.code, msg->u.nak.text);
	else if (msg->type == WIRE_BLOCKS)
		err = convoy_answer(r, msg);
	else if (!agree_message(r, msg) && !job_message(r, msg) && !ask_message(r, msg))
		err = err_set(ERR_PEER, "the server says %s, which it was not asked for", wire_type_name(msg->type));
	if (err < 0)
		link_drop(r->link, err, err_text());
	pump_wake(r);
}

static void
on_writable(void *arg)
{
	pump_wake(arg);
}

static void
on_closed(void *arg)
{
	struct replicator *r = arg;

	convoy_cut(r);
	outbox_reset(r->outbox);
	agree_closed(r);
	job_closed(r);
	ask_closed(r);
	if (r->events->link)
		r->events->link(false, link_why(r->link), r->arg);
}

static const struct link_events link_events = {
	.opened = on_opened, .welcome = on_welcome, .message = on_message, .writable = on_writable, .closed = on_closed,
};

static void
on_packed(void *arg)
{
	pump_wake(arg);
}

static const struct outbox_events outbox_events = {.packed = on_packed, .settled = flow_settled, .dropped = flow_dropped};

static void
on_settle(void *arg)
{
	pump_wake(arg);
}

/* ---- life ---- */

static void
init_lists(struct replicator *r)
{
	TAILQ_INIT(&r->works);
	TAILQ_INIT(&r->queue);
	TAILQ_INIT(&r->held);
	TAILQ_INIT(&r->large);
	TAILQ_INIT(&r->transfers);
	STAILQ_INIT(&r->questions);
	TAILQ_INIT(&r->sweeps);
	TAILQ_INIT(&r->barriers);
	TAILQ_INIT(&r->promises);
	TAILQ_INIT(&r->asks);
}

static int
make_parts(struct replicator *r)
{
	const struct replicator_setup *s = &r->setup;
	uint64_t seed = s->seed ? s->seed : (uint64_t)clock_wall_ns();
	int err;

	r->wake = event_new(s->base, -1, 0, on_wake, r);
	r->tick = event_new(s->base, -1, EV_PERSIST, on_tick, r);
	r->active = worktable_new(WORKTABLE_ACTIVE);
	r->rows = worktable_new(WORKTABLE_ROWS);
	if (!r->wake || !r->tick || !r->active || !r->rows)
		return err_set(ERR_NOMEM, "no memory for a replicator");
	if ((err = clocks_begin(r)) < 0)
		return err;
	if ((err = outbox_new(s->pool, s->lane_hash, &outbox_events, r, &r->outbox)) < 0)
		return err;
	if ((err = settle_new(s->pool, s->lane_journal, s->journal, s->map, on_settle, r, &r->settle)) < 0)
		return err;
	return link_new(s->base, s->identity, s->server, seed, &link_events, r, &r->link);
}

int
replicator_new(const struct replicator_setup *setup, const struct replicator_events *events, void *arg, struct replicator **ret_r)
{
	struct timeval tick = {.tv_sec = TICK_MS / 1000};
	struct replicator *r = calloc(1, sizeof *r);
	int err;

	if (!r)
		return err_set(ERR_NOMEM, "no memory for a replicator");
	r->setup = *setup;
	r->events = events;
	r->arg = arg;
	r->live = (struct origin){.type = livetree_type(setup->tree), .tree = setup->tree, .staging_fd = -1};
	r->news = true;
	init_lists(r);
	if ((err = make_parts(r)) < 0) {
		r->stopping = true;
		replicator_free(r);
		return err;
	}
	link_set_rate(r->link, setup->bandwidth);
	evtimer_add(r->tick, &tick);
	*ret_r = r;
	return 0;
}

void
replicator_free(struct replicator *r)
{
	struct promise *p;

	if (!r)
		return;
	r->stopping = true;
	assert(!r->jobs);
	if (r->settle)
		settle_cancel(r->settle);
	link_free(r->link);
	agree_fini(r);
	convoy_fini(r);
	sweep_fini(r);
	feed_fini(r);
	barrier_fini(r);
	job_fini(r);
	ask_fini(r);
	flow_fini(r);
	outbox_free(r->outbox);
	settle_free(r->settle);
	while ((p = TAILQ_FIRST(&r->promises))) {
		TAILQ_REMOVE(&r->promises, p, link);
		free(p);
	}
	if (r->wake)
		event_free(r->wake);
	if (r->tick)
		event_free(r->tick);
	free(r);
}

void
replicator_poke(struct replicator *r)
{
	r->news = true;
	pump_wake(r);
}

void
replicator_pause(struct replicator *r, bool paused)
{
	r->paused = paused;
	pump_wake(r);
}

void
replicator_set_identity(struct replicator *r, struct identity *identity)
{
	r->setup.identity = identity;
	link_set_identity(r->link, identity);
}

void
replicator_set_bandwidth(struct replicator *r, uint64_t bytes_per_s)
{
	r->setup.bandwidth = bytes_per_s;
	link_set_rate(r->link, bytes_per_s);
}

bool
replicator_key(const struct replicator *r, uint8_t ret_key[BLOCK_KEY_BYTES])
{
	if (r->have_key)
		memcpy(ret_key, r->key_bytes, BLOCK_KEY_BYTES);
	return r->have_key;
}

void
replicator_status(const struct replicator *r, struct replicator_status *ret_status)
{
	struct replicator_status s = r->status;

	s.connected = r->phase >= PHASE_LEARN;
	s.paused = r->paused;
	s.refused = link_refused(r->link);
	if (!s.connected)
		snprintf(s.why, sizeof s.why, "%s", link_why(r->link));
	else if (s.root_gone)
		snprintf(s.why, sizeof s.why, "the post office or one of its areas is gone: deletions are held");
	if (s.pending_bytes < outbox_bytes(r->outbox)) /* of a snapshot's files nobody wrote a row */
		s.pending_bytes = outbox_bytes(r->outbox);
	s.bytes_unknown &= !s.pending_bytes && (!s.connected || s.paused);
	s.wire_bytes_sent = link_bytes_sent(r->link);
	s.server_clock_known = r->welcome_ns != 0;
	if (s.server_clock_known)
		s.server_ahead_ns = r->welcome_ns + (clock_steady_ms() - r->welcome_ms) * 1000000 - clock_wall_ns();
	*ret_status = s;
}
