/* SPDX-License-Identifier: GPL-2.0-or-later */
/* upgrade - a collector that is shown releases by a server that may lie: what it fetches, when it begins anew, and what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/version.h"
#include "base/workpool.h"
#include "collector/upgrade.h"
#include "collector/versions.h"
#include "tests/lib/signers.h"
#include "wire/wire.h"

#define NOW 1800000000
#define DAY 86400
#define SIZE (2 * WIRE_PIECE_MAX + 777)
#define BOTH (1u << ANN | 1u << BEN)

static atomic_bool untold; /* the file system tells no kinds in its lists */

struct dirent *
readdir(DIR *list)
{
	static struct dirent *(*_Atomic real)(DIR *);
	struct dirent *entry;

	if (!real)
		real = (struct dirent *(*)(DIR *))dlsym(RTLD_NEXT, "readdir");
	entry = real(list);
	if (entry && untold)
		entry->d_type = DT_UNKNOWN;
	return entry;
}

static struct {
	struct scratch scratch;
	struct signers signers;
	struct event_base *base;
	struct workpool *pool;
	struct upgrade *upgrade;
	char state[256];
	int64_t wall, steady;

	/* the server */
	uint8_t programs[SIZE];
	struct pack_out head;
	bool connected, idle, comes_up;
	int refuse;                  /* an error in the place of a head */
	int lose_pieces;             /* so many are lost with their connection */
	int away;                    /* so often it is not connected when somebody looks */
	size_t asked, pieces;
	uint64_t short_at, flip_at;  /* byte at which it lies; 0 = nowhere */
	size_t restarts;
} w;

static int64_t
wall(void)
{
	return w.wall;
}

static int64_t
steady(void)
{
	return w.steady;
}

/* ---- the server, and the rest of the collector ---- */

/* Answers come from the loop, as those of a replicator do. */
struct answer {
	replicator_bytes_done *done;
	void *arg;
	int err;
	uint8_t *data;
	size_t len;
};

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct answer *a = arg;

	(void)fd, (void)what;
	a->done(a->err, a->err ? "the server refuses" : "", a->err ? NULL : a->data, a->err ? 0 : a->len, a->arg);
	free(a->data);
	free(a);
}

static void
answer(replicator_bytes_done *done, void *arg, int err, const uint8_t *data, size_t len)
{
	struct answer *a = calloc(1, sizeof *a);

	assert_non_null(a);
	*a = (struct answer){done, arg, err, malloc(len + 1), len};
	memcpy(a->data, data, len);
	event_base_once(w.base, -1, EV_TIMEOUT, on_answer, a, NULL);
}

static bool
is_connected(void *arg)
{
	(void)arg;
	return w.connected && !(w.away && w.away--);
}

static bool
give_release(const char *platform, replicator_bytes_done *done, void *done_arg, void *arg)
{
	(void)arg;
	assert_string_equal(platform, release_platform_here());
	if (!w.connected)
		return false;
	w.asked++;
	answer(done, done_arg, w.refuse, w.head.data, w.head.len);
	return true;
}

static bool
give_piece(const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *done_arg, void *arg)
{
	uint8_t digest[DIGEST_BYTES], data[WIRE_PIECE_MAX];

	(void)arg;
	if (!w.connected || (w.away && w.away--))
		return false;
	digest_once(w.head.data, w.head.len, digest);
	assert_memory_equal(release, digest, sizeof digest);
	assert_true(count <= WIRE_PIECE_MAX && offset + count <= SIZE);
	w.pieces++;
	memcpy(data, w.programs + offset, count);
	if (w.flip_at >= offset && w.flip_at < offset + count && w.flip_at)
		data[w.flip_at - offset] ^= 1;
	if (w.lose_pieces) {
		w.lose_pieces--;
		w.away = 3;
		answer(done, done_arg, -ERR_UNREACHABLE, data, 0);
	} else {
		answer(done, done_arg, 0, data, w.short_at && offset + count > w.short_at ? (size_t)(w.short_at - offset) : count);
	}
	return true;
}

