/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restore - in which order a tree is made so that no step needs a right that an earlier one took away: names and bytes
 * first, in directories that are ours alone, then owners and modes, the deepest directories first.
 */
#include "keeper/restore.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "keeper/catalogue_rows.h"
#include "keeper/manifest.h"
#include "keeper/restore_files.h"
#include "keeper/target.h"

#define BATCH 256u

/* A directory whose mode waits for the end. */
struct late_dir {
	char *path;
	uint32_t mode, uid, gid;
};

struct restore {
	struct vault *vault;
	const struct set_row *set;
	struct task *task;
	struct restore_files *files;
	char *const *paths;
	size_t n_paths;
	bool *found;              /* per wanted path; known once all is counted */
	int from;                 /* the set's directory */
	struct target target;
	bool root;
	uint64_t bytes, names;    /* of what is wanted */
	struct blob_sum blobs;    /* of all rows that were read */
	struct late_dir *dirs;
	size_t n_dirs, cap_dirs;
};

/* ---- what is wanted ---- */

static bool
is_wanted(struct restore *r, const char *path)
{
	bool wanted = r->n_paths == 0;

	for (size_t i = 0; i < r->n_paths; i++)
		if (relpath_within(path, r->paths[i]))
			wanted = r->found[i] = true;
	return wanted;
}

/* A directory on the way to something that is wanted and there: it is made with its mode, its other content is not. */
static bool
is_on_the_way(const struct restore *r, const char *path)
{
	for (size_t i = 0; i < r->n_paths; i++)
		if (r->found[i] && relpath_within(r->paths[i], path))
			return true;
	return false;
}

static bool
takes_dir(struct restore *r, const char *path)
{
	return is_wanted(r, path) || is_on_the_way(r, path);
}

/* ---- both sources, row by row ---- */

typedef int manifest_visit(struct restore *r, const struct manifest_row *row);
typedef int blob_visit(struct restore *r, const struct blob_row *row);

/* Nothing is made by guess of a set that does not say what it is; but people can read it. */
static int
without_manifest(const struct restore *r, int err)
{
	if (err_is_want(err))
		return err;
	return err_set((enum err)-err, "%s; nothing was restored: what the set has but for shared blobs are plain files in backups/weeknow/%s below the profile's folder of the store, and can be copied by hand",
	    err_text(), r->set->name);
}

static int
each_manifest_row(struct restore *r, manifest_visit *visit)
{
	struct manifest_reader *manifest;
	const struct manifest_row *row;
	int err = manifest_open(r->vault->manifests, r->set->name, r->set->manifest, &manifest);

	if (err)
		return without_manifest(r, err);
	while (!err && (err = manifest_next(manifest, &row)) == 0) {
		err = task_check(r->task);
		if (!err)
			err = visit(r, row);
	}
	manifest_close(manifest);
	return err < 0 ? err : 0;
}

static int
each_blob_under(struct restore *r, const char *under, blob_visit *visit)
{
	struct blob_row *rows = NULL, *old = NULL;
	size_t n = 0, n_old = 0;
	int err;

	do {
		err = catalogue_blobs(r->vault->catalogue, r->set->number, under, n_old ? &old[n_old - 1] : NULL, BATCH, &rows, &n);
		blob_rows_free(old, n_old);
		old = err ? NULL : rows;
		n_old = err ? 0 : n;
		for (size_t i = 0; !err && i < n; i++) {
			err = task_check(r->task);
			if (!err)
				err = visit(r, &rows[i]);
		}
	} while (!err && n);
	blob_rows_free(old, n_old);
	return err;
}

/* The row of a directory on the way to a wanted path: it lies outside the range of what is below that path. */
static int
visit_way(struct restore *r, const char *path, size_t len, blob_visit *visit)
{
	char *dir = strndup(path, len);
	struct blob_row row = {0};
	int err = dir ? catalogue_blob(r->vault->catalogue, r->set->number, dir, &row) : err_set(ERR_NOMEM, "out of memory for a path");

	if (!err)
		err = visit(r, &row);
	blob_row_fini(&row);
	free(dir);
	return err < 0 ? err : 0;
}

