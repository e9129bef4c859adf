/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli - the table of verbs, and what they share: asking, failing.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/version.h"
#include "control/api.h"
#include "control/cli.h"
#include "control/client.h"
#include "control/progress.h"

/* ---- verbs ---- */

static json_t *
wait_body(const struct cli *c)
{
	return json_pack("{s:b}", "wait", c->wait);
}

/* Asks about a profile; takes `body`. */
static int
ask_profile(const struct cli *c, const char *method, const char *rest, json_t *body, void (*show)(const json_t *),
    int (*status)(const json_t *))
{
	char *path = cli_profile_path(cli_word(c, 0), rest);
	int exit_status = path ? cli_ask(c, method, path, body, show, status) : 1;

	json_decref(body);
	free(path);
	return exit_status;
}

/* Gives an order about a profile; takes `body`.  An order that cannot be said must not become one with less in it. */
static int
order_profile(const struct cli *c, const char *rest, json_t *body, void (*show)(const json_t *), int (*status)(const json_t *))
{
	if (!body) {
		err_set(ERR_USAGE, "%s: a word of it is not UTF-8", c->verb->words);
		return cli_failed(c, -ERR_USAGE);
	}
	return ask_profile(c, "POST", rest, body, show, status);
}

/* Of a collector that cannot upgrade itself: degraded, however well the backup goes. */
static int
upgrade_state(const json_t *upgrade)
{
	const char *state = json_string_value(json_object_get(upgrade, "state"));

	return state && strcmp(state, "ok") != 0 ? 4 : 0;
}

static int
worst_state(const json_t *last)
{
	json_t *profile;
	int worst = 0;
	size_t i;

	json_array_foreach(json_object_get(last, "profiles"), i, profile) {
		const char *state = json_string_value(json_object_get(profile, "state"));
		int status = !state || strcmp(state, "ok") == 0 ? 0 : strcmp(state, "failed") == 0 ? 1 : 4;

		if (status == 1 || (status == 4 && worst == 0))
			worst = status;
	}
	return worst ? worst : upgrade_state(json_object_get(last, "upgrade"));
}

/* "/v1/status?profile=po1&watch=1": *gives*. */
static char *
status_path(const char *profile, bool watch)
{
	char *name = profile ? client_encode(profile) : NULL, *path = NULL;

	if ((!profile || name) && asprintf(&path, "/v1/status%s%s%s%s", name || watch ? "?" : "", name ? "profile=" : "", name ? name : "",
	    !watch ? "" : name ? "&watch=1" : "watch=1") < 0)
		path = NULL;
	free(name);
	return path;
}

static int
verb_status(const struct cli *c)
{
	char *path = status_path(cli_word(c, 0), c->watch);
	json_t *last = NULL;
	int status = path ? cli_ask_last(c, "GET", path, NULL, show_status, worst_state, &last) : 1;
	const char *side = json_string_value(json_object_get(last, "side"));

	/* What could not be sent is known where it waits. */
	if (cli_word(c, 0) && !c->json && !c->watch && side && strcmp(side, "collector") == 0)
		ask_profile(c, "GET", "troubles", NULL, show_troubles, NULL);
	json_decref(last);
	free(path);
	return status;
}

/* 3: all but what the text names. */
static int
sync_status(const json_t *last)
{
	const char *text = json_string_value(json_object_get(last, "text"));

	return text && *text ? 3 : 0;
}

static int
verb_sync(const struct cli *c)
{
	return order_profile(c, "sync", wait_body(c), show_lines, sync_status);
}

/* A job's exit status: good 0, with warnings 3, else what its error says. */
static int
job_status(const json_t *last)
{
	const char *result = json_string_value(json_object_get(last, "result"));
	const char *code = json_string_value(json_object_get(last, "code"));

	if (!result)
		return 0; /* started, not waited for */
	if (strcmp(result, "good") == 0)
		return 0;
	if (strcmp(result, "warnings") == 0)
		return 3;
	return code ? err_exit_status(err_from_name(code)) : 1;
}

