/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reconcile - what is done with a belief that the server does not share. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "journal/blockmap.h"
#include "journal/journal.h"
#include "replicator/look.h"
#include "replicator/reconcile.h"
#include "replicator/scan_seen.h"

#define PAGE 256 /* rows of the map changed in one commit, besides those of a LIST */

struct reconcile {
	struct blockmap *map;
	struct journal *journal;
	const struct block_key *key;
	enum layout_type layout;
	enum reconcile_state state;
	int err;
	char text[200];
	struct reconcile_figures figures;

	struct wire_sum *sums;    /* the page in hand; those that agree have lost their name */
	size_t n_sums, next_sum;
	bool more_sums;
	char *after_dir;          /* the last directory of the page before */
	struct scan_seen theirs;  /* every directory the server named */

	struct wire_item *items;  /* the page of the list in hand */
	size_t n_items;
	bool more_items;
	char *after_name;

	char *rescanned;          /* the last directory that got a RESCAN row: what lies below needs none */
	bool lacking_more;
};

static const char *const names[] = {
	[RECONCILE_ASK_SUMS] = "ask-sums", [RECONCILE_ASK_LIST] = "ask-list", [RECONCILE_COMPARE] = "compare",
	[RECONCILE_ADOPT] = "adopt", [RECONCILE_LACKING] = "lacking", [RECONCILE_DONE] = "done", [RECONCILE_FAILED] = "failed",
};
_Static_assert(sizeof names / sizeof *names == RECONCILE_STATES, "every state has its name");

static void
set_state(struct reconcile *rc, enum reconcile_state state)
{
	log_debug("reconcile.state", "%s -> %s", names[rc->state], names[state]);
	rc->state = state;
}

struct reconcile *
reconcile_new(struct blockmap *map, struct journal *journal, const struct block_key *key, enum layout_type layout)
{
	struct reconcile *rc = calloc(1, sizeof *rc);

	if (!rc)
		return NULL;
	rc->map = map;
	rc->journal = journal;
	rc->key = key;
	rc->layout = layout;
	return rc;
}

static void
free_items(struct reconcile *rc)
{
	for (size_t i = 0; i < rc->n_items; i++) {
		entry_fini(&rc->items[i].entry);
		free(rc->items[i].name);
	}
	free(rc->items);
	rc->items = NULL;
	rc->n_items = 0;
}

static void
free_sums(struct reconcile *rc)
{
	for (size_t i = 0; i < rc->n_sums; i++)
		free(rc->sums[i].dir);
	free(rc->sums);
	rc->sums = NULL;
	rc->n_sums = 0;
}

void
reconcile_free(struct reconcile *rc)
{
	if (!rc)
		return;
	free_items(rc);
	free_sums(rc);
	scan_seen_fini(&rc->theirs);
	free(rc->after_dir);
	free(rc->after_name);
	free(rc->rescanned);
	free(rc);
}

enum reconcile_state
reconcile_state(const struct reconcile *rc)
{
	return rc->state;
}

int
reconcile_error(const struct reconcile *rc)
{
	return rc->err;
}

const char *
reconcile_error_text(const struct reconcile *rc)
{
	return rc->text;
}

const struct reconcile_figures *
reconcile_figures(const struct reconcile *rc)
{
	return &rc->figures;
}

/* ---- talking ---- */

void
reconcile_request(const struct reconcile *rc, struct wire_msg *ret_msg)
{
	static char start[] = "";

	*ret_msg = (struct wire_msg){0};
	if (rc->state == RECONCILE_ASK_SUMS) {
		ret_msg->type = WIRE_SUMS_REQ;
		ret_msg->u.sums_req.after = rc->after_dir ? rc->after_dir : start;
	} else {
		ret_msg->type = WIRE_LIST_REQ;
		ret_msg->u.list_req.dir = rc->sums[rc->next_sum].dir;
		ret_msg->u.list_req.after = rc->after_name ? rc->after_name : start;
	}
}

/* On the loop: for a reason that was recorded just now. */
static void
fail(struct reconcile *rc, int err)
{
	rc->err = err;
	snprintf(rc->text, sizeof rc->text, "%s", err_text());
	set_state(rc, RECONCILE_FAILED);
}

/* The next name of a page, above the one before it; NULL is below all. */
static int
check_rises(const char *before, const char *name)
{
	if (before && strcmp(name, before) <= 0)
		return err_set(ERR_PEER, "the server's list goes from \"%.60s\" back to \"%.60s\"", before, name);
	return 0;
}

