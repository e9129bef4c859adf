/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_journal - durable rows a second: distinct paths, and one path again and again.
 *
 *   bench_journal DIR [CHANGES [BATCH]]
 *
 * The clock covers journal_append only: sorting, folding, LMDB and its flushes.  A second round over the same paths moves
 * every row.  DIR must be on the file system to be measured.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "journal/journal.h"

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Names as OFFILES has them: a few hundred directories, random names. */
static void
name_blob(char out[48], unsigned i, int hot)
{
	unsigned random = hot ? 7 : i * 2654435761u;

	snprintf(out, 48, "offiles/fd%X/%08x.%03u", random % 256, random, hot ? 0 : i % 1000);
}

static int
run(struct journal *j, const char *what, size_t n, size_t batch, int hot)
{
	struct change *changes = calloc(batch, sizeof *changes);
	char(*names)[48] = calloc(batch, sizeof *names);
	double spent = 0, worst = 0;
	int err = changes && names ? 0 : -ERR_NOMEM;

	for (size_t done = 0; done < n && !err; done += batch) {
		size_t count = n - done < batch ? n - done : batch;

		for (size_t i = 0; i < count; i++) {
			name_blob(names[i], (unsigned)(done + i), hot);
			changes[i] = (struct change){.kind = CHANGE_TOUCHED, .seen_ns = (int64_t)(done + i + 1), .path = names[i]};
		}
		double begin = seconds();
		err = journal_append(j, changes, count);
		double took = seconds() - begin;
		spent += took;
		worst = took > worst ? took : worst;
	}
	if (!err)
		printf("%-28s %9zu changes, batches of %6zu: %8.0f a second, slowest commit %.0f ms\n", what, n, batch,
		    (double)n / spent, worst * 1e3);
	free(changes);
	free(names);
	return err;
}

int
main(int argc, char **argv)
{
	size_t n = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000, batch = argc > 3 ? strtoul(argv[3], NULL, 10) : 16384;
	struct journal_lag lag;
	struct journal *j;
	int err;

	if (argc < 2 || !n || !batch) {
		fprintf(stderr, "usage: %s DIR [CHANGES [BATCH]]\n", argv[0]);
		return 2;
	}
	err = journal_open(argv[1], "bench", &j, NULL);
	if (err) {
		fprintf(stderr, "bench_journal: %s\n", err_text());
		return 1;
	}
	err = run(j, "distinct paths", n, batch, 0);
	if (!err)
		err = run(j, "the same paths again", n, batch, 0);
	if (!err)
		err = run(j, "one path again and again", n, batch, 1);
	if (!err)
		err = journal_lag(j, &lag);
	if (err)
		fprintf(stderr, "bench_journal: %s\n", err_text());
	else
		printf("%llu rows in the journal\n", (unsigned long long)lag.rows);
	journal_close(j);
	return err ? 1 : 0;
}
