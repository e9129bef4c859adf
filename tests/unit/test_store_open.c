/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What opening makes of a directory: new, ours, damaged, foreign, in use.  Damage is made by hand and by a seeded bit
 * flipper; whatever it hits, this process survives and no row that it reads is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/store.h"
#include "tests/lib/scratch.h"

static const char *const tables[] = {"log", "big"};
static const struct store_identity who = {"journal", 1, "po1", 0};
static struct scratch dir;
static char path[256], small[256];
static bool mounted; /* a disk at `small` */

/* ---- in the C library's place ---- */

static unsigned maps_until_one_fails; /* of those of files that are shared, as LMDB's are; 0 = none fails */

#ifndef __SANITIZE_THREAD__ /* which must see every map itself */
void *
mmap(void *address, size_t len, int prot, int flags, int fd, off_t at)
{
	if (fd >= 0 && flags & MAP_SHARED && maps_until_one_fails && --maps_until_one_fails == 0) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, address, len, prot, flags, fd, at);
}
#endif

#if !defined __SANITIZE_THREAD__ && !defined __SANITIZE_ADDRESS__
#define CHILD_ALLOCATIONS
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);

static unsigned child_allocations_until_one_fails; /* of a child, each for itself; 0 = none fails */
static pid_t parent;

static bool
fails(void)
{
	return child_allocations_until_one_fails && getpid() != parent && --child_allocations_until_one_fails == 0;
}

void *
malloc(size_t size)
{
	if (fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	if (fails()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(n, size);
}
#endif

/* ---- stores ---- */

static int
set_up(void **state)
{
	(void)state;
	scratch_open(&dir);
	scratch_path(&dir, "journal", path);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	if (mounted)
		umount2(small, MNT_DETACH);
	mounted = false;
	scratch_close(&dir);
	return 0;
}

static int
put_rows(struct store_txn *txn, void *arg)
{
	char value[9000];
	uint8_t key[8];
	int err = 0;

	(void)arg;
	for (uint64_t i = 0; !err && i < 2000; i++) {
		store_key_u64(i, key);
		memset(value, (int)('a' + i % 26), sizeof(value));
		err = store_sealed_put(txn, 0, key, sizeof(key), value, 100);
		if (!err && i % 10 == 0)
			err = store_sealed_put(txn, 1, key, sizeof(key), value, sizeof(value));
	}
	return err;
}

/* Gives what store_open() gave; the store is closed again. */
static int
open_as(const struct store_identity *as, unsigned flags, enum store_found *ret_found)
{
	struct store *s;
	int err = store_open(path, as, tables, 2, flags, &s, ret_found);

	if (!err)
		store_close(s);
	return err;
}

static void
make_store(void)
{
	enum store_found found;
	struct store *s;

	assert_int_equal(store_open(path, &who, tables, 2, 0, &s, &found), 0);
	assert_int_equal(found, STORE_CREATED);
	assert_int_equal(store_write(s, put_rows, NULL), 0);
	store_close(s);
}

static unsigned
quarantined(void)
{
	DIR *d = opendir(dir.path);
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)))
		n += strncmp(e->d_name, "journal.quarantine-", 19) == 0;
	closedir(d);
	return n;
}

static void
assert_opens_as(enum store_found want)
{
	unsigned before = quarantined();
	enum store_found found;

	assert_int_equal(open_as(&who, 0, &found), 0);
	assert_int_equal(found, want);
	assert_int_equal(quarantined(), before + (want == STORE_REBUILT));
}

static int
open_data(void)
{
	int fd = fsio_open(dir.fd, "journal/data.mdb", O_RDWR, 0);

	assert_true(fd >= 0);
	return fd;
}

static void
a_new_store_is_private_and_then_ours(void **state)
{
	struct stat st;

	(void)state;
	make_store();
	assert_int_equal(fsio_stat(dir.fd, "journal", &st), 0);
	assert_int_equal(st.st_mode & 0077, 0);
	assert_int_equal(fsio_stat(dir.fd, "journal/data.mdb", &st), 0);
	assert_int_equal(st.st_mode & 0077, 0);
	assert_opens_as(STORE_OPENED);
	assert_opens_as(STORE_OPENED);
	assert_int_equal(open_as(&who, STORE_READONLY, NULL), 0);
}

