/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/tools/crashpoint/calls.h"

#define FICLONE_NR 0x40049409u

const struct call calls[] = {
	{SYS_write, "write", WRITES, 0, -1, -1, 2}, {SYS_pwrite64, "pwrite", WRITES, 0, -1, -1, 2},
	{SYS_sendto, "sendto", WRITES, 0, -1, -1, 2}, {SYS_copy_file_range, "copy_file_range", WRITES, 2, -1, -1, 4},
	{SYS_sendfile, "sendfile", WRITES, 0, -1, -1, 3}, {SYS_writev, "writev", WRITES, 0, -1, -1, 2},
	{SYS_pwritev, "pwritev", WRITES, 0, -1, -1, 2}, {SYS_pwritev2, "pwritev2", WRITES, 0, -1, -1, 2},
	{SYS_sendmsg, "sendmsg", WRITES, 0, -1, -1, -1}, {SYS_ftruncate, "ftruncate", SYNCS, 0, -1, -1, -1},
	{SYS_fallocate, "fallocate", SYNCS, 0, -1, -1, -1}, {SYS_ioctl, "ioctl", SYNCS, 0, -1, 1, -1},
	{SYS_fsync, "fsync", SYNCS, 0, -1, -1, -1}, {SYS_fdatasync, "fdatasync", SYNCS, 0, -1, -1, -1},
	{SYS_syncfs, "syncfs", SYNCS, 0, -1, -1, -1}, {SYS_sync_file_range, "sync_file_range", SYNCS, 0, -1, -1, -1},
	{SYS_msync, "msync", SYNCS, -1, -1, -1, -1}, {SYS_fchmod, "fchmod", SYNCS, 0, -1, -1, -1},
	{SYS_fchown, "fchown", SYNCS, 0, -1, -1, -1}, {SYS_fchownat, "fchownat", NAMES, 0, 1, -1, -1},
	{SYS_fchmodat, "fchmodat", NAMES, 0, 1, -1, -1}, {SYS_utimensat, "utimensat", NAMES, 0, 1, -1, -1},
	{SYS_mkdirat, "mkdirat", NAMES, 0, 1, -1, -1}, {SYS_unlinkat, "unlinkat", NAMES, 0, 1, -1, -1},
	{SYS_linkat, "linkat", NAMES, 2, 3, -1, -1}, {SYS_symlinkat, "symlinkat", NAMES, 1, 2, -1, -1},
	{SYS_renameat, "renameat", NAMES, 2, 3, -1, -1}, {SYS_renameat2, "renameat2", NAMES, 2, 3, -1, -1},
#ifdef __x86_64__
	{SYS_rename, "rename", NAMES, -1, 1, -1, -1}, {SYS_unlink, "unlink", NAMES, -1, 0, -1, -1},
	{SYS_mkdir, "mkdir", NAMES, -1, 0, -1, -1}, {SYS_rmdir, "rmdir", NAMES, -1, 0, -1, -1},
	{SYS_link, "link", NAMES, -1, 1, -1, -1}, {SYS_symlink, "symlink", NAMES, -1, 1, -1, -1},
	{SYS_chmod, "chmod", NAMES, -1, 0, -1, -1}, {SYS_open, "open", OPENS, -1, 0, 1, -1},
	{SYS_stat, "stat", STATS, -1, 0, -1, -1}, {SYS_lstat, "lstat", STATS, -1, 0, -1, -1},
	{SYS_access, "access", STATS, -1, 0, -1, -1}, {SYS_getdents64, "getdents64", STATS, 0, -1, -1, -1},
#endif
	{SYS_openat, "openat", OPENS, 0, 1, 2, -1}, {SYS_openat2, "openat2", OPENS, 0, 1, -1, -1},
	{SYS_read, "read", READS, 0, -1, -1, 2}, {SYS_pread64, "pread", READS, 0, -1, -1, 2},
	{SYS_readv, "readv", READS, 0, -1, -1, -1}, {SYS_recvfrom, "recvfrom", READS, 0, -1, -1, 2},
	{SYS_recvmsg, "recvmsg", READS, 0, -1, -1, -1}, {SYS_newfstatat, "fstatat", STATS, 0, 1, -1, -1},
	{SYS_fstat, "fstat", STATS, 0, -1, -1, -1}, {SYS_statx, "statx", STATS, 0, 1, -1, -1},
	{SYS_fstatfs, "fstatfs", STATS, 0, -1, -1, -1}, {SYS_socket, "socket", MAKES, -1, -1, -1, -1},
	{SYS_accept4, "accept4", MAKES, 0, -1, -1, -1}, {SYS_socketpair, "socketpair", MAKES, -1, -1, -1, -1},
	{SYS_pipe2, "pipe2", MAKES, -1, -1, -1, -1}, {SYS_eventfd2, "eventfd2", MAKES, -1, -1, -1, -1},
	{SYS_dup, "dup", MAKES, 0, -1, -1, -1}, {SYS_fcntl, "fcntl", MAKES, 0, -1, 1, -1}, {SYS_mmap, "mmap", MAPS, 4, -1, 3, -1},
};
const size_t n_calls = sizeof calls / sizeof *calls;

