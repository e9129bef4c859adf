/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spelling - lists each directory that holds a fixed one, and decides between names that differ in case only. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "mounts.h"
#include "spelling.h"

#define FIXED_DEPTH 3 /* components of the deepest row */

void
spelling_free(struct spelling *names)
{
	if (!names)
		return;
	for (size_t i = 0; i < names->n; i++) {
		free(names->fixed[i].set);
		free(names->fixed[i].live);
	}
	free(names->fixed);
	free(names->database);
	free(names);
}

/* Compares a table key with the first `len` bytes of `path`. */
static int
compare_head(const char *set, const char *path, size_t len)
{
	int order = strncmp(set, path, len);

	return order ? order : set[len] != '\0';
}

const struct fixed *
spelling_find(const struct spelling *names, const char *path, size_t len)
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
add(struct spelling *names, const char *set, const char *live, dev_t dev, bool required)
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
	struct fixed f = {.set = strdup(set), .live = strdup(live), .dev = dev, .required = required};
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

/* Of two names that differ in case only, the exact lower case wins, then the first in byte order: never a matter of luck. */
static bool
better(const char *name, const char *best, const char *want)
{
	return !*best || strcmp(name, want) == 0 || (strcmp(best, want) != 0 && strcmp(name, best) < 0);
}

int
spelling_look_for(int root, const char *live, const char *want, size_t want_len, bool want_dir, char ret_name[RELNAME_MAX + 1])
{
	char wanted[RELNAME_MAX + 1], best[RELNAME_MAX + 1] = "";
	struct dirent *entry;
	DIR *list;
	int err = open_list(root, live, &list);

	if (err)
		return err;
	snprintf(wanted, sizeof wanted, "%.*s", (int)want_len, want);
	while (!err && (errno = 0, entry = readdir(list))) {
		int dir = strcasecmp(entry->d_name, wanted) == 0 ? fsio_is_dir(list, entry) : !want_dir;

		if (dir < 0)
			err = dir;
		else if (dir == want_dir && better(entry->d_name, best, wanted))
			snprintf(best, sizeof best, "%s", entry->d_name);
	}
	if (!err)
		err = errno ? err_sys("list %s", live) : !*best;
	closedir(list);
	if (err == 0)
		snprintf(ret_name, RELNAME_MAX + 1, "%s", best);
	return err;
}

static int collect(int root, struct spelling *names, const char *set, const char *live, const char *rest, bool required);

/* One step down: `set_name` is called `live_name` on disk. */
static int
collect_below(int root, struct spelling *names, const char *set, const char *set_name, const char *live, const char *live_name,
    const char *rest, bool required)
{
	char *set_child = relpath_join(set, set_name), *live_child = relpath_join(live, live_name);
	struct stat st;
	int err = 0;

	if (!set_child || !live_child)
		err = err_set(ERR_NOMEM, "names of the fixed directories");
	else
		err = fsio_stat(root, live_child, &st);
	if (!err)
		err = add(names, set_child, live_child, st.st_dev, required && !*rest);
	if (!err)
		err = collect(root, names, set_child, live_child, rest, required);
	free(set_child);
	free(live_child);
	return err == -ERR_GONE ? 0 : err; /* vanished between list and look: absent.  What cannot be looked at is not. */
}

static int
collect_any(int root, struct spelling *names, const char *set, const char *live, const char *rest, bool required)
{
	struct dirent *entry;
	DIR *list;
	int err = open_list(root, live, &list);

	if (err)
		return err == -ERR_GONE ? 0 : err;
	while (!err && (errno = 0, entry = readdir(list))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		err = fsio_is_dir(list, entry);
		if (err > 0)
			err = collect_below(root, names, set, entry->d_name, live, entry->d_name, rest, required);
	}
	if (!err && errno)
		err = err_sys("list %s", live);
	closedir(list);
	return err;
}

/* Adds what exists of the fixed directory `rest` below `live`.  As deep as the layout's rows: FIXED_DEPTH. */
static int
collect(int root, struct spelling *names, const char *set, const char *live, const char *rest, bool required)
{
	char name[RELNAME_MAX + 1], want[RELNAME_MAX + 1];
	size_t n = strcspn(rest, "/");
	const char *deeper = rest + n + (rest[n] == '/');
	int err;

	if (!n)
		return 0;
	if (n == 1 && *rest == '*')
		return collect_any(root, names, set, live, deeper, required);
	err = spelling_look_for(root, live, rest, n, true, name);
	if (err)
		return err == 1 || err == -ERR_GONE ? 0 : err;
	snprintf(want, sizeof want, "%.*s", (int)n, rest);
	return collect_below(root, names, set, want, live, name, deeper, required);
}

/* Says everything that is missing, not only the first. */
static int
check_complete(const struct spelling *names, enum layout_type type)
{
	char missing[512] = "";
	size_t n, used = 0;
	const struct layout_row *rows = layout_rows(type, &n);

	if (!names->database)
		used += (size_t)snprintf(missing, sizeof missing, " file %s", layout_root_database(type));
	for (size_t i = 0; i < n && used < sizeof missing; i++)
		if (rows[i].required && *rows[i].dir && !spelling_find(names, rows[i].dir, strlen(rows[i].dir)))
			used += (size_t)snprintf(missing + used, sizeof missing - used, "%s directory %s", used ? "," : "", rows[i].dir);
	return used ? err_set(ERR_CONFIG, "not a %s: missing%s", layout_type_name(type), missing) : 0;
}

/* struct xfs_fsop_geom_v1 and its ioctl, whose header Debian ships with the tools of XFS only. */
struct xfs_geometry {
	uint32_t sizes[8];
	uint64_t places[4];
	uint8_t uuid[16];
	uint32_t more[7];
};
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)

