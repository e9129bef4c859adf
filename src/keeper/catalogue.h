/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalogue - which sets there are, and exactly which blobs each of them holds.  Lies in <store>/<profile>/state/catalogue and is the
 * keeper's alone.
 *
 * A blob is in all sets from `first` to `last`: one row (path, version, first), written when it comes and when it goes, so
 * that a seal costs what changed and not what exists.  At most one row of a path is open (last = CATALOGUE_OPEN).  A row with
 * last < first is in no set: its file only waits to leave the disk.
 *
 * A seal stages what changed under the number of the set to come, and merges it once the set has its name: merging twice
 * changes nothing.  At most one set is pending.
 *
 * Removals count up to the job's start only: a blob that was there at T0 stays in the set although its tombstone came before
 * the seal.  So two positions in the fresh list are kept, of puts and of removals.
 *
 * Threads: one at a time.
 */
#ifndef KEEPER_CATALOGUE_H
#define KEEPER_CATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/verified.h"
#include "server/index.h"

#define CATALOGUE_OPEN UINT32_MAX
#define CATALOGUE_NAME 32

struct catalogue;

enum set_state { SET_PENDING = 1, SET_SEALED, SET_DROPPING };

/* What the rows of a set add up to, in any order: the sum of their SHA-256 modulo 2^256. */
struct blob_sum {
	uint64_t count, bytes; /* files only */
	uint8_t sum[DIGEST_BYTES];
};

struct set_row {
	uint32_t number;         /* 1, 2, ...; never used twice */
	char name[CATALOGUE_NAME];
	uint8_t state, verified, layout;
	bool warnings;
	uint64_t job;
	uint32_t date;
	int64_t t0_ns, sealed_ns, scrubbed_ns;
	uint64_t files, bytes;   /* without the blobs */
	uint64_t new_bytes;
	struct blob_sum blobs;   /* once sealed */
	uint8_t manifest[DIGEST_BYTES];
	char instance[40];       /* of the index that the positions count in */
	uint64_t fresh_puts, fresh_removes;
	char *note;              /* owned */
};

struct blob_row {
	char *path;              /* owned */
	uint32_t version;
	uint32_t first, last;
	uint64_t seq;            /* of its fresh row: a tombstone older than it means another file */
	struct entry entry;      /* owned */
	uint8_t sha256[DIGEST_BYTES];
};

int catalogue_open(const char *state_dir, const char *profile, struct catalogue **ret_catalogue, bool *ret_rebuilt);
void catalogue_close(struct catalogue *c); /* NULL is fine */

/* ---- sets ---- */

/* All sets, oldest first: *gives* the array. */
int catalogue_sets(struct catalogue *c, struct set_row **ret_sets, size_t *ret_n);
void catalogue_sets_free(struct set_row *sets, size_t n);
/* The sealed set of this name; "" or "latest" = the newest.  -ERR_NOTFOUND.  *Gives* its note. */
int catalogue_find(struct catalogue *c, const char *name, struct set_row *ret_set);
int catalogue_put_set(struct catalogue *c, const struct set_row *set);
int catalogue_del_set(struct catalogue *c, uint32_t number);
void set_row_fini(struct set_row *set);

/* How far the fresh list is in the catalogue, and in which index; an empty instance: nothing yet. */
int catalogue_positions(struct catalogue *c, uint64_t *ret_puts, uint64_t *ret_removes, char ret_instance[40]);

/* ---- staging: what the set to come changes among the blobs ---- */

/* Empties the staging and gives the number of the set to come. */
int catalogue_stage_begin(struct catalogue *c, uint32_t *ret_number);
/* Rows of the fresh list in their order, in one transaction; the caller leaves out what does not count. */
int catalogue_stage(struct catalogue *c, const struct index_fresh *rows, size_t n);
/* Up to `max` staged blobs whose SHA-256 is not known, after `after` (NULL: from the first): *gives* the array.  What is
 * known from an open row of the same version and entry is filled in and not given. */
int catalogue_stage_todo(struct catalogue *c, const struct blob_row *after, size_t max, struct blob_row **ret_rows, size_t *ret_n);
/* Stores their sha256. */
int catalogue_stage_done(struct catalogue *c, const struct blob_row *rows, size_t n);
void blob_rows_free(struct blob_row *rows, size_t n);

/* The pending set, 1 when there is none.  *Gives* its note. */
int catalogue_pending(struct catalogue *c, struct set_row *ret_set);
/* Merges the staging into the rows in bounded transactions, then marks the pending set as sealed with the sums of its
 * blobs, and stores its positions.  Repeatable after a crash at any point. */
int catalogue_merge(struct catalogue *c, int64_t sealed_ns, struct set_row *ret_set);
/* Forgets the pending set, if any, and the staging. */
int catalogue_drop_pending(struct catalogue *c);

/* ---- reading a set's blobs ---- */

/* Up to `max` rows that `number` holds (0: the open ones) at or below `under` ("" = all), after `after` (NULL: from the
 * first): *gives* the array, empty at the end.  Rows come in no order that means anything, the same every time. */
int catalogue_blobs(struct catalogue *c, uint32_t number, const char *under, const struct blob_row *after, size_t max,
    struct blob_row **ret_rows, size_t *ret_n);
/* The row of this path alone that `number` holds: *gives* it, or 1 when there is none. */
int catalogue_blob(struct catalogue *c, uint32_t number, const char *path, struct blob_row *ret_row);
void blob_sum_add(struct blob_sum *sum, const struct blob_row *row);
bool blob_sum_equal(const struct blob_sum *a, const struct blob_sum *b);

/* ---- removal ---- */

struct blob_dead {
	struct blob_row row;
	bool file;  /* no other row needs its file */
	bool path;  /* no other row has its path: after this the path is gone */
};
/* Up to `max` rows that none of the sets `kept` (ascending) holds: *gives* the array.  Open rows are never among them. */
int catalogue_dead(struct catalogue *c, const uint32_t *kept, size_t n_kept, size_t max, struct blob_dead **ret_dead, size_t *ret_n);
void blob_dead_free(struct blob_dead *dead, size_t n);
/* Their files are durably gone: forgets the rows. */
int catalogue_forget(struct catalogue *c, const struct blob_dead *dead, size_t n);

/* ---- the ledger (ledger.h) ---- */

struct catalogue_remade {
	size_t sets;  /* taken from the ledger */
	bool whole;   /* those are all, as of the newest seal */
	char text[200];
};
/*
 * Fills a catalogue that is new from the ledger: the sets whose name `is_there`, of which there are `n_there`, and their
 * blobs.  1 when it is not new.  Without `whole` the next seal walks the whole index.  Rows that no set holds are left out: their files stay on the disk.
 * Repeatable after a crash at any point.
 */
int catalogue_remake(struct catalogue *c, bool (*is_there)(const char *name, void *arg), void *arg, size_t n_there,
    struct catalogue_remade *ret_remade);

/* Small named values: 1 = absent or of another length. */
int catalogue_meta_get(struct catalogue *c, const char *name, void *ret_value, size_t len);
int catalogue_meta_put(struct catalogue *c, const char *name, const void *value, size_t len);

#endif
