/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outbox - the order of what leaves: numbers the operations, packs their messages into frames in a lane, gives the frames out
 * in the order they were posted, and knows which work waits for which number.
 *
 * Numbers belong to a connection.  When it is lost everything here is dropped, and each work comes back once.
 *
 * Threads: loop thread; packing runs in the lane.
 */
#ifndef REPLICATOR_OUTBOX_H
#define REPLICATOR_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/wire.h"

#define OUTBOX_BYTES (6u * 1024u * 1024u) /* frames packed and being packed: more would only wait */
#define OUTBOX_OPS 8192u                  /* numbers given and not durable */

struct workpool;
struct work;
struct outbox;
struct parcel; /* messages that travel in one frame */

struct outbox_events {
	void (*packed)(void *arg); /* a frame is ready */
	/* This operation is over: durable (err 0), or refused.  `work` NULL: nobody waits for it. */
	void (*settled)(struct work *work, int err, const char *text, void *arg);
	/* The connection went before it was over. */
	void (*dropped)(struct work *work, void *arg);
};

int outbox_new(struct workpool *pool, int lane, const struct outbox_events *events, void *arg, struct outbox **ret_outbox);
void outbox_free(struct outbox *o); /* no packing may run; NULL is fine */

struct parcel *parcel_new(size_t max_messages); /* NULL when out of memory */
/* Adds a message; what it points to stays alive until the frame is packed and the parcel's `owned` buffers are freed after. */
void parcel_add(struct parcel *p, const struct wire_msg *msg);
void parcel_own(struct parcel *p, void *data);
void parcel_free(struct parcel *p); /* one that was not posted */

/* The next number; `work` waits for it, `bytes` count against the window. */
uint64_t outbox_op(struct outbox *o, struct work *work, size_t bytes);
/* A large file's bytes count from its END on, since nothing of it can be durable before. */
void outbox_op_bytes(struct outbox *o, uint64_t op, uint64_t bytes);

void outbox_post(struct outbox *o, struct parcel *p); /* *takes* */
/* The next frame in order when it is ready: true and *gives* its bytes.  `ret_err`: packing failed, the connection must go. */
bool outbox_take(struct outbox *o, uint8_t **ret_data, size_t *ret_len, int *ret_err);

/* What the server says of our operations.  -ERR_PEER, and nothing is changed, when it speaks of one that it cannot know yet, that is
 * over, or (durable) of one that is still open: its work is not ours to end while a lane has it. */
int outbox_nak(struct outbox *o, uint64_t op, int err, const char *text);
/* Everything up to `op` is durable. */
int outbox_durable(struct outbox *o, uint64_t op);

/* The connection is gone: all is dropped, numbers begin at 1 again. */
void outbox_reset(struct outbox *o);

bool outbox_has_room(const struct outbox *o);    /* for another frame */
bool outbox_window_open(const struct outbox *o); /* for another operation */
size_t outbox_ops(const struct outbox *o);       /* given and not durable */
uint64_t outbox_bytes(const struct outbox *o);   /* of them */
size_t outbox_packing(const struct outbox *o);   /* jobs in the lane */

#endif
