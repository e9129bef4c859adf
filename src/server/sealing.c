/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sealing - knows in which state of a job what may happen, and that every way out releases staging. */
#include "base/planted.h"
#include "server/sealing_own.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/index.h"
#include "server/keeper_link.h"
#include "server/staging.h"
#include "server/tenant.h"
#include "wire/wire.h"

#define META_JOB "job"
#define META_DUE "due"

/* ---- life ---- */

int
sealing_new(struct tenant *t, struct sealing **ret_sealing)
{
	struct sealing *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(ERR_NOMEM, "opening a profile");
	s->t = t;
	*ret_sealing = s;
	return 0;
}

void
sealing_free(struct sealing *s)
{
	if (!s)
		return;
	sealing_drop_gone(s);
	free(s->note);
	free(s);
}

/* ---- the record ---- */

static void
keep_record(struct sealing *s)
{
	struct jobs *jobs = profile_jobs(s->t->profile);

	if (jobs && jobs_put(jobs, &s->record) != 0)
		log_error("sealing.record", "profile=%s %s", tenant_name(s->t), err_text());
	s->t->changed(s->t);
}

void
sealing_enter_phase(struct sealing *s, enum job_phase phase)
{
	int64_t now = clock_wall_ns();

	s->record.phase_ms[s->record.phase] += (now - s->phase_began_ns) / 1000000;
	s->phase_began_ns = now;
	s->record.phase = phase;
	s->done = s->all = 0;
}

static void
start_record(struct sealing *s)
{
	s->record = (struct job_record){.id = s->job, .date = s->date, .t0_ns = s->t0_ns, .started_ns = clock_wall_ns(), .phase = JOB_STREAM,
	    .result = JOB_RUNNING};
	snprintf(s->record.profile, sizeof s->record.profile, "%s", tenant_name(s->t));
	snprintf(s->record.origin, sizeof s->record.origin, "%s", s->origin_job == s->job && *s->origin ? s->origin : "collector");
	s->phase_began_ns = s->record.started_ns;
	keep_record(s);
}

void
sealing_end_record(struct sealing *s, enum job_result result, int code, const char *text)
{
	if (s->record.result != JOB_RUNNING)
		return;
	sealing_enter_phase(s, s->record.phase);
	s->record.result = result;
	s->record.code = code < 0 ? -code : code;
	s->record.ended_ns = clock_wall_ns();
	snprintf(s->record.text, sizeof s->record.text, "%s", text);
	keep_record(s);
	if (result == JOB_FAILED)
		s->t->trouble(s->t, "failed", text);
}

/* ---- ways out ---- */

static void
put_run(struct staging_task *task)
{
	struct sealing_chore *c = (struct sealing_chore *)task;

	sealing_chore_result(c, index_meta_put(c->index, c->meta, c->job_text, strlen(c->job_text)));
}

/* What is true also after a restart.  A failure costs a line in the log. */
static void
keep_durably(struct sealing *s, const char *meta, const char *text)
{
	struct sealing_chore *c = sealing_chore(s, put_run, sealing_chore_forgotten);

	if (!c)
		return;
	c->meta = meta;
	snprintf(c->job_text, sizeof c->job_text, "%s", text);
	sealing_chore_submit(c);
}

void
sealing_release(struct sealing *s)
{
	struct staging *st = profile_staging(s->t->profile);

	s->order = 0;
	s->frozen = false;
	if (!st)
		return;
	staging_hold(st, PLANTED(hold_kept_after_stop));
	staging_freeze(st, false);
}

static void
tell_failed(struct sealing *s, uint64_t job, int code, const char *text)
{
	struct wire_msg m = {.type = WIRE_JOB_FAILED};

	m.u.job_failed.job = job;
	m.u.job_failed.code = code;
	m.u.job_failed.text = (char *)(uintptr_t)text;
	tenant_tell(s->t, &m);
}

void
sealing_forget_job(struct sealing *s)
{
	s->state = NONE;
	s->job = 0;
	s->ending = false;
	keep_durably(s, META_JOB, "");
}

