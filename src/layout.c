/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout - which file belongs to which area is decided here and nowhere else. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "layout.h"

static const struct layout_row post_office[] = {
	{"index", "ofuser/index", NULL, LAYOUT_INDEX, "gre_data", false},
	{"ofuser", "ofuser", NULL, LAYOUT_SNAPSHOT, "gre_data/sync", true},
	{"ofmsg", "ofmsg", NULL, LAYOUT_SNAPSHOT, "gre_data/sync", true},
	{"offiles", "offiles", NULL, LAYOUT_BLOB, "blobs", true},
	{"ofviews", "ofviews", NULL, LAYOUT_SNAPSHOT, "gre_data/sync", false},
	{"documents", "gwdms/*/docs", NULL, LAYOUT_BLOB, "blobs", false},
	{"documents", "gwdms/*/archive", NULL, LAYOUT_BLOB, "blobs", false},
	{"index", "gwdms/*/index", NULL, LAYOUT_INDEX, "gre_data", false},
	{"libraries", "gwdms", NULL, LAYOUT_SNAPSHOT, "gre_data/sync", false},
	{"root", "", "wphost.db ngwguard.* ngwcheck.db *.dc", LAYOUT_SNAPSHOT, "gre_data/sync", true},
};

static const struct layout_row domain[] = {
	{"root", "", "wpdomain.db wpdomain.dc wphost.dc gwdom.dc gwpo.dc mtaname *.dc", LAYOUT_SNAPSHOT, "gre_data/sync", true},
};

static const struct {
	const char *name;
	const char *root_database;
	const struct layout_row *rows;
	size_t n;
} types[] = {
	[LAYOUT_POST_OFFICE] = {"post-office", "wphost.db", post_office, sizeof post_office / sizeof *post_office},
	[LAYOUT_DOMAIN] = {"domain", "wpdomain.db", domain, sizeof domain / sizeof *domain},
};
_Static_assert(sizeof types / sizeof *types == LAYOUT_TYPES, "every type has its table");

/* DBCOPY's own logs (mmddgwbk.nnn) lie in the root of what it copied to.  Asked of every name of a scan: no pattern for fnmatch. */
static bool
is_never(const char *name)
{
	return strnlen(name, 4) == 4 && strncasecmp(name + 4, "gwbk.", 5) == 0;
}

const struct layout_row *
layout_rows(enum layout_type type, size_t *ret_n)
{
	*ret_n = types[type].n;
	return types[type].rows;
}

static size_t
component_len(const char *path)
{
	return (size_t)(strchrnul(path, '/') - path);
}

/*
 * Eats the components of `dir` from the front of `*path`; true when all of them matched.  Otherwise `*path` stops at the
 * first component that did not match, or at the end of a path that is shorter than `dir`.
 */
static bool
eat_dir(const char *dir, const char **path)
{
	while (*dir) {
		size_t want = component_len(dir), have = component_len(*path);
		bool any = want == 1 && *dir == '*';

		if (!have || (!any && (want != have || strncasecmp(dir, *path, want) != 0)))
			return false;
		dir += want + (dir[want] == '/');
		*path += have + ((*path)[have] == '/');
	}
	return true;
}

static bool
name_matches(const char *patterns, const char *name)
{
	char pattern[64];

	for (const char *p = patterns; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		snprintf(pattern, sizeof pattern, "%.*s", (int)n, p);
		if (fnmatch(pattern, name, FNM_CASEFOLD) == 0)
			return true;
		p += n;
	}
	return false;
}

static bool
row_holds(const struct layout_row *row, const char *path, bool is_dir)
{
	const char *rest = path;

	if (!eat_dir(row->dir, &rest))
		return false;
	if (!row->files)
		return *rest || is_dir;
	return !is_dir && *rest && !strchr(rest, '/') && name_matches(row->files, rest);
}

const struct layout_row *
layout_of(enum layout_type type, const char *path, bool is_dir)
{
	const char *slash = strrchr(path, '/');

	if (!*path || (!is_dir && is_never(slash ? slash + 1 : path)))
		return NULL;
	for (size_t i = 0; i < types[type].n; i++)
		if (row_holds(&types[type].rows[i], path, is_dir))
			return &types[type].rows[i];
	return NULL;
}

/* True when `dir` is a proper ancestor of the row's directory. */
static bool
lies_above(const struct layout_row *row, const char *dir)
{
	const char *want = row->dir;

	while (*dir) {
		size_t w = component_len(want), d = component_len(dir);
		bool any = w == 1 && *want == '*';

		if (!w || (!any && (w != d || strncasecmp(want, dir, w) != 0)))
			return false;
		want += w + (want[w] == '/');
		dir += d + (dir[d] == '/');
	}
	return *want != '\0';
}

enum layout_watch
layout_watch(enum layout_type type, const char *dir)
{
	const struct layout_row *row = layout_of(type, dir, true);

	if (row && row->class == LAYOUT_INDEX)
		return LAYOUT_WATCH_INDEX;
	if (row && row->class == LAYOUT_BLOB)
		return LAYOUT_WATCH_BLOB;
	for (size_t i = 0; i < types[type].n; i++)
		if (types[type].rows[i].class != LAYOUT_SNAPSHOT && lies_above(&types[type].rows[i], dir))
			return LAYOUT_WATCH_NAMES;
	return LAYOUT_WATCH_NONE;
}

/* Writes the fixed names of `dir` over the head of `path` as far as both agree but for case. */
static void
canonical_head(const char *dir, char *path)
{
	while (*dir && *path) {
		size_t want = component_len(dir), have = component_len(path);
		bool any = want == 1 && *dir == '*';

		if (!any && (want != have || strncasecmp(dir, path, want) != 0))
			return;
		if (!any)
			memcpy(path, dir, want);
		dir += want + (dir[want] == '/');
		path += have + (path[have] == '/');
	}
}

void
layout_canonical(enum layout_type type, char *path)
{
	for (size_t i = 0; i < types[type].n; i++)
		canonical_head(types[type].rows[i].dir, path);
}

size_t
layout_fixed_len(enum layout_type type, const char *path)
{
	size_t longest = 0;

	for (size_t i = 0; i < types[type].n; i++) {
		const char *rest = path;
		size_t len;

		(void)eat_dir(types[type].rows[i].dir, &rest);
		len = (size_t)(rest - path);
		len -= len && path[len - 1] == '/';
		longest = len > longest ? len : longest;
	}
	return longest;
}

bool
layout_is_database(const char *path)
{
	return fnmatch("*.db", path, FNM_CASEFOLD) == 0;
}

const char *
layout_root_database(enum layout_type type)
{
	return types[type].root_database;
}

const char *
layout_type_name(enum layout_type type)
{
	return types[type].name;
}

bool
layout_type_from_name(const char *name, enum layout_type *ret_type)
{
	for (int i = 0; i < LAYOUT_TYPES; i++)
		if (strcmp(types[i].name, name) == 0) {
			*ret_type = (enum layout_type)i;
			return true;
		}
	return false;
}

void
layout_day_name(int weekday, int month, int day, char out[16])
{
	static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
	static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"};

	snprintf(out, 16, "%s%s%02d", weekdays[weekday % 7], months[(month + 11) % 12], day % 100);
}
