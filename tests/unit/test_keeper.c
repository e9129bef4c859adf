/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper on its socket, as the receiver meets it: every order ends in one report, and its end is clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "src/keeper/keeper.c"

#include "base/log.h"
#include "keeper/keeper.h"
#include "tests/lib/stage.h"

#define LIMIT_MS 20000

static struct stage st;
static struct event_base *base;
static struct keeper *keeper;
static int sock;
static bool ended;

static void
on_ended(void *arg)
{
	(void)arg;
	ended = true;
}

static int
set_up(void **state)
{
	int pair[2];

	(void)state;
	stage_open(&st);
	stage_fill(&st);
	stage_index(&st, true);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	sock = pair[0];
	ended = false;
	base = event_base_new();
	stage_vault(&st, false);
	good(keeper_new(base, &(struct keeper_setup){.store = st.scratch.path, .fd = pair[1], .ended = on_ended}, &keeper));
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	keeper_free(keeper);
	event_base_free(base);
	if (sock >= 0)
		close(sock);
	stage_close(&st);
	return 0;
}

static void
order_send(const struct order *order)
{
	struct pack_out o = {0}, head = {0};

	order_pack(&o, order);
	pack_u32(&head, (uint32_t)o.len);
	assert_int_equal(write(sock, head.data, 4), 4);
	assert_int_equal(write(sock, o.data, o.len), o.len);
	pack_out_fini(&o);
	pack_out_fini(&head);
}

static bool
readable(void)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	fail_msg("no report came in time");
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

/* Runs the loop until the keeper says something. */
static struct report
next_report(void)
{
	const struct timeval limit = {.tv_sec = LIMIT_MS / 1000};
	struct event *timer = evtimer_new(base, on_limit, NULL), *reading = event_new(base, sock, EV_READ, on_readable, base);
	static uint8_t bytes[ORDER_BYTES_MAX];
	struct report r = {0};
	uint8_t head[4];
	struct pack_in i = pack_in(head, 4);
	uint32_t len;

	event_add(timer, &limit);
	event_add(reading, NULL);
	while (!readable())
		event_base_loop(base, EVLOOP_ONCE);
	event_free(timer);
	event_free(reading);
	assert_int_equal(recv(sock, head, 4, MSG_WAITALL), 4);
	len = unpack_u32(&i);
	assert_true(len <= sizeof bytes);
	for (uint32_t at = 0; at < len;) {
		ssize_t n = recv(sock, bytes + at, len - at, MSG_DONTWAIT);

		if (n > 0)
			at += (uint32_t)n;
		else
			event_base_loop(base, EVLOOP_ONCE);
	}
	good(report_unpack(bytes, len, &r));
	return r;
}

/* The report that ends the order; lines of it are counted. */
static struct report
answer(uint64_t id, size_t *ret_lines)
{
	size_t lines = 0;

	for (;;) {
		struct report r = next_report();

		if (r.id == id && (r.kind == REPORT_DONE || r.kind == REPORT_FAILED)) {
			if (ret_lines)
				*ret_lines = lines;
			return r;
		}
		lines += r.id == id && r.kind == REPORT_ENTRY;
		report_fini(&r);
	}
}

static struct report
ask(struct order *o)
{
	struct report r;

	order_send(o);
	r = answer(o->id, NULL);
	return r;
}

/* The seal's order; the index is closed for the keeper. */
static struct report
ask_seal(uint32_t date)
{
	struct order o;
	struct report r;

	stage_t0(&st);
	o = stage_order(&st, date);
	o.id += 100;
	stage_index(&st, false);
	r = ask(&o);
	order_fini(&o);
	return r;
}

static char po1[] = PROFILE, latest[] = "latest";

