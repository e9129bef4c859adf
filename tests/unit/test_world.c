/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The collector and the server in one process: whatever is edited, cut and killed, the replica becomes equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/fsio.h"
#include "tests/lib/world.h"

static struct world w;

static uint64_t
seed(void)
{
	const char *given = getenv("SEED");
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	uint64_t s = given ? strtoull(given, NULL, 10) : (uint64_t)t.tv_nsec;
	print_message("# seed %llu\n", (unsigned long long)s);
	return s;
}

static void
begin(void)
{
	world_open(&w, seed());
	world_serve(&w);
}

/* Edits while everything runs, with a few turns of the loop between them. */
static void
live_through(int edits)
{
	for (int i = 0; i < edits; i++) {
		world_edit(&w);
		world_turns(&w, (unsigned)world_random(&w, 6));
	}
}

static void
agree_and_compare(void)
{
	if (world_barrier(&w) != 0)
		fail_msg("%s", w.text);
	world_compare(&w);
}

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

static void
until_sent(enum wire_type type, uint64_t n)
{
	for (int turns = 0; w.peer.messages[type] < n; turns++) {
		if (turns > 2000000)
			fail_msg("message %d does not come", (int)type);
		world_turns(&w, 1);
	}
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

static void
until_journal_is_empty(void)
{
	struct journal_lag lag;

	for (;;) {
		assert_int_equal(journal_lag(w.journal, &lag), 0);
		if (!lag.rows)
			return;
		event_base_loop(w.base, EVLOOP_ONCE);
	}
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

/* ---- the job ---- */

static struct { bool over; int err; char text[200]; } sealing;

static void
on_sealed(int err, const char *text, const struct wire_set *set, const char *note, void *arg)
{
	(void)set;
	(void)note;
	(void)arg;
	sealing.over = true;
	sealing.err = err;
	snprintf(sealing.text, sizeof sealing.text, "%s", text);
}

static const struct replicator_seal_events seal_events = {.done = on_sealed};

static void
on_begun(int err, const char *text, void *arg)
{
	(void)text;
	w.err = err;
	*(bool *)arg = true;
}

static void
run_job_to_seal(void)
{
	bool begun = false;

	assert_int_equal(replicator_job_begin(w.replicator, 7, 20261124, 70, "schedule", on_begun, &begun), 0);
	world_run_until(&w, &begun);
	assert_int_equal(w.err, 0);
	for (int i = 0; i < 6; i++)
		world_edit_staging(&w);
	assert_int_equal(world_snapshot(&w, true), 0);
	assert_int_equal(world_barrier(&w), 0);
	memset(&sealing, 0, sizeof sealing);
	replicator_seal(w.replicator, 7, 20261124, 70, "", &seal_events, NULL);
}

static bool
is_held(const char *path)
{
	struct index_node node;

	if (index_get(w.peer.index, path, &node) != 0)
		return false;
	entry_fini(&node.entry);
	return true;
}

static void
make_dir(const char *path)
{
	char full[512];

	snprintf(full, sizeof full, "%s/%s", w.live, path);
	assert_int_equal(mkdir(full, 0750), 0);
}

static void
until_held(const char *path)
{
	while (!is_held(path))
		event_base_loop(w.base, EVLOOP_ONCE);
}

static void
a_seal_says_what_the_server_holds_and_index_waits(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	live_through(40);
	w.peer.hold_seal = true;
	run_job_to_seal();
	while (!w.peer.messages[WIRE_SEAL])
		world_turns(&w, 1);
	world_write_random(&w, false, "ofuser/index/late.idx", 5000);
	make_dir("offiles/late"); /* a folder that no edit takes away before or after */
	world_write_random(&w, false, "offiles/late/blob", 5000);
	until_held("offiles/late/blob");
	assert_false(is_held("ofuser/index/late.idx"));
	for (int i = 0; i < 50; i++)
		live_through(1);
	assert_int_equal(w.peer.naks, 0);
	assert_false(sealing.over);
	peer_sealed(&w.peer);
	world_run_until(&w, &sealing.over);
	assert_int_equal(sealing.err, 0);
	agree_and_compare();
	world_close(&w);
}

static void
a_seal_whose_answer_was_lost_is_answered_by_the_next_welcome(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	live_through(10);
	w.peer.hold_seal = true;
	run_job_to_seal();
	while (!w.peer.messages[WIRE_SEAL])
		world_turns(&w, 1);
	peer_cut(&w.peer);
	peer_sealed(&w.peer);
	world_run_until(&w, &sealing.over);
	assert_int_equal(sealing.err, 0);
	world_close(&w);
}

static void
a_seal_whose_answer_was_lost_is_not_answered_by_an_older_set(void **state)
{
	unsigned links;

	(void)state;
	begin();
	world_start(&w);
	live_through(10);
	w.peer.sealed_t0_ns = 1; /* yesterday's */
	w.peer.hold_seal = true;
	run_job_to_seal();
	while (!w.peer.messages[WIRE_SEAL])
		world_turns(&w, 1);
	links = w.links;
	peer_cut(&w.peer);
	while (w.links == links)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_false(sealing.over);
	while (w.peer.messages[WIRE_SEAL] < 2)
		event_base_loop(w.base, EVLOOP_ONCE);
	peer_sealed(&w.peer);
	world_run_until(&w, &sealing.over);
	assert_int_equal(sealing.err, 0);
	world_close(&w);
}

/* It ended between the WELCOME that did not know of it yet and the request that would ask again. */
static void
a_seal_that_ends_before_it_is_asked_for_again_is_answered(void **state)
{
	unsigned links;

	(void)state;
	begin();
	world_start(&w);
	live_through(10);
	w.peer.sealed_t0_ns = 1;
	w.peer.hold_seal = true;
	run_job_to_seal();
	while (!w.peer.messages[WIRE_SEAL])
		world_turns(&w, 1);
	links = w.links;
	peer_cut(&w.peer);
	while (w.links == links)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_int_equal(w.peer.messages[WIRE_SEAL], 1);
	peer_sealed(&w.peer);
	while (!sealing.over && w.peer.messages[WIRE_SEAL] < 2)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_true(sealing.over);
	assert_int_equal(sealing.err, 0);
	world_close(&w);
}

#define WEEK_MS (7 * 86400000ll)

static void
compared_days_ago(int days)
{
	char when[32];
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(when, sizeof when, "%lld", (t.tv_sec - days * 86400ll) * 1000000000ll);
	assert_int_equal(blockmap_meta_put(w.map, "slow_scan", when), 0);
}

static time_t
compared_at(void)
{
	char *when = NULL;
	time_t s;

	assert_int_equal(blockmap_meta_get(w.map, "slow_scan", &when), 0);
	s = (time_t)(strtoll(when, NULL, 10) / 1000000000);
	free(when);
	return s;
}

static uint64_t
compared_since_start(void)
{
	struct replicator_status s;

	replicator_status(w.replicator, &s);
	return s.scanned;
}

/* A host that is begun anew every week would else never compare what no event told of. */
static void
the_days_to_the_slow_scan_go_on_over_a_start(void **state)
{
	const time_t end = time(NULL) + 30;

	(void)state;
	begin();
	world_write_random(&w, false, "offiles/fd1/a", 100);
	world_start(&w);
	agree_and_compare();
	compared_days_ago(3);
	world_stop(&w);
	w.watching = false; /* whose start compares everything */
	w.rescan_ms = WEEK_MS;
	world_write_random(&w, false, "offiles/fd1/a", 200);
	world_start(&w);
	while (!w.link_up)
		event_base_loop(w.base, EVLOOP_ONCE);
	until_journal_is_empty();
	assert_int_equal(compared_since_start(), 0);
	compared_days_ago(8);
	world_stop(&w);
	world_start(&w);
	while (compared_at() < end - 3600) {
		assert_true(time(NULL) < end);
		event_base_loop(w.base, EVLOOP_ONCE);
	}
	assert_true(compared_since_start() > 0);
	until_journal_is_empty();
	world_watch(&w);
	agree_and_compare();
	world_close(&w);
}

/* Nobody asks for a set again that somebody stopped, and nobody waits for a server that is away. */
static void
a_stop_that_is_lost_with_the_link_stays_a_stop(void **state)
{
	unsigned links;

	(void)state;
	begin();
	world_start(&w);
	live_through(10);
	w.peer.sealed_t0_ns = 1;
	w.peer.hold_seal = true;
	run_job_to_seal();
	while (!w.peer.messages[WIRE_SEAL])
		world_turns(&w, 1);
	links = w.links;
	replicator_seal_stop(w.replicator);
	peer_cut(&w.peer); /* before the STOP is read */
	while (!sealing.over && w.links == links)
		event_base_loop(w.base, EVLOOP_ONCE);
	while (!sealing.over && w.peer.messages[WIRE_SEAL] < 2)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_true(sealing.over);
	assert_int_equal(sealing.err, -ERR_STOPPED);
	world_close(&w);
}

/* The server forgets that a database came, or remembers the one before: it was put back to an earlier copy of itself. */
static void
put_back_database(const char *path)
{
	struct index_node node;
	struct index_op op = {.kind = INDEX_PUT, .path = path, .node = &node};

	assert_int_equal(index_get(w.peer.index, path, &node), 0);
	node.entry.digest.lo ^= 1;
	node.entry.mtime_ns -= 86400000000000;
	assert_int_equal(index_apply(w.peer.index, &w.peer.key, &op, 1), 0);
	entry_fini(&node.entry);
}

static void
a_set_is_not_sealed_of_databases_that_the_server_took_back(void **state)
{
	bool begun = false;

	(void)state;
	begin();
	world_write_random(&w, true, "ofuser/userab1.db", 4 * BLOCK_BYTES);
	world_start(&w);
	assert_int_equal(replicator_job_begin(w.replicator, 7, 20261124, 70, "schedule", on_begun, &begun), 0);
	world_run_until(&w, &begun);
	assert_int_equal(world_snapshot(&w, false), 0);
	assert_int_equal(world_barrier(&w), 0);
	peer_cut(&w.peer);
	peer_settle(&w.peer);
	put_back_database("ofuser/userab1.db");
	w.peer.generation++;
	memset(&sealing, 0, sizeof sealing);
	replicator_seal(w.replicator, 7, 20261124, 70, "", &seal_events, NULL);
	world_run_until(&w, &sealing.over);
	assert_int_equal(sealing.err, -ERR_DIFFERS);
	assert_int_equal(world_snapshot(&w, false), 0); /* the next one brings it */
	agree_and_compare();
	world_close(&w);
}

static const struct replicator_job_end failed_job = {.job = 9, .date = 20261124, .t0_ns = 70, .origin = "schedule", .code = ERR_NOSPACE,
    .text = "no room"};

static void
the_server_hears_who_began_a_job_why_it_failed_and_when_one_is_due(void **state)
{
	(void)state;
	begin();
	w.peer.version = 2;
	world_start(&w);
	agree_and_compare();
	run_job_to_seal();
	world_run_until(&w, &sealing.over);
	assert_string_equal(w.peer.origin, "schedule");
	replicator_job_end(w.replicator, &failed_job);
	until_sent(WIRE_JOB_OVER, 1);
	assert_int_equal(w.peer.over_code, ERR_NOSPACE);
	assert_string_equal(w.peer.over_text, "no room");
	assert_int_equal(w.peer.messages[WIRE_JOB_END], 0);
	until_sent(WIRE_DUE, 1); /* none is told, too: the server may remember another */
	replicator_set_due(w.replicator, 77);
	until_sent(WIRE_DUE, 2);
	assert_int_equal(w.peer.due_ns, 77);
	peer_cut(&w.peer);
	until_sent(WIRE_DUE, 3); /* the next connection hears it again */
	world_close(&w);
}

static void
jobs_that_end_while_a_link_breaks_are_told_by_the_next(void **state)
{
	struct replicator_job_end end = failed_job;

	(void)state;
	begin();
	w.peer.version = 2;
	world_start(&w);
	agree_and_compare();
	run_job_to_seal();
	world_run_until(&w, &sealing.over);
	peer_cut(&w.peer); /* the other end has not noticed, and sends */
	replicator_job_end(w.replicator, &end);
	end.job++;
	replicator_job_end(w.replicator, &end);
	until_sent(WIRE_JOB_OVER, 2);
	assert_int_equal(w.peer.over_jobs[0], failed_job.job);
	assert_int_equal(w.peer.over_jobs[1], end.job);
	peer_cut(&w.peer);
	for (int i = 0; i < 20; i++) {
		end.job++;
		replicator_job_end(w.replicator, &end);
	}
	until_sent(WIRE_JOB_OVER, 2 + 8); /* the last of them */
	assert_int_equal(w.peer.over_jobs[2], end.job - 7);
	assert_int_equal(w.peer.over_jobs[9], end.job);
	world_close(&w);
}

static void
a_server_of_the_first_version_hears_only_what_it_knows(void **state)
{
	(void)state;
	begin();
	world_start(&w);
	agree_and_compare();
	replicator_set_due(w.replicator, 77);
	run_job_to_seal();
	world_run_until(&w, &sealing.over);
	replicator_job_end(w.replicator, &failed_job);
	until_sent(WIRE_JOB_END, 1);
	assert_int_equal(w.peer.messages[WIRE_JOB_OVER] + w.peer.messages[WIRE_ORIGIN] + w.peer.messages[WIRE_DUE], 0);
	world_close(&w);
}

static void
what_the_server_finds_of_its_newest_set_is_known_here(void **state)
{
	struct replicator_status s;

	(void)state;
	begin();
	w.peer.version = 2;
	world_start(&w);
	agree_and_compare();
	run_job_to_seal();
	world_run_until(&w, &sealing.over);
	replicator_status(w.replicator, &s);
	assert_int_equal(s.last_verified, 0);
	peer_newest(&w.peer, 2);
	do {
		event_base_loop(w.base, EVLOOP_ONCE);
		replicator_status(w.replicator, &s);
	} while (s.last_verified != 2);
	world_close(&w);
}

/* ---- what must not be believed ---- */

static void
a_vanished_area_is_no_mass_deletion(void **state)
{
	char here[300], away[300];
	struct replicator_status s;
	uint64_t removals;

	(void)state;
	begin();
	world_start(&w);
	live_through(60);
	agree_and_compare();
	removals = w.peer.messages[WIRE_REMOVE];
	snprintf(here, sizeof here, "%s/offiles", w.live);
	snprintf(away, sizeof away, "%s/somewhere", w.live);
	assert_int_equal(rename(here, away), 0);
	if (world_barrier(&w) != -ERR_INCOMPLETE)
		fail_msg("err=%d %s", w.err, w.text);
	do {
		world_turns(&w, 1);
		replicator_status(w.replicator, &s);
	} while (!s.root_gone);
	assert_int_equal(w.peer.messages[WIRE_REMOVE], removals);
	assert_int_equal(rename(away, here), 0);
	while (world_barrier(&w) == -ERR_INCOMPLETE)
		;
	agree_and_compare();
	world_close(&w);
}

static void
a_scan_that_could_not_look_keeps_its_row(void **state)
{
	char here[300], away[300], area[] = "offiles";
	struct change row = {.kind = CHANGE_RESCAN, .path = area};
	struct journal_lag lag;

	(void)state;
	begin();
	world_start(&w);
	agree_and_compare();
	snprintf(here, sizeof here, "%s/offiles", w.live);
	snprintf(away, sizeof away, "%s/somewhere", w.live);
	assert_int_equal(rename(here, away), 0);
	assert_int_equal(journal_append(w.journal, &row, 1), 0);
	replicator_poke(w.replicator);
	for (int i = 0; i < 200; i++)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_int_equal(journal_lag(w.journal, &lag), 0);
	assert_int_equal(lag.rescans, 1);
	assert_int_equal(rename(away, here), 0);
	while (world_barrier(&w) == -ERR_INCOMPLETE)
		;
	agree_and_compare();
	world_close(&w);
}

static void
a_refusal_is_kept_and_shown(void **state)
{
	struct replicator_status s;

	(void)state;
	begin();
	w.peer.refuse = ERR_DENIED;
	world_start(&w);
	do {
		world_turns(&w, 1);
		replicator_status(w.replicator, &s);
	} while (!s.refused);
	assert_string_equal(s.why, "refused by the test");
	world_close(&w);
}

static void
on_watched(int err, const char *text, void *arg)
{
	(void)text;
	(void)arg;
	w.err = err;
	w.done = true;
}

static int64_t
standing_clock(void)
{
	return 1000;
}

static void
a_watcher_that_comes_up_ends_the_wait_for_a_cookie_nobody_saw(void **state)
{
	uint64_t id;

	(void)state;
	begin();
	w.watching = false;
	w.clock_ms = standing_clock; /* the time to make another cookie never comes */
	world_start(&w);
	world_run_until(&w, &w.link_up);
	w.done = false;
	assert_int_equal(replicator_barrier(w.replicator, on_watched, NULL, &id), 0);
	for (int i = 0; i < 10; i++)
		event_base_loop(w.base, EVLOOP_ONCE);
	assert_false(w.done);
	world_watch(&w);
	replicator_watched(w.replicator);
	world_run_until(&w, &w.done);
	assert_int_equal(w.err, 0);
	world_close(&w);
}

static void
a_cancelled_barrier_ends(void **state)
{
	bool over = false;
	uint64_t id;

	(void)state;
	begin();
	w.peer.refuse = ERR_DENIED;
	world_start(&w);
	assert_int_equal(replicator_barrier(w.replicator, on_begun, &over, &id), 0);
	replicator_cancel(w.replicator, id);
	world_run_until(&w, &over);
	assert_int_equal(w.err, -ERR_STOPPED);
	world_close(&w);
}

static int64_t stopped_ms;

/* As fast as the world's own, until it is stopped. */
static int64_t
stoppable_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return stopped_ms ? stopped_ms : ((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000) * 100;
}

static void
a_folder_made_and_moved_out_at_once_is_gone_when_the_barrier_passes(void **state)
{
	char dir[64], path[128], from[512], to[512];

	(void)state;
	begin();
	world_start(&w);
	agree_and_compare();
	for (unsigned i = 0; i < 60; i++) {
		snprintf(dir, sizeof dir, "offiles/fd%u/brief%u", i % 6, i);
		make_dir(dir);
		for (unsigned k = (unsigned)world_random(&w, 4); k; k--) {
			snprintf(path, sizeof path, "%s/in%u", dir, k);
			make_dir(path);
			snprintf(path, sizeof path, "%s/in%u/blob", dir, k);
			world_write_random(&w, false, path, 100);
			world_turns(&w, (unsigned)world_random(&w, 8));
		}
		world_turns(&w, (unsigned)world_random(&w, 40));
		snprintf(from, sizeof from, "%s/%s", w.live, dir);
		snprintf(to, sizeof to, "%s/away%u", w.scratch.path, i);
		assert_int_equal(rename(from, to), 0);
		agree_and_compare();
	}
	world_close(&w);
}

static void
a_blob_deleted_before_it_was_sent_is_counted_and_a_renamed_one_is_not(void **state)
{
	struct replicator_status s;
	char from[512], to[512];

	(void)state;
	begin();
	world_start(&w);
	agree_and_compare();
	world_write_random(&w, false, "offiles/fd0/temporary", 100);
	snprintf(from, sizeof from, "%s/offiles/fd0/temporary", w.live);
	snprintf(to, sizeof to, "%s/offiles/fd0/final", w.live);
	assert_int_equal(rename(from, to), 0);
	agree_and_compare();
	replicator_status(w.replicator, &s);
	assert_int_equal(s.vanished, 1);
	assert_int_equal(s.missed, 0);
	world_write_random(&w, false, "offiles/fd0/brief", 100);
	world_remove(&w, "offiles/fd0/brief");
	world_remove(&w, "offiles/fd0/final");
	agree_and_compare();
	replicator_status(w.replicator, &s);
	assert_int_equal(s.vanished, 2);
	assert_int_equal(s.missed, 1);
	world_close(&w);
}

static void
what_was_on_its_way_into_a_vanished_folder_goes_with_it(void **state)
{
	char from[512], to[512];
	uint64_t puts;

	(void)state;
	begin();
	world_start(&w);
	make_dir("offiles/fd0/brief");
	make_dir("offiles/fd0/brief/in");
	agree_and_compare();
	puts = w.peer.messages[WIRE_PUT];
	w.peer.mute = true;
	world_write_random(&w, false, "offiles/fd0/brief/in/blob", 100);
	while (w.peer.messages[WIRE_PUT] == puts)
		world_turns(&w, 1);
	snprintf(from, sizeof from, "%s/offiles/fd0/brief", w.live);
	snprintf(to, sizeof to, "%s/away", w.scratch.path);
	assert_int_equal(rename(from, to), 0);
	for (int64_t until = stoppable_clock() + 50000; stoppable_clock() < until;)
		world_turns(&w, 1);
	peer_speak(&w.peer);
	agree_and_compare();
	world_close(&w);
}

static void
on_passed(int err, const char *text, void *arg)
{
	(void)text;
	assert_int_equal(err, 0);
	*(bool *)arg = true;
}

/* Long enough for a cookie's way, which is all that a barrier would otherwise wait for: too short a while could only hide a mistake. */
static void
a_barrier_does_not_pass_before_the_server_has_said_durable(void **state)
{
	bool passed = false;
	uint64_t puts, id;

	(void)state;
	begin();
	world_start(&w);
	agree_and_compare();
	puts = w.peer.messages[WIRE_PUT];
	w.peer.mute = true;
	world_write(&w, false, "offiles/fd0/asked-for", "1", 1);
	until_sent(WIRE_PUT, puts + 1);
	assert_int_equal(replicator_barrier(w.replicator, on_passed, &passed, &id), 0);
	for (int64_t until = stoppable_clock() + 50000; stoppable_clock() < until && !passed;)
		world_turns(&w, 10);
	assert_false(passed);
	peer_speak(&w.peer);
	world_run_until(&w, &passed);
	world_compare(&w);
	world_close(&w);
}

/* ---- what is tried again ---- */

static uint64_t
troubled(void)
{
	struct replicator_status s;

	replicator_status(w.replicator, &s);
	return s.troubled;
}

/* While the lease is held, whoever opens the file without waiting is told that it would have to wait. */
static int
lease(const char *path)
{
	char full[512];
	int fd;

	snprintf(full, sizeof full, "%s/%s", w.live, path);
	fd = open(full, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	(void)signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETLEASE, F_WRLCK) == 0)
		return fd;
	close(fd);
	world_close(&w);
	skip();
	return -1;
}

static void
a_barrier_tries_again_what_failed_and_names_what_fails_even_so(void **state)
{
	int fd;

	(void)state;
	begin();
	stopped_ms = 0;
	w.clock_ms = stoppable_clock;
	world_write_random(&w, false, "offiles/fd0/leased", 5000);
	fd = lease("offiles/fd0/leased");
	world_start(&w);
	while (!troubled())
		world_turns(&w, 1);
	stopped_ms = stoppable_clock(); /* its next try never comes by itself */
	assert_int_equal(world_barrier(&w), 0);
	assert_non_null(strstr(w.text, "offiles/fd0/leased"));
	close(fd);
	assert_int_equal(world_barrier(&w), 0);
	assert_string_equal(w.text, "");
	stopped_ms = 0;
	world_compare(&w);
	world_close(&w);
}

/* While the clock stands nothing is written down that can wait. */
static void
a_sync_does_not_wait_for_our_own_notes_of_what_the_server_holds(void **state)
{
	struct entry entry = {0};

	(void)state;
	begin();
	stopped_ms = 0;
	w.clock_ms = stoppable_clock;
	world_start(&w);
	agree_and_compare();
	stopped_ms = stoppable_clock();
	world_write_random(&w, false, "offiles/fd0/new", 100);
	assert_int_equal(world_barrier(&w), 0);
	peer_settle(&w.peer);
	assert_true(is_held("offiles/fd0/new"));
	assert_int_equal(blockmap_get(w.map, "offiles/fd0/new", &entry, NULL), 1);
	stopped_ms = 0;
	world_compare(&w);
	until_journal_is_empty();
	world_close(&w);
}

static void
a_path_has_one_work_however_often_it_is_touched_and_all_its_rows_go(void **state)
{
	struct replicator_status s;
	int fd;

	(void)state;
	begin();
	stopped_ms = 0;
	w.clock_ms = stoppable_clock;
	world_write_random(&w, false, "offiles/fd0/leased", 5000);
	fd = lease("offiles/fd0/leased");
	world_start(&w);
	while (!troubled())
		world_turns(&w, 1);
	stopped_ms = stoppable_clock();
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(fchmod(fd, i % 2 ? 0600 : 0640), 0);
			world_turns(&w, 20);
		}
		assert_int_equal(world_barrier(&w), 0); /* its cookie splits the rows */
		if (strncmp(w.text, "1 file ", 7) != 0)
			fail_msg("%s", w.text);
	}
	close(fd);
	assert_int_equal(world_barrier(&w), 0);
	assert_string_equal(w.text, "");
	stopped_ms = 0;
	do {
		world_turns(&w, 1);
		replicator_status(w.replicator, &s);
	} while (s.pending_changes || s.troubled);
	world_compare(&w);
	world_close(&w);
}

