/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job - the day's functions: T0 told, a snapshot streamed from staging, the seal asked for, and the way out of each. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/verified.h"
#include "replicator/own.h"

bool
job_knows(const struct replicator *r, enum wire_type type)
{
	return link_version(r->link) >= wire_type_since(type);
}

/* ---- T0 ---- */

static void
end_begin(struct replicator *r, int err, const char *text)
{
	promise_keep(r, r->job.owed, err, text);
	r->job.owed = NULL;
}

int
replicator_job_begin(struct replicator *r, uint64_t job, uint32_t date, int64_t t0_ns, const char *origin, replicator_done *done, void *arg)
{
	struct promise *owed = promise_new(done, arg);

	if (!owed)
		return -ERR_NOMEM;
	if (r->job.owed)
		end_begin(r, -ERR_STOPPED, "another job began");
	r->job.job = job;
	snprintf(r->job.origin, sizeof r->job.origin, "%s", origin);
	r->job.date = date;
	r->job.t0_ns = t0_ns;
	r->job.sent = false;
	r->job.owed = owed;
	pump_wake(r);
	return 0;
}

static void
send_begin(struct replicator *r)
{
	struct wire_msg m = {.type = WIRE_JOB_BEGIN}, from = {.type = WIRE_ORIGIN};

	from.u.origin.job = r->job.job;
	from.u.origin.origin = r->job.origin;
	if (job_knows(r, WIRE_ORIGIN))
		(void)link_send(r->link, &from); /* a link that breaks here tells it again with JOB_BEGIN */
	m.u.job_begin.job = r->job.job;
	m.u.job_begin.date = r->job.date;
	m.u.job_begin.t0_ns = r->job.t0_ns;
	r->job.sent = link_send(r->link, &m) == 0;
}

/* ---- the snapshot ---- */

void
snapshot_ref(struct snapshot *sn)
{
	sn->refs++;
}

void
snapshot_unref(struct snapshot *sn)
{
	if (--sn->refs)
		return;
	close(sn->origin.staging_fd);
	free(sn->owed);
	free(sn);
}

/* No further work of it begins; what is on its way refers to it until it is over. */
static void
leave_snapshot(struct replicator *r, int err, const char *text)
{
	struct snapshot *sn = r->snapshot;

	if (!sn)
		return;
	sn->over = true;
	if (sn->owed)
		promise_keep(r, sn->owed, err, text);
	sn->owed = NULL;
	r->snapshot = NULL;
	snapshot_unref(sn);
	pump_wake(r);
}

void
replicator_snapshot_begin(struct replicator *r, int staging_fd)
{
	struct snapshot *sn = calloc(1, sizeof *sn);

	leave_snapshot(r, -ERR_STOPPED, "another snapshot began");
	r->copied_ns = 0;
	r->databases_lost = false;
	if (!sn || (sn->origin.staging_fd = fcntl(staging_fd, F_DUPFD_CLOEXEC, 3)) < 0) {
		log_error("job.snapshot", "staging cannot be held: out of memory or descriptors");
		free(sn); /* snapshot_end tells */
		return;
	}
	sn->origin.type = r->live.type;
	sn->refs = 1;
	r->snapshot = sn;
}

/* Hashes are a help, not a need: past the budget they are dropped and the file is read. */
static void
keep_hints(struct snapshot *sn, struct work *w, struct hash128 *hashes, size_t n, const struct hash128 *digest)
{
	size_t bytes = n * sizeof *hashes;

	if (!hashes || !digest || sn->hint_bytes + bytes > HINT_BYTES) {
		free(hashes);
		return;
	}
	w->hints = hashes;
	w->n_hints = n;
	w->hint_bytes = bytes;
	w->hint_digest = *digest;
	sn->hint_bytes += bytes;
}

void
replicator_snapshot_file(struct replicator *r, const char *path, struct hash128 *hashes, size_t n, const struct hash128 *digest)
{
	struct snapshot *sn = r->snapshot;
	struct work *w = sn ? flow_new(r, path, &sn->origin) : NULL;

	if (!w) { /* the comparison at the end finds it */
		free(hashes);
		return;
	}
	w->snapshot = sn;
	snapshot_ref(sn);
	sn->open++;
	keep_hints(sn, w, hashes, n, digest);
	flow_add(r, w);
}

