/* SPDX-License-Identifier: GPL-2.0-or-later */
/* journal - no change is lost, none is kept twice without a reason, and the barrier waits for what it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/journal_internal.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct journal *journal;

/* ---- in the C library's place ---- */

static void (*after_next_unlock)(void); /* what another process does right after the flag was looked at */

int
flock(int fd, int how)
{
	void (*then)(void) = how == LOCK_UN ? after_next_unlock : NULL;
	int rc = (int)syscall(SYS_flock, fd, how);

	if (then) {
		after_next_unlock = NULL;
		then();
	}
	return rc;
}

static void
reopen(void)
{
	journal_close(journal);
	journal = NULL;
	assert_int_equal(journal_open(scratch.path, "po1", &journal, NULL), 0);
}

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	journal = NULL;
	reopen();
	return 0;
}

static int
teardown(void **state)
{
	char tiny[256];

	(void)state;
	journal_close(journal);
	(void)umount2(scratch_path(&scratch, "tiny", tiny), MNT_DETACH); /* of a test that failed */
	scratch_close(&scratch);
	return 0;
}

/* Appends changes written as "t path", "r path", "c path"; the i-th is seen at `seen` + i. */
static void
append(int64_t seen, const char *const *texts, size_t n, uint64_t *ret_seqs)
{
	struct change changes[32];

	assert_true(n <= 32);
	for (size_t i = 0; i < n; i++)
		changes[i] = (struct change){.seen_ns = seen + (int64_t)i, .path = strdup(texts[i] + 2),
		    .kind = *texts[i] == 't' ? CHANGE_TOUCHED : *texts[i] == 'r' ? CHANGE_RESCAN : CHANGE_COOKIE};
	assert_int_equal(journal_append(journal, changes, n), 0);
	for (size_t i = 0; i < n; i++) {
		if (ret_seqs)
			ret_seqs[i] = changes[i].seq;
		free(changes[i].path);
	}
}

#define APPEND(seen, seqs, ...) \
	append(seen, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), seqs)

static uint64_t flag_seq; /* of the flag as it was last shown */

/* The log as text: "t a,r b," */
static const char *
rows_after(uint64_t after)
{
	static char text[4096];
	struct change *changes;
	size_t n, used = 0;

	assert_int_equal(journal_read(journal, after, 1000, &changes, &n), 0);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		used += (size_t)snprintf(text + used, sizeof text - used, "%c %s,", " trc"[changes[i].kind], changes[i].path);
		if (journal_is_flag(changes[i].seq))
			flag_seq = changes[i].seq;
	}
	journal_changes_free(changes, n);
	return text;
}

static const char *
rows(void)
{
	return rows_after(0);
}

static void
ack(uint64_t seq)
{
	assert_int_equal(journal_ack(journal, &seq, 1), 0);
}

static struct journal_lag
lag(void)
{
	struct journal_lag l;

	assert_int_equal(journal_lag(journal, &l), 0);
	return l;
}

static void
a_new_journal_is_empty(void **state)
{
	uint64_t head;
	struct journal_lag l = lag();
	(void)state;

	assert_string_equal(rows(), "");
	assert_int_equal(journal_head(journal, &head), 0);
	assert_int_equal(head, 0);
	assert_int_equal(l.rows + l.rescans + l.troubled, 0);
	assert_int_equal(l.oldest_ns, 0);
	assert_int_equal(strlen(journal_uuid(journal)), 32);
}

static void
changes_come_back_in_order_also_after_a_restart(void **state)
{
	(void)state;
	APPEND(1, NULL, "t b", "r a", "t c\n\xff");
	assert_string_equal(rows(), "t b,r a,t c\n\xff,");
	reopen();
	assert_string_equal(rows(), "t b,r a,t c\n\xff,");
	assert_string_equal(rows_after(1), "r a,t c\n\xff,");
}

