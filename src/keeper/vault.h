/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vault - the folder of one profile as the keeper sees it: its directories held open, and its catalogue.
 *
 *     backups/creating/<set>    being built            state/catalogue     which sets there are, which blobs they hold
 *     backups/weeknow/<set>     sealed                 state/manifests/<set>
 *     backups/dropping/<set>    on its way out         state/index         the receiver's; read only
 *
 * Threads: one at a time.
 */
#ifndef KEEPER_VAULT_H
#define KEEPER_VAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "keeper/catalogue.h"

struct courier;

struct vault {
	char *profile;
	char *path;                                /* <store>/<profile> */
	char *state_path;                          /* <store>/<profile>/state */
	int dir;                                   /* of path */
	int lock;                                  /* state/keeper.lock */
	int creating, weeknow, dropping, manifests;
	struct catalogue *catalogue;
	struct courier *warden;                    /* borrowed; NULL: receiver and keeper are one user */
	bool rebuilt;                              /* the catalogue was damaged and is new */
	struct catalogue_remade remade;            /* what it has from the ledger then */
	struct {                                   /* where a scrub was stopped: it goes on there */
		uint64_t set;                      /* its number; 0 = none was */
		uint64_t good;                     /* contents, in the order of reading, that were read and do not differ */
	} scrub;
};

/* -ERR_NOTFOUND when the store has no such profile.  With a `warden` (NULL: one user) what is to be the keeper's must be; else
 * -ERR_UNSAFE: a receiver made it.  -ERR_BUSY: another keeper works in it, one whose receiver died and that has not ended yet. */
int vault_open(const char *store, const char *profile, struct courier *warden, struct vault **ret_vault);
void vault_close(struct vault *v); /* NULL is fine */

/* Calls `visit` for each name in a held directory, in no order; what it returns other than 0 ends the walk and is passed on. */
int vault_names(int dirfd, int (*visit)(const char *name, void *arg), void *arg);

#endif