/* One wanted path is found without reading the whole list: the usual case is one mail's file. */
static int
each_blob(struct restore *r, blob_visit *visit)
{
	const char *path = r->n_paths == 1 ? r->paths[0] : "";
	int err = 0;

	for (size_t i = 0; !err && path[i]; i++)
		if (path[i] == '/')
			err = visit_way(r, path, i, visit);
	return err ? err : each_blob_under(r, path, visit);
}

/* ---- how much ---- */

static int
count_row(struct restore *r, const struct manifest_row *row)
{
	/* An area's content is in the catalogue, and so is its directory. */
	if (!row->area && is_wanted(r, row->path)) {
		r->names++;
		r->bytes += row->entry.kind == ENTRY_FILE ? row->entry.size : 0;
	}
	return 0;
}

static int
count_blob(struct restore *r, const struct blob_row *row)
{
	blob_sum_add(&r->blobs, row);
	if (is_wanted(r, row->path)) {
		r->names++;
		r->bytes += row->entry.kind == ENTRY_FILE ? row->entry.size : 0;
	}
	return 0;
}

static int
check_space(struct restore *r)
{
	uint64_t free_bytes, total, inodes;
	int err = each_manifest_row(r, count_row);

	if (!err)
		err = each_blob(r, count_blob);
	if (!err)
		err = fsio_space(r->target.fd, &free_bytes, &total, &inodes);
	if (err)
		return err;
	if (r->bytes > free_bytes || r->names > inodes)
		return err_set(ERR_NOSPACE, "%llu bytes in %llu names do not fit into %llu bytes and %llu inodes",
		    (unsigned long long)r->bytes, (unsigned long long)r->names, (unsigned long long)free_bytes,
		    (unsigned long long)inodes);
	return 0;
}

/* ---- making ---- */

static int
make_dir(struct restore *r, const char *path, const struct entry *e)
{
	int fd = fsio_make_dirs(r->target.fd, path, false);

	if (fd < 0)
		return fd;
	close(fd);
	if (r->n_dirs == r->cap_dirs) {
		size_t cap = r->cap_dirs ? 2 * r->cap_dirs : 64;
		struct late_dir *grown = realloc(r->dirs, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "out of memory for directories");
		r->dirs = grown;
		r->cap_dirs = cap;
	}
	r->dirs[r->n_dirs] = (struct late_dir){strdup(path), e->mode, e->uid, e->gid};
	if (!r->dirs[r->n_dirs].path)
		return err_set(ERR_NOMEM, "out of memory for directories");
	r->n_dirs++;
	return 0;
}

/* A link or a fifo: made, given its owner and time without being followed or opened. */
static int
make_special(struct restore *r, const char *path, const struct entry *e)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, clock_timespec(e->mtime_ns)};
	int err = 0, parent = restore_open_parent(r->target.fd, path);
	const char *name = relpath_name(path);

	if (parent < 0)
		return parent;
	if (e->kind == ENTRY_SYMLINK ? symlinkat(e->target, parent, name) != 0 : mkfifoat(parent, name, 0600) != 0)
		err = err_sys("make %s", path);
	if (!err && r->root && fchownat(parent, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) != 0)
		err = err_sys("owner of %s", path);
	/* The fifo was made a moment ago in a directory that is ours alone: there is no link to follow. */
	if (!err && e->kind == ENTRY_FIFO && fchmodat(parent, name, restore_mode(r->root, e->mode), 0) != 0)
		err = err_sys("mode of %s", path);
	if (!err && utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) != 0)
		err = err_sys("time of %s", path);
	close(parent);
	return err;
}