static void
reading_stops_at_the_maximum(void **state)
{
	struct change *changes;
	size_t n;
	(void)state;

	APPEND(1, NULL, "t a", "t b", "t c");
	assert_int_equal(journal_read(journal, 0, 2, &changes, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(changes[1].seq, 2);
	journal_changes_free(changes, n);
	assert_int_equal(journal_read(journal, 2, 2, &changes, &n), 0);
	assert_int_equal(n, 1);
	journal_changes_free(changes, n);
	assert_int_equal(journal_read(journal, UINT64_MAX, 2, &changes, &n), 0);
	assert_int_equal(n, 0);
	journal_changes_free(changes, n);
}

static void
a_path_that_changes_again_moves_to_its_newest_number(void **state)
{
	uint64_t first[2], again;
	(void)state;

	APPEND(10, first, "t a", "t b");
	APPEND(20, &again, "t a");
	assert_string_equal(rows(), "t b,t a,");
	assert_true(again > first[1]);
	/* Seen first at 10, whatever its number says. */
	ack(first[1]);
	assert_int_equal(lag().oldest_ns, 10);
	assert_int_equal(lag().rows, 1);
}

static void
one_batch_makes_one_row_of_one_path(void **state)
{
	uint64_t seqs[5];
	(void)state;

	APPEND(1, seqs, "t a", "t b", "t a", "r b", "t a");
	assert_string_equal(rows(), "r b,t a,");
	assert_int_equal(seqs[0], seqs[4]);
	assert_int_equal(seqs[1], seqs[3]);
	assert_int_equal(lag().oldest_ns, 1);
}

static void
a_rescan_is_not_forgotten_by_a_later_touch(void **state)
{
	(void)state;
	APPEND(1, NULL, "r a");
	APPEND(2, NULL, "t a");
	assert_string_equal(rows(), "r a,");
	assert_int_equal(lag().rescans, 1);
	APPEND(3, NULL, "t b");
	APPEND(4, NULL, "r b");
	assert_string_equal(rows(), "r a,r b,");
	assert_int_equal(lag().rescans, 2);
}

static void
one_path_changed_a_hundred_thousand_times_is_one_row(void **state)
{
	struct change many[1000];
	char name[] = "offiles/fd1/hot";
	(void)state;

	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 1000; i++)
			many[i] = (struct change){.kind = CHANGE_TOUCHED, .seen_ns = round * 1000 + i + 1, .path = name};
		assert_int_equal(journal_append(journal, many, 1000), 0);
	}
	assert_string_equal(rows(), "t offiles/fd1/hot,");
	assert_int_equal(lag().oldest_ns, 1);
}

static void
an_acknowledged_row_is_gone(void **state)
{
	uint64_t seqs[3];
	(void)state;

	APPEND(1, seqs, "t a", "r b", "t c");
	ack(seqs[1]);
	assert_string_equal(rows(), "t a,t c,");
	assert_int_equal(lag().rescans, 0);
	ack(seqs[1]); /* twice is once */
	ack(12345);
	assert_int_equal(journal_ack(journal, seqs, 3), 0);
	assert_string_equal(rows(), "");
	assert_int_equal(lag().rows, 0);
	assert_int_equal(lag().oldest_ns, 0);
}

static void
a_path_changed_again_survives_the_acknowledgement_of_what_was_sent(void **state)
{
	uint64_t sent, again;
	(void)state;

	APPEND(1, &sent, "t a");
	APPEND(2, &again, "t a"); /* while it was on its way */
	ack(sent);
	assert_string_equal(rows(), "t a,");
	ack(again);
	assert_string_equal(rows(), "");
	APPEND(3, NULL, "t a");
	assert_string_equal(rows(), "t a,");
}

static void
numbers_are_never_given_twice(void **state)
{
	uint64_t first, second, head;
	(void)state;

	APPEND(1, &first, "t a");
	ack(first);
	reopen();
	APPEND(2, &second, "t a");
	assert_true(second > first);
	assert_int_equal(journal_head(journal, &head), 0);
	assert_int_equal(head, second);
}

