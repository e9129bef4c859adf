/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keeper_link - the way to the keeper's process: starts it, gives it orders, hands out its reports, and starts it again when
 * it dies, with growing patience.  Orders that were running then fail with a sentence that says so.
 *
 * Threads: loop thread only; callbacks come from the loop.
 */
#ifndef SERVER_KEEPER_LINK_H
#define SERVER_KEEPER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "keeper/order.h"

struct event_base;
struct keeper_link;
struct warden;

struct keeper_events {
	/* The keeper is up, again or for the first time. */
	void (*up)(void *arg);
	/* A report that nobody ordered: a scrub's. */
	void (*scrub)(const struct report *report, void *arg);
};

/* `program` NULL: keeper_link_program().  It gets --config `config`, and its end of the socket pair as descriptor 3.  With a warden it is
 * he who starts and ends it.  Strings, `warden` and `events` are borrowed until free.  The first start happens on the loop. */
int keeper_link_new(struct event_base *base, const char *program, const char *config, struct warden *warden, const struct keeper_events *events,
    void *arg, struct keeper_link **ret_link);
/* tidemark-keeper beside our executable, or in the PATH: *gives*; NULL without memory. */
char *keeper_link_program(void);
/* Closes the socket, which ends the keeper, and waits for it.  Open orders then fail with STOPPED; the link takes no new ones: it is down
 * for good.  NULL is fine. */
void keeper_link_end(struct keeper_link *k);
void keeper_link_free(struct keeper_link *k); /* after its end, which it makes if need be; NULL is fine */

typedef void keeper_report(const struct report *report, void *arg);

/* Gives the order (its id is filled in) and its id; every report of it comes to `report`, the last is DONE or FAILED.  0: the
 * keeper is down (err_text()), and `report` is never called. */
uint64_t keeper_link_order(struct keeper_link *k, struct order *order, keeper_report *report, void *arg);
/* Asks for the end of a running order; its FAILED comes as always. */
void keeper_link_stop(struct keeper_link *k, const char *profile, uint64_t id);
/* No further reports of it, whatever becomes of it. */
void keeper_link_forget(struct keeper_link *k, uint64_t id);

bool keeper_link_up(const struct keeper_link *k);
uint64_t keeper_link_restarts(const struct keeper_link *k);

#endif
