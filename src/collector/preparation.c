/* SPDX-License-Identifier: GPL-2.0-or-later */
/* preparation - the first step of a Standard backup, which changes nothing but the name of local staging. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/daystaging.h"
#include "collector/dbcopy.h"
#include "collector/dblist.h"
#include "collector/preparation.h"
#include "collector/staginglock.h"
#include "livetree.h"

/* Keep this much free beside what DBCOPY writes: the journal must never be the one that finds the disk full. */
#define SPACE_RESERVE (256ull * 1024 * 1024)

#define MIB(bytes) ((unsigned long long)(((bytes) + (1u << 20) - 1) >> 20))

void
preparation_init(struct preparation *p)
{
	*p = (struct preparation){.staging_fd = -1, .lock = -1, .warning = ""};
}

uint64_t
preparation_growth(const struct dblist *live, const struct dblist *copies)
{
	uint64_t growth = 0;

	/* Patched in place: a copy that is there already takes only what its source has grown by.  What vanished from the live tree is
	 * removed after DBCOPY, and makes no room for it. */
	for (size_t i = 0; i < live->n; i++) {
		const struct dblist_file *copy = dblist_find(copies, live->files[i].path);
		uint64_t has = copy ? copy->size : 0;

		growth += live->files[i].size > has ? live->files[i].size - has : 0;
	}
	return growth;
}

/* A disk that fills in the middle of DBCOPY is the journal's disk, too. */
static int
check_room(const struct preparation *p)
{
	enum layout_type type = livetree_type(p->tree);
	struct dblist live = {0}, copies = {0};
	uint64_t free_bytes, total, inodes, growth = 0;
	int err = fsio_space(p->staging_fd, &free_bytes, &total, &inodes);

	if (err == 0 && (err = dblist_read(type, p->tree, -1, &live)) == 0 && (err = dblist_read(type, NULL, p->staging_fd, &copies)) == 0)
		growth = preparation_growth(&live, &copies);
	dblist_fini(&live);
	dblist_fini(&copies);
	if (err)
		return err_prefix(err, "measuring the room for local staging");
	if (free_bytes >= SPACE_RESERVE && free_bytes - SPACE_RESERVE >= growth)
		return 0;
	return err_set(ERR_NOSPACE,
	    "the databases need %llu MiB more in local staging, and %llu MiB beside them are kept for the journal, but only %llu MiB are free in %s: no "
	    "backup was made; free some space and run it again",
	    MIB(growth), MIB(SPACE_RESERVE), (unsigned long long)(free_bytes >> 20), p->profile_dir);
}

/* Without it the set is as good as the office: mail is all there, and an agent builds the index again. */
static const char *
missing_index(const struct livetree *tree)
{
	struct stat st;

	return livetree_type(tree) == LAYOUT_POST_OFFICE && livetree_stat(tree, "ofuser/index", &st) == -ERR_GONE
	    ? "the live tree has no ofuser/index: neither has this set, and whoever searches a restored office waits until its agent has built one"
	    : "";
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
	p->warning = missing_index(p->tree);
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
