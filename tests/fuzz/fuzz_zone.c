/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_zone - a file of the zone database, and times and a schedule on its clock.
 *
 * Input: the moment (i64), the schedule's line to its end, the file.  Whatever a zone says: a date has a weekday, and the
 * next slot is late exactly when it is past.
 */
#include "collector/zone.c"

#include "base/conf.h"
#include "tests/fuzz/fuzz.h"

static void
ask(const struct zone *z, int64_t now_s, char *line)
{
	struct conf_list lines = {.items = &line, .n = 1};
	struct schedule *schedule;
	struct schedule_slot slot;
	struct civil c;

	zone_civil(z, now_s, &c);
	MUST(c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= 31 && c.weekday >= 0 && c.weekday <= 6);
	MUST(c.hour >= 0 && c.hour < 24 && c.minute >= 0 && c.minute < 60 && c.second >= 0 && c.second < 60);
	if (schedule_parse(&lines, &schedule) != 0)
		return;
	if (schedule_next(schedule, z, now_s, 0, &slot))
		MUST(slot.at_s > now_s && !slot.late);
	if (schedule_next(schedule, z, now_s, now_s / 2, &slot))
		MUST(slot.late == (slot.at_s <= now_s));
	schedule_free(schedule);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);
	int64_t now_s = unpack_i64(&in);
	char *line = fuzz_text(&in);
	size_t line_len = strcspn(line, "\n");
	struct zone *z = calloc(1, sizeof *z);

	line[line_len] = '\0';
	in.pos += in.len - in.pos > line_len ? line_len + 1 : line_len;
	MUST(z);
	/* Years of four digits, as a host's clock may show them. */
	if (!in.failed && now_s >= -62135596800 && now_s <= 253402300799 && parse_tzif(z, data + in.pos, len - in.pos))
		ask(z, now_s, line);
	zone_free(z);
	free(line);
	return 0;
}