/* A page that holds nothing cannot be followed: the same one would be asked for again. */
static int
check_more(bool more, size_t n)
{
	return more && !n ? err_set(ERR_PEER, "the server's list has an empty page before its end") : 0;
}

static int
check_sums(const struct reconcile *rc, const struct wire_msg *msg)
{
	const char *before = rc->after_dir;
	int err = check_more(msg->u.sums.more, msg->u.sums.n);

	for (size_t i = 0; i < msg->u.sums.n && !err; i++) {
		err = check_rises(before, msg->u.sums.v[i].dir);
		before = msg->u.sums.v[i].dir;
	}
	return err;
}

static int
check_list(const struct reconcile *rc, const struct wire_msg *msg)
{
	const char *before = rc->after_name;
	int err = check_more(msg->u.list.more, msg->u.list.n);

	for (size_t i = 0; i < msg->u.list.n && !err; i++) {
		err = check_rises(before, msg->u.list.v[i].name);
		before = msg->u.list.v[i].name;
	}
	return err;
}

static void
take_sums(struct reconcile *rc, struct wire_msg *msg)
{
	int err = check_sums(rc, msg);

	if (err) {
		fail(rc, err);
		return;
	}
	free_sums(rc);
	rc->sums = msg->u.sums.v;
	rc->n_sums = msg->u.sums.n;
	rc->more_sums = msg->u.sums.more;
	rc->next_sum = 0;
	msg->u.sums.v = NULL;
	msg->u.sums.n = 0;
	free(rc->after_dir);
	rc->after_dir = NULL;
	if (rc->n_sums && !(rc->after_dir = strdup(rc->sums[rc->n_sums - 1].dir)))
		fail(rc, err_set(ERR_NOMEM, "no memory"));
	else
		set_state(rc, RECONCILE_COMPARE);
}

static void
take_list(struct reconcile *rc, struct wire_msg *msg)
{
	int err = check_list(rc, msg);

	if (err) {
		fail(rc, err);
		return;
	}
	free_items(rc);
	rc->items = msg->u.list.v;
	rc->n_items = msg->u.list.n;
	rc->more_items = msg->u.list.more;
	msg->u.list.v = NULL;
	msg->u.list.n = 0;
	set_state(rc, RECONCILE_ADOPT);
}

bool
reconcile_answer(struct reconcile *rc, struct wire_msg *msg)
{
	if (msg->type == WIRE_SUMS && rc->state == RECONCILE_ASK_SUMS) {
		take_sums(rc, msg);
		return true;
	}
	if (msg->type == WIRE_LIST && rc->state == RECONCILE_ASK_LIST && strcmp(msg->u.list.dir, rc->sums[rc->next_sum].dir) == 0) {
		take_list(rc, msg);
		return true;
	}
	return false;
}

/* ---- comparing sums ---- */

static bool
sums_equal(const struct treemap_sum *a, const struct treemap_sum *b)
{
	return a->count == b->count && a->bytes == b->bytes && (hash128_equal(a->hash, b->hash) || PLANTED(agreement_by_size));
}

static int
run_compare(struct reconcile *rc)
{
	struct treemap_sum ours;
	int err;

	for (size_t i = 0; i < rc->n_sums; i++) {
		struct wire_sum *theirs = &rc->sums[i];

		/* Without memory every directory of ours would be one that they lack, and all of it be sent again. */
		if ((err = scan_seen_add(&rc->theirs, rc->key, theirs->dir)) < 0 && !PLANTED(lacking_for_want_of_memory))
			return err;
		if ((err = blockmap_sum(rc->map, theirs->dir, &ours)) < 0)
			return err;
		if (sums_equal(&ours, &theirs->sum)) {
			free(theirs->dir);
			theirs->dir = NULL;
		}
	}
	return 0;
}

/* ---- making a directory of the map equal to the server's ---- */

/* Rows are added before the map changes: what was adopted and never looked at would be believed for ever. */
static int
add_rescan(struct reconcile *rc, char *dir)
{
	struct change c = {.kind = CHANGE_RESCAN, .path = dir};
	int err;

	if (*dir && layout_watch(rc->layout, dir) == LAYOUT_WATCH_NONE)
		return 0; /* a snapshot area: the next snapshot compares all of it */
	if (rc->rescanned && relpath_within(dir, rc->rescanned))
		return 0;
	if ((err = journal_append(rc->journal, &c, 1)) < 0 && err != -ERR_NOSPACE)
		return err;
	free(rc->rescanned);
	rc->rescanned = strdup(dir);
	return 0;
}

