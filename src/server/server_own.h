/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server_own - the server's own state, shared by server.c (life), server_guests.c (connections), server_status.c (facts),
 * server_enrol.c (tokens and certificates) and server_orders.c (what the keeper is asked), and by nothing else.
 */
#ifndef SERVER_SERVER_OWN_H
#define SERVER_SERVER_OWN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/keeper_link.h"
#include "server/profile.h"
#include "server/server.h"
#include "server/session.h"
#include "server/tenant.h"

struct evconnlistener;
struct event;
struct identity;
struct workpool;

/* One connection. */
struct guest {
	struct guest *next;
	struct session *session;
	uint8_t address[16]; /* of the peer, for the limit by source */
	bool connecting, local;
	int64_t since_ms;    /* monotonic */
};

/* One order given for somebody outside. */
struct asked {
	TAILQ_ENTRY(asked) link;
	struct server *server;
	uint64_t id;
	char profile[64];
	bool verify;             /* what it says of the set is news */
	const struct server_order_events *events;
	void *arg;
};
TAILQ_HEAD(asked_list, asked);

struct seat {
	struct tenant *t;
	bool told_late;
};

struct server {
	struct event_base *base;
	struct conf *conf;
	char *file, *releases, *store;
	int store_fd;
	struct identity *identity;
	const struct separation *separation; /* NULL: nobody asked */
	struct workpool *pool;
	struct profile_setup profile_setup;
	struct session_host host;
	struct keeper_link *keeper;
	struct evconnlistener *listener;
	char listen[128];
	uint16_t port;
	struct event *tick;
	int64_t started_ns;
	bool ending;

	struct seat *seats;      /* by name */
	size_t n_seats, cap_seats;
	struct guest *guests;
	size_t connecting, sessions;
	uint64_t refused;
	struct asked_list asked;

	void (*changed)(const char *profile, void *arg);
	void *changed_arg;
};

/* Makes the profile known, and opens it; one that is known already is fine. */
int server_add_tenant(struct server *s, const char *name);
struct tenant *server_tenant(const struct server *s, const char *profile);

/* server_guests.c: what a session asks of the server; the listener; revoked certificates and strangers who stay too long; the end of
 * the listener and of every session. */
void server_guests_host(struct server *s);
int server_guests_listen(struct server *s);
void server_guests_check(struct server *s);
void server_guests_end(struct server *s);

/* A set was re-read: what was found decides the profile's state. */
void server_note_verified(struct server *s, const char *profile, const struct report_set *set);

/* server_status.c: when the profile's certificate was made, 0 = it has none.  An error: that cannot be told now, and is not "none". */
int server_enrolled(const struct server *s, const char *profile, int64_t *ret_ns);

/* server_status.c: true when the newest set is too old; `ret_reason` says so. */
bool server_is_late(struct server *s, const struct tenant *t, char *reason, size_t size);

#endif