int
replicator_snapshot_end(struct replicator *r, replicator_done *done, void *arg)
{
	struct snapshot *sn = r->snapshot;
	struct promise *owed = promise_new(done, arg);

	r->copied_ns = clock_wall_ns();
	if (!owed || !sn || !(sn->sweep = sweep_new(r, ""))) {
		free(owed);
		return err_set(ERR_NOMEM, "staging could not be held: out of memory or descriptors");
	}
	sn->sweep->snapshot = sn;
	snapshot_ref(sn);
	sn->owed = owed;
	return 0;
}

static void
pump_snapshot(struct replicator *r)
{
	struct snapshot *sn = r->snapshot;

	if (!sn || !sn->owed)
		return;
	if (sn->err) {
		leave_snapshot(r, sn->err, sn->text);
	} else if (!sn->sweep && !sn->open && !sn->again) {
		leave_snapshot(r, 0, "");
	} else if (!sn->sweep && !sn->open && (sn->sweep = sweep_new(r, ""))) {
		sn->again = false;
		sn->sweep->snapshot = sn;
		snapshot_ref(sn);
	}
}

/* What was streamed may be among it, and the scan of staging may have passed it.  After the stream nothing compares staging any more. */
void
job_databases_lost(struct replicator *r)
{
	if (!r->snapshot)
		r->databases_lost = true;
	else if (r->snapshot->owed)
		r->snapshot->again = true;
	pump_wake(r);
}

/* ---- the seal ---- */

static void
free_seal(struct replicator *r)
{
	free(r->seal.note);
	r->seal.note = NULL;
	r->seal.state = SEAL_NONE;
	flow_release_held(r);
}

static void
end_seal(struct replicator *r, int err, const char *text, const struct wire_set *set, const char *note)
{
	const struct replicator_seal_events *events = r->seal.events;
	void *arg = r->seal.arg;

	free_seal(r);
	events->done(err, text, set, note, arg);
}

void
replicator_seal(struct replicator *r, uint64_t job, uint32_t date, int64_t t0_ns, const char *note,
    const struct replicator_seal_events *events, void *arg)
{
	assert(r->seal.state == SEAL_NONE);
	r->seal.state = SEAL_QUIET;
	r->seal.stopped = false;
	r->seal.job = job;
	r->seal.date = date;
	r->seal.t0_ns = t0_ns;
	r->seal.note = strdup(note ? note : "");
	r->seal.events = events;
	r->seal.arg = arg;
	pump_wake(r);
}

struct totalling {
	struct errand errand;
	unsigned epoch;
	uint64_t job;
	struct treemap_sum total;
	int err;
	char text[200];
};

static void
run_total(struct errand *e)
{
	struct totalling *t = (struct totalling *)e;

	t->err = blockmap_total(e->r->setup.map, &t->total);
	if (t->err < 0)
		snprintf(t->text, sizeof t->text, "%s", err_text());
}

static void
send_seal(struct replicator *r, const struct treemap_sum *total)
{
	struct wire_msg m = {.type = WIRE_SEAL};

	m.u.seal.job = r->seal.job;
	m.u.seal.date = r->seal.date;
	m.u.seal.t0_ns = r->seal.t0_ns;
	m.u.seal.total = *total;
	m.u.seal.note = r->seal.note;
	r->seal.state = link_send(r->link, &m) == 0 ? SEAL_SENT : SEAL_QUIET;
}

static void
on_total(struct errand *e, bool cancelled)
{
	struct totalling *t = (struct totalling *)e;
	struct replicator *r = e->r;

	if (!cancelled && r->seal.state == SEAL_TOTAL && r->seal.job == t->job) {
		if (t->err < 0)
			end_seal(r, t->err, t->text, NULL, "");
		else if (t->epoch != r->epoch || r->phase != PHASE_RUN)
			r->seal.state = SEAL_QUIET;
		else
			send_seal(r, &t->total);
	}
	free(t);
}

static void
pump_seal(struct replicator *r)
{
	struct totalling *t;

	if (r->seal.state != SEAL_QUIET || r->phase != PHASE_RUN || !flow_quiet(r))
		return;
	if (r->databases_lost) {
		end_seal(r, -ERR_DIFFERS, "the server no longer holds the databases that it had acknowledged: no set was made; run the backup again", NULL, "");
		return;
	}
	if (!(t = calloc(1, sizeof *t)))
		return;
	t->epoch = r->epoch;
	t->job = r->seal.job;
	t->errand.run = run_total;
	t->errand.done = on_total;
	r->seal.state = SEAL_TOTAL;
	errand_start(r, r->setup.lane_journal, &t->errand);
}

