/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copier - reads a database under its lock and writes only the pages that differ.
 *
 * Happy path: lock, stat, read 1 MiB at a time, hash, compare with the copy, write the runs of pages that differ, stat, unlock.
 * A large database is read by several threads at once, because its writers wait for our lock: each takes the next piece, and only the
 * digest of the whole is taken in order.
 * Failure modes: no lock in time; changed under the lock (a writer that does not honour it) - again, then ERR_TORN.
 * A crash leaves a mixture in the copy, with a modification time that is not the source's: the next run copies it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "collector/copier.h"

#define PIECE_BYTES (1024u * 1024u)
#define HANDS 2              /* at one database */
#define LARGE_BYTES (16u * 1024u * 1024u)
#define TICK_NS 20000000 /* the kernel's file times move in steps of up to 10 ms */
#define CALM_TRIES 5

/* ---- the lock ---- */

static void
wake_up(int signal_number)
{
	(void)signal_number; /* its arrival alone ends the waiting fcntl with EINTR */
}

/* A timer whose signal goes to this thread only, again and again: a single shot could come just before fcntl begins to wait. */
static int
wait_timer(int64_t wait_ms, timer_t *ret_timer)
{
	struct sigaction action = {.sa_handler = wake_up};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	struct itimerspec when = {
	    .it_value = {wait_ms / 1000, wait_ms % 1000 * 1000000 + 1},
	    .it_interval = {0, 50000000},
	};

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&action.sa_mask);
	if (sigaction(SIGALRM, &action, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &event, ret_timer) != 0)
		return err_sys("making the timer of a lock");
	if (timer_settime(*ret_timer, 0, &when, NULL) != 0) {
		timer_delete(*ret_timer);
		return err_sys("setting the timer of a lock");
	}
	return 0;
}

static int
lock_shared(int fd, int64_t wait_ms)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	timer_t timer;
	int err;

	if (PLANTED(copy_without_lock) || fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return err_sys("locking the database");
	if ((err = wait_timer(wait_ms, &timer)) != 0)
		return err;
	if (fcntl(fd, F_OFD_SETLKW, &lock) != 0)
		err = errno == EINTR ? err_set(ERR_BUSY, "another program held the database's lock for %lld ms", (long long)wait_ms)
		                     : err_sys("locking the database");
	timer_delete(timer);
	return err;
}

static void
unlock(int fd)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	fcntl(fd, F_OFD_SETLK, &lock);
}

/* ---- one pass ---- */

struct pass {
	int from, to;
	const struct block_key *key;
	uint64_t size;        /* of the source */
	uint64_t old_size;    /* of the copy before this pass */
	struct copier_result *result;
	struct block_digest *digest;
	struct {
		uint8_t *piece, *old; /* PIECE_BYTES each */
		uint64_t written;     /* of the piece in hand */
	} hands[HANDS];
};

