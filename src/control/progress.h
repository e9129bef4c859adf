/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * progress - how a long answer is shown while it comes: a bar on a terminal, a plain line every 30 s elsewhere, nothing
 * with --json.  Writes to standard error only.
 */
#ifndef CONTROL_PROGRESS_H
#define CONTROL_PROGRESS_H

#include <stdint.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_NONE };

void progress_begin(enum progress_mode mode);
/* The bar is `done` of `total`, in any unit; none when either is 0.  `figures` says it in words ("1.2 GiB of 3.4 GiB"). */
void progress_show(const char *phase, uint64_t done, uint64_t total, const char *figures);
/* About once a second while nothing comes. */
void progress_tick(void);
void progress_end(void);

#endif