/* What the request says the server must hold stays true until the answer: mutable areas wait. */
bool
job_holds(const struct replicator *r, const struct work *w)
{
	const struct layout_row *row;

	if (r->seal.state != SEAL_SENT)
		return false;
	row = layout_of(r->live.type, w->path, false);
	return !row || row->class != LAYOUT_BLOB;
}

bool
job_stops_flow(const struct replicator *r)
{
	return r->seal.state == SEAL_QUIET || r->seal.state == SEAL_TOTAL;
}

void
replicator_seal_stop(struct replicator *r)
{
	struct wire_msg stop = {.type = WIRE_STOP};
	char origin[] = "collector";

	stop.u.stop.job = r->seal.job;
	stop.u.stop.origin = origin;
	/* Not sent yet, or the link is gone: the server is told by JOB_END, now or at the next link. */
	if (r->seal.state != SEAL_NONE && (r->seal.state != SEAL_SENT || link_send(r->link, &stop) != 0))
		end_seal(r, -ERR_STOPPED, "stopped", NULL, "");
	else
		r->seal.stopped = true;
}

static int
tell_end(struct replicator *r, const struct ending *e)
{
	struct wire_msg end = {.type = WIRE_JOB_END}, over = {.type = WIRE_JOB_OVER};

	end.u.job_end.job = e->job;
	over.u.job_over.job = e->job;
	over.u.job_over.date = e->date;
	over.u.job_over.t0_ns = e->t0_ns;
	over.u.job_over.origin = (char *)(uintptr_t)e->origin;
	over.u.job_over.code = e->code;
	over.u.job_over.text = (char *)(uintptr_t)e->text;
	return link_send(r->link, job_knows(r, WIRE_JOB_OVER) ? &over : &end);
}

/* Nothing answers them, and a link may lose what it took: each link is told all of them anew.  A server passes over what it knows. */
static void
pump_endings(struct replicator *r)
{
	while (r->phase == PHASE_RUN && r->endings_told < r->n_endings && tell_end(r, &r->endings[r->endings_told]) == 0)
		r->endings_told++;
}

static void
keep_ending(struct replicator *r, const struct replicator_job_end *end)
{
	struct ending *e;

	if (r->n_endings == ENDINGS_MAX) {
		memmove(r->endings, r->endings + 1, --r->n_endings * sizeof *r->endings);
		r->endings_told -= r->endings_told > 0;
	}
	e = &r->endings[r->n_endings++];
	*e = (struct ending){.job = end->job, .date = end->date, .t0_ns = end->t0_ns, .code = end->code};
	snprintf(e->origin, sizeof e->origin, "%s", end->origin);
	snprintf(e->text, sizeof e->text, "%s", end->text);
}

void
replicator_job_end(struct replicator *r, const struct replicator_job_end *end)
{
	if (r->seal.state == SEAL_SENT) {
		struct wire_msg stop = {.type = WIRE_STOP};
		char origin[] = "collector";

		stop.u.stop.job = end->job;
		stop.u.stop.origin = origin;
		(void)link_send(r->link, &stop); /* a lost link stops nothing; the next one tells JOB_END */
	}
	if (r->seal.state != SEAL_NONE)
		free_seal(r);
	if (r->job.owed)
		end_begin(r, -ERR_STOPPED, "stopped");
	leave_snapshot(r, -ERR_STOPPED, "stopped");
	keep_ending(r, end);
	pump_endings(r);
	pump_wake(r);
}

/* ---- when the next set is due ---- */

void
replicator_set_due(struct replicator *r, int64_t due_ns)
{
	if (due_ns == r->due_ns)
		return;
	r->due_ns = due_ns;
	r->due_told = false;
	pump_wake(r);
}

static void
pump_due(struct replicator *r)
{
	struct wire_msg m = {.type = WIRE_DUE};

	if (r->due_told || r->phase != PHASE_RUN || !job_knows(r, WIRE_DUE))
		return;
	m.u.due.at_ns = r->due_ns;
	r->due_told = link_send(r->link, &m) == 0;
}

/* ---- what the server says ---- */

void
job_newest_set(struct replicator *r, const char *name, int64_t sealed_ns, int64_t started_ns, uint8_t verified)
{
	snprintf(r->status.last_set, sizeof r->status.last_set, "%s", name ? name : "");
	r->status.last_sealed_ns = sealed_ns;
	r->status.last_started_ns = started_ns;
	r->status.last_verified = verified;
	state_changed(r);
}

