/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scan_gone - the order in which vanished directories go. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "replicator/scan_gone.h"

static int
grow(struct scan_gone *g)
{
	size_t cap = g->cap ? g->cap * 2 : 16;
	char **grown;

	if (cap > SCAN_GONE_MAX)
		return err_set(ERR_LIMIT, "too many directories vanished at once");
	if (!(grown = realloc(g->paths, cap * sizeof *grown)))
		return err_set(ERR_NOMEM, "no memory for a scan");
	g->paths = grown;
	g->cap = cap;
	return 0;
}

int
scan_gone_add(struct scan_gone *g, const char *path)
{
	int err = g->n == g->cap ? grow(g) : 0;

	if (err)
		return err;
	if (!(g->paths[g->n] = strdup(path)))
		return err_set(ERR_NOMEM, "no memory for a scan");
	g->n++;
	return 0;
}

static size_t
depth_of(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

size_t
scan_gone_take(struct scan_gone *g, char **out, size_t max)
{
	size_t deepest = 0, n = 0, kept = 0;

	for (size_t i = 0; i < g->n; i++)
		if (depth_of(g->paths[i]) > deepest)
			deepest = depth_of(g->paths[i]);
	for (size_t i = 0; i < g->n; i++) {
		if (n < max && depth_of(g->paths[i]) == deepest)
			out[n++] = g->paths[i];
		else
			g->paths[kept++] = g->paths[i];
	}
	g->n = kept;
	return n;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void
scan_gone_sort(struct scan_gone *g)
{
	if (g->n)
		qsort(g->paths, g->n, sizeof *g->paths, by_bytes);
}

struct head {
	const char *path;
	size_t len;
};

/* A path that begins with the head and goes on is greater than it. */
static int
by_head(const void *key, const void *element)
{
	const struct head *h = key;
	const char *path = *(char *const *)element;
	int order = strncmp(h->path, path, h->len);

	return order ? order : path[h->len] ? -1 : 0;
}

bool
scan_gone_above(const struct scan_gone *g, const char *path)
{
	struct head h = {.path = path};

	if (!g->n)
		return false;
	do {
		h.len += strcspn(path + h.len, "/");
		if (bsearch(&h, g->paths, g->n, sizeof *g->paths, by_head))
			return true;
	} while (path[h.len++]);
	return false;
}

void
scan_gone_fini(struct scan_gone *g)
{
	while (g->n)
		free(g->paths[--g->n]);
	free(g->paths);
	*g = (struct scan_gone){0};
}