static void
the_row_before_a_cookie_holds_its_place(void **state)
{
	uint64_t before, cookie, after;
	(void)state;

	APPEND(1, &before, "t a");
	APPEND(2, &cookie, "c cookie-1");
	APPEND(3, &after, "t a");
	assert_string_equal(rows(), "t a,c cookie-1,t a,");
	APPEND(4, &after, "t a"); /* after the cookie folding goes on */
	assert_string_equal(rows(), "t a,c cookie-1,t a,");
	ack(before);
	ack(cookie);
	assert_string_equal(rows(), "t a,");
	ack(after);
	assert_string_equal(rows(), "");
}

static void
a_cookie_comes_after_everything_in_its_batch(void **state)
{
	(void)state;
	APPEND(1, NULL, "t a", "c one", "t b", "t a");
	assert_string_equal(rows(), "t b,t a,c one,");
	APPEND(2, NULL, "t one"); /* a file of the same name is another thing */
	assert_string_equal(rows(), "t b,t a,c one,t one,");
}

static char *
long_path(char last)
{
	char *path = malloc(3001);

	for (int i = 0; i < 3000; i++)
		path[i] = i % 200 == 199 ? '/' : 'x';
	path[2999] = last;
	path[3000] = '\0';
	return path;
}

static void
paths_longer_than_a_key_are_told_apart(void **state)
{
	struct change c[3] = {{.kind = CHANGE_TOUCHED, .seen_ns = 1, .path = long_path('a')},
	    {.kind = CHANGE_TOUCHED, .seen_ns = 2, .path = long_path('b')}, {.kind = CHANGE_TOUCHED, .seen_ns = 3, .path = long_path('a')}};
	struct change *read;
	size_t n;
	(void)state;

	assert_int_equal(journal_append(journal, c, 2), 0);
	assert_int_equal(journal_append(journal, c + 2, 1), 0);
	assert_int_equal(journal_read(journal, 0, 10, &read, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(read[0].path, c[1].path);
	assert_string_equal(read[1].path, c[0].path);
	ack(read[0].seq);
	ack(read[1].seq);
	journal_changes_free(read, n);
	assert_string_equal(rows(), "");
	for (int i = 0; i < 3; i++)
		change_fini(&c[i]);
}

/* Points the pending entry of `path` at row `seq`: what two long paths with one checksum would do. */
struct misplaced {
	const char *path;
	uint64_t seq;
};

static int
misplace(struct store_txn *txn, void *arg)
{
	struct misplaced *m = arg;
	struct pathkey key;
	uint8_t seq[8];

	journal_pending_key(&key, CHANGE_TOUCHED, m->path);
	store_key_u64(m->seq, seq);
	return store_put(txn, PENDING, key.bytes, key.len, seq, sizeof seq);
}

static void
a_wrong_pending_entry_costs_no_change(void **state)
{
	uint64_t seqs[2];
	(void)state;

	APPEND(1, seqs, "t a", "t b");
	assert_int_equal(store_write(journal->store, misplace, &(struct misplaced){"a", seqs[1]}), 0);
	APPEND(2, NULL, "t a");
	assert_string_equal(rows(), "t a,t b,t a,");
	assert_int_equal(store_write(journal->store, misplace, &(struct misplaced){"b", 999}), 0);
	APPEND(3, NULL, "t b");
	assert_string_equal(rows(), "t a,t b,t a,t b,");
}

static int
spoil_row(struct store_txn *txn, void *arg)
{
	uint8_t key[8];

	store_key_u64(*(uint64_t *)arg, key);
	return store_put(txn, LOG, key, sizeof key, "garbage, not sealed", 19);
}

static void
a_row_that_fails_its_checksum_is_shown_as_a_rescan_of_everything(void **state)
{
	uint64_t seqs[3];
	(void)state;

	APPEND(1, seqs, "t a", "r b", "r c");
	assert_int_equal(store_write(journal->store, spoil_row, &seqs[1]), 0);
	assert_string_equal(rows(), "t a,r ,r c,");
	APPEND(9, NULL, "t b");
	assert_string_equal(rows(), "t a,r ,r c,t b,");
	ack(seqs[1]);
	assert_string_equal(rows(), "t a,r c,t b,");
	assert_int_equal(lag().rescans, 1); /* counted again: nobody knew what it had been */
	assert_int_equal(lag().oldest_ns, 1);
	ack(seqs[0]);
	ack(seqs[2]);
	assert_int_equal(lag().oldest_ns, 9); /* the entry that stayed behind is passed over */
}

/* Flips a bit of the last byte of the path: what is left is a change like any other. */
static int
spoil_path(struct store_txn *txn, void *arg)
{
	struct store_value value;
	uint8_t key[8], row[64];

	store_key_u64(*(uint64_t *)arg, key);
	assert_int_equal(store_get(txn, LOG, key, sizeof key, &value), 0);
	assert_true(value.len <= sizeof row);
	memcpy(row, value.data, value.len);
	row[value.len - 8 - 1] ^= 1; /* the checksum is the last 8 */
	return store_put(txn, LOG, key, sizeof key, row, value.len);
}

static void
a_row_in_which_one_bit_is_wrong_is_shown_as_a_rescan_of_everything(void **state)
{
	uint64_t seq;
	(void)state;

	APPEND(1, &seq, "t offiles/fd1/b");
	assert_int_equal(store_write(journal->store, spoil_path, &seq), 0);
	assert_string_equal(rows(), "r ,");
}

static int
spoil_state(struct store_txn *txn, void *arg)
{
	(void)arg;
	return store_put(txn, META, "state", 5, "garbage of some length", 22);
}

static void
a_lost_state_gives_higher_numbers_and_a_rescan(void **state)
{
	uint64_t before, after;
	(void)state;

	APPEND(1, &before, "t a");
	assert_int_equal(store_write(journal->store, spoil_state, NULL), 0);
	reopen();
	assert_string_equal(rows(), "t a,r ,");
	APPEND(2, &after, "t b");
	assert_true(after > before + 1000000);
}

static void
a_damaged_journal_is_put_aside_and_everything_is_scanned(void **state)
{
	char command[600];
	bool rebuilt = false;
	(void)state;

	APPEND(1, NULL, "t a");
	journal_close(journal);
	journal = NULL;
	snprintf(command, sizeof command, "find %s/journal -name data.mdb -exec dd if=/dev/urandom of={} bs=4096 count=8 conv=notrunc status=none ';'",
	    scratch.path);
	assert_int_equal(system(command), 0);
	assert_int_equal(journal_open(scratch.path, "po1", &journal, &rebuilt), 0);
	assert_true(rebuilt);
	assert_string_equal(rows(), "r ,");
	assert_int_equal(lag().rescans, 1);
	snprintf(command, sizeof command, "ls -d %s/journal.quarantine-* >/dev/null", scratch.path);
	assert_int_equal(system(command), 0);
	reopen();
	assert_string_equal(rows(), "r ,");
}

static void
the_journal_of_another_profile_is_foreign(void **state)
{
	bool rebuilt = false;
	(void)state;

	APPEND(1, NULL, "t a");
	journal_close(journal);
	journal = NULL;
	assert_int_equal(journal_open(scratch.path, "po2", &journal, &rebuilt), 0);
	assert_true(rebuilt);
	assert_string_equal(rows(), "r ,");
}

/* ---- the flag ---- */

static void
the_flag_is_a_rescan_of_everything_until_it_is_acknowledged(void **state)
{
	(void)state;
	APPEND(50, NULL, "t a");
	assert_int_equal(flag_raise(&journal->flag, 7), 0);
	assert_string_equal(rows(), "r ,t a,");
	assert_int_equal(lag().rows, 2);
	assert_int_equal(lag().rescans, 1);
	assert_int_equal(lag().oldest_ns, 7);
	assert_string_equal(rows_after(1), ""); /* shown already */
	reopen();
	assert_string_equal(rows_after(1), "r ,"); /* not to this reader */
	ack(flag_seq);
	assert_string_equal(rows(), "t a,");
	assert_int_equal(lag().rescans, 0);
	reopen();
	assert_string_equal(rows(), "t a,");
}

static void
a_flag_raised_again_while_it_is_answered_stays_up(void **state)
{
	uint64_t first, second;

	(void)state;
	assert_int_equal(flag_raise(&journal->flag, 7), 0);
	assert_string_equal(rows(), "r ,");
	first = flag_seq;
	assert_int_equal(flag_raise(&journal->flag, 8), 0);
	assert_string_equal(rows_after(5), "r ,");
	second = flag_seq;
	ack(first); /* though the second was shown already */
	assert_int_equal(lag().rescans, 1);
	ack(second);
	assert_int_equal(lag().rescans, 0);
	ack(first); /* late: what was answered stays so */
	assert_int_equal(lag().rescans, 0);
}

/* The watcher's disk is full for one batch, and not for the next. */
static void
lose_a_batch_and_append_a_cookie(void)
{
	assert_int_equal(flag_raise(&journal->flag, 7), 0);
	APPEND(8, NULL, "c cookie");
}

static void
a_cookie_is_not_shown_without_the_flag_that_was_raised_before_it(void **state)
{
	const char *shown;

	(void)state;
	APPEND(1, NULL, "t a");
	assert_string_equal(rows(), "t a,");
	after_next_unlock = lose_a_batch_and_append_a_cookie;
	shown = rows_after(1);
	assert_null(after_next_unlock);
	assert_true(!strstr(shown, "c cookie") || strstr(shown, "r ,"));
}

static void
a_flag_that_cannot_be_read_while_it_is_answered_is_answered_and_raised_again(void **state)
{
	const uint8_t nothing[24] = {0};
	uint64_t first;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(flag_raise(&journal->flag, 7 + i), 0);
	assert_string_equal(rows(), "r ,");
	first = flag_seq;
	assert_int_equal(pwrite(journal->flag.fd, nothing, sizeof nothing, 0), sizeof nothing);
	assert_string_equal(rows(), "r ,");
	ack(first);
	if (*rows())
		ack(flag_seq);
	assert_string_equal(rows(), "");
	for (int i = 0; i < 7; i++) {
		assert_int_equal(flag_raise(&journal->flag, 20 + i), 0);
		assert_string_equal(rows(), "r ,");
	}
}

static void
a_flag_that_cannot_be_read_is_up(void **state)
{
	char path[256];
	int fd = open(scratch_path(&scratch, "journal.full", path), O_WRONLY | O_CLOEXEC);
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "garbage", 7, 0), 7);
	close(fd);
	assert_string_equal(rows(), "r ,");
	ack(flag_seq);
	assert_string_equal(rows(), "");
}

