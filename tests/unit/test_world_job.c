/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same world through a job: what is asked of the server, what it answers, and what is said when nobody is there to hear it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "tests/unit/world_rig.h"

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
run_job_to_seal(void)
{
	bool begun = false;

	assert_int_equal(replicator_job_begin(w.replicator, 7, 20261124, 70, "schedule", on_answer, &begun), 0);
	world_run_until(&w, &begun);
	assert_int_equal(w.err, 0);
	for (int i = 0; i < 6; i++)
		world_edit_staging(&w);
	assert_int_equal(world_snapshot(&w, true), 0);
	assert_int_equal(world_barrier(&w), 0);
	memset(&sealing, 0, sizeof sealing);
	replicator_seal(w.replicator, 7, 20261124, 70, "", &seal_events, NULL);
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
	world_make_dir(&w, "offiles/late"); /* a folder that no edit takes away before or after */
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

/* In a fresh world whose server has yesterday's set, and keeps its answer back; tells how many links there were. */
static unsigned
ask_for_a_seal(void)
{
	begin();
	world_start(&w);
	live_through(10);
	w.peer.sealed_t0_ns = 1;
	w.peer.hold_seal = true;
	run_job_to_seal();
	while (!w.peer.messages[WIRE_SEAL])
		world_turns(&w, 1);
	return w.links;
}

static void
a_seal_whose_answer_was_lost_is_not_answered_by_an_older_set(void **state)
{
	unsigned links;

	(void)state;
	links = ask_for_a_seal();
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
	links = ask_for_a_seal();
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
	links = ask_for_a_seal();
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
	assert_int_equal(replicator_job_begin(w.replicator, 7, 20261124, 70, "schedule", on_answer, &begun), 0);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
