/* SPDX-License-Identifier: GPL-2.0-or-later */
/* convoy - drives the transfers of large files: gives each what it wants, in turn, as far as there is room. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/planted.h"
#include "replicator/own.h"

/* Hashes on their way into the map. */
struct extent_note {
	struct note note;
	struct replicator *r;
	char *path;
	struct hash128 *hashes;
};

static void
end_transfer(struct replicator *r, struct transfer *t)
{
	TAILQ_REMOVE(&r->transfers, t, link);
	r->n_transfers--;
	t->work->transfer = NULL;
	transfer_free(t);
	pump_wake(r);
}

/* ---- hashes for the map ---- */

static void
on_extent_noted(struct note *n, int err)
{
	struct extent_note *e = n->owner;
	struct work *w = err < 0 ? worktable_find(e->r->active, e->path) : NULL;

	/* An extent that is missing makes its blocks dirty next time, but those that lie there are of what was patched. */
	if (w && !PLANTED(unsaved_hashes_believed))
		flow_hashes_lost(w);
	free(e->hashes);
	free(e->path);
	free(e);
}

static void
save_extent(struct replicator *r, struct transfer *t)
{
	struct hash128 *hashes;
	uint64_t first;
	size_t n;
	struct extent_note *e;

	if (!transfer_take_extent(t, &first, &hashes, &n))
		return;
	e = calloc(1, sizeof *e);
	if (!e || !(e->path = strdup(t->work->path))) {
		t->work->hashes_lost = true;
		free(e);
		free(hashes);
		return;
	}
	e->r = r;
	e->hashes = hashes;
	e->note = (struct note){.owner = e, .done = on_extent_noted, .n_ops = 1, .patient = true};
	e->note.ops[0] = (struct blockmap_op){.kind = BLOCKMAP_BLOCKS, .path = e->path, .first = first, .hashes = hashes, .n = n};
	settle_add(r->settle, &e->note);
}

/* ---- sending ---- */

static void
abort_on_server(struct replicator *r, const struct transfer *t)
{
	struct parcel *p = parcel_new(1);
	struct wire_msg m = {.type = WIRE_ABORT};

	if (!p) {
		link_drop(r->link, -ERR_NOMEM, "no memory");
		return;
	}
	m.u.abort.op = t->op;
	parcel_add(p, &m);
	outbox_post(r->outbox, p);
}

static void
send_piece(struct replicator *r, struct transfer *t)
{
	struct wire_msg msgs[TRANSFER_MESSAGES];
	struct parcel *p = parcel_new(TRANSFER_MESSAGES);
	uint64_t before = t->bytes;
	void *data;
	size_t n;

	if (!p) {
		link_drop(r->link, -ERR_NOMEM, "no memory");
		return;
	}
	n = transfer_messages(t, t->begun ? t->op : outbox_op(r->outbox, t->work, 0), msgs, &data);
	for (size_t i = 0; i < n; i++)
		parcel_add(p, &msgs[i]);
	parcel_own(p, data);
	outbox_post(r->outbox, p);
	save_extent(r, t);
	r->status.payload_bytes_sent += t->bytes - before;
	if (t->state == TRANSFER_WAIT) {
		outbox_op_bytes(r->outbox, t->op, t->bytes);
		r->status.files_sent++;
	}
}

/* ---- the wants of a transfer ---- */

static void
run_piece(struct job *job)
{
	transfer_run((struct transfer *)((char *)job - offsetof(struct transfer, job)));
}

static void
on_piece(struct job *job, bool cancelled)
{
	struct transfer *t = (struct transfer *)((char *)job - offsetof(struct transfer, job));
	struct replicator *r = t->owner;

	r->jobs--;
	t->busy = false;
	t->cut |= cancelled;
	if (!t->cut) {
		transfer_ran(t);
		if (t->state != TRANSFER_SEND && t->state != TRANSFER_MARK && t->state != TRANSFER_FAILED)
			save_extent(r, t);
	}
	pump_wake(r);
}

static void
want_read(struct replicator *r, struct transfer *t)
{
	t->job = (struct job){.run = run_piece, .done = on_piece};
	t->busy = true;
	r->jobs++;
	workpool_submit(r->setup.pool, r->setup.lane_hash, &t->job);
}

static void
question_free(struct question *q)
{
	if (q)
		free(q->path);
	free(q);
}

