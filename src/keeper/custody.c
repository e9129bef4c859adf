/* SPDX-License-Identifier: GPL-2.0-or-later */
/* custody - the order of taking over and looking: whatever is looked at first could be exchanged before it is taken. */
#include "keeper/custody.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/courier.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/relpath.h"

#define TAKE 't' /* server/warden.h */
#define DIR_MODE 01770
#define FILE_MODE 0440

struct custody {
	const struct vault *vault;
	char *dir; /* of the last blob, relative to the profile's folder; NULL: none yet */
	int fd;    /* of it */
};

int
custody_new(const struct vault *v, struct custody **ret_custody)
{
	struct custody *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(ERR_NOMEM, "out of memory for a seal");
	c->vault = v;
	c->fd = -1;
	*ret_custody = c;
	return 0;
}

static void
leave_dir(struct custody *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->dir);
	c->dir = NULL;
}

void
custody_free(struct custody *c)
{
	if (!c)
		return;
	leave_dir(c);
	free(c);
}

/* ---- taking one name ---- */

static bool
is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & 07777) == (S_ISDIR(st->st_mode) ? DIR_MODE : FILE_MODE);
}

/* `fd` is open on `name` in `dir`, a directory of ours.  Once it is ours, too, the name cannot be taken from it: then one look tells
 * whether it still bears it. */
static int
take(const struct custody *c, int dir, const char *name, int fd)
{
	struct courier_note answer;
	struct stat st, named;
	int err = 0;

	if (fstat(fd, &st) != 0)
		return err_sys("looking at %s", name);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return err_set(ERR_UNSAFE, "%s is no file", name);
	if (st.st_uid != geteuid())
		err = courier_ask(c->vault->warden, &(struct courier_note){.kind = TAKE, .fd = fd}, &answer);
	else if (!is_ours(&st) && fchmod(fd, S_ISDIR(st.st_mode) ? DIR_MODE : FILE_MODE) != 0)
		err = err_sys("mode of %s", name);
	/* Denied: another hand was faster with a directory of both; the next look tells. */
	if (err && err != -ERR_DENIED)
		return err;
	if (fstat(fd, &st) != 0 || fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return err_sys("looking at %s", name);
	if (!is_ours(&st) || st.st_dev != named.st_dev || st.st_ino != named.st_ino)
		return err_set(ERR_UNSAFE, "%s is not what it was a moment ago", name);
	return 0;
}

/* Goes from the profile's folder to `place`, which becomes the keeper's step by step. */
static int
take_way(const struct custody *c, const char *dir)
{
	int err = 0, at = fsio_open_dir(c->vault->dir, "");
	char name[256];

	while (at >= 0 && *dir && !err) {
		size_t len = strcspn(dir, "/");
		int next;

		if (len >= sizeof name)
			err = err_set(ERR_UNSAFE, "a name of %zu bytes", len);
		else {
			memcpy(name, dir, len);
			name[len] = '\0';
			dir += len + (dir[len] == '/');
			next = fsio_open_dir(at, name);
			err = next < 0 ? next : PLANTED(folders_left_to_the_receiver) ? 0 : take(c, at, name, next);
			close(at);
			at = next;
		}
	}
	if (err && at >= 0)
		close(at);
	return err ? err : at;
}

static int
go_to(struct custody *c, const char *place)
{
	size_t len = relpath_dir_len(place);

	if (c->dir && strlen(c->dir) == len && memcmp(c->dir, place, len) == 0)
		return 0;
	leave_dir(c);
	c->dir = strndup(place, len);
	if (!c->dir)
		return err_set(ERR_NOMEM, "out of memory for a path");
	c->fd = take_way(c, c->dir);
	if (c->fd >= 0)
		return 0;
	int err = c->fd;
	leave_dir(c);
	return err;
}

/* ---- reading it while nobody writes ---- */

static bool
leased(int fd)
{
	return fcntl(fd, F_GETLEASE) == F_RDLCK;
}

/* 0, 1 when somebody may write to it, or might have while it was read. */
static int
read_leased(struct copy *copy, int fd, struct copy_sums *ret_sums)
{
	struct copy_sums sums;
	int err;

	if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0 && !PLANTED(writer_at_the_seal_ignored))
		return 1;
	err = copy_pass(copy, fd, -1, &sums);
	if (!err && !leased(fd) && !PLANTED(writer_at_the_seal_ignored))
		err = 1;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	if (!err)
		*ret_sums = sums;
	return err;
}

/* What was acknowledged stays whole whenever the power goes: the copy is on disk before it takes the place. */
static int
replace_by(const struct custody *c, struct copy *copy, int from, int to, const char *made, const char *name, struct copy_sums *ret_sums)
{
	struct stat st;
	int err = copy_clone(copy, from, to, ret_sums);

	if (!err && fstat(from, &st) != 0)
		err = err_sys("looking at %s", name);
	if (!err && (fchown(to, (uid_t)-1, st.st_gid) != 0 || fchmod(to, FILE_MODE) != 0 ||
	    futimens(to, (struct timespec[2]){{.tv_nsec = UTIME_OMIT}, st.st_mtim}) != 0))
		err = err_sys("owner, mode and time of %s", name);
	if (!err)
		err = fsio_sync_file(to, "custody.copy");
	return err ? err : fsio_rename(c->vault->creating, made, c->fd, name);
}

static int
read_replaced(const struct custody *c, struct copy *copy, int fd, const char *name, struct copy_sums *ret_sums)
{
	char made[64];
	int err, to;

	snprintf(made, sizeof made, "blob-%p", (const void *)c);
	err = fsio_unlink(c->vault->creating, made);
	to = err ? err : fsio_open(c->vault->creating, made, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (to < 0)
		return to;
	err = replace_by(c, copy, fd, to, made, name, ret_sums);
	close(to);
	if (err)
		(void)fsio_unlink(c->vault->creating, made);
	else
		log_info("custody.copied", "profile=%s name=%s was open for writing, or the file system has no leases", c->vault->profile, name);
	return err;
}

/* ---- both ways ---- */

static int
read_taken(struct custody *c, struct copy *copy, const char *place, struct copy_sums *ret_sums)
{
	const char *name = relpath_name(place);
	int err = go_to(c, place), fd;

	if (err)
		return err;
	fd = fsio_open(c->fd, name, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	err = take(c, c->fd, name, fd);
	if (!err)
		err = read_leased(copy, fd, ret_sums);
	if (err == 1)
		err = read_replaced(c, copy, fd, name, ret_sums);
	close(fd);
	return err;
}

static int
read_found(const struct custody *c, struct copy *copy, const char *place, struct copy_sums *ret_sums)
{
	int err, fd = fsio_open(c->vault->dir, place, O_RDONLY | O_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	err = copy_pass(copy, fd, -1, ret_sums);
	close(fd);
	return err;
}

int
custody_read(struct custody *c, struct copy *copy, const char *place, struct copy_sums *ret_sums)
{
	int err = c->vault->warden ? read_taken(c, copy, place, ret_sums) : read_found(c, copy, place, ret_sums);

	/* That memory or descriptors had run out says nothing of the blob. */
	if (err_is_want(err))
		return err;
	return err == -ERR_GONE || err == -ERR_UNSAFE || err == -ERR_DENIED || err == -ERR_IO ? 1 : err;
}
