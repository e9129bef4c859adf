/* SPDX-License-Identifier: GPL-2.0-or-later */
/* work - the same path never has two transfers in flight, nor two works for its rows: the one place that sees to it. */
#include <stdlib.h>
#include <string.h>

#include "replicator/work.h"

#define BUCKETS 4096u

struct worktable {
	enum worktable_of which;
	struct work *buckets[BUCKETS];
	size_t n;
};

struct work *
work_new(const char *path, const struct origin *origin)
{
	struct work *w = calloc(1, sizeof *w);

	if (!w || !(w->path = strdup(path))) {
		free(w);
		return NULL;
	}
	w->origin = origin;
	TAILQ_INIT(&w->behind);
	return w;
}

void
work_forget(struct work *w)
{
	entry_fini(&w->entry);
	free(w->data);
	w->data = NULL;
	w->entry = (struct entry){0};
	w->stat = (struct blockmap_stat){0};
	w->verdict = WORK_UNSEEN;
	w->known = w->absent = w->again = w->patched = false;
	w->err = 0;
	w->text[0] = '\0';
}

void
work_free(struct work *w)
{
	struct work *b;

	if (!w)
		return;
	while ((b = TAILQ_FIRST(&w->behind))) {
		TAILQ_REMOVE(&w->behind, b, link);
		work_free(b);
	}
	work_forget(w);
	rows_fini(&w->looked);
	rows_fini(&w->later);
	free(w->hints);
	free(w->path);
	free(w);
}

/* ---- rows ---- */

bool
work_add_row(struct work *w, uint64_t seq, uint64_t cookie)
{
	if (rows_have(&w->looked, seq) || rows_have(&w->later, seq))
		return true;
	if (!rows_add(&w->later, seq, cookie))
		return false;
	w->row = true;
	if (!w->since || seq < w->since)
		w->since = seq;
	return true;
}

void
work_begin_look(struct work *w, uint64_t cookie)
{
	size_t n = 0;

	w->asked_for = w->outdated = false;
	while (n < w->later.n && rows_add(&w->looked, w->later.v[n], cookie))
		n++;
	for (size_t i = n; i < w->later.n; i++) /* out of memory: looked at once more than needed */
		w->later.v[i - n] = w->later.v[i];
	w->later.n -= n;
}

bool
work_rows_gone(struct work *w)
{
	w->looked.n = 0;
	if (!w->later.n)
		return false;
	w->since = w->later.v[0];
	w->attempts = 0;
	return true;
}

/* ---- tables ---- */

struct worktable *
worktable_new(enum worktable_of which)
{
	struct worktable *t = calloc(1, sizeof *t);

	if (t)
		t->which = which;
	return t;
}

void
worktable_free(struct worktable *t)
{
	free(t);
}

size_t
worktable_count(const struct worktable *t)
{
	return t->n;
}

/* FNV-1a: the table is small and holds our own few thousand paths, so a keyed hash would buy nothing. */
static size_t
bucket(const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 16777619u;
	return h % BUCKETS;
}

struct work *
worktable_find(const struct worktable *t, const char *path)
{
	struct work *w = t->buckets[bucket(path)];

	while (w && strcmp(w->path, path) != 0)
		w = w->same_bucket[t->which];
	return w;
}

void
worktable_add(struct worktable *t, struct work *w)
{
	struct work **at = &t->buckets[bucket(w->path)];

	w->same_bucket[t->which] = *at;
	*at = w;
	t->n++;
}

void
worktable_remove(struct worktable *t, struct work *w)
{
	struct work **at = &t->buckets[bucket(w->path)];

	while (*at && *at != w)
		at = &(*at)->same_bucket[t->which];
	if (*at) {
		*at = w->same_bucket[t->which];
		t->n--;
	}
}

bool
worktable_enter(struct worktable *t, struct work *w)
{
	struct work *active = worktable_find(t, w->path);

	if (active)
		TAILQ_INSERT_TAIL(&active->behind, w, link);
	else
		worktable_add(t, w);
	return !active;
}

void
worktable_leave(struct worktable *t, struct work *w, struct work_list *ret_behind)
{
	worktable_remove(t, w);
	TAILQ_INIT(ret_behind);
	TAILQ_CONCAT(ret_behind, &w->behind, link);
}