static bool
comes_up(void *arg)
{
	(void)arg;
	return w.comes_up;
}

static bool
is_idle(void *arg)
{
	(void)arg;
	return w.idle;
}

static void
on_restart(void *arg)
{
	(void)arg;
	w.restarts++;
}

static int
setup(void **state)
{
	struct release r;

	(void)state;
	memset(&w, 0, sizeof w);
	scratch_open(&w.scratch);
	signers_make(&w.signers, &w.scratch);
	scratch_path(&w.scratch, "state", w.state);
	for (size_t i = 0; i < SIZE; i++)
		w.programs[i] = (uint8_t)(i * 7 + i / 251);
	w.wall = NOW;
	w.steady = 1000;
	w.connected = w.idle = w.comes_up = true;
	r = signers_release(NOW, w.programs, SIZE);
	w.head = signers_head(&w.signers, &r, BOTH);
	w.base = event_base_new();
	assert_int_equal(workpool_new(w.base, &w.pool), 0);
	return 0;
}

static void
end(void)
{
	workpool_free(w.pool);
	upgrade_free(w.upgrade);
	w.pool = NULL;
	w.upgrade = NULL;
}

static int
teardown(void **state)
{
	(void)state;
	if (w.pool)
		end();
	event_base_free(w.base);
	pack_out_fini(&w.head);
	scratch_close(&w.scratch);
	return 0;
}

static void
begin(void)
{
	const struct upgrade_setup s = {.base = w.base, .pool = w.pool, .lane = workpool_add_lane(w.pool, "work", 1), .state = w.state, .keys = w.signers.file,
	    .host = {.connected = is_connected, .release = give_release, .piece = give_piece, .idle = is_idle, .comes_up = comes_up, .restart = on_restart},
	    .wall_s = wall, .steady_s = steady, .tick_ms = 1};

	assert_int_equal(upgrade_new(&s, &w.upgrade), 0);
}

static void
offer(const struct release *r, unsigned who)
{
	pack_out_fini(&w.head);
	w.head = signers_head(&w.signers, r, who);
}

static struct upgrade_status
status(void)
{
	struct upgrade_status s;

	upgrade_status(w.upgrade, &s);
	return s;
}

/* Turns until it holds; a test that waits for ever is ended by the runner. */
#define until(condition)                                    \
	do                                                  \
		event_base_loop(w.base, EVLOOP_ONCE);       \
	while (!(condition))

/* So many looks at what is next, and nothing came of them. */
static void
some_turns(void)
{
	for (int i = 0; i < 50; i++)
		event_base_loop(w.base, EVLOOP_ONCE);
}

static bool
is_phase(const char *phase)
{
	return strcmp(status().phase, phase) == 0;
}

static void
ask_now(void)
{
	size_t before = w.asked;

	until(is_phase("idle") || w.restarts);
	assert_int_equal(w.restarts, 0); /* it is about to end, and asks nothing more */
	upgrade_now(w.upgrade);
	until(w.asked > before && (is_phase("idle") || w.restarts));
}

static struct versions
stored(void)
{
	struct versions v;
	int dir = versions_open_dir(w.state);

	assert_true(dir >= 0);
	assert_int_equal(versions_load(dir, &v), 0);
	close(dir);
	return v;
}

static bool
exists(const char *name)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof path, "%s/upgrade/%s", w.state, name);
	return lstat(path, &st) == 0;
}

/* ---- the good way ---- */