static int
verb_backup(const struct cli *c)
{
	return order_profile(c, "backup", wait_body(c), show_job, job_status);
}

static int
verb_stop(const struct cli *c)
{
	return ask_profile(c, "POST", "stop", NULL, show_nothing, NULL);
}

static int
verb_pause(const struct cli *c)
{
	return ask_profile(c, "POST", "pause", NULL, show_nothing, NULL);
}

static int
verb_resume(const struct cli *c)
{
	return ask_profile(c, "POST", "resume", NULL, show_nothing, NULL);
}

static int
verb_bandwidth(const struct cli *c)
{
	const char *text = cli_word(c, 1);
	char *end;
	unsigned long long n = strtoull(text, &end, 10);
	unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;

	if (strcmp(text, "unlimited") == 0) {
		n = 0;
	} else if (end == text || *text == '-' || *(end + (shift != 0)) || n > UINT64_MAX >> 30 >> 1) {
		err_set(ERR_USAGE, "bandwidth: \"%s\" is not a rate (20M = MiB per second, 500K, \"unlimited\")", text);
		return cli_failed(c, -ERR_USAGE);
	} else if (n && n << shift < 1024) {
		err_set(ERR_USAGE, "bandwidth: \"%s\" is bytes per second, and less than 1K (%lluM = %llu MiB per second)", text, n, n);
		return cli_failed(c, -ERR_USAGE);
	}
	return order_profile(c, "bandwidth", json_pack("{s:I}", "bytes_per_second", (json_int_t)(n << shift)), show_nothing, NULL);
}

static int
verb_enrol(const struct cli *c)
{
	return order_profile(c, "enrol", json_pack("{s:s}", "token", cli_word(c, 1)), show_lines, NULL);
}

/* 30m, 1h, 2d, 90s in seconds; 0 = not a duration. */
static json_int_t
duration(const char *text)
{
	char *end;
	long long n = strtoll(text, &end, 10);
	long long unit = *end == 's' ? 1 : *end == 'm' ? 60 : *end == 'h' ? 3600 : *end == 'd' ? 86400 : 0;

	return end == text || !unit || end[1] || n < 1 || n > 1000000 ? 0 : n * unit;
}

static int
verb_token(const struct cli *c)
{
	json_int_t ttl = c->ttl ? duration(c->ttl) : 3600;

	if (!ttl) {
		err_set(ERR_USAGE, "--ttl: \"%s\" is not a duration (30m, 1h, 2d)", c->ttl);
		return cli_failed(c, -ERR_USAGE);
	}
	return order_profile(c, "token", json_pack("{s:I}", "ttl_seconds", ttl), show_token, NULL);
}

static int
verb_revoke(const struct cli *c)
{
	return ask_profile(c, "POST", "revoke", NULL, show_nothing, NULL);
}

static int
verb_job_list(const struct cli *c)
{
	return cli_ask(c, "GET", "/v1/jobs", NULL, show_jobs, NULL);
}

static int
verb_job_show(const struct cli *c)
{
	char *id = client_encode(cli_word(c, 0) ? cli_word(c, 0) : "last"), *profile = client_encode(cli_word(c, 1) ? cli_word(c, 1) : ""), *path = NULL;
	int status = 1;

	if (id && profile && asprintf(&path, "/v1/jobs/%s%s%s", id, *profile ? "?profile=" : "", profile) >= 0)
		status = cli_ask(c, "GET", path, NULL, show_job_detail, NULL);
	free(path);
	free(profile);
	free(id);
	return status;
}

static int
verb_set_list(const struct cli *c)
{
	return ask_profile(c, "GET", "sets", NULL, show_sets, NULL);
}

static int
verb_set_show(const struct cli *c)
{
	char *set = client_encode(cli_word(c, 1)), *rest = NULL;
	int status = 1;

	if (set && asprintf(&rest, "sets/%s", set) >= 0)
		status = ask_profile(c, "GET", rest, NULL, show_lines, NULL);
	free(rest);
	free(set);
	return status;
}

