/* SPDX-License-Identifier: GPL-2.0-or-later */
/* staging_front - what the batch in front is taken from and written through, opened, emptied and closed. */
#include <stdlib.h>
#include <unistd.h>

#include "base/fsio.h"
#include "server/staging_private.h"

int
front_open(struct front *f, int profile_fd)
{
	uint64_t free_bytes, free_inodes;
	int err = 0;

	STAILQ_INIT(&f->frames);
	STAILQ_INIT(&f->spent);
	LIST_INIT(&f->transfers);
	f->partial_fd = fsio_make_dirs(profile_fd, PARTIAL_DIR, true);
	if (f->partial_fd < 0)
		return f->partial_fd;
	err = fsio_space(f->partial_fd, &free_bytes, &f->disk_bytes, &free_inodes);
	for (size_t i = 0; err == 0 && i < SLICES; i++)
		err = dircache_new(profile_fd, DIRS_OPEN, &f->dirs[i]);
	return err;
}

void
front_drop_frames(struct front *f)
{
	struct payload *p;

	while ((p = STAILQ_FIRST(&f->frames))) {
		STAILQ_REMOVE_HEAD(&f->frames, link);
		STAILQ_INSERT_TAIL(&f->spent, p, link);
	}
	if (f->current)
		STAILQ_INSERT_TAIL(&f->spent, f->current, link);
	f->current = NULL;
	if (f->held) {
		staging_change_fini(f->held);
		free(f->held);
		f->held = NULL;
	}
}

void
front_close(struct front *f)
{
	struct transfer *t;

	front_drop_frames(f);
	payloads_free(&f->spent);
	while ((t = LIST_FIRST(&f->transfers))) {
		LIST_REMOVE(t, link);
		staging_transfer_free(t);
	}
	hashset_fini(&f->mine);
	hashset_fini(&f->behind);
	hashset_fini(&f->armed);
	for (size_t i = 0; i < SLICES; i++)
		dircache_free(f->dirs[i]);
	if (f->partial_fd >= 0)
		close(f->partial_fd);
}
