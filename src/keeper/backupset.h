/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backupset - the seal: from staging and index to a set that never changes again.  DESIGN.md has the steps and the crash windows.
 *
 * Threads: one at a time a vault.
 */
#ifndef KEEPER_BACKUPSET_H
#define KEEPER_BACKUPSET_H

#include "keeper/order.h"
#include "keeper/task.h"
#include "keeper/vault.h"

/* Staged paths whose bytes are not what the index says; at most ORDER_DOUBTFUL_MAX. */
struct doubtful {
	char **paths;
	size_t n;
	bool fatal; /* not all are index files, which a set may lack */
};

/*
 * Carries out a SEAL.  *Gives* the row of the set, sealed; the same again for a job that has its set already.
 *
 * -ERR_DIFFERS: index or bytes are not what they should be, `doubtful` names what it can; -ERR_INCOMPLETE: databases are missing;
 * -ERR_STOPPED.  Whatever the error: no set, nothing left behind.  `doubtful` is filled on failure as well, on success with index
 * files that the set lacks although nobody is changing them, and is the caller's to end.
 */
int backupset_seal(struct vault *v, const struct order *order, struct task *task, struct set_row *ret_set, struct doubtful *doubtful);
void doubtful_fini(struct doubtful *doubtful);

/* After any crash: the pending set is finished when it has its name, else forgotten with all that was made for it. */
int backupset_recover(struct vault *v);

/* The base name of a set of yyyymmdd: false when that is no date. */
bool backupset_day(uint32_t date, char ret_name[16]);

#endif