static int
verb_verify(const struct cli *c)
{
	return order_profile(c, "verify", json_pack("{s:s}", "set", cli_word(c, 1) ? cli_word(c, 1) : ""), show_verified, NULL);
}

static int
verb_restore(const struct cli *c)
{
	json_t *paths = json_array();
	char *to = NULL;

	for (size_t i = 2; cli_word(c, i); i++)
		json_array_append_new(paths, api_name(cli_word(c, i)));
	/* An empty word is a variable that was not set, not the folder one stands in. */
	if (c->to && *c->to && *c->to != '/') {
		char here[4096];

		/* The daemon has another working directory. */
		if (!getcwd(here, sizeof here) || asprintf(&to, "%s/%s", here, c->to) < 0)
			to = NULL;
	} else if (c->to && *c->to) {
		to = strdup(c->to);
	}
	if (!to) {
		json_decref(paths);
		err_set(ERR_USAGE, "restore needs --to DIR, an empty or new directory");
		return cli_failed(c, -ERR_USAGE);
	}
	json_t *body = json_pack("{s:s, s:o, s:o}", "set", cli_word(c, 1), "to", api_name(to), "paths", paths);
	free(to);
	return order_profile(c, "restore", body, show_restored, NULL);
}

static int
doctor_status(const json_t *last)
{
	const char *verdict = json_string_value(json_object_get(last, "verdict"));

	return !verdict || strcmp(verdict, "FAIL") == 0 ? 1 : strcmp(verdict, "WARN") == 0 ? 3 : 0;
}

static int
verb_doctor(const struct cli *c)
{
	return cli_ask(c, "GET", "/v1/doctor", NULL, show_doctor, doctor_status);
}

static int
verb_upgrade(const struct cli *c)
{
	const char *word = cli_word(c, 0);

	if (word && strcmp(word, "now") != 0) {
		err_set(ERR_USAGE, "usage: tidemark upgrade [now]");
		return cli_failed(c, -ERR_USAGE);
	}
	return cli_ask(c, word ? "POST" : "GET", "/v1/upgrade", NULL, show_upgrade, word ? NULL : upgrade_state);
}

static int
verb_version(const struct cli *c)
{
	if (c->json)
		printf("{\"v\":1,\"type\":\"version\",\"version\":\"%s\"}\n", tidemark_version);
	else
		printf("tidemark %s\n", tidemark_version);
	return 0;
}

