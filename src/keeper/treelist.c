/* SPDX-License-Identifier: GPL-2.0-or-later */
/* treelist - sorted listing, one directory at a time. */
#include "keeper/treelist.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "keeper/vault.h"

struct level {
	struct level *up;
	char *dir;
	char **names;
	size_t n, cap, pos;
};

struct treelist {
	int dirfd;
	struct level *level;
	struct treelist_name name;
	int enter;
};

static int
add_name(const char *name, void *arg)
{
	struct level *l = arg;

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		char **grown = realloc(l->names, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "out of memory for a listing");
		l->names = grown;
		l->cap = cap;
	}
	l->names[l->n] = strdup(name);
	if (!l->names[l->n])
		return err_set(ERR_NOMEM, "out of memory for a listing");
	l->n++;
	return 0;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
level_pop(struct treelist *t)
{
	struct level *l = t->level;

	t->level = l->up;
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	free(l->dir);
	free(l);
}

static int
level_push(struct treelist *t, const char *dir)
{
	struct level *l = calloc(1, sizeof *l);
	int err, fd;

	if (!l || !(l->dir = strdup(dir))) {
		free(l);
		return err_set(ERR_NOMEM, "out of memory for a listing");
	}
	l->up = t->level;
	t->level = l;
	fd = fsio_open_dir(t->dirfd, dir);
	err = fd < 0 ? fd : vault_names(fd, add_name, l);
	/* Of what the disk does not list, no name is there; all else is. */
	if (err == -ERR_IO && !err_is_want(err))
		err = 0;
	if (fd >= 0)
		close(fd);
	if (!err && l->n)
		qsort(l->names, l->n, sizeof *l->names, by_bytes);
	return err;
}

int
treelist_new(int dirfd, struct treelist **ret_tree)
{
	struct treelist *t = calloc(1, sizeof *t);
	int err;

	if (!t)
		return err_set(ERR_NOMEM, "out of memory for a listing");
	t->dirfd = dirfd;
	err = level_push(t, "");
	if (err) {
		treelist_free(t);
		return err;
	}
	*ret_tree = t;
	return 0;
}

int
treelist_next(struct treelist *t, const struct treelist_name **ret_name)
{
	struct level *l;
	int err = 0;

	if (t->enter) {
		t->enter = 0;
		err = level_push(t, t->name.path);
	}
	free(t->name.path);
	t->name.path = NULL;
	while (!err && t->level && t->level->pos == t->level->n)
		level_pop(t);
	l = t->level;
	if (err || !l) {
		*ret_name = NULL;
		return err;
	}
	t->name.path = relpath_join(l->dir, l->names[l->pos++]);
	if (!t->name.path)
		return err_set(ERR_NOMEM, "out of memory for a listing");
	/* Of what the disk does not give, the name is there, and no kind. */
	t->name.st = (struct stat){0};
	err = fsio_stat(t->dirfd, t->name.path, &t->name.st);
	if (err && (err != -ERR_IO || err_is_want(err)))
		return err;
	t->enter = S_ISDIR(t->name.st.st_mode);
	*ret_name = &t->name;
	return 0;
}

void
treelist_skip(struct treelist *t)
{
	t->enter = 0;
}

void
treelist_free(struct treelist *t)
{
	if (!t)
		return;
	while (t->level)
		level_pop(t);
	free(t->name.path);
	free(t);
}

ssize_t
treelist_readlink(int dirfd, const char *path, char *ret_target, size_t size)
{
	char *dir = strndup(path, relpath_dir_len(path));
	int fd = dir ? fsio_open_dir(dirfd, dir) : err_set(ERR_NOMEM, "out of memory for a path");
	ssize_t n;

	free(dir);
	if (fd < 0)
		return fd;
	n = readlinkat(fd, relpath_name(path), ret_target, size - 1);
	if (n < 0)
		n = err_sys("read link %s", path);
	else
		ret_target[n] = '\0';
	close(fd);
	return n;
}
