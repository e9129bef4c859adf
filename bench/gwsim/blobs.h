/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blobs - the write-once files in offiles/fd0 .. fdF6.
 *
 * A blob's number is never used again, and its name, directory and content follow from number and run id.
 * Numbers below 2^24 per agent process: the upper 20 bits say which process made it.
 */
#ifndef GWSIM_BLOBS_H
#define GWSIM_BLOBS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/page.h"

enum {
	BLOB_DIRS = 247,
	BLOB_NUMBER_BITS = 24,		/* of one agent process */
	BLOB_CHUNK = 256 * 1024,
};

enum blob_way {
	BLOB_DIRECT,		/* written under its final name */
	BLOB_RENAMED,		/* written as name.tmp beside it, then renamed */
};

/* The answer of blobs_verify(). */
enum blob_state { BLOB_GOOD, BLOB_MISSING, BLOB_TRUNCATED, BLOB_TOO_LONG, BLOB_CORRUPT, BLOB_UNREADABLE };

/* One thread's access to the blobs of one tree. */
struct blobs {
	uint64_t run_id;
	int dirs[BLOB_DIRS];		/* -1: the directory is absent */
	int graveyard;			/* a directory that gets a hard link of each deleted blob, or -1 */
	EVP_MD_CTX *digest;
	EVP_MD *sha256;
	char *chunk;
};

/* Open the directories of `offiles` (may be NULL: all absent). Names in any case. */
void blobs_open(struct blobs *blobs, const char *offiles, uint64_t run_id);
void blobs_close(struct blobs *blobs);

/* The path of a blob relative to the post office. */
void blobs_name(uint64_t run_id, uint64_t number, char *ret_path, size_t room);

/* Create blob `number` of `bytes` bytes, closed on return, and fill in path, size, SHA-256 and state of `ret_slot`. */
void blobs_create(struct blobs *blobs, uint64_t number, uint64_t bytes, enum blob_way way, struct slot *ret_slot);

/* Delete a blob; one that is gone already is no error. */
void blobs_delete(struct blobs *blobs, const struct slot *slot);

/* Compare a blob with its record; the SHA-256 only when `content`. */
enum blob_state blobs_verify(struct blobs *blobs, const struct slot *slot, bool content, uint64_t *ret_bytes);

/* False when a record of a damaged page names something that cannot be a blob. */
bool blobs_plausible(const struct slot *slot);

#endif
