/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a collector's messages leave on disk and in the index; and, with a child killed at every failpoint of the way, that
 * what was acknowledged as durable is there and what was not does no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "staging_rig.h"
#include "tests/lib/syncs.h"

#define BIG (700u * 1024u)

static uint8_t *
noise(size_t len, unsigned seed)
{
	uint8_t *bytes = malloc(len);
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(x >> 24);
	}
	return bytes;
}

/* Sends a whole file in pieces of 64 KiB. */
static uint64_t
send_whole(struct rig *r, const char *path, const uint8_t *data, size_t len)
{
	uint64_t op = rig_begin_file(r, path, WIRE_BEGIN_WHOLE, len);

	for (size_t at = 0; at < len; at += 65536)
		rig_chunk(r, op, at, data + at, len - at < 65536 ? len - at : 65536);
	rig_end_file(r, op, data, len);
	return op;
}

/* The linker gives every calloc() of this program to us: the one at which `calloc_left` comes to nought fails. */
static _Thread_local int calloc_left;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *
__wrap_calloc(size_t n, size_t size)
{
	return calloc_left && --calloc_left == 0 ? NULL : __real_calloc(n, size);
}

/* Nothing else may come from a collector that waits for its answer. */
static void
a_frame_for_which_there_is_no_memory_ends_the_session_at_once(void **state)
{
	struct rig r;

	(void)state;
	for (int failing = 2; failing <= 3; failing++) { /* the frame's place in the queue, the batch; the first is the frame's own */
		rig_open(&r, NULL);
		rig_put(&r, "offiles/fd3/a", "hello", 5);
		calloc_left = failing;
		rig_send(&r);
		assert_int_equal(calloc_left, 0);
		assert_int_equal(r.failed, -ERR_NOMEM);
		rig_close(&r);
		rig_remove(&r);
	}
}

static void
a_small_blob_lies_under_its_name_with_a_row(void **state)
{
	struct rig r;
	uint32_t version;

	(void)state;
	rig_open(&r, NULL);
	rig_put(&r, "offiles/fd3/a", "hello", 5);
	rig_settle(&r);
	assert_int_equal(r.durable, 1);
	assert_true(rig_holds(&r, "blobs/offiles/fd3/a", "hello", 5));
	assert_true(rig_has_row(&r, "offiles/fd3/a", &version));
	assert_int_equal(version, 1);
	rig_close(&r);
	rig_remove(&r);
}

static void
a_changed_blob_becomes_the_next_version(void **state)
{
	struct rig r;
	uint32_t version;

	(void)state;
	rig_open(&r, NULL);
	rig_put(&r, "offiles/fd3/a", "one", 3);
	rig_settle(&r);
	rig_put(&r, "offiles/fd3/a", "two", 3);
	rig_put(&r, "offiles/fd3/a", "two", 3); /* again: nothing new */
	rig_settle(&r);
	rig_rm(&r, "offiles/fd3/a");
	rig_settle(&r);
	assert_false(rig_has_row(&r, "offiles/fd3/a", NULL));
	rig_put(&r, "offiles/fd3/a", "two", 3); /* back again: another name of the same file */
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "blobs/offiles/fd3/a", "one", 3));
	assert_true(rig_holds(&r, "blobs/versions/2/offiles/fd3/a", "two", 3));
	assert_true(rig_holds(&r, "blobs/versions/3/offiles/fd3/a", "two", 3));
	assert_true(rig_has_row(&r, "offiles/fd3/a", &version));
	assert_int_equal(version, 3);

	struct index_fresh *rows;
	size_t n;
	assert_int_equal(index_fresh_read(r.index, 0, 100, &rows, &n), 0);
	assert_int_equal(n, 4);
	assert_true(rows[2].removed);
	assert_int_equal(rows[3].version, 3);
	index_fresh_free(rows, n);
	rig_close(&r);
	rig_remove(&r);
}

static void
wrong_data_is_refused_and_leaves_nothing(void **state)
{
	struct wire_msg m = {.type = WIRE_PUT};
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	m.u.put.op = ++r.op;
	m.u.put.path = (char *)(uintptr_t)"offiles/fd3/a";
	m.u.put.entry = rig_entry(&r, "good", 4);
	m.u.put.data = (struct wire_bytes){(const uint8_t *)"evil", 4};
	rig_pack(&r, &m);
	uint64_t outside = rig_put(&r, "ofwork/x", "x", 1);
	rig_settle(&r);
	assert_int_equal(r.durable, 2);
	assert_int_equal(rig_nak_of(&r, 1), -ERR_DIFFERS);
	assert_int_equal(rig_nak_of(&r, outside), -ERR_UNSUPPORTED);
	assert_false(rig_is_there(&r, "blobs/offiles/fd3/a"));
	rig_close(&r);
	rig_remove(&r);
}

