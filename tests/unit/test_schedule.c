/* SPDX-License-Identifier: GPL-2.0-or-later */
/* schedule - every slot runs once: missed ones late, none twice, through DST and lost days. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/conf.h"
#include "base/err.h"
#include "collector/schedule.h"

static struct zone *
zone(const char *name)
{
	struct zone *z = NULL;

	assert_int_equal(zone_load(name, &z), 0);
	return z;
}

static struct schedule *
schedule(char *line)
{
	struct conf_list lines = {&line, 1};
	struct schedule *s = NULL;

	assert_int_equal(schedule_parse(&lines, &s), 0);
	return s;
}

static void
civil_time_agrees_with_the_c_library(void **state)
{
	static const char *const names[] = {"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata",
	    "America/Sao_Paulo", "Africa/Casablanca", "UTC"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct zone *z = zone(names[i]);

		setenv("TZ", names[i], 1);
		tzset();
		for (time_t t = 1262304000; t < 2208988800; t += 5 * 3600 + 7) {
			struct tm tm;
			struct civil c;

			localtime_r(&t, &tm);
			zone_civil(z, t, &c);
			assert_int_equal(c.utc_offset_s, tm.tm_gmtoff);
			assert_int_equal(civil_date(&c), (tm.tm_year + 1900) * 10000 + (tm.tm_mon + 1) * 100 + tm.tm_mday);
			assert_int_equal(c.hour * 60 + c.minute, tm.tm_hour * 60 + tm.tm_min);
			assert_int_equal(c.weekday, tm.tm_wday);
			assert_true(zone_unix(z, c.year, c.month, c.day, c.hour, c.minute) <= t);
		}
		zone_free(z);
	}
	unsetenv("TZ");
}

static void
a_skipped_time_runs_as_far_after_midnight(void **state)
{
	struct zone *z = zone("Europe/Berlin");
	struct civil c;

	(void)state;
	/* 2027-03-28: 02:00 becomes 03:00. */
	zone_civil(z, zone_unix(z, 2027, 3, 28, 2, 30), &c);
	assert_int_equal(c.hour * 100 + c.minute, 330);
	zone_free(z);
}

static void
a_time_that_comes_twice_runs_the_first_time(void **state)
{
	struct zone *z = zone("Europe/Berlin");
	struct civil c;

	(void)state;
	/* 2027-10-31: 03:00 becomes 02:00. */
	zone_civil(z, zone_unix(z, 2027, 10, 31, 2, 30), &c);
	assert_int_equal(c.utc_offset_s, 7200);
	zone_free(z);
}

static void
mon_to_fri_skips_the_weekend(void **state)
{
	struct zone *z = zone("Europe/Berlin");
	struct schedule *s = schedule((char[]){"Mon..Fri 22:30"});
	struct schedule_slot slot;
	int64_t friday = zone_unix(z, 2026, 2, 13, 22, 30);

	(void)state;
	assert_true(schedule_next(s, z, friday, friday, &slot));
	assert_int_equal(slot.date, 20260216);
	assert_false(slot.late);
	assert_int_equal(slot.at_s, zone_unix(z, 2026, 2, 16, 22, 30));
	schedule_free(s);
	zone_free(z);
}

static void
a_first_start_does_not_run_what_was_due_before(void **state)
{
	struct zone *z = zone("UTC");
	struct schedule *s = schedule((char[]){"22:30"});
	struct schedule_slot slot;

	(void)state;
	assert_true(schedule_next(s, z, zone_unix(z, 2026, 2, 13, 23, 0), 0, &slot));
	assert_int_equal(slot.date, 20260214);
	schedule_free(s);
	zone_free(z);
}

static void
of_missed_slots_the_newest_runs_late_and_once(void **state)
{
	struct zone *z = zone("UTC");
	struct schedule *s = schedule((char[]){"22:30"});
	struct schedule_slot slot;
	int64_t now = zone_unix(z, 2026, 2, 13, 8, 0);

	(void)state;
	assert_true(schedule_next(s, z, now, zone_unix(z, 2026, 2, 9, 22, 30), &slot));
	assert_int_equal(slot.date, 20260212);
	assert_true(slot.late);
	assert_true(schedule_next(s, z, now, slot.at_s, &slot));
	assert_int_equal(slot.date, 20260213);
	assert_false(slot.late);
	schedule_free(s);
	zone_free(z);
}

static void
a_clock_set_back_runs_no_slot_twice(void **state)
{
	struct zone *z = zone("UTC");
	struct schedule *s = schedule((char[]){"22:30"});
	struct schedule_slot slot;

	(void)state;
	assert_true(schedule_next(s, z, zone_unix(z, 2026, 1, 1, 0, 0), zone_unix(z, 2026, 2, 13, 22, 30), &slot));
	assert_int_equal(slot.date, 20260214);
	schedule_free(s);
	zone_free(z);
}

static void
twenty_years_of_days_have_one_slot_each(void **state)
{
	static const char *const names[] = {"Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct zone *z = zone(names[i]);
		struct schedule *s = schedule((char[]){"02:15"});
		struct schedule_slot slot;
		int64_t now = 1262304000, last = now;
		uint32_t date = 0;

		while (now < 1262304000 + 20LL * 365 * 86400) {
			assert_true(schedule_next(s, z, now, last, &slot));
			assert_true(slot.at_s > last);
			assert_true(slot.date > date);
			assert_true(slot.at_s - last <= 50 * 3600); /* Apia left out a day */
			date = slot.date;
			last = now = slot.at_s;
		}
		schedule_free(s);
		zone_free(z);
	}
}

static void
nonsense_is_refused_with_words(void **state)
{
	static const char *const bad[] = {"", "25:00", "22:60", "Mon", "Mon..Fry 22:30", "Mon- 22:30", "2230", "Mon,,Tue 22:30x", "-1:30", ",Mon 1:00"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(schedule_check(bad[i]));
	assert_null(schedule_check("off"));
	assert_null(schedule_check("sat..mon,Wed 06:05"));
	struct zone *z;
	assert_int_equal(zone_load("../../etc/passwd", &z), -ERR_CONFIG);
	assert_int_equal(zone_load("Mars/Olympus", &z), -ERR_CONFIG);
}

static void
off_never_runs(void **state)
{
	struct zone *z = zone("UTC");
	struct schedule *s = schedule((char[]){"off"});
	struct schedule_slot slot;

	(void)state;
	assert_false(schedule_next(s, z, 1770000000, 0, &slot));
	schedule_free(s);
	zone_free(z);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(civil_time_agrees_with_the_c_library),
		cmocka_unit_test(a_skipped_time_runs_as_far_after_midnight),
		cmocka_unit_test(a_time_that_comes_twice_runs_the_first_time),
		cmocka_unit_test(mon_to_fri_skips_the_weekend),
		cmocka_unit_test(a_first_start_does_not_run_what_was_due_before),
		cmocka_unit_test(of_missed_slots_the_newest_runs_late_and_once),
		cmocka_unit_test(a_clock_set_back_runs_no_slot_twice),
		cmocka_unit_test(twenty_years_of_days_have_one_slot_each),
		cmocka_unit_test(nonsense_is_refused_with_words),
		cmocka_unit_test(off_never_runs),
	};
	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