/* Fills the file system below `dir` to the last byte. */
static void
fill(const char *dir)
{
	char path[300], block[4096] = {0};
	int fd;

	snprintf(path, sizeof path, "%s/filler", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof block) > 0)
		;
	close(fd);
}

#define MANY 20000
static struct change many[MANY];
static char tiny[256];

/* A journal on a disk that is full, and more to append than the pages it has could take. */
static void
open_on_full_disk(void)
{
	scratch_path(&scratch, "tiny", tiny);
	assert_int_equal(mkdir(tiny, 0700), 0);
	if (mount("tmpfs", tiny, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m") != 0)
		skip();
	journal_close(journal);
	assert_int_equal(journal_open(tiny, "po1", &journal, NULL), 0);
	APPEND(1, NULL, "t before");
	fill(tiny);
	for (int i = 0; i < MANY; i++) {
		char name[32];

		snprintf(name, sizeof name, "offiles/fd%d/%d", i % 7, i);
		many[i] = (struct change){.kind = CHANGE_TOUCHED, .seen_ns = i + 5, .path = strdup(name)};
	}
}

static void
close_on_full_disk(void)
{
	for (int i = 0; i < MANY; i++)
		free(many[i].path);
	journal_close(journal);
	journal = NULL;
	assert_int_equal(umount(tiny), 0);
}

static void
a_full_disk_raises_the_flag_and_loses_nothing(void **state)
{
	char filler[300];

	(void)state;
	open_on_full_disk();
	assert_int_equal(journal_append(journal, many, MANY), -ERR_NOSPACE);
	assert_string_equal(rows(), "r ,t before,");
	assert_int_equal(lag().oldest_ns, 1);
	snprintf(filler, sizeof filler, "%s/filler", tiny);
	assert_int_equal(unlink(filler), 0);
	assert_int_equal(journal_append(journal, many, MANY), 0); /* and it goes on */
	ack(flag_seq);
	assert_int_equal(lag().rows, MANY + 1);
	close_on_full_disk();
}

/* Where a file system needs room to overwrite, too.  Whoever took this for "the flag is up" would forget the batch. */
static void
a_flag_for_which_there_is_no_room_either_is_another_error(void **state)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC), kept;

	(void)state;
	open_on_full_disk();
	kept = dup(journal->flag.fd);
	assert_true(full >= 0 && kept >= 0);
	assert_int_equal(dup2(full, journal->flag.fd), journal->flag.fd);
	assert_int_equal(journal_append(journal, many, MANY), -ERR_IO);
	assert_non_null(strstr(err_text(), "journal.full"));
	assert_int_equal(dup2(kept, journal->flag.fd), journal->flag.fd);
	assert_string_equal(rows(), "t before,");
	close(full);
	close(kept);
	close_on_full_disk();
}

