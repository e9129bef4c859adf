/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_conn_io - bytes through a connection: outbox -> TLS -> ring -> kernel, and back up into frames.
 *
 * A turn is bounded, so that one fast peer does not keep the loop: one filling of the in-ring, TURN_BYTES out.  So is memory:
 * two rings, and one frame, of a size that was checked before it was allocated.
 */
#include <errno.h>
#include <stdlib.h>

#include "wire/wire_conn_own.h"
#include "base/clock.h"

#define TURN_BYTES (1024u * 1024u)
#define HANDSHAKE_MAX 16384u /* bytes that a stranger may send before we know him */
#define HEARD_BYTES 32768u   /* as good a sign of life as a whole frame */
#define PING_BODY 13         /* a message's head and a u64 */

void
wire_frame_free(struct wire_frame *f)
{
	if (!f)
		return;
	free(f->body);
	free(f);
}

/* ---- out ---- */

/* From the outbox into the ring; false when the ring is full or there is nothing to send. */
static bool
fill_ring(struct wire_conn *c)
{
	int64_t wait;
	size_t len;
	const uint8_t *data;
	ssize_t n;

	if (c->state != OPEN && c->state != CLOSING)
		return false;
	data = wire_outbox_next(&c->outbox, clock_steady_ns(), &len, &wait);
	if (wait)
		conn_arm(c->pace, wait / 1000000 + 1);
	if (!data)
		return false;
	n = wire_tls_write(c->tls, data, len);
	if (n < 0) {
		conn_break_off(c, (int)n);
		return false;
	}
	wire_outbox_sent(&c->outbox, n > 0 ? (size_t)n : 0);
	c->sent += (uint64_t)n;
	return n > 0;
}

/* Whoever hung up may have said why, and that may wait in the kernel: reading goes on to the end. */
static ssize_t
send_failed(struct wire_conn *c)
{
	if (c->state < CLOSING && !c->paused && !c->ended)
		c->deaf = true;
	else
		conn_lose(c, "sending");
	return -1;
}

/* From the ring to the kernel: bytes, 0 when it takes no more, -1 when it never will again. */
static ssize_t
drain_ring(struct wire_conn *c)
{
	size_t len;
	const uint8_t *data = wire_tls_waiting(c->tls, &len);
	ssize_t n;

	if (!len)
		return 0;
	n = send(c->fd, data, len, MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		event_add(c->writable, NULL);
		return 0;
	}
	if (n < 0)
		return send_failed(c);
	wire_tls_taken(c->tls, (size_t)n);
	return n;
}

static bool
ring_is_empty(const struct wire_conn *c)
{
	size_t len;

	wire_tls_waiting(c->tls, &len);
	return len == 0;
}

/* All was said: close_notify, and then our half of the socket. */
static void
go_on_closing(struct wire_conn *c)
{
	if (!c->notified && !c->broken) {
		wire_tls_shutdown(c->tls);
		conn_wake(c);
	} else if (!c->shut) {
		shutdown(c->fd, SHUT_WR);
		c->shut = true;
	}
	c->notified = true;
	if (c->shut && c->ended)
		conn_finish(c);
}

static void
pump_out(struct wire_conn *c)
{
	size_t turn = 0;
	ssize_t n;

	if (c->deaf) {
		if (c->state == CLOSING)
			conn_finish(c);
		return;
	}
	do {
		while (fill_ring(c))
			;
		n = drain_ring(c);
		turn += n > 0 ? (size_t)n : 0;
	} while (n > 0 && turn < TURN_BYTES);
	if (n > 0)
		conn_wake(c);
	if (c->state == CLOSING && ring_is_empty(c) && !wire_outbox_bytes(&c->outbox, WIRE_CONTROL) &&
	    !wire_outbox_bytes(&c->outbox, WIRE_DATA))
		go_on_closing(c);
}

static void
tell_writable(struct wire_conn *c)
{
	if (c->state != OPEN || !c->was_full || wire_conn_queued(c) >= CONN_LOW_WATER)
		return;
	c->was_full = false;
	c->events->writable(c, c->arg);
}

/* ---- in ---- */

/* From the kernel into the ring, once. */
static void
fill_from_socket(struct wire_conn *c)
{
	size_t max = c->state == HANDSHAKE ? HANDSHAKE_MAX - c->handshake_bytes : WIRE_TLS_RING, room;
	uint8_t *to = wire_tls_room(c->tls, max, &room);
	ssize_t n;

	if (!room)
		return;
	n = recv(c->fd, to, room, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		conn_lose(c, "receiving");
		return;
	}
	if (n == 0) {
		c->ended = true;
		event_del(c->readable);
		return;
	}
	wire_tls_filled(c->tls, (size_t)n);
	if (c->state == HANDSHAKE)
		c->handshake_bytes += (size_t)n;
}

/* After CLOSING began nothing is believed any more, but it must be taken from the kernel to see its end. */
static void
discard_from_socket(struct wire_conn *c)
{
	uint8_t waste[16384];
	ssize_t n = recv(c->fd, waste, sizeof waste, 0);

	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	c->ended = true;
	event_del(c->readable);
	if (c->shut || n < 0)
		conn_finish(c);
}