const struct call *
call_of(uint64_t nr)
{
	for (size_t i = 0; i < n_calls; i++)
		if (calls[i].nr == (long)nr)
			return &calls[i];
	return NULL;
}

/* ---- looking at a stopped process ---- */

void
link_of(pid_t pid, const char *what, char out[512])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
	n = readlink(path, out, 511);
	out[n > 0 ? n : 0] = '\0';
}

static void
peek(pid_t tid, uint64_t at, void *out, size_t len)
{
	struct iovec local = {out, len}, remote = {(void *)(uintptr_t)at, len};

	memset(out, 0, len);
	/* A string may end before a page that is not there. */
	while (len && process_vm_readv(tid, &local, 1, &remote, 1, 0) < 0)
		local.iov_len = remote.iov_len = len /= 2;
}

void
judge(pid_t tid, const struct call *call, const uint64_t args[6], struct judged *ret_judged)
{
	struct judged *j = ret_judged;
	char name[32];

	*j = (struct judged){.call = call, .args = args, .fd = call->fd >= 0 ? (int)args[call->fd] : -1};
	if (call->flags >= 0)
		j->flags = args[call->flags];
	snprintf(name, sizeof name, "fd/%d", j->fd);
	if (j->fd >= 0)
		link_of(tid, name, j->target);
	else if (j->fd == AT_FDCWD)
		link_of(tid, "cwd", j->target);
	if (call->path >= 0 && args[call->path])
		peek(tid, args[call->path], j->path, sizeof j->path - 1);
	if (call->nr == SYS_openat2)
		peek(tid, args[2], &j->flags, sizeof j->flags);
}

uint64_t
bytes_of(pid_t tid, const struct judged *j)
{
	struct iovec pieces[64];
	uint64_t n = j->call->count >= 0 ? j->args[j->call->count] : 0, bytes = 0;

	if (j->call->nr != SYS_writev && j->call->nr != SYS_pwritev)
		return n;
	if (n > sizeof pieces / sizeof *pieces)
		n = sizeof pieces / sizeof *pieces;
	peek(tid, j->args[1], pieces, n * sizeof *pieces);
	while (n > 0)
		bytes += pieces[--n].iov_len;
	return bytes;
}

/* ---- the verdict ---- */

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* A file system in memory is one like others. */
static bool
is_device(const char *path)
{
	return begins(path, "/dev/") && !begins(path, "/dev/shm/");
}

/* Pipes, event counters, terminals, what the kernel makes up and the log (descriptors 1 and 2) hold nothing that outlives the process. */
static bool
outlives(const struct judged *j)
{
	return j->fd != 1 && j->fd != 2 && !begins(j->target, "pipe:") && !begins(j->target, "anon_inode:") && !begins(j->target, "/proc/") &&
	    !is_device(j->target);
}