static void
a_database_is_patched_in_place(void **state)
{
	uint8_t *old = noise(BIG, 1), *new = noise(BIG + 5000, 1);
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	send_whole(&r, "ofuser/user1.db", old, BIG);
	rig_settle(&r);
	assert_true(rig_holds(&r, "gre_data/sync/ofuser/user1.db", old, BIG));
	memset(new + 8192, 7, 4096);
	uint64_t op = rig_begin_file(&r, "ofuser/user1.db", WIRE_BEGIN_PATCH, BIG + 5000);
	rig_chunk(&r, op, 8192, new + 8192, 4096);
	rig_chunk(&r, op, BIG / 4096 * 4096, new + BIG / 4096 * 4096, BIG + 5000 - BIG / 4096 * 4096);
	rig_end_file(&r, op, new, BIG + 5000);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "gre_data/sync/ofuser/user1.db", new, BIG + 5000));
	free(old);
	free(new);
	rig_close(&r);
	rig_remove(&r);
}

static void
a_hole_larger_than_the_disk_is_refused_and_not_digested(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	for (enum wire_begin_mode mode = WIRE_BEGIN_WHOLE; mode <= WIRE_BEGIN_PATCH; mode++) {
		uint64_t op = rig_begin_file(&r, "ofmsg/msg1.db", mode, 15ull << 40);

		rig_hole(&r, op, 0, 15ull << 40);
		rig_end_file(&r, op, "x", 1);
		rig_settle(&r);
		assert_int_equal(r.durable, op);
		assert_int_equal(r.naks[r.n_naks - 1].op, op);
		assert_int_equal(r.naks[r.n_naks - 1].err, -ERR_NOSPACE);
		rig_put(&r, "ofmsg/msg1.db", "there is one to be patched", 26);
		rig_settle(&r);
	}
	assert_int_equal(r.failed, 0);
	rig_close(&r);
	rig_remove(&r);
}

static void
holes_stay_holes_and_are_digested(void **state)
{
	size_t len = 40u << 20;
	uint8_t *data = calloc(1, len);
	struct stat st;
	struct rig r;

	(void)state;
	memset(data + (20u << 20), 9, 4096);
	rig_open(&r, NULL);
	uint64_t op = rig_begin_file(&r, "ofmsg/msg1.db", WIRE_BEGIN_WHOLE, len);
	rig_hole(&r, op, 0, 20u << 20);
	rig_chunk(&r, op, 20u << 20, data + (20u << 20), 4096);
	rig_hole(&r, op, (20u << 20) + 4096, len - (20u << 20) - 4096);
	rig_end_file(&r, op, data, len);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_int_equal(fsio_stat(r.fd, "gre_data/sync/ofmsg/msg1.db", &st), 0);
	assert_int_equal(st.st_size, len);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_true(rig_holds(&r, "gre_data/sync/ofmsg/msg1.db", data, len));
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

static void
a_cut_transfer_goes_on_where_it_was(void **state)
{
	uint8_t *data = noise(BIG, 3);
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	uint64_t op = rig_begin_file(&r, "offiles/fd7/big", WIRE_BEGIN_WHOLE, BIG);
	rig_chunk(&r, op, 0, data, 400u * 1024u);
	rig_put(&r, "offiles/fd7/other", "x", 1);
	rig_send(&r);
	while (r.received < 2)
		event_base_loop(r.base, EVLOOP_ONCE);
	assert_int_equal(r.durable, 0); /* the open transfer holds it back */
	staging_end(r.staging);
	rig_begin(&r);
	int fd = staging_open_held(r.fd, LAYOUT_POST_OFFICE, &r.key, r.index, "offiles/fd7/big");
	assert_true(fd >= 0);
	close(fd);
	op = rig_begin_file(&r, "offiles/fd7/big", WIRE_BEGIN_WHOLE, BIG);
	rig_chunk(&r, op, 400u * 1024u, data + 400u * 1024u, BIG - 400u * 1024u);
	rig_end_file(&r, op, data, BIG);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "blobs/offiles/fd7/big", data, BIG));
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