static void
a_store_killed_while_it_was_made_is_made_again(void **state)
{
	MDB_env *env;
	int fd = fsio_make_dirs(dir.fd, "journal", false), data;

	(void)state;
	assert_opens_as(STORE_CREATED); /* the directory alone */
	data = openat(fd, "data.mdb", O_WRONLY | O_TRUNC);
	close(data);
	assert_opens_as(STORE_CREATED); /* LMDB's file, empty */
	assert_int_equal(unlinkat(fd, "data.mdb", 0), 0);
	close(fd);
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
	mdb_env_close(env);
	assert_int_equal(open_as(&who, STORE_READONLY, NULL), -ERR_GONE);
	assert_opens_as(STORE_CREATED); /* without an identity */
	assert_opens_as(STORE_OPENED);
}

static void
of_what_is_moved_aside_the_newest_three_are_kept_when_it_can_be_made_again(void **state)
{
	static const struct store_identity other = {"journal", 1, "po2", 0};

	(void)state;
	for (unsigned i = 1; i <= 8; i++)
		assert_int_equal(open_as(i % 2 ? &other : &who, STORE_DERIVED, NULL), 0);
	assert_int_equal(quarantined(), 3); /* of seven */
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(open_as(i % 2 ? &other : &who, 0, NULL), 0);
	assert_int_equal(quarantined(), 6);
}

static void
another_owner_kind_or_version_is_foreign(void **state)
{
	static const struct store_identity foreign[] = {
		{"journal", 1, "po2", 0}, {"index", 1, "po1", 0}, {"journal", 2, "po1", 0}, {"journal", 1, "po", 0}, {"journal", 1, "", 0},
	};
	enum store_found found;

	(void)state;
	for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
		make_store();
		assert_int_equal(open_as(&foreign[i], STORE_READONLY, NULL), -ERR_CORRUPT);
		assert_int_equal(quarantined(), i);
		assert_int_equal(open_as(&foreign[i], 0, &found), 0);
		assert_int_equal(found, STORE_REBUILT);
		assert_non_null(strstr(err_text(), "journal.quarantine-"));
		assert_int_equal(quarantined(), i + 1); /* all of one second */
		assert_int_equal(open_as(&foreign[i], 0, &found), 0);
		assert_int_equal(found, STORE_OPENED);
		assert_int_equal(fsio_remove_tree(dir.fd, "journal"), 0);
	}
}

static void
a_rebuilt_store_has_another_identity_and_no_rows(void **state)
{
	char uuid[33];
	struct store *s;
	struct store_txn *txn;
	uint64_t rows;
	int fd;

	(void)state;
	make_store();
	assert_int_equal(store_open(path, &who, tables, 2, 0, &s, NULL), 0);
	snprintf(uuid, sizeof(uuid), "%s", store_uuid(s));
	store_close(s);
	fd = open_data();
	assert_int_equal(ftruncate(fd, 5000), 0);
	close(fd);
	assert_int_equal(store_open(path, &who, tables, 2, 0, &s, NULL), 0);
	assert_string_not_equal(uuid, store_uuid(s));
	assert_int_equal(store_read_begin(s, &txn), 0);
	assert_int_equal(store_count(txn, 0, &rows), 0);
	assert_int_equal(rows, 0);
	store_read_end(txn);
	store_close(s);
}

static void
an_environment_of_a_stranger_is_foreign(void **state)
{
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	char word[] = "identity";
	MDB_val v = {sizeof(word), word};

	(void)state;
	close(fsio_make_dirs(dir.fd, "journal", false));
	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, path, 0, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &v, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	assert_opens_as(STORE_REBUILT);
}

static void
a_file_that_is_no_environment_is_set_aside(void **state)
{
	int fd;

	(void)state;
	close(fsio_make_dirs(dir.fd, "journal", false));
	fd = fsio_open(dir.fd, "journal/data.mdb", O_WRONLY | O_CREAT, 0600);
	for (uint64_t at = 0; at < 20000; at += 10)
		assert_int_equal(fsio_pwrite(fd, "no tables\n", 10, at), 0);
	close(fd);
	assert_opens_as(STORE_REBUILT);
	assert_opens_as(STORE_OPENED);
}

static void
a_truncated_store_is_set_aside(void **state)
{
	static const int percent[] = {1, 10, 50, 90, 97};

	(void)state;
	for (size_t i = 0; i < sizeof(percent) / sizeof(*percent); i++) {
		struct stat st;
		int fd;

		make_store();
		fd = open_data();
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(ftruncate(fd, st.st_size / 100 * percent[i]), 0);
		close(fd);
		assert_int_equal(open_as(&who, STORE_READONLY, NULL), -ERR_CORRUPT);
		assert_opens_as(STORE_REBUILT);
		assert_int_equal(fsio_remove_tree(dir.fd, "journal"), 0);
	}
}

