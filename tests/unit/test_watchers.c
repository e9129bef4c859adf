/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watchers - a burst of changes is told while it lasts, and nothing to a client that does not listen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "control/api.h"
#include "control/watchers.h"
#include "tests/unit/api_rig.h"

static struct watchers *watchers;
static char large[300000]; /* more than a socket takes at once */
static unsigned told;
static unsigned looked_up;

/* The directory service of the host, which may hang. */
struct passwd *
getpwuid(uid_t uid)
{
	static struct passwd somebody;

	(void)uid;
	looked_up++;
	somebody.pw_name = (char *)(uintptr_t)"somebody";
	return &somebody;
}

static json_t *
tell(const char *profile, void *arg)
{
	(void)profile, (void)arg;
	told++;
	return json_pack("{s:s}", "text", large);
}

static void
on_watch(struct api_request *req, void *arg)
{
	(void)arg;
	watchers_add(watchers, req, "");
}

static void
on_order(struct api_request *req, void *arg)
{
	(void)arg;
	assert_string_equal(api_who(req), "user somebody");
	assert_string_equal(api_who(req), "user somebody");
	api_reply(req, json_object());
}

static const struct api_route routes[] = {{"GET", "/v1/status", on_watch}, {"POST", "/v1/order", on_order}, {0}};

static int
begin(void **state)
{
	(void)state;
	told = looked_up = 0;
	rig_open();
	assert_int_equal(watchers_new(base, tell, NULL, &watchers), 0);
	rig_ask(routes, "/v1/status");
	assert_int_equal(told, 1);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	rig_end();
	watchers_free(watchers);
	rig_close();
	return 0;
}

static void
on_change(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	watchers_changed(watchers);
}

/* Changes every 20 ms for `ms`. */
static void
burst(long ms)
{
	static const struct timeval often = {0, 20000};
	const struct timeval last = {ms / 1000, ms % 1000 * 1000};
	struct event *change = event_new(base, -1, EV_PERSIST, on_change, NULL);

	event_add(change, &often);
	event_base_loopexit(base, &last);
	event_base_dispatch(base);
	event_free(change);
}

static void
a_burst_is_told_while_it_lasts(void **state)
{
	(void)state;
	burst(1400);
	assert_in_range(told, 1 + 2, 1 + 6); /* before the line that an idle stream gets */
}

static void
a_client_that_does_not_read_is_told_one_line_and_later_the_newest(void **state)
{
	static char bytes[1u << 20];

	(void)state;
	memset(large, 'x', sizeof large - 1);
	burst(1400);
	assert_int_equal(told, 1 + 1);
	while (read(client, bytes, sizeof bytes) > 0)
		turn();
	burst(400);
	assert_int_equal(told, 1 + 2);
	large[0] = '\0';
}

static void
who_asks_is_looked_up_for_what_keeps_the_name_and_for_nothing_else(void **state)
{
	static const char order[] = "POST /v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
	struct sockaddr_un address;
	socklen_t len = sizeof address;

	(void)state;
	assert_int_equal(looked_up, 0);
	assert_int_equal(getpeername(client, (struct sockaddr *)&address, &len), 0);
	close(client);
	turn();
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(write(client, order, sizeof order - 1), sizeof order - 1);
	turn();
	assert_int_equal(looked_up, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_burst_is_told_while_it_lasts, begin, end),
		cmocka_unit_test_setup_teardown(a_client_that_does_not_read_is_told_one_line_and_later_the_newest, begin, end),
		cmocka_unit_test_setup_teardown(who_asks_is_looked_up_for_what_keeps_the_name_and_for_nothing_else, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
