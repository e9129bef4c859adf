/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run - several agent processes at work on one office, watched over by their parent. */
#ifndef GWSIM_RUN_H
#define GWSIM_RUN_H

#include <stdint.h>

#include "bench/gwsim/office.h"

struct run_plan {
	double   rate;		/* events a second of all processes, 0: as fast as possible */
	double   seconds;	/* 0: until SIGTERM or SIGINT, or until the mass expiry is done */
	double   day;		/* seconds from one night to the next */
	double   every;		/* seconds between two lines of figures on stderr, 0: none */
	uint64_t seed;
	uint64_t processes;
	uint64_t expire;	/* blobs of the mass expiry, which comes first */
	const char *graveyard;	/* NULL or a directory for hard links of deleted blobs */
};

/* Work until it is time to stop; one line of totals to stdout. Returns the exit code. */
int run_office(struct office *office, const struct run_plan *plan);

#endif
