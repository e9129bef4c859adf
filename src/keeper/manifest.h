/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest - what a set holds beside the blobs, one line a name, as text that needs no program of ours to be read in ten years.
 *
 *     tidemark-manifest 1<TAB>profile<TAB>set
 *     kind new mode uid gid size mtime_ns xxh128 sha256 path extra      (separated by TAB; what a kind has not is "-")
 *     end<TAB>lines<TAB>SHA-256 of everything above
 *
 * kind: f file, d directory, l link (extra: its target), p fifo, s socket, c and b device (extra: its number), A blob area (a
 * directory whose content is in the catalogue; extra: the link that stands for it in the set).  new: + its bytes were
 * copied for this set, = they are the previous set's file.  Paths and targets are escaped (base/relpath.h).
 *
 * Lines are in path order, so that two manifests, or a manifest and a tree, are merged in one pass.  Writer and reader keep one
 * line in memory.  Threads: each belongs to one thread at a time.
 */
#ifndef KEEPER_MANIFEST_H
#define KEEPER_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "wire/entry.h"

struct manifest_row {
	char *path;
	struct entry entry;            /* of a blob area: a link with its target */
	uint8_t sha256[DIGEST_BYTES];  /* files */
	bool area;
	bool fresh;                    /* "+" */
};

/* Path order: a directory, what is in it, then its next sibling; siblings by bytes. */
int manifest_compare(const char *a, const char *b);

struct manifest_writer;
struct manifest_reader;

int manifest_create(int dirfd, const char *name, const char *profile, struct manifest_writer **ret_writer);
/* Rows come in path order; -ERR_CORRUPT for one that does not. */
int manifest_add(struct manifest_writer *w, const struct manifest_row *row);
/* Writes the end and syncs the file; the name is durable once the caller synced the directory. */
int manifest_finish(struct manifest_writer *w, uint8_t ret_sha256[DIGEST_BYTES]);
void manifest_abandon(struct manifest_writer *w); /* frees, after finish as well; NULL is fine */

/* Reads it once to its end first: -ERR_CORRUPT unless it is whole and, where given, has the sum `want`.  -ERR_GONE. */
int manifest_open(int dirfd, const char *name, const uint8_t *want, struct manifest_reader **ret_reader);
/* 0 and a row, valid until the next call; 1 at the end. */
int manifest_next(struct manifest_reader *r, const struct manifest_row **ret_row);
/* Goes on to the row of `path`: 0 found, 1 not there.  Paths asked for come in path order. */
int manifest_seek(struct manifest_reader *r, const char *path, const struct manifest_row **ret_row);
void manifest_close(struct manifest_reader *r); /* NULL is fine */

#endif
