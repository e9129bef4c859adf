/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watcher - what an event means: a name to look at, a directory to compare, a watch to add or drop.
 *
 * Happy path: events of known watches become changes.  Failure modes, each ending in a RESCAN: overflow; an event of a watch
 * we do not know; a directory that cannot be watched (again at every poll).  The root gone or unmounted: nothing is
 * inferred at all until it is back, then everything is walked and compared.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "watcher/fold.h"
#include "watcher/walk.h"
#include "watcher/watcher.h"
#include "watcher/watchmap.h"

#define UNWATCHED_EACH 64u /* directories compared one by one at a cookie; of more, the whole tree */

struct watcher {
	struct livetree *tree;
	struct source *source;
	char *cookie_dir;
	int cookie_watch;
	struct fold *fold;
	struct watchmap *map;
	char **unwatched; /* directories to poll */
	size_t n_unwatched, cap_unwatched;
	bool blind;        /* what was not watched was forgotten: the next comparison of the whole tree asks for every file */
	const void *names; /* those of the tree when it was last walked as a whole */
	int64_t now_ns;
	struct watcher_figures figures;
};

/* ---- adding and dropping watches ---- */

static int
on_watched(int watch, const char *dir, void *arg)
{
	struct watcher *w = arg;

	return watchmap_put(w->map, watch, dir);
}

static int
on_unwatched(const char *dir, int err, void *arg)
{
	struct watcher *w = arg;
	char *copy;

	(void)err;
	for (size_t i = 0; i < w->n_unwatched; i++)
		if (strcmp(w->unwatched[i], dir) == 0)
			return 0;
	if (w->n_unwatched == w->cap_unwatched) {
		size_t cap = w->cap_unwatched ? w->cap_unwatched * 2 : 16;
		char **grown = realloc(w->unwatched, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "remembering unwatched directories");
		w->unwatched = grown;
		w->cap_unwatched = cap;
	}
	copy = strdup(dir);
	if (!copy)
		return err_set(ERR_NOMEM, "remembering unwatched directories");
	w->unwatched[w->n_unwatched++] = copy;
	return 0;
}

static bool
is_watched(const char *dir, void *arg)
{
	struct watcher *w = arg;

	return watchmap_has(w->map, dir);
}

static const struct walk_events walk_events = {.watched = on_watched, .unwatched = on_unwatched};
/* For what was walked before: what is watched there tells of itself. */
static const struct walk_events poll_events = {.watched = on_watched, .unwatched = on_unwatched, .known = is_watched};

static int
rescan(struct watcher *w, const char *dir)
{
	w->figures.rescans++;
	return fold_rescan(w->fold, dir, w->now_ns);
}

/* As rescan, where changes raised no event: times of directories tell nothing of what was written into their files. */
static int
rescan_blind(struct watcher *w, const char *dir)
{
	w->figures.rescans++;
	return fold_blind(w->fold, dir, w->now_ns);
}

static void
drop_watch(int watch, void *arg)
{
	struct watcher *w = arg;

	w->source->remove(w->source, watch);
}

/* Drops what is watched and what is polled on `dir` and below.  True: there was something to poll. */
static bool
forget_tree(struct watcher *w, const char *dir)
{
	size_t kept = 0;
	bool blind;

	watchmap_kill(w->map, dir, drop_watch, w);
	for (size_t i = 0; i < w->n_unwatched; i++) {
		if (relpath_within(w->unwatched[i], dir))
			free(w->unwatched[i]);
		else
			w->unwatched[kept++] = w->unwatched[i];
	}
	blind = kept < w->n_unwatched;
	w->n_unwatched = kept;
	return blind;
}

static int
watch_cookies(struct watcher *w)
{
	int watch = w->source->add(w->source, w->cookie_dir, LAYOUT_WATCH_BLOB);

	if (watch < 0)
		return err_prefix(watch, "watching our own cookie folder: no backup could ever be made");
	w->cookie_watch = watch;
	return 0;
}

static int
lose_root(struct watcher *w)
{
	w->figures.root_gone = true;
	w->blind |= forget_tree(w, "");
	return 0;
}

/* Watches the whole tree anew and asks for everything to be compared; or finds that it is gone. */
static int
walk_all(struct watcher *w)
{
	int err = livetree_refresh(w->tree);

	if (err == -ERR_NOMEM)
		return err;
	if (err < 0)
		return lose_root(w);
	w->names = livetree_names(w->tree);
	w->blind |= forget_tree(w, "");
	err = walk_tree(w->tree, w->source, "", &walk_events, w);
	if (err == -ERR_GONE)
		return lose_root(w);
	if (err == 0)
		err = w->blind ? rescan_blind(w, "") : rescan(w, "");
	if (err) {
		lose_root(w); /* half of it watched, and nothing said of the rest: the next poll begins anew */
		return err;
	}
	w->figures.root_gone = w->blind = false;
	return 0;
}

