/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shadow - which names of the root an external DBCOPY is shown. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/shadow.h"
#include "layout.h"
#include "livetree.h"

static int
link_name(int shadow, const struct livetree *tree, const char *name, bool is_dir)
{
	const struct layout_row *row = layout_of(livetree_type(tree), name, is_dir);
	char target[PATH_MAX];

	if (*name == '.' || !row || row->class != LAYOUT_SNAPSHOT)
		return 0;
	if ((size_t)snprintf(target, sizeof target, "%s/%s", livetree_root(tree), name) >= sizeof target)
		return err_set(ERR_LIMIT, "the path of %s is too long for an external DBCOPY", name);
	if ((unlinkat(shadow, name, 0) != 0 && errno != ENOENT) || symlinkat(target, shadow, name) != 0)
		return err_sys("linking %s into the shadow folder", name);
	return 0;
}

static int
link_root(int shadow, const struct livetree *tree)
{
	int err = 0, live = livetree_open_dir(tree, "");
	DIR *dir = live < 0 ? NULL : fdopendir(live);
	struct dirent *entry;

	if (live < 0)
		return live;
	if (!dir) {
		close(live);
		return err_set(ERR_NOMEM, "listing the live tree for an external DBCOPY");
	}
	while (err == 0 && (errno = 0, entry = readdir(dir))) {
		int is_dir = fsio_is_dir(dir, entry);

		err = is_dir < 0 ? is_dir : link_name(shadow, tree, entry->d_name, is_dir);
	}
	if (err == 0 && errno)
		err = err_sys("listing the live tree for an external DBCOPY");
	closedir(dir);
	return err;
}

int
shadow_make(const char *path, const struct livetree *tree)
{
	int shadow, err;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_sys("making the shadow folder %s", path);
	shadow = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (shadow < 0)
		return err_sys("opening the shadow folder %s", path);
	err = link_root(shadow, tree);
	if (err == 0 && livetree_type(tree) == LAYOUT_POST_OFFICE && mkdirat(shadow, "offiles", 0500) != 0 && errno != EEXIST)
		err = err_sys("making the empty offiles of the shadow folder");
	close(shadow);
	return err;
}
