/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agreement, against a server that is a sorted list of names. */
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/relpath.h"
#include "replicator/link.h"
#include "replicator/reconcile.h"
#include "tests/lib/mapped.h"

#define NAMES_MAX 64
#define PAGE 3

static struct mapped m;
static struct { char path[64]; struct entry entry; } server[NAMES_MAX]; /* sorted by directory, then name */
static size_t n_server;
static unsigned sums_asked, lists_asked;

static int
begin(void **state)
{
	(void)state;
	mapped_open(&m);
	n_server = 0;
	sums_asked = lists_asked = 0;
	return 0;
}

static int
end(void **state)
{
	(void)state;
	mapped_close(&m);
	return 0;
}

static struct entry
file_of(uint64_t version)
{
	return (struct entry){.kind = ENTRY_FILE, .mode = 0644, .size = 10, .mtime_ns = 5, .digest = {version, version}};
}

static void
ours(const char *path, uint64_t version)
{
	struct entry e = file_of(version);

	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_PUT, .path = path, .entry = &e, .stat = {.inode = 1}});
}

static void
theirs(const char *path, uint64_t version)
{
	snprintf(server[n_server].path, sizeof server[0].path, "%s", path);
	server[n_server++].entry = file_of(version);
}

static void
both(const char *path)
{
	ours(path, 1);
	theirs(path, 1);
}

static void
dir_of(size_t i, char out[64])
{
	snprintf(out, 64, "%.*s", (int)relpath_dir_len(server[i].path), server[i].path);
}

/* The next page of directories after `after` ("" = from the start). */
static void
answer_sums(struct reconcile *rc, const char *after)
{
	struct wire_msg m2 = {.type = WIRE_SUMS};
	struct wire_sum *v = calloc(PAGE, sizeof *v);
	char dir[64], last[64] = "";
	size_t n = 0;

	sums_asked++;
	for (size_t i = 0; i < n_server; i++) {
		struct treemap_weight w = entry_weight(&m.key, server[i].path, &server[i].entry);

		dir_of(i, dir);
		if (*after && strcmp(dir, after) <= 0)
			continue;
		if (!n || strcmp(dir, last) != 0) {
			if (n == PAGE) {
				m2.u.sums.more = true;
				break;
			}
			v[n++].dir = strdup(dir);
			snprintf(last, sizeof last, "%s", dir);
		}
		v[n - 1].sum.count++;
		v[n - 1].sum.bytes += w.bytes;
		v[n - 1].sum.hash = hash128_add(v[n - 1].sum.hash, w.hash);
	}
	m2.u.sums.v = v;
	m2.u.sums.n = n;
	assert_true(reconcile_answer(rc, &m2));
}

static void
answer_list(struct reconcile *rc, char *want, const char *after)
{
	struct wire_msg m2 = {.type = WIRE_LIST};
	struct wire_item *v = calloc(PAGE, sizeof *v);
	char dir[64];
	size_t n = 0;

	lists_asked++;
	for (size_t i = 0; i < n_server; i++) {
		dir_of(i, dir);
		if (strcmp(dir, want) != 0 || (*after && strcmp(relpath_name(server[i].path), after) <= 0))
			continue;
		if (n == PAGE) {
			m2.u.list.more = true;
			break;
		}
		v[n].name = strdup(relpath_name(server[i].path));
		v[n++].entry = server[i].entry;
	}
	m2.u.list.dir = want;
	m2.u.list.v = v;
	m2.u.list.n = n;
	assert_true(reconcile_answer(rc, &m2));
}

static struct reconcile_figures
agree(void)
{
	struct reconcile *rc = reconcile_new(m.map, m.journal, &m.key, LAYOUT_POST_OFFICE);
	struct reconcile_figures figures;
	struct wire_msg ask;

	while (reconcile_state(rc) != RECONCILE_DONE) {
		assert_int_not_equal(reconcile_state(rc), RECONCILE_FAILED);
		if (reconcile_state(rc) == RECONCILE_ASK_SUMS) {
			reconcile_request(rc, &ask);
			answer_sums(rc, ask.u.sums_req.after);
		} else if (reconcile_state(rc) == RECONCILE_ASK_LIST) {
			reconcile_request(rc, &ask);
			answer_list(rc, ask.u.list_req.dir, ask.u.list_req.after);
		} else {
			reconcile_run(rc);
			reconcile_ran(rc);
		}
	}
	figures = *reconcile_figures(rc);
	reconcile_free(rc);
	return figures;
}