/* Of a path there can be two files: a transfer that was cut, and what came after it in one message. */
static void
what_a_cut_transfer_left_is_not_taken_for_the_file_in_its_place(void **state)
{
	uint8_t *cut = noise(BIG, 7), *data = noise(2 * BLOCK_BYTES, 8), got[2 * BLOCK_BYTES + 1];
	const char *path = "ofuser/index/words.idx", *place = "gre_data/ofuser/index/words.idx";
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	uint64_t op = rig_begin_file(&r, path, WIRE_BEGIN_WHOLE, BIG);
	rig_chunk(&r, op, 0, cut, 400u * 1024u);
	rig_send(&r);
	while (r.received < op)
		event_base_loop(r.base, EVLOOP_ONCE);
	staging_end(r.staging);
	rig_begin(&r);
	rig_put(&r, path, data, 2 * BLOCK_BYTES);
	rig_settle(&r);

	int fd = staging_open_held(r.fd, LAYOUT_POST_OFFICE, &r.key, r.index, path);
	assert_true(fd >= 0);
	assert_int_equal(fsio_pread(fd, got, sizeof got, 0), 2 * BLOCK_BYTES);
	assert_memory_equal(got, data, 2 * BLOCK_BYTES);
	close(fd);
	/* Only the second block is sent, whichever way: the first is the one in its place. */
	memset(data + BLOCK_BYTES, 1, BLOCK_BYTES);
	op = rig_begin_file(&r, path, WIRE_BEGIN_PATCH, 2 * BLOCK_BYTES);
	rig_chunk(&r, op, BLOCK_BYTES, data + BLOCK_BYTES, BLOCK_BYTES);
	rig_end_file(&r, op, data, 2 * BLOCK_BYTES);
	rig_settle(&r);
	assert_true(rig_holds(&r, place, data, 2 * BLOCK_BYTES));
	memset(data + BLOCK_BYTES, 2, BLOCK_BYTES);
	op = rig_begin_file(&r, path, WIRE_BEGIN_WHOLE, 2 * BLOCK_BYTES);
	rig_chunk(&r, op, BLOCK_BYTES, data + BLOCK_BYTES, BLOCK_BYTES);
	rig_end_file(&r, op, data, 2 * BLOCK_BYTES);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, place, data, 2 * BLOCK_BYTES));
	free(cut);
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

static void
pieces_that_do_not_make_the_file_are_refused(void **state)
{
	uint8_t *data = noise(BIG, 4);
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	uint64_t op = rig_begin_file(&r, "offiles/fd7/big", WIRE_BEGIN_WHOLE, BIG);
	rig_chunk(&r, op, 0, data, 4096);
	rig_end_file(&r, op, data, BIG);
	rig_settle(&r);
	assert_int_equal(rig_nak_of(&r, op), -ERR_DIFFERS);
	assert_false(rig_is_there(&r, "blobs/offiles/fd7/big"));
	/* Out of order is read again, and good. */
	op = rig_begin_file(&r, "offiles/fd7/big", WIRE_BEGIN_WHOLE, BIG);
	rig_chunk(&r, op, 65536, data + 65536, BIG - 65536 > WIRE_CHUNK_MAX ? WIRE_CHUNK_MAX : BIG - 65536);
	if (BIG - 65536 > WIRE_CHUNK_MAX)
		rig_chunk(&r, op, 65536 + WIRE_CHUNK_MAX, data + 65536 + WIRE_CHUNK_MAX, BIG - 65536 - WIRE_CHUNK_MAX);
	rig_chunk(&r, op, 0, data, 65536);
	rig_end_file(&r, op, data, BIG);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 1);
	assert_true(rig_holds(&r, "blobs/offiles/fd7/big", data, BIG));
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

static unsigned
open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* The file in its place is open for what a transfer leaves out, until it turns out that nothing is taken from it. */
static void
pieces_out_of_order_leave_no_descriptor_behind(void **state)
{
	uint8_t *data = noise(2 * BLOCK_BYTES, 9);
	const char *path = "ofuser/index/words.idx";
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	rig_put(&r, path, "in its place", 12);
	rig_settle(&r);
	unsigned before = open_descriptors();
	uint64_t op = rig_begin_file(&r, path, WIRE_BEGIN_WHOLE, 2 * BLOCK_BYTES);
	rig_chunk(&r, op, BLOCK_BYTES, data + BLOCK_BYTES, BLOCK_BYTES);
	rig_chunk(&r, op, 0, data, BLOCK_BYTES);
	rig_end_file(&r, op, data, 2 * BLOCK_BYTES);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "gre_data/ofuser/index/words.idx", data, 2 * BLOCK_BYTES));
	assert_int_equal(open_descriptors(), before);
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

static void
a_patch_cut_by_the_end_of_a_session_loses_its_row_and_keeps_its_bytes(void **state)
{
	uint8_t *data = noise(BIG, 5);
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	send_whole(&r, "ofuser/user1.db", data, BIG);
	rig_settle(&r);
	uint64_t op = rig_begin_file(&r, "ofuser/user1.db", WIRE_BEGIN_PATCH, BIG);
	rig_chunk(&r, op, 0, "garbage", 7);
	rig_send(&r);
	while (r.received < op)
		event_base_loop(r.base, EVLOOP_ONCE);
	staging_end(r.staging);
	rig_begin(&r);
	assert_false(rig_has_row(&r, "ofuser/user1.db", NULL));
	int fd = staging_open_held(r.fd, LAYOUT_POST_OFFICE, &r.key, r.index, "ofuser/user1.db");
	assert_true(fd >= 0);
	close(fd);
	op = rig_begin_file(&r, "ofuser/user1.db", WIRE_BEGIN_PATCH, BIG);
	rig_chunk(&r, op, 0, data, 4096);
	rig_end_file(&r, op, data, BIG);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_has_row(&r, "ofuser/user1.db", NULL));
	assert_true(rig_holds(&r, "gre_data/sync/ofuser/user1.db", data, BIG));
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

