/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * barrier - "everything that was changed before now is on the server's disk": proved by a cookie file that went through the
 * same event queue as the changes.
 *
 * A row whose path changes again moves to a newer number, so "rows up to the cookie's" would be a promise that moves away.
 * Therefore: when the cookie has come back, the journal is read to its end once; every row that was in it is then in
 * memory, and exactly these are waited for.
 *
 * What failed before is tried again at once: whoever asks has perhaps just mended it, and what is said to be stale must be so now.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "replicator/own.h"

#define COOKIE_AGAIN_MS 10000
#define COOKIES_FULL_DISK 3 /* so many may be lost to a disk that is full before whoever asked is told */

static void
end_barrier(struct replicator *r, struct barrier *b, int err)
{
	char text[512] = "";

	if (err < 0)
		snprintf(text, sizeof text, "%s", err_text());
	else if (b->stale)
		snprintf(text, sizeof text, "%u %s could not be sent and %s stale, such as %s", b->stale,
		    b->stale == 1 ? "file" : "files", b->stale == 1 ? "is" : "are", b->text);
	TAILQ_REMOVE(&r->barriers, b, link);
	promise_keep(r, b->owed, err, text);
	free(b);
}

/* ---- the cookie file ---- */

struct baking {
	struct errand errand;
	uint64_t id;
	char *path;
	int err;
	char text[200];
};

/*
 * A tree whose root or area is missing sends no events, and no barrier may pass over that silence: it waits for this look at them, which
 * takes about as long as the cookie's way.  Of the cookie only its coming matters, so it goes at once.
 */
static void
run_baking(struct errand *e)
{
	struct baking *b = (struct baking *)e;
	int fd = open(b->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0) {
		close(fd);
		unlink(b->path);
	}
	if (fd < 0)
		b->err = err_sys("making the cookie %s", b->path);
	else if (origin_complete(&e->r->live) < 0)
		b->err = -ERR_INCOMPLETE;
	if (b->err < 0)
		snprintf(b->text, sizeof b->text, "%s", err_text());
}

static void
on_baked(struct errand *e, bool cancelled)
{
	struct baking *k = (struct baking *)e;
	struct barrier *b;

	TAILQ_FOREACH(b, &e->r->barriers, link) {
		if (b->id != k->id)
			continue;
		b->baking--;
		if (!cancelled && k->err < 0)
			end_barrier(e->r, b, err_set((enum err)-k->err, "%s", k->text));
		break;
	}
	free(k->path);
	free(k);
}

static void
bake(struct replicator *r, struct barrier *b)
{
	struct baking *k = calloc(1, sizeof *k);

	b->bakes++;
	b->again_ms = now_ms(r) + COOKIE_AGAIN_MS;
	snprintf(b->cookie, sizeof b->cookie, "cookie-%" PRIx64 "-%" PRIu64, (uint64_t)clock_wall_ns(), b->id);
	if (!k || asprintf(&k->path, "%s/%s", r->setup.cookie_dir, b->cookie) < 0) {
		free(k);
		return; /* another try comes */
	}
	k->id = b->id;
	k->errand.run = run_baking;
	k->errand.done = on_baked;
	b->baking++;
	errand_start(r, r->setup.lane_hash, &k->errand);
}

/* The journal is to be read to its end (once more). */
static void
drain(struct replicator *r, struct barrier *b)
{
	b->state = BARRIER_DRAIN;
	r->drained = false;
	r->news = true;
}

void
barrier_cookie(struct replicator *r, const char *path)
{
	struct barrier *b;

	TAILQ_FOREACH(b, &r->barriers, link)
		if (b->state == BARRIER_COOKIE && strcmp(b->cookie, relpath_name(path)) == 0)
			drain(r, b);
}

/* What was not in memory when a barrier began to wait is so only when all has been read once more. */
void
barrier_read_again(struct replicator *r)
{
	struct barrier *b;

	r->drained = false;
	TAILQ_FOREACH(b, &r->barriers, link)
		if (b->state == BARRIER_SETTLE)
			b->state = BARRIER_DRAIN;
}

/* ---- waiting ---- */

/* It goes, and its new row is not among those the barrier waits for.  If it failed before the barrier began that says nothing of now:
 * all is read once more, and the row tried. */
void
barrier_stale(struct replicator *r, const struct work *w)
{
	struct barrier *b;

	TAILQ_FOREACH(b, &r->barriers, link) {
		if (b->state != BARRIER_SETTLE || !w->since || w->since > b->upto)
			continue;
		if (w->failed_at <= b->asked_at)
			drain(r, b);
		else if (!b->stale++)
			flow_words(w, b->text, sizeof b->text);
	}
}

