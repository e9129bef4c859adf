/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire_outbox - the order of frames, and the arithmetic of the token bucket. */
#include <stdlib.h>

#include "wire/wire_outbox.h"

#define SECOND_NS 1000000000
#define BURST_PER_S 10 /* credit never exceeds a tenth of a second */

struct wire_parcel {
	struct wire_parcel *next;
	enum wire_class class;
	uint8_t *data;
	size_t len;
};

bool
wire_outbox_add(struct wire_outbox *o, enum wire_class class, uint8_t *data, size_t len)
{
	struct wire_parcel *p = malloc(sizeof *p);

	if (!p)
		return false;
	*p = (struct wire_parcel){.class = class, .data = data, .len = len};
	if (o->queues[class].tail)
		o->queues[class].tail->next = p;
	else
		o->queues[class].head = p;
	o->queues[class].tail = p;
	o->queues[class].bytes += len;
	return true;
}

static struct wire_parcel *
pop(struct wire_outbox *o, enum wire_class class)
{
	struct wire_parcel *p = o->queues[class].head;

	if (!p)
		return NULL;
	o->queues[class].head = p->next;
	if (!p->next)
		o->queues[class].tail = NULL;
	o->queues[class].bytes -= p->len;
	return p;
}

static void
parcel_free(struct wire_parcel *p)
{
	if (!p)
		return;
	free(p->data);
	free(p);
}

/* ---- pace ---- */

static void
earn(struct wire_outbox *o, int64_t now_ns)
{
	double earned = (double)(now_ns - o->paid_ns) * (double)o->rate / SECOND_NS;
	int64_t most = (int64_t)(o->rate / BURST_PER_S);

	o->paid_ns = now_ns;
	o->credit = earned > (double)(most - o->credit) ? most : o->credit + (int64_t)earned;
}

/* 0 when data may go now. */
static int64_t
wait_ns(struct wire_outbox *o, int64_t now_ns)
{
	int64_t wait;

	if (!o->rate || o->credit > 0)
		return 0;
	wait = (int64_t)((double)(1 - o->credit) * SECOND_NS / (double)o->rate) + 1;
	/* Counted only when it is paid in full: small earnings counted often would be rounded away. */
	if (now_ns - o->paid_ns < wait)
		return wait - (now_ns - o->paid_ns);
	earn(o, now_ns);
	return 0;
}

void
wire_outbox_set_rate(struct wire_outbox *o, uint64_t bytes_per_s, int64_t now_ns)
{
	o->rate = bytes_per_s > INT64_MAX / 2 ? 0 : bytes_per_s;
	o->credit = 1;
	o->paid_ns = now_ns;
}

/* ---- order ---- */

const uint8_t *
wire_outbox_next(struct wire_outbox *o, int64_t now_ns, size_t *ret_len, int64_t *ret_wait_ns)
{
	*ret_wait_ns = 0;
	if (!o->sending)
		o->sending = pop(o, WIRE_CONTROL);
	if (!o->sending && o->queues[WIRE_DATA].head) {
		*ret_wait_ns = wait_ns(o, now_ns);
		if (*ret_wait_ns)
			return NULL;
		o->sending = pop(o, WIRE_DATA);
		if (o->rate)
			o->credit -= (int64_t)o->sending->len;
	}
	if (!o->sending)
		return NULL;
	*ret_len = o->sending->len - o->sent;
	return o->sending->data + o->sent;
}

void
wire_outbox_sent(struct wire_outbox *o, size_t n)
{
	o->sent += n;
	if (o->sent < o->sending->len)
		return;
	parcel_free(o->sending);
	o->sending = NULL;
	o->sent = 0;
}

size_t
wire_outbox_bytes(const struct wire_outbox *o, enum wire_class class)
{
	size_t bytes = o->queues[class].bytes;

	if (o->sending && o->sending->class == class)
		bytes += o->sending->len - o->sent;
	return bytes;
}

void
wire_outbox_drop_data(struct wire_outbox *o)
{
	struct wire_parcel *p;

	while ((p = pop(o, WIRE_DATA)))
		parcel_free(p);
}

void
wire_outbox_clear(struct wire_outbox *o)
{
	struct wire_parcel *p;

	wire_outbox_drop_data(o);
	while ((p = pop(o, WIRE_CONTROL)))
		parcel_free(p);
	parcel_free(o->sending);
	o->sending = NULL;
	o->sent = 0;
}
