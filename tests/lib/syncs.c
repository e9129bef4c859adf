/* SPDX-License-Identifier: GPL-2.0-or-later */
/* syncs - the calls by which bytes and names become durable, in their order. */
#include "tests/lib/syncs.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALLS_MAX 65536u

enum kind { SYNC_ONE, SYNC_ALL, RENAMED };

struct call {
	enum kind kind;
	dev_t dev;
	ino_t ino;
	char name[64]; /* of a rename's target */
};

static struct call calls[CALLS_MAX];
static size_t n_calls;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

int syncs_errno;
const char *syncs_last_rename;

static void
note(enum kind kind, int fd, const char *name)
{
	struct call call = {.kind = kind};
	struct stat st;

	if (fstat(fd, &st) != 0)
		return;
	call.dev = st.st_dev;
	call.ino = st.st_ino;
	snprintf(call.name, sizeof call.name, "%.63s", name);
	pthread_mutex_lock(&guard);
	if (n_calls < CALLS_MAX)
		calls[n_calls++] = call;
	pthread_mutex_unlock(&guard);
}

/* ---- in the C library's place: noted when it has come back, for then it holds ---- */

static int
sync_by(long call, enum kind kind, int fd)
{
	if (syncs_errno) {
		errno = syncs_errno;
		return -1;
	}
	if (syscall(call, fd) != 0)
		return -1;
	note(kind, fd, "");
	return 0;
}

int
fsync(int fd)
{
	return sync_by(SYS_fsync, SYNC_ONE, fd);
}

int
fdatasync(int fd)
{
	return sync_by(SYS_fdatasync, SYNC_ONE, fd);
}

int
syncfs(int fd)
{
	return sync_by(SYS_syncfs, SYNC_ALL, fd);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	if (syncs_last_rename && syncs_errno) {
		errno = syncs_errno;
		return -1;
	}
	if (syscall(SYS_renameat2, from_dir, from, to_dir, to, flags) != 0)
		return -1;
	if (syncs_last_rename && strcmp(to, syncs_last_rename) == 0)
		syncs_errno = EIO;
	note(RENAMED, to_dir, to);
	return 0;
}

/* ---- questions ---- */

void
syncs_forget(void)
{
	pthread_mutex_lock(&guard);
	n_calls = 0;
	pthread_mutex_unlock(&guard);
}

static size_t
count(int dirfd, const char *path, size_t from, size_t to)
{
	struct stat st;
	size_t n = 0;

	if (fstatat(dirfd, path, &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	for (size_t i = from; i < to; i++)
		n += (calls[i].kind == SYNC_ONE && calls[i].dev == st.st_dev && calls[i].ino == st.st_ino) ||
		    (calls[i].kind == SYNC_ALL && calls[i].dev == st.st_dev);
	return n;
}

static size_t
last_rename(const char *name)
{
	for (size_t i = n_calls; i > 0; i--)
		if (calls[i - 1].kind == RENAMED && strcmp(calls[i - 1].name, name) == 0)
			return i - 1;
	return n_calls;
}

size_t
syncs_of(int dirfd, const char *path)
{
	size_t n;

	pthread_mutex_lock(&guard);
	assert(n_calls < CALLS_MAX);
	n = count(dirfd, path, 0, n_calls);
	pthread_mutex_unlock(&guard);
	return n;
}

size_t
syncs_before(const char *name, int dirfd, const char *path)
{
	size_t n;

	pthread_mutex_lock(&guard);
	assert(n_calls < CALLS_MAX);
	n = count(dirfd, path, 0, last_rename(name));
	pthread_mutex_unlock(&guard);
	return n;
}

size_t
syncs_after(const char *name, int dirfd, const char *path)
{
	size_t n;

	pthread_mutex_lock(&guard);
	assert(n_calls < CALLS_MAX);
	n = count(dirfd, path, last_rename(name), n_calls);
	pthread_mutex_unlock(&guard);
	return n;
}
