/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A collector of which one call fails, or one store comes, at the moment at which it was not minded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/fsio.h"
#include "journal/flag.h"
#include "livetree.h"
#include "replicator/look.h"
#include "replicator/transfer.h"
#include "replicator/work.h"
#include "tests/lib/mapped.h"
#include "tests/lib/world.h"

static struct world w;

/* ---- calls that fail; the linker gives all of them to us ---- */

static atomic_bool fail_hashes;   /* the next commit that brings hashes of blocks finds no room */
static const char *fail_work;     /* the next work of this path finds no memory */
static bool fail_sweep;           /* the next scan of everything finds no memory */
static const char *_Atomic fail_stat; /* the next look at this name fails */
static atomic_int checks_left = -1;   /* so many more looks at the root find it */
static const char *shut;          /* directories that begin so cannot be opened */

int __real_blockmap_apply(struct blockmap *m, const struct blockmap_op *ops, size_t n);
int __wrap_blockmap_apply(struct blockmap *m, const struct blockmap_op *ops, size_t n);
int
__wrap_blockmap_apply(struct blockmap *m, const struct blockmap_op *ops, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ops[i].kind == BLOCKMAP_BLOCKS && atomic_exchange(&fail_hashes, false))
			return err_set(ERR_NOSPACE, "as if the disk were full");
	return __real_blockmap_apply(m, ops, n);
}

static atomic_bool fail_ack;      /* the next rows that should leave the journal find no room */
int __real_journal_ack(struct journal *j, const uint64_t *seqs, size_t n);
int __wrap_journal_ack(struct journal *j, const uint64_t *seqs, size_t n);
int
__wrap_journal_ack(struct journal *j, const uint64_t *seqs, size_t n)
{
	if (atomic_exchange(&fail_ack, false))
		return err_set(ERR_NOSPACE, "as if the disk were full");
	return __real_journal_ack(j, seqs, n);
}

struct work *__real_work_new(const char *path, const struct origin *origin);
struct work *__wrap_work_new(const char *path, const struct origin *origin);
struct work *
__wrap_work_new(const char *path, const struct origin *origin)
{
	if (fail_work && strcmp(path, fail_work) == 0) {
		fail_work = NULL;
		return NULL;
	}
	return __real_work_new(path, origin);
}

struct replicator;
struct sweep;
struct sweep *__real_sweep_new(struct replicator *r, const char *dir);
struct sweep *__wrap_sweep_new(struct replicator *r, const char *dir);
struct sweep *
__wrap_sweep_new(struct replicator *r, const char *dir)
{
	if (fail_sweep && !*dir) {
		fail_sweep = false;
		return NULL;
	}
	return __real_sweep_new(r, dir);
}

int __real_origin_near_stat(struct origin_near *near, const struct origin *o, const char *path, struct stat *ret_st);
int __wrap_origin_near_stat(struct origin_near *near, const struct origin *o, const char *path, struct stat *ret_st);
int
__wrap_origin_near_stat(struct origin_near *near, const struct origin *o, const char *path, struct stat *ret_st)
{
	const char *fails = fail_stat;

	if (fails && strcmp(path, fails) == 0) {
		fail_stat = NULL;
		return err_set(ERR_IO, "as if the disk had failed");
	}
	return __real_origin_near_stat(near, o, path, ret_st);
}

int __real_livetree_check(const struct livetree *t);
int __wrap_livetree_check(const struct livetree *t);
int
__wrap_livetree_check(const struct livetree *t)
{
	if (checks_left == 0)
		return err_set(ERR_GONE, "as if it had been unmounted");
	if (checks_left > 0)
		checks_left--;
	return __real_livetree_check(t);
}

int __real_livetree_open_dir(const struct livetree *t, const char *path);
int __wrap_livetree_open_dir(const struct livetree *t, const char *path);
int
__wrap_livetree_open_dir(const struct livetree *t, const char *path)
{
	if (shut && strncmp(path, shut, strlen(shut)) == 0)
		return err_set(ERR_ACCESS, "as if we had no right to");
	return __real_livetree_open_dir(t, path);
}

