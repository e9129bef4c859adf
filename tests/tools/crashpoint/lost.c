/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/tools/crashpoint/lost.h"

#define RANGES_MAX 4096
#define RUBBISH 0xa5

/* One file may have many.  `fd` is O_PATH: it finds the file under any later name, and does not hold it open for the others. */
struct range {
	int fd;
	dev_t dev;
	ino_t ino;
	uint64_t offset, len;
};
static struct range ranges[RANGES_MAX];
static size_t n_ranges;

static bool
same_file(const struct range *r, const struct stat *st)
{
	return r->ino == st->st_ino && r->dev == st->st_dev;
}

static void
drop(size_t i)
{
	close(ranges[i].fd);
	ranges[i] = ranges[--n_ranges];
}

/* ---- where a write goes ---- */

/* Position and flags of an open file, as the kernel tells them. */
static bool
position(pid_t tid, int fd, uint64_t *ret_pos, unsigned *ret_flags)
{
	char path[64];
	unsigned long long pos;
	bool found;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)tid, fd);
	f = fopen(path, "re");
	found = f && fscanf(f, "pos: %llu flags: %o", &pos, ret_flags) == 2;
	if (f)
		fclose(f);
	if (found)
		*ret_pos = pos;
	return found;
}

/* What is written through is safe, and what is appended ends in nobody's map.  Copies (copy_file_range) go into new files, where a
 * torn one is found by its digest. */
static bool
place(pid_t tid, const struct judged *j, struct range *r)
{
	const long nr = j->call->nr;
	unsigned flags;

	if (!position(tid, j->fd, &r->offset, &flags) || flags & (O_DSYNC | O_APPEND))
		return false;
	if (nr == SYS_pwrite64 || nr == SYS_pwritev)
		r->offset = j->args[3];
	r->len = bytes_of(tid, j);
	return nr == SYS_pwrite64 || nr == SYS_pwritev || nr == SYS_write || nr == SYS_writev;
}

static void
remember(pid_t tid, const struct judged *j)
{
	struct range r = {.fd = -1};
	struct stat st;
	char path[64];

	if (on_socket(j) || n_ranges == RANGES_MAX || !place(tid, j, &r))
		return;
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)tid, j->fd);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (r.fd = open(path, O_PATH | O_CLOEXEC)) < 0)
		return;
	r.dev = st.st_dev;
	r.ino = st.st_ino;
	ranges[n_ranges++] = r;
}

/* ---- the loss ---- */

static void
spoil(const struct range *r)
{
	uint8_t rubbish[4096];
	char path[64];
	struct stat st;
	int fd;

	memset(rubbish, RUBBISH, sizeof rubbish);
	snprintf(path, sizeof path, "/proc/self/fd/%d", r->fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0) {
		close(fd);
		return;
	}
	/* Never longer than it is: sizes are another matter. */
	for (uint64_t at = r->offset, end = r->offset + r->len; at < end && at < (uint64_t)st.st_size;) {
		uint64_t n = end < (uint64_t)st.st_size ? end - at : (uint64_t)st.st_size - at;

		if (n > sizeof rubbish)
			n = sizeof rubbish;
		if (pwrite(fd, rubbish, n, (off_t)at) != (ssize_t)n)
			break;
		at += n;
	}
	close(fd);
}

/* Ends the doubt about one file, or about all (syncfs). */
static void
settle(pid_t tid, const struct judged *j, bool lose)
{
	bool all = j->call->nr == SYS_syncfs;
	struct stat st;
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)tid, j->fd);
	if (!all && (j->fd < 0 || stat(path, &st) != 0))
		return;
	for (size_t i = n_ranges; i-- > 0;)
		if (all || same_file(&ranges[i], &st)) {
			if (lose)
				spoil(&ranges[i]);
			drop(i);
		}
}

static bool
is_sync(const struct judged *j)
{
	return j->call->nr == SYS_fsync || j->call->nr == SYS_fdatasync || j->call->nr == SYS_syncfs;
}

void
lost_note(pid_t tid, const struct judged *j)
{
	if (j->call->kind == WRITES)
		remember(tid, j);
	else if (is_sync(j))
		settle(tid, j, false);
}

void
lost_fail(pid_t tid, const struct judged *j)
{
	if (is_sync(j))
		settle(tid, j, true);
}
