/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_outbox - what waits to be sent on one connection, and what goes next.  Pure: the time is given to it.
 *
 * Control before data, but a frame that was begun is finished first.  Data is paced by a token bucket that may go into
 * debt: a frame goes as a whole, and the next waits until it is paid for.
 */
#ifndef WIRE_WIRE_OUTBOX_H
#define WIRE_WIRE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/wire.h"

struct wire_parcel;

struct wire_outbox {
	struct {
		struct wire_parcel *head, *tail;
		size_t bytes;
	} queues[2];                 /* by class */
	struct wire_parcel *sending; /* begun, in no queue any more */
	size_t sent;                 /* of it */
	uint64_t rate;               /* data bytes per second, 0 = no cap */
	int64_t credit;              /* bytes; below zero: debt */
	int64_t paid_ns;             /* until when the credit is counted */
};

/* *Takes* `data` (malloc) on success; false when out of memory. */
bool wire_outbox_add(struct wire_outbox *o, enum wire_class class, uint8_t *data, size_t len);

/* The bytes that go next; NULL when there are none, and then `ret_wait_ns` is 0, or the time after which data may go. */
const uint8_t *wire_outbox_next(struct wire_outbox *o, int64_t now_ns, size_t *ret_len, int64_t *ret_wait_ns);
/* `n` bytes of them are gone. */
void wire_outbox_sent(struct wire_outbox *o, size_t n);

/* Bytes of a class that wait. */
size_t wire_outbox_bytes(const struct wire_outbox *o, enum wire_class class);

void wire_outbox_set_rate(struct wire_outbox *o, uint64_t bytes_per_s, int64_t now_ns);

/* Forgets the data that was not begun; forgets everything. */
void wire_outbox_drop_data(struct wire_outbox *o);
void wire_outbox_clear(struct wire_outbox *o);

#endif
