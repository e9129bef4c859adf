/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dblist - walks the snapshot areas of a live tree or of a copy; breadth first, so that its memory is the list it gives. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "collector/dblist.h"
#include "livetree.h"

struct walk {
	enum layout_type type;
	const struct livetree *tree;
	int dirfd;
	struct dblist list;
};

static int
grow(void **array, size_t n, size_t *cap, size_t item)
{
	size_t more = *cap ? *cap * 2 : 256;
	void *grown;

	if (n < *cap)
		return 0;
	grown = realloc(*array, more * item);
	if (!grown)
		return err_set(ERR_NOMEM, "listing the databases");
	*array = grown;
	*cap = more;
	return 0;
}

/* Takes `path` on success. */
static int
add_file(struct dblist *l, char *path, const struct stat *st)
{
	int err = grow((void **)&l->files, l->n, &l->cap, sizeof *l->files);

	if (err == 0)
		l->files[l->n++] = (struct dblist_file){
		    .path = path,
		    .size = (uint64_t)st->st_size,
		    .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
		};
	return err;
}

static int
add_dir(struct dblist *l, char *path)
{
	int err = grow((void **)&l->dirs, l->n_dirs, &l->dirs_cap, sizeof *l->dirs);

	if (err == 0)
		l->dirs[l->n_dirs++] = path;
	return err;
}

static bool
wanted(const struct walk *w, const char *path, bool is_dir)
{
	const struct layout_row *row = layout_of(w->type, path, is_dir);

	return row && row->class == LAYOUT_SNAPSHOT;
}

/* Takes `path` always. */
static int
sort_name(struct walk *w, char *path)
{
	struct stat st;
	int err = w->tree ? livetree_stat(w->tree, path, &st) : fsio_stat(w->dirfd, path, &st);

	if (err == 0 && S_ISREG(st.st_mode) && wanted(w, path, false)) {
		if ((err = add_file(&w->list, path, &st)) == 0)
			return 0;
	} else if (err == 0 && S_ISDIR(st.st_mode) && wanted(w, path, true)) {
		if ((err = add_dir(&w->list, path)) == 0)
			return 0;
	}
	free(path);
	return err == -ERR_GONE ? 0 : err;
}

static int
list_dir(struct walk *w, const char *dir)
{
	int fd = w->tree ? livetree_open_dir(w->tree, dir) : fsio_open_dir(w->dirfd, dir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int err = 0;

	if (fd < 0)
		return fd == -ERR_GONE ? 0 : err_prefix(fd, "listing %s", *dir ? dir : "the root");
	if (!d) {
		close(fd);
		return err_set(ERR_NOMEM, "listing %s", dir);
	}
	while (err == 0 && (errno = 0, entry = readdir(d))) {
		char *path;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		path = relpath_join(dir, entry->d_name);
		if (path)
			layout_canonical(w->type, path);
		err = path ? sort_name(w, path) : err_set(ERR_NOMEM, "listing %s", dir);
	}
	if (err == 0 && errno && !PLANTED(unlisted_is_gone))
		err = err_sys("listing %s", *dir ? dir : "the root"); /* what was not read is not gone */
	closedir(d);
	return err;
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct dblist_file *)a)->path, ((const struct dblist_file *)b)->path);
}

/* Two fixed directories that differ in case only are one, listed twice. */
static void
drop_twins(struct dblist *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (kept && strcmp(l->files[kept - 1].path, l->files[i].path) == 0)
			free(l->files[i].path);
		else
			l->files[kept++] = l->files[i];
	}
	l->n = kept;
}

int
dblist_read(enum layout_type type, const struct livetree *tree, int dirfd, struct dblist *ret_list)
{
	struct walk w = {.type = type, .tree = tree, .dirfd = dirfd};
	int err = list_dir(&w, "");

	for (size_t i = 0; err == 0 && i < w.list.n_dirs; i++)
		err = list_dir(&w, w.list.dirs[i]);
	if (err) {
		dblist_fini(&w.list);
		return err;
	}
	if (w.list.n)
		qsort(w.list.files, w.list.n, sizeof *w.list.files, by_path);
	drop_twins(&w.list);
	*ret_list = w.list;
	return 0;
}

const struct dblist_file *
dblist_find(const struct dblist *l, const char *path)
{
	struct dblist_file key = {0};

	memcpy(&key.path, &path, sizeof path); /* compared, never written */
	return l->n ? bsearch(&key, l->files, l->n, sizeof *l->files, by_path) : NULL;
}

void
dblist_fini(struct dblist *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->files[i].path);
	for (size_t i = 0; i < l->n_dirs; i++)
		free(l->dirs[i]);
	free(l->files);
	free(l->dirs);
	*l = (struct dblist){0};
}
