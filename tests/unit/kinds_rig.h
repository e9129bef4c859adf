/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kinds_rig - a file system that tells no kinds in its lists, and a disk that does not give the inode of one name. */
#ifndef TESTS_KINDS_RIG_H
#define TESTS_KINDS_RIG_H

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool untold;
static const char *unseen; /* wherever it lies; NULL = every inode is given */

struct dirent *
readdir(DIR *list)
{
	static struct dirent *(*real)(DIR *);
	struct dirent *entry;

	if (!real)
		real = (struct dirent *(*)(DIR *))dlsym(RTLD_NEXT, "readdir");
	entry = real(list);
	if (entry && untold)
		entry->d_type = DT_UNKNOWN;
	return entry;
}

int
fstatat(int dirfd, const char *path, struct stat *ret_st, int flags)
{
	const char *name = strrchr(path, '/');

	if (unseen && strcmp(name ? name + 1 : path, unseen) == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_newfstatat, dirfd, path, ret_st, flags);
}

#endif
