/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows what makes bytes durable: which call syncs what, in which order, and where a crash may fall in between.
 */
#include "base/fsio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio_beneath.h"
#include "base/planted.h"

#define FAILPOINT_NAME_MAX 64
#define READ_STEP 4096u

/* ---- failpoints ---- */

static struct {
	bool armed; /* written before main, only read afterwards */
	char name[FAILPOINT_NAME_MAX];
	atomic_long left;
} crash;

/* "name:n", n = 1 when absent. */
static void
failpoint_arm(const char *text)
{
	size_t len = strcspn(text, ":");
	long n = text[len] ? strtol(text + len + 1, NULL, 10) : 1;

	if (len == 0 || len >= sizeof(crash.name) || n < 1)
		return;
	memcpy(crash.name, text, len);
	crash.name[len] = '\0';
	atomic_store(&crash.left, n);
	crash.armed = true;
}

/* A constructor, so that there is no first caller to wait for and no thread yet to race with. */
__attribute__((constructor)) static void
failpoint_read_environment(void)
{
	const char *text = getenv("TIDEMARK_FAILPOINT");

	if (text)
		failpoint_arm(text);
}

void
failpoint(const char *name)
{
	if (!crash.armed || strcmp(name, crash.name) != 0 || atomic_fetch_sub(&crash.left, 1) != 1)
		return;
	kill(getpid(), SIGKILL);
	for (;;) /* not one instruction further, whichever thread the signal takes first */
		pause();
}

/* A point within a step: "name.done". */
static void
failpoint_within(const char *name, const char *part)
{
	char full[FAILPOINT_NAME_MAX];

	if (!crash.armed)
		return;
	snprintf(full, sizeof(full), "%s.%s", name, part);
	failpoint(full);
}

/* ---- whole reads and writes ---- */

ssize_t
fsio_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	uint8_t *at = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, at + done, len - done, (off_t)(offset + done));

		if (n == 0 || (PLANTED(short_read_ignored) && done > 0))
			break;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			return err_sys("read at %llu", (unsigned long long)(offset + done));
	}
	return (ssize_t)done;
}

int
fsio_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	const uint8_t *at = buf;
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, at + done, len - done, (off_t)(offset + done));

		if (n > 0)
			done += PLANTED(short_write_ignored) ? len - done : (size_t)n;
		else if (n == 0)
			return err_set(ERR_IO, "write at %llu makes no progress", (unsigned long long)(offset + done));
		else if (errno != EINTR)
			return err_sys("write at %llu", (unsigned long long)(offset + done));
	}
	return 0;
}

/* Reads to the end whatever stat says: files of /proc and /sys claim to be empty. */
static int
read_to_end(int fd, size_t max, size_t hint, char **ret_data, size_t *ret_len)
{
	size_t len = 0, cap = (hint < max ? hint : max) + 1;
	char *data = NULL;

	for (;;) {
		char *grown = realloc(data, cap + 1); /* and the NUL */
		ssize_t n;
		int err = 0;

		if (!grown)
			err = err_set(ERR_NOMEM, "out of memory for %zu bytes of a file", cap);
		data = grown ? grown : data;
		n = err ? err : fsio_pread(fd, data + len, cap - len, len);
		if (n < 0 || len + (size_t)n > max) {
			free(data);
			return n < 0 ? (int)n : err_set(ERR_LIMIT, "longer than %zu bytes", max);
		}
		len += (size_t)n;
		if (len < cap)
			break;
		cap = max - len < cap ? max + 1 : 2 * cap;
	}
	data[len] = '\0';
	*ret_data = data;
	*ret_len = len;
	return 0;
}

/* Closes `fd`. */
static int
read_whole(int fd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	struct stat st;
	int err;

	if (fstat(fd, &st) != 0)
		err = fsio_fail("stat", path);
	else if (st.st_size > 0 && (uint64_t)st.st_size > max)
		err = err_set(ERR_LIMIT, "read %.400s: longer than %zu bytes", path, max);
	else
		err = read_to_end(fd, max, st.st_size ? (size_t)st.st_size : READ_STEP, ret_data, ret_len);
	close(fd);
	return err;
}

int
fsio_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	int fd = fsio_open(dirfd, path, O_RDONLY, 0);

	return fd < 0 ? fd : read_whole(fd, path, max, ret_data, ret_len);
}

