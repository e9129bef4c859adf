/* SPDX-License-Identifier: GPL-2.0-or-later */
/* verify - what counts as a difference, and how a tree and a manifest are merged in one pass. */
#include "keeper/verify.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "keeper/copy.h"
#include "keeper/manifest.h"
#include "keeper/treelist.h"

#define BATCH 256u

struct verify {
	struct vault *vault;
	const struct set_row *set;
	struct task *task;
	enum verify_depth depth;
	struct copy *copy;
	int dir;
	uint64_t differences;
	uint64_t contents;     /* that came to their turn */
	struct set_row *sets;  /* all */
	size_t n_sets;
	bool *shares;          /* of each: it holds something that differs */
};

#define FINDING(v, path, ...) ((v)->differences++, task_finding((v)->task, path, __VA_ARGS__))

/* ---- who else holds it ---- */

static bool
may_share(const struct verify *v, size_t i)
{
	const struct set_row *s = &v->sets[i];

	return s->state == SET_SEALED && s->verified != SET_DIFFERS && s->number != v->set->number && !v->shares[i];
}

/* Sets share an unchanged file by a hard link under the same name. */
static void
find_links(struct verify *v, const char *path)
{
	struct stat ours, theirs;
	char *other;

	if (fsio_stat(v->dir, path, &ours) != 0)
		return;
	for (size_t i = 0; i < v->n_sets; i++) {
		if (!may_share(v, i) || asprintf(&other, "%s/%s", v->sets[i].name, path) < 0)
			continue;
		v->shares[i] = fsio_stat(v->vault->weeknow, other, &theirs) == 0 && theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
		free(other);
	}
}

static void
find_holders(struct verify *v, const struct blob_row *row)
{
	for (size_t i = 0; i < v->n_sets; i++)
		if (may_share(v, i) && v->sets[i].number >= row->first && v->sets[i].number <= row->last)
			v->shares[i] = true;
}

static int
mark_sharers(struct verify *v, struct verify_sharers *ret_sharers)
{
	struct verify_sharers found = {.sets = calloc(v->n_sets + 1, sizeof *found.sets)};
	int err = found.sets ? 0 : err_set(ERR_NOMEM, "marking the sets that share what differs");

	for (size_t i = 0; !err && i < v->n_sets; i++) {
		if (!v->shares[i])
			continue;
		v->sets[i].verified = SET_DIFFERS;
		err = catalogue_put_set(v->vault->catalogue, &v->sets[i]);
		if (err)
			break;
		found.sets[found.n++] = v->sets[i];
		v->sets[i].note = NULL; /* it went along */
	}
	if (err)
		catalogue_sets_free(found.sets, found.n);
	else
		*ret_sharers = found;
	return err;
}

/* ---- one file ---- */

static int
check_content(struct verify *v, const char *path, int fd, const struct entry *e, const uint8_t sha256[DIGEST_BYTES])
{
	struct copy_sums sums;
	int err = v->depth == VERIFY_NEW ? copy_scrub(v->copy, fd, &sums) : copy_pass(v->copy, fd, -1, &sums);

	/* A disk that cannot read is a difference of this file, not the end of the search. */
	if (err == -ERR_IO) {
		FINDING(v, path, "cannot be read: %s", err_text());
		return 0;
	}
	if (err)
		return err;
	if (sums.size != e->size)
		FINDING(v, path, "has %llu bytes instead of %llu", (unsigned long long)sums.size, (unsigned long long)e->size);
	else if (memcmp(sums.sha256, sha256, DIGEST_BYTES) != 0 && !PLANTED(verify_by_size))
		FINDING(v, path, "its content is not what was sealed");
	return 0;
}

static int
check_file(struct verify *v, const char *path, int dir, const char *place, const struct entry *e, const uint8_t sha256[DIGEST_BYTES])
{
	struct stat st;
	int err, fd = copy_open(dir, place);

	if (fd == -ERR_GONE || fd == -ERR_UNSAFE) {
		FINDING(v, path, fd == -ERR_GONE ? "is missing" : "is not a file any more");
		return 0;
	}
	/* Nor is a disk that does not even give its inode. */
	if (fd == -ERR_IO && !PLANTED(unreadable_inode_ends_all)) {
		FINDING(v, path, "cannot be read: %s", err_text());
		return 0;
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0) {
		err = err_sys("stat %s", place);
	} else if (!S_ISREG(st.st_mode)) {
		FINDING(v, path, "is not a file any more");
		err = 0;
	} else {
		err = check_content(v, path, fd, e, sha256);
	}
	close(fd);
	return err;
}

