/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rows, growth, several processes, killed writers, and a disk that refuses: what a running store must stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/fsio.c"
#include "src/base/store.c"

#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/lib/scratch.h"
#include "tests/lib/syncs.h"
#include "tests/lib/writes.h"

enum { LOG, OTHER, N_TABLES };

static const char *const tables[N_TABLES] = {"log", "other"};
static const struct store_identity who = {"journal", 1, "po1", 0};
static struct scratch dir;
static char path[256];
static struct store *store;

/* ---- set-up ---- */

static void
open_store(void)
{
	assert_int_equal(store_open(path, &who, tables, N_TABLES, STORE_NO_CHECK, &store, NULL), 0);
}

static int
set_up(void **state)
{
	(void)state;
	scratch_open(&dir);
	scratch_path(&dir, "journal", path);
	store = NULL;
	writes_errno = syncs_errno = 0;
	writes_heads_only = false;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	store_close(store);
	scratch_close(&dir);
	return 0;
}

/* Rows first..first+n-1 of a sequence, each `len` bytes made of its number. */
struct batch {
	uint64_t first, n;
	size_t len;
	int calls, result;
};

static void
fill(uint64_t seq, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seq * 31 + i);
}

static int
append_batch(struct store_txn *txn, void *arg)
{
	struct batch *b = arg;
	uint8_t key[8], *bytes = malloc(b->len + 1);
	int err = 0;

	b->calls++;
	for (uint64_t seq = b->first; !err && seq < b->first + b->n; seq++) {
		store_key_u64(seq, key);
		fill(seq, bytes, b->len);
		err = store_sealed_append(txn, LOG, key, sizeof(key), bytes, b->len);
	}
	free(bytes);
	return err ? err : b->result;
}

static int
append_rows(uint64_t first, uint64_t n, size_t len)
{
	struct batch b = {.first = first, .n = n, .len = len};

	return store_write(store, append_batch, &b);
}

/* Walks the log and returns its length; every row must be the next, whole. */
static uint64_t
count_good_rows(size_t len)
{
	struct store_txn *txn;
	struct store_cursor *c;
	struct store_value key, value;
	uint8_t *want = malloc(len + 1);
	uint64_t seq = 0;
	int rc;

	assert_int_equal(store_read_begin(store, &txn), 0);
	assert_int_equal(store_cursor_open(txn, LOG, NULL, 0, &c), 0);
	for (; (rc = store_cursor_next(c, &key, &value)) == 0; seq++) {
		assert_int_equal(key.len, 8);
		assert_int_equal(store_u64_key(key.data), seq);
		assert_int_equal(store_unseal(key, &value), 0);
		assert_int_equal(value.len, len);
		fill(seq, want, len);
		assert_memory_equal(value.data, want, len);
	}
	assert_int_equal(rc, 1);
	store_cursor_close(c);
	store_read_end(txn);
	free(want);
	return seq;
}

/* ---- rows ---- */

static void
a_hundred_thousand_rows_come_back_in_order_after_reopening(void **state)
{
	struct store_value key, value;
	struct store_txn *txn;
	uint64_t rows;
	char uuid[33];

	(void)state;
	open_store();
	snprintf(uuid, sizeof(uuid), "%s", store_uuid(store));
	assert_int_equal(strlen(uuid), 32);
	for (uint64_t first = 0; first < 100000; first += 10000)
		assert_int_equal(append_rows(first, 10000, 100), 0);
	store_close(store);
	open_store();
	assert_string_equal(store_uuid(store), uuid);
	assert_int_equal(count_good_rows(100), 100000);
	assert_int_equal(store_read_begin(store, &txn), 0);
	assert_int_equal(store_count(txn, LOG, &rows), 0);
	assert_int_equal(rows, 100000);
	assert_int_equal(store_last(txn, LOG, &key, &value), 0);
	assert_int_equal(store_u64_key(key.data), 99999);
	assert_int_equal(store_last(txn, OTHER, &key, &value), 1);
	store_read_end(txn);
}

