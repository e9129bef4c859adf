/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * transfer - one large file on its way: a step machine that answers what it wants next.
 *
 * The file is read in pieces of 512 KiB, each hashed and compared with what the server is known to hold; only dirty ranges
 * become messages.  Where the file's writer told its hashes only dirty blocks are read, and where these are few a piece is as long as
 * an extent of the map: else each page would cost a job, a record and a packet of its own.
 * A piece is one job in a lane; everything else happens on the loop.  No libevent, no network inside.
 *
 *   READ --piece dirty--> MARK --mark durable--> SEND --posted--> READ ... --last piece--> WAIT --> DONE
 *   READ needs the server's hashes --> ASK --BLOCKS--> READ
 *   READ finds nothing to send --> DONE; READ torn or broken --> FAILED
 */
#ifndef REPLICATOR_TRANSFER_H
#define REPLICATOR_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/block.h"
#include "base/workpool.h"
#include "journal/blockmap.h"
#include "replicator/dirty.h"
#include "replicator/settle.h"
#include "wire/wire.h"

struct work;

#define TRANSFER_PIECE (WIRE_CHUNK_MAX / BLOCK_BYTES)   /* blocks of data that one piece has at most */
#define TRANSFER_MESSAGES (TRANSFER_PIECE + 2)          /* of one piece: BEGIN, ranges, END */
#define TRANSFER_RESUME_BYTES (8u * 1024u * 1024u)      /* new files from this size on are marked, so that a cut costs no re-transfer */

enum transfer_state {
	TRANSFER_READ, /* wants transfer_run in a lane */
	TRANSFER_ASK,  /* wants BLOCKS_REQ sent and transfer_answer */
	TRANSFER_MARK, /* wants a durable flight mark, then transfer_marked */
	TRANSFER_SEND, /* wants room, then transfer_messages */
	TRANSFER_WAIT, /* all is sent: the operation's end decides */
	TRANSFER_DONE, /* nothing was to be sent; the work's verdict says what is to be noted */
	TRANSFER_FAILED,
	TRANSFER_STATES
};

/* What the pieces are compared with. */
enum transfer_against {
	AGAINST_NOTHING, /* every byte travels */
	AGAINST_MAP,     /* the map is believed */
	AGAINST_SERVER,  /* in doubt: the server says what it holds */
	AGAINST_DIGEST,  /* perhaps equal: only the whole is compared, before anything else is tried */
};

struct transfer {
	TAILQ_ENTRY(transfer) link;
	struct job job;
	void *owner;
	unsigned epoch;
	struct work *work;
	struct blockmap *map;
	const struct block_key *key;
	bool blob;                     /* write-once: no block hashes are kept */

	enum transfer_state state;
	enum transfer_against against;
	struct entry old;              /* what the map says */
	bool patch;                    /* the server has a file to be patched */
	bool marked, begun;
	int fd;
	struct stat before;
	struct block_digest *digest;
	uint64_t size, n_blocks, at;   /* `at`: first block not yet read */
	bool last;                     /* the piece in hand is the last */
	uint64_t op, bytes;            /* bytes of data sent */

	uint64_t first;                /* the piece in hand */
	uint32_t n;
	uint8_t *data;
	size_t data_bytes;             /* what `data` takes or will take: the loop's, as told by stat, then by the last piece's end */
	bool sparse;                   /* few blocks of the piece before it were dirty */
	struct hash128 now[BLOCKMAP_EXTENT];
	bool hole[TRANSFER_PIECE];
	struct dirty_range ranges[TRANSFER_PIECE];
	size_t n_ranges;

	struct hash128 *theirs;        /* the server's hashes from `theirs_first` on */
	uint64_t theirs_first, theirs_size;
	size_t n_theirs;
	bool theirs_known, theirs_absent;

	struct hash128 extent[BLOCKMAP_EXTENT]; /* ours, gathered for the map */
	size_t n_extent;
	bool extent_dirty;

	int err;                       /* FAILED */
	/* its driver's */
	struct note mark_note;
	bool busy;                     /* a job or a note is under way */
	bool asked, cut;               /* BLOCKS_REQ sent; the connection went */
	int refused;                   /* by the server, while busy */
};

const char *transfer_state_name(enum transfer_state state);

/* `work` (verdict LARGE) is borrowed; `map` and `key` likewise.  NULL when out of memory. */
struct transfer *transfer_new(struct work *work, struct blockmap *map, const struct block_key *key, bool blob);
void transfer_free(struct transfer *t); /* NULL is fine */

/* READ, in a lane: reads and compares one piece; then, on the loop, transfer_ran. */
void transfer_run(struct transfer *t);
void transfer_ran(struct transfer *t);

/* ASK: the request; borrows the path. */
void transfer_ask(const struct transfer *t, struct wire_msg *ret_msg);
/* Takes a BLOCKS: true when it was ours. */
bool transfer_answer(struct transfer *t, const struct wire_msg *msg);

/* MARK: the operation that suspends the belief; afterwards transfer_marked. */
struct blockmap_op transfer_mark(const struct transfer *t);
void transfer_marked(struct transfer *t, int err);

/* SEND: up to TRANSFER_MESSAGES messages under number `op` (the same at every call); *gives* the buffer their data lies in
 * (NULL = none).  Then READ, or WAIT after END. */
size_t transfer_messages(struct transfer *t, uint64_t op, struct wire_msg *msgs, void **ret_data);

/* True when the hashes of a whole extent, or the file's last, are complete and belong into the map: *gives* them. */
bool transfer_take_extent(struct transfer *t, uint64_t *ret_first, struct hash128 **ret_hashes, size_t *ret_n);

#endif
