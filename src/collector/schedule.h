/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * schedule - when the next Standard backup runs.  Pure: time and zone are arguments.
 *
 * Grammar, a subset of systemd's calendar: `[days] HH:MM`, days = `Mon`, `Mon..Fri`, `Mon,Wed,Sat..Sun`, none = every day;
 * several lines; "off".  A *slot* is one rule on one civil date in the zone; it runs at most once, whatever the clock and
 * DST do: a local time that does not exist runs at the same distance after midnight, one that comes twice runs the first time.
 */
#ifndef COLLECTOR_SCHEDULE_H
#define COLLECTOR_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf_list;
struct schedule;
struct zone;

/* ---- civil time: TZif files (RFC 8536) with their POSIX footer, read by us because the C library has one zone a process ---- */

/* "local" = /etc/localtime (UTC when there is none), else a name of the zone database.  -ERR_CONFIG. */
int zone_load(const char *name, struct zone **ret_zone);
void zone_free(struct zone *z);

struct civil {
	int year, month, day; /* month 1..12 */
	int hour, minute, second;
	int weekday;          /* 0 = Sunday */
	int32_t utc_offset_s;
};
void zone_civil(const struct zone *z, int64_t unix_s, struct civil *ret_civil);
/* First moment at which the zone's clocks show this local time; for one that is skipped, the moment as far after midnight. */
int64_t zone_unix(const struct zone *z, int year, int month, int day, int hour, int minute);
uint32_t civil_date(const struct civil *c); /* yyyymmdd */

/* ---- the schedule ---- */

/* -ERR_CONFIG with words.  An empty list or "off" is a schedule that never runs. */
int schedule_parse(const struct conf_list *lines, struct schedule **ret_schedule);
void schedule_free(struct schedule *s);
/* NULL or what is wrong: for the configuration table's check. */
const char *schedule_check(const char *line);

struct schedule_slot {
	int64_t at_s;   /* unix time when due */
	uint32_t date;  /* civil date, yyyymmdd */
	bool late;      /* due in the past: run at once */
};

/* The slot to run next, given the due time of the last slot that ran (0 = none; then nothing before `now_s` counts as
 * missed).  Of several missed slots only the newest is run.  False: never. */
bool schedule_next(const struct schedule *s, const struct zone *z, int64_t now_s, int64_t last_slot_s, struct schedule_slot *ret_slot);

#endif
