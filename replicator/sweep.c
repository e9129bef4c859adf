/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sweep - RESCAN rows one after another: slices in the lane, what they find into the queue, and the accounting that lets a
 * row go when the last of what it found is durable.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "journal/journal.h"
#include "replicator/own.h"

#define GONE_AT_ONCE 128

struct sweep *
sweep_new(struct replicator *r, const char *dir)
{
	struct sweep *sw = calloc(1, sizeof *sw);

	if (!sw || !(sw->dir = strdup(dir))) {
		free(sw);
		return NULL;
	}
	TAILQ_INIT(&sw->dirs);
	sw->replicator = r;
	sw->epoch = r->epoch;
	TAILQ_INSERT_TAIL(&r->sweeps, sw, link);
	r->n_sweeps++;
	pump_wake(r);
	return sw;
}

void
sweep_first(struct replicator *r, struct sweep *sw)
{
	TAILQ_REMOVE(&r->sweeps, sw, link);
	TAILQ_INSERT_HEAD(&r->sweeps, sw, link);
}

static void
free_sweep(struct replicator *r, struct sweep *sw)
{
	struct scan_dir *d;

	TAILQ_REMOVE(&r->sweeps, sw, link);
	r->n_sweeps--;
	while ((d = TAILQ_FIRST(&sw->dirs))) {
		TAILQ_REMOVE(&sw->dirs, d, link);
		scan_dir_free(d);
	}
	r->n_roomless -= sw->roomless;
	if (sw->scan)
		scan_free(sw->scan);
	if (sw->snapshot)
		snapshot_unref(sw->snapshot);
	rows_fini(&sw->rows);
	free(sw->dir);
	free(sw);
}

/* ---- directories ---- */

/* What a directory's note needs outlives the sweep's turn, but not the sweep: it waits for its notes. */
struct dir_note {
	struct note note;
	struct sweep *sweep;
	struct replicator *r;
	struct scan_dir *dir;
};

static void
on_dir_noted(struct note *n, int err)
{
	struct dir_note *dn = n->owner;

	(void)err; /* not recorded: it is listed again next time */
	dn->sweep->notes--;
	pump_wake(dn->r);
	scan_dir_free(dn->dir);
	free(dn);
}

/* Complete and durable: its stamp may be believed from now on. */
static void
close_dir(struct replicator *r, struct sweep *sw, struct scan_dir *d)
{
	struct dir_note *dn = NULL;

	if (!d->listed || d->settled < d->found)
		return;
	TAILQ_REMOVE(&sw->dirs, d, link);
	/* A new connection may have brought an agreement that wants this directory listed again. */
	if (d->stamp_ns && sw->epoch == r->epoch && (dn = calloc(1, sizeof *dn))) {
		dn->sweep = sw;
		dn->r = r;
		dn->dir = d;
		dn->note = (struct note){.owner = dn, .done = on_dir_noted, .n_ops = 1};
		dn->note.ops[0] = (struct blockmap_op){.kind = BLOCKMAP_DIR, .path = d->path, .dir_mtime_ns = d->stamp_ns};
		sw->notes++;
		settle_add(r->settle, &dn->note);
	} else {
		scan_dir_free(d);
	}
}

void
sweep_settled(struct replicator *r, struct work *w, bool good)
{
	struct sweep *sw = w->sweep;

	sw->open--;
	if (w->dir) {
		w->dir->settled++;
		if (!good)
			w->dir->stamp_ns = 0;
		close_dir(r, sw, w->dir);
	}
	w->sweep = NULL;
	w->dir = NULL;
	pump_wake(r);
}

/* ---- what a slice found ---- */

/* A name whose own rows wait to be tried again is in good hands: the scan need not wait for it, but who waits for the scan must.  Not the
 * scan's own directory: the journal may have made one row of the two, which goes with the scan. */