static int
put_and_delete(struct store_txn *txn, void *arg)
{
	struct store_value v;

	(void)arg;
	assert_int_equal(store_get(txn, OTHER, "k", 1, &v), 1);
	assert_int_equal(store_del(txn, OTHER, "k", 1), 1);
	assert_int_equal(store_put(txn, OTHER, "k", 1, "one", 3), 0);
	assert_int_equal(store_put(txn, OTHER, "k", 1, "three", 5), 0);
	assert_int_equal(store_get(txn, OTHER, "k", 1, &v), 0);
	assert_int_equal(v.len, 5);
	assert_memory_equal(v.data, "three", 5);
	assert_int_equal(store_del(txn, OTHER, "k", 1), 0);
	assert_int_equal(store_get(txn, OTHER, "k", 1, &v), 1);
	assert_int_equal(store_put(txn, OTHER, "empty", 5, NULL, 0), 0);
	assert_int_equal(store_get(txn, OTHER, "empty", 5, &v), 0);
	assert_int_equal(v.len, 0);
	assert_int_equal(store_get(txn, LOG, "empty", 5, &v), 1); /* tables are apart */
	return 7;
}

static void
rows_are_put_replaced_and_deleted(void **state)
{
	(void)state;
	open_store();
	assert_int_equal(store_write(store, put_and_delete, NULL), 7);
}

static int
try_bad_keys(struct store_txn *txn, void *arg)
{
	char key[STORE_KEY_MAX + 1] = "x";
	struct store_cursor *c;
	struct store_value v;

	(void)arg;
	assert_int_equal(store_put(txn, OTHER, key, STORE_KEY_MAX, "v", 1), 0);
	assert_int_equal(store_put(txn, OTHER, key, sizeof(key), "v", 1), -ERR_LIMIT);
	assert_int_equal(store_put(txn, OTHER, key, 0, "v", 1), -ERR_LIMIT);
	assert_int_equal(store_get(txn, OTHER, key, 0, &v), -ERR_LIMIT);
	assert_int_equal(store_del(txn, OTHER, key, sizeof(key)), -ERR_LIMIT);
	assert_int_equal(store_cursor_open(txn, OTHER, key, sizeof(key), &c), -ERR_LIMIT);
	assert_int_equal(store_append(txn, OTHER, "a", 1, "v", 1), -ERR_DIFFERS);
	assert_int_equal(store_append(txn, OTHER, "y", 1, "v", 1), 0);
	return 0;
}

static void
keys_out_of_bounds_or_order_are_refused_and_spoil_nothing(void **state)
{
	(void)state;
	open_store();
	assert_int_equal(store_write(store, try_bad_keys, NULL), 0);
}

static int
trim_first_half(struct store_txn *txn, void *arg)
{
	struct store_cursor *c;
	struct store_value key, value;
	uint8_t copy[8];
	int n = 0;

	(void)arg;
	assert_int_equal(store_cursor_open(txn, LOG, NULL, 0, &c), 0);
	for (; n < 500; n++) {
		assert_int_equal(store_cursor_next(c, &key, &value), 0);
		assert_int_equal(store_u64_key(key.data), n);
		memcpy(copy, key.data, sizeof(copy));
		assert_int_equal(store_del(txn, LOG, copy, sizeof(copy)), 0);
	}
	assert_int_equal(store_cursor_next(c, &key, &value), 0);
	assert_int_equal(store_u64_key(key.data), 500);
	store_cursor_close(c);
	return 0;
}

static void
a_cursor_goes_on_after_its_row_was_deleted(void **state)
{
	struct store_txn *txn;
	uint64_t rows;

	(void)state;
	open_store();
	assert_int_equal(append_rows(0, 1000, 300), 0);
	assert_int_equal(store_write(store, trim_first_half, NULL), 0);
	assert_int_equal(store_read_begin(store, &txn), 0);
	assert_int_equal(store_count(txn, LOG, &rows), 0);
	assert_int_equal(rows, 500);
	store_read_end(txn);
}

static void
a_cursor_starts_at_the_first_key_not_below(void **state)
{
	struct store_cursor *c;
	struct store_value key, value;
	struct store_txn *txn;
	uint8_t from[8];

	(void)state;
	open_store();
	assert_int_equal(append_rows(100, 10, 10), 0);
	assert_int_equal(store_read_begin(store, &txn), 0);
	store_key_u64(50, from);
	assert_int_equal(store_cursor_open(txn, LOG, from, 8, &c), 0);
	assert_int_equal(store_cursor_next(c, &key, &value), 0);
	assert_int_equal(store_u64_key(key.data), 100);
	store_cursor_close(c);
	store_key_u64(108, from);
	assert_int_equal(store_cursor_open(txn, LOG, from, 8, &c), 0);
	assert_int_equal(store_cursor_next(c, &key, &value), 0);
	assert_int_equal(store_u64_key(key.data), 108);
	assert_int_equal(store_cursor_next(c, &key, &value), 0);
	assert_int_equal(store_cursor_next(c, &key, &value), 1);
	assert_int_equal(store_cursor_next(c, &key, &value), 1);
	store_cursor_close(c);
	store_key_u64(110, from);
	assert_int_equal(store_cursor_open(txn, LOG, from, 8, &c), 0);
	assert_int_equal(store_cursor_next(c, &key, &value), 1);
	store_cursor_close(c);
	store_read_end(txn);
}

