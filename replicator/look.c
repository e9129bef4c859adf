/* SPDX-License-Identifier: GPL-2.0-or-later */
/* look - how a name on disk is compared with the map, and how a small file is read without tearing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "replicator/look.h"
#include "base/planted.h"
#include "replicator/origin.h"

#define MESSAGE_BYTES 192 /* of a PUT besides path, target and data: generously */
#define VANISHED 1        /* it went between stat and open: look again */

static int64_t
ns(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct blockmap_stat
look_stat(const struct stat *st)
{
	return (struct blockmap_stat){.inode = st->st_ino, .ctime_ns = ns(st->st_ctim)};
}

bool
look_same_metadata(const struct entry *a, const struct entry *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->size == b->size &&
	    a->mtime_ns == b->mtime_ns && a->rdev == b->rdev;
}

bool
look_same_instant(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    ns(a->st_mtim) == ns(b->st_mtim) && ns(a->st_ctim) == ns(b->st_ctim);
}

/* A directory's inode and ctime move with every name in it, so they say nothing about the directory's own entry. */
bool
look_unchanged(const struct stat *st, const struct entry *known, const struct blockmap_stat *known_stat)
{
	struct entry e = {0};

	entry_from_stat(&e, st);
	return !known_stat->adopted && look_same_metadata(&e, known) &&
	    (S_ISDIR(st->st_mode) ||
	        (known_stat->inode == st->st_ino && (known_stat->ctime_ns == ns(st->st_ctim) || PLANTED(ctime_ignored))));
}

bool
look_travels_whole(const struct origin *o, const char *path, uint64_t size)
{
	const struct layout_row *row = size > LOOK_PATCH_MIN ? layout_of(o->type, path, false) : NULL;

	return size <= LOOK_PATCH_MIN || (size <= WIRE_WHOLE_MAX && row && row->class == LAYOUT_BLOB);
}

size_t
look_wire_bytes(const struct work *w)
{
	return MESSAGE_BYTES + strlen(w->path) + (w->entry.target ? strlen(w->entry.target) : 0) +
	    (w->verdict == WORK_PUT ? w->entry.size : 0);
}

static void
fail(struct work *w, int err)
{
	w->verdict = WORK_FAILED;
	w->err = err;
	snprintf(w->text, sizeof w->text, "%s", err_text());
}

static void
look_at_absent(struct work *w, const struct entry *known)
{
	w->absent = true;
	if (!w->known)
		w->verdict = WORK_SAME;
	else if (origin_believes_absence(w->origin, w->path) < 0) {
		w->verdict = WORK_HELD;
		snprintf(w->text, sizeof w->text, "%s", err_text());
	} else
		w->verdict = known->kind == ENTRY_DIR && !w->leaf ? WORK_TREE : WORK_REMOVE;
}

/* The open file's `st` whole, into `buf` of its size; growth is seen by the stat after. */
static int
read_at_once(int fd, const struct stat *st, uint8_t *buf)
{
	ssize_t n = fsio_pread(fd, buf, (size_t)st->st_size, 0);
	struct stat after;

	if (n < 0)
		return (int)n;
	if (fstat(fd, &after) < 0)
		return err_sys("stat after reading");
	if (n != st->st_size || !look_same_instant(st, &after))
		return err_set(ERR_TORN, "changed while being read");
	return 0;
}

static int
read_small(struct look *l, struct work *w, const struct stat *seen)
{
	struct stat st;
	int err = 0, fd = origin_near_open(&l->near, w->origin, w->path, O_RDONLY);

	if (fd < 0)
		return fd == -ERR_GONE ? VANISHED : fd;
	if (fstat(fd, &st) < 0)
		err = err_sys("stat");
	else if (!S_ISREG(st.st_mode) || !look_same_instant(seen, &st))
		err = VANISHED;
	else if (!(w->data = malloc((size_t)st.st_size + 1)))
		err = err_set(ERR_NOMEM, "no memory for %lld bytes", (long long)st.st_size);
	else
		err = read_at_once(fd, &st, w->data);
	close(fd);
	return err;
}

/* What the content says when the metadata could not. */
static void
judge_content(struct work *w, const struct entry *known, bool believed, enum work_verdict when_new)
{
	bool equal = w->known && believed && known->kind == w->entry.kind && known->size == w->entry.size &&
	    hash128_equal(known->digest, w->entry.digest);

	if (!equal)
		w->verdict = when_new;
	else
		w->verdict = look_same_metadata(&w->entry, known) ? WORK_LEARNED : WORK_ENTRY;
	if (w->verdict != WORK_PUT) {
		free(w->data);
		w->data = NULL;
	}
}

static int
look_at_file(struct look *l, struct work *w, const struct stat *st, const struct entry *known)
{
	bool marked = false;
	int err;

	if (!look_travels_whole(w->origin, w->path, (uint64_t)st->st_size)) {
		w->verdict = WORK_LARGE;
		return 0;
	}
	if ((err = read_small(l, w, st)) || (err = blockmap_in_flight(l->map, w->path, &marked)))
		return err;
	w->entry.digest = block_hash(l->key, w->data, (size_t)st->st_size);
	judge_content(w, known, !marked, WORK_PUT);
	return 0;
}

static int
look_at_link(struct look *l, struct work *w, const struct stat *st, const struct entry *known)
{
	char target[ENTRY_TARGET_MAX + 2];
	int fd = origin_open(w->origin, w->path, O_PATH);
	ssize_t n;

	if (fd < 0)
		return fd == -ERR_GONE ? VANISHED : fd;
	n = readlinkat(fd, "", target, sizeof target - 1);
	if (n < 0)
		err_sys("reading the link");
	close(fd);
	if (n < 0)
		return VANISHED;
	target[n] = '\0';
	if (n > ENTRY_TARGET_MAX)
		return err_set(ERR_LIMIT, "the link's target is longer than %d bytes", ENTRY_TARGET_MAX);
	w->entry.size = (uint64_t)n;
	w->entry.digest = block_hash(l->key, target, (size_t)n);
	if (!(w->entry.target = strdup(target)))
		return err_set(ERR_NOMEM, "no memory");
	w->stat = look_stat(st);
	judge_content(w, known, true, WORK_ENTRY);
	return 0;
}

static int
any_dir(const char *dir, void *arg)
{
	(void)dir, (void)arg;
	return 1;
}

/* The map has rows below a name that is no directory, and no directory's row leads to them: the server refuses the name until they
 * are gone, and the scan that found both would wait for it before it removes them. */
static int
is_above_strays(const struct look *l, const struct work *w, const struct stat *st)
{
	return S_ISDIR(st->st_mode) || w->leaf ? 0 : blockmap_strays(l->map, w->path, any_dir, NULL);
}

static int
look_at_present(struct look *l, struct work *w, const struct stat *st, const struct entry *known, const struct blockmap_stat *known_stat)
{
	bool marked = false;
	int err;

	if (w->known && (known->kind == ENTRY_DIR) != S_ISDIR(st->st_mode)) {
		w->verdict = known->kind == ENTRY_DIR && !w->leaf ? WORK_TREE : WORK_REMOVE;
		w->again = true;
		return 0;
	}
	entry_from_stat(&w->entry, st);
	w->stat = look_stat(st);
	if (w->known && look_unchanged(st, known, known_stat)) {
		if (S_ISREG(st->st_mode) && (err = blockmap_in_flight(l->map, w->path, &marked)) < 0)
			return err;
		w->entry.digest = known->digest;
		w->verdict = WORK_SAME;
		if (!marked)
			return 0;
	}
	if ((err = is_above_strays(l, w, st)) != 0) {
		w->verdict = WORK_TREE;
		return err < 0 ? err : 0;
	}
	if (S_ISREG(st->st_mode))
		return look_at_file(l, w, st, known);
	if (S_ISLNK(st->st_mode))
		return look_at_link(l, w, st, known);
	if (!w->known || !look_same_metadata(&w->entry, known))
		w->verdict = WORK_ENTRY;
	else
		w->verdict = WORK_LEARNED;
	return 0;
}

static int
look_once(struct look *l, struct work *w)
{
	struct entry known = {0};
	struct blockmap_stat known_stat = {0};
	struct stat st;
	int err = blockmap_get(l->map, w->path, &known, &known_stat);

	if (err < 0)
		return err;
	w->known = err == 0;
	err = origin_near_stat(&l->near, w->origin, w->path, &st);
	if (err == -ERR_GONE || err == -ERR_UNSAFE) { /* below a link nothing is reached: the link itself is what is there */
		look_at_absent(w, &known);
		err = 0;
	} else if (!err && !origin_owns(w->origin, w->path, S_ISDIR(st.st_mode))) {
		w->verdict = WORK_SAME;
	} else if (!err) {
		err = look_at_present(l, w, &st, &known, &known_stat);
	}
	entry_fini(&known);
	return err;
}

static void
look_at(struct look *l, struct work *w)
{
	int err = VANISHED;

	for (int tries = 0; tries < 3 && err == VANISHED; tries++) {
		work_forget(w);
		err = look_once(l, w);
	}
	if (err == VANISHED)
		err = err_set(ERR_TORN, "replaced while being read");
	if (err)
		fail(w, err);
}

static void
look_at_all(struct look *l)
{
	size_t bytes = 0;

	for (l->looked = 0; l->looked < l->n; l->looked++) {
		struct work *w = l->works[l->looked];

		look_at(l, w);
		bytes += look_wire_bytes(w);
		if (bytes > LOOK_BYTES && l->looked) {
			work_forget(w); /* the one too many is read again by the next batch */
			return;
		}
	}
}

void
look_run(struct look *l)
{
	look_at_all(l);
	origin_near_forget(&l->near);
}