void
sealing_fail(struct sealing *s, int code, const char *text)
{
	char full[512];

	sealing_release(s);
	sealing_drop_gone(s);
	if (s->ending) {
		tell_failed(s, s->job, s->over_code, s->over_text);
		sealing_end_record(s, s->over, s->over_code, s->over_text);
		sealing_forget_job(s);
		return;
	}
	if (code == ERR_NOSPACE) {
		snprintf(full, sizeof full, "the server has no space left (%.300s): no set was made; free some space there and run it again", text);
		text = full;
	}
	s->state = BEGUN;
	log_error("sealing.failed", "profile=%s job=%" PRIu64 " %s", tenant_name(s->t), s->job, text);
	tell_failed(s, s->job, code, text);
	sealing_end_record(s, JOB_FAILED, code, text);
}

/* ---- JOB_BEGIN ---- */

static void
begin_run(struct staging_task *task)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	const struct sealing *s = c->s;
	int err = index_fresh_head(c->index, &c->fresh);

	/* The loop leaves job, date and T0 alone while BEGINNING. */
	snprintf(c->job_text, sizeof c->job_text, "%" PRIu64 " %" PRIu32 " %" PRId64 " %" PRIu64, s->job, s->date, s->t0_ns, c->fresh);
	if (err == 0)
		err = index_meta_put(c->index, META_JOB, c->job_text, strlen(c->job_text));
	sealing_chore_result(c, err);
}

void
sealing_tell_progress(struct sealing *s, const char *phase, uint64_t done, uint64_t total)
{
	struct wire_msg m = {.type = WIRE_PROGRESS};

	m.u.progress.job = s->job;
	m.u.progress.phase = (char *)(uintptr_t)phase;
	m.u.progress.done = done;
	m.u.progress.total = total;
	tenant_tell(s->t, &m);
}

/* It has not begun, whatever it is told again: a T0 that nobody kept would be taken for the beginning of all time, and the set would hold what
 * was removed before it. */
static void
fail_begin(struct sealing *s, int code, const char *text)
{
	sealing_fail(s, code, text);
	s->state = NONE;
	s->job = 0;
}

static void
begin_done(struct staging_task *task, bool cancelled)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	struct sealing *s = c->s;

	if (cancelled) {
		sealing_chore_free(c);
		return;
	}
	s->fresh_t0 = c->fresh;
	s->state = BEGUN;
	start_record(s);
	if (c->err) {
		fail_begin(s, c->err, c->text ? c->text : "");
	} else if (s->ending) {
		sealing_fail(s, 0, "");
	} else {
		log_info("sealing.begin", "profile=%s job=%" PRIu64 " date=%" PRIu32, tenant_name(s->t), s->job, s->date);
		sealing_tell_progress(s, "begin", 0, 0);
	}
	sealing_chore_free(c);
}

void
sealing_begin(struct sealing *s, uint64_t job, uint32_t date, int64_t t0_ns)
{
	if (s->state != NONE && s->state != BEGUN) {
		tell_failed(s, job, ERR_BUSY, "another job of this profile is being sealed");
		return;
	}
	if (s->state == BEGUN && s->job == job) { /* again, after a lost connection: T0 stays where it was */
		sealing_tell_progress(s, "begin", 0, 0);
		return;
	}
	if (s->state == BEGUN)
		sealing_end_record(s, JOB_FAILED, ERR_STOPPED, "given up: the collector began another job");
	struct sealing_chore *c = sealing_chore(s, begin_run, begin_done);
	s->job = job;
	s->date = date;
	s->t0_ns = t0_ns;
	s->ending = false;
	if (!c) {
		fail_begin(s, ERR_NOMEM, "out of memory");
		return;
	}
	s->state = BEGINNING;
	sealing_chore_submit(c);
}

/* ---- SEAL ---- */

static int
count_mark(const char *path, void *arg)
{
	(void)path;
	++*(size_t *)arg;
	return 0;
}

static void
check_run(struct staging_task *task)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	int err = index_total(c->index, &c->total);

	if (err == 0)
		err = index_fresh_head(c->index, &c->fresh);
	if (err == 0)
		err = index_marks(c->index, count_mark, &c->marks);
	sealing_chore_result(c, err);
}

static bool
same_sum(const struct treemap_sum *a, const struct treemap_sum *b)
{
	return a->count == b->count && a->bytes == b->bytes && hash128_equal(a->hash, b->hash);
}

