/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal - the log is the truth; PENDING and SEEN only help to find rows in it.
 *
 * Every entry of PENDING is checked against the row it names before anything is done with it, so a wrong or missing one
 * costs a duplicate row and never a change.  SEEN orders the rows by when they were first seen, for the lag.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pack.h"
#include "base/planted.h"
#include "journal/journal_internal.h"

#define ACK_ROWS 2000      /* in one transaction: a long one keeps the other process waiting */
#define STALE_SEEN_MAX 64

static const char *const table_names[] = {[LOG] = "log", [PENDING] = "pending", [SEEN] = "seen", [TROUBLE] = "trouble", [META] = "meta"};
#define TABLES (sizeof table_names / sizeof *table_names)

static const char state_key[] = "state";

/* ---- rows and state ---- */

int
journal_state_get(struct store_txn *txn, struct journal_state *ret_state)
{
	struct store_value value;
	int err = store_sealed_get(txn, META, state_key, sizeof state_key - 1, &value);

	if (err < 0)
		return err_prefix(err, "state of the journal");
	*ret_state = (struct journal_state){0};
	if (err == 1)
		return 0;
	struct pack_in in = pack_in(value.data, value.len);
	ret_state->head = unpack_u64(&in);
	ret_state->cookie = unpack_u64(&in);
	ret_state->rescans = unpack_u64(&in);
	return unpack_done(&in) ? 0 : err_set(ERR_CORRUPT, "state of the journal");
}

int
journal_state_put(struct store_txn *txn, const struct journal_state *state)
{
	uint8_t bytes[24];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	pack_u64(&o, state->head);
	pack_u64(&o, state->cookie);
	pack_u64(&o, state->rescans);
	return store_sealed_put(txn, META, state_key, sizeof state_key - 1, bytes, o.len);
}

void
journal_pending_key(struct pathkey *key, enum change_kind kind, const char *path)
{
	pathkey_init(key, kind == CHANGE_COOKIE ? 'c' : 'p', path, 0);
}

void
journal_seen_key(int64_t seen_ns, uint64_t seq, uint8_t out[16])
{
	store_key_u64((uint64_t)seen_ns ^ (UINT64_C(1) << 63), out); /* keeps times before 1970 in order */
	store_key_u64(seq, out + 8);
}

int
journal_row_get(struct store_txn *txn, uint64_t seq, struct change *ret_change)
{
	struct store_value value;
	uint8_t key[8];
	int err;

	store_key_u64(seq, key);
	err = store_sealed_get(txn, LOG, key, sizeof key, &value);
	if (!err)
		err = change_unpack(value.data, value.len, ret_change);
	if (!err)
		ret_change->seq = seq;
	return err;
}

int
journal_row_del(struct store_txn *txn, const struct change *row, struct journal_state *state)
{
	uint8_t key[8], seen[16];
	int err;

	store_key_u64(row->seq, key);
	journal_seen_key(row->seen_ns, row->seq, seen);
	err = store_del(txn, LOG, key, sizeof key);
	if (err >= 0)
		err = store_del(txn, SEEN, seen, sizeof seen);
	if (err >= 0 && change_is_scan(row->kind) && state->rescans)
		state->rescans--;
	return err < 0 ? err : 0;
}

/* ---- open ---- */

struct birth {
	struct journal *journal;
	enum store_found found;
};

/* Something of the state is missing or wrong: numbers go on well above all that were ever given, and a scan makes good
 * what may be lost. */
static int
start_over(struct store_txn *txn, bool rescan)
{
	struct journal_state state = {0};
	struct store_value key, value;
	struct change all = {.kind = CHANGE_RESCAN, .path = (char[]){""}};
	struct pathkey pending;
	struct pack_out o = {0};
	uint8_t seq[8];
	int err = store_last(txn, LOG, &key, &value);

	if (err < 0)
		return err;
	if (err == 0 && key.len == 8)
		state.head = store_u64_key(key.data) + (UINT64_C(1) << 32);
	if (!rescan)
		return journal_state_put(txn, &state);
	state.head++;
	state.rescans = 1;
	store_key_u64(state.head, seq);
	journal_pending_key(&pending, all.kind, all.path);
	change_pack(&o, &all);
	err = o.failed ? err_set(ERR_NOMEM, "first row") : store_sealed_append(txn, LOG, seq, sizeof seq, o.data, o.len);
	pack_out_fini(&o);
	if (!err)
		err = store_put(txn, PENDING, pending.bytes, pending.len, seq, sizeof seq);
	return err ? err : journal_state_put(txn, &state);
}