static int
begin_frame(struct wire_conn *c)
{
	struct wire_frame *f;
	struct wire_head head;
	int err = wire_head_unpack(c->head, &head);

	if (err)
		return err;
	if (c->server && !*c->profile && (head.packed || head.len > WIRE_ENROL_MAX))
		return err_set(ERR_PEER, "a frame of %u bytes without a certificate", head.len);
	f = calloc(1, sizeof *f);
	if (f)
		f->body = malloc(head.len);
	if (!f || !f->body) {
		wire_frame_free(f);
		return err_set(ERR_NOMEM, "a frame of %u bytes", head.len);
	}
	f->head = head;
	c->frame = f;
	c->body_got = 0;
	return 0;
}

static void
answer_ping(struct wire_conn *c, const struct wire_msg *ping)
{
	struct wire_msg pong = {.type = WIRE_PONG};

	pong.u.pong.n = ping->u.ping.n;
	wire_conn_send(c, &pong);
}

/* The peer is done with us: everything was said, so the socket is closed at once. */
static void
on_goodbye(struct wire_conn *c, const struct wire_msg *m)
{
	conn_begin_end(c, m->u.goodbye.code, m->u.goodbye.text);
	conn_finish(c);
}

/* PING, PONG and GOODBYE are ours, and travel alone, unpacked, so that one look tells. */
static bool
is_ours(const struct wire_frame *f)
{
	uint8_t type = f->body[0];

	return f->head.class == WIRE_CONTROL && !f->head.packed &&
	    (type == WIRE_GOODBYE || ((type == WIRE_PING || type == WIRE_PONG) && f->head.len == PING_BODY));
}

static void
handle_ours(struct wire_conn *c, struct wire_frame *f)
{
	struct pack_in payload = pack_in(f->body, f->head.len);
	struct wire_msg m;
	int err = wire_unpack(&payload, WIRE_CONTROL, &m);

	wire_frame_free(f);
	if (err < 0) {
		conn_give_up(c, err);
		return;
	}
	if (m.type == WIRE_PING)
		answer_ping(c, &m);
	else if (m.type == WIRE_GOODBYE)
		on_goodbye(c, &m);
	wire_msg_fini(&m);
}

static void
deliver(struct wire_conn *c)
{
	struct wire_frame *f = c->frame;

	c->frame = NULL;
	c->head_got = 0;
	conn_heard(c);
	if (is_ours(f)) {
		handle_ours(c, f);
		return;
	}
	/* A ping is no beginning; and a stranger has to be done, not only to begin. */
	if (c->server && *c->profile)
		event_del(c->deadline);
	c->events->frame(c, f, c->arg);
}

/* Reads towards the head, or the body, whichever is open: bytes, 0 when the ring is empty, or a negative error. */
static ssize_t
read_some(struct wire_conn *c)
{
	ssize_t n;

	if (!c->frame) {
		n = wire_tls_read(c->tls, c->head + c->head_got, sizeof c->head - c->head_got);
		c->head_got += n > 0 ? (size_t)n : 0;
	} else {
		n = wire_tls_read(c->tls, c->frame->body + c->body_got, c->frame->head.len - c->body_got);
		c->body_got += n > 0 ? (size_t)n : 0;
	}
	if (n > 0) {
		c->received += (uint64_t)n;
		c->heard_bytes += (size_t)n;
		if (c->heard_bytes >= HEARD_BYTES)
			conn_heard(c);
	}
	return n;
}

static void
pump_in(struct wire_conn *c)
{
	while (c->state == OPEN && !c->paused && !c->doomed) {
		ssize_t n = read_some(c);
		int err = 0;

		if (n < 0)
			conn_break_off(c, (int)n);
		if (n <= 0)
			break;
		if (!c->frame && c->head_got == sizeof c->head)
			err = begin_frame(c);
		else if (c->frame && c->body_got == c->frame->head.len)
			deliver(c);
		if (err)
			conn_give_up(c, err);
	}
	if (c->state == OPEN && c->ended && !c->paused)
		conn_break_off(c, err_set(ERR_UNREACHABLE, "connection lost: the other side ended it without a word"));
}

/* ---- handshake ---- */

static void
shake_hands(struct wire_conn *c)
{
	int err = wire_tls_handshake(c->tls);

	if (err == 1)
		conn_opened(c);
	else if (err < 0)
		conn_break_off(c, err);
	else if (c->ended)
		conn_break_off(c, err_set(ERR_UNREACHABLE, "connection lost during the TLS handshake"));
	else if (c->handshake_bytes >= HANDSHAKE_MAX)
		conn_break_off(c, err_set(ERR_PEER, "a TLS handshake of more than %u bytes", HANDSHAKE_MAX));
}

/* ---- events ---- */

/* In before out: what came may want an answer. */
void
conn_pump(struct wire_conn *c)
{
	conn_enter(c);
	if (!c->tls && c->state == CLOSING)
		conn_finish(c);
	if (c->state == HANDSHAKE)
		shake_hands(c);
	if (c->tls && c->state < CLOSED)
		pump_in(c);
	if (c->tls && c->state < CLOSED && !c->doomed)
		pump_out(c);
	if (!c->doomed)
		tell_writable(c);
	conn_leave(c);
}

void
conn_readable(struct wire_conn *c)
{
	if (c->state == CLOSING)
		discard_from_socket(c);
	else
		fill_from_socket(c);
}
