/* SPDX-License-Identifier: GPL-2.0-or-later */
/* index_own - what the files of the index share; nobody else includes it. */
#ifndef SERVER_INDEX_OWN_H
#define SERVER_INDEX_OWN_H

#include "base/pack.h"
#include "base/store.h"
#include "server/index.h"

#define META_FRESH "fresh-head"

enum index_table { NODES, SUMS, VERSIONS, MARKS, ARMED, FRESH, META, TABLES };

struct index {
	struct store *store;
	struct treemap tree;
};

/* A path, or its hash where it is longer than a key may be. */
struct index_key {
	uint8_t bytes[STORE_KEY_MAX];
	size_t len;
};
void index_key(const char *path, struct index_key *ret_key);

/* Returns -ERR_CORRUPT. */
int index_corrupt(const char *what);

/* A row that is missing is 0. */
int index_get_u64(struct store_txn *txn, enum index_table table, const char *name, uint64_t *ret_v);
int index_put_u64(struct store_txn *txn, enum index_table table, const char *name, uint64_t v);
void index_node_pack(struct pack_out *o, const struct index_node *node);

/* 0 when none was ever told. */
int index_version_get(struct store_txn *txn, const char *path, uint32_t *ret_version);
/* Versions of a path only rise: a lower one that is told late changes nothing. */
int index_version_raise(struct store_txn *txn, const char *path, uint32_t version);

/* The change of a blob as number `seq` of the list; `row` is scratch. */
int index_fresh_append(struct store_txn *txn, uint64_t seq, const struct index_op *op, struct pack_out *row);

#endif