static int
count_mark(const char *path, void *arg)
{
	assert_string_equal(path, "ofuser/user1.db");
	++*(unsigned *)arg;
	return 0;
}

static void
a_file_that_is_patched_is_marked_until_it_is_whole(void **state)
{
	uint8_t *data = noise(BIG, 6);
	unsigned marks = 0;
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	send_whole(&r, "ofuser/user1.db", data, BIG);
	rig_settle(&r);
	uint64_t op = rig_begin_file(&r, "ofuser/user1.db", WIRE_BEGIN_PATCH, BIG);
	rig_chunk(&r, op, 0, "half", 4);
	rig_send(&r);
	while (r.received < op)
		event_base_loop(r.base, EVLOOP_ONCE);
	assert_int_equal(index_marks(r.index, count_mark, &marks), 0);
	assert_int_equal(marks, 1);
	memcpy(data, "half", 4);
	rig_end_file(&r, op, data, BIG);
	rig_settle(&r);
	marks = 0;
	assert_int_equal(index_marks(r.index, count_mark, &marks), 0);
	assert_int_equal(marks, 0);
	free(data);
	rig_close(&r);
	rig_remove(&r);
}

static void
names_change_their_kind(void **state)
{
	struct entry dir = {.kind = ENTRY_DIR, .mode = 0755}, link = {.kind = ENTRY_SYMLINK, .mode = 0777, .size = 3, .target = (char *)(uintptr_t)"a/b"};
	struct index_node node;
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	rig_entry_of(&r, "ofviews/win", &dir);
	rig_put(&r, "ofviews/win/a.ini", "1", 1);
	rig_put(&r, "ofviews/x", "file", 4);
	rig_settle(&r);
	rig_entry_of(&r, "ofviews/x", &dir);
	rig_put(&r, "ofviews/x/y", "below", 5);
	rig_entry_of(&r, "ofviews/win/a.ini", &link);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "gre_data/sync/ofviews/x/y", "below", 5));
	assert_false(rig_is_there(&r, "gre_data/sync/ofviews/win/a.ini"));
	assert_int_equal(index_get(r.index, "ofviews/win/a.ini", &node), 0);
	assert_string_equal(node.entry.target, "a/b");
	entry_fini(&node.entry);
	rig_rm(&r, "ofviews/x/y");
	rig_settle(&r);
	rig_put(&r, "ofviews/x", "file again", 10); /* the row was a directory's */
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "gre_data/sync/ofviews/x", "file again", 10));
	rig_rm(&r, "ofviews/x");
	rig_settle(&r);
	assert_false(rig_is_there(&r, "gre_data/sync/ofviews/x"));
	rig_close(&r);
	rig_remove(&r);
}

static void
while_a_set_is_sealed_only_blobs_change(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	staging_hold(r.staging, true);
	uint64_t database = rig_put(&r, "ofuser/a.db", "x", 1), index = rig_put(&r, "ofuser/index/a.idx", "x", 1);
	uint64_t blob = rig_put(&r, "offiles/fd1/a", "x", 1);
	rig_settle(&r);
	assert_int_equal(rig_nak_of(&r, database), -ERR_BUSY);
	assert_int_equal(rig_nak_of(&r, index), -ERR_BUSY);
	assert_int_equal(rig_nak_of(&r, blob), 0);
	staging_hold(r.staging, false);
	rig_put(&r, "ofuser/a.db", "x", 1);
	rig_settle(&r);
	assert_true(rig_has_row(&r, "ofuser/a.db", NULL));
	rig_close(&r);
	rig_remove(&r);
}

static void
a_number_out_of_order_ends_the_session(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	r.op = 5;
	rig_put(&r, "offiles/fd1/a", "x", 1);
	rig_settle(&r);
	assert_int_equal(r.failed, -ERR_PEER);
	assert_true(staging_broken(r.staging));
	rig_close(&r);
	rig_remove(&r);
}

static void
a_path_changed_many_times_in_one_frame_ends_as_the_last_says(void **state)
{
	struct rig r;
	char text[32];

	(void)state;
	rig_open(&r, NULL);
	for (int i = 0; i < 50; i++) {
		snprintf(text, sizeof text, "content %d", i);
		rig_put(&r, "wphost.db", text, strlen(text));
		if (i % 7 == 3)
			rig_rm(&r, "wphost.db");
	}
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "gre_data/sync/wphost.db", "content 49", 10));
	rig_close(&r);
	rig_remove(&r);
}

