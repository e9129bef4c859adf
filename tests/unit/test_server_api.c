/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_api - what a client that has stopped reading is told, and how much of it waits in our memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "src/control/server_api.c" /* its events are called by a keeper */

#include "tests/unit/api_rig.h"

#define FINDINGS 60000u

static struct server_api owner;
static struct asking *asking;

static void
on_order(struct api_request *req, void *arg)
{
	(void)arg;
	asking = asking_begin(&owner, req, false);
	asking_given(asking, 1);
}

static const struct api_route one[] = {{"GET", "/v1/verify", on_order}, {0}};

static int
begin(void **state)
{
	(void)state;
	asking = NULL;
	rig_open();
	rig_ask(one, "/v1/verify");
	assert_non_null(asking);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	rig_end();
	rig_close();
	return 0;
}

static void
find_differences(void)
{
	char path[300];

	for (unsigned i = 0; i < FINDINGS; i++) {
		snprintf(path, sizeof path, "offiles/fd0/%0200u", i);
		order_finding(path, "is missing", asking);
	}
}

/* Reads what is there, and more as it comes; how many differences are told, and what at the end. */
static unsigned
read_all(char *ret_end, size_t size)
{
	static char bytes[32u << 20];
	size_t len = 0;
	unsigned n = 0;
	ssize_t got;

	do {
		got = read(client, bytes + len, sizeof bytes - 1 - len);
		len += got > 0 ? (size_t)got : 0;
		turn();
	} while (got > 0);
	bytes[len] = '\0';
	for (const char *at = bytes; (at = strstr(at, "\"difference\"")); at++)
		n++;
	const char *error = strstr(bytes, "\"error\"");
	snprintf(ret_end, size, "%s", error ? error : "");
	return n;
}

static void
what_a_client_does_not_read_does_not_fill_our_memory_and_is_counted(void **state)
{
	char said[1024], rest[64];
	unsigned n;

	(void)state;
	find_differences();
	order_done(-ERR_DIFFERS, "60000 difference(s)", NULL, 0, asking);
	n = read_all(said, sizeof said);
	assert_in_range(n, 1, (8u << 20) / 200);
	snprintf(rest, sizeof rest, "60000 difference(s); %u findings are not listed", FINDINGS - n);
	assert_non_null(strstr(said, rest));
}

static void
one_that_reads_is_told_all(void **state)
{
	char said[1024];
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		order_finding("offiles/fd0/aaa", "is missing", asking);
	order_done(-ERR_DIFFERS, "100 difference(s)", NULL, 0, asking);
	n = read_all(said, sizeof said);
	assert_int_equal(n, 100);
	assert_non_null(strstr(said, "100 difference(s)\""));
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_a_client_does_not_read_does_not_fill_our_memory_and_is_counted),
		T(one_that_reads_is_told_all),
	};

	return cmocka_run_group_tests_name("server_api", tests, NULL, NULL);
}