static int64_t
mtime_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static bool
same_instant(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && mtime_ns(a) == mtime_ns(b) && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Bytes of the block at `at` within a piece of `len`. */
static size_t
block_len(size_t at, size_t len)
{
	return len - at < BLOCK_BYTES ? len - at : BLOCK_BYTES;
}

/* Writes the runs of blocks in which the piece differs from the old copy, of which `have` bytes were read. */
static int
write_differences(struct pass *p, unsigned hand, uint64_t offset, size_t len, size_t have)
{
	const uint8_t *piece = p->hands[hand].piece, *old = p->hands[hand].old;

	for (size_t at = 0; at < len;) {
		size_t end = at;

		while (end < len) {
			size_t n = block_len(end, len);
			if (end + n <= have && memcmp(piece + end, old + end, n) == 0)
				break;
			end += n;
		}
		if (end > at) {
			int err = fsio_pwrite(p->to, piece + at, end - at, offset + at);
			if (err)
				return err;
			p->hands[hand].written += end - at;
		}
		at = end < len ? end + block_len(end, len) : end;
	}
	return 0;
}

static size_t
piece_len(const struct pass *p, size_t i)
{
	uint64_t rest = p->size - (uint64_t)i * PIECE_BYTES;

	return rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES;
}

static int
copy_piece(void *arg, unsigned hand, size_t i)
{
	struct pass *p = arg;
	uint8_t *piece = p->hands[hand].piece, *old = p->hands[hand].old;
	uint64_t offset = (uint64_t)i * PIECE_BYTES;
	size_t len = piece_len(p, i);
	ssize_t got = fsio_pread(p->from, piece, len, offset), have = 0;

	p->hands[hand].written = 0;
	if (got < 0)
		return (int)got;
	if ((size_t)got != len)
		return err_set(ERR_TORN, "the database became shorter while it was copied");
	if (offset < p->old_size && (have = fsio_pread(p->to, old, len, offset)) < 0)
		return (int)have;
	if (p->key)
		block_hash_many(p->key, piece, len, p->result->hashes + offset / BLOCK_BYTES);
	return write_differences(p, hand, offset, len, (size_t)have);
}

static void
count_piece(void *arg, unsigned hand, size_t i)
{
	struct pass *p = arg;

	p->result->bytes_written += p->hands[hand].written;
	if (p->key)
		block_digest_update(p->digest, p->hands[hand].piece, piece_len(p, i));
}

static int
prepare_hashes(struct pass *p, uint64_t size)
{
	struct copier_result *r = p->result;
	size_t n = (size_t)block_count(size);

	if (!p->key)
		return 0;
	free(r->hashes);
	r->n_hashes = n;
	r->hashes = calloc(n + 1, sizeof *r->hashes);
	if (!r->hashes)
		return err_set(ERR_NOMEM, "no memory for the block hashes of a database");
	block_digest_reset(p->digest);
	return 0;
}

/* One copy under the lock; -ERR_TORN when the source changed meanwhile. */
static int
copy_once(struct pass *p, const struct stat *before)
{
	uint64_t size = (uint64_t)before->st_size;
	unsigned hands = size < LARGE_BYTES || crew_size() < HANDS ? 1 : HANDS;
	struct stat after;
	int err = prepare_hashes(p, size);

	p->size = size;
	if (err == 0)
		err = crew_in_order(hands, (size_t)((size + PIECE_BYTES - 1) / PIECE_BYTES), copy_piece, count_piece, p);
	if (err || (err = fsio_set_size(p->to, size)) != 0)
		return err;
	if (fstat(p->from, &after) != 0)
		return err_sys("looking at the database");
	if (!same_instant(before, &after))
		return err_set(ERR_TORN, "the database changed under our lock: its writer does not honour record locks");
	p->result->size = size;
	p->result->mtime_ns = mtime_ns(before);
	if (p->key)
		p->result->digest = block_digest_value(p->digest);
	return 0;
}

/*
 * Gives the source's stat once its time lies a tick behind: within the same tick a second write leaves the same time, so
 * that neither we nor tomorrow's run could see it, and our copy would get the very same time by its own writes.  Who
 * honours our lock waits with us; who writes on and on does not.
 */
static int
calm_stat(int from, struct stat *ret_st)
{
	const struct timespec tick = {.tv_nsec = TICK_NS};

	for (int i = 0;; i++) {
		int64_t age;

		if (fstat(from, ret_st) != 0)
			return err_sys("looking at the database");
		age = clock_wall_ns() - mtime_ns(ret_st);
		if (age < 0 || age >= TICK_NS)
			return 0;
		if (i == CALM_TRIES)
			return err_set(ERR_TORN, "the database changes all the time under our lock: its writer does not honour record locks");
		nanosleep(&tick, NULL);
	}
}

static int
locked_pass(struct pass *p, const struct copier_limits *limits)
{
	struct stat before, copy;
	int err = lock_shared(p->from, limits->lock_wait_ms);

	if (err)
		return err;
	p->result->copied = false;
	err = calm_stat(p->from, &before);
	if (err == 0 && fstat(p->to, &copy) != 0)
		err = err_sys("looking at the copy");
	if (err) {
		/* nothing to compare */
	} else if (copy.st_size == before.st_size && (mtime_ns(&copy) == mtime_ns(&before) || PLANTED(old_copy_believed))) {
		p->result->size = (uint64_t)before.st_size;
		p->result->mtime_ns = mtime_ns(&before);
	} else {
		p->result->copied = true;
		p->old_size = (uint64_t)copy.st_size;
		err = copy_once(p, &before);
	}
	unlock(p->from);
	return err;
}

static int
open_pass(struct pass *p)
{
	bool complete = true;

	for (unsigned i = 0; i < HANDS; i++) {
		p->hands[i].piece = malloc(PIECE_BYTES); /* untouched, and so free, unless that hand is used */
		p->hands[i].old = malloc(PIECE_BYTES);
		complete = complete && p->hands[i].piece && p->hands[i].old;
	}
	p->digest = p->key ? block_digest_new(p->key) : NULL;
	return complete && (!p->key || p->digest) ? 0 : err_set(ERR_NOMEM, "no memory to copy a database");
}

static void
close_pass(struct pass *p)
{
	block_digest_free(p->digest);
	for (unsigned i = 0; i < HANDS; i++) {
		free(p->hands[i].piece);
		free(p->hands[i].old);
	}
}

int
copier_copy(int from, int to, const struct block_key *key, const struct copier_limits *limits, struct copier_result *ret_result)
{
	struct copier_result result = {0};
	struct pass p = {.from = from, .to = to, .key = key, .result = &result};
	int err = open_pass(&p);

	if (err == 0)
		err = -ERR_TORN;
	for (unsigned i = 0; err == -ERR_TORN && i < limits->tries; i++) {
		result.retries = i;
		err = locked_pass(&p, limits);
	}
	close_pass(&p);
	if (err) {
		copier_result_fini(&result);
		return err;
	}
	*ret_result = result;
	return 0;
}

int
copier_stamp(int to, const struct copier_result *result)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, clock_timespec(result->mtime_ns)};

	return futimens(to, times) == 0 ? 0 : err_sys("setting the time of the copy");
}

void
copier_result_fini(struct copier_result *result)
{
	free(result->hashes);
	result->hashes = NULL;
	result->n_hashes = 0;
}