const struct cli_verb cli_verbs[] = {
    {"status", "[PROFILE] [--watch]", CLI_BOTH, 0, 1, verb_status, "state, lag, last set, next run; exit status = worst state"},
    {"backup", "PROFILE [--wait]", CLI_COLLECTOR, 1, 1, verb_backup, "Standard backup now; --wait prints the set's name once it is sealed"},
    {"sync", "PROFILE [--wait]", CLI_COLLECTOR, 1, 1, verb_sync, "--wait: return when every change made before is durable on the server"},
    {"stop", "PROFILE", CLI_BOTH, 1, 1, verb_stop, "stop the running job; no set is made"},
    {"pause", "PROFILE", CLI_COLLECTOR, 1, 1, verb_pause, "stop the continuous flow; changes are remembered"},
    {"resume", "PROFILE", CLI_COLLECTOR, 1, 1, verb_resume, "let it flow again"},
    {"bandwidth", "PROFILE RATE", CLI_COLLECTOR, 2, 2, verb_bandwidth, "limit until the next reload: 20M, 500K, unlimited"},
    {"set list", "PROFILE", CLI_BOTH, 1, 1, verb_set_list, "sealed sets, newest last"},
    {"set show", "PROFILE SET", CLI_BOTH, 2, 2, verb_set_show, "what a set holds, name by name"},
    {"verify", "PROFILE [SET]", CLI_SERVER, 1, 2, verb_verify, "re-read a set and compare it with its manifest; names every difference"},
    {"restore", "PROFILE SET --to DIR [PATH...]", CLI_SERVER, 2, CLI_WORDS_MAX, verb_restore, "a tree equal to the set; \"latest\" is the newest"},
    {"job list", "", CLI_BOTH, 0, 0, verb_job_list, "history of backups, newest first"},
    {"job show", "[ID [PROFILE]]", CLI_BOTH, 0, 2, verb_job_show, "phases, figures and log of one; the newest without ID"},
    {"token create", "PROFILE [--ttl 1h]", CLI_SERVER, 1, 1, verb_token, "print the string that enrols a collector"},
    {"revoke", "PROFILE", CLI_SERVER, 1, 1, verb_revoke, "the profile's collector is no longer let in"},
    {"enrol", "PROFILE TOKEN", CLI_COLLECTOR, 2, 2, verb_enrol, "make a key, pin the server, get the certificate; once"},
    {"doctor", "", CLI_BOTH, 0, 0, verb_doctor, "limits, rights, clock, space, DBCOPY, link: what is wrong and what to do"},
    {"upgrade", "[now]", CLI_COLLECTOR, 0, 1, verb_upgrade, "which release runs and what the server offers; now: ask it at once"},
    {"config validate", "[collector|server]", CLI_NONE, 0, 1, cli_config_validate, "check a configuration before a restart"},
    {"config show", "[collector|server]", CLI_NONE, 0, 1, cli_config_show, "every value and where it comes from"},
    {"config generate", "collector|server", CLI_NONE, 1, 1, cli_config_generate, "a commented file with every key at its default"},
    {"version", "", CLI_NONE, 0, 0, verb_version, "print the version"},
    {"help", "[VERB]", CLI_NONE, 0, 2, cli_help, "this text, or what one verb does"},
    {0},
};

/* Takes the verb's words off the front of c->words. */
static const struct cli_verb *
find_verb(struct cli *c)
{
	char two[64];

	for (const struct cli_verb *v = cli_verbs; c->n && v->words; v++) {
		bool pair = strchr(v->words, ' ') != NULL;

		snprintf(two, sizeof two, "%s%s%s", c->words[0], pair ? " " : "", pair && c->n > 1 ? c->words[1] : "");
		if (strcmp(two, v->words) == 0) {
			size_t used = pair ? 2 : 1;

			memmove(c->words, c->words + used, (c->n - used) * sizeof *c->words);
			c->n -= used;
			return v;
		}
	}
	err_set(ERR_USAGE, "%s%s%s; `tidemark help` lists the verbs", c->n ? "there is no verb \"" : "what shall be done?", c->n ? c->words[0] : "",
	    c->n ? "\"" : "");
	return NULL;
}

const char *
cli_word(const struct cli *c, size_t i)
{
	return i < c->n ? c->words[i] : NULL;
}

char *
cli_profile_path(const char *profile, const char *rest)
{
	char *name = client_encode(profile), *path = NULL;

	if (name && asprintf(&path, "/v1/profiles/%s/%s", name, rest) < 0)
		path = NULL;
	free(name);
	return path;
}

/* ---- asking ---- */

