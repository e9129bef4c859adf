/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * walk - the nodes of an index in path order (keeper/manifest.h), a few at a time, so that no read transaction lasts.
 *
 * Threads: one at a time.
 */
#ifndef KEEPER_WALK_H
#define KEEPER_WALK_H

#include "server/index.h"

struct walk;

struct walk_node {
	char *path;
	struct index_node node;
};

/* All below `dir` ("" = everything).  `ix` is borrowed until free. */
int walk_new(struct index *ix, const char *dir, struct walk **ret_walk);
/* 0 and a node, valid until the next call; 1 at the end. */
int walk_next(struct walk *w, const struct walk_node **ret_node);
/* The directory that was just given is not entered. */
void walk_skip(struct walk *w);
void walk_free(struct walk *w); /* NULL is fine */

#endif
