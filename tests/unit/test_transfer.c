/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One large file, step by step, against a file that stands for the server's. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/fsio.h"
#include "replicator/look.h"
#include "replicator/transfer.h"
#include "replicator/work.h"
#include "tests/lib/mapped.h"

#define PATH "ofuser/index/x.idx"
#define BLOB "offiles/fd0/x"
#define SIZE (3u * 1024 * 1024 + 777)
#define BIG (19u * 1024 * 1024 + 777)

static struct mapped m;
static struct work *w;
static struct transfer *t;
static uint8_t *theirs; /* what the server holds */
static size_t theirs_len;
static uint64_t sent;   /* bytes of data */
static unsigned marks, asks, begins, ends, holes;
static enum wire_begin_mode mode;
static void (*between)(void); /* called once, before the second piece */

static int
begin(void **state)
{
	(void)state;
	mapped_open(&m);
	mapped_dir(&m, "offiles/fd0");
	theirs = calloc(1, BIG);
	theirs_len = 0;
	sent = 0;
	marks = asks = begins = ends = holes = 0;
	between = NULL;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	transfer_free(t);
	work_free(w);
	free(theirs);
	mapped_close(&m);
	return 0;
}

static void
open_transfer(const char *path)
{
	w = work_new(path, &m.live);
	t = transfer_new(w, m.map, &m.key, strncmp(path, "offiles", 7) == 0);
}

static void
apply(const struct wire_msg *msg)
{
	switch (msg->type) {
	case WIRE_BEGIN:
		begins++;
		mode = msg->u.begin.mode;
		break;
	case WIRE_CHUNK:
		assert_true(msg->u.chunk.data.len <= WIRE_CHUNK_MAX);
		memcpy(theirs + msg->u.chunk.offset, msg->u.chunk.data.data, msg->u.chunk.data.len);
		sent += msg->u.chunk.data.len;
		break;
	case WIRE_HOLE:
		memset(theirs + msg->u.hole.offset, 0, msg->u.hole.len);
		holes++;
		break;
	default:
		assert_int_equal(msg->type, WIRE_END);
		theirs_len = msg->u.end.entry.size;
		assert_true(hash128_equal(block_hash(&m.key, theirs, theirs_len), msg->u.end.entry.digest));
		ends++;
	}
}

static void
send_messages(void)
{
	struct wire_msg msgs[TRANSFER_MESSAGES];
	void *data;
	size_t n = transfer_messages(t, 1, msgs, &data);

	for (size_t i = 0; i < n; i++)
		apply(&msgs[i]);
	free(data);
}

static void
answer(void)
{
	struct wire_msg ask, msg = {.type = WIRE_BLOCKS};
	size_t blocks = block_count(theirs_len);
	struct hash128 *hashes = calloc(blocks + 1, sizeof *hashes);

	asks++;
	transfer_ask(t, &ask);
	block_hash_many(&m.key, theirs, theirs_len, hashes);
	msg.u.blocks.path = ask.u.blocks_req.path;
	msg.u.blocks.present = theirs_len > 0;
	msg.u.blocks.size = theirs_len;
	msg.u.blocks.first = ask.u.blocks_req.first;
	msg.u.blocks.v = hashes + ask.u.blocks_req.first;
	msg.u.blocks.n = blocks - ask.u.blocks_req.first;
	if (msg.u.blocks.n > 300) /* a server may answer with less than was asked for */
		msg.u.blocks.n = 300;
	assert_true(transfer_answer(t, &msg));
	free(hashes);
}

static void
save_extent(void)
{
	struct hash128 *hashes;
	uint64_t first;
	size_t n;

	if (!transfer_take_extent(t, &first, &hashes, &n))
		return;
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_BLOCKS, .path = w->path, .first = first, .hashes = hashes, .n = n});
	free(hashes);
}

static void
step(void)
{
	switch (t->state) {
	case TRANSFER_READ:
		if (between && t->at) {
			between();
			between = NULL;
		}
		transfer_run(t);
		transfer_ran(t);
		if (t->state != TRANSFER_MARK && t->state != TRANSFER_SEND && t->state != TRANSFER_FAILED)
			save_extent();
		break;
	case TRANSFER_ASK:
		answer();
		break;
	case TRANSFER_MARK:
		assert_int_equal(sent, 0); /* before the first byte leaves */
		marks++;
		mapped_apply(&m, transfer_mark(t));
		transfer_marked(t, 0);
		break;
	default:
		assert_int_equal(t->state, TRANSFER_SEND);
		send_messages();
		save_extent();
	}
}

static enum transfer_state
run(const char *path)
{
	open_transfer(path);
	while (t->state != TRANSFER_WAIT && t->state != TRANSFER_DONE && t->state != TRANSFER_FAILED)
		step();
	return t->state;
}

/* The server holds what lies there now, and the map knows it. */
static void
held(const char *path, size_t len)
{
	int fd;

	mapped_file(&m, path, 3, len);
	mapped_believe(&m, path);
	fd = mapped_path_fd(&m, path, O_RDONLY);
	theirs_len = len;
	assert_int_equal(fsio_pread(fd, theirs, len, 0), len);
	close(fd);
}

