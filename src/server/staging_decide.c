/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_decide - what one message means for disk and index, decided by what the index says now.
 *
 * Nothing is written here.  A refusal is in the change; an error ends the batch.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "server/staging_private.h"

/* ---- what must be durable before the first byte ---- */

static int
before_add(struct batch *b, enum index_op_kind kind, const char *path)
{
	if (b->n_before == b->cap_before) {
		size_t cap = b->cap_before ? 2 * b->cap_before : 16;
		struct index_op *grown = realloc(b->before, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "planning a batch");
		b->before = grown;
		b->cap_before = cap;
	}
	b->before[b->n_before++] = (struct index_op){.kind = kind, .path = path};
	return 0;
}

/* The directory of a new blob; the op's path is a copy that the batch frees. */
static int
arm(struct batch *b, const char *place)
{
	struct front *f = &b->st->front;
	size_t len = relpath_dir_len(place);
	uint64_t h = block_hash(b->st->setup.key, place, len).lo;

	if (hashset_has(&f->armed, h))
		return 0;
	char *dir = strndup(place, len);
	if (!dir)
		return err_set(ERR_NOMEM, "planning a batch");
	int err = before_add(b, INDEX_ARM, dir);
	if (err == 0)
		err = hashset_add(&f->armed, h); /* NOLINT(clang-analyzer-unix.Malloc): the op has the copy */
	else
		free(dir);
	return err;
}

/* ---- decisions ---- */

static bool
being_transferred(struct front *f, const char *path)
{
	struct transfer *t;

	LIST_FOREACH(t, &f->transfers, link)
		if (!t->dead && strcmp(t->path, path) == 0)
			return true;
	return false;
}

struct held_row {
	bool there;
	struct index_node node;
};

static int
look_up(struct batch *b, const char *path, struct held_row *ret_row)
{
	struct held_row row = {0};
	int err = index_get(b->st->setup.index, path, &row.node);

	if (err < 0)
		return err;
	row.there = err == 0;
	*ret_row = row;
	return 0;
}

static bool
row_is_file(const struct held_row *r)
{
	return r->there && r->node.entry.kind == ENTRY_FILE;
}

static bool
same_content(const struct held_row *r, const struct entry *e)
{
	return row_is_file(r) && e->kind == ENTRY_FILE && r->node.entry.size == e->size && hash128_equal(r->node.entry.digest, e->digest);
}

static bool
same_entry(const struct entry *a, const struct entry *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->rdev == b->rdev &&
	    a->size == b->size && a->mtime_ns == b->mtime_ns && hash128_equal(a->digest, b->digest);
}

/* Class and place of the path; a change that must not be made now, or at all, is refused. */
static bool
admit(struct batch *b, struct change *c, bool is_dir)
{
	const struct layout_row *row = layout_of(b->st->setup.layout, c->path, is_dir);

	if (!row) {
		change_refuse(c, ERR_UNSUPPORTED, "the path is not one of a post office or domain of this type");
		return false;
	}
	c->blob = row->class == LAYOUT_BLOB;
	if (!c->blob && b->held) {
		change_refuse(c, ERR_BUSY, "a set is being sealed");
		return false;
	}
	return true;
}

static int
place_at(struct batch *b, struct change *c, uint32_t version)
{
	c->version = version;
	c->place = index_place(b->st->setup.layout, c->path, version);
	return c->place ? 0 : err_set(ERR_NOMEM, "planning a batch");
}

/* A new blob gets the version above all that were ever on disk. */
static int
plan_blob(struct batch *b, struct change *c)
{
	int err = index_version(b->st->setup.index, c->path, &c->known);

	if (err == 0)
		err = place_at(b, c, PLANTED(blob_overwritten) ? 1 : c->known + 1);
	return err ? err : arm(b, c->place);
}

/* A file of a mutable area: its row, if any, is suspended first. */
static int
plan_mutable(struct batch *b, struct change *c, const struct held_row *row)
{
	int err = place_at(b, c, 1);

	c->marked = row->there;
	return err || !row->there ? err : before_add(b, INDEX_MARK, c->path);
}

/* The content is what we hold: at most the row changes. */
static void
plan_row_only(struct change *c, const struct held_row *row, const struct entry *e)
{
	c->act = ACT_NONE;
	c->version = row->node.version;
	c->row = same_entry(&row->node.entry, e) ? ROW_NONE : ROW_PUT;
}

