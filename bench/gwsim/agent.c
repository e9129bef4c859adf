/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows what an event does, in which order, and how often each kind happens. */
#include "bench/gwsim/agent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gwsim/die.h"
#include "bench/gwsim/quickfinder.h"

enum {
	PROBES = 12,		/* pages looked at for a free or used slot */
	PURGE_MOST = 3,		/* blobs of one purge */
	EXPIRE_MOST = TRANSACTION_PAGES * PAGE_SLOTS,
};

static void
count(struct agent *agent, enum figure figure, uint64_t n)
{
	agent->figures->of[figure] += n;
}

static void
commit(struct agent *agent, struct database *db)
{
	count(agent, FIGURE_PAGES, database_commit(db, &agent->rng));
	count(agent, FIGURE_TRANSACTIONS, 1);
}

static struct database *
any_database(struct agent *agent, enum role role)
{
	size_t n = office_count(agent->office, role);

	return n ? office_database(agent->office, role, rng_below(&agent->rng, n)) : NULL;
}

/* A transaction that changes items only. False: nothing was done. */
static bool
scribble(struct agent *agent, struct database *db, unsigned pages)
{
	if (!db || !database_begin(db, agent->stop))
		return false;
	database_scribble(db, &agent->rng, pages);
	commit(agent, db);
	return true;
}

uint64_t
agent_number(struct agent *agent)
{
	struct database *host = office_database(agent->office, ROLE_HOST, 0);

	if (agent->number == agent->number_end) {
		database_begin(host, NULL);
		agent->number = database_header(host)->counter++ << BLOB_NUMBER_BITS;
		agent->number_end = agent->number + (1u << BLOB_NUMBER_BITS);
		database_scribble(host, &agent->rng, 1);
		commit(agent, host);
	}
	return agent->number++;
}

