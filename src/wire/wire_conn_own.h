/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_conn_own - what a connection consists of, and what its two halves want of each other: wire_conn.c knows when it begins
 * and ends, wire_conn_io.c moves its bytes.  Inside src/wire only.
 */
#ifndef WIRE_WIRE_CONN_OWN_H
#define WIRE_WIRE_CONN_OWN_H

#include <sys/socket.h>

#include <event2/event.h>
#include <event2/util.h>

#include "base/err.h"
#include "wire/wire_conn.h"
#include "wire/wire_conn_tls.h"
#include "wire/wire_dial.h"
#include "wire/wire_outbox.h"

#define CONN_LOW_WATER (1024u * 1024u)

/* A variable, so that a test need not wait. */
struct wire_conn_timing {
	int try_ms;    /* one address of a name */
	int dial_ms;   /* from dial to a connected socket */
	int begin_ms;  /* handshake, and on the server the first frame */
	int close_ms;
	int ping_ms, dead_ms;
	int probe_ms;  /* to answer somebody who doubts that the peer lives */
};
extern struct wire_conn_timing wire_conn_timing;

enum conn_state { DIALLING, HANDSHAKE, OPEN, CLOSING, CLOSED };

struct wire_conn {
	struct event_base *base;
	struct identity *id;
	const struct wire_conn_events *events;
	void *arg;
	bool server;
	enum conn_state state;
	char peer[80];
	char profile[IDENTITY_NAME_MAX + 1]; /* server: whose certificate it is, "" = a stranger */

	int fd;
	struct wire_dial *dial;
	struct wire_tls *tls;
	struct event *readable, *writable;
	struct event *turn;     /* run the pump; made active by calls */
	struct event *deadline; /* of the state */
	struct event *ping, *silence, *pace;

	/* in */
	bool paused;
	bool ended;             /* the peer shut its half */
	size_t handshake_bytes;
	uint8_t head[WIRE_FRAME_HEAD];
	size_t head_got, body_got;
	struct wire_frame *frame; /* NULL while the head is incomplete */
	uint64_t received;
	int64_t heard_ns;       /* last sign of life */
	size_t heard_bytes;     /* since then */
	int64_t doubted_ns;     /* the first probe since then; older: it was answered */

	/* out */
	struct wire_outbox outbox;
	bool deaf;              /* the peer: sending fails, reading may not */
	bool was_full;          /* the data queue was above its low-water mark */
	uint64_t sent;
	uint64_t pings;

	/* the end */
	int end_err;
	char end_text[256];
	bool broken;            /* TLS is no more: nothing can be said in it */
	bool notified;          /* close_notify is in the ring */
	bool shut;              /* our half of the socket */

	int busy;               /* a callback of ours runs: free waits */
	bool doomed;
};

/* ---- wire_conn.c ---- */

/* The pump will run in the next turn. */
void conn_wake(struct wire_conn *c);
void conn_arm(struct event *timer, int64_t ms);

/* Around everything that may call the user: a free in between waits for the outermost leave, which answers false. */
void conn_enter(struct wire_conn *c);
bool conn_leave(struct wire_conn *c);

/* OPEN begins. */
void conn_opened(struct wire_conn *c);
/* A sign of life. */
void conn_heard(struct wire_conn *c);

/* CLOSING begins, unless it did: false.  The first reason stands. */
bool conn_begin_end(struct wire_conn *c, int err, const char *text);
/* wire_conn_close with the sentence that was recorded last. */
void conn_give_up(struct wire_conn *c, int err);
/* TLS is at its end: an alert may go out, nothing else.  The reason is err_text(). */
void conn_break_off(struct wire_conn *c, int err);
/* The socket failed (errno): there is nobody to say anything to. */
void conn_lose(struct wire_conn *c, const char *doing);
/* The last word to the user. */
void conn_finish(struct wire_conn *c);

/* ---- wire_conn_io.c ---- */

/* Does what can be done now, bounded. */
void conn_pump(struct wire_conn *c);
/* The socket has something, or has ended. */
void conn_readable(struct wire_conn *c);

#endif