/* Everything but files. */
static int
make_other(struct restore *r, const char *path, const struct entry *e)
{
	switch (e->kind) {
	case ENTRY_DIR:
		return make_dir(r, path, e);
	case ENTRY_SYMLINK:
	case ENTRY_FIFO:
		return make_special(r, path, e);
	case ENTRY_SOCKET:
		task_finding(r->task, path, "is a socket, which its program makes anew; not restored");
		return 0;
	default:
		task_finding(r->task, path, "is a device, and devices are not restored");
		return 0;
	}
}

static int
make_row(struct restore *r, const struct manifest_row *row)
{
	const struct entry *e = &row->entry;
	bool dir = e->kind == ENTRY_DIR && !row->area;

	if (row->area || !(dir ? takes_dir(r, row->path) : is_wanted(r, row->path)))
		return 0;
	if (e->kind == ENTRY_FILE)
		return restore_files_add(r->files, row->path, r->from, row->path, e, row->sha256);
	return make_other(r, row->path, e);
}

static int
make_blob(struct restore *r, const struct blob_row *row)
{
	const struct entry *e = &row->entry;
	char *place;
	int err;

	if (!(e->kind == ENTRY_DIR ? takes_dir(r, row->path) : is_wanted(r, row->path)))
		return 0;
	if (e->kind != ENTRY_FILE)
		return make_other(r, row->path, e);
	place = index_place((enum layout_type)r->set->layout, row->path, row->version);
	if (!place)
		return err_set(ERR_NOMEM, "out of memory for a path");
	err = restore_files_add(r->files, row->path, r->vault->dir, place, e, row->sha256);
	free(place);
	return err;
}

static int
deepest_first(const void *a, const void *b)
{
	return manifest_compare(((const struct late_dir *)b)->path, ((const struct late_dir *)a)->path);
}

static int
finish_dirs(struct restore *r)
{
	int err = 0;

	if (r->n_dirs)
		qsort(r->dirs, r->n_dirs, sizeof *r->dirs, deepest_first);
	for (size_t i = 0; !err && i < r->n_dirs; i++) {
		const struct late_dir *d = &r->dirs[i];
		int fd = fsio_open_dir(r->target.fd, d->path);

		if (fd < 0)
			return fd;
		if (r->root && fchown(fd, d->uid, d->gid) != 0)
			err = err_sys("owner of %s", d->path);
		if (!err && fchmod(fd, restore_mode(r->root, d->mode)) != 0)
			err = err_sys("mode of %s", d->path);
		close(fd);
	}
	return err;
}

/* ---- the target ---- */

static int
not_empty(const char *name, void *arg)
{
	(void)name;
	(void)arg;
	return 1;
}

