/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the simulator's oracle rests on: pages that prove what they are, sums that follow every transaction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/gwsim/blobs.c"
#include "bench/gwsim/builder.c"
#include "bench/gwsim/database.c"
#include "bench/gwsim/die.c"
#include "bench/gwsim/names.c"
#include "bench/gwsim/page.c"
#include "bench/gwsim/rng.c"
#include "tests/lib/scratch.h"

enum { PAGES = 40, RUN = 77 };

static struct scratch scratch;

static void
open_fresh(struct database *db, struct rng *rng)
{
	char *path = must_printf("%s/msg0.db", scratch.path);
	struct builder b;

	rng_init(rng, 1, 2);
	unlink(path);
	builder_begin(&b, path, "ofmsg/msg0.db", RUN, PAGE_RECORDS);
	for (int i = 1; i < PAGES; i++)
		builder_page(&b, rng);
	builder_end(&b);
	database_init(db, path, "ofmsg/msg0.db");
}

static void
begin(struct database *db)
{
	if (!database_begin(db, NULL))
		abort();
}

/* True when the file's pages add up to its header. */
static bool
adds_up(const struct database *db)
{
	union page header, page;
	uint64_t sum = 0, xor = 0;
	FILE *file = fopen(db->path, "re");

	assert_non_null(file);
	assert_int_equal(fread(&header, sizeof header, 1, file), 1);
	assert_int_equal(page_fault(&header, 0, db->id), PAGE_SOUND);
	for (uint32_t no = 1; no < header.header.page_count; no++) {
		assert_int_equal(fread(&page, sizeof page, 1, file), 1);
		assert_int_equal(page_fault(&page, no, db->id), PAGE_SOUND);
		sum += page_stamp(no, page.head.txid);
		xor ^= page_stamp(no, page.head.txid);
	}
	assert_int_equal(fread(&page, 1, 1, file), 0);
	fclose(file);
	return sum == header.header.sum && xor == header.header.xor;
}

static void
a_page_tells_each_kind_of_fault(void **state)
{
	union page page = { .head = { .magic = PAGE_MAGIC, .no = 3, .database_id = 9 } };

	(void)state;
	page_seal(&page);
	assert_int_equal(page_fault(&page, 3, 9), PAGE_SOUND);
	assert_int_equal(page_fault(&page, 4, 9), PAGE_MISPLACED);
	assert_int_equal(page_fault(&page, 3, 8), PAGE_FOREIGN);
	for (size_t i = 4; i < sizeof page; i += 97) {
		page.bytes[i] ^= 0x10;
		assert_int_equal(page_fault(&page, 3, 9), PAGE_TORN);
		page.bytes[i] ^= 0x10;
	}
	page.bytes[0] ^= 1;
	assert_int_equal(page_fault(&page, 3, 9), PAGE_NOT_ONE);
}

static void
the_ring_knows_the_newest_change_of_a_page(void **state)
{
	struct header header = { .ring_next = 0 };
	uint64_t txid = 0;

	(void)state;
	assert_false(header_recall(&header, 5, &txid));
	header_remember(&header, 5, 10);
	header_remember(&header, 6, 10);
	header_remember(&header, 5, 11);
	assert_true(header_recall(&header, 5, &txid));
	assert_int_equal(txid, 11);
	for (uint32_t i = 0; i < PAGE_RING; i++)
		header_remember(&header, 1000 + i, 12 + i);
	assert_false(header_recall(&header, 5, &txid));
}

static void
transactions_keep_the_sums(void **state)
{
	struct database db;
	struct rng rng;

	(void)state;
	open_fresh(&db, &rng);
	assert_true(adds_up(&db));
	for (int i = 0; i < 300; i++) {
		begin(&db);
		if (i % 7 == 0)
			database_append(&db, &rng);
		database_scribble(&db, &rng, 1 + (unsigned)rng_below(&rng, TRANSACTION_PAGES));
		assert_in_range(database_commit(&db, &rng), 2, TRANSACTION_PAGES + 1);
	}
	assert_true(adds_up(&db));
	database_fini(&db);
}

static void
an_aborted_transaction_leaves_no_trace(void **state)
{
	struct database db;
	struct rng rng;

	(void)state;
	open_fresh(&db, &rng);
	begin(&db);
	database_append(&db, &rng);
	database_scribble(&db, &rng, 3);
	database_abort(&db);
	assert_true(adds_up(&db));
	begin(&db);
	assert_int_equal(database_header(&db)->page_count, PAGES);
	assert_int_equal(database_header(&db)->head.txid, 1);
	database_abort(&db);
	database_fini(&db);
}

static void
an_older_page_spoils_the_sums(void **state)
{
	struct database db;
	struct rng rng;
	union page old;
	int fd;

	(void)state;
	open_fresh(&db, &rng);
	fd = open(db.path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pread(fd, &old, PAGE_BYTES, 7 * PAGE_BYTES), PAGE_BYTES);
	begin(&db);
	page_scribble(database_change(&db, 7), &rng);
	database_commit(&db, &rng);
	assert_true(adds_up(&db));
	assert_int_equal(pwrite(fd, &old, PAGE_BYTES, 7 * PAGE_BYTES), PAGE_BYTES);
	assert_false(adds_up(&db));
	close(fd);
	database_fini(&db);
}

static void
written_pages_are_counted_once(void **state)
{
	struct database db;
	struct rng rng;

	(void)state;
	open_fresh(&db, &rng);
	database_track(&db);
	for (int i = 0; i < 3; i++) {
		begin(&db);
		page_scribble(database_change(&db, 7), &rng);
		page_scribble(database_change(&db, 8), &rng);
		database_commit(&db, &rng);
	}
	assert_int_equal(database_tracked(&db), 3);
	database_fini(&db);
}

static int
compare_paths(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
blob_names_never_repeat(void **state)
{
	enum { PER_PROCESS = 20000, PROCESSES = 3, ALL = PER_PROCESS * PROCESSES };
	char (*paths)[40] = must_calloc(ALL, sizeof *paths);

	(void)state;
	for (uint64_t i = 0; i < ALL; i++)
		blobs_name(RUN, (i / PER_PROCESS << BLOB_NUMBER_BITS) + i % PER_PROCESS, paths[i], sizeof paths[i]);
	qsort(paths, ALL, sizeof *paths, compare_paths);
	for (size_t i = 1; i < ALL; i++)
		assert_string_not_equal(paths[i - 1], paths[i]);
	free(paths);
}

static int
make_folder(void **state)
{
	(void)state;
	scratch_open(&scratch);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_tells_each_kind_of_fault),
		cmocka_unit_test(the_ring_knows_the_newest_change_of_a_page),
		cmocka_unit_test(transactions_keep_the_sums),
		cmocka_unit_test(an_aborted_transaction_leaves_no_trace),
		cmocka_unit_test(an_older_page_spoils_the_sums),
		cmocka_unit_test(written_pages_are_counted_once),
		cmocka_unit_test(blob_names_never_repeat),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
