/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * burst - creates files as fast as it can: `burst DIR TAG COUNT [SECONDS [BYTES]]`, spread over DIR's sub-directories.
 *
 * Ends after COUNT files (0 = no end) or SECONDS (0 = no end).  Prints how many; their names are DIR/<sub>/TAG-<number>.  Each holds
 * its name, or BYTES that do not compress and are like no other's.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIRS_MAX 1024
#define BYTES_MAX (1 << 20)

static int dirs[DIRS_MAX];
static int n_dirs;
static uint64_t words[BYTES_MAX / 8];
static size_t bytes;

static int
open_dirs(const char *path)
{
	DIR *list = opendir(path);
	struct dirent *entry;

	while (list && n_dirs < DIRS_MAX && (entry = readdir(list))) {
		if (*entry->d_name == '.' || entry->d_type != DT_DIR)
			continue;
		dirs[n_dirs] = openat(dirfd(list), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dirs[n_dirs] < 0)
			return -1;
		n_dirs++;
	}
	if (list)
		closedir(list);
	return n_dirs ? 0 : -1;
}

static void
fill(uint64_t seed)
{
	for (size_t i = 0; i < (bytes + 7) / 8; i++) {	/* splitmix64 */
		uint64_t z = seed += 0x9e3779b97f4a7c15u;

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
		words[i] = z ^ (z >> 31);
	}
}

static int
make(const char *tag, long number)
{
	char name[128];
	int fd, bad;

	snprintf(name, sizeof name, "%s-%ld", tag, number);
	fd = openat(dirs[number % n_dirs], name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	fill((uint64_t)number << 32);
	bad = (bytes ? write(fd, words, bytes) : write(fd, name, strlen(name))) < 0;
	close(fd);
	return bad ? -1 : 0;
}

int
main(int argc, char **argv)
{
	long count = argc > 3 ? atol(argv[3]) : 0, made = 0;
	time_t end = argc > 4 && atol(argv[4]) ? time(NULL) + atol(argv[4]) : 0;

	bytes = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
	if (argc < 4 || bytes > BYTES_MAX || open_dirs(argv[1]) != 0) {
		fprintf(stderr, "usage: burst DIR TAG COUNT [SECONDS [BYTES]]\n");
		return 2;
	}
	while ((!count || made < count) && (!end || time(NULL) < end)) {
		if (make(argv[2], made) != 0) {
			perror("burst");
			return 1;
		}
		made++;
	}
	printf("%ld\n", made);
	return 0;
}
