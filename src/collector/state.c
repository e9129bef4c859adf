/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state - makes directories one by one from the root down, as mkdir -p does. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/state.h"

/* Makes one directory and syncs the one that holds it. */
static int
make_one(char *path, char *slash)
{
	int parent, err;

	if (mkdir(path, 0700) != 0)
		return errno == EEXIST ? 0 : err_sys("making %s", path);
	*slash = '\0';
	parent = open(slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*slash = '/';
	err = parent < 0 ? err_sys("opening the folder above %s", path) : fsio_sync_dir(parent, "state.mkdir");
	if (parent >= 0)
		close(parent);
	return err;
}

int
state_open_dir(const char *dir)
{
	char *path = strdup(dir), *slash = path;
	int fd, err = path ? 0 : err_set(ERR_NOMEM, "making %s", dir);

	while (err == 0) {
		char *next = strchr(slash + 1, '/');

		if (next)
			*next = '\0';
		if (slash[1])
			err = make_one(path, slash);
		if (!next)
			break;
		*next = '/';
		slash = next;
	}
	free(path);
	if (err)
		return err;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys("opening %s", dir) : fd;
}
