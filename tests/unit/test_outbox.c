/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the server may say of an operation, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/err.h"
#include "base/workpool.h"
#include "replicator/outbox.h"

static struct event_base *base;
static struct workpool *pool;
static struct outbox *outbox;
static unsigned n_settled, n_dropped;
static int last_err;
static char works[4]; /* what waits; only the addresses count */

static void
on_packed(void *arg)
{
	(void)arg;
}

static void
on_settled(struct work *work, int err, const char *text, void *arg)
{
	(void)work;
	(void)text;
	(void)arg;
	n_settled++;
	last_err = err;
}

static void
on_dropped(struct work *work, void *arg)
{
	(void)work;
	(void)arg;
	n_dropped++;
}

static const struct outbox_events events = {.packed = on_packed, .settled = on_settled, .dropped = on_dropped};

static int
set_up(void **state)
{
	(void)state;
	base = event_base_new();
	assert_int_equal(workpool_new(base, &pool), 0);
	assert_int_equal(outbox_new(pool, workpool_add_lane(pool, "pack", 1), &events, NULL, &outbox), 0);
	n_settled = n_dropped = 0;
	last_err = 1;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	outbox_free(outbox);
	workpool_free(pool);
	event_base_free(base);
	return 0;
}

static uint64_t
number(void)
{
	static unsigned next;

	return outbox_op(outbox, (struct work *)(void *)&works[next++ % 4], 0);
}

/* One message in a parcel of its own; it leaves when `take` is called. */
static void
post(const struct wire_msg *msg)
{
	struct parcel *p = parcel_new(1);

	parcel_add(p, msg);
	outbox_post(outbox, p);
}

static void
take(void)
{
	uint8_t *data;
	size_t len;
	int err;

	while (!outbox_take(outbox, &data, &len, &err))
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(err, 0);
	free(data);
}

static void
post_remove(uint64_t op)
{
	static char path[] = "offiles/fd0/a"; /* borrowed until it is packed */

	post(&(struct wire_msg){.type = WIRE_REMOVE, .u.remove = {.op = op, .path = path}});
}

static void
post_begin(uint64_t op)
{
	static char path[] = "offiles/fd0/b"; /* borrowed until it is packed */

	post(&(struct wire_msg){.type = WIRE_BEGIN, .u.begin = {.op = op, .path = path, .size = 10}});
}

static void
what_has_not_left_cannot_be_acknowledged_or_refused(void **state)
{
	uint64_t op = number();

	(void)state;
	post_remove(op);
	assert_int_equal(outbox_durable(outbox, op), -ERR_PEER);
	assert_int_equal(outbox_nak(outbox, op, -ERR_BUSY, ""), -ERR_PEER);
	assert_int_equal(outbox_durable(outbox, op + 1), -ERR_PEER);
	assert_int_equal(outbox_nak(outbox, 0, -ERR_BUSY, ""), -ERR_PEER);
	assert_int_equal(n_settled, 0);
	take();
	assert_int_equal(outbox_durable(outbox, op + 1), -ERR_PEER);
	assert_int_equal(n_settled, 0);
	assert_int_equal(outbox_durable(outbox, op), 0);
	assert_int_equal(n_settled, 1);
	assert_int_equal(last_err, 0);
	assert_int_equal(outbox_nak(outbox, op, -ERR_BUSY, ""), -ERR_PEER); /* it is over */
	assert_int_equal(n_settled, 1);
}

/* A lane reads the file meanwhile: its transfer is not the server's to end. */
static void
what_is_still_open_cannot_be_acknowledged(void **state)
{
	struct entry entry = {.kind = ENTRY_FILE, .size = 10};
	uint64_t open = number(), after;

	(void)state;
	post_begin(open);
	take();
	after = number();
	post_remove(after);
	take();
	assert_int_equal(outbox_durable(outbox, open), -ERR_PEER);
	assert_int_equal(outbox_durable(outbox, after), -ERR_PEER);
	assert_int_equal(n_settled, 0);
	post(&(struct wire_msg){.type = WIRE_END, .u.end = {.op = open, .entry = entry}});
	assert_int_equal(outbox_durable(outbox, open), -ERR_PEER); /* packed, and not yet sent */
	take();
	assert_int_equal(outbox_durable(outbox, after), 0);
	assert_int_equal(n_settled, 2);
}

static void
what_is_open_can_be_refused_and_is_over_with_its_abort(void **state)
{
	uint64_t open = number();

	(void)state;
	post_begin(open);
	take();
	assert_int_equal(outbox_nak(outbox, open, -ERR_BUSY, ""), 0);
	assert_int_equal(outbox_nak(outbox, open, -ERR_BUSY, ""), 0); /* told already */
	assert_int_equal(n_settled, 1);
	assert_int_equal(last_err, -ERR_BUSY);
	assert_int_equal(outbox_durable(outbox, open), -ERR_PEER);
	post(&(struct wire_msg){.type = WIRE_ABORT, .u.abort = {.op = open}});
	take();
	assert_int_equal(outbox_durable(outbox, open), 0);
	assert_int_equal(n_settled, 1);
}

static void
a_new_connection_knows_nothing_of_the_numbers_before(void **state)
{
	uint64_t op = number();

	(void)state;
	post_remove(op);
	take();
	outbox_reset(outbox);
	assert_int_equal(n_dropped, 1);
	assert_int_equal(outbox_durable(outbox, op), -ERR_PEER);
	assert_int_equal(outbox_durable(outbox, 0), 0);
	assert_int_equal(n_settled, 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_has_not_left_cannot_be_acknowledged_or_refused),
		TEST(what_is_still_open_cannot_be_acknowledged),
		TEST(what_is_open_can_be_refused_and_is_over_with_its_abort),
		TEST(a_new_connection_knows_nothing_of_the_numbers_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
