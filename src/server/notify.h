/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * notify - runs the operator's command when something went wrong, and forgets about it.  What happened travels in the
 * environment, never in the command line.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* TIDEMARK_PROFILE, TIDEMARK_EVENT ("failed", "late"), TIDEMARK_TEXT.  "off" does nothing. */
void notify_run(const char *command, const char *profile, const char *event, const char *text);
/* Collects commands that ended; call now and then. */
void notify_reap(void);

#endif