static void
work_that_fails_leaves_nothing(void **state)
{
	struct batch b = {.n = 10, .len = 10, .result = -ERR_STOPPED};

	(void)state;
	open_store();
	assert_int_equal(store_write(store, append_batch, &b), -ERR_STOPPED);
	assert_int_equal(b.calls, 1);
	assert_int_equal(count_good_rows(10), 0);
	assert_int_equal(append_rows(0, 10, 10), 0);
	assert_int_equal(count_good_rows(10), 10);
}

/* ---- sealed rows ---- */

static int
swap_and_spoil(struct store_txn *txn, void *arg)
{
	struct store_value v;
	uint8_t bytes[64];

	(void)arg;
	assert_int_equal(store_sealed_put(txn, OTHER, "a", 1, "value", 5), 0);
	assert_int_equal(store_sealed_get(txn, OTHER, "a", 1, &v), 0);
	assert_int_equal(v.len, 5);
	assert_memory_equal(v.data, "value", 5);

	assert_int_equal(store_get(txn, OTHER, "a", 1, &v), 0);
	assert_int_equal(v.len, 13);
	memcpy(bytes, v.data, 13);
	assert_int_equal(store_put(txn, OTHER, "b", 1, bytes, 13), 0);
	assert_int_equal(store_sealed_get(txn, OTHER, "b", 1, &v), -ERR_CORRUPT); /* under a wrong key */
	for (size_t bit = 0; bit < 8 * 13; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(store_put(txn, OTHER, "a", 1, bytes, 13), 0);
		assert_int_equal(store_sealed_get(txn, OTHER, "a", 1, &v), -ERR_CORRUPT);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(store_put(txn, OTHER, "a", 1, bytes, 12), 0);
	assert_int_equal(store_sealed_get(txn, OTHER, "a", 1, &v), -ERR_CORRUPT);
	assert_int_equal(store_put(txn, OTHER, "a", 1, bytes, 7), 0);
	assert_int_equal(store_sealed_get(txn, OTHER, "a", 1, &v), -ERR_CORRUPT);
	assert_int_equal(store_sealed_get(txn, OTHER, "none", 4, &v), 1);
	return 0;
}

static void
a_sealed_row_shows_any_change_and_any_other_key(void **state)
{
	(void)state;
	open_store();
	assert_int_equal(store_write(store, swap_and_spoil, NULL), 0);
}

/* ---- growth ---- */

static void
the_map_grows_and_the_work_is_repeated(void **state)
{
	struct batch b = {.n = 1500, .len = 100000}; /* 150 MB: two doublings */
	uint64_t used, map;

	(void)state;
	open_store();
	store_usage(store, &used, &map);
	assert_int_equal(map, 64 << 20);
	assert_int_equal(store_write(store, append_batch, &b), 0);
	assert_int_equal(b.calls, 3);
	store_usage(store, &used, &map);
	assert_int_equal(map, 256 << 20);
	assert_true(used > 150000000 && used < map);
	assert_int_equal(count_good_rows(100000), 1500);
	store_close(store);
	open_store();
	store_usage(store, &used, &map);
	assert_int_equal(map, 256 << 20); /* remembered */
}

struct looker {
	pthread_t thread;
	atomic_bool stop;
	atomic_ulong looks;
	bool failed;
};

static void *
look_on(void *arg)
{
	struct looker *l = arg;
	struct store_value key, value;
	struct store_txn *txn;

	while (!atomic_load(&l->stop)) {
		if (store_read_begin(store, &txn) != 0) {
			l->failed = true;
			return NULL;
		}
		if (store_last(txn, LOG, &key, &value) == 0 && store_unseal(key, &value) != 0)
			l->failed = true;
		store_read_end(txn);
		atomic_fetch_add(&l->looks, 1);
	}
	return NULL;
}

static void
the_map_grows_under_threads_that_read(void **state)
{
	struct looker lookers[2] = {0};

	(void)state;
	open_store();
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&lookers[i].thread, NULL, look_on, &lookers[i]), 0);
	for (uint64_t first = 0; first < 1500; first += 250)
		assert_int_equal(append_rows(first, 250, 100000), 0);
	for (int i = 0; i < 2; i++) {
		while (atomic_load(&lookers[i].looks) == 0)
			sched_yield();
		atomic_store(&lookers[i].stop, true);
		pthread_join(lookers[i].thread, NULL);
		assert_false(lookers[i].failed);
	}
	assert_int_equal(count_good_rows(100000), 1500);
}