int
fsio_read_path(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? fsio_fail("open", path) : read_whole(fd, path, max, ret_data, ret_len);
}

bool
fsio_has_no_subdirs(int dirfd)
{
	struct statfs fs;
	struct stat st;

	if (fstat(dirfd, &st) != 0 || st.st_nlink != 2 || fstatfs(dirfd, &fs) != 0)
		return false;
	return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC;
}

/* ---- durability ---- */

static int
sync_step(int fd, int (*sync)(int), const char *what, const char *name)
{
	failpoint(name);
	if (sync(fd) != 0)
		return err_sys("%s (%s)", what, name);
	failpoint_within(name, "done");
	return 0;
}

int
fsio_sync_file(int fd, const char *name)
{
	return PLANTED(file_not_synced) ? 0 : sync_step(fd, fdatasync, "sync file", name);
}

int
fsio_sync_dir(int fd, const char *name)
{
	return PLANTED(directory_not_synced) ? 0 : sync_step(fd, fsync, "sync directory", name);
}

int
fsio_sync_fs(int fd, const char *name)
{
	/* Since Linux 5.8 this also reports write-back errors of files that nobody has open any more. */
	return sync_step(fd, syncfs, "sync file system", name);
}

static int
rename_between(const struct fsio_parent *from, const struct fsio_parent *to, bool exclusive)
{
	if (renameat2(from->fd, from->name, to->fd, to->name, exclusive ? RENAME_NOREPLACE : 0) == 0)
		return 0;
	if (errno == EXDEV)
		return err_set(ERR_UNSUPPORTED, "rename %s to %s: not the same file system", from->name, to->name);
	if (errno == EINVAL && exclusive)
		return err_set(ERR_UNSUPPORTED, "rename %s: the file system cannot rename exclusively", from->name);
	return fsio_fail("rename to", to->name);
}

static bool
same_dir(int a, int b)
{
	struct stat x, y;

	return a == b || (fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static int
open_both(int from_dir, const char *from, int to_dir, const char *to, enum fsio_parent_use use,
    struct fsio_parent *ret_from, struct fsio_parent *ret_to)
{
	int err = fsio_parent_open(from_dir, from, use, ret_from);

	if (err)
		return err;
	err = fsio_parent_open(to_dir, to, use, ret_to);
	if (err)
		fsio_parent_close(ret_from);
	return err;
}

/* The new name first: a crash between the two syncs may leave both names, never none. */
static int
sync_both(int from, int to, const char *name)
{
	if (!PLANTED(published_name_not_synced) && (fsync(to) != 0 || (!same_dir(from, to) && fsync(from) != 0)))
		return err_sys("sync directory (%s)", name);
	return 0;
}

int
fsio_publish(int from_dir, const char *from, int to_dir, const char *to, bool exclusive, const char *name)
{
	struct fsio_parent a, b;
	int err = open_both(from_dir, from, to_dir, to, FSIO_PARENT_SYNC, &a, &b);

	if (err)
		return err;
	failpoint(name);
	err = rename_between(&a, &b, exclusive);
	if (!err) {
		failpoint_within(name, "renamed");
		err = sync_both(a.fd, b.fd, name);
	}
	if (!err)
		failpoint_within(name, "done");
	fsio_parent_close(&a);
	fsio_parent_close(&b);
	return err;
}

int
fsio_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	struct fsio_parent a, b;
	int err = open_both(from_dir, from, to_dir, to, FSIO_PARENT_PASS, &a, &b);

	if (err)
		return err;
	err = rename_between(&a, &b, false);
	fsio_parent_close(&a);
	fsio_parent_close(&b);
	return err;
}

/* The temporary file is made new each time: one left by a crash may have other rights, or other links. */
static int
write_beside(int dirfd, const char *temp, const void *data, size_t len, mode_t mode, const char *name)
{
	int err = fsio_unlink(dirfd, temp);
	int fd = err ? err : fsio_open(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL, mode);

	if (fd < 0)
		return fd;
	err = fsio_pwrite(fd, data, len, 0);
	if (!err && !PLANTED(replacement_not_synced) && fdatasync(fd) != 0)
		err = err_sys("sync file (%s)", name);
	if (close(fd) != 0 && !err)
		err = err_sys("close file (%s)", name);
	return err;
}

static int
replace_in(const struct fsio_parent *p, const void *data, size_t len, mode_t mode, const char *name)
{
	char temp[256];
	struct fsio_parent new = {.fd = p->fd, .name = temp};
	int err;

	if ((size_t)snprintf(temp, sizeof(temp), ".%s.new", p->name) >= sizeof(temp))
		return err_set(ERR_LIMIT, "replace %s: name too long", p->name);
	failpoint(name);
	err = write_beside(p->fd, temp, data, len, mode, name);
	if (!err) {
		failpoint_within(name, "synced");
		err = rename_between(&new, p, false);
	}
	if (err) {
		unlinkat(p->fd, temp, 0);
		return err;
	}
	failpoint_within(name, "renamed");
	if (fsync(p->fd) != 0)
		return err_sys("sync directory (%s)", name);
	failpoint_within(name, "done");
	return 0;
}

int
fsio_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, const char *name)
{
	struct fsio_parent p;
	int err = fsio_parent_open(dirfd, path, FSIO_PARENT_SYNC, &p);

	if (err)
		return err;
	err = replace_in(&p, data, len, mode, name);
	fsio_parent_close(&p);
	return err;
}