/* A batch of changes to the map, with the paths it owns. */
struct edit {
	struct blockmap_op *ops;
	char **paths;
	size_t n, n_paths, max;
};

static int
edit_init(struct edit *e, size_t max_rows)
{
	e->max = max_rows;
	e->n = e->n_paths = 0;
	e->ops = calloc(max_rows * 3 + 1, sizeof *e->ops); /* a row is at most entry, trim and mark; and one for the directory */
	e->paths = calloc(max_rows, sizeof *e->paths);
	return e->ops && e->paths ? 0 : err_set(ERR_NOMEM, "no memory");
}

static void
edit_fini(struct edit *e)
{
	while (e->n_paths)
		free(e->paths[--e->n_paths]);
	free(e->paths);
	free(e->ops);
}

static struct blockmap_op *
edit_add(struct edit *e, enum blockmap_op_kind kind, const char *path)
{
	e->ops[e->n] = (struct blockmap_op){.kind = kind, .path = path};
	return &e->ops[e->n++];
}

/* Adding and removing a row both clear its mark, but the doubt that the mark stands for is not over. */
static int
edit_keep_mark(struct reconcile *rc, struct edit *e, const char *path)
{
	bool marked = false;
	int err = blockmap_in_flight(rc->map, path, &marked);

	if (err == 0 && marked)
		edit_add(e, BLOCKMAP_FLIGHT, path);
	return err;
}

static void
count_database(struct reconcile *rc, const char *path)
{
	const struct layout_row *row = layout_of(rc->layout, path, false);

	if (!row)
		row = layout_of(rc->layout, path, true);
	rc->figures.databases += row && row->class == LAYOUT_SNAPSHOT;
}

static int
edit_adopt(struct reconcile *rc, struct edit *e, char *path, const struct entry *theirs)
{
	struct entry ours = {0};
	struct blockmap_stat stat;
	struct blockmap_op *op;
	int err = blockmap_get(rc->map, path, &ours, &stat);
	bool same = err == 0 && look_same_metadata(&ours, theirs) && hash128_equal(ours.digest, theirs->digest);

	entry_fini(&ours);
	e->paths[e->n_paths++] = path;
	if (err < 0 || same)
		return err < 0 ? err : 0;
	rc->figures.adopted++;
	count_database(rc, path);
	op = edit_add(e, BLOCKMAP_PUT, path);
	op->entry = theirs;
	op->stat.adopted = true;
	if (!PLANTED(stale_hashes_kept))
		edit_add(e, BLOCKMAP_TRIM, path);
	return edit_keep_mark(rc, e, path);
}

static int
edit_forget(struct reconcile *rc, struct edit *e, char *path)
{
	e->paths[e->n_paths++] = path;
	rc->figures.forgotten++;
	count_database(rc, path);
	edit_add(e, BLOCKMAP_REMOVE, path);
	return edit_keep_mark(rc, e, path);
}

/* Rows of ours between the last page and the end of this one that the server did not name. */
struct extra {
	struct reconcile *rc;
	struct scan_seen named;
	const char *dir, *last; /* `last`: NULL = to the end of the directory */
	char *paths[PAGE];
	size_t n;
	bool failed;
};

static int
visit_extra(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg)
{
	struct extra *x = arg;

	(void)entry;
	(void)stat;
	if (x->last && strcmp(relpath_name(path), x->last) > 0)
		return 1;
	if (!scan_seen_lacks(&x->named, x->rc->key, path))
		return 0;
	x->failed = !(x->paths[x->n] = strdup(path));
	x->n += !x->failed;
	return x->failed || x->n == PAGE;
}

/* Forgets what the server did not name, a page a commit, until none is left. */
static int
forget_extra(struct reconcile *rc, struct extra *x)
{
	int err = 0;

	do {
		struct edit e;

		x->n = 0;
		err = blockmap_children(rc->map, x->dir, rc->after_name, visit_extra, x);
		if (err < 0 || x->failed || !x->n)
			break;
		if ((err = edit_init(&e, PAGE)) == 0) {
			for (size_t i = 0; i < x->n && !err; i++)
				err = edit_forget(rc, &e, x->paths[i]);
			edit_add(&e, BLOCKMAP_DIR, x->dir);
			if (!err)
				err = blockmap_apply(rc->map, e.ops, e.n);
		}
		edit_fini(&e);
	} while (!err && x->n == PAGE);
	return x->failed ? err_set(ERR_NOMEM, "no memory") : err < 0 ? err : 0;
}