/* ---- two batches on their way ---- */

/* All threads of a lane meet; then they go, or stand at a gate until it opens: the other end of a pipe is closed. */
struct crowd {
	struct member {
		struct job job;
		struct crowd *crowd;
	} members[RIG_THREADS];
	pthread_barrier_t met;
	int gate[2];
	unsigned gone;
};

static void
member_run(struct job *job)
{
	struct crowd *crowd = ((struct member *)job)->crowd;
	char c;

	pthread_barrier_wait(&crowd->met);
	assert(read(crowd->gate[0], &c, 1) == 0);
}

static void
member_done(struct job *job, bool cancelled)
{
	(void)cancelled;
	((struct member *)job)->crowd->gone++;
}

static void
crowd_call(struct crowd *crowd, struct rig *r, int lane)
{
	*crowd = (struct crowd){0};
	assert_int_equal(pipe2(crowd->gate, O_CLOEXEC), 0);
	pthread_barrier_init(&crowd->met, NULL, RIG_THREADS);
	for (unsigned i = 0; i < RIG_THREADS; i++) {
		crowd->members[i] = (struct member){.job = {.run = member_run, .done = member_done}, .crowd = crowd};
		workpool_submit(r->pool, lane, &crowd->members[i].job);
	}
}

static void
crowd_dismiss(struct crowd *crowd, struct rig *r)
{
	close(crowd->gate[1]);
	while (crowd->gone < RIG_THREADS)
		event_base_loop(r->base, EVLOOP_ONCE);
	close(crowd->gate[0]);
	pthread_barrier_destroy(&crowd->met);
}

/* Sends what is gathered: it is planned, and written if it may be, when this returns. */
static void
send_and_let_plan(struct rig *r)
{
	struct crowd crowd;

	rig_send(r);
	for (int trip = 0; trip < 2; trip++) { /* a plan, and its slices */
		crowd_call(&crowd, r, r->lane_write);
		crowd_dismiss(&crowd, r);
	}
}

/* The file that one batch brings is removed by the next message: not before the first is over, whatever comes after it. */
static void
a_path_is_in_one_batch_on_its_way(void **state)
{
	struct crowd held_up;
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	crowd_call(&held_up, &r, r.lane_sync);
	rig_put(&r, "ofuser/index/a", "a", 1);
	send_and_let_plan(&r); /* waits for its sync, from here to the end */
	rig_rm(&r, "ofuser/index/a");
	send_and_let_plan(&r); /* waits for that one */
	rig_put(&r, "ofuser/index/b", "b", 1);
	send_and_let_plan(&r);
	crowd_dismiss(&held_up, &r);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_false(rig_is_there(&r, "gre_data/ofuser/index/a"));
	assert_false(rig_has_row(&r, "ofuser/index/a", NULL));
	assert_true(rig_has_row(&r, "ofuser/index/b", NULL));
	rig_close(&r);
	rig_remove(&r);
}

static void
a_lost_index_takes_over_the_blobs_it_finds(void **state)
{
	struct rig r;
	uint32_t version;
	struct stat a, b;

	(void)state;
	rig_open(&r, NULL);
	rig_put(&r, "offiles/fd1/a", "same", 4);
	rig_put(&r, "offiles/fd1/b", "old", 3);
	rig_settle(&r);
	rig_close(&r);
	char dir[sizeof r.dir];
	memcpy(dir, r.dir, sizeof dir);
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(fsio_remove_tree(fd, "state/index"), 0);
	close(fd);
	rig_open(&r, dir);
	assert_int_equal(r.recovery.found, 2);
	rig_put(&r, "offiles/fd1/a", "same", 4);
	rig_put(&r, "offiles/fd1/b", "new", 3);
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_true(rig_holds(&r, "blobs/offiles/fd1/b", "old", 3));
	assert_true(rig_holds(&r, "blobs/versions/2/offiles/fd1/b", "new", 3));
	assert_true(rig_has_row(&r, "offiles/fd1/a", &version));
	assert_int_equal(version, 2);
	assert_int_equal(fsio_stat(r.fd, "blobs/offiles/fd1/a", &a), 0);
	assert_int_equal(fsio_stat(r.fd, "blobs/versions/2/offiles/fd1/a", &b), 0);
	assert_true(a.st_ino == b.st_ino); /* no byte was stored twice */
	rig_close(&r);
	rig_remove(&r);
}

