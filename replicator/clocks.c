/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clocks - knows which scans nobody has to ask for: of the index areas every few minutes, of everything now and then.  They are rows
 * of the journal like those of the watcher.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "journal/journal.h"
#include "layout.h"
#include "replicator/own.h"

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

	a->err = journal_append(e->r->setup.journal, a->changes, a->n);
	if (a->err < 0)
		log_error("clocks.append", "%s", err_text());
}

static void
on_asked(struct errand *e, bool cancelled)
{
	struct asking *a = (struct asking *)e;

	if (!cancelled)
		wrote_down(e->r, NULL, a->err);
	if (a->slow && !cancelled)
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

	if (!a)
		return;
	a->slow = true;
	ask_dir(a, "");
	errand_start(r, r->setup.lane_journal, &a->errand);
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
	if (r->setup.rescan_ms && now >= r->rescan_due_ms) {
		if (r->rescan_due_ms)
			ask_all(r);
		r->rescan_due_ms = now + r->setup.rescan_ms;
	}
}