static void
fill_disk(const char *name)
{
	static const char zeros[4096];
	char path[300];
	int fd;

	snprintf(path, sizeof path, "%s/%s", w.state, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, zeros, sizeof zeros) > 0)
		;
	close(fd);
}

/* Everything agrees, and the collector's disk is a small one. */
static void
begin_on_a_small_disk(void)
{
	begin();
	stopped_ms = 0;
	w.clock_ms = stoppable_clock;
	if (mount("tmpfs", w.state, "tmpfs", 0, "size=16m") != 0) {
		world_close(&w);
		skip();
	}
	world_start(&w);
	agree_and_compare();
}

static void
begin_on_a_full_disk(void)
{
	begin_on_a_small_disk();
	fill_disk("filler");
}

static void
what_a_full_disk_held_up_is_sent_by_the_next_barrier(void **state)
{
	char filler[300];
	int64_t until;

	(void)state;
	begin_on_a_full_disk();
	for (unsigned i = 0; i < 3000; i++) {
		char path[64];

		snprintf(path, sizeof path, "offiles/fd%u/full%u", i % 6, i);
		world_write_random(&w, false, path, 100);
	}
	/* Long enough for every try that counts, and too short for those that come after. */
	for (until = stoppable_clock() + 400000; stoppable_clock() < until;)
		world_turns(&w, 1);
	stopped_ms = stoppable_clock();
	snprintf(filler, sizeof filler, "%s/filler", w.state);
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(mount("tmpfs", w.state, "tmpfs", MS_REMOUNT, "size=200m"), 0);
	if (world_barrier(&w) != 0)
		fail_msg("%s", w.text);
	assert_string_equal(w.text, "");
	world_compare(&w);
	world_stop(&w);
	assert_int_equal(umount2(w.state, MNT_DETACH), 0);
	world_close(&w);
}

