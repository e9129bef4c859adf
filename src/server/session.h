/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session - one collector's conversation: a table of (state, message) -> handler.  What is not in the table ends it.
 *
 * connecting -> hello -> starting -> live, or connecting -> enrolling; closing from everywhere.
 *
 * A connection is one fencing token: a frame of another writer cannot come through it, and a second collector of a profile
 * is sent away while the first lives; which is looked at when the second comes, not believed.
 *
 * Threads: loop thread only.
 */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct identity;
struct session;
struct tenant;
struct wire_msg;
struct workpool;

struct session_host {
	struct event_base *base;
	struct workpool *pool;
	int lane_read, lane_enrol; /* lane_enrol: one thread */
	struct identity *identity;
	const char *releases;      /* folder, or "off" */
	/* A profile by its name; NULL when there is none. */
	struct tenant *(*tenant)(const char *profile, void *arg);
	/* It is the one session of a profile; before, and while it enrols, it counts as connecting. */
	void (*authenticated)(struct session *s, void *arg);
	/* Its connection is over, and it is freed after this. */
	void (*over)(struct session *s, void *arg);
	void *arg;
};

/* *Takes* the accepted descriptor.  `host` is borrowed. */
int session_new(const struct session_host *host, int fd, struct session **ret_session);
/* Ends without a word and without `over`; what runs in a lane ends later.  NULL is fine. */
void session_free(struct session *s);

void session_send(struct session *s, const struct wire_msg *msg);
/* Says goodbye. */
void session_close(struct session *s, int err, const char *text);

/* Closes it when its certificate is no longer on the allow-list. */
void session_check_pin(struct session *s);

/* NULL before the certificate is known. */
struct tenant *session_tenant(const struct session *s);
/* Of the protocol, as both agreed; 0 before. */
uint32_t session_version(const struct session *s);
bool session_live(const struct session *s);
const char *session_peer(const struct session *s);
uint64_t session_bytes_received(const struct session *s);

#endif
