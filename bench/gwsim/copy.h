/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copy - the copy a well-behaved backup makes: each database under its lock, one after another, then the blobs. */
#ifndef GWSIM_COPY_H
#define GWSIM_COPY_H

#include <stdbool.h>

/*
 * Copy the office `from` to the absent or empty directory `to`. Blobs that vanish meanwhile are left out; with
 * `databases_only` all are. Returns the number of blobs that vanished.
 */
unsigned long copy_office(const char *from, const char *to, bool databases_only);

#endif