static int
order_seal(struct sealing *s, const struct sealing_chore *c)
{
	struct order order = {.kind = ORDER_SEAL, .profile = (char *)(uintptr_t)tenant_name(s->t), .layout = (uint8_t)c->layout,
	    .job = s->job, .date = s->date, .t0_ns = s->t0_ns, .fresh_t0 = s->fresh_t0, .fresh_seal = c->fresh, .total = c->total,
	    .note = s->note, .keep_days = (uint32_t)s->t->keep_days(s->t)};

	s->order = keeper_link_order(s->t->keeper, &order, sealing_on_report, s);
	return s->order ? 0 : -ERR_UNREACHABLE;
}

static void
check_done(struct staging_task *task, bool cancelled)
{
	struct sealing_chore *c = (struct sealing_chore *)task;
	struct sealing *s = c->s;
	struct staging *st = profile_staging(s->t->profile);
	char text[256];

	if (cancelled) {
		sealing_chore_free(c);
		return;
	}
	if (c->err || s->ending) {
		sealing_fail(s, c->err, c->text ? c->text : "");
	} else if (c->marks || staging_transfers(st)) {
		sealing_fail(s, ERR_BUSY, "files are still being transferred");
	} else if (!same_sum(&c->total, &s->total) && !PLANTED(total_not_compared)) {
		snprintf(text, sizeof text, "the server holds %" PRIu64 " names and %" PRIu64 " bytes, the collector expects %" PRIu64
		    " and %" PRIu64 ": not sealed; compare and try again", c->total.count, c->total.bytes, s->total.count, s->total.bytes);
		sealing_fail(s, ERR_DIFFERS, text);
	} else {
		/* Nothing is on its way here; from now to the keeper's first word nothing at all changes, then only blobs. */
		staging_hold(st, true);
		staging_freeze(st, true);
		s->frozen = true;
		s->state = SEALING;
		sealing_enter_phase(s, JOB_SEAL);
		if (order_seal(s, c) != 0)
			sealing_fail(s, ERR_UNREACHABLE, err_text());
		else
			keep_record(s);
	}
	sealing_chore_free(c);
}

void
sealing_seal(struct sealing *s, uint64_t job, uint32_t date, int64_t t0_ns, const struct treemap_sum *total, const char *note)
{
	bool same = s->job == job && s->date == date && s->t0_ns == t0_ns;
	struct sealing_chore *c;

	/* Asked again after a lost connection: it goes on, and its answer goes to whoever is connected then. */
	if (!PLANTED(second_seal_refused) && same && (s->state == CHECKING || s->state == SEALING || s->state == FORGETTING) && !s->ending) {
		sealing_tell_progress(s, "seal", s->done, s->all);
		return;
	}
	if (s->state != BEGUN || !same) {
		tell_failed(s, job, s->state == NONE ? ERR_STOPPED : ERR_BUSY,
		    s->state == NONE ? "this job is not running here: it was stopped, or never begun" : "another job, or this one, is at work");
		return;
	}
	free(s->note);
	s->note = strdup(note);
	s->total = *total;
	s->record.result = JOB_RUNNING; /* it may have failed before */
	s->record.ended_ns = 0;
	c = sealing_chore(s, check_run, check_done);
	if (!c || !s->note) {
		free(c);
		sealing_fail(s, ERR_NOMEM, "out of memory");
		return;
	}
	s->state = CHECKING;
	sealing_chore_submit(c);
}

/* ---- STOP, JOB_END, JOB_OVER ---- */

static void
give_up(struct sealing *s, enum job_result result, int code, const char *text)
{
	if (s->state == BEGUN) {
		sealing_end_record(s, result, code, text);
		sealing_forget_job(s);
		return;
	}
	s->over = result;
	s->over_code = code;
	snprintf(s->over_text, sizeof s->over_text, "%s", text);
	s->ending = true; /* the running step comes to its end first */
	if (s->state == SEALING)
		keeper_link_stop(s->t->keeper, tenant_name(s->t), s->order);
}

void
sealing_stop(struct sealing *s, uint64_t job, const char *who)
{
	char text[128];

	if (s->state == NONE || s->job != job)
		return;
	snprintf(text, sizeof text, "stopped by %s", who);
	give_up(s, JOB_STOPPED, ERR_STOPPED, text);
}

void
sealing_end(struct sealing *s, uint64_t job)
{
	sealing_stop(s, job, "the collector");
}