/* XFS tells its device number for its identity, and that may be another after a reboot.  What only calls itself XFS has none. */
static int
fsid_of_xfs(int fd, uint64_t *ret_fsid)
{
	struct xfs_geometry geometry;
	uint64_t halves[2];

	*ret_fsid = 0;
	if (ioctl(fd, XFS_GEOMETRY, &geometry) != 0)
		return errno == ENOTTY || errno == EOPNOTSUPP ? 0 : err_sys("identity of a file system");
	memcpy(halves, geometry.uuid, sizeof halves);
	*ret_fsid = halves[0] ^ halves[1];
	return 0;
}

int
spelling_fsid_of(int fd, uint64_t *ret_fsid)
{
	struct statfs fs;
	uint64_t fsid = 0;

	if (fstatfs(fd, &fs) != 0)
		return err_sys("identity of a file system");
	if (fs.f_type == XFS_SUPER_MAGIC)
		return fsid_of_xfs(fd, ret_fsid);
	memcpy(&fsid, &fs.f_fsid, sizeof fsid < sizeof fs.f_fsid ? sizeof fsid : sizeof fs.f_fsid);
	*ret_fsid = fsid;
	return 0;
}

int
spelling_fsid(int root, const char *live, uint64_t *ret_fsid)
{
	int err, fd = fsio_open_dir(root, live);

	if (fd < 0)
		return fd;
	err = spelling_fsid_of(fd, ret_fsid);
	close(fd);
	return err;
}

struct mounting {
	int root;
	struct spelling *names;
	enum layout_type type;
};

static int
note_mount(struct spelling *names, const char *set, const char *live, dev_t dev)
{
	int err = add(names, set, live, dev, false);

	for (size_t i = 0; i < names->n && !err; i++)
		if (strcmp(names->fixed[i].set, set) == 0)
			names->fixed[i].mount = true;
	if (!err)
		qsort(names->fixed, names->n, sizeof *names->fixed, by_set_path);
	return err;
}

/* A mount point anywhere in an area counts as a fixed directory does: unmounted, it is an empty directory that proves nothing. */
static int
add_mount(const char *live, void *arg)
{
	struct mounting *m = arg;
	char *set = strdup(live), *ours = NULL;
	struct stat st;
	int err = 0;

	if (set) {
		layout_canonical(m->type, set);
		ours = spelling_live_path(m->names, set);
	}
	if (!ours)
		err = err_set(ERR_NOMEM, "mount points in the tree");
	/* Another spelling may hide it, or what was mounted above it later. */
	else if ((layout_of(m->type, set, true) || layout_watch(m->type, set) != LAYOUT_WATCH_NONE) && strcmp(ours, live) == 0 &&
	    fsio_stat(m->root, live, &st) == 0 && S_ISDIR(st.st_mode) && mounts_at(m->root, live))
		err = note_mount(m->names, set, live, st.st_dev);
	free(set);
	free(ours);
	return err;
}

/* The table is sorted: a parent comes before what lies in it. */
static int
find_volumes(int root, struct spelling *names)
{
	int err = 0;

	for (size_t i = 0; i < names->n && !err; i++) {
		struct fixed *f = &names->fixed[i];
		size_t len = relpath_dir_len(f->set);
		const struct fixed *parent = len ? spelling_find(names, f->set, len) : NULL;

		f->volume = f->mount || f->dev != (parent ? parent->dev : names->root_dev);
		if (f->volume)
			err = spelling_fsid(root, f->live, &f->fsid);
	}
	return err;
}

int
spelling_read(int root, dev_t root_dev, enum layout_type type, struct spelling **ret_names)
{
	struct spelling *names = calloc(1, sizeof *names);
	char database[RELNAME_MAX + 1];
	size_t n;
	const struct layout_row *rows = layout_rows(type, &n);
	const char *want = layout_root_database(type);
	int err = names ? spelling_look_for(root, "", want, strlen(want), false, database) : err_set(ERR_NOMEM, "names of the fixed directories");

	if (err < 0) {
		spelling_free(names);
		return err;
	}
	names->root_dev = root_dev;
	if (err == 0 && !(names->database = strdup(database)))
		err = err_set(ERR_NOMEM, "name of the root database");
	for (size_t i = 0; i < n && err >= 0; i++)
		err = collect(root, names, "", "", rows[i].dir, rows[i].required);
	if (names->n)
		qsort(names->fixed, names->n, sizeof *names->fixed, by_set_path);
	if (err >= 0) {
		struct mounting m = {.root = root, .names = names, .type = type};

		err = mounts_below(root, add_mount, &m);
	}
	if (err >= 0)
		err = check_complete(names, type);
	if (err == 0)
		err = find_volumes(root, names);
	if (err)
		spelling_free(names);
	else
		*ret_names = names;
	return err;
}

bool
spelling_same(const struct spelling *a, const struct spelling *b)
{
	if (a->n != b->n || a->root_dev != b->root_dev || strcmp(a->database, b->database) != 0)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->fixed[i].set, b->fixed[i].set) != 0 || strcmp(a->fixed[i].live, b->fixed[i].live) != 0 ||
		    a->fixed[i].dev != b->fixed[i].dev || a->fixed[i].mount != b->fixed[i].mount)
			return false;
	return true;
}

char *
spelling_live_path(const struct spelling *names, const char *path)
{
	const struct fixed *best = NULL;
	size_t best_len = 0, end = 0;

	for (int depth = 0; depth < FIXED_DEPTH && path[end]; depth++) {
		size_t len = end + (end ? 1 : 0);

		len += strcspn(path + len, "/");
		const struct fixed *f = spelling_find(names, path, len);
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
