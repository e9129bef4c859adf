/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how a path is resolved without leaving its directory, however hostile the tree and however long the path.
 *
 * The kernel does it in one call (openat2), which no renamer can race.  Two things it does not do: paths of PATH_MAX and
 * more, which are resolved group by group, and kernels or system-call filters without openat2, where every component is
 * opened alone with O_NOFOLLOW.  ".." is refused before either sees it, so both give the same answers.
 */
#include "base/fsio_beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"

#define AGAIN_MAX 16      /* EAGAIN: a rename raced with the resolution; the kernel asks us to come again */
#define FRUITLESS_MAX 100 /* visits of a tree being removed that found nothing to remove */

int
fsio_fail(const char *what, const char *path)
{
	switch (errno) {
	case ENOTDIR:
		return err_set(ERR_GONE, "%s %.400s: %s", what, path, strerror(errno));
	case EEXIST:
	case ENOTEMPTY:
	case EBUSY:
		return err_set(ERR_BUSY, "%s %.400s: %s", what, path, strerror(errno));
	case ENAMETOOLONG:
		return err_set(ERR_LIMIT, "%s %.400s: %s", what, path, strerror(errno));
	default:
		return err_sys("%s %.400s", what, path);
	}
}

static void
close_keeping_errno(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

/* ---- resolving: these return a descriptor, or -1 and errno ---- */

static int
open_by_kernel(int dirfd, const char *path, int flags, mode_t mode)
{
	/* Without O_NOFOLLOW: RESOLVE_NO_SYMLINKS covers the last component too, and says ELOOP where O_NOFOLLOW with
	 * O_DIRECTORY would say ENOTDIR. */
	struct open_how how = {
		.flags = (unsigned)flags,
		.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0,
		.resolve = RESOLVE_BENEATH | (PLANTED(symlink_followed) ? 0 : RESOLVE_NO_SYMLINKS) | RESOLVE_NO_MAGICLINKS,
	};

	for (int again = 0;; again++) {
		int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

		if (fd >= 0 || (errno != EINTR && errno != EAGAIN) || again >= AGAIN_MAX)
			return fd;
	}
}

/* One component, by O_NOFOLLOW.  With O_DIRECTORY the kernel calls a link "not a directory": look, and call it ELOOP. */
static int
open_component(int dirfd, const char *name, int flags, mode_t mode)
{
	struct stat st;
	int fd;

	do
		fd = openat(dirfd, name, flags | O_NOFOLLOW, mode);
	while (fd < 0 && errno == EINTR);
	if (fd < 0 && errno == ENOTDIR) {
		bool link = fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);

		errno = link ? ELOOP : ENOTDIR;
	}
	return fd;
}

/* Copies the first component of a valid path and returns what follows it; NULL after the last. */
static const char *
split_component(const char *path, char name[RELNAME_MAX + 1])
{
	size_t n = strcspn(path, "/");

	memcpy(name, path, n);
	name[n] = '\0';
	return path[n] ? path + n + 1 : NULL;
}

