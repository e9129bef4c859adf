/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overdue - which of two limits ends later, and that neither is anybody's to move without end. */
#include "base/overdue.h"

int64_t
overdue_from(int64_t t0_ns, int64_t sealed_ns, int64_t due_ns, int64_t late_ns)
{
	int64_t by_age = sealed_ns + late_ns, by_schedule;

	/* Of a schedule that is older than the set nothing is known: the run may have been the one that made it. */
	if (due_ns <= t0_ns)
		return by_age;
	by_schedule = (due_ns < sealed_ns + OVERDUE_DUE_MAX_NS ? due_ns : sealed_ns + OVERDUE_DUE_MAX_NS) + OVERDUE_GRACE_NS;
	return by_age > by_schedule ? by_age : by_schedule;
}
