/* SPDX-License-Identifier: GPL-2.0-or-later */
/* make - builds a whole post office or domain directory from a plan; the same plan makes the same bytes. */
#ifndef GWSIM_MAKE_H
#define GWSIM_MAKE_H

#include <stdbool.h>
#include <stdint.h>

struct plan {
	uint64_t seed;
	uint64_t users;
	uint64_t msgdbs;
	uint64_t blobs;
	uint64_t blob_bytes;	/* on average */
	double   db_share;	/* of all bytes, for databases and indexes */
	bool     same_size;	/* every blob has exactly blob_bytes */
	bool     domain;
};

/* What was made. */
struct made {
	uint64_t run_id;
	uint64_t databases, db_bytes;
	uint64_t blobs, blob_bytes;
	uint64_t other_bytes;
};

/* Fill in the plan of a profile: small, medium, large or custom. False: no such profile. */
bool plan_profile(struct plan *plan, const char *name);

/* Make `dir`, which must be absent or empty, with a few threads. */
void make_office(const char *dir, const struct plan *plan, struct made *ret_made);

#endif