static void
a_writer_that_reads_gets_an_error_and_not_a_deadlock(void **state)
{
	struct store_txn *txn;

	(void)state;
	open_store();
	remap_patience_s = 0;
	assert_int_equal(store_read_begin(store, &txn), 0);
	assert_int_equal(append_rows(0, 800, 100000), -ERR_BUSY);
	store_read_end(txn);
	remap_patience_s = 10;
	assert_int_equal(append_rows(0, 800, 100000), 0);
	assert_int_equal(count_good_rows(100000), 800);
}

/* ---- another process ---- */

struct helper {
	pid_t pid;
	int to, from; /* a byte each way is a step */
};

static void
helper_start(struct helper *h, void (*body)(int in, int out))
{
	int down[2], up[2];

	assert_int_equal(pipe(down), 0);
	assert_int_equal(pipe(up), 0);
	h->pid = fork();
	assert_true(h->pid >= 0);
	if (h->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(down[1]);
		close(up[0]);
		body(down[0], up[1]);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	h->to = down[1];
	h->from = up[0];
}

static bool
send_step(int fd)
{
	return write(fd, "x", 1) == 1;
}

static bool
await_step(int fd)
{
	char byte;

	return read(fd, &byte, 1) == 1;
}

static int
helper_end(struct helper *h)
{
	int status;

	close(h->to);
	close(h->from);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	return status;
}

/* In a child a failed assertion of cmocka would go on with the tests. */
static void
must(bool ok)
{
	if (!ok)
		_exit(3);
}

static void
write_thrice_when_asked(int in, int out)
{
	must(store_open(path, &who, tables, N_TABLES, STORE_NO_CHECK, &store, NULL) == 0);
	must(send_step(out));
	for (uint64_t first = 0; first < 3; first++) {
		must(await_step(in));
		must(append_rows(first * 500, 500, 100000) == 0);
		must(send_step(out));
	}
}

/* Keeps what it sees until it is killed. */
static void
read_until_killed(int in, int out)
{
	struct store_txn *txn;

	must(store_open(path, &who, tables, N_TABLES, STORE_NO_CHECK, &store, NULL) == 0);
	must(store_read_begin(store, &txn) == 0);
	must(send_step(out));
	await_step(in);
}

static int
put_large(struct store_txn *txn, void *arg)
{
	static uint8_t bytes[1 << 20];

	(void)arg;
	return store_put(txn, OTHER, "k", 1, bytes, sizeof bytes);
}

static void
a_reader_that_died_keeps_no_pages_of_a_store_that_goes_on(void **state)
{
	struct helper h;
	uint64_t used, map;

	(void)state;
	helper_start(&h, read_until_killed);
	assert_true(await_step(h.from));
	open_store();
	kill(h.pid, SIGKILL);
	helper_end(&h);
	for (int i = 0; i < 80; i++)
		assert_int_equal(store_write(store, put_large, NULL), 0);
	store_usage(store, &used, &map);
	assert_int_equal(map, 64 << 20);
	store_close(store);
	store = NULL;
}

static void
a_reader_follows_a_writer_in_another_process_through_its_growth(void **state)
{
	struct helper h;
	struct store_txn *old;
	uint64_t rows;

	(void)state;
	helper_start(&h, write_thrice_when_asked);
	assert_true(await_step(h.from));
	open_store();
	assert_int_equal(count_good_rows(100000), 0);
	assert_int_equal(store_read_begin(store, &old), 0);
	assert_true(send_step(h.to));
	assert_true(await_step(h.from));
	assert_int_equal(store_count(old, LOG, &rows), 0);
	assert_int_equal(rows, 0); /* a snapshot */
	store_read_end(old);
	assert_int_equal(count_good_rows(100000), 500);
	for (uint64_t i = 2; i <= 3; i++) {
		assert_true(send_step(h.to));
		assert_true(await_step(h.from));
		assert_int_equal(count_good_rows(100000), 500 * i);
	}
	assert_int_equal(append_rows(1500, 10, 100000), 0); /* and we write on what it grew */
	assert_int_equal(helper_end(&h), 0);
}

static void
write_until_killed(int in, int out)
{
	(void)in;
	must(store_open(path, &who, tables, N_TABLES, STORE_NO_CHECK, &store, NULL) == 0);
	for (uint64_t first = 0;; first += 20) {
		must(append_rows(first, 20, 3000) == 0);
		must(send_step(out));
	}
}

static void
what_a_killed_writer_was_told_is_there_and_nothing_is_half(void **state)
{
	struct helper h;
	enum store_found found;
	uint64_t rows;

	(void)state;
	for (unsigned acknowledged = 1; acknowledged <= 40; acknowledged += 13) {
		helper_start(&h, write_until_killed);
		for (unsigned i = 0; i < acknowledged; i++)
			assert_true(await_step(h.from));
		kill(h.pid, SIGKILL);
		assert_int_equal(helper_end(&h), SIGKILL);
		assert_int_equal(store_open(path, &who, tables, N_TABLES, 0, &store, &found), 0);
		assert_int_equal(found, STORE_OPENED);
		rows = count_good_rows(3000);
		assert_true(rows >= 20 * acknowledged && rows % 20 == 0);
		assert_int_equal(append_rows(rows, 1, 3000), 0); /* its lock is free */
		store_close(store);
		store = NULL;
		assert_int_equal(fsio_remove_tree(dir.fd, "journal"), 0);
	}
}

static const char *armed_point;

static void
die_in_the_second_commit(int in, int out)
{
	(void)in;
	(void)out;
	must(store_open(path, &who, tables, N_TABLES, STORE_NO_CHECK, &store, NULL) == 0);
	must(append_rows(0, 5, 50) == 0);
	failpoint_arm(armed_point);
	append_rows(5, 5, 50);
}

static void
a_kill_before_the_commit_loses_it_and_after_keeps_it(void **state)
{
	static const struct {
		const char *point;
		uint64_t rows;
	} cases[] = {{"store.commit", 5}, {"store.commit.done", 10}};
	struct helper h;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		armed_point = cases[i].point;
		helper_start(&h, die_in_the_second_commit);
		assert_int_equal(helper_end(&h), SIGKILL);
		open_store();
		assert_int_equal(count_good_rows(50), cases[i].rows);
		store_close(store);
		store = NULL;
		assert_int_equal(fsio_remove_tree(dir.fd, "journal"), 0);
	}
}