static void
a_release_is_fetched_and_begun_when_nothing_goes_on(void **state)
{
	struct versions v;

	(void)state;
	w.idle = false;
	begin();
	until(is_phase("idle"));
	some_turns();
	assert_int_equal(w.asked, 0); /* the backup comes first */
	w.steady += 60;
	until(is_phase("ready"));
	some_turns();
	assert_int_equal(w.restarts, 0);
	v = stored();
	assert_true(version_is_none(&v.trial));
	w.idle = true;
	until(w.restarts == 1);
	v = stored();
	assert_int_equal(v.trial.part[0], 999);
	assert_int_equal(v.starts, 0);
	assert_true(exists("999.0.0/tidemark-collector") && exists("999.0.0/tidemark-watcher") && exists("999.0.0/tidemark-dbcopy"));
	assert_int_equal(w.pieces, 3);
	assert_string_equal(status().why, "");
}

static void
a_connection_that_is_lost_meanwhile_costs_the_piece_that_was_on_its_way(void **state)
{
	(void)state;
	w.lose_pieces = 2;
	begin();
	w.steady += 60;
	until(w.restarts == 1);
	assert_int_equal(w.pieces, 5);
}

static void
the_release_that_runs_is_a_fresh_word_and_no_more(void **state)
{
	struct release r = signers_release(NOW, w.programs, SIZE);

	(void)state;
	r.version = release_version_here();
	offer(&r, BOTH);
	begin();
	w.wall += 5 * DAY;
	w.steady += 60;
	until(w.asked == 1 && is_phase("idle"));
	assert_int_equal(stored().fresh_s, NOW + 5 * DAY);
	assert_int_equal(w.pieces + w.restarts, 0);
	assert_string_equal(status().offered, tidemark_version);
}

static void
it_asks_once_an_hour(void **state)
{
	(void)state;
	w.refuse = -ERR_NOTFOUND;
	begin();
	w.steady += 60;
	until(w.asked == 1 && is_phase("idle"));
	w.steady += 3599;
	some_turns();
	assert_int_equal(w.asked, 1);
	w.steady += 1;
	until(w.asked == 2);
}

/* ---- S1 ---- */

static void
refused(const char *why)
{
	ask_now();
	assert_non_null(strstr(status().why, why));
	assert_true(status().alarm);
	assert_int_equal(w.pieces + w.restarts, 0);
	assert_false(exists("999.0.0") || exists("999.0.0.new"));
}

static void
what_is_not_signed_or_not_for_here_is_not_fetched(void **state)
{
	struct release r = signers_release(NOW, w.programs, SIZE);

	(void)state;
	begin();
	offer(&r, 0);
	refused("only 0 of the 2 signatures");
	offer(&r, 1 << ANN | 1 << STRANGER);
	refused("only 1 of the 2 signatures");
	snprintf(r.platform, sizeof r.platform, "linux-vax");
	offer(&r, BOTH);
	refused("it is for linux-vax");
	r = signers_release(NOW, w.programs, SIZE);
	r.expires_s = NOW;
	offer(&r, BOTH);
	refused("its time is over");
	w.head.len -= 3;
	refused("no release of the collector");
	w.head.len = 0;
	refused("no release of the collector");
}

static void
an_older_release_is_not_fetched(void **state)
{
	struct release r = signers_release(NOW, w.programs, SIZE);

	(void)state;
	begin();
	r.version = (struct release_version){{0, 0, 9}};
	offer(&r, BOTH);
	refused("older than what runs here");
	/* Newer than this program, and older than what was once shown. */
	r.version = (struct release_version){{999, 0, 0}};
	offer(&r, BOTH);
	w.flip_at = 5;
	ask_now();
	w.pieces = 0;
	r.version = (struct release_version){{998, 0, 0}};
	offer(&r, BOTH);
	refused("older than what runs here");
}

