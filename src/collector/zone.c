/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * zone - civil time of any zone: TZif files and POSIX TZ footers (RFC 8536), declared in schedule.h.
 *
 * The C library knows one zone a process and switches it through the environment, which no thread may read meanwhile; a
 * collector has a zone a profile.  So we read the file ourselves: the transitions it lists, then the footer's rule for
 * all later years (Debian's files list hardly any transition after the rule began).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/planted.h"
#include "collector/schedule.h"

#define ZONE_FILE_MAX (256u * 1024u)
#define TRANSITIONS_MAX 4096u
#define TYPES_MAX 256u
#define DAY_S 86400

/* One end of daylight saving in a footer: Mm.w.d, Jn or n, at a time of day. */
struct rule_day {
	char kind; /* 'M', 'J', '0' */
	int month, week, weekday, day;
	int32_t time_s;
};

struct zone {
	size_t n;
	int64_t *at;       /* transition times, rising */
	int32_t *offset;   /* UTC offset from that transition on */
	int32_t first_offset;
	bool has_rule, has_dst;
	int32_t standard, daylight; /* the footer's offsets */
	struct rule_day start, end;
};

/* ---- days ---- */

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t
days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static void
civil_from_days(int64_t z, struct civil *c)
{
	z += 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c->year = (int)(yoe + era * 400 + (c->month <= 2));
}

static int
weekday_of_days(int64_t days)
{
	return (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

static bool
leap(int64_t y)
{
	return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* ---- the footer: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static const char *
skip_name(const char *p)
{
	if (*p == '<') {
		const char *close = strchr(p, '>');
		return close ? close + 1 : NULL;
	}
	size_t n = strcspn(p, "+-0123456789,");
	return n ? p + n : NULL;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static const char *
parse_hms(const char *p, int32_t *ret_s)
{
	int sign = 1, n = 0;
	unsigned h = 0, m = 0, s = 0;

	if (*p == '+' || *p == '-')
		sign = *p++ == '-' ? -1 : 1;
	if (sscanf(p, "%3u%n", &h, &n) != 1 || h > 167)
		return NULL;
	p += n;
	if (*p == ':' && sscanf(p, ":%2u%n", &m, &n) == 1)
		p += n;
	if (*p == ':' && sscanf(p, ":%2u%n", &s, &n) == 1)
		p += n;
	*ret_s = sign * (int32_t)(h * 3600 + m * 60 + s);
	return p;
}

static const char *
parse_rule_day(const char *p, struct rule_day *r)
{
	int n = 0;

	*r = (struct rule_day){.kind = *p == 'M' || *p == 'J' ? *p : '0', .time_s = 7200};
	if (r->kind == 'M') {
		if (sscanf(p, "M%2d.%1d.%1d%n", &r->month, &r->week, &r->weekday, &n) != 3 || r->month < 1 || r->month > 12)
			return NULL;
	} else if (sscanf(p + (r->kind == 'J'), "%3d%n", &r->day, &n) == 1) {
		n += r->kind == 'J';
	} else {
		return NULL;
	}
	p += n;
	return *p == '/' ? parse_hms(p + 1, &r->time_s) : p;
}

static bool
parse_footer(struct zone *z, const char *p)
{
	int32_t west;

	if (!(p = skip_name(p)) || !(p = parse_hms(p, &west)))
		return false;
	z->standard = -west;
	z->has_rule = true;
	if (!*p)
		return true;
	if (!(p = skip_name(p)))
		return false;
	z->daylight = z->standard + 3600;
	if (*p && *p != ',') {
		if (!(p = parse_hms(p, &west)))
			return false;
		z->daylight = -west;
	}
	if (*p != ',' || !(p = parse_rule_day(p + 1, &z->start)) || *p != ',' || !(p = parse_rule_day(p + 1, &z->end)))
		return false;
	z->has_dst = true;
	return *p == '\0';
}

/* Seconds since 1970 of the rule in a year, on a clock that shows \`offset\`. */
static int64_t
rule_at(const struct rule_day *r, int year, int32_t offset)
{
	int64_t day;

	if (r->kind == 'M') {
		int64_t first = days_from_civil(year, r->month, 1);
		int64_t next_month = r->month == 12 ? days_from_civil(year + 1, 1, 1) : days_from_civil(year, r->month + 1, 1);

		day = first + (r->weekday - weekday_of_days(first) + 7) % 7 + 7 * (r->week - 1);
		while (day >= next_month)
			day -= 7;
	} else {
		day = days_from_civil(year, 1, 1) + r->day;
		if (r->kind == 'J') /* 1..365, 29 February never counted */
			day += leap(year) && r->day >= 60 ? 0 : -1;
	}
	return day * DAY_S + r->time_s - offset;
}

static int32_t
rule_offset(const struct zone *z, int64_t unix_s)
{
	struct civil c;

	if (!z->has_dst)
		return z->standard;
	civil_from_days((unix_s + z->standard) / DAY_S - ((unix_s + z->standard) % DAY_S < 0), &c);
	int64_t start = rule_at(&z->start, c.year, z->standard), end = rule_at(&z->end, c.year, z->daylight);
	bool daylight = start < end ? unix_s >= start && unix_s < end : unix_s >= start || unix_s < end;

	return daylight ? z->daylight : z->standard;
}

/* ---- TZif ---- */

static int64_t
big_endian(const uint8_t *p, size_t width)
{
	uint64_t v = width == 4 && (p[0] & 0x80) ? UINT64_MAX : 0;

	for (size_t i = 0; i < width; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

struct tzif_head {
	size_t isut, isstd, leaps, times, types, chars;
};

/* Length of the data block that follows a head, with times of \`width\` bytes. */
static size_t
block_len(const struct tzif_head *h, size_t width)
{
	return h->times * width + h->times + h->types * 6 + h->chars + h->leaps * (width + 4) + h->isstd + h->isut;
}

static bool
read_head(const uint8_t *data, size_t len, struct tzif_head *h)
{
	if (len < 44 || memcmp(data, "TZif", 4) != 0)
		return false;
	size_t *const counts[] = {&h->isut, &h->isstd, &h->leaps, &h->times, &h->types, &h->chars};
	for (size_t i = 0; i < 6; i++)
		*counts[i] = (size_t)(uint32_t)big_endian(data + 20 + 4 * i, 4);
	return h->times <= TRANSITIONS_MAX && h->types >= 1 && h->types <= TYPES_MAX && h->chars <= 4096 && h->leaps <= 4096 &&
	    h->isut <= TYPES_MAX && h->isstd <= TYPES_MAX;
}

static bool
read_transitions(struct zone *z, const uint8_t *p, const struct tzif_head *h)
{
	const uint8_t *indexes = p + h->times * 8, *types = indexes + h->times;

	z->n = h->times;
	z->at = calloc(h->times + 1, sizeof *z->at);
	z->offset = calloc(h->times + 1, sizeof *z->offset);
	if (!z->at || !z->offset)
		return false;
	z->first_offset = (int32_t)big_endian(types, 4);
	for (size_t i = 0; i < h->times; i++) {
		if (indexes[i] >= h->types)
			return false;
		z->at[i] = big_endian(p + i * 8, 8);
		z->offset[i] = (int32_t)big_endian(types + (size_t)indexes[i] * 6, 4);
	}
	return true;
}

static bool
parse_tzif(struct zone *z, const uint8_t *data, size_t len)
{
	struct tzif_head h;
	char footer[128];

	if (!read_head(data, len, &h) || data[4] < '2')
		return false;
	size_t skip = 44 + block_len(&h, 4);
	if (skip > len || !read_head(data + skip, len - skip, &h) || 44 + block_len(&h, 8) > len - skip)
		return false;
	const uint8_t *block = data + skip + 44, *foot = block + block_len(&h, 8);
	size_t left = len - (size_t)(foot - data);
	if (!read_transitions(z, block, &h))
		return false;
	if (left < 2 || foot[0] != '\n')
		return true;
	const uint8_t *close = memchr(foot + 1, '\n', left - 1);
	if (!close || (size_t)(close - foot) > sizeof footer)
		return false;
	memcpy(footer, foot + 1, (size_t)(close - foot) - 1);
	footer[close - foot - 1] = '\0';
	return !*footer || parse_footer(z, footer);
}

static bool
name_is_safe(const char *name)
{
	return *name && *name != '/' && !strstr(name, "..") && strlen(name) < 64 &&
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == strlen(name);
}

/* Reads the zone's file; the links below the zone database belong to the system and are followed.  < 0: errno. */
static ssize_t
read_zone_file(const char *path, uint8_t *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return -1;
	while (len < size && (n = read(fd, buf + len, size - len)) > 0)
		len += (size_t)n;
	close(fd);
	return (ssize_t)len;
}

int
zone_load(const char *name, struct zone **ret_zone)
{
	bool local = strcmp(name, "local") == 0;
	char path[128];
	struct zone *z = calloc(1, sizeof *z);
	uint8_t *data = malloc(ZONE_FILE_MAX);
	int err = z && data ? 0 : err_set(ERR_NOMEM, "reading the time zone %s", name);

	if (err == 0 && !local && !name_is_safe(name))
		err = err_set(ERR_CONFIG, "\"%s\" is not a time zone's name (\"local\", or as in Europe/Berlin)", name);
	if (err == 0) {
		snprintf(path, sizeof path, local ? "/etc/localtime" : "/usr/share/zoneinfo/%s", name);
		ssize_t len = read_zone_file(path, data, ZONE_FILE_MAX);
		bool utc = local || strcmp(name, "UTC") == 0; /* a host without zone files runs on UTC */

		if (len < 0 && errno == ENOENT && utc)
			parse_footer(z, "UTC0");
		else if (len < 0)
			err = err_set(ERR_CONFIG, "time zone \"%s\": %s: %s (is the package tzdata installed?)", name, path, strerror(errno));
		else if (!parse_tzif(z, data, (size_t)len))
			err = err_set(ERR_CONFIG, "time zone \"%s\": %s is not a time zone file", name, path);
	}
	free(data);
	if (err) {
		zone_free(z);
		return err;
	}
	*ret_zone = z;
	return 0;
}

void
zone_free(struct zone *z)
{
	if (!z)
		return;
	free(z->at);
	free(z->offset);
	free(z);
}

/* ---- questions ---- */

static int32_t
offset_at(const struct zone *z, int64_t unix_s)
{
	size_t low = 0, high = z->n; /* the number of transitions at or before unix_s */

	if (z->has_rule && (z->n == 0 || unix_s >= z->at[z->n - 1]))
		return rule_offset(z, unix_s);
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (z->at[mid] <= unix_s)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? z->offset[low - 1] : z->first_offset;
}

void
zone_civil(const struct zone *z, int64_t unix_s, struct civil *ret_civil)
{
	int32_t offset = PLANTED(day_of_utc) ? 0 : offset_at(z, unix_s);
	int64_t shown = unix_s + offset;
	int64_t days = shown / DAY_S - (shown % DAY_S < 0);
	int second = (int)(shown - days * DAY_S);

	civil_from_days(days, ret_civil);
	ret_civil->hour = second / 3600;
	ret_civil->minute = second / 60 % 60;
	ret_civil->second = second % 60;
	ret_civil->weekday = weekday_of_days(days);
	ret_civil->utc_offset_s = offset;
}

int64_t
zone_unix(const struct zone *z, int year, int month, int day, int hour, int minute)
{
	int64_t shown = days_from_civil(year, month, day) * DAY_S + hour * 3600 + minute * 60;
	/* The offsets in force a day before and a day after frame any change; trying the earlier one first finds the first
	 * of two moments that show the same time, and the moment as far after midnight of one that is skipped. */
	int32_t before = offset_at(z, shown - DAY_S), after = offset_at(z, shown + DAY_S);

	if (offset_at(z, shown - before) == before || offset_at(z, shown - after) != after)
		return shown - before;
	return shown - after;
}

uint32_t
civil_date(const struct civil *c)
{
	return (uint32_t)(c->year * 10000 + c->month * 100 + c->day);
}