/* ---- the tests ---- */

static void
begin(void)
{
	world_open(&w, 7);
	world_serve(&w);
}

static void
agree(void)
{
	world_start(&w);
	assert_int_equal(world_barrier(&w), 0);
	world_compare(&w);
}

static bool
stays(bool (*when)(void))
{
	time_t end = time(NULL) + 10;

	while (when() && time(NULL) < end)
		world_turns(&w, 1);
	return when();
}

static void
write_in_place(const char *path, uint64_t offset, uint8_t byte, size_t len)
{
	char full[512];
	uint8_t *data = malloc(len);
	int fd;

	snprintf(full, sizeof full, "%s/%s", w.live, path);
	fd = open(full, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0 && data);
	memset(data, byte, len);
	assert_int_equal(fsio_pwrite(fd, data, len, offset), 0);
	close(fd);
	free(data);
}

/* What the map says of blocks that were patched since is no word of what the server holds. */
static void
hashes_that_could_not_be_saved_are_not_those_before(void **state)
{
	static const char path[] = "ofuser/index/words.idx";

	(void)state;
	begin();
	world_write_random(&w, false, path, 32 * BLOCK_BYTES);
	write_in_place(path, 5 * BLOCK_BYTES, 'a', BLOCK_BYTES);
	agree();
	w.peer.mute = true;
	fail_hashes = true;
	write_in_place(path, 5 * BLOCK_BYTES, 'b', BLOCK_BYTES);
	while (fail_hashes)
		world_turns(&w, 1);
	peer_speak(&w.peer);
	assert_int_equal(world_barrier(&w), 0);
	world_compare(&w);
	write_in_place(path, 5 * BLOCK_BYTES, 'a', BLOCK_BYTES);
	write_in_place(path, 9 * BLOCK_BYTES, 'c', BLOCK_BYTES);
	assert_int_equal(world_barrier(&w), 0);
	world_compare(&w);
	world_close(&w);
}

static void
a_file_of_a_snapshot_that_found_no_memory_is_not_left_out(void **state)
{
	(void)state;
	begin();
	agree();
	assert_int_equal(world_snapshot(&w, false), 0);
	world_write_random(&w, true, "ofuser/usernew.db", 5000);
	fail_work = "ofuser/usernew.db";
	assert_int_equal(world_snapshot(&w, false), 0);
	assert_null(fail_work);
	world_compare(&w);
	world_close(&w);
}

static bool
rescan_is_open(void)
{
	struct journal_lag lag;

	assert_int_equal(journal_lag(w.journal, &lag), 0);
	return lag.rescans != 0;
}

static bool
sweep_has_not_failed(void)
{
	return fail_sweep;
}

