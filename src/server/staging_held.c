/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_held - what is held of a path: the file whose blocks a collector is told, and that its next transfer builds on.
 *
 * A path can have two: the file in its place, and what is left of a transfer that was cut.  Both sides must mean the same one, for
 * nothing reads a patched file again before it is sealed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "server/staging_private.h"

int
staging_open_placed(const struct staging_setup *setup, const char *path)
{
	const struct layout_row *row = layout_of(setup->layout, path, false);
	struct index_node node = {0};
	uint32_t version = 1;
	int err, fd;

	if (!row)
		return err_set(ERR_GONE, "%s is not in the layout", path);
	err = index_get(setup->index, path, &node);
	if (err < 0)
		return err;
	bool has_row = err == 0;
	if (has_row)
		version = node.version;
	else if (row->class == LAYOUT_BLOB && (err = index_version(setup->index, path, &version)) < 0)
		return err;
	entry_fini(&node.entry);
	if (!version)
		return err_set(ERR_GONE, "nothing is held of %s", path);
	char *place = index_place(setup->layout, path, version);
	fd = place ? fsio_open(setup->profile_fd, place, O_RDONLY, 0) : err_set(ERR_NOMEM, "opening %s", path);
	free(place);
	if (fd == -ERR_UNSAFE)
		return err_set(ERR_GONE, "a link lies in the place of %s", path);
	/* Bytes in doubt are read from the disk: after a failed sync the memory's copy may be the only one. */
	if (fd >= 0 && !has_row)
		(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

bool
staging_goes_on(int partial, bool blob, int placed)
{
	struct stat st;

	if (partial < 0 || fstat(partial, &st) != 0 || st.st_size == 0)
		return false;
	if (!blob && placed >= 0 && (fstat(placed, &st) != 0 || S_ISREG(st.st_mode)) && !PLANTED(blocks_of_another_file))
		return false;
	/* After a failed sync memory may hold what the disk does not. */
	(void)posix_fadvise(partial, 0, 0, POSIX_FADV_DONTNEED);
	return true;
}

int
staging_open_held(int profile_fd, enum layout_type layout, const struct block_key *key, struct index *index, const char *path)
{
	const struct staging_setup setup = {.index = index, .profile_fd = profile_fd, .layout = layout, .key = key};
	const struct layout_row *row = layout_of(layout, path, false);
	char name[PARTIAL_NAME], place[sizeof PARTIAL_DIR + PARTIAL_NAME];
	int partial, other, placed = staging_open_placed(&setup, path);
	bool is_partial;

	/* An error is the answer, too: it must not become the other file of the two. */
	if (placed < 0 && placed != -ERR_GONE)
		return placed;
	partial_name(key, path, name);
	snprintf(place, sizeof place, "%s/%s", PARTIAL_DIR, name);
	partial = fsio_open(profile_fd, place, O_RDONLY, 0);
	is_partial = (partial < 0 && partial != -ERR_GONE) || staging_goes_on(partial, row && row->class == LAYOUT_BLOB, placed);
	other = is_partial ? placed : partial;
	if (other >= 0)
		close(other);
	return is_partial ? partial : placed;
}
