/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dbcopy_report - the bytes in which tidemark-dbcopy tells the collector of each finished file (dbcopy.h).  Pure. */
#include <stdlib.h>

#include "base/err.h"
#include "base/pack.h"
#include "base/relpath.h"
#include "collector/dbcopy.h"

/* A report holds 16 bytes for every block of a file: this bounds a file to 256 GiB. */
#define REPORT_MAX (1024u * 1024u * 1024u)

void
dbcopy_report_pack(struct pack_out *o, const struct dbcopy_file *file)
{
	size_t head = o->len;

	pack_u32(o, 0);
	pack_str(o, file->path);
	pack_u64(o, file->size);
	pack_u8(o, file->changed);
	pack_u64(o, file->digest.lo);
	pack_u64(o, file->digest.hi);
	pack_u64(o, file->n_hashes);
	for (size_t i = 0; i < file->n_hashes; i++) {
		pack_u64(o, file->hashes[i].lo);
		pack_u64(o, file->hashes[i].hi);
	}
	if (o->failed || o->len - head - 4 > REPORT_MAX) {
		o->failed = true;
		return;
	}
	struct pack_out length = pack_out_fixed(o->data + head, 4);
	pack_u32(&length, (uint32_t)(o->len - head - 4));
}

static int
unpack_hashes(struct pack_in *in, struct dbcopy_file *file)
{
	uint64_t n = unpack_u64(in);

	if (in->failed || n != (in->len - in->pos) / 16 || (n && n != block_count(file->size)))
		return err_set(ERR_PEER, "tidemark-dbcopy sent a report with a wrong number of hashes");
	if (n == 0)
		return 0;
	file->hashes = malloc((size_t)n * sizeof *file->hashes);
	if (!file->hashes)
		return err_set(ERR_NOMEM, "no memory for the block hashes of a database");
	file->n_hashes = (size_t)n;
	for (size_t i = 0; i < file->n_hashes; i++) {
		file->hashes[i].lo = unpack_u64(in);
		file->hashes[i].hi = unpack_u64(in);
	}
	return 0;
}

int
dbcopy_report_unpack(const uint8_t *data, size_t len, size_t *ret_used, char **ret_path, struct dbcopy_file *ret_file)
{
	struct pack_in head = pack_in(data, len);
	uint32_t n = unpack_u32(&head);
	struct dbcopy_file file = {0};
	char *path;
	int err;

	if (head.failed)
		return 0;
	if (n > REPORT_MAX)
		return err_set(ERR_PEER, "tidemark-dbcopy sent a report of %u bytes", n);
	if (n > len - 4)
		return 0;
	struct pack_in in = pack_in(data + 4, n);
	path = unpack_str(&in, RELPATH_MAX);
	file.size = unpack_u64(&in);
	file.changed = unpack_u8(&in) != 0;
	file.digest.lo = unpack_u64(&in);
	file.digest.hi = unpack_u64(&in);
	err = path && relpath_valid(path) ? unpack_hashes(&in, &file) : err_set(ERR_PEER, "tidemark-dbcopy sent a report without a path");
	if (err == 0 && !unpack_done(&in))
		err = err_set(ERR_PEER, "tidemark-dbcopy sent a damaged report");
	if (err) {
		free(file.hashes);
		free(path);
		return err;
	}
	file.path = path;
	*ret_path = path;
	*ret_file = file;
	*ret_used = 4 + (size_t)n;
	return 1;
}
