/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_order - orders to the keeper and its reports: either side may be a hostile program one day. */
#include "keeper/order.h"
#include "tests/fuzz/fuzz.h"

static void
order(const uint8_t *data, size_t len)
{
	struct pack_out a = {0}, b = {0};
	struct order x;

	if (order_unpack(data, len, &x) != 0)
		return;
	order_pack(&a, &x);
	order_fini(&x);
	MUST(!a.failed && order_unpack(a.data, a.len, &x) == 0);
	order_pack(&b, &x);
	order_fini(&x);
	fuzz_same(&a, &b);
}

static void
report(const uint8_t *data, size_t len)
{
	struct pack_out a = {0}, b = {0};
	struct report x;

	if (report_unpack(data, len, &x) != 0)
		return;
	report_pack(&a, &x);
	report_fini(&x);
	MUST(!a.failed && report_unpack(a.data, a.len, &x) == 0);
	report_pack(&b, &x);
	report_fini(&x);
	fuzz_same(&a, &b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len)
		(data[0] & 1 ? report : order)(data + 1, len - 1);
	return 0;
}
