/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dbcopy_proof - trust in a DBCOPY run is earned: what was there before, what must be there after.
 *
 * Threads: a lane; blocking.
 */
#ifndef COLLECTOR_DBCOPY_PROOF_H
#define COLLECTOR_DBCOPY_PROOF_H

#include "collector/dbcopy.h"
#include "collector/dblist.h"

struct dbcopy_proof {
	const struct livetree *tree;
	const char *staging;
	const char *marker;          /* path of the mark of an unfinished external run; NULL for the built-in copier, whose
	                              * unfinished copies are recognised by their time */
	int log_fd;                  /* the job's log */
	struct dbcopy_figures *figures;
	struct dblist before, had;   /* the live tree at T0, and what staging held then; fini by the owner */
};

/* Removes what a broken run may have left half made, and its logs, which would be taken for this run's, and lists the live tree. */
int dbcopy_proof_begin(struct dbcopy_proof *p);

/* After any other end: moves DBCOPY's logs from staging to the job's log.  -ERR_INCOMPLETE gives the first line that tells of an error. */
int dbcopy_proof_failed(struct dbcopy_proof *p);

/* After exit status 0: moves DBCOPY's logs from staging to the job's log and looks for errors in them, checks that every live
 * database arrived, removes names that vanished from the live tree.  -ERR_INCOMPLETE names what is wrong. */
int dbcopy_proof_end(struct dbcopy_proof *p);

/* True when the disk of staging is full, which may be why a run failed. */
bool dbcopy_proof_no_space(const struct dbcopy_proof *p);

#endif