static int
adopt_items(struct reconcile *rc, const char *dir, struct extra *x)
{
	struct edit e;
	int err = edit_init(&e, rc->n_items);

	for (size_t i = 0; i < rc->n_items && !err; i++) {
		char *path = relpath_join(dir, rc->items[i].name);

		if (!path) {
			err = err_set(ERR_NOMEM, "no memory");
			break;
		}
		if ((err = scan_seen_add(&x->named, rc->key, path)) < 0) {
			free(path);
			break;
		}
		err = edit_adopt(rc, &e, path, &rc->items[i].entry);
	}
	if (!err) {
		edit_add(&e, BLOCKMAP_DIR, dir); /* mtime 0: its names must be listed again */
		err = blockmap_apply(rc->map, e.ops, e.n);
	}
	edit_fini(&e);
	return err;
}

static int
run_adopt(struct reconcile *rc)
{
	char *dir = rc->sums[rc->next_sum].dir;
	struct extra x = {.rc = rc, .dir = dir, .last = rc->more_items ? rc->items[rc->n_items - 1].name : NULL};
	int err = add_rescan(rc, dir);

	if (!err)
		err = adopt_items(rc, dir, &x);
	if (!err)
		err = forget_extra(rc, &x);
	scan_seen_fini(&x.named);
	return err;
}

/* ---- directories of ours that the server does not have at all ---- */

struct lacking {
	struct reconcile *rc;
	char *dirs[PAGE];
	size_t n;
	bool failed;
};

static int
visit_lacking(const char *dir, const struct treemap_sum *sum, void *arg)
{
	struct lacking *k = arg;

	(void)sum;
	if (!scan_seen_lacks(&k->rc->theirs, k->rc->key, dir))
		return 0;
	k->failed = !(k->dirs[k->n] = strdup(dir));
	k->n += !k->failed;
	return k->failed || k->n == PAGE;
}

static int
run_lacking(struct reconcile *rc)
{
	struct lacking k = {.rc = rc};
	int err = blockmap_dirs(rc->map, visit_lacking, &k);

	if (k.failed)
		err = err_set(ERR_NOMEM, "no memory");
	for (size_t i = 0; i < k.n; i++) {
		struct extra x = {.rc = rc, .dir = k.dirs[i]};

		if (err >= 0 && (err = add_rescan(rc, k.dirs[i])) == 0)
			err = forget_extra(rc, &x);
		rc->figures.differing++;
		free(k.dirs[i]);
	}
	rc->lacking_more = k.n == PAGE;
	return err < 0 ? err : 0;
}

/* ---- the steps ---- */

void
reconcile_run(struct reconcile *rc)
{
	if (rc->state == RECONCILE_COMPARE)
		rc->err = run_compare(rc);
	else if (rc->state == RECONCILE_ADOPT)
		rc->err = run_adopt(rc);
	else
		rc->err = run_lacking(rc);
	if (rc->err < 0)
		snprintf(rc->text, sizeof rc->text, "%s", err_text());
}

/* On to the next directory that differs, the next page of sums, or the end. */
static void
next_dir(struct reconcile *rc)
{
	free(rc->after_name);
	rc->after_name = NULL;
	while (rc->next_sum < rc->n_sums && !rc->sums[rc->next_sum].dir)
		rc->next_sum++;
	if (rc->next_sum < rc->n_sums) {
		rc->figures.differing++;
		set_state(rc, RECONCILE_ASK_LIST);
	} else {
		set_state(rc, rc->more_sums ? RECONCILE_ASK_SUMS : RECONCILE_LACKING);
	}
}

static void
next_page(struct reconcile *rc)
{
	if (!rc->more_items) {
		rc->next_sum++;
		next_dir(rc);
		return;
	}
	free(rc->after_name);
	if (!(rc->after_name = strdup(rc->items[rc->n_items - 1].name)))
		fail(rc, err_set(ERR_NOMEM, "no memory"));
	else
		set_state(rc, RECONCILE_ASK_LIST);
}

void
reconcile_ran(struct reconcile *rc)
{
	assert(rc->state == RECONCILE_COMPARE || rc->state == RECONCILE_ADOPT || rc->state == RECONCILE_LACKING);
	if (rc->err < 0)
		set_state(rc, RECONCILE_FAILED);
	else if (rc->state == RECONCILE_COMPARE)
		next_dir(rc);
	else if (rc->state == RECONCILE_ADOPT)
		next_page(rc);
	else if (!rc->lacking_more)
		set_state(rc, RECONCILE_DONE);
}
