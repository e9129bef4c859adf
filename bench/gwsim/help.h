/* SPDX-License-Identifier: GPL-2.0-or-later */
/* help - the texts of `gwsim help` and `gwsim VERB --help`. */
#ifndef GWSIM_HELP_H
#define GWSIM_HELP_H

#include <stdbool.h>
#include <stdio.h>

/* Print the text of a verb, or the overview for NULL. False: there is no such verb. */
bool help_print(FILE *to, const char *verb);

#endif
