/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the life of .inc and .idx files, of queue files and of ngwguard.rfl and .fbk. */
#include "bench/gwsim/quickfinder.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
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
	RFL_ENTRY  = 64,
	INCREMENT_MOST = 4000,	/* one addition to an .inc */
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

static uint64_t
increment_bytes(struct rng *rng)
{
	return 200 + rng_below(rng, INCREMENT_MOST);
}

/*
 * Write the index beside the old one, larger by its increment and `more`, put it in its place, begin a new increment.
 * Returns the bytes written.
 */
static uint64_t
rebuild_index(const char *stem, struct rng *rng, uint64_t more)
{
	char *idx = must_printf("%s.idx", stem), *inc = must_printf("%s.inc", stem);
	char *fresh = must_printf("%s.new", stem);
	uint64_t bytes = size_of(idx) + size_of(inc) + more;

	if (bytes > INDEX_MOST)
		bytes = INDEX_MOST;
	add_bytes(fresh, O_TRUNC, rng, bytes);
	if (rename(fresh, idx) < 0 && errno != ENOENT)
		die_errno("cannot rename %s", fresh);
	if (unlink(inc) < 0 && errno != ENOENT)
		die_errno("cannot delete %s", inc);
	free(idx);
	free(inc);
	free(fresh);
	return bytes;
}

/* The path of file `i` of the list without its ".idx". Gives. */
static char *
stem_of(const char *dir, const struct name_list *list, size_t i)
{
	return must_printf("%s/%.*s", dir, (int)strlen(list->names[i]) - 4, list->names[i]);
}

/* The names in `dir`, which may be NULL, that end with `tail`. */
static void
list_indexes(struct name_list *ret_list, const char *dir, const char *tail)
{
	size_t kept = 0;

	*ret_list = (struct name_list){ 0 };
	if (dir)
		name_list_init(ret_list, dir);
	for (size_t i = 0; i < ret_list->count; i++) {
		if (has_tail(ret_list->names[i], tail))
			ret_list->names[kept++] = ret_list->names[i];
		else
			free(ret_list->names[i]);
	}
	ret_list->count = kept;
}

void
quickfinder_day(const char *dir, struct rng *rng)
{
	struct name_list list;

	list_indexes(&list, dir, ".idx");
	if (list.count) {
		char *stem = stem_of(dir, &list, rng_below(rng, list.count)), *inc = must_printf("%s.inc", stem);

		add_bytes(inc, O_APPEND, rng, increment_bytes(rng));
		free(inc);
		free(stem);
	}
	name_list_fini(&list);
}

void
quickfinder_night(const char *dir, struct rng *rng, const volatile sig_atomic_t *stop)
{
	struct name_list list;

	list_indexes(&list, dir, ".inc");
	for (size_t i = 0; i < list.count && !*stop; i++) {
		char *stem = stem_of(dir, &list, i);

		rebuild_index(stem, rng, 0);
		free(stem);
	}
	name_list_fini(&list);
}

void
quickfinder_churn(const char *dir, struct rng *rng, double fraction, uint64_t *ret_files, uint64_t *ret_bytes)
{
	struct name_list list;
	size_t count, start;

	*ret_files = *ret_bytes = 0;
	list_indexes(&list, dir, ".idx");
	count = (size_t)lround((double)list.count * fraction);
	count = count < 1 ? 1 : count;
	start = list.count ? rng_below(rng, list.count) : 0;
	for (size_t i = 0; i < count && i < list.count; i++) {
		char *stem = stem_of(dir, &list, (start + i) % list.count);

		*ret_bytes += rebuild_index(stem, rng, increment_bytes(rng));
		++*ret_files;
		free(stem);
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

uint64_t
guardian_log(struct office *office, struct rng *rng)
{
	char *log = office_find(office, "ngwguard.rfl");
	uint64_t bytes = log ? RFL_ENTRY : 0;

	if (log)
		add_bytes(log, size_of(log) > RFL_MOST ? O_TRUNC : O_APPEND, rng, bytes);
	free(log);
	return bytes;
}

void
guardian_upkeep(struct office *office, struct rng *rng, const volatile sig_atomic_t *stop)
{
	struct database *guardian;

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
	guardian_log(office, rng);
	database_scribble(guardian, rng, 2);
	database_commit(guardian, rng);
}
