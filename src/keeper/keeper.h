/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keeper - takes the receiver's orders, gives each to the lane of its profile, and sends the reports.  Knows no network.
 *
 * Of what waits in a profile a SEAL goes first.  When nothing waits, sets that were not yet re-read from disk are (the scrub), at
 * idle I/O priority; an order ends a scrub, which begins again later.
 *
 * Threads: loop thread only; the work itself runs in lanes (work.c).
 */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

struct courier;
struct event_base;
struct keeper;

struct keeper_setup {
	const char *store;
	const char *config;        /* read again at each seal: how long sets are kept; NULL: as the order says */
	struct courier *warden;    /* where receiver and keeper are two users */
	int fd;                    /* the receiver's orders */
	void (*ended)(void *arg);  /* the receiver has closed it; work that runs has then been told to stop */
	void *arg;
};

/* Recovers every profile of the store at once, in their lanes.  *Takes* `fd` on success; the rest of `setup` is borrowed until free. */
int keeper_new(struct event_base *base, const struct keeper_setup *setup, struct keeper **ret_keeper);
/* Stops what runs, waits for it, frees.  NULL is fine. */
void keeper_free(struct keeper *k);

#endif
