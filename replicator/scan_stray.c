/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scan_stray - what is found by the directories that have sums, not by the rows that lead to them. */
#include "replicator/scan_stray.h"

#include <sys/stat.h>

#include "base/err.h"
#include "journal/blockmap.h"
#include "replicator/origin.h"

struct search {
	const struct origin *origin;
	struct scan_gone *strays;
};

static int
visit(const char *dir, void *arg)
{
	const struct search *s = arg;
	struct stat st;
	int err;

	if (!origin_owns(s->origin, dir, true))
		return 0;
	err = origin_stat(s->origin, dir, &st);
	if (err == -ERR_GONE || err == -ERR_UNSAFE || (err == 0 && !S_ISDIR(st.st_mode)))
		return scan_gone_add(s->strays, dir);
	return 0; /* there, or beyond our reach */
}

int
scan_strays(struct blockmap *map, const struct origin *origin, const char *under, struct scan_gone *strays)
{
	struct search s = {origin, strays};

	return blockmap_strays(map, under, visit, &s);
}
