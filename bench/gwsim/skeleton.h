/* SPDX-License-Identifier: GPL-2.0-or-later */
/* skeleton - the directories and the small static files of an office: everything but databases and blobs. */
#ifndef GWSIM_SKELETON_H
#define GWSIM_SKELETON_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/rng.h"

/* Make directories and static files below the existing `dir`. Returns the bytes in files. */
uint64_t skeleton_make(const char *dir, uint64_t run_id, bool domain);

/*
 * Static files that an office cannot be without, and directories that hold such files; backups may lack queues
 * and work directories. Each list ends with NULL.
 */
const char *const *skeleton_needed_files(bool domain);

/* The three-character id of user `i`; different for i below 46,656. */
void skeleton_user_id(uint64_t run_id, uint64_t i, char ret_id[4]);

/* Create a file of random bytes; copy a file. */
void skeleton_random_file(const char *path, struct rng *rng, uint64_t bytes);
void skeleton_copy_file(const char *from, const char *to);

#endif
