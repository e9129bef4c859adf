/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * racer - several processes that do everything at once to the same few names:
 *
 *   racer [-w] [-n OPERATIONS] [-p PROCESSES] OUTSIDE SEED ROOT...
 *
 * Below each ROOT a small tree comes in from OUTSIDE (same file system, not watched) as ROOT/s<SEED>, and OPERATIONS (200) are done to
 * these trees by PROCESSES (3).  The seed decides all but how the processes meet.  Only operations that succeeded count.
 *
 * Every third seed has hard links and changes no file in place: a write through one name of a file tells nothing of the others.
 * With -w (write-once) no seed changes anything in place: names come, go and are replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/draw.h"

#define LONG_MAX_NAME 255
#define DEPTH 3
#define BYTES_MAX 300000
#define PATH_BYTES 4096
#define ROOTS_MAX 4
#define TRIES_PER_OPERATION 400

static char long_name[LONG_MAX_NAME + 1];
static const char *const names[] = {"a", "b\n", "\xff\xfe", "-rf *", "\xc3\xa4", long_name};
static char roots[ROOTS_MAX][PATH_BYTES / 2];
static size_t n_roots;
static const char *outside;
static uint64_t state; /* of the random numbers */
static unsigned made_outside;
static int held = -1; /* a file that is open for writing while other things happen */

/* Any name in any of the trees, there or not. */
static void
pick(char path[PATH_BYTES])
{
	int depth = 1 + (int)draw(&state, DEPTH), len = snprintf(path, PATH_BYTES, "%s", roots[draw(&state, n_roots)]);

	for (int i = 0; i < depth; i++)
		len += snprintf(path + len, PATH_BYTES - (size_t)len, "/%s", names[draw(&state, sizeof names / sizeof *names)]);
}

/* A name beside the trees that was never used before. */
static void
pick_outside(char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%d-%u", outside, (int)getpid(), ++made_outside);
}

static bool
write_some(int fd)
{
	static const size_t sizes[] = {0, 1, 100, 4095, 4097, 12000};
	static unsigned char bytes[BYTES_MAX];
	size_t size = draw(&state, 64) ? sizes[draw(&state, sizeof sizes / sizeof *sizes)] : BYTES_MAX;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = draw(&state, UINT64_MAX);

		memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
	}
	return write(fd, bytes, size) == (ssize_t)size;
}

/* ---- what names are done to: each is true when something happened ---- */

static bool
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	bool good = fd >= 0 && write_some(fd);

	if (fd >= 0)
		close(fd);
	return good;
}

static bool
create(void)
{
	char path[PATH_BYTES];

	pick(path);
	return make_file(path);
}

static bool
make_directory(void)
{
	char path[PATH_BYTES];

	pick(path);
	return mkdir(path, 0750) == 0;
}

/* A directory, at once one below it, and at once a file in that. */
static bool
make_deep(void)
{
	char path[PATH_BYTES], deeper[PATH_BYTES + 8];

	pick(path);
	if (mkdir(path, 0750) != 0)
		return false;
	snprintf(deeper, sizeof deeper, "%s/a", path);
	if (mkdir(deeper, 0750) == 0) {
		strcat(deeper, "/a");
		make_file(deeper);
	}
	return true;
}

static bool
link_symbolic(void)
{
	char path[PATH_BYTES];

	pick(path);
	return symlink(draw(&state, 2) ? "a" : "../../nowhere", path) == 0;
}

static bool
link_hard(void)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	pick(from);
	pick(to);
	return link(from, to) == 0;
}

static bool
move(void)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	pick(from);
	pick(to);
	return rename(from, to) == 0;
}

static bool
exchange(void)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	pick(from);
	pick(to);
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0;
}

static bool
replace(void)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	pick(to);
	snprintf(from, sizeof from, "%s", to);
	snprintf(strrchr(from, '/'), 16, "/tmp%d", (int)getpid() % 100000);
	if (!make_file(from))
		return false;
	if (rename(from, to) != 0)
		unlink(from); /* a directory lies there: a name that came and went */
	return true;
}

/* A tree, a directory or a file that was made where nobody looked. */
static bool
move_in(void)
{
	char from[PATH_BYTES], below[PATH_BYTES + 16], to[PATH_BYTES];

	pick(to);
	pick_outside(from);
	if (draw(&state, 3) == 0)
		make_file(from);
	else if (mkdir(from, 0750) == 0)
		for (int i = 0; i < 3; i++) {
			snprintf(below, sizeof below, "%s/a/a/a", from);
			below[strlen(from) + 2 * (size_t)(i + 1)] = '\0';
			if (i == 2)
				make_file(below);
			else
				mkdir(below, 0750);
		}
	return rename(from, to) == 0;
}

static bool
move_out(void)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	pick(from);
	pick_outside(to);
	return rename(from, to) == 0;
}

/* What this process moved out comes back. */
static bool
move_back(void)
{
	char from[PATH_BYTES], to[PATH_BYTES];

	pick(to);
	snprintf(from, sizeof from, "%s/%d-%u", outside, (int)getpid(), 1 + (unsigned)draw(&state, made_outside + 1));
	return rename(from, to) == 0;
}

static bool
delete(void)
{
	char path[PATH_BYTES];

	pick(path);
	return unlink(path) == 0;
}

static int
remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st, (void)what, (void)ftw;
	remove(path);
	return 0;
}

static bool
delete_tree(void)
{
	char path[PATH_BYTES];
	struct stat st;

	pick(path);
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0;
}

/* ---- in place ---- */

static bool
change(void)
{
	char path[PATH_BYTES];
	int fd;

	pick(path);
	fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	lseek(fd, (off_t)draw(&state, 9000), SEEK_SET);
	write_some(fd);
	close(fd);
	return true;
}