static bool
settled(void)
{
	struct journal_lag lag;

	return journal_lag(w.journal, &lag) == 0 && !lag.rows && !lag.rescans;
}

static void
scans_that_a_full_disk_held_up_end_within_a_minute_of_there_being_room(void **state)
{
	unsigned raised = 0;
	char filler[300];
	int64_t until;

	(void)state;
	begin_on_a_full_disk();
	for (unsigned i = 0; i < 3000; i++) {
		char path[64];

		snprintf(path, sizeof path, "offiles/fd%u/full%u", i % 6, i);
		world_write_random(&w, false, path, 100);
	}
	for (until = stoppable_clock() + 400000; stoppable_clock() < until;) {
		struct change again = {.kind = CHANGE_RESCAN, .path = (char[]){"offiles"}};

		raised += journal_append(w.journal, &again, 1) == -ERR_NOSPACE;
		replicator_poke(w.replicator);
		world_turns(&w, 5);
	}
	assert_true(raised > 20);
	assert_false(settled());
	snprintf(filler, sizeof filler, "%s/filler", w.state);
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(mount("tmpfs", w.state, "tmpfs", MS_REMOUNT, "size=200m"), 0);
	stopped_ms = stoppable_clock();
	/* What is under way has time enough, however slow the machine is; what waits has a minute. */
	for (until = stopped_ms + 60000; stopped_ms < until && !settled(); stopped_ms += 100) {
		world_turns(&w, 2000);
		while (workpool_depth(w.lanes, w.lane_journal) || workpool_depth(w.lanes, w.lane_hash))
			world_turns(&w, 1);
	}
	assert_true(settled());
	world_stop(&w);
	assert_int_equal(umount2(w.state, MNT_DETACH), 0);
	world_close(&w);
}

