/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sealing - knows in which state of a job what may happen, and that every way out releases staging. */
#include "server/sealing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/relpath.h"
#include "server/index.h"
#include "server/keeper_link.h"
#include "server/staging.h"
#include "server/tenant.h"
#include "wire/wire.h"

#define META_JOB "job"

enum state {
	NONE,
	BEGINNING, /* T0 is being written */
	BEGUN,
	CHECKING,  /* totals are being compared */
	SEALING,   /* the keeper works */
	FORGETTING,/* rows of doubtful files are being dropped */
};

struct sealing {
	struct tenant *t;
	enum state state;
	uint64_t job;
	uint32_t date;
	int64_t t0_ns;
	uint64_t fresh_t0;
	char *note;
	struct treemap_sum total;

	uint64_t order;
	bool frozen;
	bool ending;           /* JOB_END or STOP came: it is over when the running step is */
	char who[64];          /* who stopped it; "" = nobody */
	uint64_t done, all;
	int64_t phase_began_ns;
	struct job_record record;
	struct index_found *gone;
	size_t n_gone, cap_gone;
};

/* One piece of work in staging's quiet. */
struct chore {
	struct staging_task task;
	struct sealing *s;
	struct index *index;
	const struct block_key *key;
	enum layout_type layout;
	int err;
	char *text;

	char job_text[96];         /* begin, clear */
	uint64_t fresh;            /* begin, check: head; trim: up to */
	struct treemap_sum total;  /* check */
	size_t marks;
	struct index_found *gone;  /* trim */
	size_t n_gone;
	char **doubtful;           /* forget */
	size_t n_doubtful;
	int32_t code;              /* of the failure that names them */
	char *why;
};

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

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

static void
found_free(struct index_found *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].path);
	free(v);
}

static void
drop_gone(struct sealing *s)
{
	found_free(s->gone, s->n_gone);
	s->gone = NULL;
	s->n_gone = s->cap_gone = 0;
}

void
sealing_free(struct sealing *s)
{
	if (!s)
		return;
	drop_gone(s);
	free(s->note);
	free(s);
}

/* ---- chores ---- */

static struct chore *
chore_new(struct sealing *s, void (*run)(struct staging_task *), void (*done)(struct staging_task *, bool))
{
	struct chore *c = profile_staging(s->t->profile) ? calloc(1, sizeof *c) : NULL;

	if (!c)
		return NULL;
	c->s = s;
	c->index = profile_index(s->t->profile);
	c->key = profile_key(s->t->profile);
	(void)profile_layout(s->t->profile, &c->layout);
	c->task = (struct staging_task){.run = run, .done = done};
	return c;
}

static void
chore_submit(struct chore *c)
{
	staging_submit(profile_staging(c->s->t->profile), &c->task);
}

static void
chore_result(struct chore *c, int err)
{
	c->err = err;
	if (err)
		c->text = strdup(err_text());
}

static void
chore_free(struct chore *c)
{
	found_free(c->gone, c->n_gone);
	for (size_t i = 0; i < c->n_doubtful; i++)
		free(c->doubtful[i]);
	free(c->doubtful);
	free(c->why);
	free(c->text);
	free(c);
}

static void
put_run(struct staging_task *task)
{
	struct chore *c = (struct chore *)task;

	chore_result(c, index_meta_put(c->index, META_JOB, c->job_text, strlen(c->job_text)));
}

static void
forgotten(struct staging_task *task, bool cancelled)
{
	struct chore *c = (struct chore *)task;

	if (!cancelled && c->err)
		log_warn("sealing.index", "profile=%s %s", tenant_name(c->s->t), c->text ? c->text : "");
	chore_free(c);
}

