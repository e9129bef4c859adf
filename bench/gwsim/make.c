/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how big things are in a post office, and shares the work between threads without sharing randomness. */
#include "bench/gwsim/make.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/blobs.h"
#include "bench/gwsim/database.h"
#include "bench/gwsim/die.h"
#include "bench/gwsim/names.h"
#include "bench/gwsim/office.h"
#include "bench/gwsim/skeleton.h"

enum {
	THREADS_MAX    = 4,
	FILLED_SLOTS   = 9,		/* of a page, at most; deliveries find room in the others */
	LEAST_PAGES    = 16,
	LEAST_BLOB     = 2049,		/* smaller items stay in the message database */
};

struct works {
	const char *dir;
	const struct plan *plan;
	uint64_t run_id;
	double msg_pages, user_pages;	/* of one database, on average */
	double small_pages;		/* of wphost.db and the like */
	double idx_bytes;		/* of one user's index */
	atomic_uint_fast64_t next_job;	/* message databases first, then users */
	atomic_uint_fast64_t databases, db_bytes, blobs, blob_bytes, other_bytes;
};

bool
plan_profile(struct plan *plan, const char *name)
{
	static const struct {
		const char *name;
		struct plan plan;
	} profiles[] = {
		{ "small",  { .users = 12, .msgdbs = 5, .blobs = 2000, .blob_bytes = 20 << 10, .db_share = 0.12 } },
		{ "medium", { .users = 100, .msgdbs = 25, .blobs = 30000, .blob_bytes = 40 << 10, .db_share = 0.12 } },
		{ "large",  { .users = 300, .msgdbs = 100, .blobs = 400000, .blob_bytes = 16 << 10, .db_share = 0.12 } },
		{ "custom", { .users = 12, .msgdbs = 5, .blobs = 2000, .blob_bytes = 20 << 10, .db_share = 0.12 } },
	};

	for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
		uint64_t seed = plan->seed;
		bool domain = plan->domain;

		if (strcmp(name, profiles[i].name) != 0)
			continue;
		*plan = profiles[i].plan;
		plan->seed = seed;
		plan->domain = domain;
		return true;
	}
	return false;
}

static uint64_t
pages_near(struct rng *rng, double mean, double sigma, uint64_t least)
{
	return rng_size(rng, mean, sigma, least < LEAST_PAGES ? LEAST_PAGES : least);
}

static void
finish_database(struct works *works, struct builder *b)
{
	works->db_bytes += (uint64_t)b->header.header.page_count * PAGE_BYTES;
	works->databases++;
	builder_end(b);
}

/* A database of `pages` pages that nobody looks into. */
static void
make_plain(struct works *works, const char *name, uint64_t pages)
{
	char *path = must_printf("%s/%s", works->dir, name);
	struct builder b;
	struct rng rng;

	rng_init(&rng, works->run_id, hash_text(name));
	builder_begin(&b, path, name, works->run_id, PAGE_ITEMS);
	while (pages--)
		builder_page(&b, &rng);
	if (strcmp(name, "wphost.db") == 0)	/* agent processes take their blob numbers from here on */
		b.header.header.counter = 1 + (works->plan->blobs >> BLOB_NUMBER_BITS);
	finish_database(works, &b);
	free(path);
}

static uint64_t
share_of(uint64_t total, uint64_t parts, uint64_t i)
{
	return total / parts + (i < total % parts);
}

/* Message database `i` and its blobs. */
static void
make_messages(struct works *works, struct blobs *blobs, uint64_t i)
{
	const struct plan *plan = works->plan;
	uint64_t count = share_of(plan->blobs, plan->msgdbs, i), pages, done = 0;
	uint64_t number = i * (plan->blobs / plan->msgdbs) +
		(i < plan->blobs % plan->msgdbs ? i : plan->blobs % plan->msgdbs);
	uint64_t least = plan->blob_bytes < 2 * LEAST_BLOB ? plan->blob_bytes / 2 : LEAST_BLOB;
	char *name = must_printf("ofmsg/msg%llu.db", (unsigned long long)i);
	char *path = must_printf("%s/%s", works->dir, name);
	struct builder b;
	struct rng rng;

	rng_init(&rng, works->run_id, hash_text(name));
	pages = pages_near(&rng, works->msg_pages, 0.4, count / FILLED_SLOTS + 1);
	builder_begin(&b, path, name, works->run_id, PAGE_RECORDS);
	b.header.header.used_slots = b.header.header.nominal_slots = count;
	b.header.header.mean_blob_bytes = plan->blob_bytes;
	for (uint64_t p = 1; p <= pages; p++) {
		union page *page = builder_page(&b, &rng);
		struct slot *slot = page->records.slots;

		for (; done < count * p / pages; done++, slot++) {
			uint64_t bytes = plan->same_size ? plan->blob_bytes :
				rng_size(&rng, (double)plan->blob_bytes, 1.1, least);

			blobs_create(blobs, number + done, bytes, BLOB_DIRECT, slot);
			slot->message_id = rng_next(&rng);
			works->blob_bytes += bytes;
		}
	}
	works->blobs += count;
	finish_database(works, &b);
	free(path);
	free(name);
}