static bool
leave_to_its_row(struct replicator *r, struct sweep *sw, const char *path, struct scan_dir *dir)
{
	struct work *w = sw->snapshot ? NULL : worktable_find(r->rows, path);

	if (!w || !w->attempts || w->active || w->noting || strcmp(path, sw->dir) == 0)
		return false;
	if (sw->since < w->since)
		w->since = sw->since;
	if (dir) {
		dir->settled++;
		dir->stamp_ns = 0;
	}
	return true;
}

static bool
give_work(struct replicator *r, struct sweep *sw, const char *path, struct scan_dir *dir, bool leaf)
{
	struct work *w = flow_new(r, path, sw->snapshot ? &sw->snapshot->origin : &r->live);

	if (!w)
		return false;
	w->sweep = sw;
	w->dir = dir;
	w->leaf = leaf;
	w->since = sw->since;
	if ((w->snapshot = sw->snapshot)) {
		snapshot_ref(w->snapshot);
		w->snapshot->open++;
	}
	sw->open++;
	flow_add(r, w);
	return true;
}

static void
take_found(struct replicator *r, struct sweep *sw)
{
	struct scan *s = sw->scan;
	struct scan_dir *d;

	for (size_t i = 0; i < s->n_found; i++) {
		struct scan_found *f = &s->found[i];
		bool parents = sw->parent && !f->dir && strcmp(f->path, sw->dir) == 0; /* who waits for us looks at it again */

		if (!parents && !leave_to_its_row(r, sw, f->path, f->dir) && !give_work(r, sw, f->path, f->dir, false)) {
			sw->failed = true; /* the row stays, and the next scan finds it */
			if (f->dir) {
				f->dir->settled++;
				f->dir->stamp_ns = 0;
			}
		}
		free(f->path);
	}
	s->n_found = 0;
	while ((d = TAILQ_FIRST(&s->closed))) {
		TAILQ_REMOVE(&s->closed, d, link);
		TAILQ_INSERT_TAIL(&sw->dirs, d, link);
		d->listed = true;
		close_dir(r, sw, d);
	}
	r->status.scanned += s->compared;
	r->status.drift += s->drift;
	if (s->drift)
		log_warn("sweep.drift", "dir=%s names=%llu changed without a word from the watcher", sw->dir, (unsigned long long)s->drift);
	s->compared = s->drift = 0;
}

static void
run_slice(struct job *job)
{
	scan_slice((struct scan *)((char *)job - offsetof(struct scan, job)));
}

static void
on_slice(struct job *job, bool cancelled)
{
	struct scan *s = (struct scan *)((char *)job - offsetof(struct scan, job));
	struct sweep *sw = s->owner;
	struct replicator *r = sw->replicator;

	r->jobs--;
	sw->busy = false;
	sw->scanned = s->done;
	if (!cancelled)
		take_found(r, sw);
	pump_wake(r);
}

/* A name on its way is not in the map yet, so the scan would not miss it: its directory was moved away, say, and another made in
 * its place, whose row this scan answers.  Whatever is on its way is looked at again when the server has it; what is just being
 * written down has no row any more, and is in the map before the scan reads it.  What is looked at from now on is as new as the scan. */
static bool
begin(struct replicator *r, struct sweep *sw)
{
	if (!sw->begun) {
		sw->begun = true;
		if (!PLANTED(scan_past_names_on_their_way))
			flow_outdate(r, sw->dir, sw->snapshot);
		sw->settled = settle_added(r->settle);
	}
	if (settle_past(r->settle, sw->settled))
		return true;
	settle_hurry(r->settle);
	return false;
}

static void
start_slice(struct replicator *r, struct sweep *sw)
{
	if (!begin(r, sw))
		return;
	if (!sw->scan)
		sw->scan = scan_new(sw->snapshot ? &sw->snapshot->origin : &r->live, r->setup.map, &r->key, sw->dir, sw->how);
	if (!sw->scan) {
		sw->failed = true;
		return;
	}
	sw->scan->owner = sw;
	sw->scan->hands = r->setup.hands;
	sw->scan->job = (struct job){.run = run_slice, .done = on_slice};
	sw->busy = true;
	r->jobs++;
	workpool_submit(r->setup.pool, r->setup.lane_hash, &sw->scan->job);
}

