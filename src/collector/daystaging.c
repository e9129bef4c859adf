/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daystaging - which folder of local staging is today's, and how yesterday's becomes it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/daystaging.h"

/* The newest folder beside `day`, *given*; NULL when there is none.  All others are removed. */
static int
yesterday(int weeknow, const char *day, char **ret_name)
{
	int fd = fsio_open_dir(weeknow, "");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct timespec newest = {0};
	struct dirent *entry;
	char *best = NULL;
	int err = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return err_set(ERR_IO, "listing local staging");
	}
	while (err == 0 && (errno = 0, entry = readdir(dir))) {
		struct stat st;
		char *name;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, day) == 0 ||
		    fsio_stat(weeknow, entry->d_name, &st) != 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			err = fsio_remove_tree(weeknow, entry->d_name);
			continue;
		}
		if (!(name = strdup(entry->d_name))) {
			err = err_set(ERR_NOMEM, "listing local staging");
			break;
		}
		bool newer = !best || st.st_mtim.tv_sec > newest.tv_sec ||
		    (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec);
		char *loser = newer ? best : name;

		if (newer) {
			best = name;
			newest = st.st_mtim;
		}
		if (loser)
			err = fsio_remove_tree(weeknow, loser);
		free(loser);
	}
	if (err == 0 && errno)
		err = err_sys("listing local staging");
	closedir(dir);
	if (err) {
		free(best);
		return err;
	}
	*ret_name = best;
	return 0;
}

int
daystaging_prepare(const char *profile_dir, const char *day, char **ret_path, int *ret_fd)
{
	int root = open(profile_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), weeknow = -1, fd = -1, err = 0;
	char *path = NULL, *old = NULL;
	struct stat st;

	if (root < 0)
		return err_sys("opening %s", profile_dir);
	weeknow = fsio_make_dirs(root, "backups/weeknow", true);
	close(root);
	if (weeknow < 0)
		return err_prefix(weeknow, "making local staging");
	if (asprintf(&path, "%s/backups/weeknow/%s", profile_dir, day) < 0) {
		path = NULL;
		err = err_set(ERR_NOMEM, "making local staging");
	}
	if (err == 0)
		err = yesterday(weeknow, day, &old);
	if (err == 0 && old) {
		/* Killed between the two: two trees, of which the newer is kept next time. */
		if (fsio_stat(weeknow, day, &st) == -ERR_GONE)
			err = fsio_publish(weeknow, old, weeknow, day, true, "daystaging.rename");
		else
			err = fsio_remove_tree(weeknow, old);
	}
	if (err == 0)
		fd = fsio_make_dirs(weeknow, day, true);
	if (err == 0 && fd < 0)
		err = fd;
	free(old);
	close(weeknow);
	if (err) {
		free(path);
		return err_prefix(err, "preparing local staging");
	}
	*ret_path = path;
	*ret_fd = fd;
	return 0;
}