static void
make_user(struct works *works, uint64_t i)
{
	char id[4], *name, *path;
	struct rng rng;
	uint64_t bytes;

	skeleton_user_id(works->run_id, i, id);
	name = must_printf("ofuser/user%s.db", id);
	rng_init(&rng, works->run_id, hash_text(name) + 1);
	make_plain(works, name, pages_near(&rng, works->user_pages, 1.0, 0));
	path = must_printf("%s/ofuser/index/%s.idx", works->dir, id);
	bytes = rng_size(&rng, works->idx_bytes, 0.8, 4096);
	skeleton_random_file(path, &rng, bytes);
	works->other_bytes += bytes;
	free(path);
	free(name);
}

static void *
work(void *context)
{
	struct works *works = context;
	char *offiles = must_printf("%s/offiles", works->dir);
	uint64_t jobs = works->plan->msgdbs + works->plan->users, job;
	struct blobs blobs;

	blobs_open(&blobs, offiles, works->run_id);
	while ((job = works->next_job++) < jobs) {
		if (job < works->plan->msgdbs)
			make_messages(works, &blobs, job);
		else
			make_user(works, job - works->plan->msgdbs);
	}
	blobs_close(&blobs);
	free(offiles);
	return NULL;
}

static void
work_in_threads(struct works *works)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[THREADS_MAX];
	int count = processors < 1 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (int)processors;

	for (int i = 0; i < count; i++)
		if ((errno = pthread_create(&threads[i], NULL, work, works)))
			die_errno("cannot start a thread");
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

/* The guardian database registers every other one of users and messages, so that a lost one is missed. */
static void
make_guardian(struct works *works)
{
	struct office office;
	char *path = must_printf("%s/ngwguard.db", works->dir), *copy;
	uint64_t pages, at = 0;
	struct builder b;
	struct rng rng;

	office_open(&office, works->dir);
	rng_init(&rng, works->run_id, hash_text("ngwguard.db"));
	pages = pages_near(&rng, works->small_pages, 0, office.count / PAGE_SLOTS + 1);
	builder_begin(&b, path, "ngwguard.db", works->run_id, PAGE_RECORDS);
	at = office.first[ROLE_DEFERRED];
	b.header.header.used_slots = office.count - at;
	while (pages--) {
		union page *page = builder_page(&b, &rng);

		for (int i = 0; i < PAGE_SLOTS && at < office.count; i++, at++) {
			struct slot slot = { .state = SLOT_DATABASE };

			memccpy(slot.path, office.databases[at].name, 0, sizeof slot.path - 1);
			page->records.slots[i] = slot;
		}
	}
	finish_database(works, &b);
	copy = must_printf("%s/ofmsg/guardbak/ngwguard.fbk", works->dir);
	skeleton_copy_file(path, copy);
	free(copy);
	free(path);
	office_close(&office);
}

static void
make_post_office(struct works *works)
{
	const struct plan *plan = works->plan;

	work_in_threads(works);
	make_plain(works, "wphost.db", (uint64_t)works->small_pages);
	make_plain(works, "ofmsg/ngwdfr.db", (uint64_t)works->small_pages);
	if (plan->users >= 10) {
		char id[4], *name;

		skeleton_user_id(works->run_id, plan->users, id);
		name = must_printf("ofuser/pu%s%s.db", id, id);
		make_plain(works, name, LEAST_PAGES);
		free(name);
	}
	make_guardian(works);
}

/* Share the bytes that are not blobs: 60 % messages, 35 % users, the rest in small databases; indexes on top. */
static void
share_bytes(struct works *works)
{
	const struct plan *plan = works->plan;
	double blobs = (double)plan->blobs * (double)plan->blob_bytes;
	double pages = blobs * plan->db_share / (1 - plan->db_share) / PAGE_BYTES;

	works->msg_pages = pages * 0.6 / (double)plan->msgdbs;
	works->user_pages = pages * 0.35 / (double)plan->users;
	works->small_pages = pages * 0.015;
	if (works->small_pages < LEAST_PAGES)
		works->small_pages = LEAST_PAGES;
	works->idx_bytes = blobs * 0.02 / (double)plan->users;
	if (works->msg_pages < 1)
		works->msg_pages = 1;
	if (works->user_pages < 1)
		works->user_pages = 1;
	if (works->idx_bytes < 1)
		works->idx_bytes = 1;
}

static uint64_t
plan_run_id(const struct plan *plan)
{
	uint64_t id = mix2(plan->seed, hash_text(plan->domain ? "domain" : "post office"));

	id = mix2(id, plan->users);
	id = mix2(id, plan->msgdbs);
	id = mix2(id, plan->blobs);
	id = mix2(id, plan->blob_bytes + plan->same_size);
	return mix2(id, (uint64_t)(plan->db_share * 1e6)) | 1;
}

void
make_office(const char *dir, const struct plan *plan, struct made *ret_made)
{
	struct works works = { .dir = dir, .plan = plan, .run_id = plan_run_id(plan) };
	struct name_list list;

	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		die_errno("cannot create %s", dir);
	name_list_init(&list, dir);
	if (list.count)
		die("%s is not empty", dir);
	name_list_fini(&list);
	share_bytes(&works);
	works.other_bytes += skeleton_make(dir, works.run_id, plan->domain);
	if (plan->domain)
		make_plain(&works, "wpdomain.db", (uint64_t)works.small_pages * 16);
	else
		make_post_office(&works);
	*ret_made = (struct made){
		.run_id = works.run_id, .databases = works.databases, .db_bytes = works.db_bytes,
		.blobs = works.blobs, .blob_bytes = works.blob_bytes, .other_bytes = works.other_bytes,
	};
}
