/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * livetree - the one place that knows how the fixed directories are spelled on disk.
 *
 * The spelling is read once into a sorted table (set path -> live path) and only looked up afterwards, so that any
 * thread may translate paths.  A volume mounted below the root is unmounted without a word to whoever holds the root, and
 * leaves an empty directory that looks like a mass deletion; therefore the table also remembers on which device each
 * required directory lay.
 *
 * No descriptor of the tree is kept between two calls: it would forbid unmounting the tree.  So every call opens the root
 * anew and compares its identity (3 system calls, about two microseconds).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "livetree.h"

#define FIXED_DEPTH 3 /* components of the deepest row */

struct fixed {
	char *set, *live;
	dev_t dev;
	bool required;
};

struct names {
	struct fixed *fixed; /* sorted by `set` once complete */
	size_t n, cap;
	char *database;      /* live name of the root database */
};

struct livetree {
	char *root;
	enum layout_type type;
	struct livetree_id id;
	dev_t dev;
	struct names names;
};

static void
names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++) {
		free(names->fixed[i].set);
		free(names->fixed[i].live);
	}
	free(names->fixed);
	free(names->database);
	*names = (struct names){0};
}

/* Compares a table key with the first `len` bytes of `path`. */
static int
compare_head(const char *set, const char *path, size_t len)
{
	int order = strncmp(set, path, len);

	return order ? order : set[len] != '\0';
}

static const struct fixed *
names_find(const struct names *names, const char *path, size_t len)
{
	size_t low = 0, high = names->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = compare_head(names->fixed[mid].set, path, len);

		if (order == 0)
			return &names->fixed[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static int
names_add(struct names *names, const char *set, const char *live, dev_t dev, bool required)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->fixed[i].set, set) == 0) {
			names->fixed[i].required |= required;
			return 0;
		}
	if (names->n == names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 16;
		struct fixed *grown = realloc(names->fixed, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "names of the fixed directories");
		names->fixed = grown;
		names->cap = cap;
	}
	struct fixed f = {strdup(set), strdup(live), dev, required};
	if (!f.set || !f.live) {
		free(f.set);
		free(f.live);
		return err_set(ERR_NOMEM, "names of the fixed directories");
	}
	names->fixed[names->n++] = f;
	return 0;
}

static int
by_set_path(const void *a, const void *b)
{
	return strcmp(((const struct fixed *)a)->set, ((const struct fixed *)b)->set);
}

static int
open_list(int root, const char *live, DIR **ret_list)
{
	int fd = fsio_open_dir(root, live);

	if (fd < 0)
		return fd;
	*ret_list = fdopendir(fd);
	if (!*ret_list) {
		int err = err_sys("list %s", live);

		close(fd);
		return err;
	}
	return 0;
}