static void
bytes_that_were_not_signed_are_not_installed(void **state)
{
	static const uint64_t places[] = {1, WIRE_PIECE_MAX, SIZE / 3, SIZE / 3 + 1, SIZE - 1};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		w.flip_at = places[i];
		ask_now();
		assert_non_null(strstr(status().why, "is not what was signed"));
		assert_false(exists("999.0.0") || exists("999.0.0.new"));
	}
	w.flip_at = 0;
	w.short_at = WIRE_PIECE_MAX + 9;
	ask_now();
	assert_non_null(strstr(status().why, "not what was asked for"));
	assert_int_equal(w.restarts, 0);
	assert_false(exists("999.0.0") || exists("999.0.0.new"));
	w.short_at = 0;
	until(is_phase("idle"));
	upgrade_now(w.upgrade);
	until(w.restarts == 1);
}

static void
endless_no_is_told_after_fourteen_days(void **state)
{
	(void)state;
	w.refuse = -ERR_NOTFOUND;
	begin();
	ask_now();
	w.wall += 14 * DAY;
	ask_now();
	assert_null(strstr(status().why, "fourteen days"));
	w.wall += 1;
	ask_now();
	assert_non_null(strstr(status().why, "for fourteen days the server has shown no release"));
	assert_true(status().alarm);
	/* So is one that is shown for ever, after its time; and the word that ends it. */
	w.refuse = 0;
	w.wall = NOW + 91 * DAY;
	ask_now();
	assert_non_null(strstr(status().why, "its time is over"));
	assert_non_null(strstr(status().why, "fourteen days"));
	end();
}

static void
no_answer_at_all_is_told_after_fourteen_days(void **state)
{
	(void)state;
	begin();
	until(is_phase("idle"));
	w.connected = false;
	w.wall += 14 * DAY + 1;
	some_turns();
	assert_non_null(strstr(status().why, "fourteen days"));
}

/* A configuration that is wrong, say: the former program would not come up either, and nothing would back up any more. */
static void
no_release_begins_before_whoever_begins_again_comes_up(void **state)
{
	struct versions v;

	(void)state;
	w.comes_up = false;
	begin();
	until(is_phase("idle"));
	w.steady += 60;
	until(is_phase("ready"));
	some_turns();
	assert_int_equal(w.restarts, 0);
	v = stored();
	assert_true(version_is_none(&v.trial));
	w.comes_up = true;
	until(w.restarts == 1);
}

/* ---- the trial ---- */

static void
store(const struct versions *v)
{
	int dir = versions_open_dir(w.state);

	assert_true(dir >= 0);
	assert_int_equal(versions_store(dir, v), 0);
	close(dir);
}

static void
what_is_not_wanted_any_more_leaves_a_file_system_that_tells_no_kinds(void **state)
{
	char command[700];

	(void)state;
	snprintf(command, sizeof command, "mkdir -p %.256s/upgrade/0.0.7 %.256s/upgrade/0.0.8.new", w.state, w.state);
	assert_int_equal(system(command), 0);
	store(&(struct versions){.fresh_s = NOW});
	untold = true;
	begin();
	until(is_phase("idle"));
	untold = false;
	assert_false(exists("0.0.7") || exists("0.0.8.new"));
	assert_int_equal(stored().fresh_s, NOW);
}

/* This program is the one on trial, and nobody is connected yet. */
static void
begin_on_trial(const struct release_version *here)
{
	const struct versions v = {.trial = *here, .starts = 1, .fresh_s = NOW};

	store(&v);
	w.connected = false;
	begin();
	until(is_phase("trial"));
}

static void
a_release_on_trial_is_proved_by_a_welcome(void **state)
{
	const struct release_version here = release_version_here();
	struct versions v;

	(void)state;
	begin_on_trial(&here);
	some_turns();
	assert_true(is_phase("trial"));
	w.connected = true;
	until(is_phase("idle"));
	v = stored();
	assert_int_equal(release_version_compare(&v.current, &here), 0);
	assert_true(version_is_none(&v.trial) && version_is_none(&v.failed));
	assert_int_equal(w.restarts, 0);
}

