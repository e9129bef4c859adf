/* SPDX-License-Identifier: GPL-2.0-or-later */
/* preparation - the first step of a Standard backup, which changes nothing but the name of local staging. */
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/daystaging.h"
#include "collector/dbcopy.h"
#include "collector/preparation.h"
#include "collector/staginglock.h"
#include "livetree.h"

/* Keep this much free beside what DBCOPY writes: the journal must never be the one that finds the disk full. */
#define SPACE_RESERVE (256ull * 1024 * 1024)

void
preparation_init(struct preparation *p)
{
	*p = (struct preparation){.staging_fd = -1, .lock = -1};
}

static int
check_room(const struct preparation *p)
{
	uint64_t free_bytes, total, inodes;
	int err = fsio_space(p->staging_fd, &free_bytes, &total, &inodes);

	if (err == 0 && free_bytes < SPACE_RESERVE)
		err = err_set(ERR_NOSPACE, "only %llu MiB are free for local staging in %s: no backup was made; free some space and run it again",
		    (unsigned long long)(free_bytes >> 20), p->profile_dir);
	return err;
}

int
preparation_make(struct preparation *p)
{
	char *problem = dbcopy_problem(p->dbcopy);
	int err;

	if (problem) {
		err = err_set(ERR_CONFIG, "%s: no backup was made; correct dbcopy in the configuration", problem);
		free(problem);
		return err;
	}
	if ((err = livetree_check(p->tree)) != 0)
		return err_prefix(err, "the live tree %s cannot be backed up", livetree_root(p->tree));
	if ((p->lock = staginglock_take(p->profile_dir)) < 0)
		return p->lock;
	if ((err = daystaging_prepare(p->profile_dir, p->day, &p->staging, &p->staging_fd)) != 0)
		return err;
	return check_room(p);
}

void
preparation_end(struct preparation *p, bool copied)
{
	staginglock_end(p->lock, copied);
	if (p->staging_fd >= 0)
		close(p->staging_fd);
	free(p->staging);
	preparation_init(p);
}