/* Through a descriptor that is open for writing: truncate(2) by name closes nothing, and so tells nobody. */
static bool
cut(void)
{
	char path[PATH_BYTES];
	int fd;

	pick(path);
	fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (ftruncate(fd, (off_t)draw(&state, 9000)) != 0)
		perror("ftruncate");
	close(fd);
	return true;
}

/* Opened now, written and closed some operations later: it, or what it lies in, may have another name by then. */
static bool
hold(void)
{
	char path[PATH_BYTES];

	if (held >= 0) {
		write_some(held);
		close(held);
		held = -1;
		return true;
	}
	pick(path);
	held = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | (draw(&state, 2) ? O_CREAT : 0), 0640);
	return held >= 0;
}

static bool
change_mode(void)
{
	static const mode_t modes[] = {0700, 0750, 0755, 0770};
	char path[PATH_BYTES];
	struct stat st;

	pick(path);
	return lstat(path, &st) == 0 && !S_ISLNK(st.st_mode) && chmod(path, modes[draw(&state, 4)]) == 0;
}

/* As an unpacker does. */
static bool
set_time_back(void)
{
	struct timespec times[2] = {{1000000000 + (time_t)draw(&state, 1000), 0}, {1000000000 + (time_t)draw(&state, 1000), 0}};
	char path[PATH_BYTES];
	struct stat st;

	pick(path);
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- the race ---- */

enum { ALWAYS, IN_PLACE, LINKS };

static const struct operation {
	bool (*run)(void);
	unsigned weight;
	int when;
} operations[] = {
	{create, 20, ALWAYS}, {make_directory, 10, ALWAYS}, {make_deep, 5, ALWAYS}, {link_symbolic, 2, ALWAYS}, {move, 14, ALWAYS},
	{exchange, 3, ALWAYS}, {replace, 6, ALWAYS}, {move_in, 5, ALWAYS}, {move_out, 4, ALWAYS}, {move_back, 2, ALWAYS}, {delete, 11, ALWAYS},
	{delete_tree, 3, ALWAYS}, {change, 7, IN_PLACE}, {cut, 3, IN_PLACE}, {hold, 6, IN_PLACE}, {change_mode, 4, IN_PLACE},
	{set_time_back, 2, IN_PLACE}, {link_hard, 10, LINKS},
};
#define N_OPERATIONS (sizeof operations / sizeof *operations)

static const struct operation *
choose(int style)
{
	unsigned all = 0, at;

	for (size_t i = 0; i < N_OPERATIONS; i++)
		all += operations[i].when == ALWAYS || operations[i].when == style ? operations[i].weight : 0;
	at = (unsigned)draw(&state, all);
	for (size_t i = 0;; i++) {
		unsigned weight = operations[i].when == ALWAYS || operations[i].when == style ? operations[i].weight : 0;

		if (at < weight)
			return &operations[i];
		at -= weight;
	}
}

/* Its exit status is 1 when it could not do what was asked of it. */
static void
race(uint64_t seed, unsigned number, unsigned count, int style)
{
	unsigned done = 0, tries = 0;

	state = seed * 64 + number;
	while (done < count && tries++ < TRIES_PER_OPERATION * count)
		done += choose(style)->run();
	if (held >= 0)
		hold();
	_exit(done < count);
}

/* What is there before the race: two files and two directories, made outside and moved in whole. */
static bool
begin(const char *root)
{
	char from[PATH_BYTES], path[PATH_BYTES + 300];

	pick_outside(from);
	if (mkdir(from, 0750) != 0)
		return false;
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%s/%s", from, names[2 * i]);
		if (mkdir(path, 0750) != 0)
			return false;
		snprintf(path, sizeof path, "%s/%s/%s", from, names[2 * i], names[i]);
		if (!make_file(path))
			return false;
	}
	return rename(from, root) == 0;
}

static int
start(uint64_t seed, unsigned processes, unsigned count, int style)
{
	int failed = 0, status;

	state = seed;
	for (size_t i = 0; i < n_roots; i++)
		if (!begin(roots[i])) {
			perror(roots[i]);
			return 1;
		}
	for (unsigned i = 0; i < processes; i++)
		if (fork() == 0)
			race(seed, i + 1, count / processes + (i < count % processes), style);
	while (wait(&status) > 0)
		failed |= status;
	if (failed)
		fprintf(stderr, "racer: seed %llu: not all operations could be done\n", (unsigned long long)seed);
	return failed != 0;
}

int
main(int argc, char **argv)
{
	unsigned count = 200, processes = 3;
	bool write_once = false;
	uint64_t seed;
	int option;

	while ((option = getopt(argc, argv, "wn:p:")) != -1) {
		write_once |= option == 'w';
		if (option == 'n')
			count = (unsigned)strtoul(optarg, NULL, 10);
		if (option == 'p')
			processes = (unsigned)strtoul(optarg, NULL, 10);
	}
	if (argc - optind < 3 || argc - optind - 2 > ROOTS_MAX || !processes) {
		fprintf(stderr, "usage: racer [-w] [-n OPERATIONS] [-p PROCESSES] OUTSIDE SEED ROOT...\n");
		return 2;
	}
	outside = argv[optind];
	seed = strtoull(argv[optind + 1], NULL, 10);
	for (int i = optind + 2; i < argc; i++)
		snprintf(roots[n_roots++], sizeof roots[0], "%s/s%llu", argv[i], (unsigned long long)seed);
	memset(long_name, 'x', sizeof long_name - 1);
	return start(seed, processes, count, write_once ? ALWAYS : seed % 3 == 0 ? LINKS : IN_PLACE);
}
