/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * state - the collector's own folder on disk.
 */
#ifndef COLLECTOR_STATE_H
#define COLLECTOR_STATE_H

/* Makes the absolute directory and its parents (0700), durably, and opens it.  The administrator's own links above it are
 * followed: it is our folder, not somebody's tree. */
int state_open_dir(const char *dir);

#endif
