/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * office_schedule - which backup runs by itself now: a slot that is due, or, once, one that was cut off by the collector's own end.
 *
 * A slot is done with as soon as its job was started.  A collector that ends in the middle of it, killed, restarted or with its host, finds
 * that in its history at the next start; without making up for it the day would have no set.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "collector/memo.h"
#include "collector/office_private.h"
#include "collector/schedule.h"
#include "collector/snapshot.h"
#include "replicator/replicator.h"

#define BY_SCHEDULE "schedule"
#define MADE_UP "schedule, again" /* itself cut off it is not made up for: what cuts it off may be the backup */
#define SLOT_AHEAD_S (8ll * 86400)   /* a clock that is set back by less waits for the slots that it has had */
#define CLOCKS_AGREE_NS (3600ll * 1000000000)

void
office_close_lost_jobs(struct office *p)
{
	const struct job_record *found;

	for (size_t i = 0; (found = jobs_nth(p->jobs, i)); i++)
		if (found->result == JOB_RUNNING) {
			struct job_record r = *found;

			r.result = JOB_FAILED;
			r.code = ERR_INTERRUPTED;
			r.ended_ns = clock_wall_ns();
			snprintf(r.text, sizeof r.text, "the collector was ended in the middle of it; the server may still have sealed the set");
			jobs_put(p->jobs, &r);
			if (r.id > p->lost.id)
				p->lost = r;
		}
}

/* The last scheduled job, when it was cut off and there is no newer set; NULL. */
static const struct job_record *
cut_off(const struct office *p)
{
	const struct job_record *r;
	struct replicator_status flow;

	for (size_t i = 0; (r = jobs_nth(p->jobs, i)) && strcmp(r->origin, BY_SCHEDULE) != 0; i++)
		if (strcmp(r->origin, MADE_UP) == 0)
			return NULL;
	if (!r || r->code != ERR_INTERRUPTED || *r->set)
		return NULL;
	replicator_status(p->replicator, &flow);
	/* Whether the server sealed it all the same only the server knows. */
	return flow.connected && flow.last_started_ns < r->t0_ns ? r : NULL;
}

static int
start(struct office *p, const char *origin, uint32_t date)
{
	uint64_t id;
	int err = snapshot_start(p->snapshot, origin, date, NULL, NULL, &id);

	if (err && !p->tried_slot_failed)
		log_warn("schedule.waits", "profile=%s date=%u: %s: it runs as soon as it can", p->name, date, err_text());
	p->tried_slot_failed = err != 0;
	return err;
}

void
office_begin_schedule(struct office *p)
{
	struct memo_facts *memo = memo_facts(p->memo);

	if (memo->last_slot_s)
		return;
	memo->last_slot_s = clock_wall_ns() / 1000000000;
	memo_store(p->memo);
}

/* One run under a clock that was a year ahead would be the last for a year.  That it was wrong then, and is not wrong now, the server's
 * clock tells. */
static void
forget_slot_of_wrong_clock(struct office *p)
{
	struct memo_facts *memo = memo_facts(p->memo);
	int64_t now_s = clock_wall_ns() / 1000000000;
	struct replicator_status flow;

	if (memo->last_slot_s - SLOT_AHEAD_S <= now_s)
		return;
	replicator_status(p->replicator, &flow);
	if (!flow.connected || !flow.server_clock_known || flow.server_ahead_ns > CLOCKS_AGREE_NS || flow.server_ahead_ns < -CLOCKS_AGREE_NS)
		return;
	log_warn("schedule.clock", "profile=%s: the last scheduled backup ran under a clock that was %lld days ahead; the schedule goes on from now", p->name,
	    (long long)((memo->last_slot_s - now_s) / 86400));
	memo->last_slot_s = now_s;
	memo_store(p->memo);
}

void
office_keep_schedule(struct office *p)
{
	struct memo_facts *memo = memo_facts(p->memo);
	const struct job_record *lost;
	struct schedule_slot slot;

	if (!p->snapshot || memo->paused || snapshot_job(p->snapshot))
		return;
	forget_slot_of_wrong_clock(p);
	if (!schedule_next(p->schedule, p->zone, clock_wall_ns() / 1000000000, memo->last_slot_s, &slot))
		return;
	if (!slot.late) {
		if ((lost = cut_off(p)))
			(void)start(p, MADE_UP, lost->date);
		return;
	}
	if (start(p, BY_SCHEDULE, slot.date) != 0)
		return;
	/* Killed between the start and the memo: the slot is started again, and its set becomes the day's second. */
	memo->last_slot_s = slot.at_s;
	memo_store(p->memo);
}
