/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walk - the batch size, and where a walk stands between two transactions. */
#include "keeper/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"

#define BATCH 256

/* A directory on the way down. */
struct level {
	struct level *up;
	char *dir;
	struct walk_node *nodes;
	size_t n, pos;
	bool last;          /* no batch after this one */
};

struct walk {
	struct index *ix;
	struct level *level;
	bool enter;         /* the node just given is a directory to go into */
};

static void
nodes_fini(struct level *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->nodes[i].path);
		entry_fini(&l->nodes[i].node.entry);
	}
	l->n = l->pos = 0;
}

static int
collect(const char *path, const struct index_node *node, void *arg)
{
	struct level *l = arg;
	struct walk_node *at = &l->nodes[l->n];

	if (l->n == BATCH)
		return 1;
	*at = (struct walk_node){.path = strdup(path), .node = *node};
	if (node->entry.target)
		at->node.entry.target = strdup(node->entry.target);
	if (!at->path || (node->entry.target && !at->node.entry.target)) {
		free(at->path);
		free(at->node.entry.target);
		return err_set(ERR_NOMEM, "out of memory for a walk");
	}
	l->n++;
	return 0;
}

/* The next batch of the level; `after` is a copy because the nodes it points into go away. */
static int
level_fill(struct walk *w, struct level *l)
{
	char *after = l->n ? strdup(relpath_name(l->nodes[l->n - 1].path)) : NULL;
	int err;

	if (l->n && !after)
		return err_set(ERR_NOMEM, "out of memory for a walk");
	nodes_fini(l);
	err = index_children(w->ix, l->dir, after, collect, l);
	free(after);
	l->last = err == 0;
	return err < 0 ? err : 0;
}

static int
level_push(struct walk *w, const char *dir)
{
	struct level *l = calloc(1, sizeof *l);

	if (l) {
		l->dir = strdup(dir);
		l->nodes = calloc(BATCH, sizeof *l->nodes);
	}
	if (!l || !l->dir || !l->nodes) {
		if (l) {
			free(l->dir);
			free(l->nodes);
		}
		free(l);
		return err_set(ERR_NOMEM, "out of memory for a walk");
	}
	l->up = w->level;
	w->level = l;
	return level_fill(w, l);
}

static void
level_pop(struct walk *w)
{
	struct level *l = w->level;

	w->level = l->up;
	nodes_fini(l);
	free(l->nodes);
	free(l->dir);
	free(l);
}

int
walk_new(struct index *ix, const char *dir, struct walk **ret_walk)
{
	struct walk *w = calloc(1, sizeof *w);
	int err;

	if (!w)
		return err_set(ERR_NOMEM, "out of memory for a walk");
	w->ix = ix;
	err = level_push(w, dir);
	if (err) {
		walk_free(w);
		return err;
	}
	*ret_walk = w;
	return 0;
}

int
walk_next(struct walk *w, const struct walk_node **ret_node)
{
	struct level *l = w->level;
	int err = 0;

	if (w->enter) {
		w->enter = false;
		err = level_push(w, l->nodes[l->pos - 1].path);
	}
	while (!err && (l = w->level) != NULL && l->pos == l->n) {
		if (l->last)
			level_pop(w);
		else
			err = level_fill(w, l);
	}
	if (err)
		return err;
	if (!l)
		return 1;
	*ret_node = &l->nodes[l->pos++];
	w->enter = (*ret_node)->node.entry.kind == ENTRY_DIR;
	return 0;
}

void
walk_skip(struct walk *w)
{
	w->enter = false;
}

void
walk_free(struct walk *w)
{
	if (!w)
		return;
	while (w->level)
		level_pop(w);
	free(w);
}
