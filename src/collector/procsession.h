/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * procsession - the processes of a session (setsid), as /proc shows them: who is left of what a child of ours started.
 *
 * A session's number is not given away while a process of it lives, and only a process that calls setsid leaves it.
 *
 * Threads: any; blocking.
 */
#ifndef COLLECTOR_PROCSESSION_H
#define COLLECTOR_PROCSESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct procsession_one {
	pid_t pid, session;
	char name[32]; /* its program's, as the kernel shortens it */
};

/* Another process that has the file open under `name`; false: none that we may look at. */
bool procsession_holder(const struct stat *file, const char *name, struct procsession_one *ret_holder);

/*
 * Ends all processes of a session, which is not ours: after `patience_ms`, in which they may end by themselves, TERM, five seconds later KILL;
 * returns when none is left.  Gives how many were signalled.  -ERR_BUSY names one that did not end within five seconds more.
 */
int procsession_end(pid_t session, int patience_ms, size_t *ret_ended);

#endif
