/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hashset - open addressing in a table that is at most half full; zero is an empty slot. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "server/hashset.h"

static size_t
slot_of(const struct hashset *s, uint64_t h)
{
	size_t at = h & (s->cap - 1);

	while (s->v[at] && s->v[at] != h)
		at = (at + 1) & (s->cap - 1);
	return at;
}

bool
hashset_has(const struct hashset *s, uint64_t h)
{
	return s->n && s->v[slot_of(s, h ? h : 1)];
}

static int
hashset_grow(struct hashset *s)
{
	struct hashset bigger = {.cap = s->cap ? 2 * s->cap : 64};

	bigger.v = calloc(bigger.cap, sizeof *bigger.v);
	if (!bigger.v)
		return err_set(ERR_NOMEM, "planning a batch");
	for (size_t i = 0; i < s->cap; i++)
		if (s->v[i])
			bigger.v[slot_of(&bigger, s->v[i])] = s->v[i];
	bigger.n = s->n;
	free(s->v);
	*s = bigger;
	return 0;
}

int
hashset_add(struct hashset *s, uint64_t h)
{
	if (2 * (s->n + 1) > s->cap) {
		int err = hashset_grow(s);

		if (err)
			return err;
	}
	h = h ? h : 1;
	size_t at = slot_of(s, h);
	s->n += !s->v[at];
	s->v[at] = h;
	return 0;
}

void
hashset_clear(struct hashset *s)
{
	if (s->n)
		memset(s->v, 0, s->cap * sizeof *s->v);
	s->n = 0;
}

void
hashset_fini(struct hashset *s)
{
	free(s->v);
	*s = (struct hashset){0};
}
