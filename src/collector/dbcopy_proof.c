/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dbcopy_proof - what must be there after DBCOPY, what must not, and what its own log says. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/dbcopy_proof.h"
#include "livetree.h"

#define LOG_PATTERN "????gwbk.*"
#define FULL_BYTES (1u << 20) /* of a disk with so little left no database is worth a try */

static bool
says_error(const char *line)
{
	/* The grammar of GroupWise's log is not documented: a line with the word is taken seriously unless it counts none. */
	const char *none = strcasestr(line, "0 error"), *count = strcasestr(line, "errors: 0");
	bool zero = none && (none == line || !isdigit((unsigned char)none[-1]));

	return strcasestr(line, "error") && !zero && !(count && !isdigit((unsigned char)count[9])) && !strcasestr(line, "no error");
}

/* Moves the copier's own log from staging into the job's log and looks for trouble in it. */
static int
take_log(struct dbcopy_proof *p, int staging, const char *name)
{
	char *data, *line, *rest;
	size_t len;
	int err = fsio_read_file(staging, name, 64u * 1024u * 1024u, &data, &len);

	if (err)
		return err_prefix(err, "reading DBCOPY's log %s", name);
	if (write(p->log_fd, data, len) < 0)
		err = err_sys("writing the job's log");
	for (rest = data; err == 0 && (line = strsep(&rest, "\r\n"));)
		if (says_error(line))
			err = err_set(ERR_INCOMPLETE, "DBCOPY's log says: %.200s", line);
	free(data);
	fsio_unlink(staging, name);
	return err;
}

/* A log that a run left whose end nobody saw. */
static int
drop_log(struct dbcopy_proof *p, int staging, const char *name)
{
	(void)p;
	return fsio_unlink(staging, name);
}

static int
each_log(struct dbcopy_proof *p, int staging, int (*deal)(struct dbcopy_proof *p, int staging, const char *name))
{
	int fd = fsio_open_dir(staging, ""), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return err_set(ERR_IO, "listing the local staging folder");
	}
	while ((errno = 0, entry = readdir(dir)))
		if (fnmatch(LOG_PATTERN, entry->d_name, FNM_CASEFOLD) == 0) {
			int log_err = deal(p, staging, entry->d_name);
			err = err ? err : log_err;
		}
	if (err == 0 && errno)
		err = err_sys("listing the local staging folder");
	closedir(dir);
	return err;
}

/* Under whatever case, as the tree itself is recognised. */
static bool
has_root_database(const struct dblist *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcasecmp(list->files[i].path, name) == 0)
			return true;
	return false;
}

/* Every database that was there at T0, and still is, must have arrived. */
static int
check_list(struct dbcopy_proof *p, const struct dblist *live, const struct dblist *copies)
{
	size_t databases = 0;

	for (size_t i = 0; i < p->before.n; i++) {
		const struct dblist_file *was = &p->before.files[i], *copy = dblist_find(copies, was->path);

		if (!dblist_find(live, was->path))
			continue;
		if (!copy)
			return err_set(ERR_INCOMPLETE, "DBCOPY did not copy %s", was->path);
		if (copy->size == 0 && was->size > 0)
			return err_set(ERR_INCOMPLETE, "DBCOPY left %s empty", was->path);
		if (copy->mtime_ns / 1000000000 < was->mtime_ns / 1000000000)
			return err_set(ERR_INCOMPLETE, "DBCOPY left an old copy of %s", was->path);
		databases += layout_is_database(was->path);
	}
	if (databases == 0)
		return err_set(ERR_INCOMPLETE, "DBCOPY copied no database at all");
	if (!has_root_database(copies, layout_root_database(livetree_type(p->tree))))
		return err_set(ERR_INCOMPLETE, "DBCOPY did not copy %s", layout_root_database(livetree_type(p->tree)));
	return 0;
}

static bool
has_dir(const struct dblist *list, const char *dir)
{
	for (size_t i = 0; i < list->n_dirs; i++)
		if (strcmp(list->dirs[i], dir) == 0)
			return true;
	return false;
}

/*
 * A database that was away while DBCOPY listed or copied, before or after, and whose copy nobody touched: it is of an earlier run, unless it
 * is what the live tree had.
 */
static bool
of_earlier_run(const struct dbcopy_proof *p, const struct dblist *live, const struct dblist_file *copy)
{
	const struct dblist_file *was = dblist_find(&p->before, copy->path), *is = dblist_find(live, copy->path);
	const struct dblist_file *had = dblist_find(&p->had, copy->path), *one = is ? is : was;

	return !(was && is) && one && had && had->size == copy->size && had->mtime_ns == copy->mtime_ns &&
	    (one->size != copy->size || one->mtime_ns != copy->mtime_ns);
}

