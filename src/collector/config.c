/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config - the table of the collector's keys, and what a table of single keys cannot say: how they must fit together. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "collector/config.h"
#include "collector/schedule.h"

#define PROFILE_NAME_MAX 32u

static const char *const types[] = {"post-office", "domain", NULL};
_Static_assert(LAYOUT_TYPES == 2, "every type has its word");
static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

static const char *
check_address(const char *value)
{
	const char *colon = strrchr(value, ':');
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;

	return colon && colon > value && end && *end == '\0' && port > 0 && port < 65536 ? NULL : "is not an address (host:port, as in backup.example.org:7460)";
}

static const char *
check_absolute(const char *value)
{
	return *value == '/' ? NULL : "is not an absolute path";
}

static const char *
check_keys(const char *value)
{
	return strcmp(value, "off") == 0 || *value == '/' ? NULL : "is neither \"off\" nor an absolute path";
}

static const char *
check_zone(const char *value)
{
	struct zone *zone;

	if (zone_load(value, &zone) != 0)
		return "is not a time zone (\"local\", or a name as in Europe/Berlin)";
	zone_free(zone);
	return NULL;
}

/* 20 was to be 20M: at less nothing would ever get through. */
static const char *
check_rate(const char *value)
{
	unsigned long rate = value[strspn(value, "0123456789")] ? 0 : strtoul(value, NULL, 10);

	return rate && rate < 1024 ? "is bytes per second, and less than 1K (20M is 20 MiB per second)" : NULL;
}

#define MAIN(field) offsetof(struct collector_config, field)
#define PROFILE(field) offsetof(struct profile_config, field)

static const struct conf_key keys[] = {
    {.section = "collector", .key = "server", .type = CONF_STRING, .offset = MAIN(server), .check = check_address,
        .help = "where the tidemark server listens: host:port"},
    {.section = "collector", .key = "state", .type = CONF_STRING, .offset = MAIN(state), .fallback = "/var/lib/tidemark-collector",
        .check = check_absolute, .help = "journal, keys and local staging; a file system with room for a copy of the databases, never inside a watched tree"},
    {.section = "collector", .key = "run-dir", .type = CONF_STRING, .offset = MAIN(run_dir), .fallback = "/run/tidemark",
        .check = check_absolute, .help = "control socket: collector.sock"},
    {.section = "collector", .key = "log-level", .type = CONF_ENUM, .offset = MAIN(log_level), .fallback = "info", .words = levels,
        .reload = true, .help = "debug tells every step"},
    {.section = "collector", .key = "workers", .type = CONF_INT, .offset = MAIN(workers), .fallback = "2", .min = 1, .max = 16,
        .help = "threads that read and hash; more help on fast disks with idle processors"},
    {.section = "collector", .key = "upgrade-keys", .type = CONF_STRING, .offset = MAIN(upgrade_keys), .fallback = "off", .check = check_keys,
        .help = "keys that sign releases; with such a file the collector upgrades itself from the server"},

    {.section = "profile", .named = true, .key = "type", .type = CONF_ENUM, .offset = PROFILE(type), .fallback = "post-office", .words = types,
        .help = "what lies at path"},
    {.section = "profile", .named = true, .key = "path", .type = CONF_STRING, .offset = PROFILE(path), .check = check_absolute,
        .help = "the live post office or domain; it is only read"},
    {.section = "profile", .named = true, .key = "schedule", .type = CONF_LIST, .offset = PROFILE(schedule), .fallback = "Mon..Fri 22:30",
        .check = schedule_check, .reload = true, .help = "when the Standard backup runs; may repeat; \"off\" = by hand only"},
    {.section = "profile", .named = true, .key = "timezone", .type = CONF_STRING, .offset = PROFILE(timezone), .fallback = "local",
        .check = check_zone, .reload = true, .help = "whose clock the schedule and the names of sets follow"},
    {.section = "profile", .named = true, .key = "dbcopy", .type = CONF_STRING, .offset = PROFILE(dbcopy), .fallback = "builtin",
        .reload = true, .help = "or a command line: /opt/novell/groupwise/agents/bin/dbcopy -v"},
    {.section = "profile", .named = true, .key = "dbcopy-timeout", .type = CONF_DURATION, .offset = PROFILE(dbcopy_timeout_ms), .fallback = "6h",
        .min = 1000, .max = 7ll * 86400000, .reload = true, .help = "a DBCOPY that takes longer is ended and the backup fails"},
    {.section = "profile", .named = true, .key = "bandwidth", .type = CONF_SIZE, .offset = PROFILE(bandwidth), .fallback = "unlimited",
        .check = check_rate, .reload = true, .help = "20M = MiB per second to the server; live changes obeyed"},
    {.section = "profile", .named = true, .key = "purge-stamp", .type = CONF_STRING, .offset = PROFILE(purge_stamp), .fallback = "off",
        .reload = true, .help = "command run after a sealed set, with T0 in seconds appended: gwtmstmp --postpath /grpwise/po1 --set --backup --gmttime"},
    {.section = "profile", .named = true, .key = "rescan", .type = CONF_DURATION, .offset = PROFILE(rescan_ms), .fallback = "7d",
        .min = 0, .max = 365ll * 86400000, .help = "slow comparison of every name and stat; what it finds is counted as drift; 0s = never"},
    {.section = "profile", .named = true, .key = "index-poll", .type = CONF_DURATION, .offset = PROFILE(index_poll_ms), .fallback = "5m",
        .min = 0, .max = 86400000, .help = "stat of the index files, whose mapped writes raise no event; 0s = never"},
    {.section = "profile", .named = true, .key = "notify", .type = CONF_STRING, .offset = PROFILE(notify), .fallback = "off",
        .reload = true, .help = "command told of failed and warned backups through TIDEMARK_* variables"},
    {.section = "profile", .named = true, .key = "late", .type = CONF_DURATION, .offset = PROFILE(late_ms), .fallback = "26h",
        .min = 60000, .max = 365ll * 86400000, .reload = true, .help = "a newest set older than this makes status \"late\", once a run of the schedule is two hours overdue, too"},
};

