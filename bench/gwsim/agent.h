/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent - one process of the post office agent: delivers, reads, purges, indexes, keeps up.
 *
 * The order that makes a copy of databases first and blobs later complete: a blob is closed before a transaction
 * names it, and deleted only after a transaction has removed its record.
 */
#ifndef GWSIM_AGENT_H
#define GWSIM_AGENT_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/blobs.h"
#include "bench/gwsim/office.h"

/* What all processes of a run have done so far. In memory they share. */
enum figure {
	FIGURE_EVENTS, FIGURE_DELIVERED, FIGURE_READ, FIGURE_PURGED, FIGURE_UPKEEP, FIGURE_INDEXED, FIGURE_QUEUED,
	FIGURE_ADMIN, FIGURE_TRANSACTIONS, FIGURE_PAGES, FIGURE_BLOBS, FIGURE_BLOB_BYTES, FIGURE_DELETED, FIGURE_NIGHTS, FIGURES,
};

struct figures {
	atomic_uint_fast64_t of[FIGURES];
	atomic_int_fast64_t expire_left;	/* blobs the mass expiry still has to delete */
};

struct agent {
	struct office *office;
	struct figures *figures;
	const volatile sig_atomic_t *stop;
	struct blobs blobs;
	struct rng rng;
	uint64_t number, number_end;	/* blob numbers this process may use */
	uint64_t mean_blob_bytes;
	char *index, *queue;		/* directories, NULL when absent */
	bool caretaker;			/* the one process that does the night's work */
};

/*
 * Become process `process` of a run. All pointers are borrowed until agent_fini(). `graveyard` may be NULL: a
 * directory that gets a hard link of each blob before it is deleted.
 */
void agent_init(struct agent *agent, struct office *office, struct figures *figures,
	const volatile sig_atomic_t *stop, uint64_t seed, unsigned process, const char *graveyard);
void agent_fini(struct agent *agent);

/* Let one event happen. Returns early, consistent, when *stop is raised while it waits for a lock. */
void agent_event(struct agent *agent);

/* The end of a day: indexes are combined, every user's database is kept up. Only the caretaker does anything. */
void agent_night(struct agent *agent);

/* Delete blobs until figures->expire_left is used up, *stop is raised or none is left. */
void agent_expire(struct agent *agent);

/* A blob number never used before in this office. */
uint64_t agent_number(struct agent *agent);

#endif
