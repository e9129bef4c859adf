/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli - the command line: options, verbs, which daemon is asked, exit status.
 */
#ifndef CONTROL_CLI_H
#define CONTROL_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CLI_WORDS_MAX 4200u

enum cli_side { CLI_NONE = 0, CLI_COLLECTOR = 1, CLI_SERVER = 2, CLI_BOTH = 3 };

struct cli_verb;

struct cli {
	const char *config, *socket;          /* --config, --socket; NULL = not given */
	bool json, wait, watch, help, version;
	const char *ttl, *to;
	const char *words[CLI_WORDS_MAX];     /* verb and its arguments */
	size_t n;
	char *socket_path;                    /* of the daemon that is asked */
	const struct cli_verb *verb;
};

struct cli_verb {
	const char *words;      /* one or two */
	const char *arguments;  /* for a reader; the options it names are those the verb takes */
	enum cli_side side;     /* whose daemon is asked */
	size_t min, max;        /* arguments */
	int (*run)(const struct cli *c);
	const char *help;
};
extern const struct cli_verb cli_verbs[]; /* ends with NULL words */

/* Runs a command line; returns the exit status. */
int cli_run(int argc, char **argv);

/* ---- options (cli_options.c) ---- */

/* Sorts a command line into options and words, which it borrows; -ERR_USAGE. */
int cli_parse(struct cli *c, int argc, char **argv);
/* -ERR_USAGE when an option was given that the verb does not take. */
int cli_check_options(const struct cli *c, const struct cli_verb *verb);
/* Prints a line about each option: those of the verb, or with NULL those that every verb takes. */
void cli_list_options(const struct cli_verb *verb);

/* ---- help (cli_help.c) ---- */

/* All verbs, or those that c->words begin with. */
int cli_help(const struct cli *c);

/* ---- for the verbs ---- */

/* The i-th argument after the verb's words; NULL when there is none. */
const char *cli_word(const struct cli *c, size_t i);
/* Says err_text() as an error - to standard error, or as an error object with --json - and gives the exit status. */
int cli_failed(const struct cli *c, int err);
/* Asks the daemon; with --json every object of the answer is printed, else `show` is called for it.  Gives the exit status; `status`
 * (may be NULL) lets a verb decide it from the last object. */
int cli_ask(const struct cli *c, const char *method, const char *path, const json_t *body, void (*show)(const json_t *object),
    int (*status)(const json_t *last));
/* The same, and *gives* the answer's last object unless it is an error. */
int cli_ask_last(const struct cli *c, const char *method, const char *path, const json_t *body, void (*show)(const json_t *object),
    int (*status)(const json_t *last), json_t **ret_last);
/* "/v1/profiles/<profile>/<rest>": *gives*. */
char *cli_profile_path(const char *profile, const char *rest);

/* ---- human output (cli_show.c) ---- */
/* Words that came over a wire, without what a terminal would obey: *gives* a copy, NULL when out of memory. */
char *cli_plain(const char *words);
/* A copy of the object in which every string is plain. */
json_t *cli_plain_object(const json_t *object);
void show_nothing(const json_t *object);
void show_status(const json_t *object);
void show_job(const json_t *object);       /* progress of a backup; at its end the set's name */
void show_job_detail(const json_t *object);
void show_jobs(const json_t *object);
void show_sets(const json_t *object);
void show_lines(const json_t *object);     /* findings and files, progress in between */
void show_verified(const json_t *object);
void show_restored(const json_t *object);
void show_token(const json_t *object);
void show_doctor(const json_t *object);
void show_troubles(const json_t *object);
void show_upgrade(const json_t *object);

/* ---- verbs that need no daemon (cli_config.c) ---- */
int cli_config_validate(const struct cli *c);
int cli_config_show(const struct cli *c);
int cli_config_generate(const struct cli *c);
/* Where the daemon of `side` listens, from --config or the defaults: *gives*; NULL with err_text() and the error. */
char *cli_find_socket(const struct cli *c, enum cli_side side, int *ret_err);

#endif
