/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same world where something is not what it seems: an area that vanished, a cookie nobody saw, a server that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "tests/unit/world_rig.h"

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
	assert_int_equal(replicator_barrier(w.replicator, on_answer, &over, &id), 0);
	replicator_cancel(w.replicator, id);
	world_run_until(&w, &over);
	assert_int_equal(w.err, -ERR_STOPPED);
	world_close(&w);
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
		world_make_dir(&w, dir);
		for (unsigned k = (unsigned)world_random(&w, 4); k; k--) {
			snprintf(path, sizeof path, "%s/in%u", dir, k);
			world_make_dir(&w, path);
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
	world_make_dir(&w, "offiles/fd0/brief");
	world_make_dir(&w, "offiles/fd0/brief/in");
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
		cmocka_unit_test(a_barrier_does_not_pass_before_the_server_has_said_durable),
		cmocka_unit_test(a_vanished_area_is_no_mass_deletion),
		cmocka_unit_test(a_scan_that_could_not_look_keeps_its_row),
		cmocka_unit_test(a_refusal_is_kept_and_shown),
		cmocka_unit_test(a_watcher_that_comes_up_ends_the_wait_for_a_cookie_nobody_saw),
		cmocka_unit_test(a_cancelled_barrier_ends),
		cmocka_unit_test(what_a_server_must_not_say_ends_the_connection_and_changes_no_belief),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
