/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cli_config - what the command line knows of the two configuration files: which one is meant, is it right, where is its socket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "collector/config.h"
#include "control/api.h"
#include "control/cli.h"
#include "server/config.h"

#define EXIT_WARNINGS 3

static const char *
default_file(enum cli_side side)
{
	return side == CLI_SERVER ? SERVER_CONF_DEFAULT : COLLECTOR_CONF_DEFAULT;
}

/* "[server]", with the blanks that conf allows, and what an editor may put before the first line. */
static bool
is_server_head(const char *line)
{
	const char *at = line + strspn(line, " \t\xef\xbb\xbf");

	if (*at++ != '[')
		return false;
	at += strspn(at, " \t");
	return strncmp(at, "server", 6) == 0 && at[6 + strspn(at + 6, " \t")] == ']';
}

/* Which daemon's file this is, by its sections; CLI_NONE when it cannot be read. */
static enum cli_side
side_of(const char *file)
{
	FILE *f = fopen(file, "re");
	enum cli_side side = CLI_COLLECTOR;
	char *line = NULL;
	size_t cap = 0;

	if (!f)
		return CLI_NONE;
	while (getline(&line, &cap, f) >= 0)
		if (is_server_head(line))
			side = CLI_SERVER;
	free(line);
	fclose(f);
	return side;
}

static int
load(const char *file, enum cli_side side, struct conf **ret_conf)
{
	return side == CLI_SERVER ? server_config_load(file, ret_conf) : collector_config_load(file, ret_conf);
}

static char *
socket_in(const char *run_dir, enum cli_side side)
{
	char *path;

	return asprintf(&path, "%s/%s.sock", run_dir, side == CLI_SERVER ? "server" : "collector") < 0 ? NULL : path;
}

/* The socket that the daemon of this configuration opens. */
static char *
socket_of(const char *file, enum cli_side side, int *ret_err)
{
	struct conf *conf;
	char *path;

	if ((*ret_err = load(file, side, &conf)) != 0)
		return NULL;
	path = socket_in(side == CLI_SERVER ? server_config_main(conf)->run_dir : collector_config_main(conf)->run_dir, side);
	conf_free(conf);
	return path;
}

char *
cli_find_socket(const struct cli *c, enum cli_side side, int *ret_err)
{
	static const enum cli_side order[] = {CLI_COLLECTOR, CLI_SERVER};
	char *found = NULL;

	if (c->socket)
		return strdup(c->socket);
	if (c->config) {
		enum cli_side given = side_of(c->config);

		if (given == CLI_NONE)
			*ret_err = err_set(ERR_CONFIG, "%s: %s", c->config, strerror(errno));
		else if (!(given & side))
			*ret_err = err_set(ERR_USAGE, "this verb is for the %s, but %s is the %s's configuration", side == CLI_SERVER ? "server" : "collector",
			    c->config, given == CLI_SERVER ? "server" : "collector");
		else
			return socket_of(c->config, given, ret_err);
		return NULL;
	}
	for (size_t i = 0; i < 2 && !found; i++) {
		const char *file = default_file(order[i]);

		if (!(side & order[i]))
			continue;
		found = access(file, R_OK) == 0 ? socket_of(file, order[i], ret_err) : socket_in("/run/tidemark", order[i]);
		if (found && access(found, F_OK) != 0 && side == CLI_BOTH && order[i] == CLI_COLLECTOR) {
			free(found);
			found = NULL;
		}
	}
	if (!found && *ret_err != -ERR_CONFIG)
		*ret_err = err_set(ERR_UNREACHABLE, "no daemon was found on this host; name its configuration with --config FILE");
	return found;
}

/* ---- config verbs ---- */

/* The files a verb is about: --config's, or the defaults that exist, or the one that is named.  A verb gives 0, an error, or an exit
 * status of its own. */
static int
each_file(const struct cli *c, int (*verb)(const struct cli *c, const char *file, enum cli_side side))
{
	static const enum cli_side sides[] = {CLI_COLLECTOR, CLI_SERVER};
	const char *named = cli_word(c, 0);
	int worst = 0, n = 0;

	if (named && strcmp(named, "collector") != 0 && strcmp(named, "server") != 0) {
		err_set(ERR_USAGE, "\"%s\" is neither collector nor server", named);
		return cli_failed(c, -ERR_USAGE);
	}
	if (c->config) {
		enum cli_side side = named ? (strcmp(named, "server") == 0 ? CLI_SERVER : CLI_COLLECTOR) : side_of(c->config);
		int err = verb(c, c->config, side == CLI_NONE ? CLI_COLLECTOR : side);

		return err < 0 ? cli_failed(c, err) : err;
	}
	for (size_t i = 0; i < 2; i++) {
		bool wanted = named ? strcmp(named, sides[i] == CLI_SERVER ? "server" : "collector") == 0 : access(default_file(sides[i]), F_OK) == 0;
		int err = wanted ? verb(c, default_file(sides[i]), sides[i]) : 0;

		n += wanted;
		if (err)
			worst = err < 0 ? cli_failed(c, err) : worst ? worst : err;
	}
	if (n == 0) {
		err_set(ERR_CONFIG, "there is neither %s nor %s; name a file with --config", COLLECTOR_CONF_DEFAULT, SERVER_CONF_DEFAULT);
		return cli_failed(c, -ERR_CONFIG);
	}
	return worst;
}