/* ---- the end of a sweep ---- */

/* Vanished directories go one depth at a time, each when what lay below is durable. */
static void
remove_gone(struct replicator *r, struct sweep *sw)
{
	char *gone[GONE_AT_ONCE];
	size_t n = scan_gone_take(&sw->scan->gone, gone, GONE_AT_ONCE);

	for (size_t i = 0; i < n; i++) {
		if (!give_work(r, sw, gone[i], NULL, true))
			sw->failed = true;
		free(gone[i]);
	}
	sw->emptied = !n;
}

static void
on_row_acked(struct note *n, int err)
{
	struct sweep *sw = n->owner;
	struct replicator *r = sw->replicator;

	wrote_down(r, &sw->roomless, err);
	if (err < 0) {
		sw->busy = false;
		sw->failed = true;
		sw->unwritten = err;
		pump_wake(r);
		return;
	}
	if (sw->how == SCAN_SLOW)
		clocks_compared(r);
	free_sweep(r, sw);
	pump_wake(r);
}

static void
end_good(struct replicator *r, struct sweep *sw)
{
	struct work *parent = sw->parent;

	log_debug("sweep.done", "dir=%s", sw->dir);
	if (sw->row) {
		sw->note = (struct note){.owner = sw, .done = on_row_acked, .acks = sw->rows.v, .n_acks = sw->rows.n};
		sw->busy = true;
		settle_add(r->settle, &sw->note);
		return;
	}
	if (sw->snapshot && sw->snapshot->sweep == sw)
		sw->snapshot->sweep = NULL;
	free_sweep(r, sw);
	if (parent)
		flow_add_first(r, parent);
}

static void
on_sweep_trouble(struct note *n, int err)
{
	struct sweep *sw = n->owner;

	wrote_down(sw->replicator, NULL, err);
	sw->busy = false;
	pump_wake(sw->replicator);
}

static void
note_sweep_trouble(struct replicator *r, struct sweep *sw, int code)
{
	sw->note = (struct note){.owner = sw, .done = on_sweep_trouble, .trouble = true, .path = sw->dir, .text = sw->text};
	sw->note.code = (enum err)(code < 0 ? -code : code);
	sw->note.now_ns = clock_wall_ns();
	sw->note.next_ns = sw->note.now_ns + (sw->due_ms - now_ms(r)) * 1000000;
	sw->note.attempts = sw->attempts;
	sw->busy = true;
	settle_add(r->settle, &sw->note);
}

static void
explain(struct sweep *sw)
{
	if (sw->scan && sw->scan->err < 0)
		snprintf(sw->text, sizeof sw->text, "%s", sw->scan->text);
	else if (sw->unwritten)
		snprintf(sw->text, sizeof sw->text, "the collector's journal could not be written: %s", err_words(sw->unwritten));
	else
		snprintf(sw->text, sizeof sw->text, "something it found could not be sent yet");
}

/* Something could not be looked at: the row stays, and the scan begins again later. */
static void
end_bad(struct replicator *r, struct sweep *sw)
{
	int err = sw->scan ? sw->scan->err : -ERR_NOMEM;
	int64_t delay = 0;

	sw->held = sw->scan && sw->scan->held;
	explain(sw);
	if (!sw->asked_for) { /* else what failed began before somebody had perhaps mended it: it says nothing */
		delay = sw->held ? HELD_RETRY_MS : feed_delay_ms(r, sw->attempts);
		sw->attempts++;
		sw->failed_at = ++r->failures;
	}
	sw->asked_for = false;
	log_warn("sweep.again", "dir=%s attempts=%u delay_ms=%lld %s", sw->dir, sw->attempts, (long long)delay, sw->text);
	if (sw->held && !r->status.root_gone) {
		r->status.root_gone = true;
		state_changed(r);
	}
	if (sw->scan)
		scan_free(sw->scan);
	sw->scan = NULL;
	sw->begun = sw->failed = sw->emptied = sw->scanned = false;
	sw->unwritten = 0;
	sw->epoch = r->epoch;
	sw->due_ms = now_ms(r) + delay;
	if (!sw->parent) { /* others need not wait behind it */
		TAILQ_REMOVE(&r->sweeps, sw, link);
		TAILQ_INSERT_TAIL(&r->sweeps, sw, link);
	}
	if (sw->row && err < 0)
		note_sweep_trouble(r, sw, err);
	if (sw->snapshot && sw->attempts >= TRIES && !sw->snapshot->err) {
		sw->snapshot->err = err < 0 ? err : -ERR_INCOMPLETE;
		snprintf(sw->snapshot->text, sizeof sw->snapshot->text, "%s", sw->text);
	}
}

