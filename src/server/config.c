/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config - the table of the server's keys; a profile needs no section of its own. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "server/config.h"
#include "wire/identity.h"

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

static bool
is_address(const char *value)
{
	const char *colon = strrchr(value, ':');
	char *end = NULL;
	long port = colon ? strtol(colon + 1, &end, 10) : -1;

	return colon && colon > value && end != colon + 1 && !*end && port >= 0 && port < 65536;
}

static const char *
check_listen(const char *value)
{
	return is_address(value) ? NULL : "not an address (host:port, as in 0.0.0.0:7460 or [::]:7460)";
}

static const char *
check_web(const char *value)
{
	return strcmp(value, "off") == 0 || is_address(value) ? NULL : "neither \"off\" nor an address (host:port)";
}

static const char *
check_reached(const char *value)
{
	return strcmp(value, "auto") == 0 || is_address(value) ? NULL : "neither \"auto\" nor an address (host:port)";
}

static const char *
check_absolute(const char *value)
{
	return *value == '/' ? NULL : "not an absolute path";
}

static const char *
check_releases(const char *value)
{
	return strcmp(value, "off") == 0 || *value == '/' ? NULL : "neither \"off\" nor an absolute path";
}

#define MAIN(field) offsetof(struct server_config, field)
#define PROFILE(field) offsetof(struct server_profile_config, field)

static const struct conf_key keys[] = {
    {.section = "server", .key = "listen", .type = CONF_STRING, .offset = MAIN(listen), .fallback = "0.0.0.0:7460", .check = check_listen,
        .help = "where collectors connect, TLS 1.3 only; port 0 takes a free one"},
    {.section = "server", .key = "store", .type = CONF_STRING, .offset = MAIN(store), .fallback = "/var/lib/tidemark", .check = check_absolute,
        .help = "replicas and backup sets, one folder a profile; best a file system of its own"},
    {.section = "server", .key = "run-dir", .type = CONF_STRING, .offset = MAIN(run_dir), .fallback = "/run/tidemark", .check = check_absolute,
        .help = "control socket: server.sock"},
    {.section = "server", .key = "user", .type = CONF_STRING, .offset = MAIN(user), .fallback = "tidemark",
        .help = "whom a server that root starts becomes, to listen to the network; root = stay root, as when there is no such user"},
    {.section = "server", .key = "keeper-user", .type = CONF_STRING, .offset = MAIN(keeper_user), .fallback = "tidemark-keeper",
        .help = "as whom its keeper seals, keeps and restores sets, out of the reach of user; root = both stay root"},
    {.section = "server", .key = "web", .type = CONF_STRING, .offset = MAIN(web), .fallback = "off", .check = check_web,
        .help = "address of the status page and metrics, once there is one; an address is warned of, and nothing listens there"},
    {.section = "server", .key = "address", .type = CONF_STRING, .offset = MAIN(address), .fallback = "auto", .check = check_reached, .reload = true,
        .help = "how collectors reach this server, carried by enrolment tokens; auto = host name and the port of listen"},
    {.section = "server", .key = "releases", .type = CONF_STRING, .offset = MAIN(releases), .fallback = "off", .check = check_releases,
        .help = "folder of signed releases (*.release) that collectors may upgrade themselves to"},
    {.section = "server", .key = "log-level", .type = CONF_ENUM, .offset = MAIN(log_level), .fallback = "info", .words = levels, .reload = true,
        .help = "debug tells every step"},

    {.section = "profile", .named = true, .key = "keep-days", .type = CONF_INT, .offset = PROFILE(keep_days), .fallback = "14", .min = 1, .max = 3650,
        .reload = true, .help = "sets older than this are removed, never the newest verified ones"},
    {.section = "profile", .named = true, .key = "late", .type = CONF_DURATION, .offset = PROFILE(late_ms), .fallback = "26h", .min = 60000,
        .max = 365ll * 86400000, .reload = true, .help = "a newest set older than this makes status \"late\", once a run of the schedule is two hours overdue, too"},
    {.section = "profile", .named = true, .key = "notify", .type = CONF_STRING, .offset = PROFILE(notify), .fallback = "off", .reload = true,
        .help = "command told of failed and late sets through TIDEMARK_* variables"},
};

static void
check_together(const struct conf *c, struct conf_check *check)
{
	const struct conf_section *s;

	for (size_t i = 0; (s = conf_nth(c, "profile", i)); i++)
		if (s->name && *s->name && !identity_name_valid(s->name))
			conf_wrong(check, s, NULL, "not a profile's name (letters, digits, . _ -, at most %u, beginning with a letter or digit)", IDENTITY_NAME_MAX);
}

const struct conf_table server_conf_table = {keys, sizeof keys / sizeof *keys, check_together};

const struct conf_shape server_conf_shapes[] = {
    {"server", sizeof(struct server_config), true},
    {"profile", sizeof(struct server_profile_config), false},
    {NULL, 0, false},
};

static char off[] = "off";
static const struct server_profile_config profile_defaults = {.keep_days = 14, .late_ms = 26ll * 3600000, .notify = off};

int
server_config_load(const char *file, struct conf **ret_conf)
{
	return conf_load(file, &server_conf_table, server_conf_shapes, ret_conf);
}

const char *
server_config_idle(const struct conf *c)
{
	return strcmp(server_config_main(c)->web, "off") == 0 ? NULL
	    : "there is no status page yet: nothing listens at the address of web; ask `tidemark status`, and write \"off\"";
}

const struct server_config *
server_config_main(const struct conf *c)
{
	return conf_nth(c, "server", 0)->values;
}

const struct server_profile_config *
server_config_profile(const struct conf *c, const char *name)
{
	const struct conf_section *s;

	for (size_t i = 0; (s = conf_nth(c, "profile", i)); i++)
		if (strcmp(s->name, name) == 0)
			return s->values;
	return &profile_defaults;
}
