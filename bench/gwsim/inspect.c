/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows the tests a database has to pass, and how to find the one page that spoils the sums. */
#include "bench/gwsim/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/die.h"

enum { READ_PAGES = 64 };

#define SEARCH_MOST 200000000u		/* stamps computed to find a stale page that the ring has forgotten */

struct inspector {
	struct database *db;
	const char *label;
	struct inspection *result;
	union page header;
	bool header_sound;
	uint32_t file_pages;
	uint64_t *txids;		/* by page number; 0: page not sound */
	uint64_t sum, xor, used;
	bool all_sound;			/* pages 1 and up: sound, and not newer than the header */
};

static void
report_fault(struct inspector *in, const union page *page, uint32_t no, enum page_fault fault)
{
	struct findings *findings = &in->result->findings;

	switch (fault) {
	case PAGE_NOT_ONE:
		findings_add(findings, "torn page: %s page %u: is no database page", in->label, no);
		break;
	case PAGE_TORN:
		findings_add(findings, "torn page: %s page %u: the checksum does not fit the content", in->label, no);
		break;
	case PAGE_MISPLACED:
		findings_add(findings, "misplaced page: %s page %u: is page %u", in->label, no, page->head.no);
		break;
	case PAGE_FOREIGN:
		findings_add(findings, "foreign page: %s page %u: belongs to another database", in->label, no);
		break;
	case PAGE_SOUND:
		break;
	}
}

static void
add_record(struct inspection *result, const struct slot *slot, uint32_t no, uint32_t index)
{
	if (result->record_count == result->record_room) {
		result->record_room = result->record_room ? 2 * result->record_room : 256;
		result->records = realloc(result->records, result->record_room * sizeof *result->records);
		if (!result->records)
			die("out of memory");
	}
	result->records[result->record_count++] = (struct record){ .slot = *slot, .page = no, .index = index };
}

static void
collect_records(struct inspector *in, const union page *page)
{
	for (uint32_t i = 0; page->head.kind == PAGE_RECORDS && i < PAGE_SLOTS; i++) {
		if (page->records.slots[i].state == SLOT_FREE)
			continue;
		in->used++;
		add_record(in->result, &page->records.slots[i], page->head.no, i);
	}
}

static void
inspect_page(struct inspector *in, const union page *page, uint32_t no)
{
	const struct header *header = &in->header.header;
	enum page_fault fault = page_fault(page, no, in->db->id);

	in->result->pages++;
	if (fault != PAGE_SOUND) {
		report_fault(in, page, no, fault);
		in->all_sound = false;
		return;
	}
	if (in->header_sound && page->head.run_id != header->head.run_id) {
		findings_add(&in->result->findings, "foreign run: %s page %u: belongs to run %016" PRIx64
			", the database to run %016" PRIx64, in->label, no, page->head.run_id, header->head.run_id);
		in->all_sound = false;
		return;
	}
	if (in->header_sound && page->head.txid > header->head.txid) {
		findings_add(&in->result->findings, "torn page: %s page %u: holds transaction %" PRIu64
			", the header ends with transaction %" PRIu64, in->label, no, page->head.txid, header->head.txid);
		in->all_sound = false;
	}
	in->txids[no] = page->head.txid;
	in->sum += page_stamp(no, page->head.txid);
	in->xor ^= page_stamp(no, page->head.txid);
	collect_records(in, page);
}

static void
report_stale(struct inspector *in, uint32_t no, uint64_t txid)
{
	findings_add(&in->result->findings, "torn page: %s page %u: holds transaction %" PRIu64
		", but transaction %" PRIu64 " changed it", in->label, no, in->txids[no], txid);
}

/* The ring forgets; then try whether one other transaction id of one page makes both sums right. */
static bool
search_stale(struct inspector *in)
{
	const struct header *header = &in->header.header;
	uint64_t last = header->head.txid, steps = 0;

	for (uint32_t no = 1; no < in->file_pages; no++) {
		uint64_t found = page_stamp(no, in->txids[no]);
		uint64_t want = header->sum - in->sum + found;

		for (uint64_t txid = in->txids[no] + 1; txid <= last; txid++) {
			if (++steps > SEARCH_MOST)
				return false;
			if (page_stamp(no, txid) == want && (in->xor ^ found ^ want) == header->xor) {
				report_stale(in, no, txid);
				return true;
			}
		}
	}
	return false;
}

/* The sums are wrong though every page is sound: some page is of an older transaction. Which one? */
static void
find_stale(struct inspector *in)
{
	const struct header *header = &in->header.header;
	bool found = false;

	for (uint32_t no = 1; no < in->file_pages && no < header->page_count; no++) {
		uint64_t txid;

		if (header_recall(header, no, &txid) && txid != in->txids[no]) {
			report_stale(in, no, txid);
			found = true;
		}
	}
	if (!found && !search_stale(in))
		findings_add(&in->result->findings, "torn database: %s: its pages are not of one instant: they do not "
			"add up to transaction %" PRIu64 " of the header", in->label, header->head.txid);
}

