/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow - a name's way: looked at, sent in one message or handed to the convoy, until the server has said what became of it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
#include "replicator/own.h"

#define COPIED_MARGIN_NS 1000000000ll /* what the watcher may be late, on a busy machine */

struct work *
flow_new(struct replicator *r, const char *path, const struct origin *origin)
{
	struct work *w = work_new(path, origin);

	if (!w)
		return NULL;
	w->replicator = r;
	TAILQ_INSERT_TAIL(&r->works, w, all);
	r->n_works++;
	return w;
}

void
flow_add(struct replicator *r, struct work *w)
{
	TAILQ_INSERT_TAIL(&r->queue, w, link);
	pump_wake(r);
}

void
flow_add_first(struct replicator *r, struct work *w)
{
	TAILQ_INSERT_HEAD(&r->queue, w, link);
	pump_wake(r);
}

bool
flow_has_room(const struct replicator *r)
{
	return r->n_works - r->n_deferred < WORKS_LOW + outbox_ops(r->outbox);
}

bool
flow_quiet(const struct replicator *r)
{
	return !r->n_looks && TAILQ_EMPTY(&r->transfers) && TAILQ_EMPTY(&r->large) && !worktable_count(r->active) &&
	    !outbox_ops(r->outbox) && settle_idle(r->settle);
}

void
flow_outdate(struct replicator *r, const char *dir, const struct snapshot *snapshot)
{
	struct work *w;

	TAILQ_FOREACH(w, &r->works, all)
		if (w->active && w->snapshot == snapshot && relpath_within(w->path, dir) && strcmp(w->path, dir) != 0)
			w->outdated = true;
}

/* ---- messages ---- */

static struct wire_msg
message_of(const struct work *w, uint64_t op)
{
	struct wire_msg m = {0};

	if (w->verdict == WORK_PUT) {
		m.type = WIRE_PUT;
		m.u.put.op = op;
		m.u.put.path = w->path;
		m.u.put.entry = w->entry;
		m.u.put.data = (struct wire_bytes){w->data, w->entry.size};
	} else if (w->verdict == WORK_ENTRY) {
		m.type = WIRE_ENTRY;
		m.u.entry.op = op;
		m.u.entry.path = w->path;
		m.u.entry.entry = w->entry;
	} else {
		m.type = WIRE_REMOVE;
		m.u.remove.op = op;
		m.u.remove.path = w->path;
	}
	return m;
}

static void
count_sent(struct replicator *r, const struct work *w)
{
	r->status.files_sent += w->verdict == WORK_PUT;
	r->status.removals_sent += w->verdict == WORK_REMOVE;
	r->status.payload_bytes_sent += w->verdict == WORK_PUT ? w->entry.size : 0;
}

void
flow_send(struct replicator *r, struct work **works, size_t n)
{
	struct parcel *p = n ? parcel_new(n) : NULL;

	for (size_t i = 0; i < n; i++) {
		struct work *w = works[i];
		struct wire_msg m;

		if (!p) {
			flow_retry(r, w, -ERR_NOMEM, "no memory for a frame");
			continue;
		}
		m = message_of(w, outbox_op(r->outbox, w, w->verdict == WORK_PUT ? w->entry.size : 0));
		parcel_add(p, &m);
		parcel_own(p, w->data);
		w->data = NULL;
		count_sent(r, w);
	}
	if (p)
		outbox_post(r->outbox, p);
}

/* ---- looking ---- */

/* A database that was copied meanwhile may name it; but not what came well after the copy had ended. */
static void
count_missed(struct replicator *r, struct work *w)
{
	const struct layout_row *row = w->absent && !w->known && w->row ? layout_of(r->live.type, w->path, false) : NULL;

	if (!row || row->class != LAYOUT_BLOB || (r->copied_ns && w->seen_ns > r->copied_ns + COPIED_MARGIN_NS))
		return;
	r->status.vanished++;
	r->status.missed += w->deleted;
	w->deleted = false;
}