/* What lies at `path` now is watched, whatever did before, and compared. */
static int
look_anew(struct watcher *w, const char *path, bool there)
{
	bool blind = forget_tree(w, path);
	int err = there ? walk_tree(w->tree, w->source, path, &walk_events, w) : 0;

	if (err)
		return err;
	return blind ? rescan_blind(w, path) : rescan(w, path);
}

/* ---- events ---- */

/* A directory came, went or moved, in one that is watched for `above`.  Both ends of a move are seen here for themselves. */
static int
on_directory(struct watcher *w, enum source_what what, enum layout_watch above, const char *path)
{
	enum layout_watch interest = layout_watch(livetree_type(w->tree), path);

	if (interest == LAYOUT_WATCH_NONE || what == SOURCE_ATTRIBUTES)
		return interest == LAYOUT_WATCH_NONE ? 0 : rescan(w, path);
	/* A fixed directory may have come under another case, or gone: the tree must know before it is walked. */
	if (above == LAYOUT_WATCH_NAMES && livetree_refresh(w->tree) == -ERR_GONE)
		return lose_root(w);
	return look_anew(w, path, what == SOURCE_CREATED || what == SOURCE_MOVED_TO);
}

static int
on_name(struct watcher *w, const struct source_event *event, const char *dir)
{
	char *path = relpath_join(dir, event->name);
	int err = 0;

	if (!path)
		return err_set(ERR_NOMEM, "reading events");
	layout_canonical(livetree_type(w->tree), path);
	if (event->is_dir)
		err = on_directory(w, event->what, layout_watch(livetree_type(w->tree), dir), path);
	else if (layout_watch(livetree_type(w->tree), dir) != LAYOUT_WATCH_NAMES && layout_of(livetree_type(w->tree), path, false))
		err = fold_event(w->fold, event->what, false, path, w->now_ns);
	free(path);
	return err;
}

/* The watched directory itself: gone, moved, unmounted, or its watch forgotten. */
static int
on_itself(struct watcher *w, const struct source_event *event, const char *dir)
{
	char *copy;
	int err;

	switch (event->what) {
	case SOURCE_FORGOTTEN:
		watchmap_forget(w->map, event->watch);
		return 0;
	case SOURCE_UNMOUNTED:
		return PLANTED(unmount_ignored) ? 0 : lose_root(w);
	case SOURCE_ATTRIBUTES:
	case SOURCE_DIR_GONE:
		if (!*dir)
			return event->what == SOURCE_DIR_GONE ? lose_root(w) : 0;
		/* The parent's event says the same, unless nobody watches the parent, or for its names only.  One that was moved keeps its watch,
		 * which must not be taken for that of the next of its name. */
		copy = strdup(dir);
		if (!copy)
			return err_set(ERR_NOMEM, "reading events");
		err = event->what == SOURCE_DIR_GONE ? look_anew(w, copy, true) : rescan(w, copy);
		free(copy);
		return err;
	default:
		return 0;
	}
}

/* No event tells what happened there before the cookie: whoever waits for it must have it compared. */
static int
rescan_unwatched(struct watcher *w)
{
	int err = 0;

	if (w->n_unwatched > UNWATCHED_EACH)
		return rescan_blind(w, "");
	for (size_t i = 0; err == 0 && i < w->n_unwatched; i++)
		err = rescan_blind(w, w->unwatched[i]);
	return err;
}

static int
on_cookie(struct watcher *w, const struct source_event *event)
{
	int err;

	if (event->what == SOURCE_DIR_GONE && *event->name == '\0') {
		/* Deleted or moved: what comes from there no longer counts.  Its end is the kernel's FORGOTTEN. */
		w->source->remove(w->source, event->watch);
		return 0;
	}
	if (event->what == SOURCE_FORGOTTEN) {
		w->cookie_watch = -1; /* poll watches it again */
		return 0;
	}
	/* Its close says that the barrier's file is whole; its removal says nothing. */
	if (event->what != SOURCE_WRITTEN)
		return 0;
	/*
	 * Who asks may see a root that we have lost: it was gone for a moment only, or one call failed.  What happened since is told
	 * before the cookie, or there is no answer, and he asks again.
	 */
	if (w->figures.root_gone && !PLANTED(cookie_of_lost_root) && ((err = walk_all(w)) != 0 || w->figures.root_gone))
		return err;
	err = rescan_unwatched(w);
	return err ? err : fold_cookie(w->fold, event->name, w->now_ns);
}

