/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_conn - one framed, flow-controlled TLS 1.3 connection on plain libevent events.
 *
 * Reads up to 256 KiB a turn; writes from two queues, control before data, switching at frame boundaries.  Deadlines:
 * handshake and first frame within 10 s of accept (without a certificate: everything within 10 s); ping every 15 s; silence
 * for 45 s closes, for 5 s after a probe.  Every callback comes from the loop, never from inside a call of ours.
 *
 * Memory: two rings of 256 KiB, one incomplete frame, and what the user queued; control that the peer does not take ends
 * the connection at 8 MiB.
 *
 * Threads: loop thread only.
 */
#ifndef WIRE_WIRE_CONN_H
#define WIRE_WIRE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/identity.h"
#include "wire/wire.h"

struct event_base;
struct wire_conn;

/* A received frame; whoever has it frees it. */
struct wire_frame {
	struct wire_head head;
	uint8_t *body; /* head.len bytes */
};
void wire_frame_free(struct wire_frame *f);

struct wire_conn_events {
	/* The handshake is done and the peer's certificate holds.  Server: `profile` is its common name, "" without a certificate
	 * (enrolment).  Collector: "". */
	void (*opened)(struct wire_conn *c, const char *profile, void *arg);
	/* A frame arrived; *gives* it.  PING and PONG are answered inside and not shown; GOODBYE becomes `closed`. */
	void (*frame)(struct wire_conn *c, struct wire_frame *frame, void *arg);
	/* The data queue, which had been above its low-water mark (1 MiB), fell below it. */
	void (*writable)(struct wire_conn *c, void *arg);
	/* The connection is over: what wire_conn_close was given, or what the peer's GOODBYE said (err 0 = in order), or
	 * -ERR_UNREACHABLE (no way there, or lost), -ERR_DENIED (one side does not believe the other's certificate), -ERR_PEER,
	 * -ERR_TIMEOUT.  Called once.  A connection may be freed in any callback. */
	void (*closed)(struct wire_conn *c, int err, const char *text, void *arg);
};

/* Connects to host:port (resolved off the loop); -ERR_USAGE when it is none.  `events`, `id` borrowed until free. */
int wire_conn_dial(struct event_base *base, const char *address, struct identity *id, const struct wire_conn_events *events,
    void *arg, struct wire_conn **ret_conn);
/* *Takes* the accepted descriptor always. */
int wire_conn_accept(struct event_base *base, int fd, struct identity *id, const struct wire_conn_events *events, void *arg,
    struct wire_conn **ret_conn);

/* Queues one message in a frame of its own (control).  -ERR_UNREACHABLE before `opened` and after the end began. */
int wire_conn_send(struct wire_conn *c, const struct wire_msg *msg);
/* Queues the bytes of a built frame; *takes* `data` (malloc) always; thrown away when not connected. */
void wire_conn_send_frame(struct wire_conn *c, enum wire_class class, uint8_t *data, size_t len);
/* Bytes of data frames queued and not yet given to the kernel. */
size_t wire_conn_queued(const struct wire_conn *c);

/* Stops and restarts reading: back-pressure from a slow receiver.  Signs of life are then not expected.  Takes effect at once:
 * no frame is shown between pause and resume. */
void wire_conn_pause(struct wire_conn *c, bool paused);

/* Is the peer still there?  False: it has shut its half or the socket is lost, whatever is still to be read from it.  True: as far as
 * is known; it is pinged, and the connection ends (-ERR_TIMEOUT) when nothing is heard within 5 s, which is no sign while reading is paused. */
bool wire_conn_probe(struct wire_conn *c);

/* Caps sending of data frames, bytes per second; 0 = no cap.  May change at any time. */
void wire_conn_set_rate(struct wire_conn *c, uint64_t bytes_per_s);

/* Bytes through TLS since the start, both classes, heads included. */
uint64_t wire_conn_bytes_sent(const struct wire_conn *c);
uint64_t wire_conn_bytes_received(const struct wire_conn *c);

/* Channel binding of this session. */
int wire_conn_exporter(struct wire_conn *c, uint8_t ret_exporter[32]);
/* "192.0.2.7:41234", for logs. */
const char *wire_conn_peer(const struct wire_conn *c);
/* SHA-256 of the peer's public key. */
int wire_conn_peer_pin(const struct wire_conn *c, uint8_t ret_pin[IDENTITY_PIN_BYTES]);

/* Sends what is queued in control, a GOODBYE with the reason, then closes; `closed` is called with the same, at the latest
 * after 2 s.  Queued data is dropped.  No frame is shown any more.  Nothing happens when the end began already. */
void wire_conn_close(struct wire_conn *c, int err, const char *text);
/* Closes at once without `closed`.  NULL is fine. */
void wire_conn_free(struct wire_conn *c);

#endif
