/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sealing - the day's job of one profile as the server sees it: begun by the collector, sealed by the keeper, stopped by
 * either side.
 *
 * From JOB_BEGIN on the head of the fresh list at T0 is remembered, durably: what is removed later is still in the set.  SEAL
 * compares totals first, then orders the keeper; while the keeper works, only blobs change in staging.  A job that failed
 * may be sealed again until JOB_END.  The collector going away changes nothing: the set appears in its next WELCOME.
 *
 * Threads: loop thread only.
 */
#ifndef SERVER_SEALING_H
#define SERVER_SEALING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/treemap.h"

struct job_record;
struct sealing;
struct tenant;

int sealing_new(struct tenant *t, struct sealing **ret_sealing);
void sealing_free(struct sealing *s); /* after the profile was freed; NULL is fine */

/* The profile was opened: takes up a job that was begun before a restart. */
void sealing_load(struct sealing *s);
/* A session begins on a staging that may be new. */
void sealing_session_begins(struct sealing *s);

/* What the collector says. */
void sealing_begin(struct sealing *s, uint64_t job, uint32_t date, int64_t t0_ns);
void sealing_seal(struct sealing *s, uint64_t job, uint32_t date, int64_t t0_ns, const struct treemap_sum *total, const char *note);
void sealing_stop(struct sealing *s, uint64_t job, const char *who);
void sealing_end(struct sealing *s, uint64_t job);
void sealing_origin(struct sealing *s, uint64_t job, const char *origin); /* before its sealing_begin */
/* No set will come of it, and why: `code` ERR_STOPPED = somebody ended it.  A job that was never begun here becomes a record, too. */
struct sealing_over {
	uint64_t job;
	uint32_t date;
	int64_t t0_ns;
	const char *origin;
	int code;
	const char *text;
};
void sealing_over(struct sealing *s, const struct sealing_over *over);
/* When the schedule has its first run after T0 of the newest set, 0 = never; kept over restarts. */
void sealing_due(struct sealing *s, int64_t at_ns);
int64_t sealing_due_ns(const struct sealing *s); /* as told last; 0 = never told, or never */

/* What an operator of the server says: -ERR_NOTFOUND when no job runs.  The collector is told. */
int sealing_stop_here(struct sealing *s, const char *who);

/* The running job, NULL when none; progress of its phase. */
const struct job_record *sealing_job(const struct sealing *s, uint64_t *ret_done, uint64_t *ret_total);

#endif
