/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ownership - modes and owners by place, and a walk that gives what is there already to them. */
#include "server/ownership.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "wire/identity.h"

#define MARK ".owners"
#define MAKING ".making"
#define MARK_BYTES 128
#define SHARED_MODE 01770 /* sticky: only who owns a name, or the directory, removes or replaces it */
#define BLOB_MODE 0440

/* Whose a tree is, and with which modes; 0 leaves a mode as it is. */
struct deed {
	struct user owner;
	gid_t group;
	mode_t dirs, files;
	bool links; /* files may have several names: not where a name could be a second one of a keeper's file */
};

struct place {
	const char *name;
	const struct deed *deed; /* of what lies in it */
	mode_t mode;             /* of itself */
};

/* ---- one name ---- */

static int
give_fd(int fd, const struct deed *deed, mode_t mode)
{
	if (fchown(fd, deed->owner.uid, deed->group) != 0)
		return err_sys("changing an owner");
	return mode && fchmod(fd, mode) != 0 ? err_sys("changing a mode") : 0;
}

/* What is no directory; a link itself, never what it leads to. */
static int
give_name(int dir, const char *name, const struct stat *st, const struct deed *deed)
{
	if (S_ISREG(st->st_mode) && st->st_nlink > 1 && !deed->links)
		return 0;
	if ((st->st_uid != deed->owner.uid || st->st_gid != deed->group) &&
	    fchownat(dir, name, deed->owner.uid, deed->group, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : err_sys("changing the owner of %s", name);
	if (S_ISREG(st->st_mode) && deed->files && (st->st_mode & 07777) != deed->files && fchmodat(dir, name, deed->files, 0) != 0)
		return err_sys("changing the mode of %s", name);
	return 0;
}

/* ---- a tree ---- */

static int give_tree(int parent, const char *name, const struct deed *deed, bool itself);

static int
give_content(DIR *list, const struct deed *deed)
{
	struct dirent *d;
	int err = 0;

	for (errno = 0; !err && (d = readdir(list)); errno = 0) {
		struct stat st;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(list), d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			err = errno == ENOENT ? 0 : err_sys("looking at %s", d->d_name);
		else if (S_ISDIR(st.st_mode))
			err = give_tree(dirfd(list), d->d_name, deed, true);
		else
			err = give_name(dirfd(list), d->d_name, &st, deed);
	}
	return !err && errno ? err_sys("listing a directory") : err;
}

/* A directory's content first: it is its new owner's only when all in it is. */
static int
give_tree(int parent, const char *name, const struct deed *deed, bool itself)
{
	int fd = fsio_open_dir(parent, name), err;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (!list) {
		if (fd >= 0)
			close(fd);
		return fd == -ERR_GONE ? 0 : fd < 0 ? fd : err_sys("listing %s", name);
	}
	err = give_content(list, deed);
	if (!err && itself)
		err = give_fd(fd, deed, deed->dirs);
	closedir(list);
	return err;
}

/* ---- a profile ---- */

/* The receiver's in the folder that both use; quarantined ones and locks bear the same beginning. */
static bool
is_receivers(const char *name)
{
	static const char *const heads[] = {"index", "partial", "jobs", "lock"};

	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		if (strncmp(name, heads[i], strlen(heads[i])) == 0)
			return true;
	return false;
}

static int
give_state(int profile, const struct deed *receiver, const struct deed *keeper)
{
	int err = 0, fd = fsio_open_dir(profile, "state");
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!list) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : err_sys("listing state");
	}
	while (!err && (errno = 0, d = readdir(list))) {
		const struct deed *deed = is_receivers(d->d_name) ? receiver : keeper;
		struct stat st;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			err = errno == ENOENT ? 0 : err_sys("looking at state/%s", d->d_name);
		else
			err = S_ISDIR(st.st_mode) ? give_tree(fd, d->d_name, deed, true) : give_name(fd, d->d_name, &st, deed);
	}
	if (!err && errno)
		err = err_sys("listing state");
	closedir(list);
	return err;
}

