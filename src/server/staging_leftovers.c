/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_leftovers - what lies in a mutable area and has no row: nobody sees it, but it may be in the way.
 *
 * Directories come into being with their first file, not with their row: one whose row never came, or went before its last file
 * did, would stay for ever.  And a server that was killed between a commit and its removals leaves whole trees.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "server/staging_private.h"

/* A row tells of it, or a batch is about to bring one. */
static bool
is_known(struct batch *b, const char *place)
{
	struct front *f = &b->st->front;
	struct index_node node;
	uint32_t version;
	const char *path;
	uint64_t h;
	int err;

	if (!index_unplace(place, &path, &version))
		return true;
	h = staging_path_hash(b->st, path);
	if (hashset_has(&f->mine, h) || hashset_has(&f->behind, h))
		return true;
	err = index_get(b->st->setup.index, path, &node);
	if (err == 0)
		entry_fini(&node.entry);
	return err != 1;
}

/* Removes the files of one directory: 1 and *gives* a directory in it that must go first, 0, or -1 when something is known. */
static int
clear_files(struct batch *b, const char *dir, char **ret_deeper)
{
	int fd = fsio_open_dir(b->st->setup.profile_fd, dir), result = 0;
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!listing) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (result == 0 && (e = readdir(listing))) {
		char *place;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		place = relpath_join(dir, e->d_name);
		if (!place || is_known(b, place)) {
			result = -1;
		} else if (unlinkat(dirfd(listing), e->d_name, 0) != 0) {
			*ret_deeper = place;
			result = 1;
			continue;
		}
		free(place);
	}
	closedir(listing);
	return result;
}

void
staging_clear_way(struct batch *b, const char *place)
{
	int profile = b->st->setup.profile_fd, more = 1;
	char *at = NULL;
	struct stat st;

	if (fsio_stat(profile, place, &st) == 0 && S_ISDIR(st.st_mode))
		at = strdup(place);
	/* Down to a directory without directories, and up again when it is gone. */
	while (at && more >= 0) {
		char *deeper = NULL;

		more = clear_files(b, at, &deeper);
		if (more > 0) {
			free(at);
			at = deeper;
		} else if (more == 0) {
			if (fsio_rmdir(profile, at) != 0 || strcmp(at, place) == 0)
				break;
			at[relpath_dir_len(at)] = '\0';
		}
	}
	free(at);
}

/* Whether a row tells of a directory: 1, 0, or a negative error.  A link's row says nothing of what lies in its place. */
static int
has_row(struct batch *b, const char *dir)
{
	struct index_node node;
	int got = index_get(b->st->setup.index, dir, &node), kind;

	if (got != 0)
		return got < 0 ? got : 0;
	kind = node.entry.kind;
	entry_fini(&node.entry);
	return kind == ENTRY_DIR;
}

int
staging_plan_bare(struct batch *b, struct change *c)
{
	size_t len = relpath_dir_len(c->path);
	char *dir = len ? strndup(c->path, len) : NULL;
	int err = 0;

	if (len && !dir)
		return err_set(ERR_NOMEM, "planning a batch");
	while (dir && *dir && layout_of(b->st->setup.layout, dir, true) && (err = has_row(b, dir)) == 0) {
		err = hashset_add(&b->st->front.mine, staging_path_hash(b->st, dir));
		if (err)
			break;
		c->bare++;
		dir[relpath_dir_len(dir)] = '\0';
	}
	free(dir);
	return err < 0 ? err : 0;
}

void
staging_remove_bare(struct batch *b, const struct change *c)
{
	char *dir = c->bare ? strdup(c->place) : NULL;
	uint32_t version;
	const char *path;

	for (unsigned i = 0; dir && i < c->bare; i++) {
		dir[relpath_dir_len(dir)] = '\0';
		/* Its row may have come with this batch, or with the one before. */
		if (!index_unplace(dir, &path, &version) || has_row(b, path) != 0 || fsio_rmdir(b->st->setup.profile_fd, dir) != 0)
			break;
	}
	free(dir);
}