static const char *
side_name(enum cli_side side)
{
	return side == CLI_SERVER ? "server" : "collector";
}

/* Prints the object; takes it. */
static void
print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static json_t *
about_file(const char *file, enum cli_side side)
{
	json_t *o = api_object("config");

	json_object_set_new(o, "file", api_name(file));
	json_object_set_new(o, "side", json_string(side_name(side)));
	return o;
}

/* What is right as a file and yet will not do what it says. */
struct findings {
	const struct cli *c;
	const char *file;
	json_t *list;
};

static void
add_finding(int line, const char *key, const char *text, void *arg)
{
	struct findings *f = arg;
	json_t *o = json_object();

	if (!f->c->json)
		fprintf(stderr, "%s:%d: %s: %s\n", f->file, line, key, text);
	json_object_set_new(o, "line", json_integer(line));
	json_object_set_new(o, "key", json_string(key));
	json_object_set_new(o, "text", api_text(text));
	json_array_append_new(f->list, o);
}

static void
look_around(struct findings *f, const struct conf *conf, enum cli_side side)
{
	if (side == CLI_COLLECTOR)
		collector_config_look(conf, add_finding, f);
	else if (server_config_idle(conf))
		add_finding(conf_line(conf, conf_nth(conf, "server", 0), "web"), "web", server_config_idle(conf), f);
}

static int
validate(const struct cli *c, const char *file, enum cli_side side)
{
	struct findings f = {.c = c, .file = file};
	struct conf *conf;
	size_t n;
	int err = load(file, side, &conf);

	if (err)
		return err;
	f.list = json_array();
	look_around(&f, conf, side);
	conf_free(conf);
	n = json_array_size(f.list);
	if (c->json) {
		json_t *o = about_file(file, side);

		json_object_set(o, "warnings", f.list);
		json_object_set_new(o, "good", json_true());
		print_json(o);
	} else if (n) {
		fprintf(stderr, "%s: good as a file, but %zu thing%s on this host %s not as it says\n", file, n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
	} else {
		fprintf(stderr, "%s: good\n", file);
	}
	json_decref(f.list);
	return n ? EXIT_WARNINGS : 0;
}

static void
tell_value(const struct conf_section *s, const char *key, const char *value, const char *origin, void *arg)
{
	json_t *o = json_object();

	json_object_set_new(o, "section", json_string(s->section));
	json_object_set_new(o, "name", s->name ? api_text(s->name) : json_null());
	json_object_set_new(o, "key", json_string(key));
	json_object_set_new(o, "value", value ? api_text(value) : json_null());
	json_object_set_new(o, "origin", origin ? api_text(origin) : json_string("default"));
	json_array_append_new(arg, o);
}

static int
show(const struct cli *c, const char *file, enum cli_side side)
{
	struct conf *conf;
	int err = load(file, side, &conf);

	if (err)
		return err;
	if (c->json) {
		json_t *o = about_file(file, side), *values = json_array();

		conf_each(conf, tell_value, values);
		json_object_set_new(o, "values", values);
		print_json(o);
	} else {
		conf_show(conf, stdout);
	}
	conf_free(conf);
	return 0;
}

int
cli_config_validate(const struct cli *c)
{
	return each_file(c, validate);
}

int
cli_config_show(const struct cli *c)
{
	return each_file(c, show);
}

int
cli_config_generate(const struct cli *c)
{
	const char *side = cli_word(c, 0);
	bool server = strcmp(side, "server") == 0;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (!server && strcmp(side, "collector") != 0) {
		err_set(ERR_USAGE, "\"%s\" is neither collector nor server", side);
		return cli_failed(c, -ERR_USAGE);
	}
	out = open_memstream(&text, &len);
	if (!out) {
		err_set(ERR_NOMEM, "out of memory");
		return cli_failed(c, -ERR_NOMEM);
	}
	conf_generate(server ? &server_conf_table : &collector_conf_table, server ? "tidemark server" : "tidemark collector", out);
	fclose(out);
	if (c->json) {
		json_t *o = api_object("config");

		json_object_set_new(o, "side", json_string(side));
		json_object_set_new(o, "text", json_string(text));
		print_json(o);
	} else {
		fputs(text, stdout);
	}
	free(text);
	return 0;
}