/* No job is begun any more, also after a restart. */
static void
clear_durably(struct sealing *s)
{
	struct chore *c = chore_new(s, put_run, forgotten);

	if (c)
		chore_submit(c);
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

static void
enter_phase(struct sealing *s, enum job_phase phase)
{
	int64_t now = now_ns();

	s->record.phase_ms[s->record.phase] += (now - s->phase_began_ns) / 1000000;
	s->phase_began_ns = now;
	s->record.phase = phase;
	s->done = s->all = 0;
}

static void
start_record(struct sealing *s)
{
	s->record = (struct job_record){.id = s->job, .date = s->date, .t0_ns = s->t0_ns, .started_ns = now_ns(), .phase = JOB_STREAM,
	    .result = JOB_RUNNING};
	snprintf(s->record.profile, sizeof s->record.profile, "%s", tenant_name(s->t));
	snprintf(s->record.origin, sizeof s->record.origin, "collector");
	s->phase_began_ns = s->record.started_ns;
	keep_record(s);
}

static void
end_record(struct sealing *s, enum job_result result, int code, const char *text)
{
	if (s->record.result != JOB_RUNNING)
		return;
	enter_phase(s, s->record.phase);
	s->record.result = result;
	s->record.code = code < 0 ? -code : code;
	s->record.ended_ns = now_ns();
	snprintf(s->record.text, sizeof s->record.text, "%s", text);
	keep_record(s);
	if (result == JOB_FAILED)
		s->t->trouble(s->t, "failed", text);
}

/* ---- ways out ---- */

static void
release(struct sealing *s)
{
	struct staging *st = profile_staging(s->t->profile);

	s->order = 0;
	s->frozen = false;
	if (!st)
		return;
	staging_hold(st, false);
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

static void
forget_job(struct sealing *s)
{
	s->state = NONE;
	s->job = 0;
	s->ending = false;
	s->who[0] = '\0';
	clear_durably(s);
}

/* The step that ran failed, or was stopped.  A job that nobody ended may be sealed again. */
static void
fail(struct sealing *s, int code, const char *text)
{
	char stopped[128];

	release(s);
	drop_gone(s);
	if (s->ending) {
		snprintf(stopped, sizeof stopped, "stopped by %s", *s->who ? s->who : "the collector");
		tell_failed(s, s->job, ERR_STOPPED, stopped);
		end_record(s, JOB_STOPPED, ERR_STOPPED, stopped);
		forget_job(s);
		return;
	}
	s->state = BEGUN;
	log_error("sealing.failed", "profile=%s job=%" PRIu64 " %s", tenant_name(s->t), s->job, text);
	tell_failed(s, s->job, code, text);
	end_record(s, JOB_FAILED, code, text);
}

/* ---- JOB_BEGIN ---- */

static void
begin_run(struct staging_task *task)
{
	struct chore *c = (struct chore *)task;
	const struct sealing *s = c->s;
	int err = index_fresh_head(c->index, &c->fresh);

	/* The loop leaves job, date and T0 alone while BEGINNING. */
	snprintf(c->job_text, sizeof c->job_text, "%" PRIu64 " %" PRIu32 " %" PRId64 " %" PRIu64, s->job, s->date, s->t0_ns, c->fresh);
	if (err == 0)
		err = index_meta_put(c->index, META_JOB, c->job_text, strlen(c->job_text));
	chore_result(c, err);
}

static void
tell_progress(struct sealing *s, const char *phase, uint64_t done, uint64_t total)
{
	struct wire_msg m = {.type = WIRE_PROGRESS};

	m.u.progress.job = s->job;
	m.u.progress.phase = (char *)(uintptr_t)phase;
	m.u.progress.done = done;
	m.u.progress.total = total;
	tenant_tell(s->t, &m);
}

static void
begin_done(struct staging_task *task, bool cancelled)
{
	struct chore *c = (struct chore *)task;
	struct sealing *s = c->s;

	if (cancelled) {
		chore_free(c);
		return;
	}
	s->fresh_t0 = c->fresh;
	s->state = BEGUN;
	start_record(s);
	if (c->err || s->ending) {
		fail(s, c->err, c->text ? c->text : "");
	} else {
		log_info("sealing.begin", "profile=%s job=%" PRIu64 " date=%" PRIu32, tenant_name(s->t), s->job, s->date);
		tell_progress(s, "begin", 0, 0);
	}
	chore_free(c);
}

void
sealing_begin(struct sealing *s, uint64_t job, uint32_t date, int64_t t0_ns)
{
	if (s->state != NONE && s->state != BEGUN) {
		tell_failed(s, job, ERR_BUSY, "another job of this profile is being sealed");
		return;
	}
	if (s->state == BEGUN && s->job == job) { /* again, after a lost connection: T0 stays where it was */
		tell_progress(s, "begin", 0, 0);
		return;
	}
	if (s->state == BEGUN)
		end_record(s, JOB_FAILED, ERR_STOPPED, "given up: the collector began another job");
	struct chore *c = chore_new(s, begin_run, begin_done);
	s->job = job;
	s->date = date;
	s->t0_ns = t0_ns;
	s->ending = false;
	if (!c) {
		fail(s, ERR_NOMEM, "out of memory");
		return;
	}
	s->state = BEGINNING;
	chore_submit(c);
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
	struct chore *c = (struct chore *)task;
	int err = index_total(c->index, &c->total);

	if (err == 0)
		err = index_fresh_head(c->index, &c->fresh);
	if (err == 0)
		err = index_marks(c->index, count_mark, &c->marks);
	chore_result(c, err);
}

static bool
same_sum(const struct treemap_sum *a, const struct treemap_sum *b)
{
	return a->count == b->count && a->bytes == b->bytes && hash128_equal(a->hash, b->hash);
}

static void on_report(const struct report *report, void *arg);

static int
order_seal(struct sealing *s, const struct chore *c)
{
	struct order order = {.kind = ORDER_SEAL, .profile = (char *)(uintptr_t)tenant_name(s->t), .layout = (uint8_t)c->layout,
	    .job = s->job, .date = s->date, .t0_ns = s->t0_ns, .fresh_t0 = s->fresh_t0, .fresh_seal = c->fresh, .total = c->total,
	    .note = s->note, .keep_days = (uint32_t)s->t->keep_days(s->t)};

	s->order = keeper_link_order(s->t->keeper, &order, on_report, s);
	return s->order ? 0 : -ERR_UNREACHABLE;
}

static void
check_done(struct staging_task *task, bool cancelled)
{
	struct chore *c = (struct chore *)task;
	struct sealing *s = c->s;
	struct staging *st = profile_staging(s->t->profile);
	char text[256];

	if (cancelled) {
		chore_free(c);
		return;
	}
	if (c->err || s->ending) {
		fail(s, c->err, c->text ? c->text : "");
	} else if (c->marks || staging_transfers(st)) {
		fail(s, ERR_BUSY, "files are still being transferred");
	} else if (!same_sum(&c->total, &s->total)) {
		snprintf(text, sizeof text, "the server holds %" PRIu64 " names and %" PRIu64 " bytes, the collector expects %" PRIu64
		    " and %" PRIu64 ": not sealed; compare and try again", c->total.count, c->total.bytes, s->total.count, s->total.bytes);
		fail(s, ERR_DIFFERS, text);
	} else {
		/* Nothing is on its way here; from now to the keeper's first word nothing at all changes, then only blobs. */
		staging_hold(st, true);
		staging_freeze(st, true);
		s->frozen = true;
		s->state = SEALING;
		enter_phase(s, JOB_SEAL);
		if (order_seal(s, c) != 0)
			fail(s, ERR_UNREACHABLE, err_text());
		else
			keep_record(s);
	}
	chore_free(c);
}

void
sealing_seal(struct sealing *s, uint64_t job, uint32_t date, int64_t t0_ns, const struct treemap_sum *total, const char *note)
{
	struct chore *c;

	if (s->state != BEGUN || s->job != job || s->date != date || s->t0_ns != t0_ns) {
		tell_failed(s, job, s->state == NONE ? ERR_STOPPED : ERR_BUSY,
		    s->state == NONE ? "this job is not running here: it was stopped, or never begun" : "another job, or this one, is at work");
		return;
	}
	free(s->note);
	s->note = strdup(note);
	s->total = *total;
	s->record.result = JOB_RUNNING; /* it may have failed before */
	s->record.ended_ns = 0;
	c = chore_new(s, check_run, check_done);
	if (!c || !s->note) {
		free(c);
		fail(s, ERR_NOMEM, "out of memory");
		return;
	}
	s->state = CHECKING;
	chore_submit(c);
}

/* ---- what the keeper says ---- */

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
	struct chore *c = (struct chore *)task;
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
	chore_result(c, err);
}

static void
trim(struct sealing *s, uint64_t upto)
{
	struct chore *c = chore_new(s, trim_run, forgotten);

	if (!c) {
		drop_gone(s);
		return;
	}
	c->fresh = upto;
	c->gone = s->gone;
	c->n_gone = s->n_gone;
	s->gone = NULL;
	s->n_gone = s->cap_gone = 0;
	chore_submit(c);
}

static void
tell_sealed(struct sealing *s, const struct report_set *set)
{
	struct wire_msg m = {.type = WIRE_SEALED};

	m.u.sealed.job = s->job;
	m.u.sealed.note = set->note;
	m.u.sealed.set = (struct wire_set){.name = set->name, .started_ns = set->started_ns, .sealed_ns = set->sealed_ns, .files = set->files,
	    .bytes = set->bytes, .verified = set->verified, .state = set->warnings};
	tenant_tell(s->t, &m);
}

static void
sealed(struct sealing *s, const struct report *report)
{
	const struct report_set *set = &report->sets[0];

	release(s);
	log_info("sealing.sealed", "profile=%s job=%" PRIu64 " set=%s files=%" PRIu64 " bytes=%" PRIu64, tenant_name(s->t), s->job, set->name,
	    set->files, set->bytes);
	tenant_note_set(s->t, set);
	tell_sealed(s, set);
	snprintf(s->record.set, sizeof s->record.set, "%s", set->name);
	s->record.set_files = set->files;
	s->record.set_bytes = set->bytes;
	enter_phase(s, JOB_DONE);
	end_record(s, set->warnings ? JOB_WARNED : JOB_GOOD, 0, set->note ? set->note : "");
	trim(s, report->fresh_done);
	forget_job(s);
}

/* Files whose bytes are not what their rows say: without rows they are sent again. */
static void
doubt_run(struct staging_task *task)
{
	struct chore *c = (struct chore *)task;
	struct index_op *ops = calloc(c->n_doubtful, sizeof *ops);
	int err = 0;

	for (size_t i = 0; ops && i < c->n_doubtful; i++) {
		const struct layout_row *row = layout_of(c->layout, c->doubtful[i], false);

		ops[i] = (struct index_op){.kind = INDEX_REMOVE, .path = c->doubtful[i], .blob = row && row->class == LAYOUT_BLOB};
	}
	err = ops ? index_apply(c->index, c->key, ops, c->n_doubtful) : err_set(ERR_NOMEM, "dropping doubtful rows");
	free(ops);
	chore_result(c, err);
}

static void
doubt_done(struct staging_task *task, bool cancelled)
{
	struct chore *c = (struct chore *)task;

	if (!cancelled)
		fail(c->s, c->code, c->why ? c->why : "");
	chore_free(c);
}

static void
failed(struct sealing *s, const struct report *report)
{
	const char *text = report->text ? report->text : "";
	struct chore *c = report->n_doubtful ? chore_new(s, doubt_run, doubt_done) : NULL;

	if (!c || !(c->doubtful = calloc(report->n_doubtful, sizeof *c->doubtful))) {
		free(c);
		fail(s, report->code, text);
		return;
	}
	for (size_t i = 0; i < report->n_doubtful; i++) {
		char *path = strdup(report->doubtful[i]);

		if (path)
			c->doubtful[c->n_doubtful++] = path;
	}
	c->code = report->code;
	c->why = strdup(text);
	s->state = FORGETTING;
	staging_freeze(profile_staging(s->t->profile), false);
	chore_submit(c);
}

static void
thaw(struct sealing *s)
{
	struct staging *st = profile_staging(s->t->profile);

	if (s->frozen && st)
		staging_freeze(st, false);
	s->frozen = false;
}

static void
on_report(const struct report *report, void *arg)
{
	struct sealing *s = arg;

	thaw(s);
	switch (report->kind) {
	case REPORT_PROGRESS:
		s->done = report->done;
		s->all = report->total;
		tell_progress(s, report->phase ? report->phase : "", report->done, report->total);
		s->t->changed(s->t);
		break;
	case REPORT_LINE:
		log_warn("sealing.line", "profile=%s %s", tenant_name(s->t), report->text ? report->text : "");
		break;
	case REPORT_GONE:
		collect_gone(s, report);
		break;
	case REPORT_DONE:
		if (report->n_sets)
			sealed(s, report);
		else
			fail(s, ERR_PEER, "the keeper named no set");
		break;
	case REPORT_FAILED:
		failed(s, report);
		break;
	}
}

/* ---- STOP, JOB_END ---- */

void
sealing_stop(struct sealing *s, uint64_t job, const char *who)
{
	char text[128];

	if (s->state == NONE || s->job != job)
		return;
	snprintf(s->who, sizeof s->who, "%s", who);
	if (s->state != BEGUN) {
		s->ending = true; /* the running step comes to its end first */
		if (s->state == SEALING)
			keeper_link_stop(s->t->keeper, tenant_name(s->t), s->order);
		return;
	}
	snprintf(text, sizeof text, "stopped by %s", who);
	end_record(s, JOB_STOPPED, ERR_STOPPED, text);
	forget_job(s);
}

void
sealing_end(struct sealing *s, uint64_t job)
{
	sealing_stop(s, job, "the collector");
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

/* ---- the rest ---- */

void
sealing_load(struct sealing *s)
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
		s->phase_began_ns = now_ns();
	}
	free(text);
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
