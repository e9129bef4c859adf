/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedule - which slot comes next, given rules, a zone, the time and the last slot that ran.  Pure. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/planted.h"
#include "collector/schedule.h"

#define RULES_MAX 64u
#define LOOK_AHEAD_DAYS 8 /* a rule names at least one weekday, so it has a slot within a week */
#define DAY_S 86400

struct rule {
	uint8_t days; /* bit 0 = Sunday */
	int hour, minute;
};

struct schedule {
	size_t n;
	struct rule rules[RULES_MAX];
};

static int
parse_day(const char *p, size_t len)
{
	static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

	for (int i = 0; i < 7; i++)
		if (len == 3 && strncasecmp(names[i], p, 3) == 0)
			return i;
	return -1;
}

/* `Mon`, `Mon..Fri`, joined by commas. */
static bool
parse_days(const char *p, size_t len, uint8_t *ret_days)
{
	uint8_t days = 0;

	for (const char *end = p + len; p < end;) {
		size_t n = 0;
		while (p + n < end && p[n] != ',')
			n++;
		int first = parse_day(p, n < 3 ? n : 3), last = first;

		if (n == 8 && strncmp(p + 3, "..", 2) == 0)
			last = parse_day(p + 5, 3);
		else if (n != 3)
			return false;
		if (first < 0 || last < 0)
			return false;
		for (int d = first;; d = (d + 1) % 7) {
			days |= (uint8_t)(1u << d);
			if (d == last)
				break;
		}
		p += n + (p + n < end);
	}
	*ret_days = days;
	return days != 0;
}

static bool
parse_rule(const char *line, struct rule *r)
{
	const char *time = strrchr(line, ' ');
	int used = 0;

	r->days = 0x7f;
	if (time) {
		size_t len = (size_t)(time - line);

		while (len && line[len - 1] == ' ')
			len--;
		if (!parse_days(line, len, &r->days))
			return false;
		time++;
	} else {
		time = line;
	}
	return sscanf(time, "%2d:%2d%n", &r->hour, &r->minute, &used) == 2 && time[used] == '\0' && used >= 4 && r->hour >= 0 &&
	    r->hour < 24 && r->minute >= 0 && r->minute < 60 && time[0] >= '0' && time[0] <= '9';
}

const char *
schedule_check(const char *line)
{
	struct rule r;

	return strcmp(line, "off") == 0 || parse_rule(line, &r) ? NULL : "is not a time (\"Mon..Fri 22:30\", \"Mon,Thu 06:00\", \"22:30\" or \"off\")";
}

int
schedule_parse(const struct conf_list *lines, struct schedule **ret_schedule)
{
	struct schedule *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(ERR_NOMEM, "reading the schedule");
	for (size_t i = 0; i < lines->n; i++) {
		bool fits = s->n < RULES_MAX;

		if (strcmp(lines->items[i], "off") == 0)
			continue;
		if (!fits || !parse_rule(lines->items[i], &s->rules[s->n])) {
			free(s);
			return err_set(ERR_CONFIG, "schedule: \"%s\" %s", lines->items[i],
			    fits ? schedule_check(lines->items[i]) : "too many lines (at most 64)");
		}
		s->n++;
	}
	*ret_schedule = s;
	return 0;
}

void
schedule_free(struct schedule *s)
{
	free(s);
}

/* Calls `take` with every slot of the civil days from `first_s` on, `days` of them. */
static void
each_slot(const struct schedule *s, const struct zone *z, int64_t first_s, int days,
    void (*take)(const struct schedule_slot *slot, void *arg), void *arg)
{
	for (int d = 0; d < days; d++) {
		struct civil noon, c;

		/* Noon of the day: a step of 24 h from there never skips a date, whatever DST does. */
		zone_civil(z, first_s, &c);
		zone_civil(z, zone_unix(z, c.year, c.month, c.day, 12, 0) + (int64_t)d * DAY_S, &noon);
		for (size_t i = 0; i < s->n; i++) {
			const struct rule *r = &s->rules[i];
			struct schedule_slot slot = {.date = civil_date(&noon)};

			if (!(r->days >> noon.weekday & 1))
				continue;
			slot.at_s = zone_unix(z, noon.year, noon.month, noon.day, r->hour, r->minute);
			take(&slot, arg);
		}
	}
}

struct search {
	int64_t now_s, last_s;
	bool missed, found;
	struct schedule_slot best;
};

/* The newest slot in (last, now] if there is one, else the first one after now. */
static void
consider(const struct schedule_slot *slot, void *arg)
{
	struct search *f = arg;
	bool due = slot->at_s <= f->now_s;

	if (due && (f->last_s == 0 || (slot->at_s <= f->last_s && !PLANTED(missed_run_twice))))
		return;
	if (!due && (f->missed || slot->at_s <= f->last_s))
		return;
	if (!f->found || (due && !f->missed) || (due ? slot->at_s > f->best.at_s : slot->at_s < f->best.at_s)) {
		f->best = *slot;
		f->best.late = due;
		f->missed = due;
		f->found = true;
	}
}

bool
schedule_next(const struct schedule *s, const struct zone *z, int64_t now_s, int64_t last_slot_s, struct schedule_slot *ret_slot)
{
	struct search f = {.now_s = now_s, .last_s = last_slot_s};

	/* A week back finds any newest missed slot; a clock that was set back has its last slot in the future, and what lies
	 * before that slot has run. */
	each_slot(s, z, now_s - 7 * DAY_S, 7 + LOOK_AHEAD_DAYS, consider, &f);
	if (!f.found && last_slot_s > now_s)
		each_slot(s, z, last_slot_s, LOOK_AHEAD_DAYS, consider, &f);
	if (f.found)
		*ret_slot = f.best;
	return f.found;
}
