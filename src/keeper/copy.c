/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copy - the piece size and the hints that keep the disk busy while the processor hashes are chosen here.
 *
 * One thread: a piece costs 0.6 ms of SHA-256 and 0.2 ms of moving bytes, so that a second thread could gain at most a
 * quarter, and only on files that are not waiting for the disk.
 */
#include "keeper/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"

#define PIECE_BYTES (1u << 20)
/* Begin to write back so much at a time, and each file's end unless it is tiny: the sync of the set then finds little to do. */
#define PUSH_BYTES (8u << 20)
#define PUSH_END_BYTES (64u << 10)

struct copy {
	struct task *task;
	struct digest *sha;
	struct block_digest *xxh; /* NULL: no key */
	uint8_t *piece, *zeros;
	uint64_t pushed;
	bool not_written;         /* the pass failed at `to` */
};

int
copy_new(const struct block_key *key, struct task *task, struct copy **ret_copy)
{
	struct copy *c = calloc(1, sizeof *c);

	if (c) {
		c->task = task;
		c->sha = digest_new();
		c->xxh = key ? block_digest_new(key) : NULL;
		c->piece = malloc(PIECE_BYTES);
		c->zeros = calloc(1, PIECE_BYTES);
	}
	if (!c || !c->sha || (key && !c->xxh) || !c->piece || !c->zeros) {
		copy_free(c);
		return err_set(ERR_NOMEM, "out of memory for a copy's buffers");
	}
	*ret_copy = c;
	return 0;
}

void
copy_free(struct copy *c)
{
	if (!c)
		return;
	digest_free(c->sha);
	block_digest_free(c->xxh);
	free(c->piece);
	free(c->zeros);
	free(c);
}

static int
pass_hole(struct copy *c, uint64_t len)
{
	if (c->xxh)
		block_digest_zeros(c->xxh, len);
	while (len) {
		size_t n = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
		int err = task_check(c->task);

		if (err)
			return err;
		digest_update(c->sha, c->zeros, n);
		task_advance(c->task, n);
		len -= n;
	}
	return 0;
}

static void
push_out(struct copy *c, int to, uint64_t end, uint64_t at_least)
{
	if (end - c->pushed < at_least)
		return;
	(void)sync_file_range(to, (off_t)c->pushed, (off_t)(end - c->pushed), SYNC_FILE_RANGE_WRITE);
	c->pushed = end;
}

/* One piece of data at `at`, up to `end`; `*ret_n` is what was really there. */
static int
pass_piece(struct copy *c, int from, int to, uint64_t at, uint64_t end, size_t *ret_n)
{
	size_t want = end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
	int err = task_check(c->task);
	ssize_t n;

	if (err)
		return err;
	n = fsio_pread(from, c->piece, want, at);
	if (n < 0)
		return (int)n;
	digest_update(c->sha, c->piece, (size_t)n);
	if (c->xxh)
		block_digest_update(c->xxh, c->piece, (size_t)n);
	if (to >= 0) {
		err = fsio_pwrite(to, c->piece, (size_t)n, at);
		c->not_written = err != 0;
		if (err)
			return err;
		push_out(c, to, at + (size_t)n, PUSH_BYTES);
	}
	task_advance(c->task, (uint64_t)n);
	*ret_n = (size_t)n;
	return 0;
}

/* Ends early, without an error, at an end that came sooner than stat said: size and digest tell. */
static int
pass_content(struct copy *c, int from, int to, uint64_t size, uint64_t *ret_at)
{
	/* Of a small file that is only read, the zeros of a hole are read sooner than asked about. */
	bool holes = to >= 0 || size > PIECE_BYTES;
	uint64_t at = 0;

	while (at < size) {
		uint64_t start = at, end = size;
		int err = holes ? fsio_next_data(from, at, size, &start, &end) : 0;

		if (!err && start > at)
			err = pass_hole(c, start - at);
		for (at = start; !err && at < end;) {
			size_t n = 0;

			err = pass_piece(c, from, to, at, end, &n);
			at += n;
			if (!err && n == 0) {
				*ret_at = at;
				return 0;
			}
		}
		if (err)
			return err;
	}
	*ret_at = at;
	return 0;
}

int
copy_pass(struct copy *c, int from, int to, struct copy_sums *ret_sums)
{
	struct copy_sums sums = {0};
	struct stat st;
	int err;

	c->not_written = false;
	if (fstat(from, &st) != 0)
		return err_sys("stat");
	if (!S_ISREG(st.st_mode))
		return err_set(ERR_UNSAFE, "not a regular file");
	/* To be read by us is no access, and would be an inode to write for each blob.  Allowed to their owner. */
	(void)fcntl(from, F_SETFL, O_NONBLOCK | O_NOATIME);
	if (st.st_size > PIECE_BYTES)
		(void)posix_fadvise(from, 0, 0, POSIX_FADV_SEQUENTIAL);
	c->pushed = 0;
	digest_reset(c->sha);
	if (c->xxh)
		block_digest_reset(c->xxh);
	err = pass_content(c, from, to, (uint64_t)st.st_size, &sums.size);
	if (err)
		return err;
	if (to >= 0 && (err = fsio_set_size(to, sums.size)) != 0) {
		c->not_written = true;
		return err;
	}
	if (to >= 0)
		push_out(c, to, sums.size, PUSH_END_BYTES);
	digest_final(c->sha, sums.sha256);
	if (c->xxh)
		sums.digest = block_digest_value(c->xxh);
	*ret_sums = sums;
	return 0;
}

bool
copy_could_not_write(const struct copy *c)
{
	return c->not_written;
}

int
copy_open(int dir, const char *place)
{
	int fd = fsio_open(dir, place, O_RDONLY | O_NONBLOCK, 0);

	return fd == -ERR_IO && (errno == EMFILE || errno == ENFILE) ? err_set(ERR_LIMIT, "open %s: too many open files", place) : fd;
}

int
copy_clone(struct copy *c, int from, int to, struct copy_sums *ret_sums)
{
	int err = fsio_clone(from, to);

	c->not_written = false;
	if (!err)
		return copy_pass(c, to, -1, ret_sums);
	/* Which of the two files the disk did not give, or take, only a copy tells. */
	return err == -ERR_UNSUPPORTED || err == -ERR_IO ? copy_pass(c, from, to, ret_sums) : err;
}

int
copy_scrub(struct copy *c, int from, struct copy_sums *ret_sums)
{
	(void)posix_fadvise(from, 0, 0, POSIX_FADV_DONTNEED);
	int err = copy_pass(c, from, -1, ret_sums);
	/* What a scrub read nobody else wants: it would only push out what others use. */
	(void)posix_fadvise(from, 0, 0, POSIX_FADV_DONTNEED);
	return err;
}