static void
a_raised_flag_that_found_no_memory_is_met_again(void **state)
{
	struct change all = {.kind = CHANGE_RESCAN, .path = (char[]){""}};
	struct flag flag;
	int dir;

	(void)state;
	begin();
	w.watching = false;
	world_start(&w);
	world_run_until(&w, &w.link_up);
	assert_int_equal(journal_append(w.journal, &all, 1), 0);
	assert_false(stays(rescan_is_open));
	dir = open(w.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	assert_int_equal(flag_open(dir, &flag), 0);
	fail_sweep = true;
	assert_int_equal(flag_raise(&flag, 1), 0);
	assert_false(stays(sweep_has_not_failed));
	assert_false(stays(rescan_is_open));
	flag_close(&flag);
	close(dir);
	world_close(&w);
}

static bool
rows_wait(void)
{
	struct journal_lag lag;

	assert_int_equal(journal_lag(w.journal, &lag), 0);
	return lag.rows != 0;
}

static void
a_cookie_that_could_not_leave_the_journal_does_so_later(void **state)
{
	(void)state;
	begin();
	agree();
	assert_false(stays(rows_wait));
	fail_ack = true;
	assert_int_equal(world_barrier(&w), 0);
	while (fail_ack)
		world_turns(&w, 1);
	assert_false(stays(rows_wait));
	world_close(&w);
}

static bool
nothing_is_put(void)
{
	return !w.peer.messages[WIRE_PUT];
}

static void
three_hundred_directories_that_cannot_be_read_hold_up_nobody_else(void **state)
{
	char path[64], touched[] = "offiles/fd0/good";
	struct change row = {.kind = CHANGE_RESCAN, .path = path}, other = {.kind = CHANGE_TOUCHED, .path = touched};

	(void)state;
	begin();
	w.watching = false;
	world_start(&w);
	world_run_until(&w, &w.link_up);
	while (!w.peer.messages[WIRE_ENTRY] || rescan_is_open()) /* the one of a new server */
		world_turns(&w, 1);
	shut = "offiles/shut";
	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof path, "offiles/shut%u", i);
		world_make_dir(&w, path);
		assert_int_equal(journal_append(w.journal, &row, 1), 0);
	}
	world_write_random(&w, false, touched, 100);
	for (unsigned i = 0; i < 600; i++) /* a page of the journal further on */
	{
		snprintf(path, sizeof path, "offiles/fd1/none%u", i);
		row.kind = CHANGE_TOUCHED;
		assert_int_equal(journal_append(w.journal, &row, 1), 0);
	}
	assert_int_equal(journal_append(w.journal, &other, 1), 0);
	replicator_poke(w.replicator);
	assert_false(stays(nothing_is_put));
	shut = NULL;
	world_close(&w);
}

static void
a_scan_whose_deletions_are_held_ends_a_barrier(void **state)
{
	(void)state;
	begin();
	world_make_dir(&w, "offiles/fdA");
	world_write_random(&w, false, "offiles/fdA/a", 100);
	agree();
	world_remove(&w, "offiles/fdA/a");
	assert_int_equal(world_barrier(&w), 0);
	checks_left = 1; /* the scan believes; then the root goes */
	world_remove(&w, "offiles/fdA");
	while (checks_left)
		world_turns(&w, 1);
	assert_int_equal(world_barrier(&w), -ERR_INCOMPLETE);
	checks_left = -1;
	world_close(&w);
}

static int64_t
still_clock(void)
{
	return 1000000;
}

static void
a_directory_whose_row_became_a_scans_is_not_forgotten_by_a_kill(void **state)
{
	char dir[] = "offiles/fdB";
	struct change touched = {.kind = CHANGE_TOUCHED, .path = dir}, scan = {.kind = CHANGE_RESCAN, .path = dir};
	struct blockmap_stat stat;
	struct entry entry = {0};
	struct journal_lag lag;

	(void)state;
	begin();
	w.watching = false;
	w.clock_ms = still_clock; /* what waits for its next try waits */
	world_start(&w);
	world_run_until(&w, &w.link_up);
	world_make_dir(&w, dir);
	fail_stat = dir;
	assert_int_equal(journal_append(w.journal, &touched, 1), 0);
	replicator_poke(w.replicator);
	for (int i = 0; i < 100000 && fail_stat; i++)
		world_turns(&w, 1);
	assert_null(fail_stat);
	world_turns(&w, 200);
	assert_int_equal(journal_append(w.journal, &scan, 1), 0); /* an agreement asks for it, say */
	replicator_poke(w.replicator);
	(void)stays(rescan_is_open);
	world_stop(&w);
	world_start(&w);
	assert_int_equal(journal_lag(w.journal, &lag), 0);
	if (!lag.rows) {
		assert_int_equal(blockmap_get(w.map, dir, &entry, &stat), 0);
		entry_fini(&entry);
	}
	world_close(&w);
}

/* ---- a page that is stored into between the opening of an index and the look at its times ---- */

#define HOT_BYTES (24u << 20)

