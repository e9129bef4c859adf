/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock - what time it is: by the wall, which may jump, and since some moment, which does not.
 *
 * Nothing that waits or measures uses the wall; nothing that is kept uses the other.  Threads: any.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t
clock_read_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Since 1970, UTC. */
static inline int64_t
clock_wall_ns(void)
{
	return clock_read_ns(CLOCK_REALTIME);
}

static inline int64_t
clock_steady_ns(void)
{
	return clock_read_ns(CLOCK_MONOTONIC);
}

static inline int64_t
clock_steady_ms(void)
{
	return clock_steady_ns() / 1000000;
}

/* For futimens and the like; moments before 1970 too, whose nanoseconds still count forwards. */
static inline struct timespec
clock_timespec(int64_t ns)
{
	int64_t rest = ns % 1000000000;

	if (rest < 0)
		rest += 1000000000;
	return (struct timespec){.tv_sec = (ns - rest) / 1000000000, .tv_nsec = rest};
}

/* The name of this life of the kernel: another after every boot. */
#define CLOCK_BOOT_ID 40
int clock_boot_id(char ret_id[CLOCK_BOOT_ID]);

#endif