static void
zeroed_pages_are_found_or_harmless(void **state)
{
	static const uint8_t zeros[4096];
	struct stat st;

	(void)state;
	for (off_t page = 0; page < 12; page++) {
		enum store_found found;
		int fd;

		make_store();
		fd = open_data();
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(fsio_pwrite(fd, zeros, sizeof(zeros), (uint64_t)page * 4096), 0);
		close(fd);
		assert_int_equal(open_as(&who, 0, &found), 0);
		assert_int_equal(fsio_remove_tree(dir.fd, "journal"), 0);
	}
}

/* ---- flipped bits ---- */

/* Reads every row with its checksum; the number of wrong ones, or 99 when LMDB itself gave up. */
static unsigned
read_everything(struct store *s)
{
	unsigned wrong = 0;

	for (unsigned table = 0; table < 2; table++) {
		struct store_txn *txn;
		struct store_cursor *c = NULL;
		struct store_value key, value;
		int rc = store_read_begin(s, &txn);

		if (rc)
			return 99;
		rc = store_cursor_open(txn, table, NULL, 0, &c);
		while (!rc && (rc = store_cursor_next(c, &key, &value)) == 0) {
			const char *bytes;

			if (store_unseal(key, &value) != 0) {
				wrong++;
				continue;
			}
			bytes = value.data;
			if (bytes[value.len - 1] != (char)('a' + store_u64_key(key.data) % 26))
				abort(); /* a wrong row under a right checksum */
		}
		store_cursor_close(c);
		store_read_end(txn);
		wrong += rc == 1 ? 0 : 99;
	}
	return wrong;
}

/* In a child, so that a crash is counted and not suffered. */
static int
open_and_read(void)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		enum store_found found;
		struct store *s;

		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		if (store_open(path, &who, tables, 2, 0, &s, &found) != 0)
			_exit(50);
		_exit(found == STORE_REBUILT ? 1 : read_everything(s) ? 2 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The rows of make_store() are of one letter each. */
static void
spoil_a_value(void)
{
	int fd = open_data();
	char *bytes;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	char *at = memmem(bytes, (size_t)st.st_size, "hhhhhhhhhhhhhhhh", 16);
	assert_non_null(at);
	assert_int_equal(pwrite(fd, "H", 1, at - bytes), 1);
	free(bytes);
	close(fd);
}

static void
a_row_that_fails_its_checksum_is_found_when_the_store_is_opened(void **state)
{
	const struct store_identity sealed = {.kind = who.kind, .version = who.version, .owner = who.owner, .sealed = STORE_ALL_SEALED};
	enum store_found found;

	(void)state;
	make_store();
	assert_int_equal(open_as(&sealed, 0, &found), 0);
	assert_int_equal(found, STORE_OPENED);
	spoil_a_value();
	assert_int_equal(open_as(&who, 0, &found), 0);
	assert_int_equal(found, STORE_OPENED); /* of tables that bear no checksums nobody can tell */
	assert_int_equal(open_as(&sealed, STORE_DERIVED, &found), 0); /* what can be made again is looked at like any other */
	assert_int_equal(found, STORE_REBUILT);
}

static void
flipped_bits_end_in_quarantine_or_an_error_and_never_in_wrong_rows(void **state)
{
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)atoi(given) : (unsigned)time(NULL), counts[3] = {0}, crashes = 0;
	struct stat st;
	int fd, status;

	(void)state;
	print_message("# SEED=%u\n", seed);
	srandom(seed);
	make_store();
	assert_int_equal(fsio_rename(dir.fd, "journal", dir.fd, "model"), 0);
	for (int i = 0; i < 150; i++) {
		char command[600], byte;
		uint64_t at;

		snprintf(command, sizeof(command), "cp -r %s/model %s", dir.path, path);
		assert_int_equal(system(command), 0);
		fd = open_data();
		assert_int_equal(fstat(fd, &st), 0);
		at = (uint64_t)random() % (uint64_t)(i % 3 ? st.st_size : 16 * 4096); /* the head and the trees more often */
		assert_int_equal(fsio_pread(fd, &byte, 1, at), 1);
		byte = (char)(byte ^ 1 << random() % 8);
		assert_int_equal(fsio_pwrite(fd, &byte, 1, at), 0);
		close(fd);
		status = open_and_read();
		if (WIFEXITED(status)) {
			assert_in_range(WEXITSTATUS(status), 0, 2);
			counts[WEXITSTATUS(status)]++;
		} else {
			/* The walk of the checker is the walk of the reader, so what kills the one has been found by the other. */
			print_message("# byte %llu: signal %d\n", (unsigned long long)at, WTERMSIG(status));
			crashes++;
		}
		assert_int_equal(fsio_remove_tree(dir.fd, "journal"), 0);
	}
	print_message("# 150 flips: %u unseen, %u quarantined, %u errors, %u crashes\n", counts[0], counts[1], counts[2], crashes);
	assert_int_equal(crashes, 0);
	assert_true(counts[2] > 0);
}

