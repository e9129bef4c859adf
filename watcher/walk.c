/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walk - a stack of directories still to be watched and listed. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "watcher/walk.h"

struct stack {
	char **dirs;
	size_t n, cap;
};

struct walk {
	struct livetree *tree;
	struct source *source;
	const struct walk_events *events;
	void *arg;
	struct stack stack;
};

/* Takes `dir` always. */
static int
push(struct stack *s, char *dir)
{
	if (dir && s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		char **grown = realloc(s->dirs, cap * sizeof *grown);

		if (!grown) {
			free(dir);
			dir = NULL;
		} else {
			s->dirs = grown;
			s->cap = cap;
		}
	}
	if (!dir)
		return err_set(ERR_NOMEM, "walking the tree");
	s->dirs[s->n++] = dir;
	return 0;
}

static int
add_watch(struct walk *w, const char *dir, enum layout_watch interest)
{
	char *live = livetree_live_path(w->tree, dir), *path = NULL;
	int watch;

	if (live)
		path = relpath_join(livetree_root(w->tree), live);
	if (live && !*live) {
		free(path);
		/* The root's own path may be a link, which the source does not follow at a path's end. */
		path = relpath_join(livetree_root(w->tree), ".");
	}
	watch = path ? w->source->add(w->source, path, interest) : err_set(ERR_NOMEM, "walking the tree");
	free(path);
	free(live);
	return watch;
}

static bool
wanted(struct walk *w, DIR *listing, const struct dirent *entry, const char *path)
{
	if (layout_watch(livetree_type(w->tree), path) == LAYOUT_WATCH_NONE || (w->events->known && w->events->known(path, w->arg)))
		return false;
	return fsio_is_dir(listing, entry) != 0; /* what cannot be looked at is tried as one, and told as not watched */
}

static int
push_children(struct walk *w, const char *dir, DIR *listing)
{
	struct dirent *entry;
	int err = 0;

	while (errno = 0, (entry = readdir(listing))) {
		char *path;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		path = relpath_join(dir, entry->d_name);
		if (path)
			layout_canonical(livetree_type(w->tree), path);
		if (path && !wanted(w, listing, entry, path))
			free(path);
		else if ((err = push(&w->stack, path)) != 0)
			return err;
	}
	return errno ? w->events->unwatched(dir, err_sys("listing %s", dir), w->arg) : 0;
}

static int
list(struct walk *w, const char *dir)
{
	int fd = livetree_open_dir(w->tree, dir), err;
	DIR *listing;

	if (fd == -ERR_GONE)
		return 0;
	if (fd >= 0 && fsio_has_no_subdirs(fd)) { /* a million names need not be read to find no directory among them */
		close(fd);
		return 0;
	}
	listing = fd < 0 ? NULL : fdopendir(fd);
	if (!listing) {
		if (fd >= 0)
			close(fd);
		return w->events->unwatched(dir, fd < 0 ? fd : -ERR_NOMEM, w->arg);
	}
	err = push_children(w, dir, listing);
	closedir(listing);
	return err;
}

static int
visit(struct walk *w, const char *dir)
{
	enum layout_watch interest = layout_watch(livetree_type(w->tree), dir);
	int watch, err;

	if (interest == LAYOUT_WATCH_NONE)
		return 0;
	if (PLANTED(listing_before_watch) && (err = list(w, dir)) != 0)
		return err;
	watch = add_watch(w, dir, interest);
	if (watch == -ERR_NOMEM || (watch == -ERR_GONE && !*dir))
		return watch;
	if (watch == -ERR_GONE)
		return 0;
	err = watch >= 0 ? w->events->watched(watch, dir, w->arg) : w->events->unwatched(dir, watch, w->arg);
	/* An unwatched directory is listed all the same: what lies below may be watchable. */
	return err || PLANTED(listing_before_watch) ? err : list(w, dir);
}

int
walk_tree(struct livetree *tree, struct source *source, const char *dir, const struct walk_events *events, void *arg)
{
	struct walk w = {.tree = tree, .source = source, .events = events, .arg = arg};
	int err = push(&w.stack, strdup(dir));

	while (err == 0 && w.stack.n) {
		char *next = w.stack.dirs[--w.stack.n];

		err = visit(&w, next);
		free(next);
	}
	while (w.stack.n)
		free(w.stack.dirs[--w.stack.n]);
	free(w.stack.dirs);
	return err;
}
