/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watchmap - two hash tables over one array; a post office has fewer than 300 directories, so a rename may walk them all. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
#include "watcher/watchmap.h"

struct row {
	int watch; /* -1 = free */
	bool dead;
	char *dir;
};

struct watchmap {
	struct row *rows; /* open addressing by watch number */
	size_t size, used; /* size: a power of two; used: rows ever filled since the last rebuild */
	size_t living;
};

static size_t
slot_of(const struct watchmap *m, int watch)
{
	size_t at = ((uint32_t)watch * 2654435769u) & (m->size - 1);

	while (m->rows[at].dir && m->rows[at].watch != watch)
		at = (at + 1) & (m->size - 1);
	return at;
}

static int
resize(struct watchmap *m, size_t size)
{
	struct watchmap bigger = {.size = size, .living = m->living};

	assert(size);
	bigger.rows = calloc(size, sizeof(struct row));
	if (!bigger.rows)
		return err_set(ERR_NOMEM, "remembering watches");
	for (size_t i = 0; i < m->size; i++)
		if (m->rows[i].dir && m->rows[i].watch >= 0) {
			bigger.rows[slot_of(&bigger, m->rows[i].watch)] = m->rows[i];
			bigger.used++;
		} else {
			free(m->rows[i].dir);
		}
	free(m->rows);
	*m = bigger;
	return 0;
}

/* At most half of the rows are filled: a search always meets a free one. */
static int
make_room(struct watchmap *m)
{
	size_t kept = 0;

	if ((m->used + 1) * 2 <= m->size)
		return 0;
	for (size_t i = 0; i < m->size; i++)
		kept += m->rows[i].dir && m->rows[i].watch >= 0;
	return resize(m, kept * 4 > m->size ? m->size * 2 : m->size);
}

int
watchmap_new(struct watchmap **ret_map)
{
	struct watchmap *m = calloc(1, sizeof *m);
	int err = m ? resize(m, 1024) : err_set(ERR_NOMEM, "remembering watches");

	if (err) {
		free(m);
		return err;
	}
	*ret_map = m;
	return 0;
}

void
watchmap_free(struct watchmap *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->size; i++)
		free(m->rows[i].dir);
	free(m->rows);
	free(m);
}

int
watchmap_put(struct watchmap *m, int watch, const char *dir)
{
	char *copy;
	size_t at;
	int err = make_room(m);

	if (err)
		return err;
	copy = strdup(dir);
	if (!copy)
		return err_set(ERR_NOMEM, "remembering watches");
	at = slot_of(m, watch);
	if (!m->rows[at].dir)
		m->used++;
	if (!m->rows[at].dir || m->rows[at].dead)
		m->living++;
	free(m->rows[at].dir);
	m->rows[at] = (struct row){.watch = watch, .dir = copy};
	return 0;
}

const char *
watchmap_dir(const struct watchmap *m, int watch, bool *ret_dead)
{
	const struct row *row = watch < 0 ? NULL : &m->rows[slot_of(m, watch)];

	if (!row || !row->dir)
		return NULL;
	*ret_dead = row->dead;
	return row->dir;
}

bool
watchmap_has(const struct watchmap *m, const char *dir)
{
	for (size_t i = 0; i < m->size; i++)
		if (m->rows[i].dir && m->rows[i].watch >= 0 && !m->rows[i].dead && strcmp(m->rows[i].dir, dir) == 0)
			return true;
	return false;
}

void
watchmap_forget(struct watchmap *m, int watch)
{
	struct row *row = watch < 0 ? NULL : &m->rows[slot_of(m, watch)];

	if (!row || !row->dir)
		return;
	m->living -= !row->dead;
	/* The row stays filled so that a chain of collisions is not cut; the next rebuild drops it. */
	row->watch = -1;
	row->dead = true;
}

void
watchmap_forget_dead(struct watchmap *m)
{
	for (size_t i = 0; i < m->size; i++)
		if (m->rows[i].dir && m->rows[i].dead)
			m->rows[i].watch = -1;
}

void
watchmap_kill(struct watchmap *m, const char *dir, void (*removed)(int watch, void *arg), void *arg)
{
	for (size_t i = 0; i < m->size; i++) {
		struct row *row = &m->rows[i];

		if (!row->dir || row->watch < 0 || row->dead || !relpath_within(row->dir, dir))
			continue;
		row->dead = true;
		m->living--;
		removed(row->watch, arg);
	}
}

size_t
watchmap_count(const struct watchmap *m)
{
	return m->living;
}
