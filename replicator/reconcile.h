/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * reconcile - agreement with a server that knows more or less than we thought: directory sums are compared, then the lists of
 * those that differ, and the map is made equal to what the server says.
 *
 * Serves a first start against a server that already holds most of it, a lost map, and a server that went back in time
 * alike.  Nothing is believed for it: every entry taken over is *adopted*, and its directory gets a RESCAN row, which
 * reads and compares before anything is sent.
 *
 * A step machine without network or loop: it answers what it wants.  Nothing may be in flight while it runs.
 *
 *   ASK_SUMS --SUMS--> COMPARE -> ASK_LIST --LIST--> ADOPT -> ASK_LIST ... -> ASK_SUMS ... -> LACKING -> DONE
 */
#ifndef REPLICATOR_RECONCILE_H
#define REPLICATOR_RECONCILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/workpool.h"
#include "layout.h"
#include "wire/wire.h"

struct blockmap;
struct journal;
struct reconcile;

enum reconcile_state {
	RECONCILE_ASK_SUMS, /* wants reconcile_request sent, then reconcile_answer */
	RECONCILE_ASK_LIST, /* likewise */
	RECONCILE_COMPARE,  /* wants reconcile_run in the journal's lane, then reconcile_ran */
	RECONCILE_ADOPT,    /* likewise */
	RECONCILE_LACKING,  /* likewise */
	RECONCILE_DONE,
	RECONCILE_FAILED,
	RECONCILE_STATES
};

struct reconcile_figures {
	uint64_t differing; /* directories */
	uint64_t adopted, forgotten; /* entries */
	uint64_t databases;          /* of both, in snapshot areas: no scan of the live tree brings them */
};

/* Borrows map, journal and key.  NULL when out of memory. */
struct reconcile *reconcile_new(struct blockmap *map, struct journal *journal, const struct block_key *key, enum layout_type layout);
void reconcile_free(struct reconcile *rc); /* no run may be under way; NULL is fine */

enum reconcile_state reconcile_state(const struct reconcile *rc);
int reconcile_error(const struct reconcile *rc);        /* FAILED */
const char *reconcile_error_text(const struct reconcile *rc);
const struct reconcile_figures *reconcile_figures(const struct reconcile *rc);

/* ASK_*: the message to be sent; borrows from `rc`. */
void reconcile_request(const struct reconcile *rc, struct wire_msg *ret_msg);
/* A SUMS or LIST: true when it was the answer.  Takes its array out of the message.  A page whose names do not rise, from the page
 * before on, is FAILED: it would be asked for without end, or be believed to say that what it left out is not there. */
bool reconcile_answer(struct reconcile *rc, struct wire_msg *msg);

void reconcile_run(struct reconcile *rc);
void reconcile_ran(struct reconcile *rc);

#endif