static bool
has_row(const char *path)
{
	struct change *rows = NULL;
	bool found = false;
	size_t n;

	assert_int_equal(journal_peek(w.journal, 10000, &rows, &n), 0);
	for (size_t i = 0; i < n; i++)
		found |= strcmp(rows[i].path, path) == 0;
	journal_changes_free(rows, n);
	return found;
}

/* The disk fills up while much waits, has room again, and one more file comes.  True when that one was written down while others still waited
 * for their next try, and the disk was named: what is waited for here.  How many have been tried by then is the machine's affair. */
static bool
fill_and_empty_disk(unsigned round)
{
	struct replicator_status s;
	struct entry entry = {0};
	struct journal_lag lag;
	char filler[300], path[64];
	int64_t until;
	bool late, seen = false;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(path, sizeof path, "offiles/fd%u/full%u-%u", i % 6, round, i);
		world_write_random(&w, false, path, 100);
	}
	fill_disk("filler");
	for (until = stoppable_clock() + 120000; stoppable_clock() < until;) /* its tries are rare by now */
		world_turns(&w, 1);
	stopped_ms = stoppable_clock();
	world_turns(&w, 20000); /* what is being tried fails, and waits */
	snprintf(filler, sizeof filler, "%s/filler", w.state);
	assert_int_equal(unlink(filler), 0);
	snprintf(path, sizeof path, "offiles/fd0/late%u", round);
	world_write_random(&w, false, path, 100);
	do {
		world_turns(&w, 100);
		late = blockmap_get(w.map, path, &entry, NULL) != 0 || has_row(path);
		entry_fini(&entry);
		stopped_ms += late ? 1 : 20;
		replicator_status(w.replicator, &s);
		seen |= s.disk_full && !late;
	} while (s.disk_full || late);
	assert_int_equal(journal_lag(w.journal, &lag), 0);
	assert_true(lag.rows <= lag.rescans); /* scans wait for their turn, and not for room */
	stopped_ms = 0;
	world_compare(&w);
	return seen;
}

