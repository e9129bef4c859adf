/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fsio - how bytes become durable and how a path is opened without leaving its directory.  The only file that calls
 * fsync, fdatasync, syncfs, rename and openat2.
 *
 * Every durable step passes a named failpoint.  In a normal run a failpoint costs one load; with
 * TIDEMARK_FAILPOINT="name:n" in the environment the process kills itself with SIGKILL at the n-th pass of `name`
 * (tests/crash enumerates them).
 *
 * A failed sync is never retried on the same descriptor: the kernel has marked the pages clean and the data may be
 * gone.  The caller treats everything since the last good sync as not durable and starts from the source again.
 *
 * Errors come from err_sys(); a path that climbs or crosses a link is ERR_UNSAFE, one that is not there (or leads through
 * what is no directory) ERR_GONE, a name that exists or a directory that is not empty ERR_BUSY.  Paths are what
 * relpath_valid() allows.  A held directory is one from fsio_open_dir(): O_PATH descriptors cannot be synced.
 * Threads: any.
 */
#ifndef BASE_FSIO_H
#define BASE_FSIO_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Kills the process here when the environment asks for it. */
void failpoint(const char *name);

/* ---- opening beneath a held directory: openat2(BENEATH|NO_SYMLINKS|NO_MAGICLINKS), paths of any depth ---- */

/* Opens; O_CLOEXEC is added and no link is followed.  Returns the descriptor or a negative error.  A FIFO waits for its
 * other end: give O_NONBLOCK where one may stand. */
int fsio_open(int dirfd, const char *path, int flags, mode_t mode);

/* Opens the directory `path` ("" = dirfd itself, opened again) for use as a dirfd. */
int fsio_open_dir(int dirfd, const char *path);

/* Makes all missing directories of `path` (0700 & ~umask) and opens the last.  With `sync` every directory on the way is
 * durable on return, also one that an earlier process made and did not sync (failpoint fsio.make_dirs); without it the
 * caller's fsio_sync_fs() does that. */
int fsio_make_dirs(int dirfd, const char *path, bool sync);

/* lstat beneath: 0, or -ERR_GONE and so on. */
int fsio_stat(int dirfd, const char *path, struct stat *ret_st);

/* Whether a name that readdir() gave is a directory itself: 1, 0, or a negative error.  Not every file system tells the kinds of names in a
 * list; what has gone since is none, and what cannot be looked at is not absent. */
int fsio_is_dir(DIR *list, const struct dirent *entry);

/* Removes a file / an empty directory / a whole tree beneath.  A tree may be of any depth; links are removed, not
 * followed, and a mount point in it is ERR_UNSAFE.  Absent is success. */
int fsio_unlink(int dirfd, const char *path);
int fsio_rmdir(int dirfd, const char *path);
int fsio_remove_tree(int dirfd, const char *path);

/* ---- whole reads and writes ---- */

/* Reads up to `len` bytes, fewer only at the end of the file.  Returns the count or a negative error. */
ssize_t fsio_pread(int fd, void *buf, size_t len, uint64_t offset);
int fsio_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/* Reads a small file whole, at most `max` bytes (-ERR_LIMIT above): *gives* a NUL-terminated buffer. */
int fsio_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len);
/* The same for a path of our own, which may be absolute. */
int fsio_read_path(const char *path, size_t max, char **ret_data, size_t *ret_len);

/* True when the open directory has no sub-directory, as its links tell where a file system is known to count them: two is none.
 * False where that is not known: then somebody has to list it. */
bool fsio_has_no_subdirs(int dirfd);

/* ---- durability ---- */

/* fdatasync of one file; failpoint `name` before and `name`.done after. */
int fsio_sync_file(int fd, const char *name);
/* fsync of a directory. */
int fsio_sync_dir(int fd, const char *name);
/* syncfs of the file system that holds `fd`: one sync for many files. */
int fsio_sync_fs(int fd, const char *name);

/* Renames within or between held directories, then syncs both directories.  `exclusive`: -ERR_BUSY if the target exists.
 * Between file systems: -ERR_UNSUPPORTED.  Failpoints `name` before, `name`.renamed, `name`.done. */
int fsio_publish(int from_dir, const char *from, int to_dir, const char *to, bool exclusive, const char *name);

/* Renames without syncing: the caller's group sync makes it durable. */
int fsio_rename(int from_dir, const char *from, int to_dir, const char *to);

/* Replaces a small file whole and durably: temp beside it (".<file>.new", so one writer at a time), write, sync, rename,
 * sync directory.  Failpoints `name` before, `name`.synced, `name`.renamed, `name`.done. */
int fsio_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, const char *name);

/* ---- copying ---- */

/* Reflink the whole of `from` into the empty `to`: 0, or -ERR_UNSUPPORTED when the file system cannot. */
int fsio_clone(int from, int to);

/* Makes `len` bytes at `offset` a hole where the file system can, zeros elsewhere.  The size of the file stays. */
int fsio_punch(int fd, uint64_t offset, uint64_t len);

/* Sets the file's size, unless it is that already: XFS answers a size that its inode on disk does not have yet by writing the file out,
 * and waits for the disk (xfs_setattr_size); for each small file that had just been copied. */
int fsio_set_size(int fd, uint64_t size);

/* The next piece of data at or after `offset`: its start and end, both `size` when only a hole is left.  On file systems
 * without SEEK_DATA everything is data.  Moves the file position of `fd`. */
int fsio_next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start, uint64_t *ret_end);

/* Bytes and inodes free for this user, and the total, of the file system that holds `fd`; inodes are UINT64_MAX where
 * they are not counted. */
int fsio_space(int fd, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes, uint64_t *ret_free_inodes);

/* Takes an exclusive lock on `path` (made when absent), released when the returned descriptor is closed or the process
 * dies; -ERR_BUSY when another process holds it. */
int fsio_lock(int dirfd, const char *path);

#endif
