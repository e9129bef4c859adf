/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vault - the names of the folders below a profile. */
#include "keeper/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int
open_dirs(struct vault *v)
{
	const struct {
		const char *name;
		int *fd;
	} dirs[] = {
		{"backups/creating", &v->creating}, {"backups/weeknow", &v->weeknow}, {"backups/dropping", &v->dropping},
		{"state/manifests", &v->manifests},
	};

	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		*dirs[i].fd = fsio_make_dirs(v->dir, dirs[i].name, true);
		if (*dirs[i].fd < 0)
			return *dirs[i].fd;
	}
	return 0;
}

/* The receiver may make names beside ours, but not put others in the place of ours: what is ours now stays so. */
static int
check_owners(const struct vault *v)
{
	static const char *const names[] = {"backups", "blobs", "state", "state/catalogue", "state/ledger", "state/manifests"};
	struct stat st;

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		int err = fsio_stat(v->dir, names[i], &st);

		if (err && err != -ERR_GONE)
			return err;
		if (!err && st.st_uid != geteuid())
			return err_set(ERR_UNSAFE, "%s of %s belongs to user %u, not to the keeper", names[i], v->profile, st.st_uid);
	}
	return 0;
}

static bool
is_sealed(const char *name, void *arg)
{
	const struct vault *v = arg;
	struct stat st;

	/* One that cannot be looked at is not forgotten for that. */
	return fsio_stat(v->weeknow, name, &st) != -ERR_GONE;
}

static int
count_name(const char *name, void *arg)
{
	(void)name;
	++*(size_t *)arg;
	return 0;
}

static int
remake_catalogue(struct vault *v)
{
	size_t n = 0;
	int err = vault_names(v->weeknow, count_name, &n);

	if (!err)
		err = catalogue_remake(v->catalogue, is_sealed, v, n, &v->remade);
	return err < 0 ? err : 0;
}

/* Two would take what the other is building for what a crash has left. */
static int
lock_profile(struct vault *v)
{
	v->lock = fsio_lock(v->dir, "state/keeper.lock");
	if (v->lock == -ERR_BUSY)
		return err_set(ERR_BUSY, "another keeper still works in %s", v->path);
	return v->lock < 0 ? v->lock : 0;
}

static int
open_profile(struct vault *v, const char *store)
{
	int err, dir = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_sys("open store %s", store);
	v->dir = fsio_open_dir(dir, v->profile);
	close(dir);
	if (v->dir == -ERR_GONE)
		return err_set(ERR_NOTFOUND, "there is no profile %s", v->profile);
	if (v->dir < 0)
		return v->dir;
	err = v->warden ? check_owners(v) : 0;
	if (!err)
		err = open_dirs(v);
	if (!err)
		err = lock_profile(v);
	if (!err)
		err = catalogue_open(v->state_path, v->profile, &v->catalogue, &v->rebuilt);
	return err ? err : remake_catalogue(v);
}

int
vault_open(const char *store, const char *profile, struct courier *warden, struct vault **ret_vault)
{
	struct vault *v;
	int err;

	if (!relpath_valid(profile) || strchr(profile, '/') || *profile == '.')
		return err_set(ERR_NOTFOUND, "not a name of a profile");
	v = calloc(1, sizeof *v);
	if (!v)
		return err_set(ERR_NOMEM, "out of memory for profile %s", profile);
	v->dir = v->lock = v->creating = v->weeknow = v->dropping = v->manifests = -1;
	v->warden = warden;
	v->profile = strdup(profile);
	v->path = relpath_join(store, profile);
	v->state_path = v->path ? relpath_join(v->path, "state") : NULL;
	err = v->profile && v->state_path ? open_profile(v, store) : err_set(ERR_NOMEM, "out of memory for profile %s", profile);
	if (err) {
		vault_close(v);
		return err;
	}
	*ret_vault = v;
	return 0;
}

void
vault_close(struct vault *v)
{
	if (!v)
		return;
	catalogue_close(v->catalogue);
	close_fd(v->creating);
	close_fd(v->weeknow);
	close_fd(v->dropping);
	close_fd(v->manifests);
	close_fd(v->lock);
	close_fd(v->dir);
	free(v->profile);
	free(v->path);
	free(v->state_path);
	free(v);
}

int
vault_names(int dirfd, int (*visit)(const char *name, void *arg), void *arg)
{
	int err = 0, fd = fsio_open_dir(dirfd, ""); /* its own position, so that walks do not meet */
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (fd < 0)
		return fd;
	if (!dir) {
		close(fd);
		return err_sys("list a directory");
	}
	errno = 0;
	while (!err && (d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			err = visit(d->d_name, arg);
		errno = 0;
	}
	if (!err && errno)
		err = err_sys("list a directory");
	closedir(dir);
	return err;
}
