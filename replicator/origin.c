/* SPDX-License-Identifier: GPL-2.0-or-later */
/* origin - a vanished root is not a mass deletion: what is known about absence is known here. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "livetree.h"
#include "replicator/origin.h"

int
origin_stat(const struct origin *o, const char *path, struct stat *ret_st)
{
	return o->tree ? livetree_stat(o->tree, path, ret_st) : fsio_stat(o->staging_fd, path, ret_st);
}

/* Reading for a backup is no access: the owner's files keep their access times.
 * Only the owner and root may ask for that; others read as everybody does. */
static int
leave_no_trace(int fd)
{
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, O_NONBLOCK | O_NOATIME);
	return fd;
}

/*
 * An index is written through mappings.  A store moves the file's times only when it dirties a page that was clean, so one into a page
 * that is dirty already would never be noticed, once the stat of the first is known.  Its dirty pages are written back, a little
 * earlier than the kernel would: whatever is stored after that moves the times again.
 */
static void
expose_stores(const struct origin *o, const char *path, int fd)
{
	const struct layout_row *row = fd >= 0 && o->tree ? layout_of(o->type, path, false) : NULL;

	if (row && row->class == LAYOUT_INDEX)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE);
}

int
origin_open(const struct origin *o, const char *path, int flags)
{
	int fd;

	flags |= O_NOFOLLOW | O_CLOEXEC;
	if (flags & O_PATH) /* openat2 refuses flags that mean nothing with it */
		return o->tree ? livetree_open_file(o->tree, path, flags) : fsio_open(o->staging_fd, path, flags, 0);
	flags |= O_NONBLOCK | O_NOCTTY;
	fd = o->tree ? livetree_open_file(o->tree, path, flags) : fsio_open(o->staging_fd, path, flags, 0);
	expose_stores(o, path, fd);
	return leave_no_trace(fd);
}

int
origin_open_dir(const struct origin *o, const char *dir)
{
	return o->tree ? livetree_open_dir(o->tree, dir) : fsio_open_dir(o->staging_fd, dir);
}

/* ---- the near directory ---- */

void
origin_near_forget(struct origin_near *near)
{
	if (near->dir)
		close(near->fd);
	free(near->dir);
	*near = (struct origin_near){0};
}

/* A fixed directory lies under a spelling of its own, which the tree knows and the name does not tell. */
static bool
is_spelt_anyhow(const struct origin *o, const char *path)
{
	return o->tree && layout_fixed_len(o->type, path) == strlen(path);
}

/* Makes the path's directory the near one. */
static int
go_near(struct origin_near *near, const struct origin *o, const char *path)
{
	size_t len = relpath_dir_len(path);
	char *dir;
	int fd;

	if (near->dir && near->origin == o && strlen(near->dir) == len && memcmp(near->dir, path, len) == 0)
		return 0;
	origin_near_forget(near);
	dir = strndup(path, len);
	if (!dir)
		return err_set(ERR_NOMEM, "no memory");
	fd = origin_open_dir(o, dir);
	if (fd < 0) {
		free(dir);
		return fd;
	}
	*near = (struct origin_near){.origin = o, .dir = dir, .fd = fd};
	return 0;
}

int
origin_near_stat(struct origin_near *near, const struct origin *o, const char *path, struct stat *ret_st)
{
	int err;

	if (is_spelt_anyhow(o, path))
		return origin_stat(o, path, ret_st);
	err = go_near(near, o, path);
	if (err == 0 && fstatat(near->fd, relpath_name(path), ret_st, AT_SYMLINK_NOFOLLOW) != 0)
		err = err_sys("looking at a file");
	return err;
}

int
origin_near_open(struct origin_near *near, const struct origin *o, const char *path, int flags)
{
	int err, fd;

	if (is_spelt_anyhow(o, path))
		return origin_open(o, path, flags);
	err = go_near(near, o, path);
	if (err)
		return err;
	fd = openat(near->fd, relpath_name(path), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	expose_stores(o, path, fd);
	return fd < 0 ? err_sys("opening a file") : leave_no_trace(fd);
}

bool
origin_owns(const struct origin *o, const char *path, bool is_dir)
{
	const struct layout_row *row = layout_of(o->type, path, is_dir);

	return row && (row->class == LAYOUT_SNAPSHOT) == !o->tree;
}

bool
origin_enters(const struct origin *o, const char *dir)
{
	if (!*dir)
		return true;
	return o->tree ? layout_watch(o->type, dir) != LAYOUT_WATCH_NONE : origin_owns(o, dir, true);
}

/* The directory of the area, when the tree cannot be without it. */
static const char *
required_dir(enum layout_type type, const char *path)
{
	const struct layout_row *row = layout_of(type, path, false);

	if (!row)
		row = layout_of(type, path, true);
	return row && row->required && *row->dir ? row->dir : NULL;
}

static int
check_root(const struct origin *o)
{
	struct stat st;

	if (o->tree)
		return livetree_check(o->tree);
	if (fstat(o->staging_fd, &st) < 0 || !st.st_nlink)
		return err_set(ERR_GONE, "the snapshot's staging is gone");
	return 0;
}

static int
check_area(const struct origin *o, const char *dir)
{
	struct stat st;

	if (origin_stat(o, dir, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(ERR_GONE, "the whole area %s is gone", dir);
	return 0;
}

int
origin_believes_absence(const struct origin *o, const char *path)
{
	const char *area = required_dir(o->type, path);
	int err = check_root(o);

	return PLANTED(absent_area_believed) ? 0 : err || !area ? err : check_area(o, area);
}

int
origin_complete(const struct origin *o)
{
	size_t n;
	const struct layout_row *rows = layout_rows(o->type, &n);
	int err = o->tree ? livetree_refresh(o->tree) : check_root(o); /* what was mounted since the last time is known from now on */

	err = err > 0 ? 0 : err;
	for (size_t i = 0; i < n && !err; i++)
		if (rows[i].required && *rows[i].dir)
			err = check_area(o, rows[i].dir);
	return err;
}
