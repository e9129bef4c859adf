/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cli_options - the table of options, and who takes which.
 *
 * Options are matched whole: an abbreviation that works today would break a script when an option is added.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "control/cli.h"

static const struct option {
	const char *name;
	size_t value_at, flag_at; /* offset of the const char * or the bool it fills */
	bool any_verb;
	const char *value, *help; /* NULL help: said by another */
} options[] = {
    {"--config", offsetof(struct cli, config), 0, true, "FILE", "ask the daemon of this configuration"},
    {"--socket", offsetof(struct cli, socket), 0, true, "PATH", "ask the daemon that listens there"},
    {"--json", 0, offsetof(struct cli, json), true, "", "the answer as one object, or one a line"},
    {"--help", 0, offsetof(struct cli, help), true, "", "what the verb does"},
    {"-h", 0, offsetof(struct cli, help), true, "", NULL},
    {"--version", 0, offsetof(struct cli, version), true, "", NULL},
    {"--wait", 0, offsetof(struct cli, wait), false, "", "return when it is over, with its exit status; shows progress"},
    {"--watch", 0, offsetof(struct cli, watch), false, "", "go on, as it changes"},
    {"--ttl", offsetof(struct cli, ttl), 0, false, "TIME", "how long it is good for: 30m, 1h, 2d"},
    {"--to", offsetof(struct cli, to), 0, false, "DIR", "a new or empty directory; the one above it must be there"},
};
#define N_OPTIONS (sizeof options / sizeof *options)

/* Takes one option and its value; gives how many words it used, or an error. */
static int
take_option(struct cli *c, char **argv)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		size_t len = strlen(options[i].name);

		/* config lies at offset 0, so a flag's nonzero offset tells which kind it is */
		if (options[i].flag_at) {
			if (strcmp(argv[0], options[i].name) == 0) {
				*(bool *)((char *)c + options[i].flag_at) = true;
				return 1;
			}
		} else if (strncmp(argv[0], options[i].name, len) == 0 && (argv[0][len] == '=' || !argv[0][len])) {
			const char *value = argv[0][len] ? argv[0] + len + 1 : argv[1];

			if (!value)
				return err_set(ERR_USAGE, "%s needs a value", options[i].name);
			*(const char **)((char *)c + options[i].value_at) = value;
			return argv[0][len] ? 1 : 2;
		}
	}
	return err_set(ERR_USAGE, "unknown option %s; `tidemark help` lists them", argv[0]);
}

int
cli_parse(struct cli *c, int argc, char **argv)
{
	bool only_words = false;

	for (int i = 1; i < argc;) {
		int used = 1;

		if (!only_words && strcmp(argv[i], "--") == 0)
			only_words = true;
		else if (!only_words && argv[i][0] == '-' && argv[i][1])
			used = take_option(c, argv + i);
		else if (c->n == CLI_WORDS_MAX)
			used = err_set(ERR_USAGE, "too many words");
		else
			c->words[c->n++] = argv[i];
		if (used < 0)
			return used;
		i += used;
	}
	return 0;
}

static bool
is_given(const struct cli *c, const struct option *o)
{
	return o->flag_at ? *(const bool *)((const char *)c + o->flag_at) : *(const char *const *)((const char *)c + o->value_at) != NULL;
}

static bool
takes(const struct cli_verb *verb, const struct option *o)
{
	return o->any_verb || strstr(verb->arguments, o->name) != NULL;
}

int
cli_check_options(const struct cli *c, const struct cli_verb *verb)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (is_given(c, &options[i]) && !takes(verb, &options[i]))
			return err_set(ERR_USAGE, "%s takes no %s; usage: tidemark %s %s", verb->words, options[i].name, verb->words, verb->arguments);
	return 0;
}

void
cli_list_options(const struct cli_verb *verb)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];

		if (o->help && (verb ? !o->any_verb && takes(verb, o) : o->any_verb))
			printf("  %s %-*s %s\n", o->name, (int)(14 - strlen(o->name)), o->value, o->help);
	}
}
