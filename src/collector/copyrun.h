/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copyrun - one run of tidemark-dbcopy: every snapshot file of a post office or domain, newest into yesterday's copies.
 *
 * Follows GroupWise's DBCOPY: what is missing or differs in time or size is copied, deletions are not mirrored, live areas
 * (offiles, index) and queues are left alone, the log is <destination>/mmddgwbk.nnn.
 */
#ifndef COLLECTOR_COPYRUN_H
#define COLLECTOR_COPYRUN_H

#include <stdbool.h>
#include <stdint.h>

struct copyrun_options {
	const char *source, *destination;
	unsigned threads;     /* 1..16 */
	bool verbose;         /* a log line and a line on standard output for every file */
	int64_t since_s;      /* copy only what changed at or after; 0 = all */
	int report_fd;        /* -1, or where each finished file is reported; the hash key is read from it first */
};

/* 0 when every file arrived whole; else the first failure, with all failures in the log and on standard error. */
int copyrun(const struct copyrun_options *options);

#endif
