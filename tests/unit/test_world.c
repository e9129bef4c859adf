/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector and the server in one process: whatever is edited, cut and killed, the replica becomes equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/fsio.h"
#include "tests/unit/world_rig.h"

static void
a_first_start_replicates_all_that_is_there(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 80; i++)
		world_edit(&w);
	world_start(&w);
	agree_and_compare();
	world_close(&w);
}

static void
what_is_edited_while_it_runs_becomes_equal(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	for (int round = 0; round < 6; round++) {
		live_through(60);
		agree_and_compare();
	}
	world_close(&w);
}

static void
a_link_cut_at_random_loses_nothing(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	for (int round = 0; round < 12; round++) {
		w.peer.cut_after = 1 + world_random(&w, 3u << 20);
		live_through(40);
		if (world_random(&w, 2))
			peer_cut(&w.peer);
		if (round % 3 == 2)
			agree_and_compare();
	}
	w.peer.cut_after = 0;
	agree_and_compare();
	world_close(&w);
}

static void
every_start_is_a_recovery(void **state)
{
	(void)state;
	begin();
	for (int round = 0; round < 8; round++) {
		world_start(&w);
		if (round % 2) {
			live_through(40);
			agree_and_compare();
		}
		/* The watcher dies with us here, with what it had not handed over. */
		for (int i = 0; i < 30; i++) {
			world_edit(&w);
			world_turns(&w, (unsigned)world_random(&w, 6));
		}
		world_stop(&w);
		for (int i = 0; i < 10; i++)
			world_edit(&w);
	}
	world_start(&w);
	agree_and_compare();
	world_close(&w);
}

static void
a_snapshot_is_streamed_and_its_removals_too(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	for (int round = 0; round < 6; round++) {
		for (int i = 0; i < 12; i++)
			world_edit_staging(&w);
		live_through(10);
		if (round == 3)
			w.peer.cut_after = 1u << 20;
		assert_int_equal(world_snapshot(&w, round % 2), 0);
		agree_and_compare();
	}
	world_close(&w);
}

static uint64_t
payload_sent(void)
{
	struct replicator_status status;

	replicator_status(w.replicator, &status);
	return status.payload_bytes_sent;
}

static void
one_dirty_page_of_a_small_database_travels_alone(void **state)
{
	uint64_t before;

	(void)state;
	begin();
	world_write_random(&w, true, "ofuser/userab1.db", 32 * BLOCK_BYTES);
	world_start(&w);
	assert_int_equal(world_snapshot(&w, false), 0);
	before = payload_sent();
	world_patch(&w, true, "ofuser/userab1.db", 7 * BLOCK_BYTES, 100);
	assert_int_equal(world_snapshot(&w, false), 0);
	assert_int_equal(payload_sent() - before, BLOCK_BYTES);
	agree_and_compare();
	world_close(&w);
}

/* What was known of the blocks of a large file is no word about the small one that took its place. */
static void
a_file_that_was_small_in_between_is_patched_by_what_is_there(void **state)
{
	const char *path = "ofuser/index/words.idx";
	size_t len = 32 * BLOCK_BYTES;
	uint8_t *large = malloc(len);

	(void)state;
	begin();
	for (size_t i = 0; i < len; i++)
		large[i] = (uint8_t)(i / 7);
	world_write(&w, false, path, large, len);
	world_start(&w);
	agree_and_compare();
	world_write_random(&w, false, path, 3 * BLOCK_BYTES);
	agree_and_compare();
	large[len - 1]++;
	world_write(&w, false, path, large, len);
	agree_and_compare();
	free(large);
	world_close(&w);
}

