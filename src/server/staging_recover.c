/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_recover - what is left of work that was cut short: by a crash, a failed sync, or the end of a session.
 *
 * The index decides: bytes without a row were never acknowledged.  The one thing that is never done here is to remove a
 * blob that may belong to a set: only files above the versions known of their path go, and only from armed directories.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "server/staging_private.h"

#define PARTIAL_KEEP_S (7 * 86400)
#define META_SCANNED "scanned" /* every blob on disk has its version */

/* ---- lists of paths, read first and changed after ---- */

struct paths {
	char **v;
	size_t n, cap;
};

static int
paths_add(struct paths *p, const char *path)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		char **grown = realloc(p->v, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "recovering");
		p->v = grown;
		p->cap = cap;
	}
	p->v[p->n] = strdup(path);
	return p->v[p->n] ? (p->n++, 0) : err_set(ERR_NOMEM, "recovering");
}

static int
collect(const char *path, void *arg)
{
	return paths_add(arg, path);
}

static void
paths_fini(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i]);
	free(p->v);
}

static int
apply_to_all(const struct staging *st, const struct paths *p, enum index_op_kind kind)
{
	struct index_op *ops = calloc(p->n ? p->n : 1, sizeof *ops);
	int err = 0;

	if (!ops)
		return err_set(ERR_NOMEM, "recovering");
	for (size_t i = 0; i < p->n; i++)
		ops[i] = (struct index_op){.kind = kind, .path = p->v[i]};
	if (p->n)
		err = index_apply(st->setup.index, st->setup.key, ops, p->n);
	free(ops);
	return err;
}

/* ---- walking a directory ---- */

static int
list_dir(int root_fd, const char *place, int (*visit)(int dir_fd, const char *place, const char *name, const struct stat *st, void *arg),
    void *arg)
{
	int err = 0, fd = fsio_open_dir(root_fd, place);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fd == -ERR_GONE ? 0 : fd < 0 ? fd : err_sys("listing %s", place);
	}
	for (errno = 0; err == 0 && (d = readdir(dir)); errno = 0) {
		struct stat st;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			err = visit(dirfd(dir), place, d->d_name, &st, arg);
	}
	if (err == 0 && errno)
		err = err_sys("listing %s", place);
	closedir(dir);
	return err;
}

/* ---- armed directories ---- */

struct recovery {
	struct staging *st;
	struct staging_recovery figures;
	int64_t now_s;
	struct index_found *found;
	size_t n_found, cap_found;
};

/* A file nobody was told of: a large one becomes a partial file again, so that its transfer goes on; the others go. */
static int
withdraw(struct recovery *r, int dir_fd, const char *name, const char *path, const struct stat *st)
{
	char partial[PARTIAL_NAME];

	/* What the keeper has taken over is a set's, and not ours to move: the next attempt goes above it. */
	if (st->st_uid != geteuid() && geteuid() != 0)
		return 0;
	if ((uint64_t)st->st_size > WIRE_WHOLE_MAX) {
		partial_name(r->st->setup.key, path, partial);
		r->figures.partials++;
		return fsio_rename(dir_fd, name, r->st->front.partial_fd, partial);
	}
	r->figures.removed++;
	return unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT ? 0 : err_sys("removing %s", path);
}

static int
check_armed_file(int dir_fd, const char *place, const char *name, const struct stat *st, void *arg)
{
	struct recovery *r = arg;
	char *full = relpath_join(place, name);
	uint32_t version, known;
	const char *path;
	int err = 0;

	if (!full)
		return err_set(ERR_NOMEM, "recovering");
	if (S_ISREG(st->st_mode) && index_unplace(full, &path, &version)) {
		err = index_version(r->st->setup.index, path, &known);
		if (err == 0 && version > known)
			err = withdraw(r, dir_fd, name, path, st);
	}
	free(full);
	return err;
}

static int
recover_armed(struct recovery *r)
{
	struct staging *st = r->st;
	struct paths armed = {0};
	int err = index_armed(st->setup.index, collect, &armed);

	for (size_t i = 0; err == 0 && i < armed.n; i++)
		err = list_dir(st->setup.profile_fd, armed.v[i], check_armed_file, r);
	/* A file that is gone must not come back after the directory was disarmed. */
	if (err == 0 && armed.n)
		err = fsio_sync_fs(st->setup.profile_fd, "staging.recover");
	if (err == 0)
		err = apply_to_all(st, &armed, INDEX_DISARM);
	if (err == 0)
		hashset_clear(&st->front.armed);
	paths_fini(&armed);
	return err;
}