static void
patch(const char *path, uint64_t offset)
{
	int fd = mapped_path_fd(&m, path, O_WRONLY);

	assert_int_equal(fsio_pwrite(fd, "changed", 7, offset), 0);
	close(fd);
}

static void
a_new_file_travels_whole(void **state)
{
	(void)state;
	mapped_file(&m, PATH, 3, SIZE);
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	assert_int_equal(sent, SIZE);
	assert_int_equal(mode, WIRE_BEGIN_WHOLE);
	assert_int_equal(begins + ends, 2);
}

static void
only_dirty_blocks_of_a_known_file_travel_after_a_mark(void **state)
{
	(void)state;
	held(PATH, SIZE);
	patch(PATH, 10);
	patch(PATH, 2 * 1024 * 1024 + 4090);
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	assert_int_equal(sent, 3 * BLOCK_BYTES);
	assert_int_equal(marks, 1);
	assert_int_equal(mode, WIRE_BEGIN_PATCH);
}

static void
a_touched_file_sends_only_its_entry(void **state)
{
	(void)state;
	held(PATH, SIZE);
	patch(PATH, 10);
	mapped_file(&m, PATH, 3, SIZE);
	mapped_believe(&m, PATH);
	mapped_age(&m, PATH);
	assert_int_equal(run(PATH), TRANSFER_DONE);
	assert_int_equal(w->verdict, WORK_LEARNED);
	assert_int_equal(begins, 0);
}

static void
a_file_cut_on_a_block_boundary_is_cut_there_too(void **state)
{
	int fd;

	(void)state;
	held(PATH, SIZE);
	fd = mapped_path_fd(&m, PATH, O_WRONLY);
	assert_int_equal(ftruncate(fd, 1024 * 1024), 0);
	close(fd);
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	assert_int_equal(sent, 0);
	assert_int_equal(theirs_len, 1024 * 1024);
}

static void
a_flight_mark_asks_the_server_and_sends_what_differs(void **state)
{
	(void)state;
	held(PATH, SIZE);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = PATH});
	memset(theirs + 70000, 0xee, 5000); /* half of a patch arrived */
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	assert_true(asks >= 2);
	assert_in_range(sent, 1, 3 * BLOCK_BYTES);
	assert_int_equal(ends, 1);
}

static void
a_cut_transfer_goes_on_where_it_was(void **state)
{
	(void)state;
	mapped_file(&m, PATH, 3, SIZE);
	open_transfer(PATH);
	w->doubt = true;
	theirs_len = 2 * 1024 * 1024; /* the server's partial file */
	int fd = mapped_path_fd(&m, PATH, O_RDONLY);
	assert_int_equal(fsio_pread(fd, theirs, theirs_len, 0), theirs_len);
	close(fd);
	while (t->state != TRANSFER_WAIT)
		step();
	assert_int_equal(sent, SIZE - 2 * 1024 * 1024);
}

static void
a_known_file_that_the_server_has_lost_travels_whole(void **state)
{
	(void)state;
	held(PATH, SIZE);
	patch(PATH, 10);
	theirs_len = 0;
	memset(theirs, 0, SIZE);
	open_transfer(PATH);
	w->doubt = true; /* the patch was refused: there is nothing to be patched */
	while (t->state != TRANSFER_WAIT)
		step();
	assert_int_equal(mode, WIRE_BEGIN_WHOLE);
	assert_int_equal(sent, SIZE);
}

static void
adopted_content_that_is_equal_costs_the_server_nothing(void **state)
{
	struct entry e = {0};
	struct blockmap_stat stat;

	(void)state;
	held(PATH, SIZE);
	assert_int_equal(blockmap_get(m.map, PATH, &e, &stat), 0);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_PUT, .path = PATH, .entry = &e, .stat = {.adopted = true}});
	assert_int_equal(run(PATH), TRANSFER_DONE);
	assert_int_equal(w->verdict, WORK_LEARNED);
	assert_int_equal(asks, 0);
}

static void
adopted_content_that_differs_is_asked_for(void **state)
{
	struct entry e = {0};
	struct blockmap_stat stat;

	(void)state;
	held(PATH, SIZE);
	assert_int_equal(blockmap_get(m.map, PATH, &e, &stat), 0);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_PUT, .path = PATH, .entry = &e, .stat = {.adopted = true}});
	patch(PATH, 10);
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	assert_int_equal(sent, BLOCK_BYTES);
	assert_int_equal(marks, 1);
}

static void
a_changed_blob_travels_whole_and_keeps_no_hashes(void **state)
{
	struct hash128 hash;

	(void)state;
	held(BLOB, SIZE);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_TRIM, .path = BLOB});
	patch(BLOB, 10);
	assert_int_equal(run(BLOB), TRANSFER_WAIT);
	assert_int_equal(sent, SIZE);
	assert_int_equal(mode, WIRE_BEGIN_WHOLE);
	assert_int_equal(blockmap_blocks_get(m.map, BLOB, 0, 1, &hash), 0);
	assert_true(!hash.lo && !hash.hi);
}