void
agent_init(struct agent *agent, struct office *office, struct figures *figures,
	const volatile sig_atomic_t *stop, uint64_t seed, unsigned process, const char *graveyard)
{
	*agent = (struct agent){ .office = office, .figures = figures, .stop = stop, .caretaker = process == 0 };
	rng_init(&agent->rng, seed, process);
	blobs_open(&agent->blobs, office->offiles, office->run_id);
	if (graveyard) {
		agent->blobs.graveyard = open(graveyard, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (agent->blobs.graveyard < 0)
			die_errno("cannot open %s", graveyard);
	}
	if (office_count(office, ROLE_MESSAGES)) {
		struct database *db = office_database(office, ROLE_MESSAGES, 0);

		database_begin(db, NULL);
		agent->mean_blob_bytes = database_header(db)->mean_blob_bytes;
		database_abort(db);
	}
	agent->index = office_find(office, "ofuser/index");
	agent->queue = office_find(office, office->domain ? "wpcsin/4" : "wpcsout/ofs/4");
}

void
agent_fini(struct agent *agent)
{
	blobs_close(&agent->blobs);
	free(agent->index);
	free(agent->queue);
}

/* The page to put a record into: a changed one, a probed one, or a new one. */
static union page *
page_with_room(struct agent *agent, struct database *db)
{
	uint32_t pages = database_header(db)->page_count - 1;
	union page room;

	for (unsigned i = 0; i < db->tx->count; i++)
		if (page_free_slot(&db->tx->pages[i]))
			return &db->tx->pages[i];
	for (int i = 0; pages && i < PROBES; i++) {
		uint32_t no = 1 + (uint32_t)rng_below(&agent->rng, pages);

		if (page_used(database_peek(db, no, &room)) < PAGE_SLOTS)
			return database_change(db, no);
	}
	return database_append(db, &agent->rng);
}

/* Take up to `most` records out of one page. Returns how many went to `ret_slots`. */
static unsigned
take_records(struct database *db, uint32_t no, unsigned most, struct rng *rng, struct slot *ret_slots)
{
	union page *page = database_change(db, no);
	unsigned taken = 0;

	for (int i = 0; i < PAGE_SLOTS && taken < most; i++) {
		struct slot *slot = &page->records.slots[i];

		if (slot->state != SLOT_BLOB)
			continue;
		ret_slots[taken++] = *slot;
		slot->state = SLOT_FREE;
	}
	database_header(db)->used_slots -= taken;
	page_scribble(page, rng);
	return taken;
}

static void
delete_blobs(struct agent *agent, const struct slot *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		blobs_delete(&agent->blobs, &slots[i]);
	count(agent, FIGURE_DELETED, n);
}

static void
deliver(struct agent *agent, struct database *db)
{
	unsigned blobs = 1 + (rng_below(&agent->rng, 5) == 0), recipients = 1 + (unsigned)rng_below(&agent->rng, 3);
	uint64_t message_id = rng_next(&agent->rng), least = agent->mean_blob_bytes / 8 + 1, bytes = 0;
	struct slot slots[2];

	for (unsigned i = 0; i < blobs; i++) {
		uint64_t size = rng_size(&agent->rng, (double)agent->mean_blob_bytes, 1.1, least);

		blobs_create(&agent->blobs, agent_number(agent), size,
			rng_below(&agent->rng, 2) ? BLOB_RENAMED : BLOB_DIRECT, &slots[i]);
		slots[i].message_id = message_id;
		bytes += size;
	}
	if (!database_begin(db, agent->stop)) {
		for (unsigned i = 0; i < blobs; i++)
			blobs_delete(&agent->blobs, &slots[i]);
		return;
	}
	for (unsigned i = 0; i < blobs; i++)
		*page_free_slot(page_with_room(agent, db)) = slots[i];
	database_header(db)->used_slots += blobs;
	database_scribble(db, &agent->rng, 1);
	commit(agent, db);
	count(agent, FIGURE_DELIVERED, 1);
	count(agent, FIGURE_BLOBS, blobs);
	count(agent, FIGURE_BLOB_BYTES, bytes);
	while (recipients--)
		scribble(agent, any_database(agent, ROLE_USER), 1 + (unsigned)rng_below(&agent->rng, 3));
}

static void
purge(struct agent *agent, struct database *db)
{
	unsigned most = 1 + (unsigned)rng_below(&agent->rng, PURGE_MOST), taken = 0;
	struct slot slots[PURGE_MOST];
	uint32_t pages;
	union page room;

	if (!database_begin(db, agent->stop))
		return;
	pages = database_header(db)->page_count - 1;
	for (int i = 0; i < PROBES && taken < most; i++) {
		uint32_t no = 1 + (uint32_t)rng_below(&agent->rng, pages);

		if (page_used(database_peek(db, no, &room)))
			taken += take_records(db, no, most - taken, &agent->rng, slots + taken);
	}
	if (!taken) {
		database_abort(db);
		return;
	}
	commit(agent, db);
	delete_blobs(agent, slots, taken);
	count(agent, FIGURE_PURGED, 1);
	scribble(agent, any_database(agent, ROLE_USER), 1);
}

/* Deliver or purge; a database is kept between 95 % and 110 % of the records it was made with. */
static void
mail(struct agent *agent, bool delivery)
{
	struct database *db = any_database(agent, ROLE_MESSAGES);
	uint64_t used, nominal;

	if (!db || !database_begin(db, agent->stop))
		return;
	used = database_header(db)->used_slots;
	nominal = database_header(db)->nominal_slots;
	database_abort(db);
	if (used > nominal + nominal / 10 + 8)
		delivery = false;
	else if (used <= nominal - nominal / 20)
		delivery = true;
	if (delivery)
		deliver(agent, db);
	else
		purge(agent, db);
}

/* User upkeep; now and then the small databases have something to do. */
static void
upkeep(struct agent *agent)
{
	uint64_t which = rng_below(&agent->rng, 16);

	if (which == 0)
		scribble(agent, any_database(agent, ROLE_HOST), 2);
	else if (which == 1)
		guardian_upkeep(agent->office, &agent->rng, agent->stop);
	else if (which < 4)
		scribble(agent, any_database(agent, ROLE_DEFERRED), 2);
	else
		scribble(agent, any_database(agent, ROLE_USER), TRANSACTION_PAGES);
	count(agent, FIGURE_UPKEEP, 1);
}

static void
domain_event(struct agent *agent)
{
	if (rng_below(&agent->rng, 4)) {
		queue_pass(agent->queue, &agent->rng);
		count(agent, FIGURE_QUEUED, 1);
	} else if (scribble(agent, any_database(agent, ROLE_HOST), 1 + (unsigned)rng_below(&agent->rng, 4)))
		count(agent, FIGURE_ADMIN, 1);
}

void
agent_event(struct agent *agent)
{
	uint64_t which = rng_below(&agent->rng, 100);

	if (agent->office->domain)
		domain_event(agent);
	else if (which < 30)
		mail(agent, true);
	else if (which < 65) {
		if (scribble(agent, any_database(agent, ROLE_USER), 1 + (unsigned)rng_below(&agent->rng, 2)))
			count(agent, FIGURE_READ, 1);
	} else if (which < 85)
		mail(agent, false);
	else if (which < 90)
		upkeep(agent);
	else if (which < 95) {
		quickfinder_day(agent->index, &agent->rng);
		count(agent, FIGURE_INDEXED, 1);
	} else {
		queue_pass(agent->queue, &agent->rng);
		count(agent, FIGURE_QUEUED, 1);
	}
	count(agent, FIGURE_EVENTS, 1);
}

void
agent_night(struct agent *agent)
{
	size_t users = office_count(agent->office, ROLE_USER);

	if (!agent->caretaker)
		return;
	quickfinder_night(agent->index, &agent->rng, agent->stop);
	for (size_t i = 0; i < users && !*agent->stop; i++)
		if (scribble(agent, office_database(agent->office, ROLE_USER, i), TRANSACTION_PAGES))
			count(agent, FIGURE_UPKEEP, 1);
	count(agent, FIGURE_NIGHTS, 1);
}

/* One transaction of the mass expiry, beginning at page *next. False: this database has no more. */
static bool
expire_some(struct agent *agent, struct database *db, uint32_t *next)
{
	atomic_int_fast64_t *left = &agent->figures->expire_left;
	struct slot slots[EXPIRE_MOST];
	unsigned taken = 0;
	int64_t claim = EXPIRE_MOST, before = atomic_fetch_sub(left, claim);
	bool more;

	if (before < claim)
		claim = before > 0 ? before : 0;
	atomic_fetch_add(left, EXPIRE_MOST - claim);
	if (!claim || !database_begin(db, agent->stop)) {
		atomic_fetch_add(left, claim);
		return false;
	}
	for (; *next < database_header(db)->page_count && taken < claim && database_room(db); ++*next) {
		union page room;

		if (page_used(database_peek(db, *next, &room)))
			taken += take_records(db, *next, (unsigned)claim - taken, &agent->rng, slots + taken);
	}
	more = *next < database_header(db)->page_count;
	atomic_fetch_add(left, claim - taken);
	if (taken)
		commit(agent, db);
	else
		database_abort(db);
	delete_blobs(agent, slots, taken);
	return more;
}

void
agent_expire(struct agent *agent)
{
	size_t n = office_count(agent->office, ROLE_MESSAGES), start = n ? rng_below(&agent->rng, n) : 0;

	for (size_t i = 0; i < n && agent->figures->expire_left > 0 && !*agent->stop; i++) {
		struct database *db = office_database(agent->office, ROLE_MESSAGES, (start + i) % n);
		uint32_t next = 1;

		for (bool more = true; more && !*agent->stop;)
			more = expire_some(agent, db, &next);
	}
}
