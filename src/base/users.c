/* SPDX-License-Identifier: GPL-2.0-or-later */
/* users - the order in which rights are given up: groups first, for only root may change them. */
#include "base/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/err.h"

int
users_find(const char *name, struct user *ret_user)
{
	char room[16384];
	struct passwd entry, *found;
	int rc = getpwnam_r(name, &entry, room, sizeof room, &found);

	if (rc) {
		errno = rc;
		return err_sys("looking for the user %s", name);
	}
	if (!found)
		return 1;
	*ret_user = (struct user){entry.pw_uid, entry.pw_gid};
	return 0;
}

int
users_become(const struct user *who, gid_t shared)
{
	if (setgroups(1, &shared) != 0 || setresgid(who->gid, who->gid, who->gid) != 0 || setresuid(who->uid, who->uid, who->uid) != 0)
		return err_sys("becoming user %u", who->uid);
	/* A kernel or a sandbox that says yes and does nothing must not go unnoticed. */
	if (who->uid != 0 && setresuid(0, 0, 0) == 0)
		return err_set(ERR_ACCESS, "user %u can become root again", who->uid);
	return 0;
}
