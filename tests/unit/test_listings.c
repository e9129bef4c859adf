/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listings - a client that does not read is asked for no second page, and one that leaves ends the asking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "control/api.h"
#include "control/listings.h"
#include "tests/unit/api_rig.h"
#include "wire/entry.h"

#define PAGES 5u
#define NAMES 4000u /* a page of them is more than a socket takes at once */

static struct listings *listings;
static struct listing_stream *held; /* asked for a page, and not answered yet */
static unsigned asked;
static char set_asked[64], after_asked[64];

static void
on_ask(const char *profile, const char *set, const char *after, struct listing_stream *l, void *arg)
{
	(void)arg;
	assert_string_equal(profile, "po1");
	snprintf(set_asked, sizeof set_asked, "%s", set);
	snprintf(after_asked, sizeof after_asked, "%s", after);
	held = l;
	asked++;
}

static void
on_show(struct api_request *req, void *arg)
{
	(void)arg;
	listings_begin(listings, req);
}

static const struct api_route routes[] = {{"GET", "/v1/profiles/{}/sets/{}", on_show}, {0}};

static void
answer(const char *next)
{
	struct listing_stream *l = held;
	char path[128];

	held = NULL;
	for (unsigned i = 0; i < NAMES; i++) {
		snprintf(path, sizeof path, "offiles/fd0/%0100u", i);
		listings_name(l, path, ENTRY_FILE, 0640, i, 1);
	}
	listings_page(l, 0, "", json_pack("{s:s}", "name", "tuenov24"), next);
	turn();
}

static int
begin(void **state)
{
	(void)state;
	asked = 0;
	held = NULL;
	rig_open();
	assert_int_equal(listings_new(on_ask, NULL, &listings), 0);
	rig_ask(routes, "/v1/profiles/po1/sets/latest");
	assert_int_equal(asked, 1);
	assert_string_equal(set_asked, "latest");
	return 0;
}

static int
end(void **state)
{
	(void)state;
	rig_end();
	listings_free(listings);
	rig_close();
	return 0;
}

/* Reads what is there; how often `word` begins in it.  No word of ours is cut twice. */
static size_t
read_all(const char *word)
{
	static char bytes[4u << 20];
	size_t len = 0, n = 0;
	ssize_t got;

	do {
		got = read(client, bytes + len, sizeof bytes - 1 - len);
		len += got > 0 ? (size_t)got : 0;
		turn();
	} while (got > 0);
	bytes[len] = '\0';
	for (const char *at = bytes; (at = strstr(at, word)); at++)
		n++;
	return n;
}

static void
a_client_that_does_not_read_is_told_one_page_and_no_more(void **state)
{
	(void)state;
	answer("1");
	assert_int_equal(asked, 1);
	assert_null(held);
	assert_int_equal(read_all("\"type\":\"entry\""), NAMES);
	assert_int_equal(asked, 2);
	assert_string_equal(after_asked, "1");
	assert_string_equal(set_asked, "tuenov24");
}

static void
one_that_reads_gets_every_page_and_the_set_last(void **state)
{
	size_t names = 0;
	char next[8];

	(void)state;
	for (unsigned i = 1; i < PAGES; i++) {
		snprintf(next, sizeof next, "%u", i);
		answer(next);
		names += read_all("\"type\":\"entry\"");
	}
	assert_int_equal(names, NAMES * (PAGES - 1));
	assert_int_equal(asked, PAGES);
	answer("");
	assert_int_equal(read_all("\"type\":\"done\""), 1);
	assert_int_equal(asked, PAGES);
}

static void
a_client_that_left_is_asked_for_nothing_more(void **state)
{
	(void)state;
	close(client);
	client = -1;
	turn();
	answer("1");
	assert_int_equal(asked, 1);
}

static void
one_that_leaves_with_a_page_half_taken_as_little(void **state)
{
	(void)state;
	answer("1");
	close(client);
	client = -1;
	turn();
	assert_int_equal(asked, 1);
}

static void
what_cannot_be_told_ends_the_stream_with_the_reason(void **state)
{
	(void)state;
	listings_page(held, -ERR_NOTFOUND, "no such set", NULL, "");
	turn();
	assert_int_equal(read_all("\"text\":\"no such set\""), 1);
	assert_int_equal(asked, 1);
}

static void *
no_memory(size_t n)
{
	(void)n;
	return NULL;
}

/* A page was taken, and for the next there is no memory. */
static void
ask_without_memory(void)
{
	answer("1");
	json_set_alloc_funcs(no_memory, free);
	read_all("entry");
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(asked, 2);
}

static void
a_page_without_memory_is_no_empty_one(void **state)
{
	(void)state;
	ask_without_memory();
	answer("2");
	assert_int_equal(read_all("\"text\":\"out of memory"), 1);
	assert_int_equal(asked, 2);
}

static void
one_that_leaves_while_there_is_no_memory_is_asked_for_nothing_more(void **state)
{
	(void)state;
	ask_without_memory();
	close(client);
	client = -1;
	turn();
	listings_page(held, -ERR_NOTFOUND, "no such set", NULL, "");
	assert_int_equal(asked, 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_client_that_does_not_read_is_told_one_page_and_no_more),
		T(one_that_reads_gets_every_page_and_the_set_last),
		T(a_client_that_left_is_asked_for_nothing_more),
		T(one_that_leaves_with_a_page_half_taken_as_little),
		T(what_cannot_be_told_ends_the_stream_with_the_reason),
		T(a_page_without_memory_is_no_empty_one),
		T(one_that_leaves_while_there_is_no_memory_is_asked_for_nothing_more),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemons do */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