static bool
over(const struct sweep *sw)
{
	return sw->snapshot && (sw->snapshot->over || sw->snapshot->err);
}

static void
drive(struct replicator *r, struct sweep *sw)
{
	if (over(sw)) {
		if (!sw->open && !sw->notes)
			end_good(r, sw);
		return;
	}
	if (!sw->scanned) {
		if (!sw->failed && flow_has_room(r) && settle_has_room(r->settle) && !r->paused)
			start_slice(r, sw);
		else if (sw->failed && !sw->open && !sw->notes)
			end_bad(r, sw);
		return;
	}
	if (sw->open || sw->notes)
		return;
	if (!sw->emptied && !sw->scan->err && !sw->failed)
		remove_gone(r, sw);
	if (sw->open)
		return;
	if (sw->scan->err < 0 || sw->failed)
		end_bad(r, sw);
	else
		end_good(r, sw);
}

/* What says that a barrier cannot pass is old; and nobody need wait for the retry. */
void
sweep_release_held(struct replicator *r)
{
	struct sweep *sw;

	TAILQ_FOREACH(sw, &r->sweeps, link)
		if (sw->held && !sw->busy) {
			sw->held = false;
			sw->attempts = 0;
			sw->due_ms = now_ms(r);
		}
	pump_wake(r);
}

static bool
scans(const struct sweep *sw)
{
	return !over(sw) && !sw->failed && !sw->scanned;
}

/* One before it is at work on the same names: what it found would be found once more. */
static bool
is_anticipated(const struct replicator *r, const struct sweep *sw)
{
	const struct sweep *b;

	if (sw->begun)
		return false;
	TAILQ_FOREACH(b, &r->sweeps, link) {
		if (b == sw)
			return false;
		if (b->due_ms <= now_ms(r) && b->snapshot == sw->snapshot && (relpath_within(b->dir, sw->dir) || relpath_within(sw->dir, b->dir)))
			return true;
	}
	return false;
}

/* One scans, the first whose time has come; those that only wait for what they found to become durable hold up nobody whose
 * names are others. */
void
sweep_pump(struct replicator *r)
{
	struct sweep *sw, *next;

	if (r->phase != PHASE_RUN || r->stopping || job_stops_flow(r))
		return;
	for (sw = TAILQ_FIRST(&r->sweeps); sw; sw = next) {
		bool scanning = scans(sw);

		next = TAILQ_NEXT(sw, link);
		if (sw->due_ms > now_ms(r))
			continue;
		if (scanning && is_anticipated(r, sw))
			return;
		if (!sw->busy)
			drive(r, sw);
		if (scanning)
			return;
	}
}

void
sweep_retry_now(struct replicator *r)
{
	struct sweep *sw;

	TAILQ_FOREACH(sw, &r->sweeps, link) {
		sw->asked_for = sw->scan != NULL;
		sw->due_ms = 0;
	}
	pump_wake(r);
}

/* No job runs. */
void
sweep_fini(struct replicator *r)
{
	/* The analyzer does not see that free_sweep takes it off the list. */
	while (!TAILQ_EMPTY(&r->sweeps))
		free_sweep(r, TAILQ_FIRST(&r->sweeps)); /* NOLINT(clang-analyzer-unix.Malloc) */
}
