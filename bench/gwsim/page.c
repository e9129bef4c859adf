/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the checksum (CRC-32C, eight bytes a step) and the stamp of a page. */
#include "bench/gwsim/page.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void
crc_prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0);
		crc_table[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			crc_table[k][i] = (crc_table[k - 1][i] >> 8) ^ crc_table[0][crc_table[k - 1][i] & 0xff];
}

/* `size` is a multiple of 8. */
static uint32_t
crc_step(uint32_t crc, const uint8_t *at, size_t size)
{
	for (; size; size -= 8, at += 8) {
		uint64_t w;

		memcpy(&w, at, sizeof w);
		w ^= crc;
		crc = crc_table[7][w & 0xff] ^ crc_table[6][(w >> 8) & 0xff] ^ crc_table[5][(w >> 16) & 0xff] ^
			crc_table[4][(w >> 24) & 0xff] ^ crc_table[3][(w >> 32) & 0xff] ^
			crc_table[2][(w >> 40) & 0xff] ^ crc_table[1][(w >> 48) & 0xff] ^ crc_table[0][w >> 56];
	}
	return crc;
}

static uint32_t
page_checksum(const union page *page)
{
	struct page_head head = page->head;
	uint32_t crc;

	pthread_once(&crc_once, crc_prepare);
	head.checksum = 0;
	crc = crc_step(0xffffffffu, (const uint8_t *)&head, sizeof head);
	return ~crc_step(crc, page->bytes + sizeof head, sizeof *page - sizeof head);
}

void
page_seal(union page *page)
{
	page->head.checksum = page_checksum(page);
}

enum page_fault
page_fault(const union page *page, uint32_t no, uint64_t database_id)
{
	if (page->head.magic != PAGE_MAGIC)
		return PAGE_NOT_ONE;
	if (page->head.checksum != page_checksum(page))
		return PAGE_TORN;
	if (page->head.no != no)
		return PAGE_MISPLACED;
	if (page->head.database_id != database_id)
		return PAGE_FOREIGN;
	return PAGE_SOUND;
}

uint64_t
page_stamp(uint32_t no, uint64_t txid)
{
	return mix2(no, txid);
}

void
header_add(struct header *header, uint32_t no, uint64_t txid)
{
	header->sum += page_stamp(no, txid);
	header->xor ^= page_stamp(no, txid);
}

void
header_remove(struct header *header, uint32_t no, uint64_t txid)
{
	header->sum -= page_stamp(no, txid);
	header->xor ^= page_stamp(no, txid);
}

void
header_remember(struct header *header, uint32_t no, uint64_t txid)
{
	header->ring[header->ring_next++ % PAGE_RING] = (struct page_change){ .txid = txid, .no = no };
}

bool
header_recall(const struct header *header, uint32_t no, uint64_t *ret_txid)
{
	uint64_t oldest = header->ring_next > PAGE_RING ? header->ring_next - PAGE_RING : 0;

	for (uint64_t i = header->ring_next; i > oldest; i--) {
		const struct page_change *change = &header->ring[(i - 1) % PAGE_RING];

		if (change->no == no) {
			*ret_txid = change->txid;
			return true;
		}
	}
	return false;
}

void
page_fresh(union page *page, struct header *header, struct rng *rng)
{
	rng_fill(rng, page, sizeof *page);
	page->head = header->head;
	page->head.no = header->page_count++;
	page->head.kind = header->data_kind;
	page->head.checksum = 0;
	if (header->data_kind == PAGE_RECORDS)
		for (int i = 0; i < PAGE_SLOTS; i++)
			page->records.slots[i].state = SLOT_FREE;
}

unsigned
page_used(const union page *page)
{
	unsigned used = 0;

	for (int i = 0; i < PAGE_SLOTS; i++)
		used += page->records.slots[i].state != SLOT_FREE;
	return used;
}

struct slot *
page_free_slot(union page *page)
{
	for (int i = 0; i < PAGE_SLOTS; i++)
		if (page->records.slots[i].state == SLOT_FREE)
			return &page->records.slots[i];
	return NULL;
}

void
page_scribble(union page *page, struct rng *rng)
{
	bool plain = page->head.kind == PAGE_ITEMS;
	uint8_t *items = plain ? page->plain.items : page->records.items;
	uint64_t room = plain ? sizeof page->plain.items : sizeof page->records.items;
	uint64_t size = 64 + rng_below(rng, 1024), at = rng_below(rng, room - size);

	rng_fill(rng, items + at, size);
}