/* A profile's folder, ours or another's: a directory of the store that has a state. */
static bool
is_profile(const struct stat *store, int dir)
{
	struct stat above, state;

	return fstatat(dir, "..", &above, 0) == 0 && above.st_dev == store->st_dev && above.st_ino == store->st_ino &&
	    fstatat(dir, "state", &state, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A restore into a profile's folder would mix with what the receiver and we ourselves keep there. */
static int
check_outside(const struct restore *r, int dir)
{
	struct stat store, at, last = {0};
	int fd = dup(dir), err = fd < 0 || fstatat(r->vault->dir, "..", &store, 0) != 0 ? err_sys("target") : 0;

	while (!err) {
		int up;

		if (fstat(fd, &at) != 0)
			err = err_sys("target");
		else if (is_profile(&store, fd))
			err = err_set(ERR_USAGE, "the target lies in the store");
		if (err || (at.st_dev == last.st_dev && at.st_ino == last.st_ino))
			break;
		last = at;
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0) {
			err = err_sys("target");
			break;
		}
		close(fd);
		fd = up;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static int
open_target(struct restore *r, const char *to)
{
	int err = target_find(to, &r->target);

	if (!err)
		err = check_outside(r, r->target.parent);
	if (!err)
		err = target_make(to, &r->target);
	if (err)
		return err;
	err = vault_names(r->target.fd, not_empty, NULL);
	if (err == 1)
		return err_set(ERR_USAGE, "%s is not empty: name a new directory, or empty it; a restore that was broken off is begun anew", to);
	return err ? err : check_outside(r, r->target.fd);
}

/* ---- all of it ---- */

static int
check_paths(const struct restore *r)
{
	for (size_t i = 0; i < r->n_paths; i++)
		if (!relpath_valid(r->paths[i]))
			return err_set(ERR_USAGE, "%.200s is not a path of a set: name it as `tidemark set show` does, without a slash at either end", r->paths[i]);
	return 0;
}

static int
check_found(const struct restore *r)
{
	int err = 0;

	for (size_t i = 0; i < r->n_paths; i++)
		if (!r->found[i]) {
			task_finding(r->task, r->paths[i], "is not in the set");
			err = err_set(ERR_NOTFOUND, "%.200s is not in set %s: `tidemark set show` lists what is, in capital and small letters", r->paths[i], r->set->name);
		}
	return err;
}

/* What the catalogue has lost would be missing without a word.  Of one path only its own rows were read, and tell nothing of the others. */
static int
check_list(const struct restore *r)
{
	if (r->n_paths == 1 || blob_sum_equal(&r->blobs, &r->set->blobs))
		return 0;
	task_finding(r->task, "catalogue", "the list of blobs is not what was sealed (%llu blobs instead of %llu)",
	    (unsigned long long)r->blobs.count, (unsigned long long)r->set->blobs.count);
	return err_set(ERR_DIFFERS, "the catalogue does not know all blobs of set %s as they were sealed: some may be missing in what was restored; "
	    "take them from another set, and look at the disk that holds the store", r->set->name);
}

/* Nothing is made for paths of which none is there. */
static int
check_any(const struct restore *r)
{
	for (size_t i = 0; i < r->n_paths; i++)
		if (r->found[i])
			return 0;
	return check_found(r);
}

static int
run(struct restore *r, const char *to)
{
	int err = check_paths(r);

	if (!err)
		err = r->from < 0 ? r->from : open_target(r, to);
	if (!err)
		err = check_space(r);
	if (!err)
		err = check_any(r);
	if (!err)
		err = restore_files_new(r->task, r->target.fd, r->root, &r->files);
	if (err) {
		target_unmake(&r->target);
		return err;
	}
	task_begin(r->task, "restore", r->bytes);
	err = each_manifest_row(r, make_row);
	if (!err)
		err = each_blob(r, make_blob);
	if (!err)
		err = restore_files_flush(r->files);
	if (!err)
		err = finish_dirs(r);
	if (!err)
		err = fsio_sync_fs(r->target.fd, "restore.sync");
	if (!err)
		err = check_found(r);
	if (!err)
		err = check_list(r);
	if (!err && restore_files_differences(r->files))
		err = err_set(ERR_DIFFERS, "%llu restored file(s) are not what was sealed; take those that were named from another set",
		    (unsigned long long)restore_files_differences(r->files));
	return err;
}

int
restore_set(struct vault *v, const struct set_row *set, const char *to, char *const *paths, size_t n_paths, struct task *task)
{
	struct restore r = {.vault = v, .set = set, .task = task, .paths = paths, .n_paths = n_paths, .target = {.fd = -1, .parent = -1}, .root = geteuid() == 0};
	int err;

	r.from = fsio_open_dir(v->weeknow, set->name);
	r.found = calloc(n_paths + 1, sizeof *r.found);
	err = r.found ? run(&r, to) : err_set(ERR_NOMEM, "out of memory for a restore");
	for (size_t i = 0; i < r.n_dirs; i++)
		free(r.dirs[i].path);
	free(r.dirs);
	free(r.found);
	restore_files_free(r.files);
	if (r.from >= 0)
		close(r.from);
	target_close(&r.target);
	return err;
}
