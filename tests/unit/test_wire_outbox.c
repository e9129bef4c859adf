/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes next, and when: with a clock that the test turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/wire/wire_outbox.c"

#define MS INT64_C(1000000)

static void
add(struct wire_outbox *o, enum wire_class class, char name, size_t len)
{
	uint8_t *data = malloc(len);

	memset(data, name, len);
	assert_true(wire_outbox_add(o, class, data, len));
}

/* The frame that goes next, in pieces of `step`; 0 when none may go. */
static char
take(struct wire_outbox *o, int64_t now, size_t step)
{
	char name = 0;
	const uint8_t *at;
	int64_t wait;
	size_t len;

	do {
		at = wire_outbox_next(o, now, &len, &wait);
		if (!at)
			return 0;
		name = (char)*at;
		wire_outbox_sent(o, step < len ? step : len);
	} while (o->sending);
	return name;
}

static void
control_goes_before_data_in_order(void **state)
{
	struct wire_outbox o = {0};

	(void)state;
	add(&o, WIRE_DATA, 'a', 10);
	add(&o, WIRE_DATA, 'b', 10);
	add(&o, WIRE_CONTROL, 'c', 10);
	add(&o, WIRE_CONTROL, 'd', 10);
	assert_int_equal(take(&o, 0, 3), 'c');
	assert_int_equal(take(&o, 0, 10), 'd');
	assert_int_equal(take(&o, 0, 7), 'a');
	assert_int_equal(take(&o, 0, 1), 'b');
	assert_int_equal(take(&o, 0, 1), 0);
}

static void
a_frame_that_was_begun_is_finished_first(void **state)
{
	struct wire_outbox o = {0};
	int64_t wait;
	size_t len;

	(void)state;
	add(&o, WIRE_DATA, 'a', 10);
	assert_int_equal(*wire_outbox_next(&o, 0, &len, &wait), 'a');
	wire_outbox_sent(&o, 4);
	add(&o, WIRE_CONTROL, 'c', 10);
	assert_int_equal(*wire_outbox_next(&o, 0, &len, &wait), 'a');
	assert_int_equal(len, 6);
	wire_outbox_drop_data(&o);
	assert_int_equal(wire_outbox_bytes(&o, WIRE_DATA), 6);
	wire_outbox_sent(&o, 6);
	assert_int_equal(take(&o, 0, 10), 'c');
	assert_int_equal(wire_outbox_bytes(&o, WIRE_DATA) + wire_outbox_bytes(&o, WIRE_CONTROL), 0);
}

static void
what_waits_is_counted_and_cleared(void **state)
{
	struct wire_outbox o = {0};
	int64_t wait;
	size_t len;

	(void)state;
	add(&o, WIRE_DATA, 'a', 10);
	add(&o, WIRE_DATA, 'b', 20);
	add(&o, WIRE_CONTROL, 'c', 5);
	assert_int_equal(wire_outbox_bytes(&o, WIRE_DATA), 30);
	assert_int_equal(wire_outbox_bytes(&o, WIRE_CONTROL), 5);
	wire_outbox_next(&o, 0, &len, &wait);
	wire_outbox_sent(&o, 2);
	assert_int_equal(wire_outbox_bytes(&o, WIRE_CONTROL), 3);
	wire_outbox_clear(&o);
	assert_int_equal(wire_outbox_bytes(&o, WIRE_DATA), 0);
	assert_int_equal(take(&o, 0, 1), 0);
}

/* At every rate and frame size the average over a simulated time is the rate, and control never waits. */
static void
the_rate_holds_on_average(void **state)
{
	static const uint64_t rates[] = {1000, 65536, 20 << 20, UINT64_C(3) << 30};
	static const size_t sizes[] = {100, 70000, 512 << 10};

	(void)state;
	for (size_t r = 0; r < sizeof rates / sizeof *rates; r++)
		for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
			struct wire_outbox o = {0};
			int64_t now = 5 * MS;
			double took, want = 199.0 * (double)sizes[s] / (double)rates[r];

			wire_outbox_set_rate(&o, rates[r], now);
			for (int i = 0; i < 200; i++) {
				int64_t wait = 0;
				size_t len;

				add(&o, WIRE_DATA, 'a', sizes[s]);
				while (!wire_outbox_next(&o, now, &len, &wait)) {
					add(&o, WIRE_CONTROL, 'c', 1);
					assert_int_equal(take(&o, now, 1), 'c');
					now += wait;
				}
				wire_outbox_sent(&o, len);
			}
			took = (double)(now - 5 * MS) / 1e9;
			assert_true(took > want * 0.99 - 0.11 && took < want * 1.01 + 0.001);
		}
}

static void
a_rate_that_was_lifted_or_raised_counts_at_once(void **state)
{
	struct wire_outbox o = {0};
	int64_t wait;
	size_t len;

	(void)state;
	wire_outbox_set_rate(&o, 1000, 0);
	add(&o, WIRE_DATA, 'a', 1000000);
	add(&o, WIRE_DATA, 'b', 10);
	assert_int_equal(take(&o, 0, 1000000), 'a');
	assert_null(wire_outbox_next(&o, 0, &len, &wait));
	assert_in_range(wait, 999 * 1000 * MS, 1001 * 1000 * MS);
	wire_outbox_set_rate(&o, 0, 0);
	assert_int_equal(take(&o, 0, 10), 'b');
}

static void
idle_time_buys_no_burst(void **state)
{
	struct wire_outbox o = {0};
	int sent = 0;

	(void)state;
	wire_outbox_set_rate(&o, 1000, 0);
	add(&o, WIRE_DATA, 'a', 100);
	assert_int_equal(take(&o, 0, 100), 'a');
	for (int i = 0; i < 20; i++)
		add(&o, WIRE_DATA, 'a', 100);
	while (take(&o, 3600 * 1000 * MS, 100))
		sent++;
	assert_in_range(sent, 1, 2);
	wire_outbox_clear(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_goes_before_data_in_order),
		cmocka_unit_test(a_frame_that_was_begun_is_finished_first),
		cmocka_unit_test(what_waits_is_counted_and_cleared),
		cmocka_unit_test(the_rate_holds_on_average),
		cmocka_unit_test(a_rate_that_was_lifted_or_raised_counts_at_once),
		cmocka_unit_test(idle_time_buys_no_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
