/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_jobs - a record of the jobs' history, with and without the line that holds it. */
#include "jobs.c"

#include "tests/fuzz/fuzz.h"

static void
record(const uint8_t *data, size_t len)
{
	struct job_record r;
	struct pack_out o = {0};

	if (record_unpack(data, len, &r) != 0)
		return;
	record_pack(&o, &r);
	MUST(!o.failed);
	pack_out_fini(&o);
	line_pack(&o, &r);
	MUST(!o.failed && line_unpack((const char *)o.data, o.len - 1, &r) == 0);
	pack_out_fini(&o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct job_record r;

	record(data, len);
	line_unpack((const char *)data, len, &r);
	return 0;
}
