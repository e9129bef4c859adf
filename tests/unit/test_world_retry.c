/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same world with works that fail, above all on a full disk: what is tried again, and when. */
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
#include <unistd.h>
#include <cmocka.h>

#include "base/err.h"
#include "replicator/own.h"
#include "tests/unit/world_rig.h"

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

/* A world in which a blob cannot be read as long as the descriptor is open, and whose clock stands: its next try never comes by itself. */
static int
begin_with_a_lease(void)
{
	int fd;

	begin();
	stopped_ms = 0;
	w.clock_ms = stoppable_clock;
	world_write_random(&w, false, "offiles/fd0/leased", 5000);
	fd = lease("offiles/fd0/leased");
	world_start(&w);
	while (!troubled())
		world_turns(&w, 1);
	stopped_ms = stoppable_clock();
	return fd;
}

static void
a_barrier_tries_again_what_failed_and_names_what_fails_even_so(void **state)
{
	int fd;

	(void)state;
	fd = begin_with_a_lease();
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
	fd = begin_with_a_lease();
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

/* What waits for room is looked up where it is counted: by the clock, a slow machine would not have tried it yet. */
static bool
named_as_long_as_needed(void)
{
	struct replicator_status s;

	replicator_status(w.replicator, &s);
	assert_true(s.disk_full || !w.replicator->n_roomless);
	return s.disk_full;
}

/* True when something small had room while others still waited. */
static bool
fill_and_empty_disk(unsigned round)
{
	struct entry entry = {0};
	char filler[300], path[64];
	bool late = true, seen;

	for (unsigned i = 0; i < 3000; i++) {
		snprintf(path, sizeof path, "offiles/fd%u/full%u-%u", i % 6, round, i);
		world_write_random(&w, false, path, 100);
	}
	fill_disk("filler");
	while (!w.replicator->n_roomless)
		world_turns(&w, 1);
	stopped_ms = stoppable_clock();
	world_turns(&w, 20000); /* what is being tried fails, and waits */
	snprintf(filler, sizeof filler, "%s/filler", w.state);
	assert_int_equal(unlink(filler), 0);
	snprintf(path, sizeof path, "offiles/fd0/late%u", round);
	world_write_random(&w, false, path, 100);
	for (; late; stopped_ms++) {
		world_turns(&w, 100);
		(void)named_as_long_as_needed();
		late = blockmap_get(w.map, path, &entry, NULL) != 0 || has_row(path);
		entry_fini(&entry);
	}
	seen = w.replicator->n_roomless;
	for (; named_as_long_as_needed(); stopped_ms += 20)
		world_turns(&w, 100);
	stopped_ms = 0;
	world_compare(&w);
	return seen;
}

static void
a_full_disk_stays_named_while_anything_waits_for_its_room(void **state)
{
	bool seen = false;

	(void)state;
	begin_on_a_small_disk();
	for (unsigned round = 0; round < 8 && !seen; round++)
		seen = fill_and_empty_disk(round);
	assert_true(seen);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_barrier_tries_again_what_failed_and_names_what_fails_even_so),
		cmocka_unit_test(a_sync_does_not_wait_for_our_own_notes_of_what_the_server_holds),
		cmocka_unit_test(a_path_has_one_work_however_often_it_is_touched_and_all_its_rows_go),
		cmocka_unit_test(what_a_full_disk_held_up_is_sent_by_the_next_barrier),
		cmocka_unit_test(scans_that_a_full_disk_held_up_end_within_a_minute_of_there_being_room),
		cmocka_unit_test(a_full_disk_stays_named_while_anything_waits_for_its_room),
		cmocka_unit_test(a_full_disk_is_named_also_when_only_scans_or_cookies_meet_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