static void
one_that_is_not_welcomed_within_ten_minutes_gives_way(void **state)
{
	const struct release_version here = release_version_here();
	struct versions v;

	(void)state;
	begin_on_trial(&here);
	w.steady += 599;
	some_turns();
	assert_int_equal(w.restarts, 0);
	w.steady += 1;
	until(w.restarts == 1);
	v = stored();
	assert_true(version_is_none(&v.trial) && version_is_none(&v.current));
	assert_int_equal(release_version_compare(&v.failed, &here), 0);
}

/* A full disk, say: else it would run on, and take no backup. */
static void
one_that_failed_gives_way_as_soon_as_that_can_be_written_down(void **state)
{
	const struct release_version here = release_version_here();
	char in_the_way[512];
	struct versions v;

	(void)state;
	begin_on_trial(&here);
	snprintf(in_the_way, sizeof in_the_way, "%s/upgrade/.versions.new", w.state);
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	w.steady += 600;
	some_turns();
	assert_int_equal(w.restarts, 0);
	assert_int_equal(rmdir(in_the_way), 0);
	w.steady += 60;
	until(w.restarts == 1);
	v = stored();
	assert_true(version_is_none(&v.trial));
	assert_int_equal(release_version_compare(&v.failed, &here), 0);
}

static void
one_that_failed_is_tried_again_when_an_operator_says_so(void **state)
{
	struct versions v = {.failed = {{999, 0, 0}}, .seen = {{999, 0, 0}}, .fresh_s = NOW};

	(void)state;
	store(&v);
	begin();
	w.steady += 60;
	until(w.asked == 1 && is_phase("idle") && *status().why);
	assert_non_null(strstr(status().why, "did not come up"));
	assert_int_equal(w.pieces, 0);
	upgrade_now(w.upgrade);
	until(w.restarts == 1);
}

/* ---- what is remembered ---- */

static void
versions_come_back_as_they_were_stored(void **state)
{
	struct versions v = {{{1, 2, 3}}, {{4, 5, 6}}, 2, {{7, 8, 9}}, {{10, 11, 12}}, -5}, again;
	int dir = versions_open_dir(w.state), fd;

	(void)state;
	assert_int_equal(versions_load(dir, &again), 0);
	assert_true(version_is_none(&again.current) && again.starts == 0);
	assert_int_equal(versions_store(dir, &v), 0);
	assert_int_equal(versions_load(dir, &again), 0);
	assert_memory_equal(&again, &v, offsetof(struct versions, seen) + sizeof v.seen); /* what follows may be padding */
	assert_int_equal(again.fresh_s, v.fresh_s);
	fd = openat(dir, "versions", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0 && write(fd, "tidemark-versions 1\ncurrent 1.2", 31) == 31);
	close(fd);
	assert_int_equal(versions_load(dir, &again), -ERR_CORRUPT);
	assert_true(version_is_none(&again.current));
	close(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_release_is_fetched_and_begun_when_nothing_goes_on),
	    TEST(a_connection_that_is_lost_meanwhile_costs_the_piece_that_was_on_its_way),
	    TEST(the_release_that_runs_is_a_fresh_word_and_no_more),
	    TEST(what_is_not_wanted_any_more_leaves_a_file_system_that_tells_no_kinds),
	    TEST(it_asks_once_an_hour),
	    TEST(what_is_not_signed_or_not_for_here_is_not_fetched),
	    TEST(an_older_release_is_not_fetched),
	    TEST(bytes_that_were_not_signed_are_not_installed),
	    TEST(endless_no_is_told_after_fourteen_days),
	    TEST(no_answer_at_all_is_told_after_fourteen_days),
	    TEST(no_release_begins_before_whoever_begins_again_comes_up),
	    TEST(a_release_on_trial_is_proved_by_a_welcome),
	    TEST(one_that_is_not_welcomed_within_ten_minutes_gives_way),
	    TEST(one_that_failed_gives_way_as_soon_as_that_can_be_written_down),
	    TEST(one_that_failed_is_tried_again_when_an_operator_says_so),
	    TEST(versions_come_back_as_they_were_stored),
	};

	return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
