/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * installed - a release as it lies on disk, in a folder named by its version: written as its bytes come, there only when it is
 * whole and durable, and read again before any of it runs.
 *
 * <dir>/1.2.3/{release, tidemark-collector, tidemark-watcher, tidemark-dbcopy}; `release` is the head.  While it is written it is
 * called 1.2.3.new, which is nobody's.  `dir` is held by the caller (fsio_open_dir).  They read and write files: not for a loop.
 */
#ifndef RELEASE_INSTALLED_H
#define RELEASE_INSTALLED_H

#include <stddef.h>
#include <stdint.h>

#include "release/release.h"

struct installing;

/* Begins a folder; -ERR_NOSPACE when the programs would leave less than 64 MiB free.  Borrows `dir` until finish or abandon. */
int installing_begin(int dir, const uint8_t *head, const struct release *r, struct installing **ret_installing);
/* The next bytes behind the head; -ERR_DENIED when a program ends and is not what the statement says, or there are too many. */
int installing_write(struct installing *in, const uint8_t *data, size_t len);
/* All bytes were written: the folder is durable under its name on return, in the place of one that was there.  *Takes* also when it fails. */
int installing_finish(struct installing *in);
void installing_abandon(struct installing *in); /* NULL is fine */

/* Reads the release of a version whole: 0 when its keys and bytes are right, and *gives* the descriptor of its collector. */
int installed_check(int dir, const struct release_version *v, const struct release_keys *keys, int *ret_fd);

/* Removes every folder but those of the `n` versions. */
int installed_sweep(int dir, const struct release_version *keep, size_t n);

#endif