static void
inspect_header(struct inspector *in, uint64_t run_id)
{
	struct findings *findings = &in->result->findings;
	const struct header *header = &in->header.header;
	enum page_fault fault = page_fault(&in->header, 0, in->db->id);

	in->result->pages++;
	if (fault != PAGE_SOUND) {
		report_fault(in, &in->header, 0, fault);
		return;
	}
	in->header_sound = true;
	in->result->txid = header->head.txid;
	in->result->run_id = header->head.run_id;
	if (header->head.run_id != run_id)
		findings_add(findings, "foreign run: %s: belongs to run %016" PRIx64 ", the office to run %016" PRIx64,
			in->label, header->head.run_id, run_id);
	if (header->page_count != in->file_pages) {
		findings_add(findings, "%s database: %s: the header counts %u pages, the file has %u",
			in->file_pages < header->page_count ? "short" : "long", in->label, header->page_count,
			in->file_pages);
		in->all_sound = false;
	}
}

static bool
read_pages(struct inspector *in, union page *pages, uint32_t first, uint32_t count)
{
	ssize_t want = (ssize_t)count * PAGE_BYTES;

	errno = EIO;
	if (pread(in->db->fd, pages, (size_t)want, (off_t)first * PAGE_BYTES) == want)
		return true;
	findings_add(&in->result->findings, "unreadable database: %s page %u: %s", in->label, first, strerror(errno));
	in->all_sound = false;
	return false;
}

static void
inspect_pages(struct inspector *in, uint64_t run_id)
{
	union page *pages = must_calloc(READ_PAGES, sizeof *pages);
	const struct header *header = &in->header.header;

	in->all_sound = true;
	in->txids = must_calloc(in->file_pages, sizeof *in->txids);
	if (read_pages(in, &in->header, 0, 1))
		inspect_header(in, run_id);
	for (uint32_t no = 1, count; no < in->file_pages; no += count) {
		count = in->file_pages - no < READ_PAGES ? in->file_pages - no : READ_PAGES;
		if (!read_pages(in, pages, no, count))
			break;
		for (uint32_t i = 0; i < count; i++)
			inspect_page(in, &pages[i], no + i);
	}
	if (in->header_sound && in->all_sound && (in->sum != header->sum || in->xor != header->xor))
		find_stale(in);
	else if (in->header_sound && in->all_sound && in->used != header->used_slots)
		findings_add(&in->result->findings, "wrong count: %s: the header counts %" PRIu64 " records, there are %"
			PRIu64, in->label, header->used_slots, in->used);
	free(in->txids);
	free(pages);
}

void
inspect_database(struct database *db, const char *label, uint64_t run_id, struct inspection *ret_inspection)
{
	struct inspector in = { .db = db, .label = label, .result = ret_inspection };
	struct findings *findings = &ret_inspection->findings;
	struct stat st;

	*ret_inspection = (struct inspection){ 0 };
	if (!database_hold(db)) {
		findings_add(findings, "unreadable database: %s: %s", label, strerror(errno));
		return;
	}
	if (fstat(db->fd, &st) < 0)
		die_errno("cannot look at %s", db->path);
	if (st.st_size % PAGE_BYTES)
		findings_add(findings, "ragged database: %s: %lld bytes are no whole number of pages", label,
			(long long)st.st_size);
	in.file_pages = (uint32_t)(st.st_size / PAGE_BYTES);
	if (in.file_pages)
		inspect_pages(&in, run_id);
	else
		findings_add(findings, "empty database: %s", label);
	database_release(db);
}

void
inspection_fini(struct inspection *inspection)
{
	findings_fini(&inspection->findings);
	free(inspection->records);
}

bool
inspect_again(struct database *db, const struct record *record)
{
	const struct slot *slot;
	union page page;
	bool same = true;

	if (!database_hold(db))
		return true;
	if (pread(db->fd, &page, PAGE_BYTES, (off_t)record->page * PAGE_BYTES) == PAGE_BYTES &&
		page_fault(&page, record->page, db->id) == PAGE_SOUND && page.head.kind == PAGE_RECORDS) {
		slot = &page.records.slots[record->index];
		same = slot->state == record->slot.state &&
			memcmp(slot->path, record->slot.path, sizeof slot->path) == 0;
	}
	database_release(db);
	return same;
}

uint64_t
inspect_txid(struct database *db, uint64_t *ret_run_id)
{
	union page page;
	uint64_t txid = 0;

	if (!database_hold(db))
		return 0;
	if (pread(db->fd, &page, PAGE_BYTES, 0) == PAGE_BYTES && page_fault(&page, 0, db->id) == PAGE_SOUND) {
		txid = page.head.txid;
		*ret_run_id = page.head.run_id;
	}
	database_release(db);
	return txid;
}