/* 0 all done, 1 wait, -ERR_INCOMPLETE: it will not come to an end soon. */
static int
check_works(struct replicator *r, struct barrier *b)
{
	uint32_t stale = b->stale;
	const struct work *w;
	char text[256];

	TAILQ_FOREACH(w, &r->works, all) {
		if (!w->since || w->since > b->upto)
			continue;
		if (w->durable && !w->outdated && !w->later.n)
			continue;
		if (w->noting || w->active || w->failed_at <= b->asked_at)
			return 1;
		if (w->waits_held)
			return err_set(ERR_INCOMPLETE, "deletions are held: %s", w->text);
		if (w->attempts < TRIES)
			return 1;
		/* Not this file's trouble: a disk is full, and no set can be whole. */
		if (w->err == -ERR_NOSPACE || w->err == ERR_NOSPACE)
			return err_set(ERR_NOSPACE, "%s", flow_words(w, text, sizeof text));
		if (!stale++ && !b->text[0])
			flow_words(w, b->text, sizeof b->text);
	}
	b->stale = stale;
	return 0;
}

/* A scan waits for what it found, and what is held waits for the root: that is no wait for the barrier. */
static int
check_held(struct replicator *r, const struct barrier *b)
{
	const struct work *w;

	TAILQ_FOREACH(w, &r->works, all)
		if (w->since && w->since <= b->upto && w->waits_held && !w->active && !w->noting && w->failed_at > b->asked_at)
			return err_set(ERR_INCOMPLETE, "deletions are held: %s", w->text);
	return 0;
}

static int
our_disk_is_full(void)
{
	return err_set(ERR_NOSPACE, "the collector has no space left: not all that changed can be sent; free some space in its state");
}

static int
check_sweeps(struct replicator *r, const struct barrier *b)
{
	const struct sweep *sw;

	TAILQ_FOREACH(sw, &r->sweeps, link) {
		if (!sw->since || sw->since > b->upto)
			continue;
		if (sw->failed_at > b->asked_at && r->status.disk_full && sw->attempts >= TRIES)
			return our_disk_is_full();
		if (sw->failed_at > b->asked_at && (sw->held || sw->attempts >= TRIES))
			return err_set(ERR_INCOMPLETE, "%s cannot be compared: %s", *sw->dir ? sw->dir : "the tree", sw->text);
		return 1;
	}
	return 0;
}

static void
check(struct replicator *r, struct barrier *b)
{
	int err;

	if (b->cancelled) {
		end_barrier(r, b, err_set(ERR_STOPPED, "stopped"));
		return;
	}
	if (b->state == BARRIER_COOKIE && now_ms(r) >= b->again_ms) {
		if (b->bakes >= COOKIES_FULL_DISK && r->status.disk_full) { /* the watcher cannot write down that it saw one */
			end_barrier(r, b, our_disk_is_full());
			return;
		}
		bake(r, b);
	}
	if (b->state == BARRIER_DRAIN && r->drained) {
		b->state = BARRIER_SETTLE;
		b->upto = r->cursor ? r->cursor : 1; /* a flag row counts as 1 */
		b->asked_at = r->failures;
		feed_retry_now(r);
		sweep_retry_now(r);
	}
	if (b->state != BARRIER_SETTLE || b->baking || r->phase != PHASE_RUN)
		return;
	b->text[0] = b->stale ? b->text[0] : '\0';
	err = check_held(r, b);
	if (!err)
		err = PLANTED(barrier_past_open_rescans) ? 0 : check_sweeps(r, b);
	if (!err && !PLANTED(barrier_past_unsent_names))
		err = check_works(r, b);
	if (!err && r->rows_left_behind)
		err = err_set(ERR_INCOMPLETE, "more files could not be sent than can be remembered, such as %s", b->text);
	if (err <= 0)
		end_barrier(r, b, err);
}

void
barrier_pump(struct replicator *r)
{
	struct barrier *b, *next;

	for (b = TAILQ_FIRST(&r->barriers); b; b = next) {
		next = TAILQ_NEXT(b, link);
		check(r, b);
	}
}

int
replicator_barrier(struct replicator *r, replicator_done *done, void *arg, uint64_t *ret_id)
{
	struct promise *owed = promise_new(done, arg);
	struct barrier *b = owed ? calloc(1, sizeof *b) : NULL;

	if (!b) {
		free(owed);
		return err_set(ERR_NOMEM, "out of memory: try again");
	}
	b->id = *ret_id = ++r->next_id;
	b->owed = owed;
	TAILQ_INSERT_TAIL(&r->barriers, b, link);
	pump_wake(r);
	return 0;
}

void
replicator_cancel(struct replicator *r, uint64_t id)
{
	struct barrier *b;

	TAILQ_FOREACH(b, &r->barriers, link)
		if (b->id == id)
			b->cancelled = true;
	pump_wake(r);
}

void
replicator_watched(struct replicator *r)
{
	struct barrier *b;

	TAILQ_FOREACH(b, &r->barriers, link)
		b->again_ms = 0;
	pump_wake(r);
}

void
barrier_fini(struct replicator *r)
{
	struct barrier *b;

	while ((b = TAILQ_FIRST(&r->barriers))) {
		TAILQ_REMOVE(&r->barriers, b, link);
		free(b->owed);
		free(b);
	}
}