static void
forget_questions(struct replicator *r)
{
	struct question *q;

	while ((q = STAILQ_FIRST(&r->questions))) {
		STAILQ_REMOVE_HEAD(&r->questions, link);
		question_free(q);
	}
}

/* What was asked outlives the transfer: one that ends meanwhile is answered all the same. */
static int
note_question(struct replicator *r, const struct wire_msg *m)
{
	struct question *q = calloc(1, sizeof *q);

	if (!q || !(q->path = strdup(m->u.blocks_req.path))) {
		question_free(q);
		return err_set(ERR_NOMEM, "no memory for a question");
	}
	q->first = m->u.blocks_req.first;
	q->count = m->u.blocks_req.count;
	STAILQ_INSERT_TAIL(&r->questions, q, link);
	return 0;
}

static void
want_answer(struct replicator *r, struct transfer *t)
{
	struct wire_msg m;
	int err;

	if (t->asked)
		return;
	transfer_ask(t, &m);
	t->asked = true;
	if ((err = note_question(r, &m)) < 0 || (err = link_send(r->link, &m)) < 0)
		link_drop(r->link, err, err_text());
}

static void
on_marked(struct note *n, int err)
{
	struct transfer *t = n->owner;

	t->busy = false;
	wrote_down(t->owner, &t->work->roomless, err);
	transfer_marked(t, err);
	pump_wake(t->owner);
}

static void
want_mark(struct replicator *r, struct transfer *t)
{
	t->mark_note = (struct note){.owner = t, .done = on_marked, .n_ops = 1};
	t->mark_note.ops[0] = transfer_mark(t);
	t->busy = true;
	settle_add(r->settle, &t->mark_note);
}

/* Nothing had to be sent, or only metadata. */
static void
conclude(struct replicator *r, struct transfer *t)
{
	struct work *w = t->work;

	end_transfer(r, t);
	if (w->verdict == WORK_ENTRY)
		flow_send(r, &w, 1);
	else
		flow_finish(r, w);
}

/* What was begun is aborted first: the work goes on when that is durable. */
static void
conclude_failed(struct replicator *r, struct transfer *t)
{
	struct work *w = t->work;
	int err = t->err;
	bool begun = t->begun;
	char text[sizeof w->text];

	memcpy(text, w->text, sizeof text);
	if (begun) {
		abort_on_server(r, t);
		w->verdict = WORK_ABORTED;
		w->patched = t->patch;
		w->doubt = true;
		w->err = err;
	}
	end_transfer(r, t);
	if (begun)
		return;
	if (err == -ERR_GONE && !w->attempts++)
		flow_requeue(r, w); /* it vanished: a removal, which the look will see */
	else
		flow_retry(r, w, err, text);
}

/* Its connection or its job is over. */
static void
abandon(struct replicator *r, struct transfer *t)
{
	struct work *w = t->work;

	w->doubt |= t->begun;
	end_transfer(r, t);
	flow_requeue(r, w);
}

static void refused(struct replicator *r, struct transfer *t, int err, const char *text);

static void
drive(struct replicator *r, struct transfer *t)
{
	if (t->busy)
		return;
	if (t->cut) {
		abandon(r, t);
		return;
	}
	if (t->refused) {
		char text[sizeof t->work->text];

		memcpy(text, t->work->text, sizeof text);
		refused(r, t, t->refused, text);
		return;
	}
	if (t->work->snapshot && t->work->snapshot->over && t->state != TRANSFER_WAIT) {
		t->err = -ERR_STOPPED;
		conclude_failed(r, t);
		return;
	}
	switch (t->state) {
	case TRANSFER_READ:
		t->asked = false;
		if (outbox_has_room(r->outbox) && settle_has_room(r->settle) && !(r->paused && !t->begun))
			want_read(r, t);
		break;
	case TRANSFER_ASK:
		want_answer(r, t);
		break;
	case TRANSFER_MARK:
		want_mark(r, t);
		break;
	case TRANSFER_SEND:
		if (outbox_has_room(r->outbox) && (t->begun || outbox_window_open(r->outbox)))
			send_piece(r, t);
		break;
	case TRANSFER_DONE:
		conclude(r, t);
		break;
	case TRANSFER_FAILED:
		conclude_failed(r, t);
		break;
	default:
		break;
	}
}