/* `known`: its owners were set before.  Then nothing of the receiver's becomes the keeper's, for he would believe what is in it. */
static int
make_place(int profile, const struct place *place, const struct deed *receiver, bool known)
{
	int fd = fsio_make_dirs(profile, place->name, true), err;
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) != 0)
		err = err_sys("looking at %s", place->name);
	else if (known && place->deed != receiver && st.st_uid == receiver->owner.uid)
		err = err_set(ERR_DENIED, "%s was made by the receiver in the keeper's place; look at it, and move it away", place->name);
	else
		err = give_fd(fd, place->deed, place->mode);
	close(fd);
	return err;
}

/* The keeper's names in the folder that both use are there before the receiver could make one. */
static int
make_places(int profile, const struct deed *receiver, const struct deed *keeper, const struct deed *shared, bool known)
{
	const struct place places[] = {
		{"gre_data", receiver, 0750}, {"gre_data/sync", receiver, 0750}, {"backups", keeper, 0700}, {"state/catalogue", keeper, 0700},
		{"state/ledger", keeper, 0700}, {"state/manifests", keeper, 0700}, {"state", shared, SHARED_MODE}, {"blobs", shared, SHARED_MODE},
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof places / sizeof *places; i++)
		err = make_place(profile, &places[i], receiver, known);
	return err;
}

static void
mark_text(const struct owners *o, char text[MARK_BYTES])
{
	snprintf(text, MARK_BYTES, "receiver %u:%u keeper %u:%u\n", o->receiver.uid, o->receiver.gid, o->keeper.uid, o->keeper.gid);
}

static int
mark(int dir, const struct owners *owners)
{
	char text[MARK_BYTES];

	mark_text(owners, text);
	return fsio_replace_file(dir, MARK, text, strlen(text), 0644, "ownership.mark");
}

/* A mark that cannot be read is not "none": what the receiver made meanwhile would become the keeper's. */
static int
read_mark(int dir, const struct owners *owners, bool *ret_marked)
{
	char want[MARK_BYTES], *got;
	size_t len;
	int err = fsio_read_file(dir, MARK, MARK_BYTES, &got, &len);

	*ret_marked = false;
	if (err)
		return err == -ERR_GONE || err == -ERR_LIMIT ? 0 : err; /* too long: it is not for these two */
	mark_text(owners, want);
	*ret_marked = strcmp(got, want) == 0;
	free(got);
	return 0;
}

/* A mark that was copied without the owners.  None of the two can have given the keeper's folder to anybody else, or exchanged it, for the
 * profile's own is root's. */
static int
look_for_a_copy(int profile, const struct owners *owners, bool *marked)
{
	struct stat st;
	int err = fsio_stat(profile, "backups", &st);

	if (!err && st.st_uid != owners->keeper.uid && st.st_uid != owners->receiver.uid)
		*marked = false;
	return err == -ERR_GONE ? 0 : err;
}

static int
give_profile(int profile, const struct owners *owners)
{
	const gid_t common = owners->receiver.gid;
	const struct deed receiver = {.owner = owners->receiver, .group = common}, keeper = {.owner = owners->keeper, .group = owners->keeper.gid, .links = true},
	    staging = {.owner = owners->receiver, .group = common, .dirs = 0750, .files = 0640},
	    blobs = {.owner = owners->keeper, .group = common, .dirs = SHARED_MODE, .files = BLOB_MODE, .links = true},
	    shared = {.owner = owners->keeper, .group = common};
	bool marked;
	int err = read_mark(profile, owners, &marked);

	if (!err && marked)
		err = look_for_a_copy(profile, owners, &marked);
	if (err || marked)
		return err ? err : make_places(profile, &receiver, &keeper, &shared, true);
	err = give_tree(profile, "gre_data", &staging, true);
	if (!err)
		err = give_tree(profile, "backups", &keeper, true);
	if (!err)
		err = give_tree(profile, "blobs", &blobs, false);
	if (!err)
		err = make_places(profile, &receiver, &keeper, &shared, false);
	if (!err)
		err = give_state(profile, &receiver, &keeper);
	if (!err)
		err = fsio_sync_fs(profile, "ownership.sync");
	return err ? err : mark(profile, owners);
}

static int
give_folder(int store_fd, const char *name, const struct owners *owners)
{
	int err, fd = fsio_make_dirs(store_fd, name, true);

	if (fd < 0)
		return fd;
	/* The folder itself first: while it is root's, nobody exchanges what is looked at. */
	err = fchown(fd, 0, owners->receiver.gid) != 0 || fchmod(fd, 0750) != 0 ? err_sys("giving %s its owner", name) : 0;
	if (!err)
		err = give_profile(fd, owners);
	close(fd);
	return err;
}

