/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outbox - an operation's number, its place in the stream, and who is told when the server has it on disk. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/workpool.h"
#include "replicator/outbox.h"

#define OWNED_MAX 136       /* buffers a parcel can own: a look's files, or a piece */
#define OP_COST 256u        /* an operation without data still costs the server something */

struct parcel {
	TAILQ_ENTRY(parcel) link;
	struct job job;
	struct outbox *outbox;
	struct wire_msg *msgs;
	size_t n, max, cost;
	void *owned[OWNED_MAX];
	size_t n_owned;
	uint64_t begun;             /* the highest operation that it begins, 0 = none */
	uint64_t ended, ended_to;   /* the operations of which it holds the last word: they have neighbouring numbers */
	uint8_t *frame;
	size_t len;
	int err;
	bool packed, dropped;
};

struct op {
	struct work *work;
	uint64_t bytes;
	bool refused;  /* told already */
	bool whole;    /* its last word has left */
};

struct outbox {
	struct workpool *pool;
	int lane;
	const struct outbox_events *events;
	void *arg;
	TAILQ_HEAD(, parcel) parcels;
	size_t packing;
	size_t unsent_bytes;
	struct op ops[OUTBOX_OPS];  /* a ring: number n lies at n % OUTBOX_OPS */
	uint64_t first, next;       /* first number not durable, next to be given */
	uint64_t sent;              /* the highest that has left, or begun to */
	uint64_t window_bytes;
};

int
outbox_new(struct workpool *pool, int lane, const struct outbox_events *events, void *arg, struct outbox **ret_outbox)
{
	struct outbox *o = calloc(1, sizeof *o);

	if (!o)
		return err_set(ERR_NOMEM, "no memory");
	o->pool = pool;
	o->lane = lane;
	o->events = events;
	o->arg = arg;
	o->first = o->next = 1;
	TAILQ_INIT(&o->parcels);
	*ret_outbox = o;
	return 0;
}

struct parcel *
parcel_new(size_t max_messages)
{
	struct parcel *p = calloc(1, sizeof *p);

	if (!p || !(p->msgs = calloc(max_messages, sizeof *p->msgs))) {
		free(p);
		return NULL;
	}
	p->max = max_messages;
	return p;
}

static void
note_ended(struct parcel *p, uint64_t op)
{
	assert(!p->ended || op == p->ended_to + 1);
	p->ended_to = op;
	if (!p->ended)
		p->ended = op;
}

static void
note_op(struct parcel *p, const struct wire_msg *msg)
{
	switch (msg->type) {
	case WIRE_PUT:
		p->begun = msg->u.put.op;
		note_ended(p, msg->u.put.op);
		break;
	case WIRE_ENTRY:
		p->begun = msg->u.entry.op;
		note_ended(p, msg->u.entry.op);
		break;
	case WIRE_REMOVE:
		p->begun = msg->u.remove.op;
		note_ended(p, msg->u.remove.op);
		break;
	case WIRE_BEGIN:
		p->begun = msg->u.begin.op;
		break;
	case WIRE_END:
		note_ended(p, msg->u.end.op);
		break;
	case WIRE_ABORT:
		note_ended(p, msg->u.abort.op);
		break;
	default:
		break;
	}
}

void
parcel_add(struct parcel *p, const struct wire_msg *msg)
{
	assert(p->n < p->max);
	p->msgs[p->n++] = *msg;
	note_op(p, msg);
	p->cost += OP_COST + (msg->type == WIRE_PUT ? msg->u.put.data.len : msg->type == WIRE_CHUNK ? msg->u.chunk.data.len : 0);
}

void
parcel_own(struct parcel *p, void *data)
{
	assert(p->n_owned < OWNED_MAX);
	if (data)
		p->owned[p->n_owned++] = data;
}

static void
free_messages(struct parcel *p)
{
	while (p->n_owned)
		free(p->owned[--p->n_owned]);
	free(p->msgs);
	p->msgs = NULL;
}

void
parcel_free(struct parcel *p)
{
	if (!p)
		return;
	free_messages(p);
	free(p->frame);
	free(p);
}

uint64_t
outbox_op(struct outbox *o, struct work *work, size_t bytes)
{
	assert(o->next - o->first < OUTBOX_OPS);
	o->ops[o->next % OUTBOX_OPS] = (struct op){.work = work, .bytes = bytes + OP_COST};
	o->window_bytes += bytes + OP_COST;
	return o->next++;
}

static struct op *
find_op(struct outbox *o, uint64_t op)
{
	return op >= o->first && op < o->next ? &o->ops[op % OUTBOX_OPS] : NULL;
}

void
outbox_op_bytes(struct outbox *o, uint64_t op, uint64_t bytes)
{
	struct op *at = find_op(o, op);

	if (at) {
		at->bytes += bytes;
		o->window_bytes += bytes;
	}
}

static struct parcel *
parcel_of(struct job *job)
{
	return (struct parcel *)((char *)job - offsetof(struct parcel, job));
}