static void
read_only(int in, int out)
{
	must(store_open(path, &who, tables, N_TABLES, STORE_READONLY | STORE_NO_CHECK, &store, NULL) == 0);
	must(append_rows(0, 1, 1) == -ERR_UNSUPPORTED);
	must(count_good_rows(50) == 5);
	must(send_step(out));
	must(await_step(in));
	must(count_good_rows(50) == 10);
}

static void
write_beside_a_reader(int in, int out)
{
	must(store_open(path, &who, tables, N_TABLES, STORE_NO_CHECK, &store, NULL) == 0);
	must(append_rows(0, 5, 50) == 0);
	must(send_step(out));
	must(await_step(in));
	must(append_rows(5, 5, 50) == 0);
	must(send_step(out));
}

static void
a_process_that_only_looks_sees_and_cannot_write(void **state)
{
	struct helper writer, reader;

	(void)state;
	assert_int_equal(store_open(path, &who, tables, N_TABLES, STORE_READONLY, &store, NULL), -ERR_GONE);
	helper_start(&writer, write_beside_a_reader);
	assert_true(await_step(writer.from));
	helper_start(&reader, read_only);
	assert_true(await_step(reader.from));
	assert_true(send_step(writer.to));
	assert_true(await_step(writer.from));
	assert_true(send_step(reader.to));
	assert_int_equal(helper_end(&reader), 0);
	assert_int_equal(helper_end(&writer), 0);
}

/* ---- a disk that refuses ---- */

static void
a_full_disk_is_an_error_and_passes(void **state)
{
	(void)state;
	open_store();
	assert_int_equal(append_rows(0, 10, 1000), 0);
	writes_errno = ENOSPC;
	assert_int_equal(append_rows(10, 10, 1000), -ERR_NOSPACE);
	assert_int_equal(append_rows(10, 10, 1000), -ERR_NOSPACE);
	writes_errno = 0;
	assert_int_equal(count_good_rows(1000), 10);
	assert_int_equal(append_rows(10, 10, 1000), 0);
	assert_int_equal(count_good_rows(1000), 20);
}

