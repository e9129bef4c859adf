/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_plan - which messages make one batch.
 *
 * Two rules keep everything after it simple.  A path appears once in a batch and never in two batches on their way, so the
 * index always tells the truth about a path when it is asked.  And nothing is written here: a plan can be dropped.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "server/staging_private.h"

uint64_t
staging_path_hash(const struct staging *st, const char *path)
{
	return block_hash(st->setup.key, path, strlen(path)).lo;
}

static struct transfer *
find_transfer(struct front *f, uint64_t op)
{
	struct transfer *t;

	LIST_FOREACH(t, &f->transfers, link)
		if (t->op == op)
			return t;
	return NULL;
}

/* ---- the next message ---- */

/* Opens the next frame: 1, 0 when none is left, or the peer's error. */
static int
next_frame(struct front *f)
{
	struct payload *p = STAILQ_FIRST(&f->frames);

	if (!p)
		return 0;
	STAILQ_REMOVE_HEAD(&f->frames, link);
	f->current = p;
	int err = wire_frame_open(&p->frame->head, p->frame->body, &p->in, &p->unpacked);
	return err ? err : 1;
}

/* The path a message speaks of itself; NULL when it belongs to a transfer. */
static const char *
message_path(const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_PUT:
		return m->u.put.path;
	case WIRE_BEGIN:
		return m->u.begin.path;
	case WIRE_ENTRY:
		return m->u.entry.path;
	case WIRE_REMOVE:
		return m->u.remove.path;
	default:
		return NULL;
	}
}

static uint64_t
message_op(const struct wire_msg *m)
{
	switch (m->type) {
	case WIRE_PUT:
		return m->u.put.op;
	case WIRE_BEGIN:
		return m->u.begin.op;
	case WIRE_CHUNK:
		return m->u.chunk.op;
	case WIRE_HOLE:
		return m->u.hole.op;
	case WIRE_END:
		return m->u.end.op;
	case WIRE_ABORT:
		return m->u.abort.op;
	case WIRE_ENTRY:
		return m->u.entry.op;
	default:
		return m->u.remove.op;
	}
}

/* Gives the change its number, path and transfer; a number that cannot be is the peer's error. */
static int
identify(struct front *f, struct change *c)
{
	c->op = message_op(&c->msg);
	c->path = message_path(&c->msg);
	if (c->path) {
		if (c->op != f->last_op + 1)
			return err_set(ERR_PEER, "operation %llu came after %llu", (unsigned long long)c->op, (unsigned long long)f->last_op);
		f->last_op = c->op;
		return 0;
	}
	c->transfer = find_transfer(f, c->op);
	if (!c->transfer)
		return err_set(ERR_PEER, "%s of operation %llu, which is not open", wire_type_name(c->msg.type), (unsigned long long)c->op);
	c->path = c->transfer->path;
	return 0;
}

/* Takes the next message: 1 got one, 0 none is left, or an error. */
static int
next_change(struct front *f, struct change *ret_change)
{
	struct change c = {.fd = -1, .dir_fd = -1};
	int got;

	if (f->held) {
		*ret_change = *f->held;
		free(f->held);
		f->held = NULL;
		return 1;
	}
	for (;;) {
		if (!f->current && (got = next_frame(f)) <= 0)
			return got;
		got = wire_unpack(&f->current->in, WIRE_DATA, &c.msg);
		if (got < 0)
			return got;
		if (got > 0)
			break;
		STAILQ_INSERT_TAIL(&f->spent, f->current, link);
		f->current = NULL;
	}
	got = identify(f, &c);
	if (got < 0) {
		wire_msg_fini(&c.msg);
		return got;
	}
	*ret_change = c;
	return 1;
}

/* ---- the batch ---- */

/* True when the path is on its way already: the change waits for the next batch.  END finds its own BEGIN there. */
static bool
conflicts(const struct front *f, const struct change *c, uint64_t h)
{
	return !c->transfer && (hashset_has(&f->mine, h) || hashset_has(&f->behind, h));
}

static int
put_back(struct front *f, struct change *c)
{
	f->held = malloc(sizeof *f->held);
	if (!f->held) {
		staging_change_fini(c);
		return err_set(ERR_NOMEM, "planning a batch");
	}
	*f->held = *c;
	return 0;
}

static int
grow(struct batch *b)
{
	size_t cap = b->cap ? 2 * b->cap : 16;
	struct change *grown = realloc(b->changes, cap * sizeof *grown);

	if (!grown)
		return err_set(ERR_NOMEM, "planning a batch");
	b->changes = grown;
	b->cap = cap;
	return 0;
}

static size_t
data_bytes(const struct change *c)
{
	return c->msg.type == WIRE_PUT ? c->msg.u.put.data.len : c->msg.type == WIRE_CHUNK ? c->msg.u.chunk.data.len : 0;
}

/* All messages of one directory fall to one slice, and with it a transfer and its pieces. */
static unsigned
slice_of(const struct staging *st, const char *path)
{
	return block_hash(st->setup.key, path, relpath_dir_len(path)).hi % SLICES;
}

/* Takes one more message: 1, 0 when the batch ends here, or an error. */
static int
take_one(struct batch *b)
{
	struct front *f = &b->st->front;
	struct change c;
	int err = b->n == b->cap ? grow(b) : 0;
	int got = err ? err : next_change(f, &c);

	if (got <= 0)
		return got;
	uint64_t h = staging_path_hash(b->st, c.path);
	if (conflicts(f, &c, h)) {
		b->blocked = b->n == 0 && hashset_has(&f->behind, h);
		b->more = !b->blocked;
		err = put_back(f, &c);
		return err;
	}
	if (c.msg.type != WIRE_CHUNK && c.msg.type != WIRE_HOLE)
		err = hashset_add(&f->mine, h);
	c.slice = slice_of(b->st, c.path);
	struct change *kept = &b->changes[b->n++];
	*kept = c;
	b->bytes += data_bytes(kept);
	if (err == 0)
		err = staging_decide(b, kept);
	return err ? err : 1;
}

static void
note_progress(struct batch *b)
{
	struct front *f = &b->st->front;
	struct transfer *t;

	/* What waits aside has its number already, but is not part of this batch. */
	b->high = f->held && !f->held->transfer ? f->last_op - 1 : f->last_op;
	b->open_min = 0;
	LIST_FOREACH(t, &f->transfers, link)
		if (!b->open_min || t->op < b->open_min)
			b->open_min = t->op;
	b->transfers = f->n_transfers;
}

static void
choose_manner(struct batch *b)
{
	size_t files = 0;

	for (size_t i = 0; i < b->n; i++)
		files += act_writes_file(b->changes[i].act);
	b->small = files <= BATCH_SMALL;
	b->single = b->n < SLICE_MIN;
}

int
staging_plan(struct batch *b)
{
	struct front *f = &b->st->front;
	int got = 1;

	/* The batch that was in front is behind now, and the one behind it over.  One that came to nothing took nobody's place. */
	if (f->mine.n || PLANTED(batch_behind_forgotten)) {
		struct hashset previous = f->behind;

		f->behind = f->mine;
		f->mine = previous;
		hashset_clear(&f->mine);
	}
	if (b->back_free)
		hashset_clear(&f->behind);
	while (b->n < BATCH_OPS && b->bytes < BATCH_BYTES && (got = take_one(b)) > 0)
		;
	if (got > 0)
		b->more = true; /* full */
	note_progress(b);
	choose_manner(b);
	return got < 0 ? got : 0;
}
