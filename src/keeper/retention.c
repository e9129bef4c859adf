/* SPDX-License-Identifier: GPL-2.0-or-later */
/* retention - the rules, in three pure functions.  retention_run.c obeys them. */
#include "keeper/retention.h"
#include "base/planted.h"

#include <string.h>

#define HOUR_NS ((int64_t)3600 * 1000000000)
#define DAY_NS (24 * HOUR_NS)
#define JUMP_NS (25 * HOUR_NS)  /* a day, and the hour that summer time makes of it */
#define THAW_SETS 2u

int64_t
retention_made(int64_t t0_ns, int64_t sealed_ns)
{
	return t0_ns > sealed_ns || PLANTED(age_by_the_collectors_clock) ? t0_ns : sealed_ns;
}

bool
retention_jumped(const struct retention_clock *mark, const struct retention_clock *now)
{
	int64_t moved, passed = 0;

	if (mark->wall_ns == 0)
		return false;
	if (__builtin_sub_overflow(now->wall_ns, mark->wall_ns, &moved))
		return true;
	if (strcmp(mark->boot_id, now->boot_id) == 0)
		passed = now->boot_ns - mark->boot_ns;
	return !PLANTED(clock_jump_ignored) && (moved - passed > JUMP_NS || moved - passed < -JUMP_NS);
}

static size_t
good_above(const struct retention_set *sets, size_t n, uint32_t number)
{
	size_t good = 0;

	for (size_t i = 0; i < n; i++)
		good += (sets[i].good || PLANTED(damaged_set_counted)) && sets[i].number > number;
	return good;
}

struct retention_mark
retention_look(const struct retention_mark *mark, const struct retention_clock *now, const struct retention_set *sets, size_t n)
{
	struct retention_mark next = *mark;

	next.clock = *now;
	if (retention_jumped(&mark->clock, now)) {
		next.frozen = true;
		next.frozen_at = n ? sets[n - 1].number : 0;
	} else if (mark->frozen && good_above(sets, n, mark->frozen_at) >= THAW_SETS) {
		next.frozen = false;
	}
	return next;
}

size_t
retention_pick(const struct retention_set *sets, size_t n, uint32_t keep_days, int64_t now_ns, bool *ret_drop)
{
	size_t need = keep_days < RETENTION_NEWER_MIN ? keep_days : RETENTION_NEWER_MIN;
	size_t dropped = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t age;
		bool old = !__builtin_sub_overflow(now_ns, sets[i].made_ns, &age) && age / DAY_NS >= (int64_t)keep_days;

		ret_drop[i] = keep_days > 0 && old && (good_above(sets, n, sets[i].number) >= need || PLANTED(age_alone_deletes));
		dropped += ret_drop[i];
	}
	return dropped;
}
