/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * custody - how a blob that a set will name comes out of the receiver's reach, where receiver and keeper are two users.
 *
 * The way to it first: every directory from the profile's folder down is the keeper's, in which the receiver makes names and removes only
 * its own.  Then the file: its owner becomes the keeper, so that nobody opens it for writing any more; then the kernel says, by
 * a read lease, that nobody has had it open for writing, nor mapped, since before; then it is read and compared, and the lease
 * must still stand.  Where the kernel says otherwise, or has no leases, the file that is read is a copy that only the keeper ever
 * held, and it takes the place of the one that was found.
 *
 * Without a warden all this is left out: one user can keep nothing from itself.
 *
 * Threads: a struct custody belongs to one thread at a time.
 */
#ifndef KEEPER_CUSTODY_H
#define KEEPER_CUSTODY_H

#include "keeper/copy.h"
#include "keeper/vault.h"

struct custody;

int custody_new(const struct vault *v, struct custody **ret_custody);
void custody_free(struct custody *c); /* NULL is fine */

/* Reads the blob at `place` with `copy`.  0: what was summed up stays as it is.  1: it is not there, no file, or cannot be read. */
int custody_read(struct custody *c, struct copy *copy, const char *place, struct copy_sums *ret_sums);

#endif