/* ---- trouble ---- */

static void
a_trouble_is_counted_and_goes_with_its_row(void **state)
{
	struct journal_trouble *troubles;
	uint64_t seq;
	size_t n;
	(void)state;

	APPEND(1, &seq, "t a");
	assert_int_equal(journal_note_trouble(journal, "a", ERR_ACCESS, "not allowed", 5, 100, 200), 0);
	assert_int_equal(journal_note_trouble(journal, "a", ERR_TORN, "changes all the time", 6, 300, 400), 0);
	assert_int_equal(lag().troubled, 1);
	reopen();
	assert_int_equal(journal_troubles(journal, 10, &troubles, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(troubles[0].path, "a");
	assert_string_equal(troubles[0].text, "changes all the time");
	assert_int_equal(troubles[0].code, ERR_TORN);
	assert_int_equal(troubles[0].attempts, 6);
	assert_int_equal(troubles[0].first_ns, 100);
	assert_int_equal(troubles[0].next_ns, 400);
	journal_troubles_free(troubles, n);
	assert_int_equal(journal_troubles(journal, 0, &troubles, &n), 0);
	assert_int_equal(n, 0);
	journal_troubles_free(troubles, n);
	ack(seq);
	assert_int_equal(lag().troubled, 0);
}

static void
the_count_of_a_trouble_goes_on_when_its_counter_begins_anew(void **state)
{
	struct journal_trouble *troubles;
	uint64_t seq;
	size_t n;
	(void)state;

	APPEND(1, &seq, "t a");
	assert_int_equal(journal_note_trouble(journal, "a", ERR_IO, "read", 9, 1, 2), 0);
	assert_int_equal(journal_note_trouble(journal, "a", ERR_IO, "read", 5, 3, 4), 0);
	assert_int_equal(journal_troubles(journal, 10, &troubles, &n), 0);
	assert_int_equal(troubles[0].attempts, 10);
	journal_troubles_free(troubles, n);
}

static void
the_trouble_of_one_path_leaves_another_alone(void **state)
{
	uint64_t seqs[2];
	(void)state;

	APPEND(1, seqs, "t a", "r ");
	assert_int_equal(journal_note_trouble(journal, "a", ERR_IO, "read", 1, 1, 2), 0);
	assert_int_equal(journal_note_trouble(journal, "", ERR_IO, "scan", 1, 1, 2), 0);
	ack(seqs[0]);
	assert_int_equal(lag().troubled, 1);
	ack(seqs[1]);
	assert_int_equal(lag().troubled, 0);
}

/* ---- two processes ---- */

#define OTHERS 2000

/* The watcher's part: small batches, a few hot paths among them. */
static int
append_like_a_watcher(void)
{
	struct journal *mine;

	if (journal_open(scratch.path, "po1", &mine, NULL))
		return 1;
	for (int i = 0; i < OTHERS; i += 20) {
		struct change batch[20];
		char names[20][32];

		for (int k = 0; k < 20; k++) {
			snprintf(names[k], sizeof names[k], k % 5 ? "blob-%d" : "hot-%d", k % 5 ? i + k : k);
			batch[k] = (struct change){.kind = CHANGE_TOUCHED, .seen_ns = i + k + 1, .path = names[k]};
		}
		if (journal_append(mine, batch, 20))
			return 2;
	}
	journal_close(mine);
	return 0;
}

/* Reads and acknowledges until the writer ended and nothing is left; counts what it met of blobs. */
static int
read_until_empty(pid_t writer, bool seen[OTHERS])
{
	int status = -1, blobs = 0;
	bool ended = false;

	for (;;) {
		struct change *changes;
		size_t n;

		if (!ended)
			ended = waitpid(writer, &status, WNOHANG) == writer;
		assert_int_equal(journal_read(journal, 0, 100, &changes, &n), 0);
		uint64_t seqs[100];
		for (size_t i = 0; i < n; i++) {
			int number;

			seqs[i] = changes[i].seq;
			if (sscanf(changes[i].path, "blob-%d", &number) == 1 && !seen[number]) {
				seen[number] = true;
				blobs++;
			}
		}
		assert_int_equal(journal_ack(journal, seqs, n), 0);
		journal_changes_free(changes, n);
		if (ended && !n)
			break;
	}
	assert_int_equal(status, 0);
	return blobs;
}

static void
one_process_appends_while_another_acknowledges(void **state)
{
	static bool seen[OTHERS];
	pid_t writer;
	(void)state;

	journal_close(journal); /* LMDB and fork do not mix */
	journal = NULL;
	writer = fork();
	assert_true(writer >= 0);
	if (writer == 0)
		_exit(append_like_a_watcher());
	reopen();
	assert_int_equal(read_until_empty(writer, seen), OTHERS / 5 * 4);
	assert_int_equal(lag().rows, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_journal_is_empty),
		TEST(changes_come_back_in_order_also_after_a_restart),
		TEST(reading_stops_at_the_maximum),
		TEST(a_path_that_changes_again_moves_to_its_newest_number),
		TEST(one_batch_makes_one_row_of_one_path),
		TEST(a_rescan_is_not_forgotten_by_a_later_touch),
		TEST(one_path_changed_a_hundred_thousand_times_is_one_row),
		TEST(an_acknowledged_row_is_gone),
		TEST(a_path_changed_again_survives_the_acknowledgement_of_what_was_sent),
		TEST(numbers_are_never_given_twice),
		TEST(the_row_before_a_cookie_holds_its_place),
		TEST(a_cookie_comes_after_everything_in_its_batch),
		TEST(paths_longer_than_a_key_are_told_apart),
		TEST(a_wrong_pending_entry_costs_no_change),
		TEST(a_row_that_fails_its_checksum_is_shown_as_a_rescan_of_everything),
		TEST(a_row_in_which_one_bit_is_wrong_is_shown_as_a_rescan_of_everything),
		TEST(a_lost_state_gives_higher_numbers_and_a_rescan),
		TEST(a_damaged_journal_is_put_aside_and_everything_is_scanned),
		TEST(the_journal_of_another_profile_is_foreign),
		TEST(the_flag_is_a_rescan_of_everything_until_it_is_acknowledged),
		TEST(a_flag_raised_again_while_it_is_answered_stays_up),
		TEST(a_cookie_is_not_shown_without_the_flag_that_was_raised_before_it),
		TEST(a_flag_that_cannot_be_read_while_it_is_answered_is_answered_and_raised_again),
		TEST(a_flag_that_cannot_be_read_is_up),
		TEST(a_full_disk_raises_the_flag_and_loses_nothing),
		TEST(a_flag_for_which_there_is_no_room_either_is_another_error),
		TEST(a_trouble_is_counted_and_goes_with_its_row),
		TEST(the_count_of_a_trouble_goes_on_when_its_counter_begins_anew),
		TEST(the_trouble_of_one_path_leaves_another_alone),
		TEST(one_process_appends_while_another_acknowledges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
