/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * feed - how journal rows come into memory, once each: a cursor goes forward, and what failed waits in a heap by time.
 *
 * The journal is the only buffer allowed to be long: rows are read only while the queue is short.  A path has one work however
 * many rows name it: a new row finds the work that is queued, under way or waiting for its next try, and changes nothing about
 * when that is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "journal/journal.h"
#include "replicator/own.h"

#define READ_MAX 512
#define DEFERRED_MAX 16384u
#define DELAY_FIRST_MS 1000
#define DELAY_MAX_MS 300000

/* ---- what is tried again later ---- */

/* Whoever makes room on our disk does not tell us: while it is full the next try is never far. */
int64_t
feed_delay_ms(const struct replicator *r, uint32_t attempts)
{
	int64_t most = r->status.disk_full ? HELD_RETRY_MS : DELAY_MAX_MS;

	return attempts < 9 && (DELAY_FIRST_MS << attempts) < most ? DELAY_FIRST_MS << attempts : most;
}

static void
swap(struct work **a, struct work **b)
{
	struct work *t = *a;

	*a = *b;
	*b = t;
}

static void
sift_up(struct work **heap, size_t i)
{
	for (; i && heap[i]->due_ms < heap[(i - 1) / 2]->due_ms; i = (i - 1) / 2)
		swap(&heap[i], &heap[(i - 1) / 2]);
}

static void
sift_down(struct work **heap, size_t n, size_t i)
{
	for (;;) {
		size_t least = i;

		for (size_t child = 2 * i + 1; child < n && child <= 2 * i + 2; child++)
			if (heap[child]->due_ms < heap[least]->due_ms)
				least = child;
		if (least == i)
			return;
		swap(&heap[i], &heap[least]);
		i = least;
	}
}

static bool
grow_heap(struct replicator *r)
{
	size_t cap = r->deferred_cap ? r->deferred_cap * 2 : 64;
	struct work **grown = cap <= DEFERRED_MAX ? realloc(r->deferred, cap * sizeof *grown) : NULL;

	if (!grown)
		return false;
	r->deferred = grown;
	r->deferred_cap = cap;
	return true;
}

void
feed_defer(struct replicator *r, struct work *w, int64_t delay_ms)
{
	w->due_ms = now_ms(r) + delay_ms;
	if (r->n_deferred == r->deferred_cap && !grow_heap(r)) {
		/* Its row stays in the journal; the cursor comes by again when there is room. */
		r->rows_left_behind = true;
		if (!w->row)
			flow_add(r, w);
		else if (!w->noting) /* else when that is over */
			flow_end(r, w);
		return;
	}
	w->deferred = true;
	r->deferred[r->n_deferred] = w;
	sift_up(r->deferred, r->n_deferred++);
}

void
feed_retry_now(struct replicator *r)
{
	struct work *w;

	TAILQ_FOREACH(w, &r->works, all)
		w->asked_for = w->active || w->noting;
	/* All alike: still a heap. */
	for (size_t i = 0; i < r->n_deferred; i++)
		r->deferred[i]->due_ms = now_ms(r);
	pump_wake(r);
}

static void
wake_due(struct replicator *r)
{
	while (r->n_deferred && r->deferred[0]->due_ms <= now_ms(r) && !r->deferred[0]->noting) {
		struct work *w = r->deferred[0];

		r->deferred[0] = r->deferred[--r->n_deferred];
		sift_down(r->deferred, r->n_deferred, 0);
		w->deferred = false;
		flow_add(r, w);
	}
	if (r->rows_left_behind && !r->reading && r->n_works < DEFERRED_MAX / 2) {
		r->rows_left_behind = false;
		r->cursor = 0;
		r->news = true;
		barrier_read_again(r);
	}
}

/* ---- reading ---- */

struct reading {
	struct errand errand;
	uint64_t after;
	struct change *changes;
	size_t n;
	int err;
	char text[160];
};

static void
run_reading(struct errand *e)
{
	struct reading *rd = (struct reading *)e;

	rd->err = journal_read(e->r->setup.journal, rd->after, READ_MAX, &rd->changes, &rd->n);
	if (rd->err < 0)
		snprintf(rd->text, sizeof rd->text, "%s", err_text());
}

/* One that has not begun answers for whoever asks again.  Else a poll that comes faster than its scans end, on a slow disk, would queue
 * scans of the same names without end, and barriers behind them. */
static bool
answers_too(const struct sweep *sw, const struct change *c, enum scan_how how)
{
	if (!sw->row || sw->begun || journal_is_flag(sw->rows.v[0]) != journal_is_flag(c->seq))
		return false;
	return journal_is_flag(c->seq) || (sw->how == how && strcmp(sw->dir, c->path) == 0);
}

static bool
answer_too(struct replicator *r, struct sweep *sw, const struct change *c)
{
	if (journal_is_flag(c->seq)) { /* our disk is still full: no reason to try again sooner */
		sw->rows.v[0] = c->seq; /* the newest raising answers all before */
		return true;
	}
	if (!sw->held)
		sw->due_ms = 0; /* there is news, and what failed may go now */
	return rows_add(&sw->rows, c->seq, r->cookie_seq);
}

static bool
is_known(const struct replicator *r, uint64_t seq)
{
	const struct sweep *sw;

	TAILQ_FOREACH(sw, &r->sweeps, link)
		if (rows_have(&sw->rows, seq))
			return true;
	return false;
}