static int
flip_and_get(uint64_t row)
{
	struct store *s;
	struct store_txn *txn;
	struct store_value v;
	uint8_t key[8];
	int err;

	assert_int_equal(store_open(path, &who, tables, 2, 0, &s, NULL), 0);
	assert_int_equal(store_read_begin(s, &txn), 0);
	store_key_u64(row, key);
	err = store_sealed_get(txn, 1, key, sizeof(key), &v);
	store_read_end(txn);
	store_close(s);
	return err;
}

static void
a_flipped_bit_in_a_value_is_an_error_of_that_row_alone(void **state)
{
	static char pattern[4000], data[4096];
	struct stat st;
	uint64_t at;
	int fd;

	(void)state;
	make_store();
	memset(pattern, 'e', sizeof(pattern)); /* row 30: 30 % 26 = 4 */
	fd = open_data();
	assert_int_equal(fstat(fd, &st), 0);
	for (at = 0; at < (uint64_t)st.st_size; at += 4096) {
		assert_int_equal(fsio_pread(fd, data, sizeof(data), at), (ssize_t)sizeof(data));
		if (memcmp(data, pattern, sizeof(pattern)) == 0)
			break;
	}
	assert_true(at < (uint64_t)st.st_size);
	assert_int_equal(flip_and_get(30), 0);
	assert_int_equal(fsio_pwrite(fd, "f", 1, at + 77), 0);
	close(fd);
	unsigned wrong = 0;
	for (uint64_t row = 0; row < 2000; row += 10) {
		int err = flip_and_get(row);

		assert_true(err == 0 || (err == -ERR_CORRUPT && row % 26 == 4));
		wrong += err != 0;
	}
	assert_int_equal(wrong, 1);
}

/* ---- beside others ---- */

