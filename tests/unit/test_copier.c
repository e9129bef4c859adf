/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copier - a copy is one instant of its source, whoever writes meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/copier.h"
#include "tests/lib/scratch.h"

#define PAGES 600u /* more than two pieces */
#define MANY 6000u /* enough for several threads */

static const struct copier_limits limits = {.lock_wait_ms = 10000, .tries = 8};
static struct scratch scratch;
static struct block_key key;
static int from, to;

static int
setup(void **state)
{
	static const uint8_t bytes[BLOCK_KEY_BYTES] = {1, 2, 3};

	(void)state;
	block_key_init(&key, bytes);
	scratch_open(&scratch);
	from = openat(scratch.fd, "from", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	to = openat(scratch.fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	return from < 0 || to < 0;
}

static int
teardown(void **state)
{
	(void)state;
	close(from);
	close(to);
	scratch_close(&scratch);
	return 0;
}

/* A page of a version: every page of a whole instant bears the same. */
static void
fill_page(uint8_t *page, unsigned number, unsigned version)
{
	memset(page, (int)(version & 255), BLOCK_BYTES);
	memcpy(page, &version, sizeof version);
	memcpy(page + 8, &number, sizeof number);
}

static void
write_pages(int fd, unsigned first, unsigned n, unsigned version)
{
	uint8_t page[BLOCK_BYTES];

	for (unsigned i = first; i < first + n; i++) {
		fill_page(page, i, version);
		assert_int_equal(pwrite(fd, page, sizeof page, (off_t)i * BLOCK_BYTES), BLOCK_BYTES);
	}
}

/* The version that all pages of the copy bear; 0 = they differ. */
static unsigned
version_of(int fd, unsigned n)
{
	uint8_t page[BLOCK_BYTES], want[BLOCK_BYTES];
	unsigned version = 0, v;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(pread(fd, page, sizeof page, (off_t)i * BLOCK_BYTES), BLOCK_BYTES);
		memcpy(&v, page, sizeof v);
		version = i ? version : v;
		fill_page(want, i, version);
		if (memcmp(page, want, sizeof page) != 0)
			return 0;
	}
	return version;
}

/* What the writer's file looks like at some instant: new pages, then those of the version before. */
static bool
one_instant(int fd, unsigned n)
{
	uint8_t page[BLOCK_BYTES], want[BLOCK_BYTES];
	unsigned first = 0, previous = 0, v;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(pread(fd, page, sizeof page, (off_t)i * BLOCK_BYTES), BLOCK_BYTES);
		memcpy(&v, page, sizeof v);
		first = i ? first : v;
		fill_page(want, i, v);
		if (memcmp(page, want, sizeof page) != 0 || v + 1 < first || (i && v > previous))
			return false;
		previous = v;
	}
	return true;
}

static int64_t
size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static struct copier_result
copy(void)
{
	struct copier_result r = {0};

	assert_int_equal(copier_copy(from, to, &key, &limits, &r), 0);
	return r;
}

static void
copy_and_finish(uint64_t want_written)
{
	struct copier_result r = copy();

	assert_true(r.copied);
	assert_int_equal(r.bytes_written, want_written);
	assert_int_equal(copier_stamp(to, &r), 0);
	copier_result_fini(&r);
}

/* What the copy holds is what is said of it, block by block and as a whole. */
static void
assert_hashed(const struct copier_result *r)
{
	uint8_t *data = malloc(r->size);
	struct hash128 *hashes = calloc(r->n_hashes, sizeof *hashes), digest;

	assert_int_equal(pread(to, data, r->size, 0), r->size);
	block_hash_many(&key, data, r->size, hashes);
	digest = block_hash(&key, data, r->size);
	assert_memory_equal(hashes, r->hashes, r->n_hashes * sizeof *hashes);
	assert_memory_equal(&digest, &r->digest, sizeof digest);
	free(hashes);
	free(data);
}

