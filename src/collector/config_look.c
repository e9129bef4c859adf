/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config_look - what only a look at the host tells of a configuration. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
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

/* Whether `path` is `dir` or lies below it, links followed as far as both exist. */
static bool
lies_in(const char *path, const char *dir)
{
	char real_path[PATH_MAX], real_dir[PATH_MAX];

	return relpath_within(realpath(path, real_path) ? real_path : path, realpath(dir, real_dir) ? real_dir : dir);
}

static void
look_at_others(const struct look *l, const struct conf_section *s)
{
	const struct conf_section *other;
	const char *ours = ((const struct profile_config *)s->values)->path;
	char text[512];

	for (size_t i = 0; (other = conf_nth(l->conf, "profile", i)); i++) {
		const char *path = ((const struct profile_config *)other->values)->path;

		if (other == s || !lies_in(ours, path) || (lies_in(path, ours) && conf_line(l->conf, other, "path") > conf_line(l->conf, s, "path")))
			continue;
		snprintf(text, sizeof text, "the tree of profile \"%s\" %s: it is copied and kept twice", other->name, lies_in(path, ours) ? "is the same" : "has this one in it");
		tell(l, s, "path", text);
	}
}

/* The configuration's own check compares the names only. */
static void
look_at_state(const struct look *l, const struct conf_section *s)
{
	if (lies_in(collector_config_main(l->conf)->state, ((const struct profile_config *)s->values)->path))
		tell(l, s, "path", "the collector's state lies inside this tree, behind a link: our own writes would be backed up; put it elsewhere");
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
		look_at_state(&l, s);
	}
}