static void
damage_beside_a_running_process_is_an_error_and_moves_nothing(void **state)
{
	int down[2], up[2], fd, status;
	enum store_found found;
	struct stat st;
	pid_t pid;
	char byte;

	(void)state;
	make_store();
	assert_int_equal(pipe(down), 0);
	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		struct store *s;

		if (store_open(path, &who, tables, 2, 0, &s, NULL) != 0 || write(up[1], "x", 1) != 1)
			_exit(1);
		close(down[1]);
		_exit(read(down[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_int_equal(read(up[0], &byte, 1), 1);
	assert_int_equal(open_as(&who, 0, &found), 0); /* good: it joins */
	assert_int_equal(found, STORE_OPENED);
	fd = open_data();
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size / 2), 0);
	assert_int_equal(open_as(&who, 0, &found), -ERR_CORRUPT);
	assert_int_equal(quarantined(), 0);
	assert_int_equal(ftruncate(fd, st.st_size), 0);
	close(fd);
	close(down[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_opens_as(STORE_REBUILT); /* alone now; the second half is zeros */
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		if (i == 0)
			close(down[i]);
	}
}

static void
a_store_that_cannot_be_reached_is_not_taken_for_damaged(void **state)
{
	struct store *s = NULL;
	char missing[256];

	(void)state;
	scratch_path(&dir, "none/journal", missing);
	assert_int_equal(store_open(missing, &who, tables, 2, 0, &s, NULL), -ERR_GONE);
	assert_null(s);
	assert_int_equal(symlinkat("/nowhere", dir.fd, "journal"), 0);
	assert_int_equal(store_open(path, &who, tables, 2, 0, &s, NULL), -ERR_UNSAFE);
	assert_null(s);
	assert_int_equal(quarantined(), 0);
}

/* Each process, the checker's child too, has its own n-th map. */
static void
where_memory_lacks_for_a_map_a_good_store_is_refused_and_not_moved_aside(void **state)
{
	static const unsigned ways[] = {0, STORE_READONLY, STORE_NO_CHECK, STORE_READONLY | STORE_NO_CHECK};
	enum store_found found;
	unsigned refused = 0;

	(void)state;
#ifdef __SANITIZE_THREAD__
	skip();
#endif
	make_store();
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
		bool failed = true;

		for (unsigned n = 1; failed; n++) {
			maps_until_one_fails = n;
			int err = open_as(&who, ways[i], &found);

			failed = maps_until_one_fails == 0;
			maps_until_one_fails = 0;
			assert_true(err ? failed && err != -ERR_CORRUPT : found == STORE_OPENED);
			refused += err != 0;
			assert_int_equal(quarantined(), 0);
			assert_int_equal(open_as(&who, ways[i], &found), 0);
			assert_int_equal(found, STORE_OPENED);
		}
	}
	assert_true(refused >= sizeof ways / sizeof *ways);
}

static void
where_its_check_finds_no_memory_a_good_store_is_not_moved_aside(void **state)
{
	(void)state;
#ifndef CHILD_ALLOCATIONS
	skip();
#else
	enum store_found found;
	unsigned refused = 0;

	make_store();
	parent = getpid();
	for (unsigned n = 1; n <= 60; n++) {
		child_allocations_until_one_fails = n;
		int err = open_as(&who, 0, &found);

		child_allocations_until_one_fails = 0;
		if (quarantined())
			print_message("allocation %u\n", n);
		assert_int_equal(quarantined(), 0);
		assert_true(err ? err != -ERR_CORRUPT : found == STORE_OPENED);
		refused += err != 0;
	}
	assert_true(refused > 2);
#endif
}

static void
on_a_full_disk_a_good_store_without_its_locks_is_refused_and_not_moved_aside(void **state)
{
	static char zeros[1 << 16];
	enum store_found found;
	int fd;

	(void)state;
	scratch_path(&dir, "small", small);
	assert_int_equal(mkdir(small, 0700), 0);
	if (mount("tmpfs", small, "tmpfs", MS_NOSUID | MS_NODEV, "size=32m") != 0)
		skip(); /* not root */
	mounted = true;
	scratch_path(&dir, "small/journal", path);
	make_store();
	assert_int_equal(unlinkat(dir.fd, "small/journal/lock.mdb", 0), 0);
	fd = openat(dir.fd, "small/full", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, zeros, sizeof zeros) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
	assert_int_equal(open_as(&who, 0, &found), -ERR_NOSPACE);
	assert_int_equal(unlinkat(dir.fd, "small/full", 0), 0);
	assert_int_equal(open_as(&who, 0, &found), 0);
	assert_int_equal(found, STORE_OPENED);
}

static void
trailing_slashes_and_relative_paths_mean_the_same_store(void **state)
{
	char slashed[260], before[4096];
	enum store_found found;
	struct store *s;

	(void)state;
	make_store();
	snprintf(slashed, sizeof(slashed), "%s//", path);
	assert_int_equal(store_open(slashed, &who, tables, 2, 0, &s, &found), 0);
	assert_int_equal(found, STORE_OPENED);
	store_close(s);
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(dir.path), 0);
	assert_int_equal(store_open("journal", &who, tables, 2, 0, &s, &found), 0);
	assert_int_equal(found, STORE_OPENED);
	store_close(s);
	assert_int_equal(chdir(before), 0);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_dir(a_new_store_is_private_and_then_ours),
		with_dir(a_store_killed_while_it_was_made_is_made_again),
		with_dir(another_owner_kind_or_version_is_foreign),
		with_dir(of_what_is_moved_aside_the_newest_three_are_kept_when_it_can_be_made_again),
		with_dir(a_rebuilt_store_has_another_identity_and_no_rows),
		with_dir(an_environment_of_a_stranger_is_foreign),
		with_dir(a_file_that_is_no_environment_is_set_aside),
		with_dir(a_truncated_store_is_set_aside),
		with_dir(zeroed_pages_are_found_or_harmless),
		with_dir(a_row_that_fails_its_checksum_is_found_when_the_store_is_opened),
		with_dir(flipped_bits_end_in_quarantine_or_an_error_and_never_in_wrong_rows),
		with_dir(a_flipped_bit_in_a_value_is_an_error_of_that_row_alone),
		with_dir(damage_beside_a_running_process_is_an_error_and_moves_nothing),
		with_dir(a_store_that_cannot_be_reached_is_not_taken_for_damaged),
		with_dir(where_memory_lacks_for_a_map_a_good_store_is_refused_and_not_moved_aside),
		with_dir(where_its_check_finds_no_memory_a_good_store_is_not_moved_aside),
		with_dir(on_a_full_disk_a_good_store_without_its_locks_is_refused_and_not_moved_aside),
		with_dir(trailing_slashes_and_relative_paths_mean_the_same_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
