/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan - the walk: a stack of levels, one open directory each, no recursion.
 *
 * A level passes through phases: LIST meets what lies there, MISSING asks the map what should have been met; SUBDIRS replaces
 * both where the stamp tells that no name came or went; GONE empties a directory that vanished.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "livetree.h"
#include "replicator/look.h"
#include "replicator/origin.h"
#include "replicator/scan_own.h"
#include "replicator/scan_stray.h"

#define PAGE 128                        /* rows of the map taken at once */
#define SETTLED_NS 2000000000           /* a stamp younger than this may still cover a later change */

/* The ctime, which moves with every mtime and also when the directory itself was moved away and back. */
static int64_t
stamp_of(const struct stat *st)
{
	return (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

void
scan_dir_free(struct scan_dir *d)
{
	if (d)
		free(d->path);
	free(d);
}

void
scan_note_error(struct scan *s, int err, bool held)
{
	/* What was not seen in a directory is found by listing it again, which nobody would do whose stamp says that it was compared. */
	for (size_t i = 0; i < s->depth; i++)
		s->levels[i].dir->stamp_ns = 0;
	if (s->err)
		return;
	s->err = err;
	s->held = held;
	snprintf(s->text, sizeof s->text, "%s", err_text());
}

void
scan_out_of_memory(struct scan *s)
{
	scan_note_error(s, err_set(ERR_NOMEM, "no memory for a scan"), false);
}

/* *Takes* the path. */
void
scan_give(struct scan *s, char *path, struct scan_dir *dir)
{
	if (dir)
		dir->found++;
	s->found[s->n_found++] = (struct scan_found){path, dir};
}

void
scan_give_copy(struct scan *s, const char *path, struct scan_dir *dir)
{
	char *copy = strdup(path);

	if (copy)
		scan_give(s, copy, dir);
	else
		scan_out_of_memory(s);
}

static bool
has_room(const struct scan *s)
{
	return s->budget && s->n_found + 2 < SCAN_FOUND; /* one step gives two names at most */
}

/* ---- the stack ---- */

static struct scan_level *
push(struct scan *s, const char *path, enum scan_phase phase)
{
	struct scan_level *l;
	struct scan_dir *d;

	if (s->depth == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 8;
		struct scan_level *grown = realloc(s->levels, cap * sizeof *grown);

		if (!grown)
			return NULL;
		s->levels = grown;
		s->cap = cap;
	}
	d = calloc(1, sizeof *d);
	if (!d || !(d->path = strdup(path))) {
		free(d);
		return NULL;
	}
	assert(s->levels);
	l = &s->levels[s->depth++];
	*l = (struct scan_level){.phase = phase, .dir = d};
	return l;
}

struct scan_level *
scan_top(struct scan *s)
{
	return s->depth ? &s->levels[s->depth - 1] : NULL;
}

static void
fini_level(struct scan_level *l)
{
	if (l->stream)
		closedir(l->stream);
	scan_batch_free(l->batch);
	scan_seen_fini(&l->seen);
	while (l->next_row < l->n_rows)
		free(l->rows[l->next_row++].path);
	free(l->rows);
	free(l->after);
}

void
scan_pop(struct scan *s)
{
	struct scan_level *l = scan_top(s);

	fini_level(l);
	TAILQ_INSERT_TAIL(&s->closed, l->dir, link);
	s->depth--;
}

/* ---- what vanished ---- */

static bool
believes_absence(struct scan *s, const char *path)
{
	int err = origin_believes_absence(s->origin, path);

	if (err < 0)
		scan_note_error(s, err, true);
	return err == 0;
}

void
scan_push_gone(struct scan *s, const char *path)
{
	if (!push(s, path, SCAN_GONE))
		scan_out_of_memory(s);
}

static void
remember_gone(struct scan *s, const char *path)
{
	int err = scan_gone_add(&s->gone, path);

	if (err < 0)
		scan_note_error(s, err, false);
}

/* ---- rows of the map, a page at a time ---- */

struct page {
	struct scan *scan;
	struct scan_level *level;
	size_t visited;
	bool failed;
};

/* Which rows a phase wants: MISSING those that were not met, SUBDIRS the directories, GONE all. */
static bool
wants_row(struct page *p, const char *path, bool is_dir)
{
	if (p->level->phase == SCAN_MISSING && !scan_seen_lacks(&p->level->seen, p->scan->key, path))
		return false;
	if (!origin_owns(p->scan->origin, path, is_dir) && !(is_dir && origin_enters(p->scan->origin, path)))
		return false;
	switch (p->level->phase) {
	case SCAN_SUBDIRS:
		return is_dir;
	default:
		return true;
	}
}

static int
visit_row(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg)
{
	struct page *p = arg;
	struct scan_level *l = p->level;
	bool is_dir = entry->kind == ENTRY_DIR, stop;

	(void)stat;
	p->visited++;
	if (wants_row(p, path, is_dir)) {
		if (!(l->rows[l->n_rows].path = strdup(path))) {
			p->failed = true;
			return 1;
		}
		l->rows[l->n_rows++].is_dir = is_dir;
	}
	stop = l->n_rows == PAGE || p->visited >= p->scan->budget;
	if (stop) {
		free(l->after);
		l->after = strdup(relpath_name(path));
		p->failed = !l->after;
	}
	return stop;
}

static void
read_page(struct scan *s)
{
	struct scan_level *l = scan_top(s);
	struct page p = {.scan = s, .level = l};
	int err = 0;

	if (!l->rows && !(l->rows = malloc(PAGE * sizeof *l->rows)))
		p.failed = true;
	l->n_rows = l->next_row = 0;
	if (!p.failed)
		err = blockmap_children(s->map, l->dir->path, l->after, visit_row, &p);
	if (err < 0)
		scan_note_error(s, err, false);
	if (p.failed)
		scan_out_of_memory(s);
	l->last_page = err <= 0 || p.failed;
	s->budget -= p.visited < s->budget ? p.visited : s->budget;
}

/* True for a directory whose names may be believed unchanged since its last complete scan. */
static bool
may_skip(struct scan *s, const char *path, const struct stat *st)
{
	int64_t recorded = 0;

	return s->how == SCAN_STAMPS && s->origin->tree && layout_watch(s->origin->type, path) == LAYOUT_WATCH_BLOB &&
	    blockmap_dir_get(s->map, path, &recorded) == 0 && recorded && recorded == stamp_of(st);
}

static void
list(struct scan *s, int fd, const char *path, const struct stat *st)
{
	struct scan_level *l = push(s, path, SCAN_LIST);
	bool blob = s->origin->tree && layout_watch(s->origin->type, path) == LAYOUT_WATCH_BLOB;

	if (!l || !(l->stream = fdopendir(fd))) {
		close(fd);
		if (l)
			scan_pop(s);
		scan_out_of_memory(s);
		return;
	}
	l->stamp_ns = stamp_of(st);
	if (blob && (l->stamp_ns < s->clock_ns() - SETTLED_NS || PLANTED(young_stamp_recorded)))
		l->dir->stamp_ns = l->stamp_ns;
}

static void
skip(struct scan *s, int fd, const char *path)
{
	bool leaf = fsio_has_no_subdirs(fd);

	close(fd);
	s->budget -= s->budget > 0;
	if (!leaf && !push(s, path, SCAN_SUBDIRS))
		scan_out_of_memory(s);
}

static void
enter_absent(struct scan *s, const char *path)
{
	struct entry known = {0};
	struct blockmap_stat known_stat;
	int err;

	if (!believes_absence(s, path))
		return;
	if (!*path) {
		scan_note_error(s, err_set(ERR_GONE, "the root is gone"), true);
		return;
	}
	if ((err = blockmap_get(s->map, path, &known, &known_stat)) < 0)
		scan_note_error(s, err, false);
	else if (err == 0 && known.kind != ENTRY_DIR)
		scan_give_copy(s, path, NULL);
	else
		scan_push_gone(s, path);
	entry_fini(&known);
}

/* Opens a directory that is there, or was: pushes the level that suits. */
void
scan_enter(struct scan *s, const char *path)
{
	struct scan_level *above = scan_top(s);
	struct scan_dir *above_dir = above ? above->dir : NULL;
	int fd = origin_open_dir(s->origin, path);
	struct stat st;
	bool was_dir;

	if (fd == -ERR_GONE || fd == -ERR_UNSAFE) {
		enter_absent(s, path);
		return;
	}
	if (fd < 0 || fstat(fd, &st) < 0) {
		scan_note_error(s, err_prefix(fd < 0 ? fd : err_sys("stat"), "directory %s", *path ? path : "(root)"), false);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (origin_owns(s->origin, path, true) && scan_differs(s, path, &st, &was_dir))
		scan_give_copy(s, path, above_dir);
	if (may_skip(s, path, &st))
		skip(s, fd, path);
	else
		list(s, fd, path, &st);
}

/* ---- one step of each phase ---- */

static void
confirm_missing(struct scan *s, struct scan_dir *dir, const struct scan_row *row, int64_t dir_mtime_ns)
{
	struct stat st;
	int err = origin_stat(s->origin, row->path, &st);

	if (err == 0)
		return; /* it is there after all: met under another slice's eyes */
	if (err != -ERR_GONE && err != -ERR_UNSAFE) { /* nobody knows, and the next scan must not take the directory for compared */
		scan_note_error(s, err_prefix(err, "%s", row->path), false);
		return;
	}
	if (!believes_absence(s, row->path))
		return;
	scan_count_drift(s, dir_mtime_ns);
	if (row->is_dir)
		scan_push_gone(s, row->path);
	else
		scan_give_copy(s, row->path, dir);
}

static void
take_row(struct scan *s, const struct scan_row *row)
{
	struct scan_level *l = scan_top(s);

	if (l->phase == SCAN_MISSING)
		confirm_missing(s, l->dir, row, l->stamp_ns);
	else if (l->phase == SCAN_SUBDIRS)
		scan_enter(s, row->path);
	else if (row->is_dir)
		scan_push_gone(s, row->path);
	else
		scan_give_copy(s, row->path, NULL);
}

/* One row of the map, in the way of the level's phase. */
static void
step_row(struct scan *s)
{
	struct scan_level *l = scan_top(s);

	if (l->next_row < l->n_rows) {
		struct scan_row row = l->rows[l->next_row++];

		take_row(s, &row); /* may push, and so move the levels */
		free(row.path);
	} else if (!l->last_page) {
		read_page(s);
	} else {
		if (l->phase == SCAN_GONE && origin_owns(s->origin, l->dir->path, true))
			remember_gone(s, l->dir->path);
		scan_pop(s);
	}
}

/* A directory of the map that no level meets; false when there are none left. */
static bool
enter_stray(struct scan *s)
{
	char *dir;
	int err = s->strays_known ? 0 : scan_strays(s->map, s->origin, s->start, &s->strays);

	s->strays_known = true;
	if (err < 0)
		scan_note_error(s, err, false);
	if (!scan_gone_take(&s->strays, &dir, 1))
		return false;
	if (believes_absence(s, dir))
		scan_push_gone(s, dir);
	free(dir);
	return true;
}

static void
step(struct scan *s)
{
	if (scan_top(s)->phase == SCAN_LIST)
		scan_step_list(s);
	else
		step_row(s);
}

void
scan_slice(struct scan *s)
{
	s->budget = SCAN_SLICE;
	if (!s->entered)
		scan_enter(s, s->start);
	s->entered = true;
	while (has_room(s) && (s->depth || enter_stray(s)))
		if (s->depth)
			step(s);
	s->done = !s->depth && s->strays_known && !s->strays.n;
}

struct scan *
scan_new(const struct origin *origin, struct blockmap *map, const struct block_key *key, const char *dir, enum scan_how how)
{
	struct scan *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->origin = origin;
	s->map = map;
	s->key = key;
	s->how = how;
	s->hands = 1;
	s->clock_ns = clock_wall_ns;
	TAILQ_INIT(&s->closed);
	if (!(s->start = strdup(dir))) {
		scan_free(s);
		return NULL;
	}
	return s;
}

void
scan_free(struct scan *s)
{
	struct scan_dir *d;

	while (s->depth) {
		fini_level(scan_top(s));
		scan_dir_free(scan_top(s)->dir);
		s->depth--;
	}
	while ((d = TAILQ_FIRST(&s->closed))) {
		TAILQ_REMOVE(&s->closed, d, link);
		scan_dir_free(d);
	}
	for (size_t i = 0; i < s->n_found; i++)
		free(s->found[i].path);
	scan_gone_fini(&s->gone);
	scan_gone_fini(&s->strays);
	free(s->start);
	free(s->levels);
	free(s);
}
