/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outbox - reports on their way from the lanes to the receiver: any thread posts, the loop writes.
 *
 * Bounded: when the receiver does not read, posting waits, and with it the work that has so much to say.  Where a report cannot be made or
 * posted the process ends: the receiver, who waits for it, then knows, and the next start is a recovery.
 */
#ifndef KEEPER_OUTBOX_H
#define KEEPER_OUTBOX_H

#include "keeper/order.h"

struct event_base;
struct keeper_outbox;

/* `fd` (not blocking) is borrowed until free. */
int keeper_outbox_new(struct event_base *base, int fd, struct keeper_outbox **ret_outbox);
/* Any thread but the loop's; waits for room.  Lost when the outbox is shut. */
void keeper_outbox_post(struct keeper_outbox *o, const struct report *report);
/* The loop's thread: never waits. */
void keeper_outbox_put(struct keeper_outbox *o, const struct report *report);
/* Nobody waits in keeper_outbox_post any more, now or later. */
void keeper_outbox_shut(struct keeper_outbox *o);
/* No thread may post any more.  NULL is fine. */
void keeper_outbox_free(struct keeper_outbox *o);

#endif
