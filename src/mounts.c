/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mounts - the one file that reads /proc/self/mountinfo: "36 35 98:0 /in/its/file/system /mount/point rw,noatime ...". */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fsio.h"
#include "mounts.h"

#define MOUNTINFO_MAX (16u << 20)

/* Space, tab, line end and backslash are written as three octal digits. */
static void
unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		unsigned byte;

		if (*from == '\\' && sscanf(from + 1, "%3o", &byte) == 1) {
			*to = (char)byte;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* The fifth word of a line, in place; NULL when there is none. */
static char *
mount_point(char *line)
{
	char *save = NULL, *word = strtok_r(line, " ", &save);

	for (int i = 1; word && i < 5; i++)
		word = strtok_r(NULL, " ", &save);
	if (word)
		unescape(word);
	return word;
}

/* The path beneath `root`; NULL when it does not lie there. */
static const char *
beneath(const char *path, const char *root)
{
	size_t len = strlen(root);

	len -= len && root[len - 1] == '/';
	return strncmp(path, root, len) == 0 && path[len] == '/' && path[len + 1] ? path + len + 1 : NULL;
}

int
mounts_below(int root, int (*visit)(const char *live, void *arg), void *arg)
{
	char link[64], where[PATH_MAX], *text, *save = NULL;
	ssize_t n;
	size_t len;
	int stop = 0;

	snprintf(link, sizeof link, "/proc/self/fd/%d", root);
	n = readlink(link, where, sizeof where - 1);
	if (n < 0 || fsio_read_path("/proc/self/mountinfo", MOUNTINFO_MAX, &text, &len) < 0)
		return 0;
	where[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line && !stop; line = strtok_r(NULL, "\n", &save)) {
		const char *point = mount_point(line), *live = point ? beneath(point, where) : NULL;

		if (live)
			stop = visit(live, arg);
	}
	free(text);
	return stop;
}

bool
mounts_at(int root, const char *live)
{
	struct statx st;
	int fd = fsio_open_dir(root, live);
	bool at = false;

	if (fd < 0)
		return false;
	if (statx(fd, "", AT_EMPTY_PATH, 0, &st) == 0)
		at = !(st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) || (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	close(fd);
	return at;
}