/* ---- alone ---- */

static void
the_first_copy_is_whole_and_hashed(void **state)
{
	struct copier_result r;
	struct stat a, b;
	struct hash128 hash;
	uint8_t page[BLOCK_BYTES];

	(void)state;
	write_pages(from, 0, PAGES, 1);
	assert_int_equal(pwrite(from, "tail", 4, (off_t)PAGES * BLOCK_BYTES), 4);
	r = copy();
	assert_true(r.copied);
	assert_int_equal(r.size, PAGES * BLOCK_BYTES + 4);
	assert_int_equal(r.bytes_written, r.size);
	assert_int_equal(r.n_hashes, PAGES + 1);
	fill_page(page, 599, 1);
	hash = block_hash(&key, page, sizeof page);
	assert_memory_equal(&hash, &r.hashes[599], sizeof hash);
	hash = block_hash(&key, "tail", 4);
	assert_memory_equal(&hash, &r.hashes[PAGES], sizeof hash);
	assert_int_equal(copier_stamp(to, &r), 0);
	copier_result_fini(&r);
	assert_int_equal(version_of(to, PAGES), 1);
	assert_int_equal(fstat(from, &a), 0);
	assert_int_equal(fstat(to, &b), 0);
	assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
}

static void
an_unchanged_database_is_not_read_again(void **state)
{
	struct copier_result r;

	(void)state;
	write_pages(from, 0, 10, 1);
	copy_and_finish(10 * BLOCK_BYTES);
	r = copy();
	assert_false(r.copied);
	assert_null(r.hashes);
	assert_int_equal(r.bytes_written, 0);
	assert_int_equal(r.size, 10 * BLOCK_BYTES);
}

static void
only_pages_that_differ_are_written(void **state)
{
	(void)state;
	write_pages(from, 0, PAGES, 1);
	copy_and_finish(PAGES * BLOCK_BYTES);
	write_pages(from, 7, 1, 2);
	write_pages(from, 255, 2, 2); /* on both sides of a piece's border */
	write_pages(from, 599, 1, 2);
	copy_and_finish(4 * BLOCK_BYTES);
}

static void
a_large_database_is_copied_and_hashed_as_a_whole(void **state)
{
	struct copier_result r;

	(void)state;
	write_pages(from, 0, MANY, 1);
	assert_int_equal(pwrite(from, "tail", 4, (off_t)MANY * BLOCK_BYTES), 4);
	for (unsigned round = 2; round < 12; round++) {
		unsigned changed = round == 2 ? MANY + 1 : MANY / 500;

		r = copy();
		assert_int_equal(r.bytes_written, round == 2 ? r.size : changed * BLOCK_BYTES);
		assert_hashed(&r);
		assert_int_equal(copier_stamp(to, &r), 0);
		copier_result_fini(&r);
		for (unsigned i = 0; i < MANY / 500; i++)
			write_pages(from, i * 500 + round, 1, round);
	}
}