/* Needs the right to mount; else it says that it was not tried. */
static void
a_full_disk_loses_nothing_and_is_left_behind_unaided(void **state)
{
	struct scratch scratch;
	char path[64];
	uint8_t *data = noise(100u * 1024u, 11);
	unsigned good = 0;
	struct rig r;

	(void)state;
	scratch_open(&scratch);
	if (mount("tmpfs", scratch.path, "tmpfs", 0, "size=6m") != 0) {
		scratch_close(&scratch);
		free(data);
		skip();
	}
	rig_open(&r, scratch.path);
	int ballast = openat(r.fd, "ballast", O_CREAT | O_WRONLY, 0600);
	assert_int_equal(posix_fallocate(ballast, 0, 3 << 20), 0);
	close(ballast);
	/* One at a time, so that all before the first refusal is known to be durable. */
	while (!r.failed && !r.n_naks) {
		snprintf(path, sizeof path, "offiles/fd1/n%u", good);
		rig_put(&r, path, data, 100u * 1024u);
		rig_settle(&r);
		good += !r.failed && !r.n_naks;
	}
	assert_int_equal(r.failed ? r.failed : r.naks[0].err, -ERR_NOSPACE);
	assert_true(good > 0);
	rig_close(&r);
	int fd = open(scratch.path, O_RDONLY | O_DIRECTORY);
	assert_int_equal(unlinkat(fd, "ballast", 0), 0);
	close(fd);
	rig_open(&r, scratch.path);
	for (unsigned i = 0; i < good + 3; i++) {
		snprintf(path, sizeof path, "offiles/fd1/n%u", i);
		assert_true(i >= good || rig_has_row(&r, path, NULL));
		rig_put(&r, path, data, 100u * 1024u);
	}
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_int_equal(r.durable, good + 3);
	rig_close(&r);
	free(data);
	umount(scratch.path);
	scratch_close(&scratch);
}

/* ---- every crash window ---- */

static const char *const failpoints[] = {
	"staging.arm", "store.commit", "store.commit.done", "staging.wrote", "staging.data", "staging.data.done", "staging.dir",
	"staging.dir.done", "staging.sync", "staging.sync.done", "staging.commit", "staging.committed", "staging.disarm",
	"staging.disarm.done",
};

static int ack_fd; /* the child tells what was durable */
static uint64_t told;

static void
tell(struct rig *r)
{
	if (r->durable == told)
		return;
	told = r->durable;
	if (write(ack_fd, &told, sizeof told) != sizeof told)
		abort();
}

/*
 * The scenario: each operation's effect is known by its number, so that a number of durable ones says what must be there.
 *  1 blob a, 2 blob b, 3 database d (large), 4 small mutable m, 5 m replaced, 6 d patched, 7 blob a removed, 8 blob a anew,
 *  9 m removed, 10 large blob L, 11.. many blobs (one big batch)
 */
#define MANY 120

static void
scenario(struct rig *r)
{
	uint8_t *big = noise(BIG, 8), *big_blob = noise(BIG, 9);
	char path[64];

	rig_put(r, "offiles/fd1/a", "blob a", 6);
	rig_settle(r);
	rig_put(r, "offiles/fd2/b", "blob b", 6);
	send_whole(r, "ofuser/d.db", big, BIG);
	rig_put(r, "ofviews/m", "m one", 5);
	rig_settle(r);
	rig_put(r, "ofviews/m", "m two", 5);
	memset(big + 4096, 1, 4096);
	uint64_t op = rig_begin_file(r, "ofuser/d.db", WIRE_BEGIN_PATCH, BIG);
	rig_chunk(r, op, 4096, big + 4096, 4096);
	rig_end_file(r, op, big, BIG);
	rig_rm(r, "offiles/fd1/a");
	rig_settle(r);
	rig_put(r, "offiles/fd1/a", "blob a anew", 11);
	rig_rm(r, "ofviews/m");
	send_whole(r, "offiles/fd3/L", big_blob, BIG);
	rig_settle(r);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof path, "offiles/fd%d/n%d", i % 10, i);
		rig_put(r, path, path, strlen(path));
	}
	rig_settle(r);
	free(big);
	free(big_blob);
}

/* `staging --scenario FOLDER FD`: this program again, because a failpoint is read once per process. */
static int
run_scenario(const char *dir, int fd)
{
	struct rig r;

	ack_fd = fd;
	told = 0;
	rig_open(&r, dir);
	r.on_ack = tell;
	scenario(&r);
	rig_close(&r);
	return 0;
}

static _Noreturn void
child(const char *dir, int fd, const char *name, int nth)
{
	char setting[64], number[16];

	snprintf(setting, sizeof setting, "%s:%d", name, nth);
	snprintf(number, sizeof number, "%d", fd);
	setenv("TIDEMARK_FAILPOINT", setting, 1);
	execl("/proc/self/exe", "test_staging", "--scenario", dir, number, (char *)NULL);
	_exit(127);
}

static void
must_hold(struct rig *r, const char *path, const char *place, const void *data, size_t len)
{
	struct index_node node;

	assert_int_equal(index_get(r->index, path, &node), 0);
	assert_true(hash128_equal(node.entry.digest, block_hash(&r->key, data, len)));
	entry_fini(&node.entry);
	assert_true(rig_holds(r, place, data, len));
}

