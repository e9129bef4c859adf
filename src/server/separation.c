/* SPDX-License-Identifier: GPL-2.0-or-later */
/* separation - the order of the steps down from root: what needs it first, the warden who keeps it, then never again. */
#include "server/separation.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "server/config.h"
#include "server/warden.h"

#define RUN_DIR_MODE 01775 /* another daemon's socket may lie there: who owns a name removes it */

static struct warden_setup setup; /* the warden's and the keepers', for as long as they live */

/* ---- the users ---- */

/* 0, or 1: there is none of that name and nobody asked for it. */
static int
find(const char *name, const char *key, const struct conf *conf, struct user *ret_user)
{
	int err = users_find(name, ret_user);

	if (err == 1 && conf_line(conf, conf_nth(conf, "server", 0), key) != 1)
		return err_set(ERR_CONFIG, "%s: the machine has no user %s; make it (useradd --system %s) or write \"root\"", key, name, name);
	return err;
}

static int
find_both(const struct conf *conf, struct owners *ret_owners)
{
	const struct server_config *c = server_config_main(conf);
	int err = find(c->user, "user", conf, &ret_owners->receiver);

	if (!err)
		err = find(c->keeper_user, "keeper-user", conf, &ret_owners->keeper);
	if (err || ret_owners->receiver.uid == 0 || ret_owners->keeper.uid == 0)
		return err ? err : 1;
	return ret_owners->receiver.uid != ret_owners->keeper.uid ? 0
	    : err_set(ERR_CONFIG, "user and keeper-user are the same user (two that differ, or \"root\" for none)");
}

/* ---- the steps ---- */

/* The socket's place; one that root left there could not be replaced. */
static int
give_run_dir(const char *run_dir, gid_t common)
{
	int err = 0, fd;

	if (mkdir(run_dir, 0755) != 0 && errno != EEXIST)
		return err_sys("making run-dir %s", run_dir);
	fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys("opening run-dir %s", run_dir);
	if (fchown(fd, 0, common) != 0 || fchmod(fd, RUN_DIR_MODE) != 0)
		err = err_sys("giving run-dir %s its owner", run_dir);
	else if (unlinkat(fd, "server.sock", 0) != 0 && errno != ENOENT)
		err = err_sys("removing the socket in %s", run_dir);
	close(fd);
	return err;
}

static int
may_read(const char *file, const char *user)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys("user %s cannot read %s, which receiver and keeper read again: give it that right", user, file);
	close(fd);
	return 0;
}

static int
separate(const struct server_config *c, struct separation *s)
{
	int err = give_run_dir(c->run_dir, setup.owners.receiver.gid);

	log_info("server.owners", "the store's files get their owners where they have others; this takes long once");
	if (!err)
		err = ownership_of_store(c->store, &setup.owners);
	if (!err)
		err = warden_start(&setup, &s->warden);
	if (!err)
		err = users_become(&setup.owners.receiver, setup.owners.receiver.gid);
	if (!err)
		err = may_read(setup.config, c->user);
	if (err) {
		separation_end(s);
		return err;
	}
	umask(0007); /* the keeper, who is of our group, removes what lies in directories that it does not yet own */
	snprintf(s->text, sizeof s->text, "receiver is %s, keeper %s: what a set is made of cannot be changed from the network's side", c->user,
	    c->keeper_user);
	return 0;
}

static void
stay(const struct server_config *c, struct separation *s)
{
	const struct passwd *self = getpwuid(geteuid());
	const char *what = geteuid() != 0 ? "start the server as root, as its unit does"
	    : strcmp(c->user, "root") == 0 || strcmp(c->keeper_user, "root") == 0 ? "name two users other than root as user and keeper-user"
	    : "make the users that user and keeper-user name (make install does), and start the server again";

	snprintf(s->text, sizeof s->text, "receiver and keeper both run as %s: whoever breaks into the one that listens can change sealed sets; %s",
	    self ? self->pw_name : "one user", what);
}

int
separation_begin(const struct conf *conf, const char *file, const char *keeper_program, struct separation *ret_separation)
{
	const struct server_config *c = server_config_main(conf);
	int err;

	*ret_separation = (struct separation){0};
	setup = (struct warden_setup){.store = c->store, .program = keeper_program, .config = file};
	err = geteuid() == 0 ? find_both(conf, &setup.owners) : 1;
	if (err < 0)
		return err;
	if (err == 0)
		return separate(c, ret_separation);
	if (geteuid() == 0 && (err = ownership_forget(c->store)) != 0)
		return err_prefix(err, "%s/.owners: the store was two users', and cannot become one's", c->store);
	stay(c, ret_separation);
	return 0;
}

void
separation_end(struct separation *s)
{
	warden_free(s->warden);
	s->warden = NULL;
}
