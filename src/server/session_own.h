/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session_own - what the files of a session share; nobody else includes it. */
#ifndef SERVER_SESSION_OWN_H
#define SERVER_SESSION_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/workpool.h"
#include "server/session.h"
#include "wire/wire.h"
#include "wire/identity.h"

enum session_state { CONNECTING, HELLO, STARTING, LIVE, ENROLLING, CLOSING, STATES };

TAILQ_HEAD(questions, question);

/* What the keeper has told of a page of names. */
struct page {
	uint64_t order; /* 0: none is asked for */
	struct wire_name *v;
	size_t n, room;
};

struct session {
	const struct session_host *host;
	struct wire_conn *conn;
	enum session_state state;
	struct tenant *t;
	unsigned refs;             /* the connection, and whatever has been asked for it */
	bool freed;
	bool paused;
	uint8_t layout;
	uint8_t pin[IDENTITY_PIN_BYTES];
	bool has_pin;
	uint32_t version; /* of the protocol */
	uint64_t token;
	uint64_t durable;          /* as was acknowledged last */
	bool asked_in;             /* an ENROL came: there is one a connection */
	struct questions questions; /* first = in the lane */
	size_t n_questions;
	uint64_t sets_order;
	struct page names;         /* that the keeper is telling */
};

/* Whoever is to call back later holds a reference (`refs`) and gives it up with this. */
void session_unref(struct session *s);

/* Handlers of the table; a message's content that they zero is *taken*. */
void session_on_question(struct session *s, struct wire_msg *m);
void session_on_sets(struct session *s, struct wire_msg *m);
void session_on_names(struct session *s, struct wire_msg *m);
void session_on_enrol(struct session *s, struct wire_msg *m);

/* Those that are not in the lane yet. */
void session_drop_questions(struct session *s);
/* What the keeper has still to tell; nobody listens any more. */
void session_forget_orders(struct session *s);

#endif
