/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backlog - how much waits, for status: rows and their age are the journal's; their bytes are those of the files that the oldest rows
 * name, looked at a few at a time and taken for all.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "journal/journal.h"
#include "replicator/own.h"

#define SAMPLE 256 /* rows looked at each time: a millisecond */

struct asking {
	struct errand errand;
	struct journal_lag lag;
	struct change *rows;
	size_t n_rows;
	uint64_t bytes;
	size_t scans;  /* of the sample */
	bool unknown;  /* one of them may find anything; not one that only polls the indexes */
	int err;
};

static void
end(struct asking *a)
{
	a->errand.r->lag_busy = false;
	journal_changes_free(a->rows, a->n_rows);
	free(a);
}

/* ---- the files of the sample, on the lane that reads the tree ---- */

static void
meet_scan(struct asking *a, const char *dir)
{
	a->scans++;
	a->unknown |= !*dir || layout_watch(a->errand.r->live.type, dir) == LAYOUT_WATCH_BLOB;
}

static void
run_sizes(struct errand *e)
{
	struct asking *a = (struct asking *)e;
	struct origin_near near = {0};

	for (size_t i = 0; i < a->n_rows; i++) {
		struct stat st;

		if (change_is_scan(a->rows[i].kind))
			meet_scan(a, a->rows[i].path);
		else if (a->rows[i].kind != CHANGE_COOKIE && origin_near_stat(&near, &e->r->live, a->rows[i].path, &st) == 0 && S_ISREG(st.st_mode))
			a->bytes += (uint64_t)st.st_size;
	}
	origin_near_forget(&near);
}

static void
take(struct replicator_status *s, const struct asking *a)
{
	size_t files = a->n_rows - a->scans;
	uint64_t rest = a->lag.rows > a->n_rows ? a->lag.rows - a->n_rows : 0;

	s->pending_changes = a->lag.rows;
	s->rescans_open = a->lag.rescans;
	s->oldest_pending_ns = a->lag.oldest_ns;
	s->troubled = a->lag.troubled;
	s->bytes_unknown = a->unknown && !a->bytes;
	s->pending_bytes = a->bytes + (files ? a->bytes / files * rest : 0);
}

static void
on_sizes(struct errand *e, bool cancelled)
{
	struct asking *a = (struct asking *)e;

	if (!cancelled)
		take(&e->r->status, a);
	end(a);
}

/* ---- the rows ---- */

static void
run_rows(struct errand *e)
{
	struct asking *a = (struct asking *)e;

	a->err = journal_lag(e->r->setup.journal, &a->lag);
	if (!a->err && a->lag.rows)
		a->err = journal_peek(e->r->setup.journal, SAMPLE, &a->rows, &a->n_rows);
}

static void
on_rows(struct errand *e, bool cancelled)
{
	struct asking *a = (struct asking *)e;
	struct replicator *r = e->r;

	/* The quiet before a HELLO needs empty lanes, and must not wait for figures. */
	if (cancelled || a->err || r->stopping || r->phase == PHASE_QUIET) {
		end(a);
	} else if (!a->n_rows) {
		take(&r->status, a);
		end(a);
	} else {
		a->errand.run = run_sizes;
		a->errand.done = on_sizes;
		errand_start(r, r->setup.lane_hash, &a->errand);
	}
}

void
backlog_ask(struct replicator *r)
{
	struct asking *a;

	if (r->lag_busy || r->phase == PHASE_QUIET || !(a = calloc(1, sizeof *a)))
		return;
	r->lag_busy = true;
	a->errand.run = run_rows;
	a->errand.done = on_rows;
	errand_start(r, r->setup.lane_journal, &a->errand);
}