/* A new one has its name when all in it is as it will be: the keeper may be looking for profiles. */
int
ownership_of_profile(int store_fd, const char *profile, const struct owners *owners)
{
	struct stat st;
	bool made;
	int err;

	if (!identity_name_valid(profile))
		return err_set(ERR_DENIED, "not a profile's name");
	made = fsio_stat(store_fd, profile, &st) == -ERR_GONE;
	err = give_folder(store_fd, made ? MAKING : profile, owners);
	if (!err && made)
		err = fsio_publish(store_fd, MAKING, store_fd, profile, true, "ownership.profile");
	return err ? err_prefix(err, "the owners of profile %s", profile) : 0;
}

/* ---- the store ---- */

/* Other folders may lie in a store; one that has a state is a profile. */
static bool
is_profile(int store, const char *name)
{
	int fd = identity_name_valid(name) ? fsio_open_dir(store, name) : -1;
	struct stat st;
	bool is = fd >= 0 && fsio_stat(fd, "state", &st) == 0 && S_ISDIR(st.st_mode);

	if (fd >= 0)
		close(fd);
	return is;
}

static int
each_profile(int store, int (*visit)(int store, const char *name, const struct owners *owners), const struct owners *owners)
{
	int err = 0, fd = fsio_open_dir(store, "");
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!list) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : err_sys("listing the store");
	}
	while (!err && (errno = 0, d = readdir(list)))
		if (is_profile(store, d->d_name))
			err = visit(store, d->d_name, owners);
	if (!err && errno)
		err = err_sys("listing the store");
	closedir(list);
	return err;
}

/* Once: whatever the receiver links into its own folder later stays whose it is.  One that is not its own it cannot have made, for the
 * store is root's: an administrator put it back, or it was lost. */
static int
give_identity(int store, const struct owners *owners)
{
	const struct deed own = {.owner = owners->receiver, .group = owners->receiver.gid};
	struct stat st;
	bool marked;
	int fd, err = read_mark(store, owners, &marked);

	if (err)
		return err;
	fd = fsio_make_dirs(store, ".identity", true);
	if (fd < 0)
		return fd;
	err = fstat(fd, &st) != 0 ? err_sys("looking at .identity") : 0;
	close(fd);
	if (err || (marked && st.st_uid == owners->receiver.uid))
		return err;
	err = give_tree(store, ".identity", &own, true);
	return err || marked ? err : mark(store, owners);
}

int
ownership_of_store(const char *store, const struct owners *owners)
{
	int err, fd;

	if (mkdir(store, 0750) != 0 && errno != EEXIST)
		return err_sys("making the store %s", store);
	fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys("opening the store %s", store);
	err = fchown(fd, 0, owners->receiver.gid) != 0 || fchmod(fd, 0750) != 0 ? err_sys("giving the store %s its owner", store) : 0;
	if (!err)
		err = give_identity(fd, owners);
	if (!err)
		err = each_profile(fd, ownership_of_profile, owners);
	close(fd);
	return err;
}

static int
forget(int dir)
{
	int err = fsio_unlink(dir, MARK);

	return err == -ERR_GONE ? 0 : err;
}

static int
forget_one(int store, const char *name, const struct owners *owners)
{
	int err, fd = fsio_open_dir(store, name);

	(void)owners;
	if (fd < 0)
		return fd == -ERR_GONE ? 0 : fd;
	err = forget(fd);
	close(fd);
	return err;
}

int
ownership_forget(const char *store)
{
	int err, fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys("opening the store");
	err = forget(fd);
	if (!err)
		err = each_profile(fd, forget_one, NULL);
	close(fd);
	return err;
}

/* ---- one by one ---- */

int
ownership_take(int fd, const struct owners *owners)
{
	const struct deed deed = {.owner = owners->keeper, .group = owners->receiver.gid};
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys("looking at what the keeper wants");
	if (st.st_uid != owners->receiver.uid || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return err_set(ERR_DENIED, "not a file or directory of the receiver's");
	return give_fd(fd, &deed, S_ISDIR(st.st_mode) ? SHARED_MODE : BLOB_MODE);
}
