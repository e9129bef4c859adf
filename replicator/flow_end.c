/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flow_end - how a work ends: what is noted when the server has it; what is tried again, is trouble, or is held back. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "replicator/own.h"

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
void
flow_empty_tree(struct replicator *r, struct work *w)
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
		flow_empty_tree(r, w);
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

/* Nothing is kept of a blob's blocks: it is never patched. */
static bool
is_blob(const struct work *w)
{
	const struct layout_row *row = layout_of(w->origin->type, w->path, false);

	return row && row->class == LAYOUT_BLOB;
}

/* The operations that make the map say what the server now holds. */
static unsigned
map_ops(struct work *w, struct blockmap_op ops[2])
{
	unsigned n = 0;

	switch (w->verdict) {
	case WORK_PUT:
	case WORK_LARGE:
		/* Hashes past the new end are a larger file's that was.  A file that travels whole has none: all that are there are another's. */
		if (!is_blob(w) && !PLANTED(hashes_outlive_file))
			ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = w->path,
			    .first = w->verdict == WORK_LARGE && !w->hashes_lost ? block_count(w->entry.size) : 0};
		/* fall through */
	case WORK_LEARNED:
	case WORK_ENTRY:
		if (!n && w->hashes_lost)
			ops[n++] = (struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = w->path};
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

/* Its note may wait already, behind the one that failed. */
void
flow_hashes_lost(struct work *w)
{
	w->hashes_lost = true;
	if (w->noting && !w->note.trouble)
		w->note.n_ops = map_ops(w, w->note.ops);
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
void
flow_hold_back(struct replicator *r, struct work *w)
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
