/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cli_help - the table of verbs as a person, or a program, reads it. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "control/api.h"
#include "control/cli.h"

/* Whether the verb is one that the words ask for: both of "job list", or "job" alone for all that begin with it. */
static bool
is_asked_for(const struct cli *c, const struct cli_verb *v)
{
	const char *first = cli_word(c, 0), *second = cli_word(c, 1), *space = strchr(v->words, ' ');
	size_t len = space ? (size_t)(space - v->words) : strlen(v->words);

	if (!first)
		return true;
	return strlen(first) == len && strncmp(first, v->words, len) == 0 && (!space || !second || strcmp(second, space + 1) == 0);
}

static void
help_json(const struct cli *c)
{
	json_t *o = api_object("help"), *list = json_array();

	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		if (is_asked_for(c, v))
			json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "verb", v->words, "arguments", v->arguments, "help", v->help));
	json_object_set_new(o, "verbs", list);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static void
help_one(const struct cli_verb *v)
{
	static const char *const where[] = {
	    [CLI_NONE] = "asks no daemon", [CLI_COLLECTOR] = "on the post office host", [CLI_SERVER] = "on the backup host", [CLI_BOTH] = "on either host",
	};

	printf("usage: tidemark %s%s%s\n\n  %s\n  (%s)\n\n", v->words, *v->arguments ? " " : "", v->arguments, v->help, where[v->side]);
	cli_list_options(v);
}

static void
help_all(void)
{
	puts("tidemark status                                  is everything safe?\n"
	     "tidemark backup po1 --wait                       a Standard backup now\n"
	     "tidemark restore po1 latest --to /restore/po1    the newest set, whole\n"
	     "tidemark restore po1 wedfeb13 --to /restore/u1 ofuser/userabc.db\n"
	     "\n"
	     "usage: tidemark [--config FILE | --socket PATH] [--json] VERB ...\n");
	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		printf("  %-15s %-31s %s\n", v->words, v->arguments, v->help);
	puts("\nExit status: 0 good, 1 failed, 2 usage or configuration, 3 done with warnings, 4 late or degraded, 10 no such set or\n"
	     "profile, 11 busy, 12 not authorised, 13 daemon or server unreachable, 14 data differs, 15 no space, 130 interrupted.");
}

int
cli_help(const struct cli *c)
{
	size_t n = 0;

	for (const struct cli_verb *v = cli_verbs; v->words; v++)
		n += is_asked_for(c, v);
	if (!n) {
		err_set(ERR_USAGE, "there is no verb \"%s\"; `tidemark help` lists the verbs", cli_word(c, 0));
		return cli_failed(c, -ERR_USAGE);
	}
	if (c->json) {
		help_json(c);
	} else if (!cli_word(c, 0)) {
		help_all();
	} else {
		for (const struct cli_verb *v = cli_verbs; v->words; v++)
			if (is_asked_for(c, v))
				help_one(v);
		cli_list_options(NULL);
	}
	return 0;
}