/* ---- the set's directory ---- */

static bool
is_on_disk(const struct manifest_row *row)
{
	return row->area || row->entry.kind == ENTRY_FILE || row->entry.kind == ENTRY_DIR;
}

static int
check_area(struct verify *v, const struct manifest_row *row, const struct treelist_name *name)
{
	char target[ENTRY_TARGET_MAX + 1];
	ssize_t n = S_ISLNK(name->st.st_mode) ? treelist_readlink(v->dir, row->path, target, sizeof target) : 0;

	if (n < 0)
		return (int)n;
	if (strcmp(row->entry.target, n ? target : "") != 0)
		FINDING(v, row->path, "is not the link to the blobs any more");
	return 0;
}

static int
check_both(struct verify *v, const struct manifest_row *row, const struct treelist_name *name)
{
	const struct entry *e = &row->entry;
	uint64_t before = v->differences;
	int err;

	if (row->area)
		return check_area(v, row, name);
	if (e->kind == ENTRY_DIR) {
		if (!S_ISDIR(name->st.st_mode))
			FINDING(v, row->path, "is not a directory any more");
		return 0;
	}
	if ((int64_t)name->st.st_mtim.tv_sec * 1000000000 + name->st.st_mtim.tv_nsec != e->mtime_ns)
		FINDING(v, row->path, "its time has changed");
	err = check_file(v, row->path, v->dir, row->path, e, row->sha256);
	if (v->differences != before)
		find_links(v, row->path);
	return err;
}

/* The next row that has something in the set's directory; NULL at the end. */
static int
next_on_disk(struct manifest_reader *manifest, const struct manifest_row **ret_row)
{
	int err;

	do
		err = manifest_next(manifest, ret_row);
	while (!err && !is_on_disk(*ret_row));
	if (err == 1)
		*ret_row = NULL;
	return err < 0 ? err : 0;
}

static int
merge_trees(struct verify *v, struct manifest_reader *manifest, struct treelist *tree)
{
	const struct manifest_row *row;
	const struct treelist_name *name;
	int err = next_on_disk(manifest, &row);

	if (!err)
		err = treelist_next(tree, &name);
	while (!err && (row || name)) {
		int order = !row ? 1 : !name ? -1 : manifest_compare(row->path, name->path);

		err = task_check(v->task);
		if (!err && order < 0)
			FINDING(v, row->path, "is missing");
		if (!err && order > 0) {
			FINDING(v, name->path, "does not belong to the set");
			treelist_skip(tree);
		}
		if (!err && order == 0)
			err = check_both(v, row, name);
		if (!err && order <= 0)
			err = next_on_disk(manifest, &row);
		if (!err && order >= 0)
			err = treelist_next(tree, &name);
	}
	return err;
}

/*
 * A scrub ends whenever there is an order, and may take days: what it has read it need not read again, up to the first that differs, which
 * must be told and counted once more.
 */
static int
scrub_file(struct verify *v, const char *path, int dir, const char *place, const struct entry *e, const uint8_t sha256[DIGEST_BYTES])
{
	int err;

	if (v->contents++ < v->vault->scrub.good && !PLANTED(scrub_begins_anew))
		return 0;
	err = check_file(v, path, dir, place, e, sha256);
	if (!err && !v->differences)
		v->vault->scrub.good = v->contents;
	return err;
}

static int
check_new(struct verify *v, struct manifest_reader *manifest)
{
	const struct manifest_row *row;
	int err;

	while ((err = manifest_next(manifest, &row)) == 0) {
		uint64_t before = v->differences;

		err = task_check(v->task);
		if (!err && row->fresh && row->entry.kind == ENTRY_FILE && !PLANTED(scrub_without_reading))
			err = scrub_file(v, row->path, v->dir, row->path, &row->entry, row->sha256);
		if (v->differences != before)
			find_links(v, row->path);
		if (err)
			break;
	}
	return err < 0 ? err : 0;
}

static int
check_tree(struct verify *v)
{
	struct manifest_reader *manifest;
	struct treelist *tree;
	int err = manifest_open(v->vault->manifests, v->set->name, v->set->manifest, &manifest);

	if (err == -ERR_CORRUPT || err == -ERR_GONE) {
		FINDING(v, v->set->name, "%s", err_text());
		return 0;
	}
	if (err)
		return err;
	if (v->depth == VERIFY_NEW) {
		err = check_new(v, manifest);
	} else {
		err = treelist_new(v->dir, &tree);
		if (!err) {
			err = merge_trees(v, manifest, tree);
			treelist_free(tree);
		}
	}
	manifest_close(manifest);
	return err;
}