static bool
take_rescan(struct replicator *r, const struct change *c)
{
	enum scan_how how = c->seq == r->slow_seq ? SCAN_SLOW : c->kind == CHANGE_BLIND ? SCAN_FILES : SCAN_STAMPS;
	struct rows rows = {0};
	struct sweep *sw;

	if (is_known(r, c->seq))
		return true;
	TAILQ_FOREACH(sw, &r->sweeps, link)
		if (answers_too(sw, c, how))
			return answer_too(r, sw, c);
	if (!rows_add(&rows, c->seq, r->cookie_seq))
		return false;
	if (!(sw = sweep_new(r, c->path))) {
		rows_fini(&rows);
		return false;
	}
	sw->row = true;
	sw->rows = rows;
	sw->since = journal_is_flag(c->seq) ? 1 : c->seq;
	sw->how = how;
	return true;
}

static bool
take_touched(struct replicator *r, const struct change *c)
{
	struct work *w = worktable_find(r->rows, c->path);

	if (w) {
		w->deleted |= c->kind == CHANGE_DELETED;
		return work_add_row(w, c->seq, r->cookie_seq);
	}
	if (!(w = flow_new(r, c->path, &r->live)))
		return false;
	if (!work_add_row(w, c->seq, r->cookie_seq)) {
		flow_end(r, w);
		return false;
	}
	w->deleted = c->kind == CHANGE_DELETED;
	w->seen_ns = c->seen_ns;
	worktable_add(r->rows, w);
	flow_add(r, w);
	return true;
}

struct cookie_note {
	struct note note;
	struct replicator *r;
	uint64_t seq;
};

/* A row that stays would count as a change that waits, for as long as this process lives. */
static void
on_cookie_acked(struct note *n, int err)
{
	struct cookie_note *cn = n->owner;

	if (err < 0 && err != -ERR_STOPPED && rows_add(&cn->r->cookies, cn->seq, UINT64_MAX))
		cn->r->cookies_due_ms = now_ms(cn->r) + HELD_RETRY_MS;
	free(cn);
}

static bool
ack_cookie(struct replicator *r, uint64_t seq)
{
	struct cookie_note *cn = calloc(1, sizeof *cn);

	if (!cn)
		return false;
	cn->r = r;
	cn->seq = seq;
	cn->note = (struct note){.owner = cn, .done = on_cookie_acked, .acks = &cn->seq, .n_acks = 1, .patient = true};
	settle_add(r->settle, &cn->note);
	return true;
}

static void
ack_cookies_again(struct replicator *r)
{
	if (r->phase != PHASE_RUN || r->stopping || now_ms(r) < r->cookies_due_ms)
		return;
	while (r->cookies.n && ack_cookie(r, r->cookies.v[r->cookies.n - 1]))
		r->cookies.n--;
}

static bool
take_cookie(struct replicator *r, const struct change *c)
{
	if (!ack_cookie(r, c->seq))
		return false;
	if (c->seq > r->cookie_seq)
		r->cookie_seq = c->seq;
	barrier_cookie(r, c->path);
	return true;
}

static bool
take(struct replicator *r, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_RESCAN:
	case CHANGE_BLIND:
		return take_rescan(r, c);
	case CHANGE_COOKIE:
		return take_cookie(r, c);
	default:
		return take_touched(r, c);
	}
}

static void
on_read(struct errand *e, bool cancelled)
{
	struct reading *rd = (struct reading *)e;
	struct replicator *r = e->r;
	size_t i = 0;

	r->reading = false;
	if (rd->err < 0)
		log_error("feed.read", "code=%s %s", err_name(rd->err), rd->text);
	if (cancelled || rd->err < 0)
		rd->n = 0;
	for (; i < rd->n && take(r, &rd->changes[i]); i++)
		if (rd->changes[i].seq > r->cursor && !journal_is_flag(rd->changes[i].seq))
			r->cursor = rd->changes[i].seq;
	if (i < rd->n && journal_is_flag(rd->changes[i].seq))
		r->cursor = 0; /* the journal shows it once, but to who begins anew */
	/* A short page is the end of the journal: everything up to the cursor is in memory. */
	r->drained = rd->err == 0 && rd->n < READ_MAX && i == rd->n && !cancelled;
	r->news |= rd->n == READ_MAX;
	journal_changes_free(rd->changes, rd->n);
	free(rd);
	pump_wake(r);
}

/* Scans that failed wait for their time, and may do so for ever: they do not count against those whose turn comes. */
static bool
sweeps_have_room(const struct replicator *r)
{
	const struct sweep *sw;
	size_t n = 0;

	if (r->n_sweeps < SWEEPS_MAX || r->n_sweeps >= SWEEPS_FAILED_MAX)
		return r->n_sweeps < SWEEPS_MAX;
	TAILQ_FOREACH(sw, &r->sweeps, link)
		n += !sw->attempts;
	return n < SWEEPS_MAX;
}

void
feed_pump(struct replicator *r)
{
	struct reading *rd;

	wake_due(r);
	ack_cookies_again(r);
	if (!r->news || r->reading || r->stopping || r->phase != PHASE_RUN || !flow_has_room(r) || !sweeps_have_room(r))
		return;
	if (!(rd = calloc(1, sizeof *rd)))
		return;
	r->news = false;
	r->reading = true;
	rd->after = r->cursor;
	rd->errand.run = run_reading;
	rd->errand.done = on_read;
	errand_start(r, r->setup.lane_journal, &rd->errand);
}

void
feed_fini(struct replicator *r)
{
	free(r->deferred);
	rows_fini(&r->cookies);
}
