/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_change - the bytes of a journal row: what is taken packs to the same bytes again. */
#include "base/relpath.h"
#include "journal/change.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pack_out o = {0};
	struct change c;

	if (change_unpack(data, len, &c) != 0)
		return 0;
	MUST(relpath_valid(c.path) || (change_is_scan(c.kind) && !*c.path));
	change_pack(&o, &c);
	MUST(!o.failed && o.len == len && memcmp(o.data, data, len) == 0);
	pack_out_fini(&o);
	change_fini(&c);
	return 0;
}