static void
start_transfer(struct replicator *r, struct work *w)
{
	const struct layout_row *row = layout_of(r->live.type, w->path, false);
	struct transfer *t = transfer_new(w, r->setup.map, &r->key, row && row->class == LAYOUT_BLOB);

	if (!t) {
		flow_retry(r, w, -ERR_NOMEM, "no memory for a transfer");
		return;
	}
	t->owner = r;
	t->epoch = r->epoch;
	w->transfer = t;
	w->hashes_lost = false;
	TAILQ_INSERT_TAIL(&r->transfers, t, link);
	r->n_transfers++;
}

/* Files that only wait for their acknowledgement do not count: they cost no memory but their own struct. */
static bool
may_start(const struct replicator *r)
{
	const struct transfer *t;
	size_t working = 0, bytes = 0;

	TAILQ_FOREACH(t, &r->transfers, link)
		if (t->state != TRANSFER_WAIT) {
			working++;
			bytes += t->data_bytes;
		}
	return working < TRANSFERS_MAX && bytes < TRANSFERS_BYTES && r->n_transfers < 4 * TRANSFERS_MAX &&
	    outbox_window_open(r->outbox) && !r->paused && !r->stopping;
}

void
convoy_pump(struct replicator *r)
{
	struct transfer *t, *next;
	struct work *w;

	if (r->phase != PHASE_RUN && TAILQ_EMPTY(&r->transfers))
		return;
	for (t = TAILQ_FIRST(&r->transfers); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (r->phase == PHASE_RUN || t->cut)
			drive(r, t);
	}
	while (r->phase == PHASE_RUN && (w = TAILQ_FIRST(&r->large)) && may_start(r)) {
		TAILQ_REMOVE(&r->large, w, link);
		start_transfer(r, w);
		pump_wake(r);
	}
}

/* Of the file and the blocks that were asked for, and no more of them. */
static bool
answers(const struct question *q, const struct wire_msg *msg)
{
	return q && strcmp(q->path, msg->u.blocks.path) == 0 && q->first == msg->u.blocks.first && msg->u.blocks.n <= q->count;
}

int
convoy_answer(struct replicator *r, const struct wire_msg *msg)
{
	struct question *q = STAILQ_FIRST(&r->questions);
	struct transfer *t;

	if (!answers(q, msg))
		return err_set(ERR_PEER, "the server tells blocks of %.100s, which it was not asked for", msg->u.blocks.path);
	STAILQ_REMOVE_HEAD(&r->questions, link);
	question_free(q);
	TAILQ_FOREACH(t, &r->transfers, link)
		if (transfer_answer(t, msg)) {
			pump_wake(r);
			break;
		}
	return 0; /* one that nobody waits for was asked by a transfer that is over */
}

/* A refused operation: what the server holds is asked the first time, and everything is sent the second. */
static void
refused(struct replicator *r, struct transfer *t, int err, const char *text)
{
	struct work *w = t->work;

	w->whole = err == -ERR_DIFFERS && w->doubt;
	w->doubt = true;
	if (t->state != TRANSFER_WAIT) /* its pieces are still expected, or an end of them */
		abort_on_server(r, t);
	end_transfer(r, t);
	flow_retry(r, w, err, text);
}

void
convoy_settled(struct replicator *r, struct work *w, int err, const char *text)
{
	struct transfer *t = w->transfer;

	if (err == 0) {
		end_transfer(r, t);
		w->doubt = w->whole = false;
		flow_finish(r, w);
	} else if (t->busy) { /* acted on when its job is back */
		t->refused = err;
		snprintf(w->text, sizeof w->text, "%s", text);
	} else {
		refused(r, t, err, text);
	}
}

void
convoy_cut(struct replicator *r)
{
	struct transfer *t;
	struct work *w;

	forget_questions(r);
	TAILQ_FOREACH(t, &r->transfers, link)
		t->cut = true;
	while ((w = TAILQ_FIRST(&r->large))) {
		TAILQ_REMOVE(&r->large, w, link);
		flow_requeue(r, w);
	}
}

void
convoy_fini(struct replicator *r)
{
	struct transfer *t;

	forget_questions(r);
	while ((t = TAILQ_FIRST(&r->transfers))) {
		TAILQ_REMOVE(&r->transfers, t, link);
		transfer_free(t);
	}
}