/* A real directory; a link to one is none, it cannot be opened beneath the root. */
static bool
is_directory(DIR *list, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Of two names that differ in case only, the exact lower case wins, then the first in byte order: never a matter of luck. */
static bool
better(const char *name, const char *best, const char *want)
{
	return !*best || strcmp(name, want) == 0 || (strcmp(best, want) != 0 && strcmp(name, best) < 0);
}

/* 0 found, 1 absent, negative error. */
static int
find_name(int root, const char *live, const char *want, size_t want_len, bool want_dir, char ret_name[RELNAME_MAX + 1])
{
	char wanted[RELNAME_MAX + 1], best[RELNAME_MAX + 1] = "";
	struct dirent *entry;
	DIR *list;
	int err = open_list(root, live, &list);

	if (err)
		return err;
	snprintf(wanted, sizeof wanted, "%.*s", (int)want_len, want);
	while ((errno = 0, entry = readdir(list)))
		if (strcasecmp(entry->d_name, wanted) == 0 && is_directory(list, entry) == want_dir &&
		    better(entry->d_name, best, wanted))
			snprintf(best, sizeof best, "%s", entry->d_name);
	err = errno ? err_sys("list %s", live) : !*best;
	closedir(list);
	if (err == 0)
		snprintf(ret_name, RELNAME_MAX + 1, "%s", best);
	return err;
}

static int collect(int root, struct names *names, const char *set, const char *live, const char *rest, bool required);

/* One step down: `set_name` is called `live_name` on disk. */
static int
collect_below(int root, struct names *names, const char *set, const char *set_name, const char *live, const char *live_name,
    const char *rest, bool required)
{
	char *set_child = relpath_join(set, set_name), *live_child = relpath_join(live, live_name);
	struct stat st;
	int err = 0;

	if (!set_child || !live_child)
		err = err_set(ERR_NOMEM, "names of the fixed directories");
	else if (fsio_stat(root, live_child, &st) == 0) { /* else it vanished between list and look: absent */
		err = names_add(names, set_child, live_child, st.st_dev, required && !*rest);
		if (!err)
			err = collect(root, names, set_child, live_child, rest, required);
	}
	free(set_child);
	free(live_child);
	return err;
}

static int
collect_any(int root, struct names *names, const char *set, const char *live, const char *rest, bool required)
{
	struct dirent *entry;
	DIR *list;
	int err = open_list(root, live, &list);

	if (err)
		return err == -ERR_GONE ? 0 : err;
	while (!err && (entry = readdir(list)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && is_directory(list, entry))
			err = collect_below(root, names, set, entry->d_name, live, entry->d_name, rest, required);
	closedir(list);
	return err;
}

/* Adds what exists of the fixed directory `rest` below `live`.  As deep as the layout's rows: FIXED_DEPTH. */
static int
collect(int root, struct names *names, const char *set, const char *live, const char *rest, bool required)
{
	char name[RELNAME_MAX + 1], want[RELNAME_MAX + 1];
	size_t n = strcspn(rest, "/");
	const char *deeper = rest + n + (rest[n] == '/');
	int err;

	if (!n)
		return 0;
	if (n == 1 && *rest == '*')
		return collect_any(root, names, set, live, deeper, required);
	err = find_name(root, live, rest, n, true, name);
	if (err)
		return err == 1 || err == -ERR_GONE ? 0 : err;
	snprintf(want, sizeof want, "%.*s", (int)n, rest);
	return collect_below(root, names, set, want, live, name, deeper, required);
}

/* Says everything that is missing, not only the first. */
static int
names_complete(const struct names *names, enum layout_type type)
{
	char missing[512] = "";
	size_t n, used = 0;
	const struct layout_row *rows = layout_rows(type, &n);

	if (!names->database)
		used += (size_t)snprintf(missing, sizeof missing, " file %s", layout_root_database(type));
	for (size_t i = 0; i < n && used < sizeof missing; i++)
		if (rows[i].required && *rows[i].dir && !names_find(names, rows[i].dir, strlen(rows[i].dir)))
			used += (size_t)snprintf(missing + used, sizeof missing - used, "%s directory %s", used ? "," : "", rows[i].dir);
	return used ? err_set(ERR_CONFIG, "not a %s: missing%s", layout_type_name(type), missing) : 0;
}

static int
names_read(int root, enum layout_type type, struct names *ret_names)
{
	struct names names = {0};
	char database[RELNAME_MAX + 1];
	size_t n;
	const struct layout_row *rows = layout_rows(type, &n);
	const char *want = layout_root_database(type);
	int err = find_name(root, "", want, strlen(want), false, database);

	if (err == 0 && !(names.database = strdup(database)))
		err = err_set(ERR_NOMEM, "name of the root database");
	for (size_t i = 0; i < n && err >= 0; i++)
		err = collect(root, &names, "", "", rows[i].dir, rows[i].required);
	if (names.n)
		qsort(names.fixed, names.n, sizeof *names.fixed, by_set_path);
	if (err >= 0)
		err = names_complete(&names, type);
	if (err)
		names_fini(&names);
	else
		*ret_names = names;
	return err;
}

static int
identify(int fd, struct livetree_id *ret_id, dev_t *ret_dev)
{
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return err_sys("identity of the root");
	uint64_t fsid = 0;
	memcpy(&fsid, &fs.f_fsid, sizeof fsid < sizeof fs.f_fsid ? sizeof fsid : sizeof fs.f_fsid);
	*ret_id = (struct livetree_id){fsid, st.st_ino};
	*ret_dev = st.st_dev;
	return 0;
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
	int fd, err;

	if (!t || !(t->root = strdup(root))) {
		free(t);
		return err_set(ERR_NOMEM, "live tree");
	}
	t->type = type;
	fd = open_root(root);
	err = fd < 0 ? fd : identify(fd, &t->id, &t->dev);
	if (!err)
		err = err_prefix(names_read(fd, type, &t->names), "%s", root);
	if (fd >= 0)
		close(fd);
	if (err) {
		livetree_close(t);
		return err;
	}
	*ret_tree = t;
	return 0;
}

void
livetree_close(struct livetree *t)
{
	if (!t)
		return;
	names_fini(&t->names);
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
	if (!err && (id.inode != t->id.inode || id.fsid != t->id.fsid || (!id.fsid && *ret_dev != t->dev)))
		err = err_set(ERR_GONE, "%s: another directory lies there now", t->root);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* The root database, looked for again when its spelling changed. */
static int
check_database(const struct livetree *t, int root)
{
	const char *want = layout_root_database(t->type);
	char name[RELNAME_MAX + 1];
	struct stat st;

	if (fsio_stat(root, t->names.database, &st) == 0 && !S_ISDIR(st.st_mode))
		return 0;
	return find_name(root, "", want, strlen(want), false, name) == 0
	    ? 0 : err_set(ERR_GONE, "%s: its %s is gone", t->root, want);
}

/* The device a directory should lie on follows the root's own: a root mounted again has a new one. */
static int
check_device(const struct livetree *t, dev_t root_dev, const struct fixed *f, dev_t dev)
{
	if (dev == (f->dev == t->dev ? root_dev : f->dev))
		return 0;
	return err_set(ERR_GONE, "%s/%s: not on the file system it lay on", t->root, f->live);
}

static int
check_required(const struct livetree *t, int root, dev_t root_dev, const struct fixed *f)
{
	struct stat st;
	int err = fsio_stat(root, f->live, &st);

	if (err)
		return err_prefix(err, "%s/%s", t->root, f->live);
	return S_ISDIR(st.st_mode) ? check_device(t, root_dev, f, st.st_dev) : err_set(ERR_GONE, "%s/%s: no directory", t->root, f->live);
}

static int
check_root(const struct livetree *t, int root, dev_t root_dev)
{
	int err = check_database(t, root);

	for (size_t i = 0; i < t->names.n && !err; i++)
		if (t->names.fixed[i].required)
			err = check_required(t, root, root_dev, &t->names.fixed[i]);
	return err;
}

int
livetree_check(const struct livetree *t)
{
	dev_t dev;
	int fd = open_same_root(t, &dev), err;

	if (fd < 0)
		return fd;
	err = check_root(t, fd, dev);
	close(fd);
	return err;
}

/* Reads the names at `root` and makes sure that what is required lies where it lay, however it is spelled now. */
static int
names_again(const struct livetree *t, int root, dev_t root_dev, struct names *ret_names)
{
	struct names names;
	int err = names_read(root, t->type, &names);

	if (err)
		return err == -ERR_CONFIG ? err_set(ERR_GONE, "%s: no longer complete", t->root) : err;
	for (size_t i = 0; i < t->names.n && !err; i++) {
		const struct fixed *was = &t->names.fixed[i];
		const struct fixed *is = was->required ? names_find(&names, was->set, strlen(was->set)) : NULL;

		if (is)
			err = check_device(t, root_dev, was, is->dev);
	}
	if (err)
		names_fini(&names);
	else
		*ret_names = names;
	return err;
}

int
livetree_refresh(struct livetree *t)
{
	struct names names;
	dev_t dev;
	int fd = open_same_root(t, &dev), err;

	if (fd < 0)
		return fd;
	err = names_again(t, fd, dev, &names);
	close(fd);
	if (err)
		return err;
	t->dev = dev;
	names_fini(&t->names);
	t->names = names;
	return 0;
}

char *
livetree_live_path(const struct livetree *t, const char *path)
{
	const struct fixed *best = NULL;
	size_t best_len = 0, end = 0;

	for (int depth = 0; depth < FIXED_DEPTH && path[end]; depth++) {
		size_t len = end + (end ? 1 : 0);

		len += strcspn(path + len, "/");
		const struct fixed *f = names_find(&t->names, path, len);
		if (f) {
			best = f;
			best_len = len;
		}
		end = len;
	}
	if (!best)
		return strdup(path);

	size_t head = strlen(best->live), tail = strlen(path + best_len);
	char *live = malloc(head + tail + 1);
	if (live) {
		memcpy(live, best->live, head);
		memcpy(live + head, path + best_len, tail + 1);
	}
	return live;
}

/* The root for one call.  Never ERR_GONE, which would say that the path is gone: its caller would take it for deleted. */
static int
hold_root(const struct livetree *t)
{
	struct stat st;
	dev_t dev;
	int fd = open(t->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == t->dev && st.st_ino == t->id.inode)
		return fd;
	if (fd >= 0)
		close(fd);
	/* Perhaps the same file system, mounted again under another device number. */
	fd = open_same_root(t, &dev);
	return fd == -ERR_GONE || fd == -ERR_UNSAFE ? err_set(ERR_IO, "%s is gone or not mounted", t->root) : fd;
}

/* Opens a set path beneath the root, in one call. */
static int
open_beneath(const struct livetree *t, const char *path, int flags)
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

int
livetree_stat(const struct livetree *t, const char *path, struct stat *ret_st)
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