void
sealing_origin(struct sealing *s, uint64_t job, const char *origin)
{
	s->origin_job = job;
	snprintf(s->origin, sizeof s->origin, "%s", origin);
}

/* A job that failed before it came to us: it is in the history, and red, all the same. */
static void
record_foreign(struct sealing *s, const struct sealing_over *over, enum job_result result)
{
	struct job_record r = {.id = over->job, .date = over->date, .t0_ns = over->t0_ns, .started_ns = clock_wall_ns(), .phase = JOB_CHECK,
	    .result = result, .code = over->code};
	struct jobs *jobs = profile_jobs(s->t->profile);

	r.ended_ns = r.started_ns;
	snprintf(r.profile, sizeof r.profile, "%s", tenant_name(s->t));
	snprintf(r.origin, sizeof r.origin, "%s", over->origin);
	snprintf(r.text, sizeof r.text, "%s", over->text);
	if (jobs && jobs_put(jobs, &r) != 0)
		log_error("sealing.record", "profile=%s %s", tenant_name(s->t), err_text());
	s->t->changed(s->t);
	if (result == JOB_FAILED)
		s->t->trouble(s->t, "failed", r.text);
}

void
sealing_over(struct sealing *s, const struct sealing_over *over)
{
	enum job_result result = over->code == ERR_STOPPED ? JOB_STOPPED : JOB_FAILED;
	struct jobs *jobs = profile_jobs(s->t->profile);

	if (s->state != NONE && s->job == over->job)
		give_up(s, result, over->code, over->text);
	else if (jobs && !jobs_find(jobs, over->job))
		record_foreign(s, over, result);
}

int
sealing_stop_here(struct sealing *s, const char *who)
{
	struct wire_msg m = {.type = WIRE_STOP};
	uint64_t done, all;
	char origin[96];

	if (!sealing_job(s, &done, &all))
		return err_set(ERR_NOTFOUND, "no job of %s is running", tenant_name(s->t));
	snprintf(origin, sizeof origin, "server: %s", who);
	m.u.stop.job = s->job;
	m.u.stop.origin = origin;
	tenant_tell(s->t, &m);
	sealing_stop(s, s->job, origin);
	return 0;
}

/* ---- when the next one is due ---- */

void
sealing_due(struct sealing *s, int64_t at_ns)
{
	char text[32];

	if (at_ns == s->due_ns)
		return;
	s->due_ns = at_ns;
	snprintf(text, sizeof text, "%" PRId64, at_ns);
	keep_durably(s, META_DUE, text);
}

int64_t
sealing_due_ns(const struct sealing *s)
{
	return s->due_ns;
}

static void
load_due(struct sealing *s)
{
	struct index *index = profile_index(s->t->profile);
	size_t len;
	char *text;

	if (s->due_ns || !index || index_meta_get(index, META_DUE, &text, &len) != 0)
		return;
	(void)sscanf(text, "%" SCNd64, &s->due_ns);
	free(text);
}

/* ---- the rest ---- */

static void
load_job(struct sealing *s)
{
	struct index *index = profile_index(s->t->profile);
	struct jobs *jobs = profile_jobs(s->t->profile);
	const struct job_record *known;
	size_t len;
	char *text;

	if (s->state != NONE || !index || index_meta_get(index, META_JOB, &text, &len) != 0)
		return;
	if (sscanf(text, "%" SCNu64 " %" SCNu32 " %" SCNd64 " %" SCNu64, &s->job, &s->date, &s->t0_ns, &s->fresh_t0) == 4) {
		s->state = BEGUN;
		known = jobs ? jobs_find(jobs, s->job) : NULL;
		if (known)
			s->record = *known;
		s->phase_began_ns = clock_wall_ns();
	}
	free(text);
}

void
sealing_load(struct sealing *s)
{
	load_due(s);
	load_job(s);
}

void
sealing_session_begins(struct sealing *s)
{
	struct staging *st = profile_staging(s->t->profile);

	staging_hold(st, s->state == SEALING || s->state == FORGETTING);
	staging_freeze(st, s->frozen);
}

const struct job_record *
sealing_job(const struct sealing *s, uint64_t *ret_done, uint64_t *ret_total)
{
	if (s->state == NONE || s->record.id != s->job || s->record.result != JOB_RUNNING)
		return NULL;
	*ret_done = s->done;
	*ret_total = s->all;
	return &s->record;
}
