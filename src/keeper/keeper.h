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

struct event_base;
struct keeper;

/* Recovers every profile of `store` at once, in their lanes.  *Takes* `fd`, the socket to the receiver, on success.  `ended` is
 * called when the receiver has closed it: work that runs has then been told to stop. */
int keeper_new(struct event_base *base, const char *store, int fd, void (*ended)(void *arg), void *arg, struct keeper **ret_keeper);
/* Stops what runs, waits for it, frees.  NULL is fine. */
void keeper_free(struct keeper *k);

#endif
