/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal - the ordered memory of what changed.
 *
 * The watcher appends; the replicator reads and acknowledges: two processes, one LMDB environment.  A change stays until
 * the server has said that it is on its disk, so after any crash the journal and one scan are enough to go on.  A path
 * that changes again before it was sent moves to its newest sequence number: the log is bounded by distinct paths.
 *
 * A cookie's row holds its place: a path that waited before it and changes again after it keeps the old row and gets a
 * second one, so "everything up to the cookie is acknowledged" says what it seems to say.
 *
 * Disk full never loses a change: when nothing can be stored, a preallocated flag file records "rescan everything", and
 * the journal shows it as a RESCAN of "" until it is acknowledged.  Its number says which raising of the flag it stands for: an
 * answer to an earlier one does not answer a later one.
 *
 * Threads: one at a time; give all calls to one lane of a workpool, or to the watcher's only thread.
 * Layout, and what a crash leaves: journal/DESIGN.md.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "journal/change.h"

struct journal;

#define JOURNAL_FLAG (1ull << 63) /* numbers from here on are the flag's, by how often it was raised; no row has one */

static inline bool
journal_is_flag(uint64_t seq)
{
	return seq >= JOURNAL_FLAG;
}

/* Opens <dir>/journal, made when absent.  A damaged or foreign one is quarantined and the new one holds a RESCAN of "";
 * `ret_rebuilt` (may be NULL) tells. */
int journal_open(const char *dir, const char *profile, struct journal **ret_journal, bool *ret_rebuilt);
void journal_close(struct journal *j); /* NULL is fine */

/* True when it takes no more writes until it is opened again (store_is_broken).  Any thread. */
bool journal_is_broken(const struct journal *j);

const char *journal_uuid(const struct journal *j);

/* Appends all `n` changes or none, in one commit, folding each into a pending one of the same path; cookies come last in
 * the batch.  Borrows; fills `seq`.  -ERR_NOSPACE: nothing was written but the flag file: a RESCAN of "" is pending, the
 * changes may be forgotten.  After any other error they may not: the caller owes a RESCAN of "". */
int journal_append(struct journal *j, struct change *changes, size_t n);

/* Reads up to `max` changes with seq > `after`, oldest first.  *Gives* the array and the paths; n = 0: none.  An open flag
 * (JOURNAL_FLAG) comes first when `after` is 0, and else once after each time it was raised.  A row that fails its checksum is
 * shown as a RESCAN of "" under its number. */
int journal_read(struct journal *j, uint64_t after, size_t max, struct change **ret_changes, size_t *ret_n);
/* The first `max` rows, for whoever only wants to know what is there: no flag, and what journal_read shows is as before. */
int journal_peek(struct journal *j, size_t max, struct change **ret_changes, size_t *ret_n);
void journal_changes_free(struct change *changes, size_t n);

/* Forgets the rows with these numbers; one whose path was changed again since has a newer number and stays.  In bounded
 * transactions.  Clears their trouble. */
int journal_ack(struct journal *j, const uint64_t *seqs, size_t n);

/* Highest sequence number ever appended. */
int journal_head(struct journal *j, uint64_t *ret_seq);

/* What waits: rows, the oldest's first-seen time (0 = none), and open rescans. */
struct journal_lag {
	uint64_t rows;
	uint64_t rescans;
	int64_t oldest_ns;
	uint64_t troubled; /* rows that could not be sent and are being retried */
};
int journal_lag(struct journal *j, struct journal_lag *ret_lag);

/* A row that could not be sent stays, with the cause. */
struct journal_trouble {
	char *path;
	enum err code;
	char *text;
	uint32_t attempts;
	int64_t first_ns, next_ns; /* wall clock */
};
/* Notes one more failed attempt.  `attempts`: how often it has failed by the caller's count, which begins anew when the caller does; what is
 * recorded goes on rising. */
int journal_note_trouble(struct journal *j, const char *path, enum err code, const char *text, uint32_t attempts, int64_t now_ns,
    int64_t next_ns);
int journal_troubles(struct journal *j, size_t max, struct journal_trouble **ret_troubles, size_t *ret_n);
void journal_troubles_free(struct journal_trouble *troubles, size_t n);

/* Bytes used, for status and limits. */
void journal_usage(const struct journal *j, uint64_t *ret_used, uint64_t *ret_map);

#endif