bool
changes(const struct judged *j)
{
	switch (j->call->kind) {
	case WRITES: return outlives(j);
	case SYNCS: return j->call->nr != SYS_ioctl || j->flags == FICLONE_NR;
	case NAMES: return true;
	case OPENS: return j->flags & (O_CREAT | O_TRUNC);
	default: return false;
	}
}

bool
on_socket(const struct judged *j)
{
	return begins(j->target, "socket:");
}

/* The libraries, the machine's settings and what the kernel tells are not what is tried here. */
static bool
ours(const struct judged *j)
{
	static const char *const others[] = {"/usr/", "/lib", "/etc/", "/proc", "/sys/"};
	const char *path = *j->path == '/' || !*j->target ? j->path : j->target;

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (begins(path, others[i]))
			return false;
	return !is_device(path);
}

/* Which kinds of calls can end with which error.  Two things are left out on purpose: no program can tell "there is no such file" (of
 * a file that is only looked at) from the truth, and EAGAIN is known to sockets alone. */
static const struct {
	const char *name;
	int error;
	unsigned kinds;
} errors[] = {
	{"short", 0, 1 << WRITES | 1 << READS},
	{"EIO", EIO, 1 << WRITES | 1 << SYNCS | 1 << NAMES | 1 << OPENS | 1 << READS | 1 << STATS},
	{"ENOSPC", ENOSPC, 1 << WRITES | 1 << SYNCS | 1 << NAMES | 1 << OPENS},
	{"EDQUOT", EDQUOT, 1 << WRITES | 1 << SYNCS | 1 << NAMES | 1 << OPENS},
	{"EINTR", EINTR, 1 << WRITES | 1 << READS},
	{"EAGAIN", EAGAIN, 1 << WRITES | 1 << READS | 1 << MAKES},
	{"EMFILE", EMFILE, 1 << OPENS | 1 << MAKES},
	{"ENOMEM", ENOMEM, 1 << NAMES | 1 << OPENS | 1 << STATS | 1 << MAKES | 1 << MAPS},
	{"EACCES", EACCES, 1 << NAMES | 1 << OPENS | 1 << STATS},
	{"EROFS", EROFS, 1 << NAMES | 1 << OPENS},
	{"ENOENT", ENOENT, 1 << NAMES | 1 << OPENS},
};
#define N_ERRORS (sizeof errors / sizeof *errors)

int
error_of(const char *name)
{
	for (size_t i = 0; i < N_ERRORS; i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].error;
	return -1;
}

static bool
of_kind(const struct judged *j, int error)
{
	for (size_t i = 0; i < N_ERRORS; i++)
		if (errors[i].error == error)
			return errors[i].kinds >> j->call->kind & 1;
	return false;
}

static bool
removes(const struct judged *j)
{
	return begins(j->call->name, "unlink") || strcmp(j->call->name, "rmdir") == 0;
}

bool
can_fail(const struct judged *j, int error)
{
	const bool socket = on_socket(j);

	if (!of_kind(j, error) || !ours(j) || (j->call->nr == SYS_ioctl && j->flags != FICLONE_NR))
		return false;
	if (j->call->nr == SYS_fcntl) /* all it makes is a second descriptor */
		return error == EMFILE && (j->flags == F_DUPFD || j->flags == F_DUPFD_CLOEXEC);
	if (j->call->kind == MAPS) /* memory without a file is malloc's, which has a test of its own */
		return j->fd >= 0;
	if ((j->call->kind == WRITES || j->call->kind == READS) && (!outlives(j) || (error == 0 && j->call->count < 0)))
		return false;
	switch (error) {
	case EAGAIN: return socket;
	case EIO: return !socket;
	case ENOSPC:
	case EDQUOT: return !socket && (j->call->kind != OPENS || j->flags & O_CREAT) && !removes(j);
	case EROFS: return j->call->kind == NAMES || j->flags & (O_WRONLY | O_RDWR | O_CREAT);
	case ENOENT: return (j->call->kind == NAMES && !removes(j)) || j->flags & O_CREAT;
	default: return true;
	}
}