/* ---- the blobs ---- */

static int
check_blob(struct verify *v, const struct blob_row *row)
{
	uint64_t before = v->differences;
	char *place;
	int err;

	if (row->entry.kind != ENTRY_FILE || (v->depth == VERIFY_NEW && row->first != v->set->number))
		return 0;
	place = index_place((enum layout_type)v->set->layout, row->path, row->version);
	if (!place)
		return err_set(ERR_NOMEM, "out of memory for a path");
	err = v->depth == VERIFY_NEW ? scrub_file(v, row->path, v->vault->dir, place, &row->entry, row->sha256) :
	                               check_file(v, row->path, v->vault->dir, place, &row->entry, row->sha256);
	free(place);
	if (v->differences != before)
		find_holders(v, row);
	return err;
}

static int
check_blobs(struct verify *v)
{
	struct blob_row *rows = NULL, *old = NULL;
	struct blob_sum sum = {0};
	size_t n = 0, n_old = 0;
	int err;

	do {
		err = catalogue_blobs(v->vault->catalogue, v->set->number, "", n_old ? &old[n_old - 1] : NULL, BATCH, &rows, &n);
		blob_rows_free(old, n_old);
		old = err ? NULL : rows;
		n_old = err ? 0 : n;
		for (size_t i = 0; !err && i < n; i++) {
			blob_sum_add(&sum, &rows[i]);
			err = task_check(v->task);
			if (!err)
				err = check_blob(v, &rows[i]);
		}
	} while (!err && n);
	blob_rows_free(old, n_old);
	if (!err && !blob_sum_equal(&sum, &v->set->blobs))
		FINDING(v, "catalogue", "the list of blobs is not what was sealed (%llu blobs instead of %llu)",
		    (unsigned long long)sum.count, (unsigned long long)v->set->blobs.count);
	return err;
}

/* ---- all of it ---- */

static int
look(struct verify *v)
{
	int err;

	v->dir = fsio_open_dir(v->vault->weeknow, v->set->name);
	if (v->dir == -ERR_GONE)
		FINDING(v, v->set->name, "the set's directory is missing");
	else if (v->dir < 0)
		return v->dir;
	err = copy_new(NULL, v->task, &v->copy);
	if (!err && v->dir >= 0)
		err = check_tree(v);
	if (!err)
		err = check_blobs(v);
	copy_free(v->copy);
	if (v->dir >= 0)
		close(v->dir);
	return err;
}

static int
write_down(struct verify *v, struct set_row *set, struct verify_sharers *ret_sharers)
{
	struct set_row changed = *set;
	int err;

	/* What once differed is not good again because the new part of it is. */
	if (v->differences)
		changed.verified = SET_DIFFERS;
	else if (v->depth == VERIFY_ALL || set->verified == SET_UNKNOWN)
		changed.verified = SET_GOOD;
	if (v->depth == VERIFY_NEW)
		changed.scrubbed_ns = clock_wall_ns();
	err = catalogue_put_set(v->vault->catalogue, &changed);
	if (!err)
		err = mark_sharers(v, ret_sharers);
	if (!err)
		*set = changed;
	return err;
}

int
verify_set(struct vault *vault, struct set_row *set, enum verify_depth depth, struct task *task, uint64_t *ret_differences,
    struct verify_sharers *ret_sharers)
{
	struct verify v = {.vault = vault, .set = set, .task = task, .depth = depth};
	int err = catalogue_sets(vault->catalogue, &v.sets, &v.n_sets);

	if (err)
		return err;
	v.shares = calloc(v.n_sets + 1, sizeof *v.shares);
	if (!v.shares)
		err = err_set(ERR_NOMEM, "verifying a set");
	if (depth == VERIFY_NEW && vault->scrub.set != set->number) {
		vault->scrub.set = set->number;
		vault->scrub.good = 0;
	}
	task_begin(task, depth == VERIFY_NEW ? "scrub" : "verify", depth == VERIFY_NEW ? set->new_bytes : set->bytes + set->blobs.bytes);
	if (!err)
		err = look(&v);
	if (!err)
		err = write_down(&v, set, ret_sharers);
	if (!err && depth == VERIFY_NEW)
		vault->scrub.set = 0;
	if (!err)
		*ret_differences = v.differences;
	free(v.shares);
	catalogue_sets_free(v.sets, v.n_sets);
	return err;
}
