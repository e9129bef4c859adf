/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * office_boot - what a reboot makes doubtful.
 *
 * A power failure can take back what was written into a file in place, and leave the times that the writing gave it: they reach the
 * medium by another way.  Nothing that stat tells shows that such a file is again what it was before.  Write-once files grow with their
 * bytes and databases are read by every DBCOPY; only the files of INDEX areas are mutable and judged by stat.  So after a boot that we
 * did not know they are read once.
 */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "collector/config.h"
#include "collector/memo.h"
#include "collector/office_private.h"
#include "journal/blockmap.h"
#include "layout.h"

static bool
is_mutable(const char *dir, void *arg)
{
	const struct office *p = arg;

	return layout_watch((enum layout_type)p->config->type, dir) == LAYOUT_WATCH_INDEX;
}

int
office_doubt_after_boot(struct office *p)
{
	struct memo_facts *memo = memo_facts(p->memo);
	char now[CLOCK_BOOT_ID];
	int err = clock_boot_id(now);

	if (err || strcmp(now, memo->boot_id) == 0)
		return err;
	err = blockmap_doubt(p->map, is_mutable, p);
	if (err)
		return err;
	log_debug("profile.boot", "profile=%s: files that change in place are read once", p->name);
	memcpy(memo->boot_id, now, sizeof now);
	memo_store(p->memo);
	return 0;
}