static void
assert_equal_maps(void)
{
	struct treemap_sum total, want = {0};

	assert_int_equal(blockmap_total(m.map, &total), 0);
	for (size_t i = 0; i < n_server; i++)
		want.hash = hash128_add(want.hash, entry_weight(&m.key, server[i].path, &server[i].entry).hash);
	assert_int_equal(total.count, n_server);
	assert_true(hash128_equal(total.hash, want.hash));
}

static bool
adopted(const char *path)
{
	struct entry e;
	struct blockmap_stat stat;

	assert_int_equal(blockmap_get(m.map, path, &e, &stat), 0);
	return stat.adopted;
}

static size_t
rescans(char *out, size_t len)
{
	struct change *changes;
	size_t n, found = 0;

	*out = '\0';
	assert_int_equal(journal_read(m.journal, 0, 100, &changes, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (changes[i].kind == CHANGE_RESCAN && *changes[i].path) {
			snprintf(out + strlen(out), len - strlen(out), "%s ", changes[i].path);
			found++;
		}
	journal_changes_free(changes, n);
	return found;
}

static void
equal_directories_cost_no_list(void **state)
{
	(void)state;
	both("offiles/fd0/a");
	both("offiles/fd1/b");
	assert_int_equal(agree().differing, 0);
	assert_int_equal(lists_asked, 0);
	assert_equal_maps();
}

static void
a_lost_map_is_filled_from_the_server_page_by_page(void **state)
{
	char path[64], rows[256];

	(void)state;
	for (char d = '0'; d < '8'; d++)
		for (char n = 'a'; n < 'h'; n++) {
			snprintf(path, sizeof path, "offiles/fd%c/%c", d, n);
			theirs(path, 1);
		}
	assert_int_equal(agree().adopted, n_server);
	assert_true(sums_asked > 2 && lists_asked > 2 * 8);
	assert_equal_maps();
	assert_true(adopted("offiles/fd3/c"));
	assert_int_equal(rescans(rows, sizeof rows), 8);
}

static void
what_the_server_lacks_is_forgotten(void **state)
{
	char path[64];

	(void)state;
	for (char n = 'a'; n < 'z'; n++) {
		snprintf(path, sizeof path, "offiles/fd0/%c", n);
		if (n % 2)
			both(path);
		else
			ours(path, 1);
	}
	assert_int_equal(agree().forgotten, 12);
	assert_equal_maps();
	assert_false(adopted("offiles/fd0/c")); /* both agree about it: it stays believed */
}

static void
a_directory_that_the_server_lacks_is_forgotten_and_compared(void **state)
{
	char rows[256];

	(void)state;
	both("offiles/fd0/a");
	ours("offiles/fd9/a", 1);
	ours("offiles/fd9/b", 1);
	assert_int_equal(agree().forgotten, 2);
	assert_equal_maps();
	rescans(rows, sizeof rows);
	assert_string_equal(rows, "offiles/fd9 ");
}

static void
an_entry_that_differs_is_adopted_and_its_hashes_forgotten(void **state)
{
	struct hash128 h = {1, 2}, got;

	(void)state;
	ours("ofuser/index/i", 1);
	theirs("ofuser/index/i", 2);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_BLOCKS, .path = "ofuser/index/i", .hashes = &h, .n = 1});
	agree();
	assert_equal_maps();
	assert_true(adopted("ofuser/index/i"));
	assert_int_equal(blockmap_blocks_get(m.map, "ofuser/index/i", 0, 1, &got), 0);
	assert_true(!got.lo && !got.hi);
}

static void
a_flight_mark_survives_the_agreement(void **state)
{
	bool marked;

	(void)state;
	ours("ofuser/index/i", 1);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = "ofuser/index/i"});
	theirs("ofuser/index/j", 2);
	agree();
	assert_int_equal(blockmap_in_flight(m.map, "ofuser/index/i", &marked), 0);
	assert_true(marked);
	assert_equal_maps();
}

static void
a_snapshot_area_is_not_scanned_on_the_live_tree(void **state)
{
	char rows[256];

	(void)state;
	theirs("ofmsg/m.db", 2);
	agree();
	assert_equal_maps();
	assert_int_equal(rescans(rows, sizeof rows), 0);
}