/* Acts on a verdict; true when a message is to be sent. */
static bool
act(struct replicator *r, struct work *w)
{
	w->waits_held = false;
	count_missed(r, w);
	if (w->absent && !w->known) /* perhaps a folder that came and went: names in it may be on their way, and no scan looks for them */
		flow_outdate(r, w->path, w->snapshot);
	switch (w->verdict) {
	case WORK_PUT:
	case WORK_ENTRY:
	case WORK_REMOVE:
		return true;
	case WORK_LARGE:
		TAILQ_INSERT_TAIL(&r->large, w, link);
		break;
	case WORK_TREE:
		flow_empty_tree(r, w);
		break;
	case WORK_HELD:
		flow_hold_back(r, w);
		break;
	case WORK_FAILED:
		flow_retry(r, w, w->err, w->text);
		break;
	default:
		flow_finish(r, w);
	}
	return false;
}

static void
on_looked(struct job *job, bool cancelled)
{
	struct look *l = (struct look *)((char *)job - offsetof(struct look, job));
	struct replicator *r = l->owner;
	struct work *send[LOOK_MAX];
	size_t n_send = 0;

	r->jobs--;
	r->n_looks--;
	if (cancelled || l->epoch != r->epoch)
		l->looked = 0;
	for (size_t i = l->n; i > l->looked; i--)
		flow_requeue(r, l->works[i - 1]);
	for (size_t i = 0; i < l->looked; i++)
		if (act(r, l->works[i]))
			send[n_send++] = l->works[i];
	flow_send(r, send, n_send);
	free(l);
	pump_wake(r);
}

static void
run_look(struct job *job)
{
	look_run((struct look *)((char *)job - offsetof(struct look, job)));
}

/* The next work that may be looked at now; NULL when none waits. */
static struct work *
next_work(struct replicator *r)
{
	struct work *w;

	while ((w = TAILQ_FIRST(&r->queue))) {
		TAILQ_REMOVE(&r->queue, w, link);
		if (w->snapshot && w->snapshot->over) {
			flow_end(r, w);
		} else if (job_holds(r, w)) {
			TAILQ_INSERT_TAIL(&r->held, w, link);
		} else if (worktable_enter(r->active, w)) {
			w->active = true;
			work_begin_look(w, r->cookie_seq);
			return w;
		} else {
			settle_hurry(r->settle); /* it waits for the one of its path */
		}
	}
	return NULL;
}

static bool
start_look(struct replicator *r)
{
	struct look *l;
	struct work *w = next_work(r);

	if (!w)
		return false;
	if (!(l = calloc(1, sizeof *l))) {
		flow_retry(r, w, -ERR_NOMEM, "no memory");
		return false;
	}
	l->job = (struct job){.run = run_look, .done = on_looked};
	l->owner = r;
	l->epoch = r->epoch;
	l->map = r->setup.map;
	l->key = &r->key;
	do {
		assert(!w->noting);
		l->works[l->n++] = w;
	}
	while (l->n < LOOK_MAX && (w = next_work(r)));
	r->jobs++;
	r->n_looks++;
	workpool_submit(r->setup.pool, r->setup.lane_hash, &l->job);
	return true;
}

void
flow_pump(struct replicator *r)
{
	while (r->phase == PHASE_RUN && !r->paused && !r->stopping && !job_stops_flow(r) && r->n_looks < LOOKS_MAX &&
	    outbox_window_open(r->outbox) && outbox_has_room(r->outbox) && settle_has_room(r->settle) && start_look(r))
		;
}

/* ---- what became of it ---- */

void
flow_settled(struct work *w, int err, const char *text, void *arg)
{
	struct replicator *r = arg;

	if (!w)
		return;
	if (err == 0)
		link_progress(r->link);
	else if (err == -ERR_NOSPACE)
		r->status.server_full = true;
	if (w->transfer)
		convoy_settled(r, w, err, text);
	else if (err < 0)
		flow_retry(r, w, err, text);
	else
		flow_finish(r, w);
}

void
flow_dropped(struct work *w, void *arg)
{
	if (!w->transfer)
		flow_requeue(arg, w);
}

void
flow_release_held(struct replicator *r)
{
	TAILQ_CONCAT(&r->queue, &r->held, link);
	pump_wake(r);
}

/* No job runs any more: every work is in the list of all, wherever else it hung. */
void
flow_fini(struct replicator *r)
{
	struct work *w;

	while ((w = TAILQ_FIRST(&r->works))) {
		TAILQ_REMOVE(&r->works, w, all);
		TAILQ_INIT(&w->behind);
		if (w->snapshot)
			snapshot_unref(w->snapshot);
		work_free(w);
	}
	worktable_free(r->active);
	worktable_free(r->rows);
}