static void
a_rescan_that_waits_for_the_disk_holds_up_no_other(void **state)
{
	char a[] = "offiles/fdA", b[] = "offiles/fdB";
	struct change rows[] = {{.kind = CHANGE_RESCAN, .path = a}, {.kind = CHANGE_RESCAN, .path = b}};

	(void)state;
	begin();
	w.watching = false;
	world_make_dir(&w, a);
	world_make_dir(&w, b);
	world_write_random(&w, false, "offiles/fdA/first", 100);
	world_write_random(&w, false, "offiles/fdB/second", 100);
	world_start(&w);
	world_run_until(&w, &w.link_up);
	w.peer.mute = true; /* nothing becomes durable, as far as the collector knows */
	assert_int_equal(journal_append(w.journal, rows, 2), 0);
	replicator_poke(w.replicator);
	for (int i = 0; i < 500 && w.peer.messages[WIRE_PUT] < 2; i++)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_int_equal(w.peer.messages[WIRE_PUT], 2);
	world_close(&w);
}

/* A poll that comes faster than a scan of its directory ends; 300 are more scans than may wait before no row is read any more. */
static void
a_rescan_that_has_not_begun_answers_for_all_that_ask_again(void **state)
{
	char a[] = "offiles/fdA", second[] = "offiles/fdB/second";
	struct change again = {.kind = CHANGE_RESCAN, .path = a}, other = {.kind = CHANGE_TOUCHED, .path = second};

	(void)state;
	begin();
	w.watching = false;
	world_make_dir(&w, a);
	world_make_dir(&w, "offiles/fdB");
	world_write_random(&w, false, "offiles/fdA/first", 100);
	world_start(&w);
	world_run_until(&w, &w.link_up);
	w.peer.mute = true; /* nothing becomes durable, as far as the collector knows: the first scan does not end */
	for (int i = 0; i < 300; i++) {
		assert_int_equal(journal_append(w.journal, &again, 1), 0);
		replicator_poke(w.replicator);
		world_turns(&w, 20);
	}
	until_sent(WIRE_PUT, 1);
	world_write_random(&w, false, second, 100);
	assert_int_equal(journal_append(w.journal, &other, 1), 0);
	replicator_poke(w.replicator);
	until_sent(WIRE_PUT, 2);
	world_close(&w);
}

/* What the server has only received is lost when it is killed: the row must outlive that. */
static void
a_row_stays_in_the_journal_until_the_server_says_durable(void **state)
{
	struct journal_lag lag;
	uint64_t sent;

	(void)state;
	begin();
	world_start(&w);
	agree_and_compare();
	sent = w.peer.messages[WIRE_PUT];
	w.peer.undurable = true;
	world_write_random(&w, false, "offiles/fd0/received", 100);
	until_sent(WIRE_PUT, sent + 1);
	peer_settle(&w.peer);
	for (int i = 0; i < 200; i++)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_int_equal(journal_lag(w.journal, &lag), 0);
	assert_true(lag.rows > 0);
	w.peer.undurable = false;
	world_write_random(&w, false, "offiles/fd0/next", 100); /* what it is told of now tells of all before */
	agree_and_compare();
	until_journal_is_empty();
	world_close(&w);
}

/* ---- a server or a map that knows less ---- */

