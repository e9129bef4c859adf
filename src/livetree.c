/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * livetree - the one place that knows how the fixed directories are spelled on disk.
 *
 * The spelling is read into a sorted table (set path -> live path).  A table never changes: a refresh puts a new one in
 * its place and keeps the old one until the tree is closed, so that any thread may look up without a lock.  A name that is
 * not where the table says makes a look-up read it anew once.  A volume mounted below the root is unmounted without a word
 * to whoever holds the root, and leaves an empty directory that looks like a mass deletion; therefore the table also
 * remembers on which device each directory lay that is required or has a file system of its own.
 *
 * No descriptor of the tree is kept between two calls: it would forbid unmounting the tree.  So every call opens the root
 * anew and compares its identity (3 system calls, about two microseconds).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "livetree.h"
#include "mounts.h"
#include "spelling.h"

/* What changes behind a tree that is const to its users. */
struct current {
	_Atomic(struct spelling *) now;
};

struct livetree {
	char *root;
	enum layout_type type;
	struct livetree_id id;
	struct current *spelling;
};

static const struct spelling *
spelling_of(const struct livetree *t)
{
	return atomic_load(&t->spelling->now);
}

static int
identify(int fd, struct livetree_id *ret_id, dev_t *ret_dev)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys("identity of the root");
	*ret_id = (struct livetree_id){.inode = st.st_ino};
	*ret_dev = st.st_dev;
	return spelling_fsid_of(fd, &ret_id->fsid);
}

static int
open_root(const char *root)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOTDIR ? err_set(ERR_GONE, "%s is not a directory", root) : err_sys("open %s", root);
	return fd;
}

int
livetree_open(const char *root, enum layout_type type, struct livetree **ret_tree)
{
	struct livetree *t = calloc(1, sizeof *t);
	struct spelling *names = NULL;
	dev_t dev;
	int fd, err;

	if (!t || !(t->root = strdup(root)) || !(t->spelling = calloc(1, sizeof *t->spelling))) {
		livetree_close(t);
		return err_set(ERR_NOMEM, "live tree");
	}
	t->type = type;
	fd = open_root(root);
	err = fd < 0 ? fd : identify(fd, &t->id, &dev);
	if (!err)
		err = err_prefix(spelling_read(fd, dev, type, &names), "%s", root);
	if (fd >= 0)
		close(fd);
	if (err) {
		livetree_close(t);
		return err;
	}
	atomic_store(&t->spelling->now, names);
	*ret_tree = t;
	return 0;
}

void
livetree_close(struct livetree *t)
{
	struct spelling *names;

	if (!t)
		return;
	names = t->spelling ? atomic_load(&t->spelling->now) : NULL;
	while (names) {
		struct spelling *older = names->older;

		spelling_free(names);
		names = older;
	}
	free(t->spelling);
	free(t->root);
	free(t);
}

const char *
livetree_root(const struct livetree *t)
{
	return t->root;
}

enum layout_type
livetree_type(const struct livetree *t)
{
	return t->type;
}

struct livetree_id
livetree_id(const struct livetree *t)
{
	return t->id;
}

