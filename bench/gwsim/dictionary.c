/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the content of a static file: a line that says its own size, then bytes from its own random stream. */
#include "bench/gwsim/dictionary.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/gwsim/die.h"
#include "bench/gwsim/names.h"
#include "bench/gwsim/rng.h"

#define FIRST_LINE "gwsim static run %016llx bytes %08zu\n"
enum { FIRST_BYTES = 49, LARGEST = 16 << 20 };

static char *
content_of(const char *name, uint64_t run_id, size_t bytes)
{
	char *content = must_calloc(bytes + 1, 1);
	struct rng rng;

	rng_init(&rng, run_id, hash_text(name));
	snprintf(content, bytes + 1, FIRST_LINE, (unsigned long long)run_id, bytes);
	if (bytes > FIRST_BYTES)
		rng_fill(&rng, content + FIRST_BYTES, bytes - FIRST_BYTES);
	return content;
}

void
dictionary_write(const char *path, const char *name, uint64_t run_id, size_t bytes)
{
	char *content = content_of(name, run_id, bytes);
	FILE *file = fopen(path, "wxe");

	if (!file || fwrite(content, 1, bytes, file) != bytes || fclose(file) != 0)
		die_errno("cannot write %s", path);
	free(content);
}

const char *
dictionary_fault(const char *path, const char *name, uint64_t run_id)
{
	char line[FIRST_BYTES + 1] = "";
	unsigned long long run;
	size_t bytes, got;
	char *expected, *found;
	const char *fault = NULL;
	FILE *file = fopen(path, "re");

	if (!file)
		return "cannot be opened";
	if (fread(line, 1, FIRST_BYTES, file) != FIRST_BYTES || sscanf(line, FIRST_LINE, &run, &bytes) != 2 ||
		bytes < FIRST_BYTES || bytes > LARGEST) {
		fclose(file);
		return "is not a static file of the simulator";
	}
	rewind(file);
	expected = content_of(name, run_id, bytes);
	found = must_calloc(bytes + 1, 1);
	got = fread(found, 1, bytes + 1, file);
	if (run != run_id)
		fault = "belongs to another run";
	else if (got != bytes)
		fault = got < bytes ? "is truncated" : "is too long";
	else if (memcmp(expected, found, bytes) != 0)
		fault = "has other content";
	free(expected);
	free(found);
	fclose(file);
	return fault;
}

bool
dictionary_name(const char *name)
{
	return has_tail(name, ".dc") || has_tail(name, ".vew") || strcmp(name, "mtaname") == 0;
}