int
cli_failed(const struct cli *c, int err)
{
	progress_end();
	if (c->json) {
		json_t *o = api_object("error");

		json_object_set_new(o, "code", json_string(err_name(err)));
		json_object_set_new(o, "text", api_text(err_text()));
		json_object_set_new(o, "exit", json_integer(err_exit_status(err)));
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else {
		char *plain = cli_plain(err_text());

		fprintf(stderr, "tidemark: %s\n", plain ? plain : "failed");
		free(plain);
	}
	return err_exit_status(err);
}

struct asking {
	const struct cli *cli;
	void (*show)(const json_t *object);
	json_t *last;
};

static int
on_line(const json_t *object, void *arg)
{
	struct asking *a = arg;

	json_decref(a->last);
	a->last = json_deep_copy(object);
	if (a->cli->json) {
		json_dumpf(object, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
	} else {
		json_t *plain = cli_plain_object(object);

		a->show(plain);
		json_decref(plain);
	}
	return 0;
}

static void
on_tick(void *arg)
{
	(void)arg;
	progress_tick();
}

/* Of some verbs the daemon goes on, or leaves something behind. */
static void
tell_interrupted(const struct cli *c)
{
	const char *profile = cli_word(c, 0);

	if (c->verb->run == verb_backup)
		err_set(ERR_INTERRUPTED, "interrupted: the backup goes on; `tidemark status %s` shows it, `tidemark stop %s` ends it", profile, profile);
	else if (c->verb->run == verb_sync)
		err_set(ERR_INTERRUPTED, "interrupted: changes are sent on all the same");
	else if (c->verb->run == verb_verify)
		err_set(ERR_INTERRUPTED, "interrupted: the set was not read to its end");
	else if (c->verb->run == verb_restore)
		err_set(ERR_INTERRUPTED, "interrupted: the restore is ended, and what it has made lies in %s: it is not whole, remove it", c->to);
}

int
cli_ask_last(const struct cli *c, const char *method, const char *path, const json_t *body, void (*show)(const json_t *object),
    int (*status)(const json_t *last), json_t **ret_last)
{
	struct asking a = {.cli = c, .show = show};
	int err, exit_status;

	progress_begin(c->json ? PROGRESS_NONE : PROGRESS_AUTO);
	err = client_ask(c->socket_path, method, path, body, on_line, on_tick, &a);
	progress_end();
	if (err == -ERR_INTERRUPTED)
		tell_interrupted(c);
	if (err)
		exit_status = cli_failed(c, err);
	else
		exit_status = status && a.last ? status(a.last) : 0;
	if (ret_last && !err)
		*ret_last = a.last;
	else
		json_decref(a.last);
	return exit_status;
}

int
cli_ask(const struct cli *c, const char *method, const char *path, const json_t *body, void (*show)(const json_t *object),
    int (*status)(const json_t *last))
{
	return cli_ask_last(c, method, path, body, show, status, NULL);
}

static void
on_interrupt(int signal_number)
{
	(void)signal_number;
	client_interrupt();
}

static int
run_verb(struct cli *c, const struct cli_verb *verb)
{
	if (c->n < verb->min || c->n > verb->max) {
		err_set(ERR_USAGE, "usage: tidemark %s %s", verb->words, verb->arguments);
		return cli_failed(c, -ERR_USAGE);
	}
	if (cli_check_options(c, verb) != 0)
		return cli_failed(c, -ERR_USAGE);
	if (verb->side != CLI_NONE) {
		int err = -ERR_NOMEM;

		c->socket_path = cli_find_socket(c, verb->side, &err);
		if (!c->socket_path)
			return cli_failed(c, err);
	}
	return verb->run(c);
}

/* Whoever keeps what a command prints takes its exit status as the word that all of it was printed. */
static int
all_printed(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fputs("tidemark: standard output could not be written (no space?): what was printed is not whole there\n", stderr);
	return status ? status : 1;
}

int
cli_run(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_interrupt}; /* no SA_RESTART */
	struct cli *c = calloc(1, sizeof *c);
	const struct cli_verb *verb;
	int err, status;

	if (!c)
		return 1;
	sigaction(SIGINT, &action, NULL);
	err = cli_parse(c, argc, argv);
	if (err) {
		status = cli_failed(c, err);
	} else if (c->version) {
		status = verb_version(c);
	} else if (c->help) {
		status = cli_help(c);
	} else if (!(verb = find_verb(c))) {
		status = cli_failed(c, -ERR_USAGE);
	} else {
		c->verb = verb;
		status = run_verb(c, verb);
	}
	free(c->socket_path);
	free(c);
	return all_printed(status);
}
