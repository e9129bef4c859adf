/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows what makes an office complete: layout, registered databases, and every blob that is referred to. */
#include "bench/gwsim/check.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gwsim/blobs.h"
#include "bench/gwsim/die.h"
#include "bench/gwsim/dictionary.h"
#include "bench/gwsim/inspect.h"
#include "bench/gwsim/names.h"
#include "bench/gwsim/office.h"
#include "bench/gwsim/skeleton.h"

enum { THREADS_MAX = 16 };

struct check {
	const struct check_plan *plan;
	struct office office;
	struct inspection *inspections;		/* of office.databases */
	struct findings layout, registry, against_live;
	uint64_t most_behind;			/* transactions that a database lacks against live */
	atomic_size_t next;
	atomic_uint_fast64_t pages, blobs, blob_bytes;
};

static void
check_static_file(struct check *check, const char *name)
{
	char *path = office_find(&check->office, name);
	const char *fault;

	if (!path)
		findings_add(&check->layout, "missing file: %s", name);
	else if (dictionary_name(name) && (fault = dictionary_fault(path, name, check->office.run_id)))
		findings_add(&check->layout, "damaged file: %s %s", name, fault);
	free(path);
}

static void
check_views(struct check *check)
{
	char *dir = office_find(&check->office, "ofviews/win");
	struct name_list list = { 0 };

	if (dir)
		name_list_init(&list, dir);
	for (size_t i = 0; i < list.count; i++) {
		char *name = must_printf("ofviews/win/%s", list.names[i]);

		lower_case(name);
		if (dictionary_name(name))
			check_static_file(check, name);
		free(name);
	}
	name_list_fini(&list);
	free(dir);
}

/* The fall-back copy is a guardian database under another name. */
static void
check_fallback(struct check *check)
{
	static const char label[] = "ofmsg/guardbak/ngwguard.fbk";
	char *path = office_find(&check->office, label);
	struct inspection inspection;
	struct database db;

	if (!path)
		return;
	database_init(&db, path, "ngwguard.db");
	inspect_database(&db, label, check->office.run_id, &inspection);
	for (size_t i = 0; i < inspection.findings.count; i++)
		findings_add(&check->layout, "%s", inspection.findings.lines[i]);
	inspection_fini(&inspection);
	database_fini(&db);
}

static void
check_layout(struct check *check)
{
	const struct office *office = &check->office;
	const char *const *names = skeleton_needed_files(office->domain);

	for (; *names; names++)
		check_static_file(check, *names);
	if (office->domain)
		return;
	if (!office_count(office, ROLE_USER))
		findings_add(&check->layout, "missing database: there is no ofuser/user*.db");
	if (!office_count(office, ROLE_MESSAGES))
		findings_add(&check->layout, "missing database: there is no ofmsg/msg*.db");
	if (!office->offiles)
		findings_add(&check->layout, "missing directory: offiles");
	check_views(check);
	check_fallback(check);
}

static void
report_blob(struct findings *findings, const char *label, const struct record *record, enum blob_state state,
	uint64_t bytes)
{
	static const char *const words[] = {
		[BLOB_MISSING] = "missing", [BLOB_TRUNCATED] = "truncated", [BLOB_TOO_LONG] = "oversized",
		[BLOB_CORRUPT] = "corrupted", [BLOB_UNREADABLE] = "unreadable",
	};

	if (state == BLOB_MISSING || state == BLOB_UNREADABLE)
		findings_add(findings, "%s blob: %s (%s page %u record %u)", words[state], record->slot.path, label,
			record->page, record->index);
	else
		findings_add(findings, "%s blob: %s (%s page %u record %u): %" PRIu64 " bytes recorded, %" PRIu64
			" found%s", words[state], record->slot.path, label, record->page, record->index,
			record->slot.bytes, bytes, state == BLOB_CORRUPT ? ", SHA-256 differs" : "");
}

/* A live office may delete a blob between the inspection and now; then its record is gone, too. */
static void
check_blobs(struct check *check, struct blobs *blobs, struct database *db, struct inspection *inspection)
{
	if (!check->office.offiles || check->plan->databases_only)
		return;
	for (size_t i = 0; i < inspection->record_count; i++) {
		const struct record *record = &inspection->records[i];
		enum blob_state state;
		uint64_t bytes;

		if (record->slot.state != SLOT_BLOB || !blobs_plausible(&record->slot)) {
			findings_add(&inspection->findings, "bad record: %s page %u record %u", db->name, record->page,
				record->index);
			continue;
		}
		state = blobs_verify(blobs, &record->slot, !check->plan->sizes_only, &bytes);
		if (state != BLOB_GOOD && !inspect_again(db, record))
			continue;
		check->blobs++;
		check->blob_bytes += bytes;
		if (state != BLOB_GOOD)
			report_blob(&inspection->findings, db->name, record, state, bytes);
	}
}