static int
decide_file(struct batch *b, struct change *c, const struct entry *e, enum act blob_act, enum act new_act, enum act replace_act)
{
	struct held_row row;
	int err = look_up(b, c->path, &row);

	if (err)
		return err;
	if (same_content(&row, e)) {
		plan_row_only(c, &row, e);
	} else {
		c->row = ROW_PUT;
		c->act = c->blob ? blob_act : row_is_file(&row) ? replace_act : new_act;
		err = c->blob ? plan_blob(b, c) : plan_mutable(b, c, &row);
	}
	if (row.there)
		entry_fini(&row.node.entry);
	return err;
}

static int
decide_put(struct batch *b, struct change *c)
{
	const struct entry *e = &c->msg.u.put.entry;
	const struct wire_bytes *data = &c->msg.u.put.data;

	if (!admit(b, c, false))
		return 0;
	if (e->kind != ENTRY_FILE || e->size != data->len ||
	    !hash128_equal(e->digest, block_hash(b->st->setup.key, data->data, data->len))) {
		change_refuse(c, ERR_DIFFERS, "the data is not what its digest says");
		return 0;
	}
	return decide_file(b, c, e, ACT_CREATE, ACT_FRESH, ACT_REPLACE);
}

static struct transfer *
transfer_new(struct batch *b, struct change *c)
{
	struct transfer *t = calloc(1, sizeof *t);

	if (!t || !(t->path = strdup(c->path))) {
		free(t);
		return NULL;
	}
	t->op = c->op;
	t->mode = c->msg.u.begin.mode;
	t->blob = c->blob;
	t->fd = t->held_fd = -1;
	t->ordered = true;
	partial_name(b->st->setup.key, t->path, t->partial);
	return t;
}

/* A patched file: there must be one; its row, if it has one, is suspended until END. */
static int
plan_patch(struct batch *b, struct change *c)
{
	struct held_row row;
	int err;

	if (c->blob) {
		change_refuse(c, ERR_UNSUPPORTED, "a blob is written once");
		return 0;
	}
	err = look_up(b, c->path, &row);
	if (err)
		return err;
	c->transfer->marked = row.there;
	c->transfer->place = index_place(b->st->setup.layout, c->path, 1);
	if (!c->transfer->place)
		err = err_set(ERR_NOMEM, "planning a batch");
	else if (row.there && !PLANTED(patch_not_marked))
		err = before_add(b, INDEX_MARK, c->transfer->path);
	if (row.there)
		entry_fini(&row.node.entry);
	return err;
}

static int
decide_begin(struct batch *b, struct change *c)
{
	struct front *f = &b->st->front;
	bool admitted = admit(b, c, false);
	int err = 0;

	if (admitted && being_transferred(f, c->path)) {
		change_refuse(c, ERR_BUSY, "the file is being transferred");
		admitted = false;
	}
	if (f->n_transfers == TRANSFERS_MAX)
		return err_set(ERR_LIMIT, "more than %u files in transfer", TRANSFERS_MAX);
	c->transfer = transfer_new(b, c);
	if (!c->transfer)
		return err_set(ERR_NOMEM, "beginning a transfer");
	/* Also a refused one is entered: its pieces are on their way. */
	LIST_INSERT_HEAD(&f->transfers, c->transfer, link);
	f->n_transfers++;
	c->act = ACT_BEGIN;
	if (admitted && c->msg.u.begin.mode == WIRE_BEGIN_PATCH)
		err = plan_patch(b, c);
	c->transfer->dead = c->err != 0;
	return err;
}

static int
decide_piece(struct batch *b, struct change *c)
{
	bool chunk = c->msg.type == WIRE_CHUNK;
	uint64_t at = chunk ? c->msg.u.chunk.offset : c->msg.u.hole.offset;
	uint64_t len = chunk ? c->msg.u.chunk.data.len : c->msg.u.hole.len;

	(void)b;
	if (at > FILE_SIZE_MAX || len > FILE_SIZE_MAX - at)
		return err_set(ERR_PEER, "a piece of a file beyond %llu bytes", (unsigned long long)FILE_SIZE_MAX);
	c->act = chunk ? ACT_CHUNK : ACT_HOLE;
	return 0;
}

static void
leave_transfers(struct front *f, struct change *c)
{
	LIST_REMOVE(c->transfer, link);
	f->n_transfers--;
	c->last = true;
}