static void
a_directory_mtime_is_no_longer_believed(void **state)
{
	int64_t mtime = 1;

	(void)state;
	ours("offiles/fd0/a", 1);
	theirs("offiles/fd0/a", 2);
	mapped_apply(&m, (struct blockmap_op){.kind = BLOCKMAP_DIR, .path = "offiles/fd0", .dir_mtime_ns = 77});
	agree();
	assert_int_equal(blockmap_dir_get(m.map, "offiles/fd0", &mtime), 0);
	assert_int_equal(mtime, 0);
}

static void
random_differences_always_end_in_agreement(void **state)
{
	(void)state;
	srand(7);
	for (int i = 0; i < 60; i++) {
		char path[64];

		snprintf(path, sizeof path, "offiles/d%c/%02d", 'a' + i / 10, i);
		if (rand() % 3)
			ours(path, (uint64_t)(rand() % 2));
		if (rand() % 3)
			theirs(path, (uint64_t)(rand() % 2));
	}
	agree();
	assert_equal_maps();
}

static void
the_first_retry_is_quick_and_none_is_above_a_minute(void **state)
{
	uint64_t rng = 1;
	int64_t ms = link_delay_ms(0, 0, &rng), most = 0;

	(void)state;
	assert_in_range(ms, 50, 150);
	for (unsigned i = 1; i < 100; i++) {
		ms = link_delay_ms(i, 0, &rng);
		assert_in_range(ms, 100, 60000);
		most = ms > most ? ms : most;
	}
	assert_true(most > 30000);
	assert_true(link_delay_ms(0, -ERR_DENIED, &rng) >= 30000);
}

static void
another_collector_is_asked_again_within_seconds_at_first(void **state)
{
	uint64_t rng = 1;

	(void)state;
	assert_in_range(link_delay_ms(0, -ERR_BUSY, &rng), 500, 1500);
	assert_in_range(link_delay_ms(1, -ERR_BUSY, &rng), 1000, 2000);
	for (unsigned i = 6; i < 100; i++)
		assert_in_range(link_delay_ms(i, -ERR_BUSY, &rng), 30000, 60000);
}

/* ---- a server whose lists do not rise ---- */

/* A page of directories; the reconciliation has just asked for it. */
static void
say_sums(struct reconcile *rc, bool more, size_t n, const char *const *dirs)
{
	struct wire_msg msg = {.type = WIRE_SUMS};

	msg.u.sums.v = calloc(n + 1, sizeof *msg.u.sums.v);
	for (size_t i = 0; i < n; i++) {
		msg.u.sums.v[i].dir = strdup(dirs[i]);
		msg.u.sums.v[i].sum.count = 1;
	}
	msg.u.sums.n = n;
	msg.u.sums.more = more;
	assert_true(reconcile_answer(rc, &msg));
	wire_msg_fini(&msg);
}

static void
say_list(struct reconcile *rc, bool more, size_t n, const char *const *names)
{
	struct wire_msg ask, msg = {.type = WIRE_LIST};

	reconcile_request(rc, &ask);
	msg.u.list.dir = strdup(ask.u.list_req.dir);
	msg.u.list.v = calloc(n + 1, sizeof *msg.u.list.v);
	for (size_t i = 0; i < n; i++) {
		msg.u.list.v[i].name = strdup(names[i]);
		msg.u.list.v[i].entry = file_of(1);
	}
	msg.u.list.n = n;
	msg.u.list.more = more;
	assert_true(reconcile_answer(rc, &msg));
	wire_msg_fini(&msg);
}

static void
step(struct reconcile *rc)
{
	reconcile_run(rc);
	reconcile_ran(rc);
}

static void
assert_refused(struct reconcile *rc)
{
	assert_int_equal(reconcile_state(rc), RECONCILE_FAILED);
	assert_int_equal(reconcile_error(rc), -ERR_PEER);
	assert_non_null(strstr(reconcile_error_text(rc), "list"));
	reconcile_free(rc);
}

static struct reconcile *
asking(void)
{
	return reconcile_new(m.map, m.journal, &m.key, LAYOUT_POST_OFFICE);
}

#define NAMES(...) (sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__}

