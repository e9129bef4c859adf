/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watcher_link - the living watcher is found, one that serves something else is replaced, and nothing it says can hurt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/config.h"
#include "collector/watcher_link.h"
#include "tests/lib/scratch.h"

/* The watcher's side, played by hand. */
static struct scratch scratch;
static struct event_base *base;
static struct conf *conf;
static struct watcher_link *l;
static char file[256], socket_path[256], *fingerprint;
static int listener, peer;
static unsigned pokes, changes;

static void
on_poke(void *arg)
{
	(void)arg;
	pokes++;
}

static void
on_changed(void *arg)
{
	(void)arg;
	changes++;
}

static const struct watcher_link_events events = {.poke = on_poke, .changed = on_changed};

static void
turn(void)
{
	event_base_loop(base, EVLOOP_ONCE);
}

static void
listen_there(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert_true(strlen(socket_path) < sizeof address.sun_path);
	strcpy(address.sun_path, socket_path);
	unlink(socket_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 4), 0);
}

static void
accept_it(void)
{
	while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0)
		turn();
}

static void
say(const char *text)
{
	assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The line that comes next, without its end. */
static const char *
hear(void)
{
	static char line[64];
	size_t n = 0;

	while (n + 1 < sizeof line) {
		ssize_t got = recv(peer, line + n, 1, MSG_DONTWAIT);

		if (got == 0)
			break;
		if (got < 0)
			turn();
		else if (line[n++] == '\n')
			break;
	}
	line[n ? n - 1 : 0] = '\0';
	return line;
}

static struct watcher_link_status
status(void)
{
	struct watcher_link_status s;

	watcher_link_status(l, &s);
	return s;
}

static void
greet(const char *who)
{
	char line[128];

	snprintf(line, sizeof line, "tidemark-watcher 1 4711 %s\n", who);
	say(line);
}

static int
setup(void **state)
{
	char path[256];
	FILE *f;

	(void)state;
	log_set_level(LOG_ERROR);
	scratch_open(&scratch);
	f = fopen(scratch_path(&scratch, "collector.conf", file), "w");
	fprintf(f, "[collector]\nserver = 127.0.0.1:1\nstate = %s/state\nrun-dir = %s\n[profile \"po1\"]\npath = %s/po\n", scratch.path, scratch.path,
	    scratch_path(&scratch, "", path));
	fclose(f);
	scratch_path(&scratch, "watcher-po1.sock", socket_path);
	base = event_base_new();
	if (!base || collector_config_load(file, &conf) != 0)
		return -1;
	fingerprint = watcher_fingerprint(conf, "po1");
	listen_there();
	pokes = changes = 0;
	return watcher_link_new(base, conf, file, "po1", &events, NULL, &l);
}

static int
teardown(void **state)
{
	(void)state;
	watcher_link_free(l);
	close(peer);
	close(listener);
	free(fingerprint);
	conf_free(conf);
	event_base_free(base);
	scratch_close(&scratch);
	return 0;
}

static void
a_living_watcher_is_found_and_heard(void **state)
{
	(void)state;
	accept_it();
	assert_false(status().up);
	greet(fingerprint);
	assert_string_equal(hear(), "status");
	assert_true(status().up);
	assert_int_equal(pokes, 1); /* for what came while nobody listened */
	say("poke 17\npo");
	while (pokes < 2)
		turn();
	say("ke 18\nstatus directories=7 unwatched=2 events=9 overflows=1 rescans=3 root=gone since=1770999000\n");
	while (!status().root_gone)
		turn();
	assert_int_equal(pokes, 3);
	assert_int_equal(status().directories, 7);
	assert_int_equal(status().unwatched, 2);
	assert_int_equal(status().overflows, 1);
	assert_int_equal(status().since_s, 1770999000);
}

static void
a_watcher_of_another_configuration_is_told_to_end(void **state)
{
	(void)state;
	accept_it();
	greet("0123456789abcdef0123456789abcdef");
	assert_string_equal(hear(), "quit");
	assert_string_equal(hear(), ""); /* and hung up on */
	assert_false(status().up);
	close(peer);
	accept_it();
	greet(fingerprint);
	assert_string_equal(hear(), "status");
	assert_true(status().up);
	watcher_link_replace(l);
	assert_string_equal(hear(), "quit");
	assert_false(status().up);
}

static void
a_watcher_that_ends_is_noticed_and_found_again(void **state)
{
	(void)state;
	accept_it();
	greet(fingerprint);
	while (!status().up)
		turn();
	changes = 0;
	close(peer);
	while (status().up)
		turn();
	assert_true(changes > 0);
	accept_it();
	greet(fingerprint);
	while (!status().up)
		turn();
}

static void
what_is_no_watcher_is_not_believed(void **state)
{
	char long_line[2000];

	(void)state;
	accept_it();
	say("HTTP/1.1 400 Bad Request\r\n");
	assert_string_equal(hear(), "");
	assert_false(status().up);
	close(peer);
	accept_it();
	greet(fingerprint);
	while (!status().up)
		turn();
	assert_string_equal(hear(), "status");
	memset(long_line, 'x', sizeof long_line);
	memcpy(long_line + sizeof long_line - 9, "\npoke 1\n", 9);
	say(long_line);
	while (pokes < 2)
		turn();
	say("status directories=many\n\npoke 2\n");
	while (pokes < 3)
		turn();
	assert_true(status().up);
	assert_int_equal(status().directories, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_living_watcher_is_found_and_heard),
		TEST(a_watcher_of_another_configuration_is_told_to_end),
		TEST(a_watcher_that_ends_is_noticed_and_found_again),
		TEST(what_is_no_watcher_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