static int
decide_end(struct batch *b, struct change *c)
{
	const struct entry *e = &c->msg.u.end.entry;

	leave_transfers(&b->st->front, c);
	c->blob = c->transfer->blob;
	if (c->transfer->dead)
		return 0; /* told when it was refused */
	if (e->kind != ENTRY_FILE || e->size > FILE_SIZE_MAX)
		return err_set(ERR_PEER, "END of something that is no file");
	if (c->transfer->mode == WIRE_BEGIN_PATCH) {
		c->act = ACT_END_PATCH;
		c->row = ROW_PUT;
		return place_at(b, c, 1);
	}
	int err = decide_file(b, c, e, ACT_END_BLOB, ACT_END_FILE, ACT_END_FILE);
	if (err == 0 && c->act == ACT_NONE)
		c->act = ACT_DROP; /* we hold it already */
	return err;
}

static int
decide_abort(struct batch *b, struct change *c)
{
	leave_transfers(&b->st->front, c);
	c->act = ACT_ABORT;
	/* A patch that stopped half-way: nobody knows the bytes. */
	if (c->transfer->mode == WIRE_BEGIN_PATCH && c->transfer->marked && !c->transfer->dead)
		c->row = ROW_REMOVE;
	return 0;
}

/* A link, a device: in the index only. */
static int
plan_special(struct batch *b, struct change *c, const struct held_row *row)
{
	c->row = ROW_PUT;
	c->version = 1;
	if (c->blob || !row->there || row->node.entry.kind != ENTRY_FILE)
		return 0;
	c->act = ACT_CLEAR;
	return plan_mutable(b, c, row);
}

static int
plan_dir(struct batch *b, struct change *c, const struct held_row *row)
{
	c->row = ROW_PUT;
	c->version = 1;
	if (c->blob)
		return 0;
	c->act = ACT_DIR;
	if (row->there && row->node.entry.kind == ENTRY_FILE)
		return plan_mutable(b, c, row);
	return place_at(b, c, 1);
}

static int
decide_entry(struct batch *b, struct change *c)
{
	const struct entry *e = &c->msg.u.entry.entry;
	struct held_row row;
	int err;

	if (!admit(b, c, e->kind == ENTRY_DIR))
		return 0;
	err = look_up(b, c->path, &row);
	if (err)
		return err;
	if (row.there && e->kind != ENTRY_FILE && same_entry(&row.node.entry, e))
		c->row = ROW_NONE;
	else if (e->kind == ENTRY_DIR)
		err = plan_dir(b, c, &row);
	else if (e->kind != ENTRY_FILE)
		err = plan_special(b, c, &row);
	else if (same_content(&row, e))
		plan_row_only(c, &row, e);
	else
		change_refuse(c, ERR_DIFFERS, "the server does not hold this content");
	if (row.there)
		entry_fini(&row.node.entry);
	return err;
}

static int
decide_remove(struct batch *b, struct change *c)
{
	struct held_row row;
	bool is_dir;
	int err = look_up(b, c->path, &row);

	if (err)
		return err;
	is_dir = row.there ? row.node.entry.kind == ENTRY_DIR : !layout_of(b->st->setup.layout, c->path, false);
	if (row.there)
		entry_fini(&row.node.entry);
	if (!admit(b, c, is_dir))
		return 0;
	c->row = row.there ? ROW_REMOVE : ROW_NONE;
	c->was_dir = is_dir; /* as far as we know */
	c->unlink = !c->blob;
	err = c->unlink ? place_at(b, c, 1) : 0;
	return err || c->blob ? err : staging_plan_bare(b, c);
}

int
staging_decide(struct batch *b, struct change *c)
{
	if (c->msg.type != WIRE_BEGIN && !c->transfer && being_transferred(&b->st->front, c->path)) {
		change_refuse(c, ERR_BUSY, "the file is being transferred");
		return 0;
	}
	switch (c->msg.type) {
	case WIRE_PUT:
		return decide_put(b, c);
	case WIRE_BEGIN:
		return decide_begin(b, c);
	case WIRE_CHUNK:
	case WIRE_HOLE:
		return decide_piece(b, c);
	case WIRE_END:
		return decide_end(b, c);
	case WIRE_ABORT:
		return decide_abort(b, c);
	case WIRE_ENTRY:
		return decide_entry(b, c);
	default:
		return decide_remove(b, c);
	}
}