static void
directories_that_do_not_rise_are_refused(void **state)
{
	struct reconcile *rc;

	(void)state;
	ours("offiles/fd1/a", 1);
	say_sums(rc = asking(), false, NAMES("offiles/fd1", "offiles/fd1"));
	assert_refused(rc);
	say_sums(rc = asking(), false, NAMES("offiles/fd2", "offiles/fd1"));
	assert_refused(rc);
	say_sums(rc = asking(), true, 0, NULL); /* would be asked for again for ever */
	assert_refused(rc);
	/* The same page again, and again: it is the one after the last that counts. */
	ours("offiles/fd1/b", 1);
	say_sums(rc = asking(), true, NAMES("offiles/fd1", "offiles/fd2"));
	step(rc);
	while (reconcile_state(rc) == RECONCILE_ASK_LIST) {
		say_list(rc, false, NAMES("a"));
		step(rc);
	}
	assert_int_equal(reconcile_state(rc), RECONCILE_ASK_SUMS);
	say_sums(rc, true, NAMES("offiles/fd1", "offiles/fd2"));
	assert_refused(rc);
}

static void
names_that_do_not_rise_are_refused_and_forget_nothing(void **state)
{
	static const char *const bad[][2] = {{"b", "b"}, {"c", "b"}};
	struct reconcile *rc;

	(void)state;
	ours("offiles/fd1/a", 1);
	ours("offiles/fd1/z", 1);
	for (size_t i = 0; i < 2; i++) {
		say_sums(rc = asking(), false, NAMES("offiles/fd1"));
		step(rc);
		say_list(rc, false, 2, bad[i]);
		assert_refused(rc);
		assert_true(!adopted("offiles/fd1/a") && !adopted("offiles/fd1/z"));
	}
	say_sums(rc = asking(), false, NAMES("offiles/fd1"));
	step(rc);
	say_list(rc, true, NAMES("a", "b"));
	step(rc);
	say_list(rc, true, NAMES("a", "b")); /* again: never further */
	assert_refused(rc);
	assert_false(adopted("offiles/fd1/z"));
}

/* A set of names that begins asks for this much; everything else gets what it asks for. */
static bool starved;

void *
realloc(void *p, size_t n)
{
	static void *(*real)(void *, size_t);

	if (starved && !p && n == 64 * sizeof(uint64_t)) {
		errno = ENOMEM;
		return NULL;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "realloc");
	return real(p, n);
}

/* Where what the server named cannot be remembered, it did not name it less. */
static void
without_memory_nothing_is_forgotten_and_the_agreement_begins_anew(void **state)
{
	struct reconcile *rc;

	(void)state;
	both("offiles/fd0/a");
	ours("offiles/fd1/a", 1);
	theirs("offiles/fd1/a", 2);
	for (int in_list = 0; in_list < 2; in_list++) {
		rc = asking();
		answer_sums(rc, "");
		starved = !in_list;
		step(rc);
		if (in_list) {
			answer_list(rc, (char[]){"offiles/fd1"}, "");
			starved = true;
			step(rc);
		}
		starved = false;
		assert_int_equal(reconcile_state(rc), RECONCILE_FAILED);
		assert_int_equal(reconcile_error(rc), -ERR_NOMEM);
		reconcile_free(rc);
	}
	assert_int_equal(agree().forgotten, 0);
	assert_equal_maps();
	assert_false(adopted("offiles/fd0/a"));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(equal_directories_cost_no_list),
		TEST(a_lost_map_is_filled_from_the_server_page_by_page),
		TEST(what_the_server_lacks_is_forgotten),
		TEST(without_memory_nothing_is_forgotten_and_the_agreement_begins_anew),
		TEST(a_directory_that_the_server_lacks_is_forgotten_and_compared),
		TEST(an_entry_that_differs_is_adopted_and_its_hashes_forgotten),
		TEST(a_flight_mark_survives_the_agreement),
		TEST(a_snapshot_area_is_not_scanned_on_the_live_tree),
		TEST(a_directory_mtime_is_no_longer_believed),
		TEST(random_differences_always_end_in_agreement),
		TEST(directories_that_do_not_rise_are_refused),
		TEST(names_that_do_not_rise_are_refused_and_forget_nothing),
		cmocka_unit_test(the_first_retry_is_quick_and_none_is_above_a_minute),
		cmocka_unit_test(another_collector_is_asked_again_within_seconds_at_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