static void
pack_run(struct job *job)
{
	struct parcel *p = parcel_of(job);
	struct pack_out frame;

	wire_frame_begin(&frame, p->cost);
	for (size_t i = 0; i < p->n; i++)
		wire_pack(&frame, &p->msgs[i]);
	p->err = wire_frame_end(&frame, WIRE_DATA, true, &p->frame, &p->len);
}

static void
pack_done(struct job *job, bool cancelled)
{
	struct parcel *p = parcel_of(job);
	struct outbox *o = p->outbox;

	o->packing--;
	free_messages(p);
	if (cancelled && !p->err)
		p->err = err_set(ERR_STOPPED, "stopped");
	p->packed = true;
	if (p->dropped)
		parcel_free(p);
	o->events->packed(o->arg);
}

void
outbox_post(struct outbox *o, struct parcel *p)
{
	p->outbox = o;
	p->job = (struct job){.run = pack_run, .done = pack_done};
	TAILQ_INSERT_TAIL(&o->parcels, p, link);
	o->unsent_bytes += p->cost;
	o->packing++;
	workpool_submit(o->pool, o->lane, &p->job);
}

/* From now on the server may speak of them. */
static void
note_left(struct outbox *o, const struct parcel *p)
{
	struct op *at;

	if (p->begun)
		o->sent = p->begun;
	for (uint64_t n = p->ended; n && n <= p->ended_to; n++)
		if ((at = find_op(o, n)))
			at->whole = true;
}

bool
outbox_take(struct outbox *o, uint8_t **ret_data, size_t *ret_len, int *ret_err)
{
	struct parcel *p = TAILQ_FIRST(&o->parcels);

	if (!p || !p->packed)
		return false;
	TAILQ_REMOVE(&o->parcels, p, link);
	o->unsent_bytes -= p->cost;
	note_left(o, p);
	*ret_data = p->frame;
	*ret_len = p->len;
	*ret_err = p->err;
	p->frame = NULL;
	parcel_free(p);
	return true;
}

int
outbox_nak(struct outbox *o, uint64_t op, int err, const char *text)
{
	struct op *at = find_op(o, op);
	struct work *work;

	if (!at || op > o->sent)
		return err_set(ERR_PEER, "refusal of operation %llu, which is over or was never sent", (unsigned long long)op);
	if (at->refused)
		return 0;
	at->refused = true;
	work = at->work;
	at->work = NULL;
	o->events->settled(work, err, text, o->arg);
	return 0;
}

static int
check_durable(struct outbox *o, uint64_t op)
{
	if (op > o->sent)
		return err_set(ERR_PEER, "acknowledgement of operation %llu, which was never sent", (unsigned long long)op);
	for (uint64_t n = o->first; n <= op; n++)
		if (!o->ops[n % OUTBOX_OPS].whole)
			return err_set(ERR_PEER, "acknowledgement of operation %llu, while %llu is still open", (unsigned long long)op,
			    (unsigned long long)n);
	return 0;
}

int
outbox_durable(struct outbox *o, uint64_t op)
{
	int err = check_durable(o, op);

	if (err)
		return err;
	while (o->first <= op) {
		struct op *at = &o->ops[o->first++ % OUTBOX_OPS];

		o->window_bytes -= at->bytes;
		if (at->work)
			o->events->settled(at->work, 0, NULL, o->arg);
	}
	return 0;
}

static void
drop_parcels(struct outbox *o)
{
	struct parcel *p;

	while ((p = TAILQ_FIRST(&o->parcels))) {
		TAILQ_REMOVE(&o->parcels, p, link);
		if (p->packed)
			parcel_free(p);
		else
			p->dropped = true; /* its job frees it */
	}
	o->unsent_bytes = 0;
}

void
outbox_reset(struct outbox *o)
{
	uint64_t from = o->first, to = o->next;

	drop_parcels(o);
	o->first = o->next = 1;
	o->sent = 0;
	o->window_bytes = 0;
	for (uint64_t n = from; n < to; n++)
		if (o->ops[n % OUTBOX_OPS].work)
			o->events->dropped(o->ops[n % OUTBOX_OPS].work, o->arg);
}

bool
outbox_has_room(const struct outbox *o)
{
	return o->unsent_bytes < OUTBOX_BYTES;
}

bool
outbox_window_open(const struct outbox *o)
{
	/* A batch takes up to 128 numbers at once, transfers one each: leave room for several that were begun. */
	return o->window_bytes < WIRE_WINDOW && o->next - o->first < OUTBOX_OPS - 1024;
}

size_t
outbox_ops(const struct outbox *o)
{
	return (size_t)(o->next - o->first);
}

uint64_t
outbox_bytes(const struct outbox *o)
{
	return o->window_bytes;
}

size_t
outbox_packing(const struct outbox *o)
{
	return o->packing;
}

void
outbox_free(struct outbox *o)
{
	if (!o)
		return;
	assert(!o->packing);
	drop_parcels(o);
	free(o);
}