int
staging_disarm(struct staging *st)
{
	struct paths armed = {0};
	int err = index_armed(st->setup.index, collect, &armed);

	/* Of a refused file the removal must be durable before the directory counts as clean. */
	if (err == 0 && armed.n)
		err = fsio_sync_fs(st->setup.profile_fd, "staging.disarm");
	if (err == 0)
		err = apply_to_all(st, &armed, INDEX_DISARM);
	if (err == 0)
		hashset_clear(&st->front.armed);
	paths_fini(&armed);
	return err;
}

/* ---- marks ---- */

/* The bytes stay for the comparison; the row goes, because it may lie about them. */
static int
recover_marks(struct recovery *r)
{
	struct paths marks = {0};
	int err = index_marks(r->st->setup.index, collect, &marks);

	if (err == 0)
		err = apply_to_all(r->st, &marks, INDEX_REMOVE);
	r->figures.doubtful += marks.n;
	paths_fini(&marks);
	return err;
}

/* ---- a new index over an old store ---- */

static int
found_add(struct recovery *r, const char *path, uint32_t version)
{
	if (r->n_found == r->cap_found) {
		size_t cap = r->cap_found ? 2 * r->cap_found : 1024;
		struct index_found *grown = realloc(r->found, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "taking over what lies in staging");
		r->found = grown;
		r->cap_found = cap;
	}
	struct index_found *f = &r->found[r->n_found];
	f->path = strdup(path);
	f->version = version;
	if (!f->path)
		return err_set(ERR_NOMEM, "taking over what lies in staging");
	r->n_found++;
	return 0;
}

static int
found_flush(struct recovery *r)
{
	int err = index_versions_found(r->st->setup.index, r->found, r->n_found);

	for (size_t i = 0; i < r->n_found; i++)
		free(r->found[i].path);
	r->figures.found += r->n_found;
	r->n_found = 0;
	return err;
}

static int
take_over(int dir_fd, const char *place, const char *name, const struct stat *st, void *arg)
{
	struct recovery *r = arg;
	char *full = relpath_join(place, name);
	uint32_t version;
	const char *path;
	int err = 0;

	(void)dir_fd;
	if (!full)
		return err_set(ERR_NOMEM, "taking over what lies in staging");
	if (S_ISDIR(st->st_mode))
		err = list_dir(r->st->setup.profile_fd, full, take_over, r);
	else if (S_ISREG(st->st_mode) && index_unplace(full, &path, &version))
		err = found_add(r, path, version);
	free(full);
	return err || r->n_found < 4096 ? err : found_flush(r);
}

/* Once in an index's life: blobs that lie there already may belong to sets. */
static int
recover_found(struct recovery *r)
{
	struct index *index = r->st->setup.index;
	char *value = NULL;
	size_t len;
	int err = index_meta_get(index, META_SCANNED, &value, &len);

	free(value);
	if (err <= 0)
		return err;
	err = list_dir(r->st->setup.profile_fd, "blobs", take_over, r);
	if (err == 0)
		err = found_flush(r);
	free(r->found);
	return err ? err : index_meta_put(index, META_SCANNED, "1", 1);
}

/* ---- partial files ---- */

static int
check_partial(int dir_fd, const char *place, const char *name, const struct stat *st, void *arg)
{
	struct recovery *r = arg;

	(void)place;
	if (strncmp(name, "new-", 4) == 0 || st->st_size == 0 || st->st_mtime < r->now_s - PARTIAL_KEEP_S)
		(void)unlinkat(dir_fd, name, 0);
	else
		r->figures.partials++;
	return 0;
}

int
staging_recover(struct staging *st, int64_t now_s, struct staging_recovery *ret_recovery)
{
	struct recovery r = {.st = st, .now_s = now_s};
	int err = list_dir(st->setup.profile_fd, PARTIAL_DIR, check_partial, &r);

	if (err == 0)
		err = recover_marks(&r);
	if (err == 0)
		err = recover_found(&r);
	if (err == 0)
		err = recover_armed(&r);
	if (err)
		return err_prefix(err, "recovering staging");
	*ret_recovery = r.figures;
	return 0;
}

/* ---- the end of a session ---- */

int
staging_settle(struct staging *st)
{
	struct front *f = &st->front;
	struct paths cut = {0};
	struct transfer *t;
	int err = 0;

	front_drop_frames(f);
	while ((t = LIST_FIRST(&f->transfers))) {
		LIST_REMOVE(t, link);
		if (t->marked && !t->dead && err == 0)
			err = paths_add(&cut, t->path);
		staging_transfer_free(t);
	}
	f->n_transfers = 0;
	f->last_op = 0;
	hashset_clear(&f->mine);
	hashset_clear(&f->behind);
	/* Window 6: a patch was cut by the end of its session; the mark stands until the row is gone. */
	if (err == 0 && !st->broken)
		err = apply_to_all(st, &cut, INDEX_REMOVE);
	if (err == 0 && !st->broken)
		err = staging_disarm(st);
	paths_fini(&cut);
	return err;
}