static int
on_event(struct watcher *w, const struct source_event *event)
{
	bool dead = false;
	const char *dir;
	int err;

	w->figures.events++;
	if (event->what == SOURCE_OVERFLOW && PLANTED(overflow_ignored))
		return 0;
	if (event->what == SOURCE_OVERFLOW) {
		w->figures.overflows++;
		/* What we removed before this has been forgotten by now, whether or not the kernel's word of it was lost. */
		watchmap_forget_dead(w->map);
		w->cookie_watch = -1;
		if (watch_cookies(w) == -ERR_NOMEM)
			return -ERR_NOMEM;
		/* Directories made meanwhile are not watched: everything is walked again. */
		return w->figures.root_gone ? 0 : walk_all(w);
	}
	if (event->watch == w->cookie_watch || (PLANTED(foreign_cookie_believed) && strncmp(event->name, "cookie-", 7) == 0))
		return on_cookie(w, event);
	dir = watchmap_dir(w->map, event->watch, &dead);
	if (!dir)
		return event->what == SOURCE_FORGOTTEN || w->figures.root_gone || PLANTED(unknown_watch_ignored) ? 0 : rescan(w, "");
	if (dead && event->what != SOURCE_FORGOTTEN)
		return 0;
	if (*event->name == '\0')
		return on_itself(w, event, dir);
	char *copy = strdup(dir); /* the map may change under us */
	err = copy ? on_name(w, event, copy) : err_set(ERR_NOMEM, "reading events");
	free(copy);
	return err;
}

/* ---- the public face ---- */

int
watcher_new(struct livetree *tree, struct source *source, const char *cookie_dir, struct watcher **ret_watcher)
{
	struct watcher *w = calloc(1, sizeof *w);
	int err = w ? 0 : err_set(ERR_NOMEM, "making a watcher");

	if (err == 0) {
		w->tree = tree;
		w->source = source;
		w->cookie_watch = -1;
		w->cookie_dir = strdup(cookie_dir);
		err = w->cookie_dir ? fold_new(&w->fold) : err_set(ERR_NOMEM, "making a watcher");
	}
	if (err == 0)
		err = watchmap_new(&w->map);
	if (err) {
		watcher_free(w);
		return err;
	}
	*ret_watcher = w;
	return 0;
}

void
watcher_free(struct watcher *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_unwatched; i++)
		free(w->unwatched[i]);
	free(w->unwatched);
	watchmap_free(w->map);
	fold_free(w->fold);
	free(w->cookie_dir);
	free(w);
}

int
watcher_start(struct watcher *w, int64_t now_ns)
{
	int err = watch_cookies(w);

	w->now_ns = now_ns;
	return err ? err : walk_all(w);
}

int
watcher_drain(struct watcher *w, size_t max_events, int64_t now_ns, bool *ret_more)
{
	struct source_event event;
	size_t n = 0;
	int got = 0, err = 0;

	w->now_ns = now_ns;
	while (err == 0 && n < max_events && (got = w->source->next(w->source, &event)) == 1) {
		err = on_event(w, &event);
		n++;
	}
	if (err == 0 && got < 0)
		err = got;
	if (err)
		return err;
	*ret_more = got == 1;
	return 0;
}

int
watcher_take(struct watcher *w, int64_t now_ns, struct change **ret_changes, size_t *ret_n)
{
	return fold_take(w->fold, now_ns, ret_changes, ret_n);
}

int
watcher_turn(struct watcher *w, size_t max_events, int64_t now_ns, struct change **ret_changes, size_t *ret_n, bool *ret_more)
{
	int err = watcher_drain(w, max_events, now_ns, ret_more);

	return err ? err : watcher_take(w, now_ns, ret_changes, ret_n);
}

/* Tries again what could not be watched; what still cannot is compared, as an event would have asked. */
static int
poll_unwatched(struct watcher *w)
{
	char **dirs = w->unwatched;
	size_t n = w->n_unwatched;
	int err = 0;

	w->unwatched = NULL;
	w->n_unwatched = w->cap_unwatched = 0;
	for (size_t i = 0; i < n; i++) {
		/* Also when it is watched by now: it may be its listing that failed. */
		if (err == 0)
			err = walk_tree(w->tree, w->source, dirs[i], &poll_events, w);
		if (err == 0)
			err = rescan_blind(w, dirs[i]);
		free(dirs[i]);
	}
	free(dirs);
	return err;
}

/* A file system that is mounted or unmounted below the root sends no event; and whoever reads the names for another reason, an event's say,
 * sees it first. */
static int
poll_tree(struct watcher *w)
{
	int err;

	if (w->figures.root_gone)
		return walk_all(w);
	if (livetree_refresh(w->tree) < 0)
		return lose_root(w);
	if (livetree_names(w->tree) != w->names)
		return walk_all(w);
	err = poll_unwatched(w);
	if (err) {
		lose_root(w); /* the rest of the list is forgotten */
		w->blind = true;
	}
	return err == -ERR_GONE ? 0 : err;
}

/* Without a cookie folder no barrier passes; changes are seen all the same. */
int
watcher_poll(struct watcher *w, int64_t now_ns)
{
	int err, cookies;

	w->now_ns = now_ns;
	err = poll_tree(w);
	cookies = w->cookie_watch < 0 ? watch_cookies(w) : 0;
	return err ? err : cookies;
}

bool
watcher_waits(const struct watcher *w)
{
	return fold_ripe_ns(w->fold) != 0;
}

void
watcher_figures(const struct watcher *w, struct watcher_figures *ret_figures)
{
	*ret_figures = w->figures;
	ret_figures->overflows += fold_overflows(w->fold); /* of our memory: they end in the same way */
	ret_figures->directories = watchmap_count(w->map);
	ret_figures->unwatched = w->n_unwatched;
}
