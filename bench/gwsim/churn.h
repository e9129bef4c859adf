/* SPDX-License-Identifier: GPL-2.0-or-later */
/* churn - one day's changes at once, with exact figures. */
#ifndef GWSIM_CHURN_H
#define GWSIM_CHURN_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/gwsim/office.h"

struct churned {
	uint64_t changed_databases;
	uint64_t changed_db_pages;	/* different pages, headers and new pages included */
	uint64_t new_blobs, new_blob_bytes;
	uint64_t deleted_blobs, deleted_blob_bytes;
	uint64_t index_files, index_bytes;	/* written anew, whole */
	uint64_t log_bytes;			/* added to the guardian's roll-forward log */
};

/*
 * Change `fraction` of the pages of every database (at least one), through proper transactions; add `fraction` of the
 * blobs and delete half as many of the old ones; write that fraction of the indexes anew; log it. Nobody else may be
 * at work. Every byte of a file that this changes is counted: pages of databases whole, since they are written whole.
 */
void churn_office(struct office *office, double fraction, uint64_t seed, struct churned *ret_churned);

/* The same for one database alone, neither index nor log. False: the office has none of this name. */
bool churn_one(struct office *office, const char *name, double fraction, uint64_t seed, struct churned *ret_churned);

/* All of it: what a copy must receive to be equal again. Deleting costs names, not bytes. */
uint64_t churned_bytes(const struct churned *churned);

#endif
