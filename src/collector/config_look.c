/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_look - what only a look at the host tells of a configuration. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "collector/config.h"
#include "collector/dbcopy.h"
#include "livetree.h"

struct look {
	const struct conf *conf;
	collector_config_found *found;
	void *arg;
};

static void
tell(const struct look *l, const struct conf_section *s, const char *key, const char *text)
{
	l->found(conf_line(l->conf, s, key), key, text, l->arg);
}

static void
look_at_tree(const struct look *l, const struct conf_section *s)
{
	const struct profile_config *p = s->values;
	struct livetree *tree;

	if (livetree_open(p->path, (enum layout_type)p->type, &tree) != 0)
		tell(l, s, "path", err_text());
	else
		livetree_close(tree);
}

static void
look_at_dbcopy(const struct look *l, const struct conf_section *s)
{
	char *problem = dbcopy_problem(((const struct profile_config *)s->values)->dbcopy);

	if (problem)
		tell(l, s, "dbcopy", problem);
	free(problem);
}

static bool
same_place(const char *a, const char *b)
{
	char real_a[PATH_MAX], real_b[PATH_MAX];

	return strcmp(realpath(a, real_a) ? real_a : a, realpath(b, real_b) ? real_b : b) == 0;
}

static void
look_at_others(const struct look *l, const struct conf_section *s)
{
	const struct conf_section *other;
	char text[512];

	for (size_t i = 0; (other = conf_nth(l->conf, "profile", i)) && other != s; i++)
		if (same_place(((const struct profile_config *)s->values)->path, ((const struct profile_config *)other->values)->path)) {
			snprintf(text, sizeof text, "profile \"%s\" has the same tree: it is copied and kept twice", other->name);
			tell(l, s, "path", text);
		}
}

void
collector_config_look(const struct conf *c, collector_config_found *found, void *arg)
{
	const struct look l = {c, found, arg};
	const struct conf_section *s;

	for (size_t i = 0; (s = conf_nth(c, "profile", i)); i++) {
		look_at_tree(&l, s);
		look_at_dbcopy(&l, s);
		look_at_others(&l, s);
	}
}
