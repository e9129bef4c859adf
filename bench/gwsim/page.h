/* SPDX-License-Identifier: GPL-2.0-or-later */
/* page - the 4 KiB page every simulated database is made of, and how a page proves what it is. Pure. */
#ifndef GWSIM_PAGE_H
#define GWSIM_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/rng.h"

enum {
	PAGE_BYTES = 4096,
	PAGE_SLOTS = 12,	/* records of a PAGE_RECORDS page */
	PAGE_RING  = 220,	/* page changes that a header remembers */
	NAME_BYTES = 64,
	SHA_BYTES  = 32,
};

#define PAGE_MAGIC 0x47505747u	/* "GWPG" */

enum page_kind {
	PAGE_HEADER  = 1,	/* page 0 */
	PAGE_RECORDS = 2,	/* records, then items */
	PAGE_ITEMS   = 3,	/* items only: bytes nobody else refers to */
};

enum slot_state {
	SLOT_FREE     = 0,
	SLOT_BLOB     = 1,	/* a blob: path, size and SHA-256 */
	SLOT_DATABASE = 2,	/* guardian database only: the name of a registered database */
};

/* The first bytes of every page. */
struct page_head {
	uint32_t magic;
	uint32_t no;
	uint64_t database_id;
	uint64_t run_id;
	uint64_t txid;		/* the transaction that wrote this page */
	uint32_t kind;
	uint32_t checksum;	/* CRC-32C of the page with this field 0 */
	uint64_t spare[3];
};

struct slot {
	uint32_t state;
	uint32_t spare;
	uint64_t bytes;
	uint64_t message_id;
	uint8_t  sha[SHA_BYTES];
	char     path[72];	/* relative to the post office, NUL terminated */
};

_Static_assert(sizeof(struct slot) == 128, "slot");

/* One page changed by one transaction. */
struct page_change {
	uint64_t txid;
	uint32_t no;
	uint32_t spare;
};

/*
 * Page 0. `sum` and `xor` run over page_stamp() of all other pages, so that one page of an older or newer
 * transaction than the header's makes them wrong; the ring tells which page it is.
 */
struct header {
	struct page_head head;
	char     name[NAME_BYTES];
	uint32_t page_count;	/* header included */
	uint32_t data_kind;	/* enum page_kind of the other pages */
	uint64_t sum, xor;
	uint64_t used_slots;
	uint64_t nominal_slots;	/* what `make` filled in; long runs stay near it */
	uint64_t mean_blob_bytes;
	uint64_t counter;	/* the post office database: agent processes started so far */
	uint64_t ring_next;	/* changes ever put into the ring */
	struct page_change ring[PAGE_RING];
};

union page {
	struct page_head head;
	struct header header;
	struct {
		struct page_head head;
		struct slot slots[PAGE_SLOTS];
		uint8_t items[PAGE_BYTES - sizeof(struct page_head) - PAGE_SLOTS * sizeof(struct slot)];
	} records;
	struct {
		struct page_head head;
		uint8_t items[PAGE_BYTES - sizeof(struct page_head)];
	} plain;
	uint8_t bytes[PAGE_BYTES];
};

_Static_assert(sizeof(struct page_head) == 64, "page head");
_Static_assert(sizeof(union page) == PAGE_BYTES, "page");

/* What page_fault() found, first fault first. */
enum page_fault {
	PAGE_SOUND,
	PAGE_NOT_ONE,		/* no magic */
	PAGE_TORN,		/* checksum */
	PAGE_MISPLACED,		/* another page number */
	PAGE_FOREIGN,		/* another database */
};

/* Compute the checksum; the last thing before the page is written. */
void page_seal(union page *page);

/* Judge a page read from place `no` of database `database_id`. The run id is left to the caller. */
enum page_fault page_fault(const union page *page, uint32_t no, uint64_t database_id);

/* What one page adds to the accumulators of its header. */
uint64_t page_stamp(uint32_t no, uint64_t txid);

/* Take page `no` into (or, with old transaction ids, out of) the accumulators. */
void header_add(struct header *header, uint32_t no, uint64_t txid);
void header_remove(struct header *header, uint32_t no, uint64_t txid);

/* Remember that `txid` changed page `no`. */
void header_remember(struct header *header, uint32_t no, uint64_t txid);

/* The newest remembered transaction that changed page `no`; false when the ring knows none. */
bool header_recall(const struct header *header, uint32_t no, uint64_t *ret_txid);

/* Make the page that follows the last one of `header`, its slots free and its items from `rng`; counts it there. */
void page_fresh(union page *page, struct header *header, struct rng *rng);

/* How many slots of a PAGE_RECORDS page are used, and the first free one or NULL. */
unsigned page_used(const union page *page);
struct slot *page_free_slot(union page *page);

/* Change some of the item bytes of a page. */
void page_scribble(union page *page, struct rng *rng);

#endif
