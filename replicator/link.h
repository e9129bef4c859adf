/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * link - the way to the server: dials, says HELLO, keeps what GOODBYE said, backs off and dials again, for ever.
 *
 * The first retry comes at once (50-150 ms), the next ones at doubling intervals up to 60 s, each jittered, so that a
 * restarted server is not met by all its collectors in the same second.  A refusal for good (revoked, unknown) is asked again
 * once a minute; "another collector is active" after 1 s at first, doubling to a minute, because it may be our own last life.
 *
 * Threads: loop thread only; every callback comes from the loop.
 */
#ifndef REPLICATOR_LINK_H
#define REPLICATOR_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "wire/wire.h"

struct event_base;
struct identity;
struct link;

enum link_state {
	LINK_DOWN,    /* the timer runs */
	LINK_DIALING,
	LINK_OPEN,    /* the server's certificate holds; link_hello is expected */
	LINK_GREETED, /* HELLO sent */
	LINK_UP,      /* WELCOME came */
	LINK_STATES
};

struct link_events {
	void (*opened)(void *arg);
	/* The server's WELCOME, and then every other control message; what it holds may be taken out of it. */
	void (*welcome)(struct wire_msg *msg, void *arg);
	void (*message)(struct wire_msg *msg, void *arg);
	void (*writable)(void *arg);
	void (*closed)(void *arg); /* link_why tells */
};

/* Borrows all until free.  The first dial happens on the loop. */
int link_new(struct event_base *base, struct identity *identity, const char *address, uint64_t seed, const struct link_events *events,
    void *arg, struct link **ret_link);
/* Another certificate: a connection of the old one is dropped, the next dial shows this one.  Borrows it; the old one is borrowed
 * until the loop has turned. */
void link_set_identity(struct link *l, struct identity *identity);
void link_free(struct link *l); /* NULL is fine */

enum link_state link_state(const struct link *l);
const char *link_why(const struct link *l);  /* why it is not up; "" = it is, or nothing was tried yet */
bool link_refused(const struct link *l);
uint32_t link_version(const struct link *l); /* of the protocol, as WELCOME said; 0 = not up */

int link_hello(struct link *l, enum layout_type layout, const char *journal_uuid, const struct treemap_sum *total);
/* Something was achieved: the next failure is the first again. */
void link_progress(struct link *l);
/* Gives up the connection (protocol broken, no memory); dials again after the back-off. */
void link_drop(struct link *l, int err, const char *text);
/* A test, or the operator: dial now, whatever the timer says. */
void link_retry(struct link *l);

int link_send(struct link *l, const struct wire_msg *msg); /* control */
void link_send_frame(struct link *l, uint8_t *data, size_t len); /* data; *takes* */
size_t link_queued(const struct link *l);
void link_set_rate(struct link *l, uint64_t bytes_per_s);
uint64_t link_bytes_sent(const struct link *l); /* of all connections so far */

/* Pure: how long to wait after `failures` failures of this kind in a row (0 = the first); `err` is the refusal's code, 0 = it was none;
 * `*rng` is the jitter's state. */
int64_t link_delay_ms(unsigned failures, int err, uint64_t *rng);

#endif