static void *
work(void *context)
{
	struct check *check = context;
	const struct office *office = &check->office;
	struct blobs blobs;
	size_t i;

	blobs_open(&blobs, office->offiles, office->run_id);
	while ((i = check->next++) < office->count) {
		struct database *db = &office->databases[i];
		struct inspection *inspection = &check->inspections[i];

		inspect_database(db, db->name, office->run_id, inspection);
		check->pages += inspection->pages;
		if (i >= office->first[ROLE_MESSAGES] && i < office->first[ROLE_MESSAGES + 1]) {
			check_blobs(check, &blobs, db, inspection);
			free(inspection->records);
			inspection->records = NULL;
			inspection->record_count = 0;
		}
	}
	blobs_close(&blobs);
	return NULL;
}

static void
work_in_threads(struct check *check)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t count = check->plan->threads;
	pthread_t threads[THREADS_MAX];

	if (!count)
		count = processors < 1 ? 1 : processors > 4 ? 4 : (uint64_t)processors;
	if (count > THREADS_MAX)
		count = THREADS_MAX;
	for (uint64_t i = 0; i < count; i++)
		if ((errno = pthread_create(&threads[i], NULL, work, check)))
			die_errno("cannot start a thread");
	for (uint64_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static struct database *
find_database(const struct office *office, const char *name)
{
	for (size_t i = 0; i < office->count; i++)
		if (strcmp(office->databases[i].name, name) == 0)
			return &office->databases[i];
	return NULL;
}

/* What the guardian database registers must be there, and the other way round. */
static void
check_registry(struct check *check)
{
	const struct office *office = &check->office;
	const struct inspection *guardian;
	bool *registered;

	if (!office_count(office, ROLE_GUARDIAN))
		return;
	guardian = &check->inspections[office->first[ROLE_GUARDIAN]];
	registered = must_calloc(office->count, sizeof *registered);
	for (size_t i = 0; i < guardian->record_count; i++) {
		const struct slot *slot = &guardian->records[i].slot;
		char *name = must_printf("%.*s", (int)sizeof slot->path, slot->path);
		struct database *db = find_database(office, name);

		if (db)
			registered[db - office->databases] = true;
		else
			findings_add(&check->registry, "missing database: %s is registered in ngwguard.db but absent", name);
		free(name);
	}
	for (size_t i = office->first[ROLE_DEFERRED]; i < office->count && !guardian->findings.count; i++)
		if (!registered[i])
			findings_add(&check->registry, "unregistered database: %s is not in ngwguard.db",
				office->databases[i].name);
	free(registered);
}

static void
check_against_live(struct check *check)
{
	struct office live;

	office_open(&live, check->plan->live);
	for (size_t i = 0; i < live.count; i++) {
		struct database *here = find_database(&check->office, live.databases[i].name);
		const struct inspection *inspection;
		uint64_t txid, run_id = 0;

		if (!here) {
			findings_add(&check->against_live, "missing database: %s is in the live office",
				live.databases[i].name);
			continue;
		}
		inspection = &check->inspections[here - check->office.databases];
		txid = inspect_txid(&live.databases[i], &run_id);
		if (!txid || !inspection->txid)
			continue;
		if (run_id != inspection->run_id)
			findings_add(&check->against_live, "foreign run: %s: the live one belongs to run %016" PRIx64,
				here->name, run_id);
		else if (inspection->txid > txid)
			findings_add(&check->against_live, "newer than live: %s: transaction %" PRIu64
				", the live one is at %" PRIu64, here->name, inspection->txid, txid);
		else if (txid - inspection->txid > check->most_behind)
			check->most_behind = txid - inspection->txid;
	}
	office_close(&live);
}

static size_t
print_findings(struct check *check)
{
	size_t total = check->layout.count + check->registry.count + check->against_live.count;

	findings_print(&check->layout);
	for (size_t i = 0; i < check->office.count; i++) {
		findings_print(&check->inspections[i].findings);
		total += check->inspections[i].findings.count;
		inspection_fini(&check->inspections[i]);
	}
	findings_print(&check->registry);
	findings_print(&check->against_live);
	findings_fini(&check->layout);
	findings_fini(&check->registry);
	findings_fini(&check->against_live);
	return total;
}

bool
check_office(const char *dir, const struct check_plan *plan)
{
	struct check check = { .plan = plan };
	char behind[80] = "";
	size_t findings;

	office_open(&check.office, dir);
	check.inspections = must_calloc(check.office.count, sizeof *check.inspections);
	if (!plan->databases_only)
		check_layout(&check);
	else if (!check.office.count)
		findings_add(&check.layout, "missing database: there is none");
	work_in_threads(&check);
	check_registry(&check);
	if (plan->live) {
		check_against_live(&check);
		snprintf(behind, sizeof behind, ", at most %" PRIu64 " transactions behind live", check.most_behind);
	}
	findings = print_findings(&check);
	printf("check: %s: ", dir);
	if (findings)
		printf("%zu finding%s; ", findings, findings == 1 ? "" : "s");
	else
		printf("clean; ");
	printf("run %016" PRIx64 ", %zu databases of %" PRIu64 " pages, %" PRIu64 " blobs of %" PRIu64 " bytes%s%s\n",
		check.office.run_id, check.office.count, (uint64_t)check.pages, (uint64_t)check.blobs,
		(uint64_t)check.blob_bytes, plan->sizes_only ? " (sizes only)" : "", behind);
	free(check.inspections);
	office_close(&check.office);
	return findings == 0;
}