static void
on_progress(struct replicator *r, const struct wire_msg *m)
{
	if (r->job.owed && m->u.progress.job == r->job.job)
		end_begin(r, 0, "");
	else if (r->seal.state == SEAL_SENT && m->u.progress.job == r->seal.job && r->seal.events->progress)
		r->seal.events->progress(m->u.progress.phase, m->u.progress.done, m->u.progress.total, r->seal.arg);
}

static void
on_sealed(struct replicator *r, const struct wire_msg *m)
{
	const struct wire_set *set = &m->u.sealed.set;

	job_newest_set(r, set->name, set->sealed_ns, set->started_ns, set->verified);
	/* Also before it is asked for again, after a lost connection. */
	if (r->seal.state != SEAL_NONE && m->u.sealed.job == r->seal.job)
		end_seal(r, 0, "", set, m->u.sealed.note);
}

static void
on_failed(struct replicator *r, const struct wire_msg *m)
{
	int err = m->u.job_failed.code > 0 ? -m->u.job_failed.code : m->u.job_failed.code;

	if (r->job.owed && m->u.job_failed.job == r->job.job) {
		end_begin(r, err, m->u.job_failed.text);
	} else if (r->seal.state == SEAL_SENT && m->u.job_failed.job == r->seal.job) {
		end_seal(r, err, m->u.job_failed.text, NULL, "");
		/* What it found wanting it no longer claims to hold.  The next link begins with an agreement: without one, no set
		 * would be made for as long as this link lasts. */
		if (err == -ERR_DIFFERS)
			link_drop(r->link, err, "the server does not hold what we believe: both are compared");
	}
}

bool
job_message(struct replicator *r, struct wire_msg *msg)
{
	switch (msg->type) {
	case WIRE_PROGRESS:
		on_progress(r, msg);
		break;
	case WIRE_SEALED:
		on_sealed(r, msg);
		break;
	case WIRE_JOB_FAILED:
		on_failed(r, msg);
		break;
	case WIRE_NEWEST:
		if (!job_knows(r, WIRE_NEWEST))
			return false;
		job_newest_set(r, msg->u.newest.set.name, msg->u.newest.set.sealed_ns, msg->u.newest.set.started_ns, msg->u.newest.set.verified);
		break;
	case WIRE_STOP:
		if (r->events->stop)
			r->events->stop(msg->u.stop.job, msg->u.stop.origin, r->arg);
		break;
	default:
		return false;
	}
	pump_wake(r);
	return true;
}

/* The seal's answer may have been lost with the link: the newest set tells. */
void
job_welcome(struct replicator *r, const struct wire_msg *msg)
{
	r->welcome_ns = msg->u.welcome.now_ns > 0 && msg->u.welcome.now_ns < INT64_MAX / 2 ? msg->u.welcome.now_ns : 0;
	r->welcome_ms = clock_steady_ms();
	job_newest_set(r, msg->u.welcome.last_set, msg->u.welcome.last_sealed_ns, msg->u.welcome.last_started_ns, SET_UNKNOWN); /* NEWEST tells whether it is good */
	if (r->seal.state != SEAL_NONE && msg->u.welcome.last_started_ns == r->seal.t0_ns && *msg->u.welcome.last_set)
		end_seal(r, 0, "", &(struct wire_set){.name = msg->u.welcome.last_set}, "");
}

void
job_closed(struct replicator *r)
{
	r->job.sent = false;
	r->due_told = false;
	r->endings_told = 0;
	if (r->seal.state == SEAL_NONE)
		return;
	r->seal.state = SEAL_QUIET;
	/* Nobody knows whether the STOP was read; the server is told by JOB_OVER at the next link. */
	if (r->seal.stopped)
		end_seal(r, -ERR_STOPPED, "stopped", NULL, "");
}

void
job_pump(struct replicator *r)
{
	pump_snapshot(r);
	pump_seal(r);
	pump_due(r);
	pump_endings(r);
	if (r->phase == PHASE_RUN && r->job.owed && !r->job.sent)
		send_begin(r);
}

void
job_fini(struct replicator *r)
{
	if (r->snapshot)
		snapshot_unref(r->snapshot);
	free(r->job.owed);
	free(r->seal.note);
}