const struct conf_shape collector_conf_shapes[] = {
    {"collector", sizeof(struct collector_config), true},
    {"profile", sizeof(struct profile_config), false},
    {NULL, 0, false},
};

bool
profile_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= PROFILE_NAME_MAX && name[0] != '.' && name[0] != '_' && name[0] != '-' &&
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* Folders of ours in `state`, where each profile has one of its name: what is in that of the releases and is none is removed. */
static bool
is_ours(const char *name)
{
	return strcmp(name, "identity") == 0 || strcmp(name, "upgrade") == 0;
}

static bool
lies_in(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	while (len > 1 && dir[len - 1] == '/')
		len--;
	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0' || dir[len - 1] == '/');
}

static void
check_together(const struct conf *c, struct conf_check *check)
{
	const struct conf_section *main = conf_nth(c, "collector", 0), *s;
	const char *state = main ? ((const struct collector_config *)main->values)->state : NULL;

	for (size_t i = 0; (s = conf_nth(c, "profile", i)); i++) {
		const char *path = ((const struct profile_config *)s->values)->path;

		if (s->name && *s->name && !profile_name_valid(s->name))
			conf_wrong(check, s, NULL, "not a profile's name (letters, digits, . _ -, at most %u, beginning with a letter or digit)", PROFILE_NAME_MAX);
		else if (s->name && is_ours(s->name))
			conf_wrong(check, s, NULL, "is the name of a folder of our own in state (give the profile another)");
		if (state && path && lies_in(state, path))
			conf_wrong(check, main, "state", "%s lies inside the watched tree %s: our own writes would be backed up (put it elsewhere)", state, path);
	}
}

const struct conf_table collector_conf_table = {keys, sizeof keys / sizeof *keys, check_together};

int
collector_config_load(const char *file, struct conf **ret_conf)
{
	return conf_load(file, &collector_conf_table, collector_conf_shapes, ret_conf);
}

const struct collector_config *
collector_config_main(const struct conf *c)
{
	return conf_nth(c, "collector", 0)->values;
}

const struct profile_config *
collector_config_profile(const struct conf *c, const char *name)
{
	const struct conf_section *s;

	for (size_t i = 0; (s = conf_nth(c, "profile", i)); i++)
		if (strcmp(s->name, name) == 0)
			return s->values;
	return NULL;
}

char *
collector_profile_dir(const struct conf *c, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", collector_config_main(c)->state, name) < 0 ? NULL : path;
}
