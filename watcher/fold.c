/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fold - an ordered list of changes and a hash table over their paths. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "watcher/fold.h"

struct item {
	char *path;
	enum change_kind kind;
	int64_t seen_ns;
	bool young;
};

struct fold {
	struct item *items; /* in order of first sight */
	size_t n, cap;
	uint32_t *slots;    /* index + 1 into items; 0 = free */
	size_t n_slots;     /* a power of two, at most half full */
	size_t young;
	uint64_t overflows;
};

int
fold_new(struct fold **ret_fold)
{
	struct fold *f = calloc(1, sizeof *f);

	if (!f)
		return err_set(ERR_NOMEM, "folding events");
	*ret_fold = f;
	return 0;
}

void
fold_free(struct fold *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		free(f->items[i].path);
	free(f->items);
	free(f->slots);
	free(f);
}

/* ---- the table ---- */

/* FNV-1a: short names, no adversary who gains by collisions - a full queue is 16,384 names. */
static uint64_t
hash(const char *path, bool cookie)
{
	uint64_t h = cookie ? 7 : 14695981039346656037u;

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 1099511628211u;
	return h;
}

static size_t
find_slot(const struct fold *f, const char *path, bool cookie)
{
	size_t at = hash(path, cookie) & (f->n_slots - 1);

	while (f->slots[at]) {
		const struct item *item = &f->items[f->slots[at] - 1];

		if ((item->kind == CHANGE_COOKIE) == cookie && strcmp(item->path, path) == 0)
			break;
		at = (at + 1) & (f->n_slots - 1);
	}
	return at;
}

static int
rebuild(struct fold *f, size_t n_slots)
{
	uint32_t *slots = calloc(n_slots, sizeof *slots);

	if (!slots)
		return err_set(ERR_NOMEM, "folding events");
	free(f->slots);
	f->slots = slots;
	f->n_slots = n_slots;
	for (size_t i = 0; i < f->n; i++)
		f->slots[find_slot(f, f->items[i].path, f->items[i].kind == CHANGE_COOKIE)] = (uint32_t)i + 1;
	return 0;
}

static int
make_room(struct fold *f)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 256;
		struct item *grown = realloc(f->items, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "folding events");
		f->items = grown;
		f->cap = cap;
	}
	return (f->n + 1) * 2 > f->n_slots ? rebuild(f, f->n_slots ? f->n_slots * 2 : 512) : 0;
}

/* All but the cookies become one change, in the place of the oldest.  It asks for every file: one that was changed in its place is among
 * them, whose directory looks as before. */
static int
fold_up(struct fold *f)
{
	char *everything = strdup("");
	size_t kept = 0;

	if (!everything)
		return err_set(ERR_NOMEM, "folding events");
	for (size_t i = 0; i < f->n; i++) {
		struct item item = f->items[i];

		if (item.kind != CHANGE_COOKIE) {
			free(item.path);
			if (!everything)
				continue;
			item = (struct item){.path = everything, .kind = CHANGE_BLIND, .seen_ns = item.seen_ns};
			everything = NULL;
		}
		f->items[kept++] = item;
	}
	free(everything);
	f->n = kept;
	f->young = 0;
	f->overflows++;
	return rebuild(f, f->n_slots);
}

static int
add(struct fold *f, enum change_kind kind, const char *path, bool young, int64_t now_ns)
{
	int err = f->n >= FOLD_MAX ? fold_up(f) : 0;

	err = err ? err : make_room(f);
	char *copy = err ? NULL : strdup(path);

	if (err)
		return err;
	if (!copy)
		return err_set(ERR_NOMEM, "folding events");
	f->slots[find_slot(f, path, kind == CHANGE_COOKIE)] = (uint32_t)f->n + 1;
	f->items[f->n++] = (struct item){.path = copy, .kind = kind, .seen_ns = now_ns, .young = young};
	f->young += young;
	return 0;
}

static struct item *
find(struct fold *f, const char *path)
{
	size_t at;

	if (!f->n_slots)
		return NULL;
	at = find_slot(f, path, false);
	return f->slots[at] ? &f->items[f->slots[at] - 1] : NULL;
}

static int
note(struct fold *f, enum change_kind kind, const char *path, bool young, int64_t now_ns)
{
	struct item *known = find(f, path);

	if (!known)
		return add(f, kind, path, young, now_ns);
	known->kind = PLANTED(newer_change_lost) ? known->kind : change_fold(known->kind, kind);
	if (known->young && !young) {
		known->young = false;
		f->young--;
	}
	return 0;
}

/* ---- events ---- */

int
fold_event(struct fold *f, enum source_what what, bool is_dir, const char *path, int64_t now_ns)
{
	struct item *known;

	if (is_dir)
		return note(f, CHANGE_RESCAN, path, false, now_ns);
	if (what == SOURCE_CREATED)
		return note(f, CHANGE_TOUCHED, path, true, now_ns);
	if (what == SOURCE_DELETED)
		return note(f, CHANGE_DELETED, path, false, now_ns);
	/* New metadata of a file that is still being written comes with its end. */
	known = what == SOURCE_ATTRIBUTES ? find(f, path) : NULL;
	return known && known->young ? 0 : note(f, CHANGE_TOUCHED, path, false, now_ns);
}

int
fold_rescan(struct fold *f, const char *dir, int64_t now_ns)
{
	return note(f, CHANGE_RESCAN, dir, false, now_ns);
}

int
fold_blind(struct fold *f, const char *dir, int64_t now_ns)
{
	return note(f, PLANTED(blind_change_overlooked) ? CHANGE_RESCAN : CHANGE_BLIND, dir, false, now_ns);
}

int
fold_cookie(struct fold *f, const char *name, int64_t now_ns)
{
	if (PLANTED(young_file_behind_cookie))
		return add(f, CHANGE_COOKIE, name, false, now_ns);
	for (size_t i = 0; f->young && i < f->n; i++)
		f->items[i].young = false;
	f->young = 0;
	return add(f, CHANGE_COOKIE, name, false, now_ns);
}

uint64_t
fold_overflows(const struct fold *f)
{
	return f->overflows;
}

int64_t
fold_ripe_ns(const struct fold *f)
{
	for (size_t i = 0; f->young && i < f->n; i++)
		if (f->items[i].young)
			return f->items[i].seen_ns + FOLD_YOUNG_NS;
	return 0;
}

int
fold_take(struct fold *f, int64_t now_ns, struct change **ret_changes, size_t *ret_n)
{
	struct change *changes;
	size_t n = 0, kept = 0;

	if (f->n == 0) {
		*ret_changes = NULL;
		*ret_n = 0;
		return 0;
	}
	changes = calloc(f->n, sizeof *changes);
	if (!changes)
		return err_set(ERR_NOMEM, "folding events");
	for (size_t i = 0; i < f->n; i++) {
		struct item *item = &f->items[i];

		/* A clock that was set back must not keep a file young for hours. */
		if (item->young && now_ns - item->seen_ns < FOLD_YOUNG_NS && now_ns >= item->seen_ns) {
			f->items[kept++] = *item;
			continue;
		}
		f->young -= item->young;
		changes[n++] = (struct change){.kind = item->kind, .seen_ns = item->seen_ns, .path = item->path};
	}
	f->n = kept;
	memset(f->slots, 0, f->n_slots * sizeof *f->slots);
	for (size_t i = 0; i < kept; i++)
		f->slots[find_slot(f, f->items[i].path, false)] = (uint32_t)i + 1;
	*ret_changes = changes;
	*ret_n = n;
	return 0;
}
