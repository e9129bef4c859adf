/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agree - from an open connection to the moment at which both sides mean the same: HELLO with our sum, WELCOME with theirs,
 * the key, and the agreement where the sums differ.
 *
 * Nothing of the last connection may still be in the lanes when our sum is taken, or it would be a sum of the past.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "journal/journal.h"
#include "replicator/own.h"

#define META_INSTANCE "server-instance"
#define META_GENERATION "server-generation"

static const char *const names[] = {
	[PHASE_DOWN] = "down", [PHASE_QUIET] = "quiet", [PHASE_HELLO] = "hello", [PHASE_LEARN] = "learn",
	[PHASE_AGREE] = "agree", [PHASE_RUN] = "run",
};
_Static_assert(sizeof names / sizeof *names == PHASES, "every phase has its name");

static void
set_phase(struct replicator *r, enum phase phase)
{
	if (r->phase != phase)
		log_debug("agree.phase", "%s -> %s", names[r->phase], names[phase]);
	r->phase = phase;
	pump_wake(r);
}

struct greeting {
	struct errand errand;
	unsigned epoch;
	struct treemap_sum total;
	bool agreed;       /* instance and generation are those we know */
	bool another;      /* the server was made anew */
	int err;
	char text[200];
};

static bool
still_ours(const struct greeting *g, bool cancelled)
{
	return !cancelled && g->epoch == g->errand.r->epoch;
}

static void
start_greeting(struct replicator *r, void (*run)(struct errand *e), void (*done)(struct errand *e, bool cancelled))
{
	struct greeting *g = calloc(1, sizeof *g);

	if (!g) {
		link_drop(r->link, -ERR_NOMEM, "no memory");
		return;
	}
	g->epoch = r->epoch;
	g->errand.run = run;
	g->errand.done = done;
	errand_start(r, r->setup.lane_journal, &g->errand);
}

/* ---- HELLO ---- */

static void
run_total(struct errand *e)
{
	struct greeting *g = (struct greeting *)e;

	g->err = blockmap_total(e->r->setup.map, &g->total);
	if (g->err < 0)
		snprintf(g->text, sizeof g->text, "%s", err_text());
}

static void
on_total(struct errand *e, bool cancelled)
{
	struct greeting *g = (struct greeting *)e;
	struct replicator *r = e->r;

	if (still_ours(g, cancelled)) {
		if (g->err == 0)
			g->err = link_hello(r->link, r->live.type, journal_uuid(r->setup.journal), &g->total);
		if (g->err < 0)
			link_drop(r->link, g->err, g->text[0] ? g->text : err_text());
	}
	free(g);
}

/* ---- WELCOME ---- */

static bool
same_server(struct replicator *r)
{
	char *instance = NULL, *generation = NULL, now[32];
	bool same;

	snprintf(now, sizeof now, "%" PRIu64, r->generation);
	same = blockmap_meta_get(r->setup.map, META_INSTANCE, &instance) == 0 && strcmp(instance, r->instance) == 0 &&
	    blockmap_meta_get(r->setup.map, META_GENERATION, &generation) == 0 && strcmp(generation, now) == 0;
	free(instance);
	free(generation);
	return same;
}

/*
 * A server that was made anew has another key, which empties the map: then both sides hold nothing and agree, while nothing
 * names what is to be sent.  The row comes before the map is emptied, so that dying in between does no harm.
 */
static int
rescan_for_new_server(struct replicator *r, bool *ret_another)
{
	struct change c = {.kind = CHANGE_RESCAN, .path = (char[]){""}};
	char *instance = NULL;
	bool same = blockmap_meta_get(r->setup.map, META_INSTANCE, &instance) == 0 && strcmp(instance, r->instance) == 0;
	int err = same ? 0 : journal_append(r->setup.journal, &c, 1);

	free(instance);
	*ret_another = !same;
	return err == -ERR_NOSPACE ? 0 : err; /* the journal's flag says the same */
}

/* The key first: another one empties the map, and the sums that are compared must be sums under this key. */
static void
run_learn(struct errand *e)
{
	struct greeting *g = (struct greeting *)e;
	struct replicator *r = e->r;

	g->err = rescan_for_new_server(r, &g->another);
	if (g->err == 0)
		g->err = blockmap_set_key(r->setup.map, r->key_bytes);
	if (g->err == 0)
		g->err = blockmap_total(r->setup.map, &g->total);
	if (g->err < 0)
		snprintf(g->text, sizeof g->text, "%s", err_text());
	else
		g->agreed = same_server(r) && g->total.count == r->server_total.count && g->total.bytes == r->server_total.bytes &&
		    hash128_equal(g->total.hash, r->server_total.hash);
}

static void
on_learned(struct errand *e, bool cancelled)
{
	struct greeting *g = (struct greeting *)e;
	struct replicator *r = e->r;

	if (still_ours(g, cancelled)) {
		if (g->another)
			job_databases_lost(r);
		if (g->err < 0)
			link_drop(r->link, g->err, g->text);
		else if (g->agreed)
			set_phase(r, PHASE_RUN);
		else if ((r->reconcile = reconcile_new(r->setup.map, r->setup.journal, &r->key, r->live.type)))
			set_phase(r, PHASE_AGREE);
		else
			link_drop(r->link, -ERR_NOMEM, "no memory");
	}
	free(g);
}

