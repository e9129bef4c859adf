/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copychild - DBCOPY as a process: a child of the collector that leads a session of its own, so that whatever it starts can be found.
 *
 * Threads: loop thread only; nothing here blocks but copychild_reap.
 */
#ifndef COLLECTOR_COPYCHILD_H
#define COLLECTOR_COPYCHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Starts `words` with standard input from /dev/null, both outputs to `output`, and, unless negative, `report` as descriptor 3 and `lock`
 * (a descriptor above it) under its own number.  All signals are at their defaults.
 */
int copychild_start(char **words, int output, int report, int lock, pid_t *ret_pid);

/* Kills the child's process group and takes the child's status, for two seconds at most; after that it is left to the system. */
void copychild_reap(pid_t pid, int *ret_status);

/* The path of a program that lies beside ours. */
int copychild_sibling(const char *name, char *out, size_t size);

#endif
