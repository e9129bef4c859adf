/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check - the oracle: is this directory a complete office in which every database is one instant? */
#ifndef GWSIM_CHECK_H
#define GWSIM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct check_plan {
	const char *live;	/* NULL, or the office it is a copy of */
	bool sizes_only;	/* blobs: no SHA-256 */
	bool databases_only;	/* neither layout nor blobs: for a staging tree */
	uint64_t threads;	/* 0: as many as processors, at most 4 */
};

/* Print findings and a summary line to stdout. True when nothing is wrong. */
bool check_office(const char *dir, const struct check_plan *plan);

#endif