static int
open_by_walking(int dirfd, const char *path, int flags, mode_t mode)
{
	char name[RELNAME_MAX + 1];
	const char *rest;
	int at = dirfd, fd;

	while ((rest = split_component(path, name))) {
		fd = open_component(at, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (at != dirfd)
			close_keeping_errno(at);
		if (fd < 0)
			return -1;
		at = fd;
		path = rest;
	}
	fd = open_component(at, name, flags, mode);
	if (at != dirfd)
		close_keeping_errno(at);
	return fd;
}

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer does not see what a bare system call opens, and takes the next use of that number, by another thread, for a race. */
static atomic_int kernel_resolves = 0;
#else
static atomic_int kernel_resolves = -1; /* -1 not asked yet */
#endif

/* EPERM is how older container filters answer a call that they do not know. */
static bool
can_openat2(void)
{
	int known = atomic_load_explicit(&kernel_resolves, memory_order_relaxed);

	if (known < 0) {
		int fd = open_by_kernel(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);

		known = fd >= 0 || (errno != ENOSYS && errno != EPERM);
		if (fd >= 0)
			close(fd);
		atomic_store_explicit(&kernel_resolves, known, memory_order_relaxed);
	}
	return known;
}

/* Length of the longest run of whole components that the kernel takes at once.  A component is at most 255 bytes, so
 * there always is a slash. */
static size_t
group_len(const char *path)
{
	size_t n = PATH_MAX - 1;

	while (path[n] != '/')
		n--;
	return n;
}

static int
open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	int (*resolve)(int, const char *, int, mode_t) = can_openat2() ? open_by_kernel : open_by_walking;
	char group[PATH_MAX];
	int at = dirfd, fd;

	while (strlen(path) >= PATH_MAX) {
		size_t n = group_len(path);

		memcpy(group, path, n);
		group[n] = '\0';
		path += n + 1;
		fd = resolve(at, group, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (at != dirfd)
			close_keeping_errno(at);
		if (fd < 0)
			return -1;
		at = fd;
	}
	fd = resolve(at, path, flags, mode);
	if (at != dirfd)
		close_keeping_errno(at);
	return fd;
}

static int
refuse_path(const char *path)
{
	return err_set(ERR_UNSAFE, "path %.400s is not a plain relative path", *path ? path : "(empty)");
}

/* ---- opening ---- */

int
fsio_open(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	if (!relpath_valid(path))
		return refuse_path(path);
	fd = open_beneath(dirfd, path, flags | O_CLOEXEC, mode);
	return fd >= 0 ? fd : fsio_fail("open", path);
}

int
fsio_open_dir(int dirfd, const char *path)
{
	int fd;

	if (*path)
		return fsio_open(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
	/* Not dup(): that would share the position of a directory listing. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : fsio_fail("open", "directory");
}

int
fsio_parent_open(int dirfd, const char *path, enum fsio_parent_use use, struct fsio_parent *ret_parent)
{
	struct fsio_parent p = {.fd = dirfd};
	size_t dir_len;
	char *dir;

	if (!relpath_valid(path))
		return refuse_path(path);
	p.name = relpath_name(path);
	dir_len = relpath_dir_len(path);
	if (dir_len > 0) {
		dir = strndup(path, dir_len);
		if (!dir)
			return err_set(ERR_NOMEM, "out of memory for a path");
		p.fd = fsio_open(dirfd, dir, (use == FSIO_PARENT_SYNC ? O_RDONLY : O_PATH) | O_DIRECTORY, 0);
		free(dir);
		if (p.fd < 0)
			return p.fd;
		p.owned = true;
	}
	*ret_parent = p;
	return 0;
}

void
fsio_parent_close(struct fsio_parent *p)
{
	if (p->owned)
		close_keeping_errno(p->fd);
	*p = (struct fsio_parent){.fd = -1};
}

/* Makes `name` unless it is there, and opens it. */
static int
make_dir(int at, const char *name, bool sync)
{
	int err = 0;

	if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
		return fsio_fail("make directory", name);
	/* Also when it was there: one that a killed process made and did not sync looks just like a durable one. */
	if (sync)
		err = fsio_sync_dir(at, "fsio.make_dirs");
	return err ? err : fsio_open_dir(at, name);
}

int
fsio_make_dirs(int dirfd, const char *path, bool sync)
{
	char name[RELNAME_MAX + 1];
	int at;

	if (!*path)
		return fsio_open_dir(dirfd, "");
	if (!relpath_valid(path))
		return refuse_path(path);
	if (!sync) {
		at = fsio_open_dir(dirfd, path); /* mostly it is there */
		if (at != -ERR_GONE)
			return at;
	}
	at = fsio_open_dir(dirfd, "");
	while (at >= 0 && path) {
		int next;

		path = split_component(path, name);
		next = make_dir(at, name, sync);
		close(at);
		at = next;
	}
	return at;
}

int
fsio_is_dir(DIR *list, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode);
	return errno == ENOENT ? 0 : err_sys("looking at %s", entry->d_name);
}

int
fsio_stat(int dirfd, const char *path, struct stat *ret_st)
{
	struct fsio_parent p;
	struct stat st;
	int err = fsio_parent_open(dirfd, path, FSIO_PARENT_PASS, &p);

	if (err)
		return err;
	if (fstatat(p.fd, p.name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		err = fsio_fail("stat", path);
	else
		*ret_st = st;
	fsio_parent_close(&p);
	return err;
}

/* ---- removing ---- */

static int
remove_one(int dirfd, const char *path, int how)
{
	struct fsio_parent p;
	int err = fsio_parent_open(dirfd, path, FSIO_PARENT_PASS, &p);

	if (err)
		return err == -ERR_GONE ? 0 : err;
	if (unlinkat(p.fd, p.name, how) != 0 && errno != ENOENT)
		err = fsio_fail("remove", path);
	fsio_parent_close(&p);
	return err;
}

int
fsio_unlink(int dirfd, const char *path)
{
	return remove_one(dirfd, path, 0);
}

int
fsio_rmdir(int dirfd, const char *path)
{
	return remove_one(dirfd, path, AT_REMOVEDIR);
}

/*
 * A tree is removed with one open directory, however deep it is: on the way down the identity of each directory is kept,
 * on the way up ".." must be the one we came from.  A directory that somebody moves meanwhile therefore ends the removal
 * instead of leading it elsewhere.
 */
struct tree_level {
	dev_t dev;
	ino_t ino;
};

struct tree_walk {
	DIR *dir;                 /* where we are */
	struct tree_level *above; /* the way back */
	size_t depth, room;
	unsigned fruitless;
};

/* 0 removed or gone, 1 a directory with something in it, or a negative error. */
static int
remove_entry(int fd, const char *name)
{
	if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return fsio_fail("remove", name);
	if (unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	return errno == ENOTEMPTY || errno == EEXIST ? 1 : fsio_fail("remove", name);
}

/* Takes `fd`, also on failure, as the directory where we are. */
static int
move_to(struct tree_walk *w, int fd)
{
	DIR *dir = fdopendir(fd);

	if (!dir) {
		int err = err_sys("list a directory");

		close(fd);
		return err;
	}
	if (w->dir)
		closedir(w->dir);
	w->dir = dir;
	return 0;
}

static int
descend(struct tree_walk *w, const char *name)
{
	struct stat here, below;
	int fd;

	if (w->depth == w->room) {
		size_t room = w->room ? 2 * w->room : 32;
		struct tree_level *grown = realloc(w->above, room * sizeof(*grown));

		if (!grown)
			return err_set(ERR_NOMEM, "out of memory for a deep directory");
		w->above = grown;
		w->room = room;
	}
	fd = open_component(dirfd(w->dir), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return errno == ENOENT ? 0 : fsio_fail("open", name);
	if (fstat(dirfd(w->dir), &here) != 0 || fstat(fd, &below) != 0 || here.st_dev != below.st_dev) {
		close(fd);
		return err_set(ERR_UNSAFE, "remove %s: another file system is mounted there", name);
	}
	w->above[w->depth++] = (struct tree_level){here.st_dev, here.st_ino};
	return move_to(w, fd);
}

static int
ascend(struct tree_walk *w)
{
	struct tree_level want = w->above[w->depth - 1];
	struct stat st;
	int fd = openat(dirfd(w->dir), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fsio_fail("open", "the directory above");
	if (fstat(fd, &st) != 0 || st.st_dev != want.dev || st.st_ino != want.ino) {
		close(fd);
		return err_set(ERR_UNSAFE, "a directory was moved while it was being removed");
	}
	w->depth--;
	return move_to(w, fd);
}

/* Removes what it can from the current directory; goes down into the first directory that is not empty, and up when
 * nothing is left.  1 = the top is empty. */
static int
remove_step(struct tree_walk *w)
{
	struct dirent *e;

	while (errno = 0, (e = readdir(w->dir))) {
		int left;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		left = remove_entry(dirfd(w->dir), e->d_name);
		if (left < 0)
			return left;
		if (left > 0)
			return descend(w, e->d_name);
		w->fruitless = 0;
	}
	if (errno)
		return fsio_fail("list", "directory");
	/* Empty, but the file system may still refuse to remove it (names that a listing hides): do not come back for
	 * ever. */
	if (++w->fruitless > FRUITLESS_MAX)
		return err_set(ERR_BUSY, "a directory does not become empty");
	return w->depth ? ascend(w) : 1;
}

static int
empty_dir(int parent, const char *name)
{
	struct tree_walk w = {0};
	int err, fd = open_component(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return fsio_fail("open", name);
	err = move_to(&w, fd);
	while (!err)
		err = remove_step(&w);
	if (w.dir)
		closedir(w.dir);
	free(w.above);
	return err < 0 ? err : 0;
}

int
fsio_remove_tree(int dirfd, const char *path)
{
	struct fsio_parent p;
	int err = fsio_parent_open(dirfd, path, FSIO_PARENT_PASS, &p);

	if (err)
		return err == -ERR_GONE ? 0 : err;
	err = remove_entry(p.fd, p.name);
	if (err > 0) {
		err = empty_dir(p.fd, p.name);
		if (!err && unlinkat(p.fd, p.name, AT_REMOVEDIR) != 0 && errno != ENOENT)
			err = fsio_fail("remove", path);
	}
	fsio_parent_close(&p);
	return err;
}