static void
copy_tree(const char *from, const char *to)
{
	char command[1200];

	snprintf(command, sizeof command, "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
	assert_int_equal(system(command), 0);
}

static uint64_t
content_messages(void)
{
	return w.peer.messages[WIRE_PUT] + w.peer.messages[WIRE_CHUNK] + w.peer.messages[WIRE_HOLE];
}

static void
a_lost_map_costs_no_retransfer(void **state)
{
	uint64_t sent;
	int dir;

	(void)state;
	begin();
	world_start(&w);
	live_through(80);
	agree_and_compare();
	sent = content_messages();
	world_stop(&w);
	dir = fsio_open_dir(w.scratch.fd, "state");
	assert_int_equal(fsio_remove_tree(dir, "blockmap"), 0);
	close(dir);
	world_start(&w);
	agree_and_compare();
	assert_int_equal(content_messages(), sent);
	assert_true(w.peer.list_requests > 0);
	world_close(&w);
}

static void
a_server_that_went_back_in_time_is_brought_forward(void **state)
{
	char before[300];

	(void)state;
	begin();
	world_start(&w);
	live_through(50);
	for (int i = 0; i < 6; i++)
		world_edit_staging(&w);
	assert_int_equal(world_snapshot(&w, false), 0);
	agree_and_compare();
	snprintf(before, sizeof before, "%s.before", w.server);
	peer_close(&w.peer);
	copy_tree(w.server, before);
	peer_open(&w.peer, w.base, w.pool, w.server_id, w.server);
	world_stop(&w);
	world_start(&w);
	live_through(50);
	agree_and_compare();
	world_stop(&w);
	peer_close(&w.peer);
	copy_tree(before, w.server);
	w.peer.generation++;
	peer_open(&w.peer, w.base, w.pool, w.server_id, w.server);
	world_start(&w);
	assert_int_equal(world_snapshot(&w, false), 0);
	agree_and_compare();
	world_close(&w);
}

/* Both hold nothing and agree; and a watcher that goes on living says nothing of what it told long ago. */
static void
a_server_that_was_made_anew_is_filled_without_a_word_from_the_watcher(void **state)
{
	char other[300];
	uint64_t sent;

	(void)state;
	begin();
	world_start(&w);
	world_write_random(&w, false, "offiles/fd0/long-known", 100);
	agree_and_compare();
	world_stop(&w);
	peer_close(&w.peer);
	snprintf(other, sizeof other, "%s.new", w.server);
	peer_open(&w.peer, w.base, w.pool, w.server_id, other);
	w.peer.key_bytes[0] ^= 1; /* each server makes its own */
	block_key_init(&w.peer.key, w.peer.key_bytes);
	w.watching = false;
	sent = w.peer.messages[WIRE_PUT];
	world_start(&w);
	until_sent(WIRE_PUT, sent + 1);
	world_watch(&w);
	agree_and_compare();
	world_close(&w);
}

static void
an_empty_server_gets_everything_again(void **state)
{
	char other[300];

	(void)state;
	begin();
	world_start(&w);
	live_through(60);
	agree_and_compare();
	world_stop(&w);
	peer_close(&w.peer);
	snprintf(other, sizeof other, "%s.new", w.server);
	peer_open(&w.peer, w.base, w.pool, w.server_id, other);
	world_start(&w);
	agree_and_compare();
	world_close(&w);
}

/* ---- a folder that vanishes while names in it are on their way ---- */

static void
make_folder(const char *path)
{
	char full[400];

	snprintf(full, sizeof full, "%s/%s", w.live, path);
	assert_int_equal(mkdir(full, 0755), 0);
}

static void
move_out(const char *path)
{
	char here[400], away[400];

	snprintf(here, sizeof here, "%s/%s", w.live, path);
	snprintf(away, sizeof away, "%s.away", w.live);
	assert_int_equal(rename(here, away), 0);
}

static void
move(const char *from, const char *to)
{
	char a[400], b[400];

	snprintf(a, sizeof a, "%s/%s", w.live, from);
	snprintf(b, sizeof b, "%s/%s", w.live, to);
	assert_int_equal(rename(a, b), 0);
}

static void
names_on_their_way_leave_with_their_folder(void **state)
{
	uint64_t puts, removals;

	(void)state;
	begin();
	world_start(&w);
	make_folder("offiles/going");
	agree_and_compare();
	puts = w.peer.messages[WIRE_PUT];
	removals = w.peer.messages[WIRE_REMOVE];
	w.peer.mute = true;
	world_write(&w, false, "offiles/going/file", "1", 1);
	until_sent(WIRE_PUT, puts + 1);
	move_out("offiles/going"); /* the map knows of nothing in it yet */
	until_sent(WIRE_REMOVE, removals + 1);
	w.peer.mute = false;
	world_write(&w, false, "offiles/fd0/next", "1", 1); /* what it is told of now tells of all before */
	agree_and_compare();
	world_close(&w);
}

/* The scan of the new folder sees neither on disk nor in the map what was on its way out of the old one. */
static void
names_on_their_way_leave_when_another_folder_takes_the_place_of_theirs(void **state)
{
	struct replicator_status before, now;
	uint64_t puts;

	(void)state;
	begin();
	world_start(&w);
	make_folder("offiles/going");
	make_folder("offiles/coming");
	world_write(&w, false, "offiles/coming/other", "2", 1);
	agree_and_compare();
	puts = w.peer.messages[WIRE_PUT];
	w.peer.mute = true;
	world_write(&w, false, "offiles/going/file", "1", 1);
	until_sent(WIRE_PUT, puts + 1);
	move_out("offiles/going");
	move("offiles/coming", "offiles/going");
	replicator_status(w.replicator, &before);
	do {
		event_base_loop(w.base, EVLOOP_ONCE);
		replicator_status(w.replicator, &now);
	} while (now.scanned == before.scanned);
	w.peer.mute = false;
	world_write(&w, false, "offiles/fd0/next", "1", 1); /* what it is told of now tells of all before */
	agree_and_compare();
	world_close(&w);
}

static void
a_folder_takes_the_name_that_a_file_had(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	world_write(&w, false, "offiles/fd0/name", "1", 1);
	agree_and_compare();
	world_remove(&w, "offiles/fd0/name");
	make_folder("offiles/fd0/name");
	world_write(&w, false, "offiles/fd0/name/below", "2", 1);
	agree_and_compare();
	world_close(&w);
}

/* Both sides lose the row of a directory, as when it came and went while what lies in it was on its way. */
static void
forget_row(const char *path)
{
	assert_int_equal(blockmap_apply(w.map, &(struct blockmap_op){.kind = BLOCKMAP_REMOVE, .path = path}, 1), 0);
	assert_int_equal(index_apply(w.peer.index, &w.peer.key, &(struct index_op){.kind = INDEX_REMOVE, .path = path}, 1), 0);
}

/* The server refuses the file while it has rows below it; the scan that finds both must not wait for the file first. */
static void
a_file_takes_the_name_of_a_folder_without_a_row(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	make_folder("ofuser/index/name");
	make_folder("ofuser/index/name/a");
	make_folder("ofuser/index/name/a/b");
	agree_and_compare();
	forget_row("ofuser/index/name/a");
	forget_row("ofuser/index/name");
	world_stop(&w);
	move_out("ofuser/index/name");
	world_write(&w, false, "ofuser/index/name", "1", 1);
	world_start(&w);
	agree_and_compare();
	assert_int_equal(w.peer.naks, 0);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_start_replicates_all_that_is_there),
		cmocka_unit_test(what_is_edited_while_it_runs_becomes_equal),
		cmocka_unit_test(a_link_cut_at_random_loses_nothing),
		cmocka_unit_test(every_start_is_a_recovery),
		cmocka_unit_test(a_snapshot_is_streamed_and_its_removals_too),
		cmocka_unit_test(one_dirty_page_of_a_small_database_travels_alone),
		cmocka_unit_test(a_file_that_was_small_in_between_is_patched_by_what_is_there),
		cmocka_unit_test(a_rescan_that_waits_for_the_disk_holds_up_no_other),
		cmocka_unit_test(a_rescan_that_has_not_begun_answers_for_all_that_ask_again),
		cmocka_unit_test(a_row_stays_in_the_journal_until_the_server_says_durable),
		cmocka_unit_test(a_lost_map_costs_no_retransfer),
		cmocka_unit_test(a_server_that_went_back_in_time_is_brought_forward),
		cmocka_unit_test(a_server_that_was_made_anew_is_filled_without_a_word_from_the_watcher),
		cmocka_unit_test(an_empty_server_gets_everything_again),
		cmocka_unit_test(names_on_their_way_leave_with_their_folder),
		cmocka_unit_test(names_on_their_way_leave_when_another_folder_takes_the_place_of_theirs),
		cmocka_unit_test(a_folder_takes_the_name_that_a_file_had),
		cmocka_unit_test(a_file_takes_the_name_of_a_folder_without_a_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
