/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rows - short lists: a path that is named a thousand times between two cookies has one row. */
#include <stdlib.h>

#include "replicator/rows.h"

#define KEPT 64 /* from here on a list leaves out what was replaced */

bool
rows_have(const struct rows *rows, uint64_t seq)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->v[i] == seq)
			return true;
	return false;
}

bool
rows_add(struct rows *rows, uint64_t seq, uint64_t cookie)
{
	if (rows->n >= KEPT && rows->v[rows->n - 1] > cookie) {
		rows->v[rows->n - 1] = seq;
		return true;
	}
	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? rows->cap * 2 : 1;
		uint64_t *grown = realloc(rows->v, cap * sizeof *grown);

		if (!grown)
			return false;
		rows->v = grown;
		rows->cap = cap;
	}
	rows->v[rows->n++] = seq;
	return true;
}

void
rows_fini(struct rows *rows)
{
	free(rows->v);
	*rows = (struct rows){0};
}
