/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daystaging - the folder in local staging that DBCOPY fills: <profile dir>/backups/weeknow/<day>.
 *
 * Persistent: yesterday's tree is renamed to today's name, so that an unchanged database costs nothing.  There is one such
 * tree; what else lies beside it is left from a crash between two names and goes.
 *
 * Threads: any; blocking.
 */
#ifndef COLLECTOR_DAYSTAGING_H
#define COLLECTOR_DAYSTAGING_H

#include <stdint.h>

/* Makes <profile_dir>/backups/weeknow/<day> out of yesterday's: *gives* its path and an open descriptor. */
int daystaging_prepare(const char *profile_dir, const char *day, char **ret_path, int *ret_fd);

#endif
