/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inspect - proves that one database file is one instant, or says which page is not of it. */
#ifndef GWSIM_INSPECT_H
#define GWSIM_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/database.h"
#include "bench/gwsim/findings.h"

/* A used slot and where it was found. */
struct record {
	struct slot slot;
	uint32_t page;
	uint32_t index;
};

struct inspection {
	struct findings findings;
	struct record *records;		/* of sound pages */
	size_t record_count, record_room;
	uint64_t txid;			/* of the header; 0: no sound header */
	uint64_t run_id;		/* of the header */
	uint32_t pages;			/* looked at */
};

/*
 * Inspect `db` while holding its lock. `label` is its name in findings; `run_id` is the run it must belong to.
 * To be freed with inspection_fini().
 */
void inspect_database(struct database *db, const char *label, uint64_t run_id, struct inspection *ret_inspection);
void inspection_fini(struct inspection *inspection);

/* True when this very record is still there: a live office may have removed it since the inspection. */
bool inspect_again(struct database *db, const struct record *record);

/* The header's transaction id, 0 when there is no sound header. */
uint64_t inspect_txid(struct database *db, uint64_t *ret_run_id);

#endif