static void
change_behind_its_back(void)
{
	patch(PATH, SIZE - 10);
}

static void
become_shorter(void)
{
	int fd = mapped_path_fd(&m, PATH, O_WRONLY);

	assert_int_equal(ftruncate(fd, 600000), 0);
	close(fd);
}

static void
a_torn_read_fails_and_ends_nothing(void **state)
{
	(void)state;
	mapped_file(&m, PATH, 3, SIZE);
	between = change_behind_its_back;
	assert_int_equal(run(PATH), TRANSFER_FAILED);
	assert_int_equal(t->err, -ERR_TORN);
	assert_true(t->begun);
	assert_int_equal(ends, 0);
}

static void
a_file_that_became_shorter_is_torn_not_zeros(void **state)
{
	(void)state;
	mapped_file(&m, PATH, 3, SIZE);
	between = become_shorter;
	assert_int_equal(run(PATH), TRANSFER_FAILED);
	assert_int_equal(t->err, -ERR_TORN);
}

static void
a_vanished_file_says_so(void **state)
{
	(void)state;
	assert_int_equal(run(PATH), TRANSFER_FAILED);
	assert_int_equal(t->err, -ERR_GONE);
	assert_false(t->begun);
}

static void
holes_travel_as_holes(void **state)
{
	int fd;

	(void)state;
	mapped_file(&m, PATH, 3, 5000);
	fd = mapped_path_fd(&m, PATH, O_WRONLY);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	memset(theirs, 0xcc, SIZE);
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	assert_true(holes > 0);
	assert_in_range(sent, 5000, 256 * 1024);
}

static void
hashes_saved_on_the_way_are_those_of_the_file(void **state)
{
	struct hash128 saved[BLOCKMAP_EXTENT], *want = calloc(block_count(SIZE), sizeof *want);

	(void)state;
	mapped_file(&m, PATH, 3, SIZE);
	assert_int_equal(run(PATH), TRANSFER_WAIT);
	block_hash_many(&m.key, theirs, theirs_len, want);
	assert_int_equal(blockmap_blocks_get(m.map, PATH, 0, block_count(SIZE), saved), 0);
	assert_memory_equal(saved, want, block_count(SIZE) * sizeof *want);
	free(want);
}

/* What the copier of the file says of it. */
static void
hint(size_t size)
{
	int fd = mapped_path_fd(&m, PATH, O_RDONLY);
	uint8_t *data = malloc(size);

	assert_int_equal(fsio_pread(fd, data, size, 0), size);
	close(fd);
	w->n_hints = block_count(size);
	w->hints = calloc(w->n_hints, sizeof *w->hints);
	block_hash_many(&m.key, data, size, w->hints);
	w->hint_digest = block_hash(&m.key, data, size);
	free(data);
}

static void
the_copiers_hashes_save_the_reading(void **state)
{
	(void)state;
	held(PATH, SIZE);
	patch(PATH, 1024 * 1024);
	open_transfer(PATH);
	hint(SIZE);
	while (t->state != TRANSFER_WAIT)
		step();
	assert_int_equal(sent, BLOCK_BYTES);
	assert_int_equal(ends, 1);
}

/* A piece grows where little is dirty, and must not promise more than its buffer holds where much is: one page here and there, then
 * every third page, then all of 3 MiB, then nothing. */
static void
few_dirty_pages_share_a_piece_and_many_still_fit(void **state)
{
	size_t dirty = 0;
	unsigned pieces = 0;

	(void)state;
	held(PATH, BIG);
	for (uint64_t b = 0; b < 4096; b += b < 2048 ? 97 : b < 3000 ? 3 : 1, dirty++)
		patch(PATH, b * BLOCK_BYTES);
	open_transfer(PATH);
	hint(BIG);
	while (t->state != TRANSFER_WAIT) {
		pieces += t->state == TRANSFER_READ;
		step();
	}
	assert_int_equal(sent, dirty * BLOCK_BYTES);
	assert_int_equal(ends, 1);
	assert_in_range(pieces, 1, 24); /* 38 of 512 KiB each */
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_new_file_travels_whole),
		TEST(only_dirty_blocks_of_a_known_file_travel_after_a_mark),
		TEST(a_touched_file_sends_only_its_entry),
		TEST(a_file_cut_on_a_block_boundary_is_cut_there_too),
		TEST(a_flight_mark_asks_the_server_and_sends_what_differs),
		TEST(a_cut_transfer_goes_on_where_it_was),
		TEST(a_known_file_that_the_server_has_lost_travels_whole),
		TEST(adopted_content_that_is_equal_costs_the_server_nothing),
		TEST(adopted_content_that_differs_is_asked_for),
		TEST(a_changed_blob_travels_whole_and_keeps_no_hashes),
		TEST(a_torn_read_fails_and_ends_nothing),
		TEST(a_file_that_became_shorter_is_torn_not_zeros),
		TEST(a_vanished_file_says_so),
		TEST(holes_travel_as_holes),
		TEST(hashes_saved_on_the_way_are_those_of_the_file),
		TEST(the_copiers_hashes_save_the_reading),
		TEST(few_dirty_pages_share_a_piece_and_many_still_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
