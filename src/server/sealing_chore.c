/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sealing_chore - how a piece of a job's work gets into staging's quiet and is freed. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "server/sealing_own.h"
#include "server/tenant.h"

static void
found_free(struct index_found *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].path);
	free(v);
}

void
sealing_drop_gone(struct sealing *s)
{
	found_free(s->gone, s->n_gone);
	s->gone = NULL;
	s->n_gone = s->cap_gone = 0;
}

struct sealing_chore *
sealing_chore(struct sealing *s, void (*run)(struct staging_task *), void (*done)(struct staging_task *, bool))
{
	struct sealing_chore *c = profile_staging(s->t->profile) ? calloc(1, sizeof *c) : NULL;

	if (!c)
		return NULL;
	c->s = s;
	c->index = profile_index(s->t->profile);
	c->key = profile_key(s->t->profile);
	(void)profile_layout(s->t->profile, &c->layout);
	c->task = (struct staging_task){.run = run, .done = done};
	return c;
}

void
sealing_chore_submit(struct sealing_chore *c)
{
	staging_submit(profile_staging(c->s->t->profile), &c->task);
}

void
sealing_chore_result(struct sealing_chore *c, int err)
{
	c->err = err;
	if (err)
		c->text = strdup(err_text());
}

void
sealing_chore_free(struct sealing_chore *c)
{
	found_free(c->gone, c->n_gone);
	for (size_t i = 0; i < c->n_doubtful; i++)
		free(c->doubtful[i]);
	free(c->doubtful);
	free(c->why);
	free(c->text);
	free(c);
}

void
sealing_chore_forgotten(struct staging_task *task, bool cancelled)
{
	struct sealing_chore *c = (struct sealing_chore *)task;

	if (!cancelled && c->err)
		log_warn("sealing.index", "profile=%s %s", tenant_name(c->s->t), c->text ? c->text : "");
	sealing_chore_free(c);
}
