/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * warden - the process that stays root when receiver and keeper have users of their own, and does for them only what neither
 * may do: it starts and ends the keeper, makes a profile's folder, and gives a file of the receiver's to the keeper.
 *
 * It reads nothing that anybody sent: a note's kind, a profile's name, a descriptor.  It ends when the receiver does, and ends the keeper
 * before.  The receiver's wishes come over one socket, the keeper's over another: what the one may ask for the other may not.
 *
 * Threads: warden_start before the first thread; the others any.
 */
#ifndef SERVER_WARDEN_H
#define SERVER_WARDEN_H

#include "server/ownership.h"

struct warden;

/* What the keeper may ask, with the descriptor. */
enum { WARDEN_TAKE = 't' };

struct warden_setup {
	struct owners owners;
	const char *store;
	const char *program; /* the keeper's */
	const char *config;
};

/* As root: makes the process. */
int warden_start(const struct warden_setup *setup, struct warden **ret_warden);
void warden_free(struct warden *w); /* it ends by that; NULL is fine */

/* Starts the keeper, after what may be left of one before has ended; its socket is the caller's. */
int warden_start_keeper(struct warden *w, int *ret_pid, int *ret_fd);
/* Waits for the keeper's end at most so long, then kills it; its status as of waitpid, 0 when there was none. */
int warden_end_keeper(struct warden *w, int patience_ms, int *ret_status);
/* The profile's folder is there, with its owners. */
int warden_make_profile(struct warden *w, const char *profile);

#endif