static void
a_head_page_without_room_ends_the_store_until_it_is_opened_again(void **state)
{
	struct store_txn *txn;

	(void)state;
	open_store();
	assert_int_equal(append_rows(0, 10, 1000), 0);
	writes_errno = ENOSPC;
	writes_heads_only = true;
	assert_int_equal(append_rows(10, 10, 1000), -ERR_NOSPACE);
	writes_errno = 0;
	assert_int_equal(store_read_begin(store, &txn), -ERR_IO);
	assert_true(store_is_broken(store));
	assert_non_null(strstr(err_text(), "opened again"));
	store_close(store);
	open_store();
	assert_int_equal(count_good_rows(1000), 10);
	assert_int_equal(append_rows(10, 10, 1000), 0);
}

static void
after_a_failed_sync_nobody_writes_until_it_is_opened_again(void **state)
{
	(void)state;
	open_store();
	assert_int_equal(append_rows(0, 10, 1000), 0);
	syncs_errno = EIO;
	assert_int_equal(append_rows(10, 10, 1000), -ERR_IO);
	syncs_errno = 0;
	assert_int_equal(append_rows(10, 10, 1000), -ERR_IO);
	assert_non_null(strstr(err_text(), "opened again"));
	assert_int_equal(count_good_rows(1000), 10); /* reading goes on */
	store_close(store);
	open_store();
	assert_int_equal(append_rows(10, 10, 1000), 0);
	assert_int_equal(count_good_rows(1000), 20);
}

/* ---- what a process keeps of the map ---- */

/* As the kernel counts it: what is resident of this process's mappings of the store's file. */
static size_t
resident_of_the_map(void)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	size_t kib, total = 0;
	char line[512];
	bool ours = false;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		if (strchr(line, '-') && strchr(line, '/'))
			ours = strstr(line, "journal/data.mdb") != NULL;
		else if (ours && sscanf(line, "Rss: %zu kB", &kib) == 1)
			total += kib * 1024;
	}
	fclose(maps);
	return total;
}

static void
read_row(uint64_t seq, size_t len)
{
	struct store_value value;
	struct store_txn *txn;
	uint8_t key[8], want[4096];

	store_key_u64(seq, key);
	fill(seq, want, len);
	assert_int_equal(store_read_begin(store, &txn), 0);
	assert_int_equal(store_sealed_get(txn, LOG, key, sizeof key, &value), 0);
	assert_int_equal(value.len, len);
	assert_memory_equal(value.data, want, len);
	store_read_end(txn);
}

static void
who_reads_a_large_store_whole_keeps_little_of_it(void **state)
{
	const uint64_t rows = 24000;
	size_t most = 0;

	(void)state;
	open_store();
	for (uint64_t first = 0; first < rows; first += 4000)
		assert_int_equal(append_rows(first, 4000, 1900), 0);
	for (uint64_t seq = 0; seq < rows; seq++) {
		read_row(seq, 1900);
		if (seq % 1000 == 0 && resident_of_the_map() > most)
			most = resident_of_the_map();
	}
	assert_in_range(most, 1, 20 << 20); /* of 48 MiB */
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_dir(a_hundred_thousand_rows_come_back_in_order_after_reopening),
		with_dir(who_reads_a_large_store_whole_keeps_little_of_it),
		with_dir(rows_are_put_replaced_and_deleted),
		with_dir(keys_out_of_bounds_or_order_are_refused_and_spoil_nothing),
		with_dir(a_cursor_goes_on_after_its_row_was_deleted),
		with_dir(a_cursor_starts_at_the_first_key_not_below),
		with_dir(work_that_fails_leaves_nothing),
		with_dir(a_sealed_row_shows_any_change_and_any_other_key),
		with_dir(the_map_grows_and_the_work_is_repeated),
		with_dir(the_map_grows_under_threads_that_read),
		with_dir(a_writer_that_reads_gets_an_error_and_not_a_deadlock),
		with_dir(a_reader_that_died_keeps_no_pages_of_a_store_that_goes_on),
		with_dir(a_reader_follows_a_writer_in_another_process_through_its_growth),
		with_dir(what_a_killed_writer_was_told_is_there_and_nothing_is_half),
		with_dir(a_kill_before_the_commit_loses_it_and_after_keeps_it),
		with_dir(a_process_that_only_looks_sees_and_cannot_write),
		with_dir(a_full_disk_is_an_error_and_passes),
		with_dir(a_head_page_without_room_ends_the_store_until_it_is_opened_again),
		with_dir(after_a_failed_sync_nobody_writes_until_it_is_opened_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
