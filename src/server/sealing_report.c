/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sealing_report - what the keeper's words mean for the job and for the index. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "server/sealing_own.h"
#include "server/session.h"
#include "server/staging.h"
#include "server/tenant.h"
#include "wire/wire.h"

static void
collect_gone(struct sealing *s, const struct report *report)
{
	for (size_t i = 0; i < report->n_gone; i++) {
		if (s->n_gone == s->cap_gone) {
			size_t cap = s->cap_gone ? 2 * s->cap_gone : 256;
			struct index_found *grown = realloc(s->gone, cap * sizeof *grown);

			if (!grown)
				return; /* a version that is not forgotten costs a row */
			s->gone = grown;
			s->cap_gone = cap;
		}
		char *path = strdup(report->gone[i].path);
		if (path)
			s->gone[s->n_gone++] = (struct index_found){path, report->gone[i].version};
	}
}

static void
trim_run(struct staging_task *task)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	uint64_t head;
	int err = index_fresh_head(c->index, &head);

	/* The catalogue has seen more than this index gave out: the index is an older copy of itself. */
	if (err == 0 && c->fresh > head) {
		err = index_fresh_raise(c->index, c->fresh);
		if (err == 0)
			err = profile_raise_generation(c->index);
	}
	if (err == 0)
		err = index_fresh_trim(c->index, c->fresh);
	if (err == 0)
		err = index_versions_forget(c->index, c->gone, c->n_gone);
	sealing_chore_result(c, err);
}

static void
trim(struct sealing *s, uint64_t upto)
{
	struct sealing_chore *c = sealing_chore(s, trim_run, sealing_chore_forgotten);

	if (!c) {
		sealing_drop_gone(s);
		return;
	}
	c->fresh = upto;
	c->gone = s->gone;
	c->n_gone = s->n_gone;
	s->gone = NULL;
	s->n_gone = s->cap_gone = 0;
	sealing_chore_submit(c);
}

static void
tell_sealed(struct sealing *s, const struct report_set *set)
{
	struct wire_msg m = {.type = WIRE_SEALED};

	m.u.sealed.job = s->job;
	m.u.sealed.note = set->note;
	m.u.sealed.set = tenant_wire_set(set);
	tenant_tell(s->t, &m);
}

/* Files whose bytes are not what their rows say: without rows they are sent again. */
static void
doubt_run(struct staging_task *task)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	struct index_op *ops = calloc(c->n_doubtful, sizeof *ops);
	int err = 0;

	for (size_t i = 0; ops && i < c->n_doubtful; i++) {
		const struct layout_row *row = layout_of(c->layout, c->doubtful[i], false);

		ops[i] = (struct index_op){.kind = INDEX_REMOVE, .path = c->doubtful[i], .blob = row && row->class == LAYOUT_BLOB};
	}
	err = ops ? index_apply(c->index, c->key, ops, c->n_doubtful) : err_set(ERR_NOMEM, "dropping doubtful rows");
	free(ops);
	sealing_chore_result(c, err);
}

/* NULL: the report names none, or there is no memory. */
static struct sealing_chore *
doubt(struct sealing *s, const struct report *report, void (*done)(struct staging_task *, bool))
{
	struct sealing_chore *c = report->n_doubtful ? sealing_chore(s, doubt_run, done) : NULL;

	if (!c || !(c->doubtful = calloc(report->n_doubtful, sizeof *c->doubtful))) {
		free(c);
		return NULL;
	}
	for (size_t i = 0; i < report->n_doubtful; i++) {
		char *path = strdup(report->doubtful[i]);

		if (path)
			c->doubtful[c->n_doubtful++] = path;
	}
	return c;
}

/* A session that ends begins again with the sums of both sides; only then does the collector learn what is missing here. */
static void
lost_done(struct staging_task *task, bool cancelled)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	struct tenant *t = c->s->t;

	if (!cancelled && !c->err) {
		log_warn("sealing.lost", "profile=%s %zu index files were not what had been acknowledged, first %s: the set lacks them; they are sent again",
		    tenant_name(t), c->n_doubtful, c->n_doubtful ? c->doubtful[0] : "");
		if (t->session && session_live(t->session))
			session_close(t->session, -ERR_DIFFERS, "index files are not what was acknowledged: both sides are compared");
	}
	sealing_chore_forgotten(task, cancelled);
}

static void
sealed(struct sealing *s, const struct report *report)
{
	const struct report_set *set = &report->sets[0];
	struct sealing_chore *lost;

	sealing_release(s);
	log_info("sealing.sealed", "profile=%s job=%" PRIu64 " set=%s files=%" PRIu64 " bytes=%" PRIu64, tenant_name(s->t), s->job, set->name,
	    set->files, set->bytes);
	tenant_note_set(s->t, set);
	tell_sealed(s, set);
	snprintf(s->record.set, sizeof s->record.set, "%s", set->name);
	s->record.set_files = set->files;
	s->record.set_bytes = set->bytes;
	sealing_enter_phase(s, JOB_DONE);
	sealing_end_record(s, set->warnings ? JOB_WARNED : JOB_GOOD, 0, set->note ? set->note : "");
	trim(s, report->fresh_done);
	sealing_forget_job(s);
	if (report->n_doubtful && (lost = doubt(s, report, lost_done)))
		sealing_chore_submit(lost);
}

static void
doubt_done(struct staging_task *task, bool cancelled)
{
	struct sealing_chore *c = (struct sealing_chore *)task;

	if (!cancelled)
		sealing_fail(c->s, c->code, c->why ? c->why : "");
	sealing_chore_free(c);
}

static void
failed(struct sealing *s, const struct report *report)
{
	const char *text = report->text ? report->text : "";
	struct sealing_chore *c = doubt(s, report, doubt_done);

	if (!c) {
		sealing_fail(s, report->code, text);
		return;
	}
	c->code = report->code;
	c->why = strdup(text);
	s->state = FORGETTING;
	staging_freeze(profile_staging(s->t->profile), false);
	sealing_chore_submit(c);
}

static void
thaw(struct sealing *s)
{
	struct staging *st = profile_staging(s->t->profile);

	if (s->frozen && st)
		staging_freeze(st, false);
	s->frozen = false;
}

void
sealing_on_report(const struct report *report, void *arg)
{
	struct sealing *s = arg;

	thaw(s);
	switch (report->kind) {
	case REPORT_PROGRESS:
		s->done = report->done;
		s->all = report->total;
		sealing_tell_progress(s, report->phase ? report->phase : "", report->done, report->total);
		s->t->changed(s->t);
		break;
	case REPORT_FINDING:
		log_warn("sealing.finding", "profile=%s %s: %s", tenant_name(s->t), report->path ? report->path : "", report->text ? report->text : "");
		break;
	case REPORT_ENTRY:
		break;
	case REPORT_GONE:
		collect_gone(s, report);
		break;
	case REPORT_DONE:
		if (report->n_sets)
			sealed(s, report);
		else
			sealing_fail(s, ERR_PEER, "the keeper named no set");
		break;
	case REPORT_FAILED:
		failed(s, report);
		break;
	}
}
