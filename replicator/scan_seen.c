/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scan_seen - eight bytes a name; a collision hides one vanished name until the next scan, and its key is secret. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "replicator/scan_seen.h"

static uint64_t
hash_of(const struct block_key *key, const char *path)
{
	return block_hash(key, path, strlen(path)).lo;
}

static int
grow(struct scan_seen *s)
{
	size_t cap = s->cap ? s->cap * 2 : 64;
	uint64_t *grown = cap <= SCAN_SEEN_MAX ? realloc(s->hashes, cap * sizeof *grown) : NULL;

	if (!grown)
		return cap > SCAN_SEEN_MAX ? 1 : err_set(ERR_NOMEM, "no memory for names that were seen");
	s->hashes = grown;
	s->cap = cap;
	return 0;
}

int
scan_seen_add(struct scan_seen *s, const struct block_key *key, const char *path)
{
	int err = s->full ? 1 : s->n == s->cap ? grow(s) : 0;

	if (err)
		s->full = true;
	else
		s->hashes[s->n++] = hash_of(key, path);
	return err;
}

static int
by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

bool
scan_seen_lacks(struct scan_seen *s, const struct block_key *key, const char *path)
{
	uint64_t h = hash_of(key, path);

	if (s->full)
		return true;
	if (!s->sorted && s->n)
		qsort(s->hashes, s->n, sizeof *s->hashes, by_value);
	s->sorted = true;
	return !s->n || !bsearch(&h, s->hashes, s->n, sizeof *s->hashes, by_value);
}

void
scan_seen_fini(struct scan_seen *s)
{
	free(s->hashes);
	*s = (struct scan_seen){0};
}
