/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * overdue - from when on a profile's newest set is too old: the one rule of both sides.  Pure; all times are ns since 1970 UTC.
 *
 * A set may be as old as `late` says, counted from its sealing; and where a schedule is known, it is not too old before the first run
 * after its T0 is OVERDUE_GRACE_NS past its time.  So a Friday's set lasts over the weekend, and a run that was missed shows the same
 * night.
 */
#ifndef BASE_OVERDUE_H
#define BASE_OVERDUE_H

#include <stdint.h>

#define OVERDUE_GRACE_NS (2ll * 3600 * 1000000000)
/* No schedule has a longer pause than a week; a `due` later than this after the sealing is not believed. */
#define OVERDUE_DUE_MAX_NS (8ll * 86400 * 1000000000)

/* `t0_ns` and `sealed_ns` of the newest set, or both the moment from which one is expected; `due_ns` of the first run after T0, 0 = not
 * known, or no schedule. */
int64_t overdue_from(int64_t t0_ns, int64_t sealed_ns, int64_t due_ns, int64_t late_ns);

#endif
