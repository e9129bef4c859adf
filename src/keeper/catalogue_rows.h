/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * catalogue_rows - keys and bytes of the catalogue's rows; nobody but the catalogue's own files includes it.  Pure.
 */
#ifndef KEEPER_CATALOGUE_ROWS_H
#define KEEPER_CATALOGUE_ROWS_H

#include "base/pack.h"
#include "base/store.h"
#include "keeper/catalogue.h"

enum catalogue_table { SETS, BLOBS, ENDED, STAGED, META, CATALOGUE_TABLES };

struct catalogue {
	struct store *store;
	int ledger; /* its folder */
};

#define META_LAST "last-number"
#define META_SUM "open-sum" /* of the open rows */
#define SUM_BYTES (16 + DIGEST_BYTES)
#define CATALOGUE_META_EMPTY "empty" /* 1: it is new, and what the ledger holds is not in it yet */

struct row_key {
	uint8_t bytes[STORE_KEY_MAX];
	size_t len;
};

/* Where the rows of a path begin: the path and a NUL.  A path too long for a key: 0x01, its head, its SHA-256. */
void row_key_path(const char *path, struct row_key *ret_key);
/* Of `blobs`: path, version, first. */
void row_key_blob(const char *path, uint32_t version, uint32_t first, struct row_key *ret_key);
/* Of `ended`: last, first, version, path. */
void row_key_ended(const struct blob_row *row, struct row_key *ret_key);
/* Of `staged`: path, and 0 for what shall hold, else the version of a file that came and went. */
void row_key_staged(const char *path, uint32_t version, struct row_key *ret_key);

/* What a staged row wants of the merge. */
enum staged_kind { STAGED_ADD = 1, STAGED_CLOSE, STAGED_DEAD };
struct staged_row {
	uint8_t kind;
	bool hashed;
	struct blob_row blob; /* CLOSE: path and seq only */
};

void set_row_pack(struct pack_out *o, const struct set_row *set);
int set_row_unpack(struct store_value value, struct set_row *ret_set);
void blob_row_pack(struct pack_out *o, const struct blob_row *row);
int blob_row_unpack(struct store_value value, struct blob_row *ret_row);
void staged_row_pack(struct pack_out *o, const struct staged_row *row);
int staged_row_unpack(struct store_value value, struct staged_row *ret_row);
void blob_row_fini(struct blob_row *row);

void blob_sum_pack(struct pack_out *o, const struct blob_sum *sum);
void blob_sum_unpack(struct pack_in *i, struct blob_sum *ret_sum);
void blob_sum_sub(struct blob_sum *sum, const struct blob_row *row);

/* Writes what the set's seal changed into the ledger, or everything when that is due.  The staging still holds it. */
int catalogue_ledger(struct catalogue *c, const struct set_row *set);

bool entries_equal(const struct entry *a, const struct entry *b);

/* Packs with `pack` and puts, sealed. */
int row_put(struct store_txn *txn, enum catalogue_table table, const struct row_key *key, const struct pack_out *value);

#endif
