/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source_inotify - the real kernel and the real library: each fact that the source relies on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


#include "base/err.h"
#include "tests/lib/scratch.h"
#include "watcher/source.h"

static struct scratch scratch;
static struct source *s;

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	return source_inotify_open(&s);
}

static int
teardown(void **state)
{
	(void)state;
	if (s)
		s->close(s);
	s = NULL;
	scratch_close(&scratch);
	return 0;
}

static const char *
at(const char *name)
{
	static char paths[4][256];
	static int turn;

	return scratch_path(&scratch, name, paths[turn++ % 4]);
}

static void
make_dir(const char *name)
{
	assert_int_equal(mkdirat(scratch.fd, name, 0700), 0);
}

static void
write_file(const char *name)
{
	int fd = openat(scratch.fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static int
watch(const char *name, enum layout_watch interest)
{
	int wd = s->add(s, *name ? at(name) : scratch.path, interest);

	assert_true(wd >= 0);
	return wd;
}

/* The next event as "what watch name"; "" = nothing waits. */
static const char *
next(void)
{
	static const char *const words[] = {"?", "created", "written", "from", "to", "deleted", "attributes", "gone", "unmounted",
	    "forgotten", "overflow"};
	static char text[400];
	struct source_event e;
	int got = s->next(s, &e);

	assert_true(got >= 0);
	if (!got)
		return "";
	snprintf(text, sizeof text, "%s%s %d %s", words[e.what], e.is_dir ? "/" : "", e.watch, e.name);
	return text;
}

static void
expect(const char *what, int wd, const char *name)
{
	char text[400];

	snprintf(text, sizeof text, "%s %d %s", what, wd, name);
	assert_string_equal(next(), text);
}

/* ---- the contract ---- */

static void
a_file_is_created_and_written(void **state)
{
	int wd;

	(void)state;
	make_dir("d");
	wd = watch("d", LAYOUT_WATCH_BLOB);
	assert_string_equal(next(), "");
	write_file("d/a");
	expect("created", wd, "a");
	expect("written", wd, "a");
	assert_int_equal(unlinkat(scratch.fd, "d/a", 0), 0);
	expect("deleted", wd, "a");
	assert_string_equal(next(), "");
}

static void
a_move_is_seen_at_both_ends_with_one_cookie(void **state)
{
	struct source_event from, to;
	int a, b;

	(void)state;
	make_dir("a");
	make_dir("b");
	make_dir("a/sub");
	a = watch("a", LAYOUT_WATCH_BLOB);
	b = watch("b", LAYOUT_WATCH_BLOB);
	assert_int_equal(renameat(scratch.fd, "a/sub", scratch.fd, "b/other"), 0);
	assert_int_equal(s->next(s, &from), 1);
	assert_int_equal(from.what, SOURCE_MOVED_FROM);
	assert_true(from.is_dir && from.watch == a);
	uint32_t cookie = from.cookie;
	assert_int_equal(s->next(s, &to), 1);
	assert_int_equal(to.what, SOURCE_MOVED_TO);
	assert_true(to.is_dir && to.watch == b && to.cookie == cookie && cookie != 0);
}

static void
writes_to_a_file_raise_nothing_until_it_is_closed(void **state)
{
	int wd, fd;

	(void)state;
	make_dir("d");
	write_file("d/hot");
	wd = watch("d", LAYOUT_WATCH_INDEX);
	fd = openat(scratch.fd, "d/hot", O_WRONLY | O_CLOEXEC);
	for (int i = 0; i < 100; i++)
		assert_int_equal(pwrite(fd, "y", 1, i), 1);
	assert_string_equal(next(), "");
	close(fd);
	expect("written", wd, "hot");
}

static void
where_only_names_count_a_write_is_silent(void **state)
{
	int wd;

	(void)state;
	wd = watch("", LAYOUT_WATCH_NAMES);
	write_file("a");
	expect("created", wd, "a");
	write_file("a");
	assert_string_equal(next(), "");
	make_dir("d");
	expect("created/", wd, "d");
}

static void
the_same_directory_twice_is_the_same_number(void **state)
{
	(void)state;
	make_dir("d");
	assert_int_equal(watch("d", LAYOUT_WATCH_BLOB), watch("d", LAYOUT_WATCH_BLOB));
}

static void
a_slash_at_the_end_is_no_other_directory(void **state)
{
	(void)state;
	make_dir("d");
	assert_int_equal(watch("d", LAYOUT_WATCH_BLOB), watch("d/", LAYOUT_WATCH_BLOB));
}

static void
what_is_no_directory_or_not_there_is_gone(void **state)
{
	(void)state;
	write_file("file");
	assert_int_equal(s->add(s, at("file"), LAYOUT_WATCH_BLOB), -ERR_GONE);
	assert_int_equal(s->add(s, at("nothing"), LAYOUT_WATCH_BLOB), -ERR_GONE);
}

static void
a_link_to_a_directory_is_not_watched(void **state)
{
	(void)state;
	make_dir("d");
	assert_int_equal(symlinkat("d", scratch.fd, "link"), 0);
	assert_true(s->add(s, at("link"), LAYOUT_WATCH_BLOB) < 0);
}

static void
names_are_bytes(void **state)
{
	static const char odd[] = "new\nline \xff\xfe %s ";
	char dir[64], file[128];
	int wd;

	(void)state;
	snprintf(dir, sizeof dir, "d%s", odd);
	make_dir(dir);
	wd = watch(dir, LAYOUT_WATCH_BLOB);
	snprintf(file, sizeof file, "%s/%s", dir, odd);
	write_file(file);
	expect("created", wd, odd);
}

static void
a_name_of_255_bytes_comes_whole(void **state)
{
	char name[256], path[300];
	int wd;

	(void)state;
	memset(name, 'n', 255);
	name[255] = '\0';
	make_dir("d");
	wd = watch("d", LAYOUT_WATCH_BLOB);
	snprintf(path, sizeof path, "d/%s", name);
	write_file(path);
	expect("created", wd, name);
}

/* ---- the library's and the kernel's ways ---- */

static void
a_directory_deleted_and_made_again_is_watched_again(void **state)
{
	int old, new;

	(void)state;
	make_dir("d");
	old = watch("d", LAYOUT_WATCH_BLOB);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(unlinkat(scratch.fd, "d", AT_REMOVEDIR), 0);
		expect("gone", old, "");
		expect("forgotten", old, "");
		make_dir("d");
		new = watch("d", LAYOUT_WATCH_BLOB);
		assert_true(new > old);
		write_file("d/x");
		expect("created", new, "x");
		expect("written", new, "x");
		assert_int_equal(unlinkat(scratch.fd, "d/x", 0), 0);
		expect("deleted", new, "x");
		old = new;
	}
}

static void
a_removed_watch_is_forgotten_and_its_directory_can_be_watched_again(void **state)
{
	int old, new;

	(void)state;
	make_dir("d");
	old = watch("d", LAYOUT_WATCH_BLOB);
	s->remove(s, old);
	expect("forgotten", old, "");
	write_file("d/unseen");
	assert_string_equal(next(), "");
	new = watch("d", LAYOUT_WATCH_BLOB);
	assert_true(new > old);
	write_file("d/seen");
	expect("created", new, "seen");
}

static void
removing_a_watch_that_the_kernel_forgot_does_no_harm(void **state)
{
	int wd;

	(void)state;
	make_dir("d");
	wd = watch("d", LAYOUT_WATCH_BLOB);
	assert_int_equal(unlinkat(scratch.fd, "d", AT_REMOVEDIR), 0);
	s->remove(s, wd);
	expect("gone", wd, "");
	expect("forgotten", wd, "");
	s->remove(s, wd);
	s->remove(s, 123456);
	assert_string_equal(next(), "");
}

static void
a_moved_directory_keeps_its_number_and_says_that_it_moved(void **state)
{
	int wd;

	(void)state;
	make_dir("a");
	wd = watch("a", LAYOUT_WATCH_BLOB);
	assert_int_equal(renameat(scratch.fd, "a", scratch.fd, "b"), 0);
	expect("gone", wd, "");
	assert_int_equal(watch("b", LAYOUT_WATCH_BLOB), wd);
	write_file("b/x");
	expect("created", wd, "x");
	make_dir("a");
	assert_true(watch("a", LAYOUT_WATCH_BLOB) != wd);
}

static void
the_hidden_descriptor_is_found_and_closes_on_exec(void **state)
{
	char link[64], target[64] = "";
	int fd = s->fd(s);

	(void)state;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	assert_true(readlink(link, target, sizeof target - 1) > 0);
	assert_string_equal(target, "anon_inode:inotify");
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static void
the_descriptor_is_the_new_one_beside_another_instance(void **state)
{
	int other;

	(void)state;
	s->close(s);
	s = NULL;
	other = inotify_init1(IN_CLOEXEC);
	assert_true(other >= 0);
	assert_int_equal(source_inotify_open(&s), 0);
	assert_int_not_equal(s->fd(s), other);
	close(other);
	make_dir("d");
	int wd = watch("d", LAYOUT_WATCH_BLOB);
	write_file("d/x");
	expect("created", wd, "x");
}

static void
the_descriptor_wakes_a_poll_and_draining_makes_it_quiet(void **state)
{
	struct pollfd p = {.fd = s->fd(s), .events = POLLIN};
	int wd;

	(void)state;
	make_dir("d");
	wd = watch("d", LAYOUT_WATCH_BLOB);
	assert_int_equal(poll(&p, 1, 0), 0);
	write_file("d/x");
	assert_int_equal(poll(&p, 1, 0), 1);
	expect("created", wd, "x");
	expect("written", wd, "x");
	assert_string_equal(next(), "");
	assert_int_equal(poll(&p, 1, 0), 0);
}

static void
the_library_buffers_so_poll_may_be_quiet_while_events_wait(void **state)
{
	struct pollfd p = {.fd = s->fd(s), .events = POLLIN};
	int quiet_with_events = 0, n = 0;

	(void)state;
	make_dir("d");
	watch("d", LAYOUT_WATCH_BLOB);
	for (int i = 0; i < 20; i++)
		write_file(i % 2 ? "d/a" : "d/b");
	while (*next()) {
		n++;
		quiet_with_events += n < 22 && poll(&p, 1, 0) == 0;
	}
	assert_int_equal(n, 22); /* two were created, twenty closed */
	assert_true(quiet_with_events > 0);
}

static void
what_the_buffer_holds_does_not_reach_the_next_instance(void **state)
{
	(void)state;
	make_dir("d");
	watch("d", LAYOUT_WATCH_BLOB);
	write_file("d/x");
	assert_true(*next());
	s->close(s);
	s = NULL;
	assert_int_equal(source_inotify_open(&s), 0);
	assert_string_equal(next(), "");
}

static void
asked_when_empty_it_answers_at_once(void **state)
{
	struct timespec a, b;

	(void)state;
	watch("", LAYOUT_WATCH_BLOB);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 1000; i++)
		assert_string_equal(next(), "");
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true(b.tv_sec - a.tv_sec < 5);
}

static void
a_thousand_spellings_stay_apart(void **state)
{
	int first, last;

	(void)state;
	make_dir("d");
	first = last = watch("d", LAYOUT_WATCH_BLOB);
	for (int i = 0; i < 1000; i++) {
		s->remove(s, last);
		expect("forgotten", last, "");
		last = watch("d", LAYOUT_WATCH_BLOB);
	}
	assert_true(last > first);
	write_file("d/x");
	expect("created", last, "x");
}

static void
a_path_too_long_for_a_spelling_is_a_limit(void **state)
{
	char path[4096];

	(void)state;
	memset(path, 'a', sizeof path);
	for (size_t i = 0; i < sizeof path; i += 200)
		path[i] = '/';
	path[4050] = '\0';
	assert_int_equal(s->add(s, path, LAYOUT_WATCH_BLOB), -ERR_LIMIT);
}

static void
more_events_than_the_queue_holds_are_an_overflow_and_it_goes_on(void **state)
{
	struct source_event e;
	FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	int most = 0, n = 0, overflows = 0, got, wd;

	(void)state;
	if (!limit || fscanf(limit, "%d", &most) != 1 || most > 200000) {
		if (limit)
			fclose(limit);
		skip();
	}
	fclose(limit);
	make_dir("d");
	wd = watch("d", LAYOUT_WATCH_BLOB);
	for (int i = 0; i < most / 2 + 100; i++) {
		char name[32];

		snprintf(name, sizeof name, "d/%d", i);
		write_file(name);
	}
	while ((got = s->next(s, &e)) == 1) {
		n++;
		if (e.what == SOURCE_OVERFLOW) {
			overflows++;
			assert_int_equal(e.watch, -1);
			assert_string_equal(e.name, "");
		}
	}
	assert_int_equal(got, 0);
	assert_int_equal(overflows, 1);
	assert_true(n >= most / 2);
	write_file("d/after");
	expect("created", wd, "after");
	expect("written", wd, "after");
}

static volatile sig_atomic_t signals;

static void
on_signal(int number)
{
	(void)number;
	signals++;
}

/* SIGTERM comes while the last events are drained: they are remembered all the same. */
static void
a_signal_is_no_error(void **state)
{
	const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct source_event e;
	int got = 0;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
	signals = 0;
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	while (got == 0 && signals < 2000)
		got = s->next(s, &e);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(got, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(a_file_is_created_and_written),
	    T(a_signal_is_no_error),
	    T(a_move_is_seen_at_both_ends_with_one_cookie),
	    T(writes_to_a_file_raise_nothing_until_it_is_closed),
	    T(where_only_names_count_a_write_is_silent),
	    T(the_same_directory_twice_is_the_same_number),
	    T(a_slash_at_the_end_is_no_other_directory),
	    T(what_is_no_directory_or_not_there_is_gone),
	    T(a_link_to_a_directory_is_not_watched),
	    T(names_are_bytes),
	    T(a_name_of_255_bytes_comes_whole),
	    T(a_directory_deleted_and_made_again_is_watched_again),
	    T(a_removed_watch_is_forgotten_and_its_directory_can_be_watched_again),
	    T(removing_a_watch_that_the_kernel_forgot_does_no_harm),
	    T(a_moved_directory_keeps_its_number_and_says_that_it_moved),
	    T(the_hidden_descriptor_is_found_and_closes_on_exec),
	    T(the_descriptor_is_the_new_one_beside_another_instance),
	    T(the_descriptor_wakes_a_poll_and_draining_makes_it_quiet),
	    T(the_library_buffers_so_poll_may_be_quiet_while_events_wait),
	    T(what_the_buffer_holds_does_not_reach_the_next_instance),
	    T(asked_when_empty_it_answers_at_once),
	    T(a_thousand_spellings_stay_apart),
	    T(a_path_too_long_for_a_spelling_is_a_limit),
	    T(more_events_than_the_queue_holds_are_an_overflow_and_it_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
