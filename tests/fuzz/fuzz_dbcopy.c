/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_dbcopy - the pipe of tidemark-dbcopy: reports in a row, cut anywhere. */
#include "base/relpath.h"
#include "collector/dbcopy.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct dbcopy_file file;
	size_t used;
	char *path;

	while (dbcopy_report_unpack(data, len, &used, &path, &file) == 1) {
		struct pack_out o = {0};

		MUST(used >= 4 && used <= len && relpath_valid(path));
		MUST(file.n_hashes == 0 || file.n_hashes == block_count(file.size));
		dbcopy_report_pack(&o, &file);
		MUST(!o.failed && o.len == used);
		pack_out_fini(&o);
		free(file.hashes);
		free(path);
		data += used;
		len -= used;
	}
	return 0;
}