static struct mapped m;
static atomic_bool hot;
static volatile uint8_t *view;

static void *
heat(void *arg)
{
	(void)arg;
	while (hot)
		view[100]++;
	return NULL;
}

static bool
read_whole(const char *path, struct entry *ret_entry, struct blockmap_stat *ret_stat)
{
	struct work *work = work_new(path, &m.live);
	struct transfer *t = transfer_new(work, m.map, &m.key, false);
	struct wire_msg msgs[TRANSFER_MESSAGES];
	struct hash128 *hashes;
	uint64_t first;
	size_t n;
	bool good;
	void *data;

	while (t->state != TRANSFER_WAIT && t->state != TRANSFER_FAILED) {
		if (t->state == TRANSFER_READ) {
			transfer_run(t);
			transfer_ran(t);
		} else if (t->state == TRANSFER_MARK) {
			transfer_marked(t, 0);
		} else if (t->state == TRANSFER_SEND) {
			transfer_messages(t, 1, msgs, &data);
			free(data);
			if (transfer_take_extent(t, &first, &hashes, &n))
				free(hashes);
		} else {
			fail_msg("%s", transfer_state_name(t->state));
		}
	}
	good = t->state == TRANSFER_WAIT;
	*ret_entry = work->entry;
	*ret_stat = work->stat;
	transfer_free(t);
	work_free(work);
	return good;
}

static void
what_is_stored_while_an_index_is_opened_does_not_hide_what_comes_after(void **state)
{
	static const char path[] = "ofuser/index/hot.idx";
	struct blockmap_stat stat;
	struct entry entry;
	struct statfs fs;
	struct stat now;
	pthread_t thread;
	unsigned hidden = 0, tries, read = 0;
	uint8_t *disk;
	int fd;

	(void)state;
	mapped_open(&m);
	mapped_file(&m, path, 1, HOT_BYTES);
	fd = mapped_path_fd(&m, path, O_RDWR);
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC) {
		close(fd);
		mapped_close(&m);
		skip();
	}
	disk = malloc(HOT_BYTES);
	view = mmap(NULL, HOT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(view != MAP_FAILED && disk);
	for (tries = 0; tries < 12; tries++) {
		for (size_t at = 0; at < HOT_BYTES; at += BLOCK_BYTES)
			view[at]++; /* as an index that is being written */
		hot = true;
		assert_int_equal(pthread_create(&thread, NULL, heat, NULL), 0);
		bool good = read_whole(path, &entry, &stat);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		hot = false;
		pthread_join(thread, NULL);
		if (good) {
			read++;
			assert_int_equal(fsio_pread(fd, disk, HOT_BYTES, 0), HOT_BYTES);
			assert_int_equal(fstat(fd, &now), 0);
			hidden += look_unchanged(&now, &entry, &stat) && !hash128_equal(block_hash(&m.key, disk, HOT_BYTES), entry.digest);
		}
	}
	print_message("%u reads in %u tries, after %u of which a change was hidden\n", read, tries, hidden);
	assert_int_equal(hidden, 0);
	munmap((void *)(uintptr_t)view, HOT_BYTES);
	free(disk);
	close(fd);
	mapped_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_that_could_not_be_saved_are_not_those_before),
		cmocka_unit_test(a_file_of_a_snapshot_that_found_no_memory_is_not_left_out),
		cmocka_unit_test(a_raised_flag_that_found_no_memory_is_met_again),
		cmocka_unit_test(a_cookie_that_could_not_leave_the_journal_does_so_later),
		cmocka_unit_test(three_hundred_directories_that_cannot_be_read_hold_up_nobody_else),
		cmocka_unit_test(a_directory_whose_row_became_a_scans_is_not_forgotten_by_a_kill),
		cmocka_unit_test(what_is_stored_while_an_index_is_opened_does_not_hide_what_comes_after),
		cmocka_unit_test(a_scan_whose_deletions_are_held_ends_a_barrier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
