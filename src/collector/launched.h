/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * launched - how this program came to run: as it is installed, or as a release that the installed one became (launch.h).  It
 * stands in the environment, which an exec keeps and a new start by a supervisor does not have.
 */
#ifndef COLLECTOR_LAUNCHED_H
#define COLLECTOR_LAUNCHED_H

#include <stdbool.h>

/* Path of the installed program; NULL in itself. */
const char *launched_by(void);
/* It is a release that has still to prove itself. */
bool launched_on_trial(void);

/* For the program that is become next.  -ERR_NOMEM. */
int launched_note(const char *installed, bool trial);
void launched_forget(void);

#endif