static void
a_full_disk_stays_named_while_anything_waits_for_its_room(void **state)
{
	(void)state;
	begin_on_a_small_disk();
	for (unsigned round = 0; round < 8 && !fill_and_empty_disk(round); round++)
		;
	world_stop(&w);
	assert_int_equal(umount2(w.state, MNT_DETACH), 0);
	world_close(&w);
}

static void
a_full_disk_is_named_also_when_only_scans_or_cookies_meet_it(void **state)
{
	struct replicator_status s = {0};
	unsigned raised = 0;

	(void)state;
	begin_on_a_full_disk();
	for (unsigned i = 0; !s.disk_full && i < 200000; i++) {
		char path[64];
		struct change scan = {.kind = CHANGE_RESCAN, .path = path};

		snprintf(path, sizeof path, "offiles/fd%u/none%u", i % 6, i);
		raised += journal_append(w.journal, &scan, 1) == -ERR_NOSPACE;
		replicator_poke(w.replicator);
		world_turns(&w, 5);
		replicator_status(w.replicator, &s);
	}
	assert_true(s.disk_full && raised);
	assert_int_equal(world_barrier(&w), -ERR_NOSPACE);
	world_stop(&w);
	assert_int_equal(umount2(w.state, MNT_DETACH), 0);
	world_close(&w);
}