/* ---- copying ---- */

int
fsio_clone(int from, int to)
{
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	switch (errno) {
	case EOPNOTSUPP:
	case ENOTTY:
	case ENOSYS:
	case EINVAL:
	case EXDEV:
		return err_set(ERR_UNSUPPORTED, "clone: %s", strerror(errno));
	default:
		return err_sys("clone");
	}
}

static int
write_zeros(int fd, uint64_t offset, uint64_t len)
{
	static const uint8_t zeros[64 * 1024];
	int err = 0;

	while (!err && len > 0) {
		size_t n = len < sizeof(zeros) ? (size_t)len : sizeof(zeros);

		err = fsio_pwrite(fd, zeros, n, offset);
		offset += n;
		len -= n;
	}
	return err;
}

int
fsio_punch(int fd, uint64_t offset, uint64_t len)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys("stat");
	if (offset >= (uint64_t)st.st_size)
		return 0;
	if (len > (uint64_t)st.st_size - offset)
		len = (uint64_t)st.st_size - offset;
	if (len == 0)
		return 0;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return err_sys("punch a hole");
	return write_zeros(fd, offset, len);
}

int
fsio_set_size(int fd, uint64_t size)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || ((uint64_t)st.st_size != size && ftruncate(fd, (off_t)size) != 0))
		return err_sys("set size");
	return 0;
}

int
fsio_next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start = (off_t)offset, end = (off_t)size;

	if (offset < size) {
		start = lseek(fd, (off_t)offset, SEEK_DATA);
		if (start < 0 && errno == ENXIO)
			start = (off_t)size; /* only a hole is left, or the file has shrunk */
		else if (start < 0 && errno == EINVAL)
			start = (off_t)offset; /* no SEEK_DATA here: everything is data */
		else if (start >= 0)
			end = lseek(fd, start, SEEK_HOLE);
		if (start < 0 || (end < 0 && errno != ENXIO))
			return err_sys("look for data");
	}
	if (end < 0 || (uint64_t)end > size)
		end = (off_t)size;
	*ret_start = (uint64_t)start < size ? (uint64_t)start : size;
	*ret_end = (uint64_t)start < size ? (uint64_t)end : size;
	return 0;
}

int
fsio_space(int fd, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes, uint64_t *ret_free_inodes)
{
	struct statvfs vfs;

	if (fstatvfs(fd, &vfs) != 0)
		return err_sys("ask for free space");
	*ret_free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	*ret_total_bytes = (uint64_t)vfs.f_blocks * vfs.f_frsize;
	/* btrfs has no inode table and says 0 of 0. */
	*ret_free_inodes = vfs.f_files ? vfs.f_favail : UINT64_MAX;
	return 0;
}

int
fsio_lock(int dirfd, const char *path)
{
	int err, fd = fsio_open(dirfd, path, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	err = errno == EWOULDBLOCK ? err_set(ERR_BUSY, "%.400s is locked by another process", path) : fsio_fail("lock", path);
	close(fd);
	return err;
}
