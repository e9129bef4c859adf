/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restore_files - the files of a restore: each is read, compared with its SHA-256 and written, a batch at a time by a few threads.
 *
 * What differs is told when its batch is made, in the order of the batch; the file is there as it is.
 *
 * Threads: one at a time.
 */
#ifndef KEEPER_RESTORE_FILES_H
#define KEEPER_RESTORE_FILES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/digest.h"
#include "keeper/task.h"
#include "wire/entry.h"

struct restore_files;

/* Below `target`; `root`: owners and set-id bits are given, too.  Borrows `target` and `task` until free. */
int restore_files_new(struct task *task, int target, bool root, struct restore_files **ret_files);
void restore_files_free(struct restore_files *f); /* NULL is fine; what still waits is not made */

/* The file `path` is to be made of `place` below `dir`, which is borrowed until the next flush; the rest is copied.  May flush. */
int restore_files_add(struct restore_files *f, const char *path, int dir, const char *place, const struct entry *e,
    const uint8_t sha256[DIGEST_BYTES]);
int restore_files_flush(struct restore_files *f);

/* So many files were not what was sealed, up to the last flush. */
uint64_t restore_files_differences(const struct restore_files *f);

/* The directory of `path` below `target`, opened; made, ours alone, when it is not there yet. */
int restore_open_parent(int target, const char *path);

/* Without the owner a set-id bit would give its rights to whoever restores. */
mode_t restore_mode(bool root, uint32_t mode);

#endif