void
agree_welcome(struct replicator *r, struct wire_msg *msg)
{
	if (r->phase != PHASE_HELLO) {
		link_drop(r->link, -ERR_PEER, "WELCOME out of place");
		return;
	}
	memcpy(r->key_bytes, msg->u.welcome.key, sizeof r->key_bytes);
	block_key_init(&r->key, r->key_bytes);
	r->have_key = true;
	snprintf(r->instance, sizeof r->instance, "%s", msg->u.welcome.instance);
	r->generation = msg->u.welcome.generation;
	r->server_total = msg->u.welcome.total;
	set_phase(r, PHASE_LEARN);
	start_greeting(r, run_learn, on_learned);
}

/* ---- agreement ---- */

static void
run_step(struct errand *e)
{
	reconcile_run(e->r->reconcile);
}

static void
on_step(struct errand *e, bool cancelled)
{
	struct replicator *r = e->r;

	r->reconcile_busy = false;
	if (!cancelled)
		reconcile_ran(r->reconcile);
	free(e);
}

static void
start_step(struct replicator *r)
{
	struct errand *e = calloc(1, sizeof *e);

	if (!e)
		return;
	e->run = run_step;
	e->done = on_step;
	r->reconcile_busy = true;
	errand_start(r, r->setup.lane_journal, e);
}

static void
run_agreed(struct errand *e)
{
	struct greeting *g = (struct greeting *)e;
	struct replicator *r = e->r;
	char generation[32];

	snprintf(generation, sizeof generation, "%" PRIu64, r->generation);
	g->err = blockmap_meta_put(r->setup.map, META_INSTANCE, r->instance);
	if (g->err == 0)
		g->err = blockmap_meta_put(r->setup.map, META_GENERATION, generation);
	if (g->err == 0)
		g->err = blockmap_total(r->setup.map, &g->total);
}

static void
on_agreed(struct errand *e, bool cancelled)
{
	struct greeting *g = (struct greeting *)e;
	struct replicator *r = e->r;

	if (still_ours(g, cancelled)) {
		if (g->err == 0 && !hash128_equal(g->total.hash, r->server_total.hash))
			log_warn("agree.total", "after the agreement the sums still differ: the next connection tries again");
		r->news = true;
		set_phase(r, PHASE_RUN);
	}
	free(g);
}

static void
finish_agreement(struct replicator *r)
{
	const struct reconcile_figures *f = reconcile_figures(r->reconcile);

	log_info("agree.done", "directories=%" PRIu64 " adopted=%" PRIu64 " forgotten=%" PRIu64, f->differing, f->adopted, f->forgotten);
	if (f->databases)
		job_databases_lost(r);
	reconcile_free(r->reconcile);
	r->reconcile = NULL;
	set_phase(r, PHASE_LEARN);
	start_greeting(r, run_agreed, on_agreed);
}

static void
ask(struct replicator *r)
{
	struct wire_msg m;

	if (r->reconcile_asked)
		return;
	reconcile_request(r->reconcile, &m);
	r->reconcile_asked = true;
	if (link_send(r->link, &m) < 0)
		link_drop(r->link, -ERR_PEER, err_text());
}

static void
pump_agreement(struct replicator *r)
{
	if (r->reconcile_busy)
		return;
	switch (reconcile_state(r->reconcile)) {
	case RECONCILE_ASK_SUMS:
	case RECONCILE_ASK_LIST:
		ask(r);
		break;
	case RECONCILE_DONE:
		finish_agreement(r);
		break;
	case RECONCILE_FAILED:
		link_drop(r->link, reconcile_error(r->reconcile), reconcile_error_text(r->reconcile));
		break;
	default:
		start_step(r);
	}
}

bool
agree_message(struct replicator *r, struct wire_msg *msg)
{
	if (!r->reconcile || !r->reconcile_asked || r->reconcile_busy || !reconcile_answer(r->reconcile, msg))
		return false;
	r->reconcile_asked = false;
	pump_wake(r);
	return true;
}

/* ---- the way there ---- */

void
agree_opened(struct replicator *r)
{
	r->epoch++;
	set_phase(r, PHASE_QUIET);
}

void
agree_closed(struct replicator *r)
{
	r->epoch++;
	r->reconcile_asked = false;
	set_phase(r, PHASE_DOWN);
}

void
agree_pump(struct replicator *r)
{
	if (r->reconcile && r->phase != PHASE_AGREE && !r->reconcile_busy) { /* of a connection that is gone */
		reconcile_free(r->reconcile);
		r->reconcile = NULL;
	}
	if (r->phase == PHASE_QUIET && !r->jobs && settle_idle(r->settle) && !outbox_packing(r->outbox)) {
		set_phase(r, PHASE_HELLO);
		start_greeting(r, run_total, on_total);
	} else if (r->phase == PHASE_AGREE) {
		pump_agreement(r);
	}
}

void
agree_fini(struct replicator *r)
{
	reconcile_free(r->reconcile);
}
