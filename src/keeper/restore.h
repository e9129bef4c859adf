/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * restore - a tree equal to a set, in a directory of the administrator's: databases from the set, blobs from the place of the
 * version that the set holds, every byte compared with its SHA-256 on the way, and the list of blobs with the set's sum of it (but for a
 * single path, which is found without reading that list).
 *
 * Writes only beneath the target and follows no link in it.  Devices are never made, owners only as root.
 *
 * Threads: one at a time a vault.
 */
#ifndef KEEPER_RESTORE_H
#define KEEPER_RESTORE_H

#include "keeper/task.h"
#include "keeper/vault.h"

/* `to`: an absolute directory, absent (its parent is there) or empty; else -ERR_USAGE.  `paths`: files and directories of the
 * set with all that is in them; none = everything; one that the set has not is -ERR_NOTFOUND and a line, the others are
 * restored.  -ERR_NOSPACE before anything is made.  Differences are lines and -ERR_DIFFERS; the file is restored as it is. */
int restore_set(struct vault *v, const struct set_row *set, const char *to, char *const *paths, size_t n_paths, struct task *task);

#endif