static void
a_seal_is_done_then_listed_shown_verified_and_restored(void **state)
{
	struct report r = ask_seal(20260213);
	char to[300];
	struct order order = {.id = 900, .kind = ORDER_SETS, .profile = po1};
	size_t lines;

	(void)state;
	assert_int_equal(r.kind, REPORT_DONE);
	assert_string_equal(r.sets[0].name, "frifeb13");
	assert_int_equal(r.sets[0].files, 9);
	assert_true(r.fresh_done >= 3);
	report_fini(&r);

	r = ask(&order);
	assert_int_equal(r.n_sets, 1);
	assert_string_equal(r.sets[0].profile, PROFILE);
	report_fini(&r);

	order = (struct order){.id = 901, .kind = ORDER_SHOW, .profile = po1, .set = latest, .page = UINT32_MAX};
	order_send(&order);
	r = answer(901, &lines);
	assert_int_equal(r.kind, REPORT_DONE);
	assert_int_equal(lines, 9 + 6); /* files and directories */
	report_fini(&r);

	order = (struct order){.id = 902, .kind = ORDER_VERIFY, .profile = po1, .set = latest};
	r = ask(&order);
	assert_int_equal(r.kind, REPORT_DONE);
	assert_int_equal(r.code, 0);
	assert_int_equal(r.sets[0].verified, 1);
	report_fini(&r);

	snprintf(to, sizeof to, "%s/to", st.scratch.path);
	order = (struct order){.id = 903, .kind = ORDER_RESTORE, .profile = po1, .set = latest, .to = to};
	r = ask(&order);
	assert_int_equal(r.kind, REPORT_DONE);
	report_fini(&r);
	assert_string_equal(content(st.scratch.fd, "to/offiles/fd0/aaa"), "blob aaa");
}

/* All pages of this size, one name a line; how many there were. */
static size_t
listed(uint32_t page, char *names, size_t room)
{
	char after[1000] = "";
	size_t pages = 0, len = 0;

	do {
		struct order order = {.id = 2000 + pages, .kind = ORDER_SHOW, .profile = po1, .set = latest, .after = after, .page = page};
		struct report r;

		order_send(&order);
		while ((r = next_report()).id != order.id || r.kind == REPORT_ENTRY) {
			if (r.id == order.id)
				len += (size_t)snprintf(names + len, room - len, "%s %d %zu\n", r.path, r.entry.kind, (size_t)r.entry.size);
			report_fini(&r);
		}
		assert_int_equal(r.kind, REPORT_DONE);
		assert_string_equal(r.sets[0].name, "frifeb13");
		snprintf(after, sizeof after, "%s", r.next);
		report_fini(&r);
		pages++;
	} while (*after);
	return pages;
}

static void
pages_of_any_size_make_the_same_list(void **state)
{
	static const uint32_t sizes[] = {1, 33, 60, 100, 333};
	static char whole[4000], paged[4000];
	struct report r = ask_seal(20260213);

	(void)state;
	report_fini(&r);
	assert_int_equal(listed(UINT32_MAX, whole, sizeof whole), 1);
	assert_non_null(strstr(whole, "offiles/fd0/aaa 1 8\n"));
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_true(listed(sizes[i], paged, sizeof paged) > 1);
		assert_string_equal(paged, whole);
	}
}

static void
a_list_does_not_go_on_where_none_has_ended(void **state)
{
	static const char *const wrong[] = {"x", "n", "n ", "n ../x", "n /x", "b", "b 1", "b 1 2", "b 1 2 ", "b x 2 a", "b 1 4294967296 a", "b 1 2 ../a", "b 1  a"};
	struct report r = ask_seal(20260213);

	(void)state;
	report_fini(&r);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct order order = {.id = 900 + i, .kind = ORDER_SHOW, .profile = po1, .set = latest, .after = (char *)(uintptr_t)wrong[i], .page = 100};

		r = ask(&order);
		assert_int_equal(r.kind, REPORT_FAILED);
		assert_int_equal(r.code, ERR_USAGE);
		report_fini(&r);
	}
}

