/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clocks - knows which scans nobody has to ask for: of the index areas every few minutes, of everything now and then.  They are rows
 * of the journal like those of the watcher.
 *
 * When everything was last compared stands in the map: the days go on while no collector runs, and over each of its starts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "journal/blockmap.h"
#include "journal/journal.h"
#include "layout.h"
#include "replicator/own.h"

#define META_COMPARED "slow_scan" /* wall clock, nanoseconds */
#define ASK_AGAIN_MS 60000

struct asking {
	struct errand errand;
	struct change *changes;
	size_t n;
	bool slow;
	int err;
};

static void
run_asking(struct errand *e)
{
	struct asking *a = (struct asking *)e;

	a->err = a->n ? journal_append(e->r->setup.journal, a->changes, a->n) : err_set(ERR_NOMEM, "no memory for a scan");
	if (a->err < 0)
		log_error("clocks.append", "%s", err_text());
}

static void
on_asked(struct errand *e, bool cancelled)
{
	struct asking *a = (struct asking *)e;

	if (!cancelled)
		wrote_down(e->r, NULL, a->err);
	if (a->slow && a->err < 0)
		e->r->rescan_due_ms = now_ms(e->r) + ASK_AGAIN_MS;
	else if (a->slow && !cancelled)
		e->r->slow_seq = a->changes[0].seq;
	e->r->news = true;
	for (size_t i = 0; i < a->n; i++)
		change_fini(&a->changes[i]);
	free(a->changes);
	free(a);
}

static struct asking *
asking_new(size_t max)
{
	struct asking *a = calloc(1, sizeof *a);

	if (!a || !(a->changes = calloc(max, sizeof *a->changes))) {
		free(a);
		return NULL;
	}
	a->errand.run = run_asking;
	a->errand.done = on_asked;
	return a;
}

/* The fixed part of an area's directory: "gwdms/" + any + "/index" is asked for as "gwdms". */
static void
ask_dir(struct asking *a, const char *dir)
{
	const char *star = strchr(dir, '*');
	size_t len = star ? (size_t)(star - dir) - (star > dir) : strlen(dir);

	a->changes[a->n].path = strndup(dir, len);
	a->changes[a->n].kind = CHANGE_RESCAN;
	a->changes[a->n].seen_ns = clock_wall_ns();
	a->n += a->changes[a->n].path != NULL;
}

/* Mapped writes raise no event: the index areas are compared by stat. */
static void
ask_index(struct replicator *r)
{
	size_t n;
	const struct layout_row *rows = layout_rows(r->live.type, &n);
	struct asking *a = asking_new(n);

	if (!a)
		return;
	for (size_t i = 0; i < n; i++)
		if (rows[i].class == LAYOUT_INDEX)
			ask_dir(a, rows[i].dir);
	errand_start(r, r->setup.lane_journal, &a->errand);
}

static void
ask_all(struct replicator *r)
{
	struct asking *a = asking_new(1);

	r->rescan_due_ms = now_ms(r) + (a ? r->setup.rescan_ms : ASK_AGAIN_MS);
	if (!a)
		return;
	a->slow = true;
	ask_dir(a, "");
	errand_start(r, r->setup.lane_journal, &a->errand);
}

/* ---- when everything was last compared ---- */

static int
note_compared(struct blockmap *map)
{
	char now[32];

	snprintf(now, sizeof now, "%" PRId64, clock_wall_ns());
	return blockmap_meta_put(map, META_COMPARED, now);
}

/* A map that says nothing is new, and all that is there will be compared with it. */
int
clocks_begin(struct replicator *r)
{
	int64_t ago_ms = 0;
	char *last = NULL;
	int err = blockmap_meta_get(r->setup.map, META_COMPARED, &last);

	if (err == 1)
		err = note_compared(r->setup.map);
	else if (!err)
		ago_ms = (clock_wall_ns() - strtoll(last, NULL, 10)) / 1000000;
	free(last);
	if (ago_ms < 0) /* the clock was ahead */
		ago_ms = 0;
	r->rescan_due_ms = now_ms(r) + (ago_ms < r->setup.rescan_ms ? r->setup.rescan_ms - ago_ms : 0);
	return err == -ERR_NOSPACE ? 0 : err;
}

static void
run_compared(struct errand *e)
{
	if (note_compared(e->r->setup.map) < 0)
		log_warn("clocks.compared", "%s: the next slow scan may come too early", err_text());
}

static void
on_compared(struct errand *e, bool cancelled)
{
	(void)cancelled;
	free(e);
}

void
clocks_compared(struct replicator *r)
{
	struct errand *e = calloc(1, sizeof *e);

	if (!e)
		return; /* it comes too early once */
	e->run = run_compared;
	e->done = on_compared;
	errand_start(r, r->setup.lane_journal, e);
}

void
clocks_pump(struct replicator *r)
{
	int64_t now = now_ms(r);

	if (r->phase != PHASE_RUN || r->stopping)
		return;
	if (r->setup.index_poll_ms && now >= r->poll_due_ms) {
		if (r->poll_due_ms)
			ask_index(r);
		r->poll_due_ms = now + r->setup.index_poll_ms;
	}
	if (r->setup.rescan_ms && now >= r->rescan_due_ms)
		ask_all(r);
}
