/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the order of a consistent copy, so that tests have one that owes nothing to the program under test. */
#include "bench/gwsim/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/die.h"
#include "bench/gwsim/names.h"
#include "bench/gwsim/office.h"

struct copy {
	bool blobs;			/* this pass: offiles only, or all but offiles */
	unsigned long vanished;
};

static void
copy_database(const char *from, const char *to)
{
	struct database db;

	database_init(&db, must_printf("%s", from), "");
	if (!database_hold(&db))
		die_errno("cannot open %s", from);
	database_copy(&db, to);
	database_release(&db);
	database_fini(&db);
}

static void
copy_file(struct copy *copy, const char *from, const char *to)
{
	char chunk[64 << 10];
	int in = open(from, O_RDONLY | O_CLOEXEC), out;
	ssize_t n;

	if (in < 0) {
		if (errno != ENOENT)
			die_errno("cannot open %s", from);
		copy->vanished++;
		return;
	}
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0)
		die_errno("cannot create %s", to);
	while ((n = read(in, chunk, sizeof chunk)) > 0)
		if (write(out, chunk, (size_t)n) != n)
			die_errno("cannot write %s", to);
	if (n < 0 || close(out) < 0)
		die_errno("cannot copy %s", from);
	close(in);
}

/* `depth` 0 is the office itself, where this pass's part is told from the other's. */
static void
copy_tree(struct copy *copy, const char *from, const char *to, int depth)
{
	struct name_list list;

	if (mkdir(to, 0755) < 0 && errno != EEXIST)
		die_errno("cannot create %s", to);
	name_list_init(&list, from);
	for (size_t i = 0; i < list.count; i++) {
		const char *name = list.names[i];
		char *source, *target;
		struct stat st;

		if (depth == 0 && (strcasecmp(name, "offiles") == 0) != copy->blobs)
			continue;
		source = must_printf("%s/%s", from, name);
		target = must_printf("%s/%s", to, name);
		if (stat(source, &st) < 0)
			copy->vanished++;
		else if (S_ISDIR(st.st_mode))
			copy_tree(copy, source, target, depth + 1);
		else if (has_tail(name, ".db"))
			copy_database(source, target);
		else if (!has_tail(name, ".tmp"))
			copy_file(copy, source, target);
		free(source);
		free(target);
	}
	name_list_fini(&list);
}

unsigned long
copy_office(const char *from, const char *to, bool databases_only)
{
	struct copy copy = { .blobs = false };
	struct name_list list;

	name_list_init(&list, to);
	if (list.count)
		die("%s is not empty", to);
	name_list_fini(&list);
	copy_tree(&copy, from, to, 0);
	copy.blobs = true;
	if (!databases_only)
		copy_tree(&copy, from, to, 0);
	return copy.vanished;
}