static void
a_scrub_follows_a_seal_by_itself(void **state)
{
	struct report r = ask_seal(20260213);

	(void)state;
	assert_int_equal(r.sets[0].scrubbed_ns, 0);
	report_fini(&r);
	r = answer(0, NULL);
	assert_int_equal(r.kind, REPORT_DONE);
	assert_string_equal(r.sets[0].name, "frifeb13");
	assert_int_not_equal(r.sets[0].scrubbed_ns, 0);
	assert_int_equal(r.sets[0].verified, 1);
	report_fini(&r);
}

static void
a_failed_seal_names_the_doubtful(void **state)
{
	struct report r;

	(void)state;
	stage_write(&st, "ofmsg/msg0.db", 1, "messages X", 10);
	r = ask_seal(20260213);
	assert_int_equal(r.kind, REPORT_FAILED);
	assert_int_equal(r.code, ERR_DIFFERS);
	assert_int_equal(r.n_doubtful, 1);
	assert_string_equal(r.doubtful[0], "ofmsg/msg0.db");
	assert_int_equal(stage_count(&st, "backups/weeknow"), 0);
	report_fini(&r);
}

static void
unknown_things_are_refused(void **state)
{
	static const char *const profiles[] = {"po2", "../po1", ".", "", "po1/state"};
	struct order order = {.id = 1, .kind = ORDER_VERIFY, .profile = po1, .set = latest};
	struct report r = ask(&order);

	(void)state;
	assert_int_equal(r.code, ERR_NOTFOUND);
	report_fini(&r);
	for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
		order = (struct order){.id = 2 + i, .kind = ORDER_SETS, .profile = (char *)(uintptr_t)profiles[i]};
		r = ask(&order);
		assert_int_equal(r.kind, REPORT_FAILED);
		assert_int_equal(r.code, ERR_NOTFOUND);
		report_fini(&r);
	}
	order = (struct order){.id = 50, .kind = ORDER_STOP, .profile = po1, .target = 4711};
	r = ask(&order);
	assert_int_equal(r.code, ERR_NOTFOUND);
	report_fini(&r);
}

static void
a_stop_reaches_what_waits_and_what_runs(void **state)
{
	struct order stop = {.id = 600, .kind = ORDER_STOP, .profile = po1};
	struct order o;
	struct report r;

	(void)state;
	stage_t0(&st);
	o = stage_order(&st, 20260213);
	stage_index(&st, false);
	o.id = 500;
	order_send(&o);
	stop.target = 500;
	order_send(&stop);
	/* either the stop came in time, or the set was there already; never anything between */
	for (int ends = 0; ends < 2;) {
		r = next_report();
		if (r.id == 500 && r.kind == REPORT_FAILED) {
			assert_int_equal(r.code, ERR_STOPPED);
			assert_int_equal(stage_count(&st, "backups/weeknow"), 0);
			assert_int_equal(stage_count(&st, "backups/creating"), 0);
		}
		ends += (r.id == 500 || r.id == 600) && (r.kind == REPORT_DONE || r.kind == REPORT_FAILED);
		report_fini(&r);
	}
	order_fini(&o);
}

static void
the_end_of_the_receiver_is_the_end(void **state)
{
	struct order o;

	(void)state;
	stage_t0(&st);
	o = stage_order(&st, 20260213);
	stage_index(&st, false);
	order_send(&o);
	close(sock);
	sock = -1;
	while (!ended)
		event_base_loop(base, EVLOOP_ONCE);
	keeper_free(keeper);
	keeper = NULL;
	/* the seal was stopped, or had just been done */
	assert_int_equal(stage_count(&st, "backups/creating"), 0);
	order_fini(&o);
}

