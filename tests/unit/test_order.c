/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Orders and reports there and back, and that no mutation of their bytes does more than be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/keeper/order.c"
#include "wire/entry.h"

#define S(text) ((char *)(uintptr_t)(text))

static char *paths[] = {S("offiles/fd0/a"), S("ofuser")};
static const struct order full_order = {
	.id = 7, .kind = ORDER_SEAL, .profile = S("po1"), .target = 3, .layout = 1, .job = 1700000000000, .date = 20260213,
	.t0_ns = -5, .fresh_t0 = 10, .fresh_seal = 20, .total = {.count = 1, .bytes = 2, .hash = {.lo = 3, .hi = 4}},
	.note = S("note"), .keep_days = 14, .set = S("frifeb13"), .to = S("/restore"), .paths = paths, .n_paths = 2,
};

static struct report_set sets[] = {
	{.name = S("frifeb13"), .profile = S("po1"), .started_ns = 1, .sealed_ns = 2, .scrubbed_ns = 3, .files = 4, .bytes = 5,
	 .new_bytes = 6, .verified = 2, .warnings = true, .note = S("n")},
	{.name = S("satfeb14"), .profile = S("po1"), .note = S("")},
};
static struct report_gone gone[] = {{S("offiles/fd0/a"), 3}};
static const struct report full_report = {
	.id = 9, .kind = REPORT_FAILED, .phase = S("copy"), .done = 1, .total = 2, .code = -ERR_DIFFERS, .text = S("text"), .path = S("ofuser/a"),
	.entry = {.kind = ENTRY_FILE, .mode = 0640, .size = 1ull << 40, .mtime_ns = -1},
	.sets = sets, .n_sets = 2, .fresh_done = 77, .gone = gone, .n_gone = 1, .doubtful = paths, .n_doubtful = 2,
};

static void
orders_come_back(void **state)
{
	struct pack_out a = {0}, b = {0};
	struct order o;

	(void)state;
	order_pack(&a, &full_order);
	assert_int_equal(order_unpack(a.data, a.len, &o), 0);
	assert_int_equal(o.t0_ns, -5);
	assert_string_equal(o.paths[1], "ofuser");
	order_pack(&b, &o);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	order_fini(&o);
	pack_out_fini(&a);
	pack_out_fini(&b);
}

static void
reports_come_back(void **state)
{
	struct pack_out a = {0}, b = {0};
	struct report r;

	(void)state;
	report_pack(&a, &full_report);
	assert_int_equal(report_unpack(a.data, a.len, &r), 0);
	assert_int_equal(r.code, -ERR_DIFFERS);
	assert_string_equal(r.sets[0].note, "n");
	assert_int_equal(r.gone[0].version, 3);
	assert_string_equal(r.path, "ofuser/a");
	assert_int_equal(r.entry.size, 1ull << 40);
	assert_int_equal(r.entry.mtime_ns, -1);
	report_pack(&b, &r);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	report_fini(&r);
	pack_out_fini(&a);
	pack_out_fini(&b);
}

static void
strings_may_be_absent(void **state)
{
	const struct order bare = {.id = 1, .kind = ORDER_SETS};
	struct pack_out a = {0};
	struct order o;

	(void)state;
	order_pack(&a, &bare);
	assert_int_equal(order_unpack(a.data, a.len, &o), 0);
	assert_string_equal(o.set, "");
	order_fini(&o);
	pack_out_fini(&a);
}

static void
every_truncation_is_refused(void **state)
{
	struct pack_out a = {0};
	struct order o;
	struct report r;

	(void)state;
	order_pack(&a, &full_order);
	for (size_t n = 0; n < a.len; n++)
		assert_int_equal(order_unpack(a.data, n, &o), -ERR_PEER);
	pack_out_fini(&a);
	report_pack(&a, &full_report);
	for (size_t n = 0; n < a.len; n++)
		assert_int_equal(report_unpack(a.data, n, &r), -ERR_PEER);
	pack_out_fini(&a);
}

static void
a_count_without_bytes_allocates_nothing(void **state)
{
	struct pack_out a = {0};
	struct report r = full_report, got;

	(void)state;
	r.n_doubtful = 0;
	report_pack(&a, &r);
	/* the last count is that of the doubtful paths */
	memset(a.data + a.len - 4, 0xff, 4);
	assert_int_equal(report_unpack(a.data, a.len, &got), -ERR_PEER);
	a.data[a.len - 4] = 200;
	memset(a.data + a.len - 3, 0, 3);
	assert_int_equal(report_unpack(a.data, a.len, &got), -ERR_PEER);
	pack_out_fini(&a);
}

static void
mutations_do_no_harm(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	struct pack_out a = {0}, b = {0};

	(void)state;
	print_message("# seed %u\n", seed);
	order_pack(&a, &full_order);
	report_pack(&b, &full_report);
	for (int i = 0; i < 20000; i++) {
		struct pack_out *from = i % 2 ? &a : &b;
		uint8_t *bytes = malloc(from->len);
		struct order o;
		struct report r;

		memcpy(bytes, from->data, from->len);
		for (int k = 0; k < 1 + i % 4; k++)
			bytes[(size_t)rand_r(&seed) % from->len] = (uint8_t)rand_r(&seed);
		if (i % 2 && order_unpack(bytes, from->len, &o) == 0)
			order_fini(&o);
		if (i % 2 == 0 && report_unpack(bytes, from->len, &r) == 0)
			report_fini(&r);
		free(bytes);
	}
	pack_out_fini(&a);
	pack_out_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orders_come_back),
		cmocka_unit_test(reports_come_back),
		cmocka_unit_test(strings_may_be_absent),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(a_count_without_bytes_allocates_nothing),
		cmocka_unit_test(mutations_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
