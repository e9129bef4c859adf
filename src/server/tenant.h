/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tenant - one profile as the server serves it: its folder, its live session, its day's job, its sets.
 *
 * Threads: loop thread only.
 */
#ifndef SERVER_TENANT_H
#define SERVER_TENANT_H

#include <stdbool.h>
#include <stdint.h>

#include "jobs.h"
#include "keeper/order.h"
#include "server/profile.h"
#include "wire/wire.h"

struct keeper_link;
struct sealing;
struct session;
struct wire_msg;

struct tenant {
	struct profile *profile;
	struct keeper_link *keeper;
	struct sealing *sealing;
	struct session *session;     /* live, or beginning */

	struct report_set newest;    /* the newest set; name NULL = none */
	uint64_t n_sets;
	bool sets_known;
	unsigned asking;             /* questions for them that are on their way */
	int64_t asked_ms;            /* when the last was sent; monotonic */
	char sets_trouble[200];      /* why the keeper could not tell them; "" = it could, or was not asked yet */

	/* for status */
	int64_t connected_ns, last_seen_ns, last_durable_ns;
	uint64_t wire_bytes_received; /* of ended sessions */
	uint64_t files_received, removals_received;

	int64_t (*keep_days)(struct tenant *t);
	void (*changed)(struct tenant *t);
	/* A job ended badly, or a set is late: an operator should hear of it. */
	void (*trouble)(struct tenant *t, const char *event, const char *text);
	void *arg;
};

int tenant_new(const struct profile_setup *setup, struct keeper_link *keeper, const char *name, struct tenant **ret_tenant);
void tenant_free(struct tenant *t); /* after the pool was freed */

const char *tenant_name(const struct tenant *t);

/* Asks the keeper for the sets; `done` (may be NULL) comes in any case. */
void tenant_learn_sets(struct tenant *t, void (*done)(void *arg), void *arg);
/* Asks again, once in tenant_again_ms, while the keeper could not tell them: without them nothing is ever late.  Call now and then. */
void tenant_learn_again(struct tenant *t);
extern int64_t tenant_again_ms;
/* A set was sealed or scrubbed. */
void tenant_note_set(struct tenant *t, const struct report_set *set);
/* A set of the keeper's report as the wire tells it; *borrows* its strings. */
struct wire_set tenant_wire_set(const struct report_set *set);

/* To the collector, when it was welcomed: what comes before that it learns from the WELCOME. */
void tenant_tell(struct tenant *t, const struct wire_msg *msg);
/* The newest set as it is known now, to a collector that understands it. */
void tenant_tell_newest(struct tenant *t);

#endif