/* Every row must tell the truth about the bytes, whatever was acknowledged. */
static int
row_is_true(const char *path, const struct index_node *node, void *arg)
{
	struct rig *r = arg;
	char *place = index_place(LAYOUT_POST_OFFICE, path, node->version);
	char *bytes;
	size_t len;

	assert_int_equal(fsio_read_file(r->fd, place, 64u << 20, &bytes, &len), 0);
	assert_true(hash128_equal(node->entry.digest, block_hash(&r->key, bytes, len)));
	free(bytes);
	free(place);
	return 0;
}

static int
rows_are_true(const char *dir, const struct treemap_sum *sum, void *arg)
{
	(void)sum;
	return index_children(((struct rig *)arg)->index, dir, NULL, row_is_true, arg);
}

static int
no_mark(const char *path, void *arg)
{
	(void)arg;
	fail_msg("%s is still marked", path);
	return 0;
}

static void
check_after(const char *dir, uint64_t durable)
{
	uint8_t *big = noise(BIG, 8), *patched = noise(BIG, 8), *big_blob = noise(BIG, 9);
	struct rig r;
	char path[64], place[80];

	memset(patched + 4096, 1, 4096);
	rig_open(&r, dir);
	assert_int_equal(index_dirs(r.index, rows_are_true, &r), 0);
	assert_int_equal(index_marks(r.index, no_mark, NULL), 0);
	assert_int_equal(index_armed(r.index, no_mark, NULL), 0);
	if (durable >= 1 && durable < 7 && rig_has_row(&r, "offiles/fd1/a", NULL))
		must_hold(&r, "offiles/fd1/a", "blobs/offiles/fd1/a", "blob a", 6);
	if (durable >= 1)
		assert_true(rig_holds(&r, "blobs/offiles/fd1/a", "blob a", 6));
	if (durable >= 2)
		must_hold(&r, "offiles/fd2/b", "blobs/offiles/fd2/b", "blob b", 6);
	/* A patch that was cut has lost the row, by design; whole or patched, a row is true (above). */
	if (durable >= 6)
		must_hold(&r, "ofuser/d.db", "gre_data/sync/ofuser/d.db", patched, BIG);
	if (durable >= 8)
		must_hold(&r, "offiles/fd1/a", "blobs/versions/2/offiles/fd1/a", "blob a anew", 11);
	if (durable >= 9)
		assert_false(rig_has_row(&r, "ofviews/m", NULL));
	if (durable >= 10)
		must_hold(&r, "offiles/fd3/L", "blobs/offiles/fd3/L", big_blob, BIG);
	for (int i = 0; i < MANY && durable >= 11u + (unsigned)i; i++) {
		snprintf(path, sizeof path, "offiles/fd%d/n%d", i % 10, i);
		snprintf(place, sizeof place, "blobs/%s", path);
		must_hold(&r, path, place, path, strlen(path));
	}
	/* The next start of the same collector brings everything home: nothing is in the way. */
	rig_put(&r, "offiles/fd1/a", "blob a anew", 11);
	send_whole(&r, "ofuser/d.db", patched, BIG);
	send_whole(&r, "offiles/fd3/L", big_blob, BIG);
	rig_put(&r, "ofviews/m", "m two", 5);
	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof path, "offiles/fd%d/n%d", i % 10, i);
		rig_put(&r, path, path, strlen(path));
	}
	rig_settle(&r);
	assert_int_equal(r.n_naks, 0);
	assert_int_equal(r.failed, 0);
	assert_int_equal(index_dirs(r.index, rows_are_true, &r), 0);
	rig_close(&r);
	free(big);
	free(patched);
	free(big_blob);
}

/* Runs the scenario in a child that dies at the n-th pass; true when it came to its end instead. */
static bool
run_and_check(const char *name, int nth)
{
	struct scratch scratch;
	uint64_t durable = 0, v;
	int pipes[2], status;

	scratch_open(&scratch);
	assert_int_equal(pipe(pipes), 0);
	pid_t pid = fork();
	if (pid == 0)
		child(scratch.path, pipes[1], name, nth);
	close(pipes[1]);
	while (read(pipes[0], &v, sizeof v) == sizeof v)
		durable = v;
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	check_after(scratch.path, durable);
	scratch_close(&scratch);
	return WIFEXITED(status);
}

/* The first of them again, alone: blobs without a row lie there, and a database is half patched. */
static void
what_a_kill_left_half_written_is_tidied_at_the_next_start(void **state)
{
	(void)state;
	for (int nth = 1; nth <= 7; nth++)
		assert_false(run_and_check("staging.wrote", nth));
}

/* What the first acknowledgement of everything rests on. */
static bool looked, file_synced, dir_synced;