/* Opens what lies at the root's path now and makes sure that it is the tree we know. */
static int
open_same_root(const struct livetree *t, dev_t *ret_dev)
{
	struct livetree_id id;
	int fd = open_root(t->root), err;

	if (fd < 0)
		return fd;
	err = identify(fd, &id, ret_dev);
	/* A file system without an identity (0) is only known by its device. */
	if (!err && (id.inode != t->id.inode || id.fsid != t->id.fsid || (!id.fsid && *ret_dev != spelling_of(t)->root_dev)))
		err = err_set(ERR_GONE, "%s: another directory lies there now", t->root);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* The root database, looked for again when its spelling changed. */
static int
check_database(const struct livetree *t, const struct spelling *names, int root)
{
	const char *want = layout_root_database(t->type);
	char name[RELNAME_MAX + 1];
	struct stat st;

	if (fsio_stat(root, names->database, &st) == 0 && !S_ISDIR(st.st_mode))
		return 0;
	return spelling_look_for(root, "", want, strlen(want), false, name) == 0
	    ? 0 : err_set(ERR_GONE, "%s: its %s is gone: nothing in it is taken for deleted; put it back, or mount the tree again", t->root, want);
}

/* A directory without which nothing may be believed about what is absent. */
static bool
counts(const struct fixed *f)
{
	return f->required || f->volume;
}

/* Whether `live` is still on the file system on which `was` lay.  That follows the root's own, which has a new device when
 * it was mounted again; a volume that was mounted again has one too, and is known by its file system. */
static int
check_place(const struct livetree *t, const struct spelling *names, int root, dev_t root_dev, const struct fixed *was, const char *live)
{
	struct stat st;
	uint64_t fsid;
	int err = fsio_stat(root, live, &st);

	if (err)
		return err_prefix(err, "%s/%s", t->root, live);
	if (!S_ISDIR(st.st_mode))
		return err_set(ERR_GONE, "%s/%s: no directory", t->root, live);
	if (PLANTED(unmounted_volume_believed))
		return 0;
	if (was->mount && !mounts_at(root, live))
		return err_set(ERR_GONE, "%s/%s: something was mounted there, and no longer is", t->root, live);
	if (st.st_dev == (was->dev == names->root_dev ? root_dev : was->dev))
		return 0;
	if (was->fsid) {
		if ((err = spelling_fsid(root, live, &fsid)) != 0)
			return err_prefix(err, "%s/%s", t->root, live);
		if (fsid == was->fsid)
			return 0;
	}
	return err_set(ERR_GONE, "%s/%s: not on the file system it lay on; is it mounted?", t->root, live);
}

/* 1: what need not be there lies on another device now; it may have become a volume. */
static int
check_root(const struct livetree *t, int root, dev_t root_dev)
{
	const struct spelling *names = spelling_of(t);
	int err = check_database(t, names, root);
	bool moved = false;
	struct stat st;

	for (size_t i = 0; i < names->n && !err; i++) {
		const struct fixed *f = &names->fixed[i];

		if (counts(f))
			err = check_place(t, names, root, root_dev, f, f->live);
		else if (fsio_stat(root, f->live, &st) == 0)
			moved |= st.st_dev != (f->dev == names->root_dev ? root_dev : f->dev);
	}
	return err ? err : moved;
}

/* Reads the names at `root` and makes sure that what counts lies where it lay, however it is spelled now. */
static int
names_again(const struct livetree *t, int root, dev_t root_dev, struct spelling **ret_names)
{
	const struct spelling *old = spelling_of(t);
	struct spelling *names;
	int err = spelling_read(root, root_dev, t->type, &names);

	if (err == -ERR_CONFIG)
		return err_set(ERR_GONE, "%s is no longer complete (%s): nothing in it is taken for deleted; put back what is missing, or mount it again",
		    t->root, err_text());
	if (err)
		return err;
	for (size_t i = 0; i < old->n && !err; i++) {
		const struct fixed *was = &old->fixed[i];
		const struct fixed *is = counts(was) ? spelling_find(names, was->set, strlen(was->set)) : NULL;

		if (is)
			err = check_place(t, old, root, root_dev, was, is->live);
		else if (counts(was))
			err = err_set(ERR_GONE, "%s/%s is gone, which was a file system of its own", t->root, was->live);
	}
	if (err)
		spelling_free(names);
	else
		*ret_names = names;
	return err;
}
/* The old table stays behind the new one; of two threads that bring one, one is enough.  1: it was put. */
static int
put_names(const struct livetree *t, struct spelling *names)
{
	struct spelling *old = atomic_load(&t->spelling->now);

	names->older = old;
	if (!spelling_same(old, names) && atomic_compare_exchange_strong(&t->spelling->now, &old, names))
		return 1;
	spelling_free(names);
	return 0;
}

int
livetree_refresh(const struct livetree *t)
{
	struct spelling *names;
	dev_t dev;
	int fd = open_same_root(t, &dev), err;

	if (fd < 0)
		return fd;
	err = names_again(t, fd, dev, &names);
	close(fd);
	return err ? err : put_names(t, names);
}

const void *
livetree_names(const struct livetree *t)
{
	return spelling_of(t);
}

static int
check_once(const struct livetree *t)
{
	dev_t dev;
	int fd = open_same_root(t, &dev), err;

	if (fd < 0)
		return fd;
	err = check_root(t, fd, dev);
	close(fd);
	return err;
}

int
livetree_check(const struct livetree *t)
{
	const struct spelling *names = spelling_of(t);
	int err = check_once(t);

	/* A required directory may only be spelled anew. */
	if ((err == -ERR_GONE || err == 1) && livetree_refresh(t) >= 0 && spelling_of(t) != names)
		err = check_once(t);
	return err < 0 ? err : 0;
}

size_t
livetree_volumes(const struct livetree *t, struct livetree_volume *volumes, size_t max)
{
	const struct spelling *names = spelling_of(t);
	size_t n = 0;

	for (size_t i = 0; i < names->n && n < max; i++)
		if (names->fixed[i].volume)
			volumes[n++] = (struct livetree_volume){names->fixed[i].set, names->fixed[i].fsid};
	return n;
}
char *
livetree_live_path(const struct livetree *t, const char *path)
{
	return spelling_live_path(spelling_of(t), path);
}

/* The root for one call.  Never ERR_GONE, which would say that the path is gone: its caller would take it for deleted. */
static int
hold_root(const struct livetree *t)
{
	struct stat st;
	dev_t dev;
	int fd = open(t->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == spelling_of(t)->root_dev && st.st_ino == t->id.inode)
		return fd;
	if (fd >= 0)
		close(fd);
	/* Perhaps the same file system, mounted again under another device number. */
	fd = open_same_root(t, &dev);
	return fd == -ERR_GONE || fd == -ERR_UNSAFE ? err_set(ERR_IO, "%s is gone or not mounted", t->root) : fd;
}

/* Whether the table may be the reason that a path is not there: its fixed directory came, or is spelled anew. */
static bool
is_stale(const struct livetree *t, const struct spelling *names, const char *path)
{
	size_t len = layout_fixed_len(t->type, path);
	const struct fixed *f = len ? spelling_find(names, path, len) : NULL;
	struct stat st;
	bool stale = len > 0;
	int root;

	if (!f)
		return stale;
	root = hold_root(t);
	stale = root >= 0 && (fsio_stat(root, f->live, &st) != 0 || !S_ISDIR(st.st_mode));
	if (root >= 0)
		close(root);
	return stale;
}

/* True when the path was looked for under a name that has changed: look again. */
static bool
spelled_anew(const struct livetree *t, const char *path, int err)
{
	const struct spelling *names = spelling_of(t);

	return err == -ERR_GONE && is_stale(t, names, path) && livetree_refresh(t) >= 0 && spelling_of(t) != names;
}

static int
open_once(const struct livetree *t, const char *path, int flags)
{
	int root = hold_root(t), fd;
	char *live;

	if (root < 0)
		return root;
	live = livetree_live_path(t, path);
	if (!live)
		fd = err_set(ERR_NOMEM, "live path");
	else
		fd = *live ? fsio_open(root, live, flags, 0) : fsio_open_dir(root, "");
	free(live);
	close(root);
	return fd;
}

/* Opens a set path beneath the root, in one call. */
static int
open_beneath(const struct livetree *t, const char *path, int flags)
{
	int fd = open_once(t, path, flags);

	return spelled_anew(t, path, fd) ? open_once(t, path, flags) : fd;
}

int
livetree_open_file(const struct livetree *t, const char *path, int flags)
{
	return open_beneath(t, path, flags | O_NOFOLLOW);
}

int
livetree_open_dir(const struct livetree *t, const char *path)
{
	return open_beneath(t, path, O_RDONLY | O_DIRECTORY);
}

static int
stat_once(const struct livetree *t, const char *path, struct stat *ret_st)
{
	int root = hold_root(t), err;
	char *live;

	if (root < 0)
		return root;
	live = livetree_live_path(t, path);
	if (!live)
		err = err_set(ERR_NOMEM, "live path");
	else if (*live)
		err = fsio_stat(root, live, ret_st);
	else
		err = fstat(root, ret_st) == 0 ? 0 : err_sys("looking at %s", t->root);
	free(live);
	close(root);
	return err;
}

int
livetree_stat(const struct livetree *t, const char *path, struct stat *ret_st)
{
	int err = stat_once(t, path, ret_st);

	return spelled_anew(t, path, err) ? stat_once(t, path, ret_st) : err;
}
