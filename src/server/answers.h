/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * answers - what the server tells of what it holds: directories' sums, lists of names, hashes of blocks, releases of the collector.
 *
 * Each gives the bytes of one control frame.  They read the index and files: any thread but the loop's.
 */
#ifndef SERVER_ANSWERS_H
#define SERVER_ANSWERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "layout.h"

struct index;

struct answers {
	struct index *index;
	const struct block_key *key;
	enum layout_type layout;
	int profile_fd;
	const char *releases; /* folder; "off" = none are handed out */
};

/* Sums of the directories above `after`, in byte order. */
int answers_sums(const struct answers *a, const char *after, uint8_t **ret_frame, size_t *ret_len);
/* Names in `dir` above `after`. */
int answers_list(const struct answers *a, const char *dir, const char *after, uint8_t **ret_frame, size_t *ret_len);
/* Hashes of what really lies on disk, also of a partial file, up to what cannot be read; none, and not present, when nothing does, or its
 * inode cannot be read. */
int answers_blocks(const struct answers *a, const char *path, uint64_t first, uint32_t count, uint8_t **ret_frame, size_t *ret_len);
/* The newest release for a platform, or a piece of one; REFUSED when that cannot be told. */
int answers_release(const struct answers *a, const char *platform, uint8_t **ret_frame, size_t *ret_len);
int answers_piece(const struct answers *a, const uint8_t release[32], uint64_t offset, uint32_t count, uint8_t **ret_frame, size_t *ret_len);

#endif