/* DBCOPY does not mirror deletions: names that the live tree no longer has leave staging. */
static int
prune(struct dbcopy_proof *p, int staging, const struct dblist *live, const struct dblist *copies)
{
	const char *missed = NULL;
	size_t n_missed = 0;

	for (size_t i = 0; i < copies->n; i++) {
		const char *path = copies->files[i].path;
		bool there = dblist_find(live, path), old = of_earlier_run(p, live, &copies->files[i]);
		int err;

		if (!old && (there || dblist_find(&p->before, path)))
			continue;
		if ((err = fsio_unlink(staging, path)) < 0)
			return err_prefix(err, "removing %s from local staging", path);
		p->figures->removed++;
		if (there && n_missed++ == 0)
			missed = path;
	}
	if (missed)
		snprintf(p->figures->warnings, sizeof p->figures->warnings,
		    "%.200s was away while the databases were copied and is not in this set%s", missed,
		    n_missed > 1 ? ", nor are others that came during the copy" : "");
	/* Children first.  One that is not empty holds what DBCOPY does not copy; it does no harm. */
	for (size_t i = copies->n_dirs; i-- > 0;)
		if (!has_dir(live, copies->dirs[i]) && !has_dir(&p->before, copies->dirs[i]))
			fsio_rmdir(staging, copies->dirs[i]);
	return 0;
}

/* ---- copies that a broken run may have left ---- */

/*
 * GroupWise's DBCOPY copies what is newer.  A run that failed or was killed may leave half a copy with the time of its
 * writing, which is newer than the source: it would never be made again.  So a marker lies beside staging while an external
 * run is under way; when it is still there at the next, whatever was touched since is removed and copied anew.
 */
static int
distrust(int staging, enum layout_type type, const struct stat *marker)
{
	struct dblist copies = {0};
	int err = dblist_read(type, NULL, staging, &copies);

	for (size_t i = 0; err == 0 && i < copies.n; i++) {
		struct stat st;

		if (fsio_stat(staging, copies.files[i].path, &st) == 0 && st.st_ctim.tv_sec >= marker->st_ctim.tv_sec)
			err = fsio_unlink(staging, copies.files[i].path);
	}
	dblist_fini(&copies);
	return err;
}

/* A new file each time: its ctime says when the run began. */
static int
make_marker(const char *path)
{
	int fd, err;

	if (unlink(path) != 0 && errno != ENOENT)
		return err_sys("removing %s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys("making %s", path);
	err = fsio_sync_file(fd, "dbcopy.marker");
	close(fd);
	return err;
}

static int
open_staging(const struct dbcopy_proof *p)
{
	int fd = open(p->staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys("opening local staging %s", p->staging) : fd;
}

static int
set_marker(const struct dbcopy_proof *p, int staging)
{
	struct stat marker;
	int err = 0;

	if (!p->marker)
		return 0;
	if (stat(p->marker, &marker) == 0)
		err = distrust(staging, livetree_type(p->tree), &marker);
	return err ? err : make_marker(p->marker);
}

/* No copier puts a file where a directory lies, or the other way round: every run would fail until somebody made room. */
static int
make_way(const struct dbcopy_proof *p, int staging)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < p->had.n; i++)
		if (has_dir(&p->before, p->had.files[i].path))
			err = fsio_unlink(staging, p->had.files[i].path);
	for (size_t i = 0; err == 0 && i < p->had.n_dirs; i++)
		if (dblist_find(&p->before, p->had.dirs[i]))
			err = fsio_remove_tree(staging, p->had.dirs[i]);
	return err ? err_prefix(err, "making way in local staging") : 0;
}

/* ---- the public face ---- */

int
dbcopy_proof_begin(struct dbcopy_proof *p)
{
	int staging = open_staging(p), err;

	if (staging < 0)
		return staging;
	err = each_log(p, staging, drop_log);
	if (err == 0)
		err = set_marker(p, staging);
	if (err == 0)
		err = dblist_read(livetree_type(p->tree), NULL, staging, &p->had);
	if (err == 0)
		err = dblist_read(livetree_type(p->tree), p->tree, -1, &p->before);
	if (err == 0)
		err = make_way(p, staging);
	close(staging);
	return err;
}

int
dbcopy_proof_failed(struct dbcopy_proof *p)
{
	int staging = open_staging(p), err;

	if (staging < 0)
		return staging;
	err = each_log(p, staging, take_log);
	close(staging);
	return err;
}

int
dbcopy_proof_end(struct dbcopy_proof *p)
{
	enum layout_type type = livetree_type(p->tree);
	struct dblist live = {0}, copies = {0};
	int staging = open_staging(p), err;

	if (staging < 0)
		return staging;
	err = each_log(p, staging, take_log);
	if (err == 0 && (err = dblist_read(type, p->tree, -1, &live)) == 0 && (err = dblist_read(type, NULL, staging, &copies)) == 0)
		err = check_list(p, &live, &copies);
	if (err == 0)
		err = prune(p, staging, &live, &copies);
	p->figures->files = copies.n - (size_t)p->figures->removed;
	p->figures->bytes = 0;
	for (size_t i = 0; i < copies.n; i++)
		p->figures->bytes += copies.files[i].size;
	dblist_fini(&live);
	dblist_fini(&copies);
	close(staging);
	/* Killed before this: the next run makes good copies again, which costs time and nothing else. */
	if (err == 0 && p->marker && unlink(p->marker) != 0)
		err = err_sys("removing %s", p->marker);
	return err;
}

bool
dbcopy_proof_no_space(const struct dbcopy_proof *p)
{
	uint64_t free_bytes = UINT64_MAX, total, inodes = UINT64_MAX;
	int fd = open(p->staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return false;
	(void)fsio_space(fd, &free_bytes, &total, &inodes);
	close(fd);
	return free_bytes < FULL_BYTES || inodes == 0;
}
