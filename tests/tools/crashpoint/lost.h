/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lost - what a failed sync loses.
 *
 * After a sync has failed the kernel takes the pages for clean: what was written since the last good one may be gone as soon as it
 * needs the memory, and no later sync tells.  Here it is gone at once: those bytes are overwritten with rubbish.  A program that
 * believes in them, or in a second sync that succeeds, is found by the comparison that follows.
 */
#ifndef CRASHPOINT_LOST_H
#define CRASHPOINT_LOST_H

#include "tests/tools/crashpoint/calls.h"

/* A call that is going to be carried out: a write is remembered until a sync of its file, or of all. */
void lost_note(pid_t tid, const struct judged *j);
/* The same, but it fails instead: a sync loses what is remembered. */
void lost_fail(pid_t tid, const struct judged *j);

#endif
