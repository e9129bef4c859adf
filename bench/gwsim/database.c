/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how a transaction reaches the file: lock, read, seal, write in scrambled order, unlock. */
#include "bench/gwsim/database.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gwsim/die.h"

uint64_t
database_id(const char *name)
{
	return hash_text(name);
}

void
database_init(struct database *db, char *path, const char *name)
{
	*db = (struct database){ .path = path, .fd = -1, .id = database_id(name) };
	memccpy(db->name, name, 0, sizeof db->name - 1);
}

void
database_fini(struct database *db)
{
	if (db->fd >= 0)
		close(db->fd);
	free(db->tx);
	free(db->written);
	free(db->path);
}

/* False: *stop was raised, or errno says that there are no locks here. */
static bool
lock_file(struct database *db, short type, const volatile sig_atomic_t *stop)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(db->fd, F_SETLKW, &lock) < 0) {
		if (errno != EINTR || (stop && *stop))
			return false;
	}
	return true;
}

static void
read_page(struct database *db, uint32_t no, union page *ret_page)
{
	ssize_t n = pread(db->fd, ret_page, PAGE_BYTES, (off_t)no * PAGE_BYTES);

	if (n < 0)
		die_errno("cannot read %s", db->path);
	if (n != PAGE_BYTES || page_fault(ret_page, no, db->id) != PAGE_SOUND)
		die("page %u of %s is damaged; the agent refuses to go on", no, db->path);
}

static void
write_page(struct database *db, const union page *page)
{
	ssize_t n = pwrite(db->fd, page, PAGE_BYTES, (off_t)page->head.no * PAGE_BYTES);

	if (n != PAGE_BYTES)
		die_errno("cannot write page %u of %s, which is torn now", page->head.no, db->path);
}

bool
database_begin(struct database *db, const volatile sig_atomic_t *stop)
{
	assert(!db->tx);
	if (db->fd < 0 && (db->fd = open(db->path, O_RDWR | O_CLOEXEC)) < 0)
		die_errno("cannot open %s", db->path);
	if (!lock_file(db, F_WRLCK, stop)) {
		if (errno != EINTR)
			die_errno("cannot lock %s", db->path);
		return false;
	}
	db->tx = must_calloc(1, sizeof *db->tx);
	read_page(db, 0, &db->tx->header);
	return true;
}

struct header *
database_header(struct database *db)
{
	return &db->tx->header.header;
}

static union page *
changed_page(struct database *db, uint32_t no)
{
	for (unsigned i = 0; i < db->tx->count; i++)
		if (db->tx->pages[i].head.no == no)
			return &db->tx->pages[i];
	return NULL;
}

const union page *
database_peek(struct database *db, uint32_t no, union page *room)
{
	union page *page = changed_page(db, no);

	if (page)
		return page;
	read_page(db, no, room);
	return room;
}

union page *
database_change(struct database *db, uint32_t no)
{
	struct transaction *tx = db->tx;
	union page *page = changed_page(db, no);

	assert(no > 0 && no < tx->header.header.page_count);
	if (page)
		return page;
	assert(tx->count < TRANSACTION_PAGES);
	page = &tx->pages[tx->count];
	read_page(db, no, page);
	tx->old_txid[tx->count++] = page->head.txid;
	return page;
}

union page *
database_append(struct database *db, struct rng *rng)
{
	struct transaction *tx = db->tx;
	union page *page = &tx->pages[tx->count];

	assert(tx->count < TRANSACTION_PAGES);
	page_fresh(page, &tx->header.header, rng);
	tx->old_txid[tx->count++] = 0;
	return page;
}

unsigned
database_room(const struct database *db)
{
	return TRANSACTION_PAGES - db->tx->count;
}

static void
note_written(struct database *db, uint32_t no)
{
	if (!db->written)
		return;
	if (no >= db->written_room) {
		uint32_t room = (no + 4096) & ~7u;
		uint8_t *bits = must_calloc(room / 8, 1);

		memcpy(bits, db->written, db->written_room / 8);
		free(db->written);
		db->written = bits;
		db->written_room = room;
	}
	db->written[no / 8] |= (uint8_t)(1u << (no % 8));
}

/* The header takes the new transaction id and exchanges the stamps of the changed pages. */
static void
seal_transaction(struct transaction *tx)
{
	struct header *header = &tx->header.header;
	uint64_t txid = ++header->head.txid;

	for (unsigned i = 0; i < tx->count; i++) {
		union page *page = &tx->pages[i];

		if (tx->old_txid[i])
			header_remove(header, page->head.no, tx->old_txid[i]);
		page->head.txid = txid;
		header_add(header, page->head.no, txid);
		header_remember(header, page->head.no, txid);
		page_seal(page);
	}
	page_seal(&tx->header);
}

static void
end_transaction(struct database *db)
{
	free(db->tx);
	db->tx = NULL;
	lock_file(db, F_UNLCK, NULL);
}

unsigned
database_commit(struct database *db, struct rng *rng)
{
	struct transaction *tx = db->tx;
	const union page *order[TRANSACTION_PAGES + 1] = { &tx->header };
	unsigned count = 1;

	assert(tx->count > 0);
	seal_transaction(tx);
	for (unsigned i = 0; i < tx->count; i++) {
		unsigned at = (unsigned)rng_below(rng, count + 1);

		order[count++] = order[at];
		order[at] = &tx->pages[i];
	}
	for (unsigned i = 0; i < count; i++) {
		write_page(db, order[i]);
		note_written(db, order[i]->head.no);
	}
	end_transaction(db);
	return count;
}

void
database_abort(struct database *db)
{
	end_transaction(db);
}

void
database_scribble(struct database *db, struct rng *rng, unsigned count)
{
	uint32_t pages = database_header(db)->page_count - 1;

	while (pages && count-- && database_room(db))
		page_scribble(database_change(db, 1 + (uint32_t)rng_below(rng, pages)), rng);
}

bool
database_hold(struct database *db)
{
	if (db->fd < 0 && (db->fd = open(db->path, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	lock_file(db, F_RDLCK, NULL);
	return true;
}

void
database_release(struct database *db)
{
	lock_file(db, F_UNLCK, NULL);
}

void
database_copy(struct database *db, const char *path)
{
	size_t room = 1 << 20;
	char *chunk = must_calloc(1, room);
	FILE *out = fopen(path, "we");
	off_t at = 0;
	ssize_t n;

	if (!out)
		die_errno("cannot create %s", path);
	while ((n = pread(db->fd, chunk, room, at)) > 0) {
		if (fwrite(chunk, 1, (size_t)n, out) != (size_t)n)
			die_errno("cannot write %s", path);
		at += n;
	}
	if (n < 0 || fclose(out) != 0)
		die_errno("cannot copy %s", db->path);
	free(chunk);
}

void
database_track(struct database *db)
{
	free(db->written);
	db->written_room = 4096;
	db->written = must_calloc(db->written_room / 8, 1);
}

uint32_t
database_tracked(const struct database *db)
{
	uint32_t count = 0;

	for (uint32_t i = 0; db->written && i < db->written_room / 8; i++)
		count += (uint32_t)__builtin_popcount(db->written[i]);
	return count;
}
