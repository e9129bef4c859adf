/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow - what becomes of a name: looked at, sent in one message or handed to the convoy, noted when durable, tried again. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
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

/* ---- the ends of a work ---- */

/* Its turn is over; the same path again, if it waits, comes next. */
static void
leave(struct replicator *r, struct work *w)
{
	struct work_list behind;
	struct work *b;

	if (!w->active)
		return;
	w->active = false;
	worktable_leave(r->active, w, &behind);
	while ((b = TAILQ_LAST(&behind, work_list))) {
		TAILQ_REMOVE(&behind, b, link);
		TAILQ_INSERT_HEAD(&r->queue, b, link);
	}
}

static void
free_work(struct replicator *r, struct work *w)
{
	assert(!w->noting);
	leave(r, w);
	if (w->row)
		worktable_remove(r->rows, w);
	TAILQ_REMOVE(&r->works, w, all);
	r->n_works--;
	r->n_roomless -= w->roomless;
	if (w->snapshot) {
		w->snapshot->open--;
		w->snapshot->hint_bytes -= w->hint_bytes;
		snapshot_unref(w->snapshot);
	}
	work_free(w);
	pump_wake(r);
}

void
flow_end(struct replicator *r, struct work *w)
{
	if (w->sweep)
		sweep_settled(r, w, true);
	free_work(r, w);
}

void
flow_requeue(struct replicator *r, struct work *w)
{
	/* Not forgotten yet: after a cut its message may still be being packed.  The look forgets. */
	leave(r, w);
	flow_add_first(r, w);
}

/* A directory is gone, or no directory any more: a scan of the map sends away what lay below, then it is looked at again. */
static void
empty_tree(struct replicator *r, struct work *w)
{
	struct sweep *sw = sweep_new(r, w->path);

	leave(r, w);
	work_forget(w);
	w->leaf = true;
	if (!sw) {
		flow_retry(r, w, -ERR_NOMEM, "no memory");
		return;
	}
	sweep_first(r, sw); /* ahead of a scan that may have found the directory: that one waits for it */
	sw->parent = w;
	sw->since = w->since;
	sw->snapshot = w->snapshot;
	if (sw->snapshot)
		snapshot_ref(sw->snapshot);
}

static void
end_noted(struct replicator *r, struct work *w)
{
	bool astray = w->note.astray;

	w->note.astray = false;
	if (w->verdict == WORK_ABORTED) {
		flow_retry(r, w, w->err, w->text);
	} else if (astray && w->verdict == WORK_REMOVE) { /* something below it was still on its way when it was emptied */
		empty_tree(r, w);
	} else if (astray || w->again || w->outdated) {
		flow_requeue(r, w);
	} else if (work_rows_gone(w)) { /* touched meanwhile: not before its neighbours have had their turn */
		leave(r, w);
		flow_add(r, w);
	} else {
		flow_end(r, w);
	}
}

static void
on_noted(struct note *n, int err)
{
	struct work *w = n->owner;

	w->noting = w->durable = false;
	wrote_down(w->replicator, &w->roomless, err);
	if (err < 0)
		flow_retry(w->replicator, w, err, "the collector could not write down what the server has");
	else
		end_noted(w->replicator, w);
}

/* The operations that make the map say what the server now holds. */
static unsigned
map_ops(struct work *w, struct blockmap_op ops[2])
{
	unsigned n = 0;

	switch (w->verdict) {
	case WORK_LARGE: /* hashes past the new end, or of a blob, are forgotten */
		ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = w->path, .first = block_count(w->entry.size)};
		/* fall through */
	case WORK_LEARNED:
	case WORK_PUT:
	case WORK_ENTRY:
		ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_PUT, .path = w->path, .entry = &w->entry, .stat = w->stat};
		break;
	case WORK_REMOVE:
		ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = w->path};
		break;
	case WORK_ABORTED: /* as the server, which no longer believes what it half patched; the doubt stays */
		if (w->patched) {
			ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = w->path};
			ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = w->path};
		}
		break;
	default:
		break;
	}
	return n;
}

static bool
has_dir(const struct work *w)
{
	size_t len = relpath_dir_len(w->path);
	char *dir = len ? strndup(w->path, len) : NULL;
	bool owned = dir && origin_owns(w->origin, dir, true);

	free(dir);
	return owned;
}