/* ---- a server that says what it must not ---- */

/* Sends the lie; the connection ends for it, another one comes, and the map is what it was. */
static void
lie(const struct wire_msg *msg)
{
	struct treemap_sum before, after;

	assert_int_equal(blockmap_total(w.map, &before), 0);
	assert_int_equal(wire_conn_send(w.peer.conn, msg), 0);
	w.link_up = false; /* until the next one comes up */
	world_run_until(&w, &w.link_up);
	assert_int_equal(blockmap_total(w.map, &after), 0);
	assert_memory_equal(&before, &after, sizeof before);
	world_write_random(&w, false, "offiles/fd0/next", 100); /* what goes well makes the next redial quick */
	agree_and_compare();
}

static void
what_a_server_must_not_say_ends_the_connection_and_changes_no_belief(void **state)
{
	char path[] = "offiles/fd0/never", dir[] = "offiles", text[] = "a lie";
	struct hash128 hash = {1, 1};
	struct wire_msg m;

	(void)state;
	begin();
	world_start(&w);
	world_write(&w, false, "offiles/fd0/file", "1", 1);
	agree_and_compare();
	m = (struct wire_msg){.type = WIRE_BLOCKS, .u.blocks = {.path = path, .present = true, .size = 4096, .v = &hash, .n = 1}};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_ACK, .u.ack = {.received = 1u << 30, .applied = 1u << 30, .durable = 1u << 30}};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_NAK, .u.nak = {.op = 1u << 30, .code = ERR_GONE, .text = text}};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_SUMS};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_LIST, .u.list.dir = dir};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_SETS};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_NAMES};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_REFUSED, .u.refused = {.type = WIRE_SETS_REQ, .code = ERR_GONE, .text = text}};
	lie(&m);
	m = (struct wire_msg){.type = WIRE_REMOVE, .u.remove = {.op = 1, .path = path}};
	lie(&m);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_made_and_moved_out_at_once_is_gone_when_the_barrier_passes),
		cmocka_unit_test(a_blob_deleted_before_it_was_sent_is_counted_and_a_renamed_one_is_not),
		cmocka_unit_test(what_was_on_its_way_into_a_vanished_folder_goes_with_it),
		cmocka_unit_test(a_barrier_tries_again_what_failed_and_names_what_fails_even_so),
		cmocka_unit_test(a_sync_does_not_wait_for_our_own_notes_of_what_the_server_holds),
		cmocka_unit_test(a_path_has_one_work_however_often_it_is_touched_and_all_its_rows_go),
		cmocka_unit_test(what_a_full_disk_held_up_is_sent_by_the_next_barrier),
		cmocka_unit_test(scans_that_a_full_disk_held_up_end_within_a_minute_of_there_being_room),
		cmocka_unit_test(a_full_disk_stays_named_while_anything_waits_for_its_room),
		cmocka_unit_test(a_full_disk_is_named_also_when_only_scans_or_cookies_meet_it),
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
		cmocka_unit_test(a_barrier_does_not_pass_before_the_server_has_said_durable),
		cmocka_unit_test(names_on_their_way_leave_with_their_folder),
		cmocka_unit_test(names_on_their_way_leave_when_another_folder_takes_the_place_of_theirs),
		cmocka_unit_test(a_folder_takes_the_name_that_a_file_had),
		cmocka_unit_test(a_file_takes_the_name_of_a_folder_without_a_row),
		cmocka_unit_test(a_seal_says_what_the_server_holds_and_index_waits),
		cmocka_unit_test(a_seal_whose_answer_was_lost_is_answered_by_the_next_welcome),
		cmocka_unit_test(a_seal_whose_answer_was_lost_is_not_answered_by_an_older_set),
		cmocka_unit_test(a_seal_that_ends_before_it_is_asked_for_again_is_answered),
		cmocka_unit_test(a_stop_that_is_lost_with_the_link_stays_a_stop),
		cmocka_unit_test(the_days_to_the_slow_scan_go_on_over_a_start),
		cmocka_unit_test(a_set_is_not_sealed_of_databases_that_the_server_took_back),
		cmocka_unit_test(the_server_hears_who_began_a_job_why_it_failed_and_when_one_is_due),
		cmocka_unit_test(jobs_that_end_while_a_link_breaks_are_told_by_the_next),
		cmocka_unit_test(a_server_of_the_first_version_hears_only_what_it_knows),
		cmocka_unit_test(what_the_server_finds_of_its_newest_set_is_known_here),
		cmocka_unit_test(a_vanished_area_is_no_mass_deletion),
		cmocka_unit_test(a_scan_that_could_not_look_keeps_its_row),
		cmocka_unit_test(a_refusal_is_kept_and_shown),
		cmocka_unit_test(a_watcher_that_comes_up_ends_the_wait_for_a_cookie_nobody_saw),
		cmocka_unit_test(a_cancelled_barrier_ends),
		cmocka_unit_test(what_a_server_must_not_say_ends_the_connection_and_changes_no_belief),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