static void
configure(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Whoever gives orders may be somebody else than he should be. */
static uint32_t
sets_after_a_seal_that_keeps_for_a_day(uint32_t date)
{
	struct order o;
	struct report r;

	stage_t0(&st);
	o = stage_order(&st, date);
	o.id += 100;
	o.keep_days = 1;
	stage_index(&st, false);
	r = ask(&o);
	assert_int_equal(r.kind, REPORT_DONE);
	report_fini(&r);
	order_fini(&o);
	return (uint32_t)stage_count(&st, "backups/weeknow");
}

static void
an_order_cannot_shorten_how_long_sets_are_kept(void **state)
{
	const int64_t month_ago = clock_wall_ns() - 30ll * 86400 * 1000000000;
	struct keeper_setup setup = {.store = st.scratch.path, .ended = on_ended};
	char file[300];
	int pair[2];

	(void)state;
	keeper_free(keeper);
	for (uint32_t day = 1; day <= 4; day++) {
		struct set_row set = stage_seal(&st, 20260200 + day);

		set.t0_ns = set.sealed_ns = month_ago;
		good(catalogue_put_set(st.vault->catalogue, &set));
		set_row_fini(&set);
	}
	stage_vault(&st, false);
	snprintf(file, sizeof file, "%s/server.conf", st.scratch.path);
	configure(file, "[profile \"" PROFILE "\"]\nkeep-days = 60\n");
	close(sock);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	sock = pair[0];
	setup.config = file;
	setup.fd = pair[1];
	good(keeper_new(base, &setup, &keeper));
	assert_int_equal(sets_after_a_seal_that_keeps_for_a_day(20260213), 5);
	configure(file, "this is no configuration\n");
	assert_int_equal(sets_after_a_seal_that_keeps_for_a_day(20260214), 6);
	configure(file, "[profile \"" PROFILE "\"]\nkeep-days = 14\n");
	assert_int_equal(sets_after_a_seal_that_keeps_for_a_day(20260215), 3);
	keeper_free(keeper); /* the configuration is borrowed */
	keeper = NULL;
}

static void
what_else_lies_in_the_store_is_no_profile(void **state)
{
	struct order order = {.id = 7, .kind = ORDER_SETS, .profile = (char *)(uintptr_t)"restored"};
	struct report r;

	(void)state;
	close(fsio_make_dirs(st.scratch.fd, "restored/ofuser", false));
	good(find_profiles(keeper));
	assert_non_null(shelf_find(keeper, PROFILE));
	assert_null(shelf_find(keeper, "restored"));
	/* A new profile is one that is asked for. */
	order_send(&order);
	r = answer(7, NULL);
	assert_int_equal(r.kind, REPORT_DONE);
	report_fini(&r);
}

static void
garbage_is_the_end(void **state)
{
	uint32_t huge = UINT32_MAX;

	(void)state;
	assert_int_equal(write(sock, &huge, 4), 4);
	while (!ended)
		event_base_loop(base, EVLOOP_ONCE);
}

static void
a_listing_longer_than_every_buffer_arrives(void **state)
{
	struct order order = {.id = 901, .kind = ORDER_SHOW, .profile = po1, .set = latest, .page = UINT32_MAX};
	struct report r;
	size_t lines;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		char path[300];

		snprintf(path, sizeof path, "ofviews/%0200d.view", i);
		stage_put(&st, path, "v");
	}
	r = ask_seal(20260213);
	assert_int_equal(r.kind, REPORT_DONE);
	report_fini(&r);
	order_send(&order);
	r = answer(901, &lines);
	assert_int_equal(lines, 15 + 1 + 3000);
	report_fini(&r);
}

int
main(void)
{
	log_set_level(LOG_ERROR);
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_seal_is_done_then_listed_shown_verified_and_restored),
		T(pages_of_any_size_make_the_same_list),
		T(a_list_does_not_go_on_where_none_has_ended),
		T(a_scrub_follows_a_seal_by_itself),
		T(a_failed_seal_names_the_doubtful),
		T(unknown_things_are_refused),
		T(a_stop_reaches_what_waits_and_what_runs),
		T(the_end_of_the_receiver_is_the_end),
		T(an_order_cannot_shorten_how_long_sets_are_kept),
		T(what_else_lies_in_the_store_is_no_profile),
		T(garbage_is_the_end),
		T(a_listing_longer_than_every_buffer_arrives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
