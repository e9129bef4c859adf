/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hook - runs a configured command after a job: the purge stamp, the notification.
 *
 * The command is split as a shell would, no shell runs; its program is looked for in PATH; it gets its facts as TIDEMARK_* variables in the environment and, for
 * the stamp, T0 as the last argument.  It has 60 seconds, then all it started is killed; what it prints goes to our log.
 */
#ifndef COLLECTOR_HOOK_H
#define COLLECTOR_HOOK_H

struct event_base;
struct job_record;

/* For tests. */
extern long hook_limit_s;

/* Starts it and forgets it: the outcome is logged.  `argument` may be NULL.  "off" does nothing. */
void hook_run(struct event_base *base, const char *what, const char *command, const char *argument, const struct job_record *job);

#endif
