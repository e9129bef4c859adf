/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scan_batch - stat first, then one view of the map for a piece of names: a slow disk keeps no transaction open. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crew.h"
#include "base/err.h"
#include "base/relpath.h"
#include "journal/blockmap.h"
#include "layout.h"
#include "replicator/look.h"
#include "replicator/origin.h"
#include "replicator/scan_batch.h"

#define PIECE 64 /* names: some 100 microseconds of work, beside which a thread's making is little */

/* ---- reading the listing ---- */

static int
make_room(struct scan_batch *b)
{
	size_t cap = b->cap ? b->cap * 2 : 64;
	struct scan_name *grown;

	if (b->n < b->cap)
		return 0;
	if (!(grown = realloc(b->names, cap * sizeof *grown)))
		return err_set(ERR_NOMEM, "no memory for a scan");
	b->names = grown;
	b->cap = cap;
	return 0;
}

/* A fixed directory's name in the set may differ from that on disk; below one there are names as they are. */
static int
add_name(struct scan_batch *b, const struct origin *origin, const char *dir, bool fixed, const struct dirent *e)
{
	const char *name = e->d_name;
	int err = make_room(b);
	struct scan_name n = {.path = err ? NULL : relpath_join(dir, name)};

	if (n.path && fixed)
		layout_canonical(origin->type, n.path);
	if (n.path && strcmp(relpath_name(n.path), name) != 0 && !(n.spelt = strdup(name))) {
		free(n.path);
		n.path = NULL;
	}
	if (!n.path)
		return err_set(ERR_NOMEM, "no memory for a scan");
	b->names[b->n++] = n;
	return 0;
}

/* 0; 1 at the listing's end, 2 at a directory. */
static int
read_names(struct scan_batch *b, DIR *listing, const struct origin *origin, const char *dir)
{
	bool fixed = layout_fixed_len(origin->type, dir) == strlen(dir);

	while (b->n < SCAN_BATCH) {
		const struct dirent *e;
		int err;

		errno = 0;
		if (!(e = readdir(listing)))
			return errno ? err_sys("listing %s", dir) : 1;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((err = add_name(b, origin, dir, fixed, e)) < 0)
			return err;
		if (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN)
			return 2;
	}
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct scan_name *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int
scan_batch_read(struct scan_batch *b, DIR *listing, const struct origin *origin, const char *dir)
{
	int err;

	b->n = b->next = 0;
	err = read_names(b, listing, origin, dir);
	if (b->n)
		qsort(b->names, b->n - (err == 2), sizeof *b->names, by_name);
	return err == 2 ? 0 : err;
}

const char *
scan_name_spelt(const struct scan_name *name)
{
	return name->spelt ? name->spelt : relpath_name(name->path);
}

void
scan_batch_free(struct scan_batch *b)
{
	if (!b)
		return;
	for (size_t i = b->next; i < b->n; i++) {
		free(b->names[i].path);
		free(b->names[i].spelt);
	}
	free(b->names);
	free(b);
}

/* ---- comparing ---- */

struct comparison {
	struct scan_batch *batch;
	int dirfd;
	const struct origin *origin;
	struct blockmap *map;
};

static void
judge(const struct comparison *c, struct blockmap_view *view, struct scan_name *n, const struct stat *st)
{
	struct entry known = {0};
	struct blockmap_stat known_stat = {0};
	int err = blockmap_view_get(view, n->path, &known, &known_stat, &n->weight);

	n->known = err == 0;
	n->ctime_ns = look_stat(st).ctime_ns;
	if (err < 0 || known.kind == ENTRY_DIR)
		n->verdict = SCAN_UNTOLD;
	else if (err == 1 || !look_unchanged(st, &known, &known_stat))
		n->verdict = SCAN_DIFFERS;
	else if (!S_ISREG(st->st_mode) || look_travels_whole(c->origin, n->path, known.size))
		n->verdict = SCAN_SAME; /* else it may be in flight */
	entry_fini(&known);
}

/* What the hands may judge at all. */
static bool
is_plain(const struct comparison *c, const struct scan_name *n, struct stat *ret_st)
{
	return fstatat(c->dirfd, scan_name_spelt(n), ret_st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(ret_st->st_mode) &&
	    origin_owns(c->origin, n->path, false);
}

static int
compare_piece(void *arg, unsigned hand, size_t piece)
{
	const struct comparison *c = arg;
	struct scan_name *names = c->batch->names + piece * PIECE;
	size_t n = c->batch->n - piece * PIECE;
	struct stat st[PIECE];
	bool plain[PIECE];
	struct blockmap_view view;

	(void)hand;
	n = n < PIECE ? n : PIECE;
	for (size_t i = 0; i < n; i++)
		plain[i] = is_plain(c, &names[i], &st[i]);
	if (blockmap_view_begin(c->map, &view) < 0)
		return 0; /* the scan comes upon the same error, and tells it */
	for (size_t i = 0; i < n; i++)
		if (plain[i])
			judge(c, &view, &names[i], &st[i]);
	blockmap_view_end(&view);
	return 0;
}

void
scan_batch_compare(struct scan_batch *b, int dirfd, const struct origin *origin, struct blockmap *map, unsigned hands)
{
	struct comparison c = {b, dirfd, origin, map};

	(void)crew_each(hands, (b->n + PIECE - 1) / PIECE, compare_piece, &c);
}
