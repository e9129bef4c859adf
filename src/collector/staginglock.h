/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staginglock - who may write local staging: one job, and the DBCOPY that it started, also when the collector is killed meanwhile.
 *
 * A lock on <profile dir>/dbcopy.lock whose descriptor DBCOPY and all it starts inherit.  A collector that is killed leaves it held for
 * as long as one of these lives, and the next job does not begin a second copy beside them.
 *
 * Threads: any.  staginglock_take blocks; the others do not.
 */
#ifndef COLLECTOR_STAGINGLOCK_H
#define COLLECTOR_STAGINGLOCK_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Takes the lock for a job: the descriptor, or an error.  The DBCOPY of an earlier job is ended first (TERM, then KILL), with all that is
 * in its session; -ERR_BUSY names a process that does not end, or that left the session: such a one may be a daemon of the
 * administrator's, and is left alone.
 */
int staginglock_take(const char *profile_dir);

/* DBCOPY was started with the lock, as the leader of this session. */
void staginglock_lead(int lock, pid_t session);

/* The job is over.  `copied`: DBCOPY ended and said that all was well, so what it left behind copies nothing and holds nobody up. */
void staginglock_end(int lock, bool copied);

#endif
