/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * entry - one name in a replicated tree: what it is, its metadata, and the digest of its content.  Pure.
 *
 * The same bytes travel on the wire and lie in the collector's block map and the server's index, so that both sides sum
 * them up alike.
 */
#ifndef WIRE_ENTRY_H
#define WIRE_ENTRY_H

#include <stdint.h>
#include <sys/stat.h>

#include "base/block.h"
#include "base/pack.h"
#include "base/treemap.h"

enum entry_kind { ENTRY_FILE = 1, ENTRY_DIR, ENTRY_SYMLINK, ENTRY_FIFO, ENTRY_SOCKET, ENTRY_CHAR, ENTRY_BLOCK };

#define ENTRY_TARGET_MAX 4095 /* bytes of a symbolic link's target */
#define ENTRY_BYTES_MIN 11    /* packed: a directory */
#define ENTRY_BYTES_FILE 43   /* packed: a file; a link is less, plus its target */
#define ENTRY_BYTES_MAX (ENTRY_BYTES_FILE + ENTRY_TARGET_MAX)

struct entry {
	uint8_t kind;          /* enum entry_kind */
	uint32_t mode;         /* permission bits with set-id and sticky, no type */
	uint32_t uid, gid;
	uint64_t rdev;         /* devices */
	uint64_t size;         /* files: bytes, at most 2^63 - 1; links: length of the target; else 0 */
	int64_t mtime_ns;      /* 0 for directories: they change with every name in them */
	struct hash128 digest; /* files: content; links: target */
	char *target;          /* links; owned */
};

/* "file", "directory", "link", "fifo", "socket", "character-device", "block-device"; "?" for what is no kind. */
const char *entry_kind_name(uint8_t kind);

/* Only what means something for the kind is in the bytes, so that equal entries have equal bytes. */
void entry_pack(struct pack_out *o, const struct entry *e);
/* *Gives* the target; zeros when the cursor failed.  Free with entry_fini. */
void entry_unpack(struct pack_in *i, struct entry *ret_entry);
void entry_fini(struct entry *e);

/* Fills everything but digest and target. */
void entry_from_stat(struct entry *e, const struct stat *st);

/* What the entry adds to its directory's sum: a file's bytes, and the keyed hash of path and packed entry. */
struct treemap_weight entry_weight(const struct block_key *key, const char *path, const struct entry *e);

#endif