void
flow_finish(struct replicator *r, struct work *w)
{
	bool final = !w->again && !w->outdated && w->verdict != WORK_ABORTED;
	struct note *n = &w->note;

	if (w->verdict == WORK_PUT || w->verdict == WORK_LARGE)
		r->status.server_full = false; /* it has kept something */
	*n = (struct note){.owner = w, .done = on_noted};
	n->n_ops = map_ops(w, n->ops);
	n->in_dir = has_dir(w);
	if (final) {
		n->acks = w->looked.v;
		n->n_acks = w->looked.n;
	}
	if (!n->n_ops && !n->n_acks) {
		end_noted(r, w);
		return;
	}
	w->noting = true;
	w->durable = final && w->verdict != WORK_REMOVE; /* a removal's note finds what arrived below it meanwhile */
	n->patient = w->durable && !w->sweep && !w->snapshot;
	settle_add(r->settle, n);
	pump_wake(r);
}

/* ---- trouble ---- */

static void
on_trouble_noted(struct note *n, int err)
{
	struct work *w = n->owner;
	struct replicator *r = w->replicator;

	w->noting = false;
	if (n->append && err == 0) {
		/* It has a row of its own now, which the feed will read: the scan need not wait for it. */
		barrier_stale(r, w);
		if (w->sweep)
			sweep_settled(r, w, false);
		free_work(r, w);
		return;
	}
	if (n->append) /* nothing else knows of it */
		feed_defer(r, w, w->asked_for ? 0 : feed_delay_ms(r, w->attempts - 1));
	else if (!w->deferred) /* no room to wait: its row will be read again */
		flow_end(r, w);
	pump_wake(r);
}

static void
note_trouble(struct replicator *r, struct work *w, int64_t delay_ms)
{
	struct note *n = &w->note;

	*n = (struct note){.owner = w, .done = on_trouble_noted, .trouble = true, .path = w->path, .text = w->text};
	n->code = (enum err)(w->err < 0 ? -w->err : w->err);
	n->now_ns = clock_wall_ns();
	n->next_ns = n->now_ns + delay_ms * 1000000;
	n->attempts = w->attempts;
	if (!w->row) {
		n->append = true;
		n->change = (struct change){.kind = CHANGE_TOUCHED, .seen_ns = n->now_ns, .path = w->path};
	}
	w->noting = true;
	settle_add(r->settle, n);
}

const char *
flow_words(const struct work *w, char *text, size_t len)
{
	if (w->err == -ERR_NOSPACE || w->err == ERR_NOSPACE)
		snprintf(text, len, "%s has no space left: %.100s waits (%.80s); free some space there",
		    w->replicator->status.server_full ? "the server" : "the collector", w->path, w->text);
	else
		snprintf(text, len, "%.150s: %.90s", w->path, w->text);
	return text;
}

/* A snapshot has no rows: a file of it that cannot be sent fails it. */
static void
fail_snapshot(struct replicator *r, struct work *w)
{
	struct snapshot *sn = w->snapshot;

	if (!sn->err) {
		sn->err = w->err;
		flow_words(w, sn->text, sizeof sn->text);
	}
	if (w->sweep)
		sweep_settled(r, w, false);
	free_work(r, w);
}

void
flow_retry(struct replicator *r, struct work *w, int err, const char *text)
{
	int64_t delay = feed_delay_ms(r, w->attempts);
	char copy[sizeof w->text];

	if (w->asked_for) { /* what failed began before somebody had perhaps mended it: it says nothing */
		flow_requeue(r, w);
		return;
	}
	w->attempts++;
	snprintf(copy, sizeof copy, "%s", text ? text : "");
	leave(r, w);
	work_forget(w);
	w->err = err;
	w->failed_at = ++r->failures;
	memcpy(w->text, copy, sizeof copy);
	log_debug("flow.retry", "path=%s code=%s attempts=%u delay_ms=%lld %s", w->path, err_name(err), w->attempts, (long long)delay, w->text);
	if (w->attempts >= TRIES && w->snapshot) {
		fail_snapshot(r, w);
		return;
	}
	if (w->attempts >= TRIES) {
		if (w->attempts == TRIES)
			log_warn("flow.trouble", "path=%s code=%s attempts=%u %s", w->path, err_name(err), w->attempts, w->text);
		note_trouble(r, w, delay);
		if (!w->row)
			return;
	}
	feed_defer(r, w, delay);
}

/* Its root or area is missing: nothing is wrong with the path, so it is no trouble of its own. */
static void
hold_back(struct replicator *r, struct work *w)
{
	char why[sizeof w->text];

	memcpy(why, w->text, sizeof why);
	leave(r, w);
	work_forget(w);
	memcpy(w->text, why, sizeof why);
	w->waits_held = true;
	w->failed_at = ++r->failures;
	if (!r->status.root_gone) {
		r->status.root_gone = true;
		log_error("flow.held", "deletions are held: %s", why);
		state_changed(r);
	}
	feed_defer(r, w, HELD_RETRY_MS);
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
		empty_tree(r, w);
		break;
	case WORK_HELD:
		hold_back(r, w);
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
