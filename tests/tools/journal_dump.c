/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal_dump - prints the rows of a profile's journal: `journal_dump STATE/PROFILE PROFILE [AFTER]`.
 *
 * A row a line: number, kind, milliseconds since 1970 when it was seen, escaped path ("." for the root).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/relpath.h"
#include "journal/journal.h"

#define PIECE 4096

static const char *const kinds[] = {"?", "TOUCHED", "RESCAN", "COOKIE", "DELETED", "BLIND"};

static uint64_t
print(const struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *path = relpath_escape(changes[i].path);

		printf("%llu %s %lld %s\n", (unsigned long long)changes[i].seq, kinds[changes[i].kind & 3],
		    (long long)(changes[i].seen_ns / 1000000), path && *path ? path : ".");
		free(path);
	}
	return changes[n - 1].seq;
}

int
main(int argc, char **argv)
{
	struct journal *journal;
	struct change *changes;
	uint64_t after;
	size_t n;

	if (argc < 3) {
		fprintf(stderr, "usage: journal_dump STATE/PROFILE PROFILE [AFTER]\n");
		return 2;
	}
	after = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
	if (journal_open(argv[1], argv[2], &journal, NULL) != 0) {
		fprintf(stderr, "journal_dump: %s\n", err_text());
		return 1;
	}
	for (;;) {
		if (journal_read(journal, after, PIECE, &changes, &n) != 0) {
			fprintf(stderr, "journal_dump: %s\n", err_text());
			journal_close(journal);
			return 1;
		}
		if (n)
			after = print(changes, n);
		journal_changes_free(changes, n);
		if (!n)
			break;
	}
	journal_close(journal);
	return 0;
}