/* The state row is written in the transaction that makes a new journal complete.  Killed before: the next start finds none
 * and cannot tell a new journal from a rebuilt one, so it takes the one with a rescan. */
static int
complete(struct store_txn *txn, void *arg)
{
	struct birth *birth = arg;
	struct journal_state state = {0};
	struct store_value value;
	int err = store_get(txn, META, state_key, sizeof state_key - 1, &value);

	if (err < 0)
		return err;
	if (err == 1)
		return start_over(txn, birth->found != STORE_CREATED && !PLANTED(rebuilt_journal_without_rescan));
	err = journal_state_get(txn, &state);
	return err == -ERR_CORRUPT ? start_over(txn, true) : err;
}

static int
open_in(int dirfd, const char *dir, const char *profile, struct journal *j, bool *ret_rebuilt)
{
	const struct store_identity who = {.kind = "journal", .version = CHANGE_VERSION, .owner = profile}; /* a bad row is a RESCAN: the others stay */
	struct birth birth = {.journal = j};
	char path[PATH_MAX];
	int err = flag_open(dirfd, &j->flag);

	if (err)
		return err;
	if (snprintf(path, sizeof path, "%s/journal", dir) >= (int)sizeof path)
		return err_set(ERR_LIMIT, "path of the journal is too long");
	err = store_open(path, &who, table_names, TABLES, STORE_DERIVED, &j->store, &birth.found);
	if (!err)
		err = store_write(j->store, complete, &birth);
	if (!err && ret_rebuilt)
		*ret_rebuilt = birth.found == STORE_REBUILT;
	return err;
}

int
journal_open(const char *dir, const char *profile, struct journal **ret_journal, bool *ret_rebuilt)
{
	struct journal *j = calloc(1, sizeof *j);
	int dirfd, err;

	if (!j)
		return err_set(ERR_NOMEM, "journal");
	j->flag.fd = -1;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = dirfd < 0 ? err_sys("open %s", dir) : open_in(dirfd, dir, profile, j, ret_rebuilt);
	if (dirfd >= 0)
		close(dirfd);
	if (err) {
		journal_close(j);
		return err_prefix(err, "journal");
	}
	*ret_journal = j;
	return 0;
}

void
journal_close(struct journal *j)
{
	if (!j)
		return;
	if (j->store)
		store_close(j->store);
	flag_close(&j->flag);
	free(j);
}

bool
journal_is_broken(const struct journal *j)
{
	return store_is_broken(j->store);
}

const char *
journal_uuid(const struct journal *j)
{
	return store_uuid(j->store);
}

void
journal_usage(const struct journal *j, uint64_t *ret_used, uint64_t *ret_map)
{
	store_usage(j->store, ret_used, ret_map);
}

/* ---- reading ---- */

struct list {
	struct change *changes;
	size_t n, cap;
};

static int
list_add(struct list *list, struct change c)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 64;
		struct change *grown = realloc(list->changes, cap * sizeof *grown);

		if (!grown) {
			change_fini(&c);
			return err_set(ERR_NOMEM, "rows of the journal");
		}
		list->changes = grown;
		list->cap = cap;
	}
	list->changes[list->n++] = c;
	return 0;
}

/* What stands in for a row that is not known: look at everything. */
static int
list_add_everything(struct list *list, uint64_t seq, int64_t seen_ns)
{
	struct change c = {.seq = seq, .kind = CHANGE_RESCAN, .seen_ns = seen_ns, .path = strdup("")};

	return c.path ? list_add(list, c) : err_set(ERR_NOMEM, "rows of the journal");
}

