/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_manifest - lines of a manifest whose sum is right: what follows the sum's check is reading text that we did not
 * write today.  A manifest that was read to its end can be written again.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/relpath.h"
#include "keeper/manifest.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;

static void
leave(void)
{
	scratch_close(&scratch);
}

/* The lines, and the end that makes them whole. */
static void
put(const uint8_t *lines, size_t len)
{
	static const char head[] = "tidemark-manifest 1\tpo1\twed\n";
	struct digest *sha = digest_new();
	uint8_t sum[DIGEST_BYTES];
	char hex[DIGEST_HEX];
	uint64_t n = 0;
	int fd = openat(scratch.fd, "m", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *f = fdopen(fd, "w");

	MUST(sha && f);
	for (size_t i = 0; i < len; i++)
		n += lines[i] == '\n';
	digest_update(sha, head, sizeof head - 1);
	digest_update(sha, lines, len);
	digest_final(sha, sum);
	digest_free(sha);
	digest_hex(sum, hex);
	fwrite(head, 1, sizeof head - 1, f);
	fwrite(lines, 1, len, f);
	fprintf(f, "end\t%" PRIu64 "\t%s\n", n, hex);
	MUST(fclose(f) == 0);
}

static void
read_all(void)
{
	struct manifest_reader *r;
	struct manifest_writer *w;
	const struct manifest_row *row;
	uint8_t sum[DIGEST_BYTES];
	int err, good = 0;

	if (manifest_open(scratch.fd, "m", NULL, &r) != 0)
		return;
	MUST(manifest_create(scratch.fd, "again", "po1", &w) == 0);
	while ((err = manifest_next(r, &row)) == 0) {
		MUST(relpath_valid(row->path));
		good = good == 0 ? manifest_add(w, row) : good;
	}
	if (err == 1 && good == 0) {
		MUST(manifest_finish(w, sum) == 0);
		manifest_close(r);
		MUST(manifest_open(scratch.fd, "again", sum, &r) == 0);
		while ((err = manifest_next(r, &row)) == 0)
			;
		MUST(err == 1);
	}
	manifest_close(r);
	manifest_abandon(w);
	unlinkat(scratch.fd, "again", 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!scratch.path[0]) {
		scratch_open(&scratch);
		atexit(leave);
	}
	put(data, len);
	read_all();
	return 0;
}
