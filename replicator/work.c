/* SPDX-License-Identifier: GPL-2.0-or-later */
/* work - the same path never has two transfers in flight: the one place that sees to it. */
#include <stdlib.h>
#include <string.h>

#include "replicator/work.h"

#define BUCKETS 4096u

struct worktable {
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
	w->known = w->again = w->patched = false;
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
	free(w->hints);
	free(w->path);
	free(w);
}

struct worktable *
worktable_new(void)
{
	return calloc(1, sizeof(struct worktable));
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
static struct work **
bucket(struct worktable *t, const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 16777619u;
	return &t->buckets[h % BUCKETS];
}

bool
worktable_enter(struct worktable *t, struct work *w)
{
	struct work **at = bucket(t, w->path);

	for (struct work *a = *at; a; a = a->same_bucket)
		if (strcmp(a->path, w->path) == 0) {
			TAILQ_INSERT_TAIL(&a->behind, w, link);
			return false;
		}
	w->same_bucket = *at;
	*at = w;
	t->n++;
	return true;
}

void
worktable_leave(struct worktable *t, struct work *w, struct work_list *ret_behind)
{
	struct work **at = bucket(t, w->path);

	while (*at && *at != w)
		at = &(*at)->same_bucket;
	if (*at) {
		*at = w->same_bucket;
		t->n--;
	}
	TAILQ_INIT(ret_behind);
	TAILQ_CONCAT(ret_behind, &w->behind, link);
}