/* Who waits for the piece that failed must not wait for ever. */
static void
a_large_copy_that_cannot_be_written_ends_with_its_reason(void **state)
{
	struct rlimit was, small = {.rlim_cur = 20u * 1024 * 1024, .rlim_max = RLIM_INFINITY};
	struct copier_result r = {0};

	(void)state;
	write_pages(from, 0, MANY, 1);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small.rlim_max = was.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_true(copier_copy(from, to, &key, &limits, &r) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	if (!strstr(err_text(), "File too large"))
		fail_msg("%s", err_text());
	r = copy();
	assert_hashed(&r);
	copier_result_fini(&r);
}

static void
a_database_that_grew_or_shrank_is_followed(void **state)
{
	(void)state;
	write_pages(from, 0, 100, 1);
	copy_and_finish(100 * BLOCK_BYTES);
	write_pages(from, 100, 50, 1);
	copy_and_finish(50 * BLOCK_BYTES);
	assert_int_equal(version_of(to, 150), 1);
	assert_int_equal(ftruncate(from, 40 * BLOCK_BYTES + 17), 0);
	copy_and_finish(0); /* its last block is shorter now */
	assert_int_equal(size_of(to), 40 * BLOCK_BYTES + 17);
	assert_int_equal(ftruncate(from, 0), 0);
	copy_and_finish(0);
	assert_int_equal(size_of(to), 0);
}

static void
a_copy_that_was_not_finished_is_made_again(void **state)
{
	struct copier_result r;

	(void)state;
	write_pages(from, 0, 30, 1);
	r = copy(); /* killed here: never finished */
	copier_result_fini(&r);
	r = copy();
	assert_true(r.copied);
	assert_int_equal(r.n_hashes, 30);
	assert_int_equal(r.bytes_written, 0); /* the pages were good */
	copier_result_fini(&r);
}

static void
a_half_written_copy_is_repaired(void **state)
{
	const struct timespec later[2] = {{.tv_sec = 77}, {.tv_sec = 77}};

	(void)state;
	write_pages(from, 0, 30, 1);
	copy_and_finish(30 * BLOCK_BYTES);
	write_pages(from, 0, 30, 2);
	write_pages(to, 0, 11, 2); /* a run that was killed after eleven pages */
	assert_int_equal(futimens(to, later), 0);
	copy_and_finish(19 * BLOCK_BYTES);
	assert_int_equal(version_of(to, 30), 2);
}

static void
without_a_key_nothing_is_hashed(void **state)
{
	struct copier_result r;

	(void)state;
	write_pages(from, 0, 3, 1);
	assert_int_equal(copier_copy(from, to, NULL, &limits, &r), 0);
	assert_true(r.copied);
	assert_null(r.hashes);
}

static void
a_time_before_1970_is_kept(void **state)
{
	const struct timespec old[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = -5, .tv_nsec = 250}};
	struct stat st;

	(void)state;
	write_pages(from, 0, 1, 1);
	assert_int_equal(futimens(from, old), 0);
	copy_and_finish(BLOCK_BYTES);
	assert_int_equal(fstat(to, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, -5);
	assert_int_equal(st.st_mtim.tv_nsec, 250);
}

/* ---- beside writers: processes of their own, as record locks are per process ---- */

static volatile sig_atomic_t go_on = 1;

static void
on_term(int n)
{
	(void)n;
	go_on = 0;
}

/* Rewrites all pages, a version after the other, each under an exclusive lock if `locks`. */
static pid_t
writer(unsigned pages, bool locks, int *ret_ready)
{
	int pipes[2];
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no writer behind */
		struct flock lock = {.l_whence = SEEK_SET};
		int fd = openat(scratch.fd, "from", O_RDWR | O_CLOEXEC);

		signal(SIGTERM, on_term);
		for (unsigned version = 2; go_on; version++) {
			lock.l_type = F_WRLCK;
			while (locks && fcntl(fd, F_SETLKW, &lock) != 0)
				;
			write_pages(fd, 0, pages, version);
			lock.l_type = F_UNLCK;
			if (locks)
				fcntl(fd, F_SETLK, &lock);
			if (version == 2 && write(pipes[1], "x", 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(pipes[1]);
	*ret_ready = pipes[0];
	char c;
	assert_int_equal(read(pipes[0], &c, 1), 1);
	return pid;
}

static void
end(pid_t pid, int ready)
{
	int status;

	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(ready);
}

static void
a_writer_under_locks_never_gives_a_torn_copy(void **state)
{
	unsigned last = 0;
	int ready;

	(void)state;
	write_pages(from, 0, PAGES, 1);
	pid_t pid = writer(PAGES, true, &ready);
	for (int i = 0; i < 15; i++) {
		struct copier_result r = copy();
		unsigned version = version_of(to, PAGES);

		assert_true(version >= 2);
		assert_true(version >= last);
		assert_int_equal(r.retries, 0);
		last = version;
		if (r.copied)
			assert_int_equal(copier_stamp(to, &r), 0);
		copier_result_fini(&r);
	}
	end(pid, ready);
}

static void
a_writer_that_ignores_locks_is_noticed(void **state)
{
	const struct copier_limits few = {.lock_wait_ms = 1000, .tries = 3};
	struct copier_result r;
	int ready;

	(void)state;
	write_pages(from, 0, PAGES, 1);
	pid_t pid = writer(PAGES, false, &ready);
	for (int i = 0; i < 5; i++) {
		int err = copier_copy(from, to, &key, &few, &r);

		if (err == 0) { /* the writer was off the processor for as long as the copy took */
			bool good = one_instant(to, PAGES);

			copier_result_fini(&r);
			assert_true(good);
		} else {
			assert_int_equal(err, -ERR_TORN);
		}
	}
	end(pid, ready);
	write_pages(from, 0, PAGES, 1); /* the last copy may be of its last word */
	r = copy();
	assert_true(r.copied);
	copier_result_fini(&r);
}

static void
a_lock_that_is_never_given_back_is_busy(void **state)
{
	const struct copier_limits soon = {.lock_wait_ms = 50, .tries = 3};
	struct copier_result r;
	int pipes[2];

	(void)state;
	write_pages(from, 0, 2, 1);
	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = openat(scratch.fd, "from", O_RDWR | O_CLOEXEC);

		if (fcntl(fd, F_SETLK, &lock) != 0 || write(pipes[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	char c;
	assert_int_equal(read(pipes[0], &c, 1), 1);
	assert_int_equal(copier_copy(from, to, &key, &soon, &r), -ERR_BUSY);
	assert_int_equal(size_of(to), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	copy_and_finish(2 * BLOCK_BYTES); /* the dead hold no locks */
	close(pipes[0]);
	close(pipes[1]);
}

static void *
copy_in_thread(void *arg)
{
	const char *const *names = arg;
	struct copier_result r;
	int a = openat(scratch.fd, names[0], O_RDWR | O_CLOEXEC), b = openat(scratch.fd, names[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int err = copier_copy(a, b, &key, &limits, &r);

	if (err == 0) {
		err = copier_stamp(b, &r);
		copier_result_fini(&r);
	}
	close(a);
	close(b);
	return (void *)(intptr_t)err;
}

static void
threads_copy_beside_each_other(void **state)
{
	static const char *const names[4][2] = {{"from", "to"}, {"from", "to2"}, {"from", "to3"}, {"from", "to4"}};
	pthread_t threads[4];
	void *result;
	int ready;

	(void)state;
	write_pages(from, 0, PAGES, 1);
	pid_t pid = writer(PAGES, true, &ready);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, copy_in_thread, (void *)(uintptr_t)names[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
		int fd = openat(scratch.fd, names[i][1], O_RDONLY | O_CLOEXEC);
		assert_int_not_equal(version_of(fd, PAGES), 0);
		close(fd);
	}
	end(pid, ready);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(the_first_copy_is_whole_and_hashed),
	    T(an_unchanged_database_is_not_read_again),
	    T(only_pages_that_differ_are_written),
	    T(a_large_database_is_copied_and_hashed_as_a_whole),
	    T(a_large_copy_that_cannot_be_written_ends_with_its_reason),
	    T(a_database_that_grew_or_shrank_is_followed),
	    T(a_copy_that_was_not_finished_is_made_again),
	    T(a_half_written_copy_is_repaired),
	    T(without_a_key_nothing_is_hashed),
	    T(a_time_before_1970_is_kept),
	    T(a_writer_under_locks_never_gives_a_torn_copy),
	    T(a_writer_that_ignores_locks_is_noticed),
	    T(a_lock_that_is_never_given_back_is_busy),
	    T(threads_copy_beside_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
