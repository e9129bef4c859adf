/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the life of .inc and .idx files, of queue files and of ngwguard.rfl and .fbk. */
#include "bench/gwsim/quickfinder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/die.h"
#include "bench/gwsim/names.h"

enum {
	INDEX_MOST = 2 << 20,	/* a .idx grows no further */
	RFL_MOST   = 64 << 10,
	REBUILD_1_IN = 40,
	FALLBACK_1_IN = 8,
};

/* Write random bytes to a file. */
static void
add_bytes(const char *path, int flags, struct rng *rng, uint64_t bytes)
{
	char chunk[8192];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);

	if (fd < 0)
		die_errno("cannot open %s", path);
	while (bytes) {
		size_t size = bytes < sizeof chunk ? (size_t)bytes : sizeof chunk;

		rng_fill(rng, chunk, size);
		if (write(fd, chunk, size) != (ssize_t)size)
			die_errno("cannot write %s", path);
		bytes -= size;
	}
	close(fd);
}

static uint64_t
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* Write the larger index beside the old one, put it in its place, begin a new increment. */
static void
rebuild_index(const char *stem, struct rng *rng)
{
	char *idx = must_printf("%s.idx", stem), *inc = must_printf("%s.inc", stem);
	char *fresh = must_printf("%s.new", stem);
	uint64_t bytes = size_of(idx) + size_of(inc);

	add_bytes(fresh, O_TRUNC, rng, bytes < INDEX_MOST ? bytes : INDEX_MOST);
	if (rename(fresh, idx) < 0 && errno != ENOENT)
		die_errno("cannot rename %s", fresh);
	if (unlink(inc) < 0 && errno != ENOENT)
		die_errno("cannot delete %s", inc);
	free(idx);
	free(inc);
	free(fresh);
}

void
quickfinder_event(const char *dir, struct rng *rng, bool rebuild)
{
	struct name_list list = { 0 };
	const char *name;

	if (dir)
		name_list_init(&list, dir);
	if (!list.count)
		return;
	name = list.names[rng_below(rng, list.count)];
	if (strlen(name) > 4) {
		char *path = must_printf("%s/%.*s", dir, (int)strlen(name) - 4, name);
		if (rebuild && rng_below(rng, REBUILD_1_IN) == 0)
			rebuild_index(path, rng);
		else {
			char *inc = must_printf("%s.inc", path);

			add_bytes(inc, O_APPEND, rng, 200 + rng_below(rng, 4000));
			free(inc);
		}
		free(path);
	}
	name_list_fini(&list);
}

void
queue_pass(const char *dir, struct rng *rng)
{
	char *path;

	if (!dir)
		return;
	path = must_printf("%s/%08x.%03x", dir, (unsigned)rng_next(rng), (unsigned)getpid() & 0xfff);
	add_bytes(path, O_TRUNC, rng, 300 + rng_below(rng, 6000));
	if (unlink(path) < 0)
		die_errno("cannot delete %s", path);
	free(path);
}

static void
renew_fallback(struct office *office, struct database *guardian)
{
	char *dir = office_find(office, "ofmsg/guardbak"), *fresh, *fallback;

	if (!dir)
		return;
	fresh = must_printf("%s/ngwguard.new", dir);
	fallback = must_printf("%s/ngwguard.fbk", dir);
	database_copy(guardian, fresh);
	if (rename(fresh, fallback) < 0)
		die_errno("cannot rename %s", fresh);
	free(fallback);
	free(fresh);
	free(dir);
}

void
guardian_upkeep(struct office *office, struct rng *rng, const volatile sig_atomic_t *stop)
{
	struct database *guardian;
	char *log;

	if (!office_count(office, ROLE_GUARDIAN))
		return;
	guardian = office_database(office, ROLE_GUARDIAN, 0);
	if (!database_begin(guardian, stop))
		return;
	if (rng_below(rng, FALLBACK_1_IN) == 0) {
		renew_fallback(office, guardian);
		database_abort(guardian);
		return;
	}
	log = office_find(office, "ngwguard.rfl");
	if (log)
		add_bytes(log, size_of(log) > RFL_MOST ? O_TRUNC : O_APPEND, rng, 64);
	free(log);
	database_scribble(guardian, rng, 2);
	database_commit(guardian, rng);
}