static void
look_at_syncs(struct rig *r)
{
	if (looked || r->durable < r->op)
		return;
	looked = true;
	file_synced = syncs_of(r->fd, "blobs/offiles/fd5/a") > 0;
	dir_synced = syncs_of(r->fd, "blobs/offiles/fd5") > 0;
}

/* A kill shows nothing of a missing sync: what the kernel has it keeps.  Several times, because one that comes too late may be quick. */
static void
acknowledged_means_that_bytes_and_name_were_synced(void **state)
{
	char path[64];
	struct rig r;

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		bool many = round % 2;

		rig_open(&r, NULL);
		rig_put(&r, "offiles/fd5/before", "makes the directories", 21);
		rig_settle(&r);
		looked = file_synced = dir_synced = false;
		syncs_forget();
		rig_put(&r, "offiles/fd5/a", "alone or among many", 19);
		for (unsigned i = 0; many && i < MANY; i++) {
			snprintf(path, sizeof path, "offiles/fd5/n%u", i);
			rig_put(&r, path, path, strlen(path));
		}
		r.on_ack = look_at_syncs;
		rig_settle(&r);
		assert_true(file_synced);
		assert_true(dir_synced);
		rig_close(&r);
		rig_remove(&r);
	}
}

static void
acknowledged_means_durable_at_every_failpoint(void **state)
{
	int killed = 0;

	(void)state;
	for (size_t i = 0; i < sizeof failpoints / sizeof *failpoints; i++) {
		int nth = 1, step = 1;

		while (!run_and_check(failpoints[i], nth)) {
			killed++;
			/* The first passes one by one, the long tail of equal ones in strides. */
			if (nth >= 8)
				step = 17;
			nth += step;
		}
	}
	print_message("killed %d times\n", killed);
	assert_true(killed > 40);
}

static struct rig *breaking;

static void
break_index(struct staging_task *task)
{
	(void)task;
	syncs_errno = EIO;
	(void)index_meta_put(breaking->index, "any", "1", 1);
	syncs_errno = 0;
}

static void
task_is_over(struct staging_task *task, bool cancelled)
{
	(void)task;
	(void)cancelled;
}

/* As when a seal's chores write: nothing of the session's failed. */
static void
an_index_that_breaks_in_a_task_ends_the_session(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, NULL);
	breaking = &r;
	r.task = (struct staging_task){.run = break_index, .done = task_is_over};
	staging_submit(r.staging, &r.task);
	while (!staging_idle(r.staging))
		event_base_loop(r.base, EVLOOP_ONCE);
	assert_true(index_is_broken(r.index));
	assert_int_equal(r.failed, -ERR_IO);
	assert_true(staging_broken(r.staging));
	rig_close(&r);
	rig_remove(&r);
}

int
main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "--scenario") == 0)
		return run_scenario(argv[2], atoi(argv[3]));
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_kill_left_half_written_is_tidied_at_the_next_start),
		cmocka_unit_test(acknowledged_means_that_bytes_and_name_were_synced),
		cmocka_unit_test(acknowledged_means_durable_at_every_failpoint),
		cmocka_unit_test(a_small_blob_lies_under_its_name_with_a_row),
		cmocka_unit_test(a_frame_for_which_there_is_no_memory_ends_the_session_at_once),
		cmocka_unit_test(an_index_that_breaks_in_a_task_ends_the_session),
		cmocka_unit_test(a_changed_blob_becomes_the_next_version),
		cmocka_unit_test(wrong_data_is_refused_and_leaves_nothing),
		cmocka_unit_test(a_database_is_patched_in_place),
		cmocka_unit_test(a_hole_larger_than_the_disk_is_refused_and_not_digested),
		cmocka_unit_test(holes_stay_holes_and_are_digested),
		cmocka_unit_test(a_cut_transfer_goes_on_where_it_was),
		cmocka_unit_test(what_a_cut_transfer_left_is_not_taken_for_the_file_in_its_place),
		cmocka_unit_test(pieces_that_do_not_make_the_file_are_refused),
		cmocka_unit_test(pieces_out_of_order_leave_no_descriptor_behind),
		cmocka_unit_test(a_patch_cut_by_the_end_of_a_session_loses_its_row_and_keeps_its_bytes),
		cmocka_unit_test(a_file_that_is_patched_is_marked_until_it_is_whole),
		cmocka_unit_test(names_change_their_kind),
		cmocka_unit_test(while_a_set_is_sealed_only_blobs_change),
		cmocka_unit_test(a_number_out_of_order_ends_the_session),
		cmocka_unit_test(a_path_changed_many_times_in_one_frame_ends_as_the_last_says),
		cmocka_unit_test(a_path_is_in_one_batch_on_its_way),
		cmocka_unit_test(a_lost_index_takes_over_the_blobs_it_finds),
		cmocka_unit_test(a_full_disk_loses_nothing_and_is_left_behind_unaided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
