/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * launch - which program is the collector: the installed one, or a release that lies in the state.
 *
 * The installed program is what is trusted and what systemd starts.  It reads a release whole before it becomes it, so neither a bad disk
 * nor who can write the state's folder chooses what runs.  A release is on trial until it has been welcomed by the server; one that has
 * begun three times and never got there has failed, and the former runs again.  What this host lacks at the moment, memory, descriptors
 * or the keys, says nothing of a release: the next start tries it again.
 *
 * Threads: before the first one, and after the last.
 */
#ifndef COLLECTOR_LAUNCH_H
#define COLLECTOR_LAUNCH_H

struct collector_config;

/* Becomes the release that is to run; returns when this program itself is to. */
void launch(char **argv, const struct collector_config *config);
/* Becomes the installed program, anew, which launches what is to run then.  Returns a negative error only.  Called also by a release on
 * trial that cannot start: not every supervisor starts again what ended with a configuration error. */
int launch_again(char **argv);

#endif