static int
read_flag(struct journal *j, uint64_t after, struct list *list, uint64_t *shown)
{
	struct flag_state flag;
	int err = flag_look(&j->flag, &flag);

	if (err || !flag.up || (after && flag.generation == j->shown))
		return err;
	*shown = flag.generation;
	return list_add_everything(list, JOURNAL_FLAG | flag.generation, flag.since_ns);
}

static int
read_row(struct list *list, struct store_value key, struct store_value value)
{
	struct change c;
	uint64_t seq = key.len == 8 ? store_u64_key(key.data) : 0;
	int err = store_unseal(key, &value);

	if (!err)
		err = change_unpack(value.data, value.len, &c);
	if (err == -ERR_CORRUPT)
		return list_add_everything(list, seq, 0);
	if (err)
		return err;
	c.seq = seq;
	return list_add(list, c);
}

static int
read_log(struct store_txn *txn, uint64_t after, size_t max, struct list *list)
{
	struct store_value key, value;
	struct store_cursor *cursor;
	uint8_t from[8];
	int err;

	if (after == UINT64_MAX)
		return 0;
	store_key_u64(after + 1, from);
	err = store_cursor_open(txn, LOG, from, sizeof from, &cursor);
	if (err)
		return err;
	while (list->n < max && (err = store_cursor_next(cursor, &key, &value)) == 0)
		if ((err = read_row(list, key, value)) < 0)
			break;
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

int
journal_read(struct journal *j, uint64_t after, size_t max, struct change **ret_changes, size_t *ret_n)
{
	struct list list = {0};
	struct store_txn *txn;
	uint64_t shown = j->shown;
	int err = store_read_begin(j->store, &txn);

	if (err)
		return err;
	/* The rows of this moment, and the flag of a later one: a row may vouch for all before it, also for what the flag stands for. */
	err = max ? read_flag(j, after, &list, &shown) : 0;
	if (!err)
		err = read_log(txn, after, max, &list);
	store_read_end(txn);
	if (err) {
		journal_changes_free(list.changes, list.n);
		return err;
	}
	j->shown = shown;
	*ret_changes = list.changes;
	*ret_n = list.n;
	return 0;
}

int
journal_peek(struct journal *j, size_t max, struct change **ret_changes, size_t *ret_n)
{
	struct list list = {0};
	struct store_txn *txn;
	int err = store_read_begin(j->store, &txn);

	if (err)
		return err;
	err = read_log(txn, 0, max, &list);
	store_read_end(txn);
	if (err) {
		journal_changes_free(list.changes, list.n);
		return err;
	}
	*ret_changes = list.changes;
	*ret_n = list.n;
	return 0;
}

void
journal_changes_free(struct change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		change_fini(&changes[i]);
	free(changes);
}

int
journal_head(struct journal *j, uint64_t *ret_seq)
{
	struct journal_state state = {0};
	struct store_txn *txn;
	int err = store_read_begin(j->store, &txn);

	if (err)
		return err;
	err = journal_state_get(txn, &state);
	store_read_end(txn);
	if (!err)
		*ret_seq = state.head;
	return err;
}

/* ---- acknowledging ---- */

struct acked {
	const uint64_t *seqs;
	size_t n;
};

/* An entry that names another row belongs to a newer change of the path. */
static int
forget_pending(struct store_txn *txn, const struct change *row)
{
	struct store_value value;
	struct pathkey key;
	int err;

	journal_pending_key(&key, row->kind, row->path);
	err = store_get(txn, PENDING, key.bytes, key.len, &value);
	if (err == 0 && value.len == 8 && store_u64_key(value.data) == row->seq)
		err = store_del(txn, PENDING, key.bytes, key.len);
	return err < 0 ? err : 0;
}

/* After a row of unknown kind went, only counting tells how many rescans are left. */
static int
recount_rescans(struct store_txn *txn, struct journal_state *state)
{
	struct store_value key, value;
	struct store_cursor *cursor;
	struct change c;
	int err = store_cursor_open(txn, LOG, NULL, 0, &cursor);

	if (err)
		return err;
	state->rescans = 0;
	while ((err = store_cursor_next(cursor, &key, &value)) == 0)
		if (store_unseal(key, &value) == 0 && change_unpack(value.data, value.len, &c) == 0) {
			state->rescans += change_is_scan(c.kind);
			change_fini(&c);
		}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

static int
ack_unreadable(struct store_txn *txn, uint64_t seq, struct journal_state *state)
{
	uint8_t key[8];
	int err;

	store_key_u64(seq, key);
	err = store_del(txn, LOG, key, sizeof key);
	return err < 0 ? err : recount_rescans(txn, state);
}

static int
ack_row(struct store_txn *txn, uint64_t seq, struct journal_state *state)
{
	struct change row;
	int err = journal_row_get(txn, seq, &row);

	if (err == 1)
		return 0; /* moved to a newer number, or acknowledged before */
	if (err == -ERR_CORRUPT)
		return ack_unreadable(txn, seq, state);
	if (err)
		return err;
	err = journal_row_del(txn, &row, state);
	if (!err)
		err = forget_pending(txn, &row);
	if (!err)
		err = journal_trouble_clear(txn, row.path);
	change_fini(&row);
	return err;
}

static int
ack_rows(struct store_txn *txn, void *arg)
{
	struct acked *acked = arg;
	struct journal_state state = {0};
	int err = journal_state_get(txn, &state);

	for (size_t i = 0; i < acked->n && !err; i++)
		if (!journal_is_flag(acked->seqs[i]))
			err = ack_row(txn, acked->seqs[i], &state);
	return err ? err : journal_state_put(txn, &state);
}

int
journal_ack(struct journal *j, const uint64_t *seqs, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		if (journal_is_flag(seqs[i]))
			err = flag_lower(&j->flag, seqs[i] & ~JOURNAL_FLAG);
	for (size_t i = 0; i < n && !err; i += ACK_ROWS) {
		struct acked acked = {seqs + i, n - i < ACK_ROWS ? n - i : ACK_ROWS};

		err = store_write(j->store, ack_rows, &acked);
	}
	return err;
}

/* ---- lag ---- */

/* Entries whose row could not be read when it was acknowledged stay behind: passed over. */
static int
oldest_seen(struct store_txn *txn, int64_t *ret_ns)
{
	struct store_value key, value;
	struct store_cursor *cursor;
	int err = store_cursor_open(txn, SEEN, NULL, 0, &cursor);

	if (err)
		return err;
	*ret_ns = 0;
	for (int stale = 0; stale < STALE_SEEN_MAX && (err = store_cursor_next(cursor, &key, &value)) == 0; stale++) {
		const uint8_t *bytes = key.data;

		if (key.len == 16 && store_get(txn, LOG, bytes + 8, 8, &value) == 0) {
			*ret_ns = (int64_t)(store_u64_key(bytes) ^ (UINT64_C(1) << 63));
			break;
		}
	}
	store_cursor_close(cursor);
	return err < 0 ? err : 0;
}

static int
lag_of_tables(struct store_txn *txn, struct journal_lag *lag)
{
	struct journal_state state = {0};
	int err = journal_state_get(txn, &state);

	if (!err)
		err = store_count(txn, LOG, &lag->rows);
	if (!err)
		err = store_count(txn, TROUBLE, &lag->troubled);
	if (!err)
		err = oldest_seen(txn, &lag->oldest_ns);
	lag->rescans = err ? 0 : state.rescans;
	return err;
}

int
journal_lag(struct journal *j, struct journal_lag *ret_lag)
{
	struct journal_lag lag = {0};
	struct flag_state flag;
	struct store_txn *txn;
	int err = store_read_begin(j->store, &txn);

	if (err)
		return err;
	err = lag_of_tables(txn, &lag);
	store_read_end(txn);
	if (!err)
		err = flag_look(&j->flag, &flag);
	if (err)
		return err;
	if (flag.up) {
		lag.rows++;
		lag.rescans++;
		if (!lag.oldest_ns || (flag.since_ns && flag.since_ns < lag.oldest_ns))
			lag.oldest_ns = flag.since_ns;
	}
	*ret_lag = lag;
	return 0;
}
