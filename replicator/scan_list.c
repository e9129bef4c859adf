/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scan_list - what lies in a directory, name by name: several hands answer what is plain, and what they leave is asked here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/planted.h"
#include "replicator/look.h"
#include "replicator/origin.h"
#include "replicator/scan_own.h"

#define RACY_NS (10 * 60 * 1000000000ll) /* a file younger than this may still be written to */
#define DRIFT_NS (60 * 1000000000ll)     /* a change this old should have been reported by the watcher */

void
scan_count_drift(struct scan *s, int64_t changed_ns)
{
	if (s->how == SCAN_SLOW && changed_ns < s->clock_ns() - DRIFT_NS)
		s->drift++;
}

static void
count_compared(struct scan *s)
{
	s->compared++;
	s->budget -= s->budget > 0;
}

static void
meet_row(struct scan_level *l, const struct treemap_weight *weight)
{
	l->met.count++;
	l->met.hash = hash128_add(l->met.hash, weight->hash);
}

static int
known_of(struct scan *s, const char *path, struct entry *ret_known, struct blockmap_stat *ret_stat)
{
	struct treemap_weight weight;
	struct blockmap_view view;
	int err = blockmap_view_begin(s->map, &view);

	if (err)
		return err;
	err = blockmap_view_get(&view, path, ret_known, ret_stat, &weight);
	blockmap_view_end(&view);
	if (err == 0 && scan_top(s))
		meet_row(scan_top(s), &weight);
	return err;
}

bool
scan_differs(struct scan *s, const char *path, const struct stat *st, bool *ret_was_dir)
{
	struct entry known = {0};
	struct blockmap_stat known_stat = {0};
	bool marked = false, equal;
	int err = known_of(s, path, &known, &known_stat);

	*ret_was_dir = err == 0 && known.kind == ENTRY_DIR;
	if (err < 0)
		scan_note_error(s, err, false);
	equal = err == 0 && look_unchanged(st, &known, &known_stat);
	if (equal && S_ISREG(st->st_mode) && !look_travels_whole(s->origin, path, known.size) &&
	    blockmap_in_flight(s->map, path, &marked) == 0)
		equal = !marked;
	entry_fini(&known);
	count_compared(s);
	return !equal;
}

/* What is still written into a file, its directory's times would not tell: after a gap it is looked at once more. */
static void
mind_age(struct scan_level *l, int64_t ctime_ns)
{
	if (ctime_ns > l->batch->read_ns - RACY_NS && !PLANTED(young_stamp_recorded))
		l->dir->stamp_ns = 0;
}

/* *Takes* the path. */
static void
compare_file(struct scan *s, char *path, const struct stat *st)
{
	struct scan_level *l = scan_top(s);
	int64_t ctime_ns = look_stat(st).ctime_ns;
	bool was_dir;

	mind_age(l, ctime_ns);
	if (!scan_differs(s, path, st, &was_dir)) {
		free(path);
		return;
	}
	scan_count_drift(s, ctime_ns);
	if (was_dir) /* first what lay below it, and in the end itself: the look then finds the file */
		scan_push_gone(s, path);
	else {
		scan_give(s, path, l->dir);
		return;
	}
	free(path);
}

/* One name that the hands left to us.  *Takes* the path. */
static void
meet(struct scan *s, char *path, const char *spelt)
{
	struct scan_level *l = scan_top(s);
	struct stat st;

	if (fstatat(dirfd(l->stream), spelt, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			scan_note_error(s, err_sys("stat of %s", path), false);
		else
			scan_give_copy(s, path, l->dir);
	} else if (S_ISDIR(st.st_mode) && origin_enters(s->origin, path)) {
		scan_enter(s, path);
	} else if (!S_ISDIR(st.st_mode) && origin_owns(s->origin, path, false)) {
		compare_file(s, path, &st);
		return;
	}
	free(path);
}

static void
take_name(struct scan *s)
{
	struct scan_level *l = scan_top(s);
	struct scan_name n = l->batch->names[l->batch->next++];

	(void)scan_seen_add(&l->seen, s->key, n.path); /* a list that is not whole costs a look for each name */
	if (n.verdict == SCAN_UNTOLD) {
		meet(s, n.path, scan_name_spelt(&n)); /* may push, and so move the levels */
		free(n.spelt);
		return;
	}
	count_compared(s);
	mind_age(l, n.ctime_ns);
	if (n.known)
		meet_row(l, &n.weight);
	if (n.verdict == SCAN_SAME) {
		free(n.path);
	} else {
		scan_count_drift(s, n.ctime_ns);
		scan_give(s, n.path, l->dir);
	}
	free(n.spelt);
}

static void
read_names(struct scan *s)
{
	struct scan_level *l = scan_top(s);
	int err = 0;

	if (!l->batch && !(l->batch = calloc(1, sizeof *l->batch)))
		err = err_set(ERR_NOMEM, "no memory for a scan");
	if (!err) {
		l->batch->read_ns = s->clock_ns();
		err = scan_batch_read(l->batch, l->stream, s->origin, l->dir->path);
		scan_batch_compare(l->batch, dirfd(l->stream), s->origin, s->map, s->hands);
	}
	l->ended = err != 0;
	if (err < 0) {
		scan_note_error(s, err, false);
		l->half = true;
		l->dir->stamp_ns = 0;
	}
}

/* The sum of the rows that were met is that of all rows there are: then none is missing, and no row need be read to see it. */
static bool
met_every_row(struct scan *s, const struct scan_level *l)
{
	struct treemap_sum all;

	return blockmap_sum(s->map, l->dir->path, &all) == 0 && all.count == l->met.count && hash128_equal(all.hash, l->met.hash);
}

static void
end_listing(struct scan *s)
{
	struct scan_level *l = scan_top(s);

	if (l->half) { /* half a listing proves no absence */
		scan_pop(s);
		return;
	}
	closedir(l->stream);
	l->stream = NULL;
	scan_batch_free(l->batch);
	l->batch = NULL;
	l->phase = SCAN_MISSING;
	l->last_page = met_every_row(s, l);
}

void
scan_step_list(struct scan *s)
{
	const struct scan_level *l = scan_top(s);

	if (l->batch && l->batch->next < l->batch->n)
		take_name(s);
	else if (l->ended)
		end_listing(s);
	else
		read_names(s);
}
