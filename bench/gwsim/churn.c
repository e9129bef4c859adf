/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how a day's changes are spread over pages, so that the fraction of changed pages stays the one asked for. */
#include "bench/gwsim/churn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/gwsim/agent.h"
#include "bench/gwsim/die.h"
#include "bench/gwsim/quickfinder.h"

struct churn {
	struct agent agent;
	struct churned *figures;
	double add_due, delete_due;	/* fractions of blobs carried from database to database */
};

/* What is still to do in one database. */
struct quota {
	uint64_t add, delete;
	struct slot *gone;		/* records taken out by the transaction under way */
	unsigned gone_count;
};

static void
add_blob(struct churn *churn, struct database *db, struct slot *slot)
{
	struct agent *agent = &churn->agent;
	uint64_t bytes = rng_size(&agent->rng, (double)agent->mean_blob_bytes, 1.1, agent->mean_blob_bytes / 8 + 1);

	blobs_create(&agent->blobs, agent_number(agent), bytes, BLOB_DIRECT, slot);
	slot->message_id = rng_next(&agent->rng);
	database_header(db)->used_slots++;
	churn->figures->new_blobs++;
	churn->figures->new_blob_bytes += bytes;
}

static void
take_blob(struct churn *churn, struct database *db, struct slot *slot, struct quota *quota)
{
	quota->gone[quota->gone_count++] = *slot;
	slot->state = SLOT_FREE;
	database_header(db)->used_slots--;
	churn->figures->deleted_blobs++;
	churn->figures->deleted_blob_bytes += slot->bytes;
}

/* This page's share of what is to be deleted and added, when `pages_left` pages are still to come. */
static void
change_page(struct churn *churn, struct database *db, uint32_t no, struct quota *quota, uint64_t pages_left)
{
	union page *page = database_change(db, no);
	uint64_t delete = (quota->delete + pages_left - 1) / pages_left, add = (quota->add + pages_left - 1) / pages_left;

	page_scribble(page, &churn->agent.rng);
	if (page->head.kind != PAGE_RECORDS)
		return;
	for (int i = 0; i < PAGE_SLOTS && delete; i++) {
		if (page->records.slots[i].state != SLOT_BLOB)
			continue;
		take_blob(churn, db, &page->records.slots[i], quota);
		quota->delete--;
		delete--;
	}
	for (struct slot *slot; add && (slot = page_free_slot(page)); add--) {
		add_blob(churn, db, slot);
		quota->add--;
	}
}

static void
commit(struct churn *churn, struct database *db, struct quota *quota)
{
	database_commit(db, &churn->agent.rng);
	while (quota->gone_count)
		blobs_delete(&churn->agent.blobs, &quota->gone[--quota->gone_count]);
}

/* Records that found no room in the changed pages go to new ones at the end. */
static void
append_pages(struct churn *churn, struct database *db, struct quota *quota)
{
	while (quota->add) {
		database_begin(db, NULL);
		while (quota->add && database_room(db)) {
			union page *page = database_append(db, &churn->agent.rng);

			for (int i = 0; i < PAGE_SLOTS && quota->add; i++, quota->add--)
				add_blob(churn, db, &page->records.slots[i]);
		}
		commit(churn, db, quota);
	}
}

/* `count` different numbers of 1 .. pages, by shuffling the beginning of the row. Gives. */
static uint32_t *
choose_pages(struct rng *rng, uint32_t pages, uint32_t count)
{
	uint32_t *row = must_calloc(pages, sizeof *row);

	for (uint32_t i = 0; i < pages; i++)
		row[i] = i + 1;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i + (uint32_t)rng_below(rng, pages - i), taken = row[at];

		row[at] = row[i];
		row[i] = taken;
	}
	return row;
}

static void
read_sizes(struct database *db, uint32_t *ret_pages, uint64_t *ret_blobs)
{
	database_begin(db, NULL);
	*ret_pages = database_header(db)->page_count - 1;
	*ret_blobs = database_header(db)->used_slots;
	database_abort(db);
}

static void
churn_database(struct churn *churn, struct database *db, bool messages, double fraction)
{
	struct slot gone[TRANSACTION_PAGES * PAGE_SLOTS];
	struct quota quota = { .gone = gone };
	uint32_t pages, count, *row;
	uint64_t blobs;

	read_sizes(db, &pages, &blobs);
	if (!pages)
		return;
	if (messages) {
		churn->add_due += (double)blobs * fraction;
		churn->delete_due += (double)blobs * fraction / 2;
		quota.add = (uint64_t)(churn->add_due + 1e-6);
		quota.delete = (uint64_t)(churn->delete_due + 1e-6);
		churn->add_due -= (double)quota.add;
		churn->delete_due -= (double)quota.delete;
	}
	count = (uint32_t)lround(pages * fraction);
	count = count < 1 ? 1 : count > pages ? pages : count;
	row = choose_pages(&churn->agent.rng, pages, count);
	for (uint32_t i = 0; i < count;) {
		database_begin(db, NULL);
		for (; i < count && database_room(db); i++)
			change_page(churn, db, row[i], &quota, count - i);
		commit(churn, db, &quota);
	}
	free(row);
	churn->delete_due += (double)quota.delete;	/* the chosen pages had too few records */
	append_pages(churn, db, &quota);
}

static void
churn_begin(struct churn *churn, struct office *office, struct figures *figures, uint64_t seed, struct churned *figures_out)
{
	static const volatile sig_atomic_t never;

	*figures_out = (struct churned){ 0 };
	*churn = (struct churn){ .figures = figures_out };
	for (size_t i = 0; i < office->count; i++)
		database_track(&office->databases[i]);
	agent_init(&churn->agent, office, figures, &never, seed, 0, NULL);
}

static void
churn_end(struct churn *churn, const struct office *office)
{
	agent_fini(&churn->agent);
	for (size_t i = 0; i < office->count; i++) {
		uint32_t pages = database_tracked(&office->databases[i]);

		churn->figures->changed_databases += pages > 0;
		churn->figures->changed_db_pages += pages;
	}
}

void
churn_office(struct office *office, double fraction, uint64_t seed, struct churned *ret_churned)
{
	struct figures figures = { 0 };
	struct churn churn;

	churn_begin(&churn, office, &figures, seed, ret_churned);
	for (int role = ROLES - 1; role >= 0 && fraction > 0; role--)
		for (size_t i = 0; i < office_count(office, (enum role)role); i++)
			churn_database(&churn, office_database(office, (enum role)role, i), role == ROLE_MESSAGES, fraction);
	if (fraction > 0) {
		quickfinder_churn(churn.agent.index, &churn.agent.rng, fraction, &ret_churned->index_files,
			&ret_churned->index_bytes);
		ret_churned->log_bytes = guardian_log(office, &churn.agent.rng);
	}
	churn_end(&churn, office);
}

bool
churn_one(struct office *office, const char *name, double fraction, uint64_t seed, struct churned *ret_churned)
{
	struct figures figures = { 0 };
	struct churn churn;
	size_t i = 0;

	while (i < office->count && strcmp(office->databases[i].name, name) != 0)
		i++;
	if (i == office->count)
		return false;
	churn_begin(&churn, office, &figures, seed, ret_churned);
	if (fraction > 0)
		churn_database(&churn, &office->databases[i],
			i >= office->first[ROLE_MESSAGES] && i < office->first[ROLE_MESSAGES + 1], fraction);
	churn_end(&churn, office);
	return true;
}

uint64_t
churned_bytes(const struct churned *churned)
{
	return churned->changed_db_pages * PAGE_BYTES + churned->new_blob_bytes + churned->index_bytes + churned->log_bytes;
}
