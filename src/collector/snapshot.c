/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot - the step machine of one Standard backup.
 *
 * Happy path: PREPARE (lane: staging) -> BEGIN (server knows T0) -> COPY (DBCOPY; finished files are streamed) -> STREAM (all of
 * staging compared and durable) -> BARRIER (every live change up to the cookie durable) -> SEAL (the poke, and its answer).
 * Failure and stop: one way out, fail(): whatever runs is told to end; when nothing runs any more the server's hold is
 * released and the record closed.  Nothing of a failed job is left but warm staging, which the next one patches.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/workpool.h"
#include "collector/config.h"
#include "collector/dbcopy.h"
#include "collector/hook.h"
#include "collector/preparation.h"
#include "collector/schedule.h"
#include "collector/snapshot.h"
#include "livetree.h"
#include "replicator/replicator.h"
#include "wire/wire.h"

enum step { STEP_IDLE, STEP_PREPARE, STEP_BEGIN, STEP_COPY, STEP_STREAM, STEP_BARRIER, STEP_SEAL, STEPS };

static const char *const step_names[] = {
    [STEP_IDLE] = "idle", [STEP_PREPARE] = "prepare", [STEP_BEGIN] = "begin", [STEP_COPY] = "copy",
    [STEP_STREAM] = "stream", [STEP_BARRIER] = "barrier", [STEP_SEAL] = "seal",
};
_Static_assert(sizeof step_names / sizeof *step_names == STEPS, "every step has a name");

#define PASSES_MAX 3 /* copies of the databases in one job */

struct snapshot {
	struct snapshot_setup setup;
	char *profile_dir;

	enum step step;
	bool failing;               /* the job ends; we wait for what still runs */
	bool freed;                 /* the owner is gone; the lane's work frees us */
	bool seal_over;             /* the server has answered the seal request */
	struct job_record record;
	struct job_progress progress; /* of the present phase */
	int64_t phase_since_ns;
	uint64_t sent_files, sent_bytes, sent_wire; /* of the link when the job began */

	struct job job;             /* PREPARE, in the lane */
	struct preparation prepared;
	char day[16], *log_path;
	char *command;              /* dbcopy's, as it was at the start: a reload frees the configuration while the lane reads it */
	int prepare_err;
	char prepare_text[1024];

	struct dbcopy *dbcopy;
	uint64_t barrier;

	/* of the present copy of the databases */
	bool copied;                /* DBCOPY ended well */
	unsigned passes;            /* with those before it */
	uint64_t vanished, missed;  /* of the flow when it began */
	bool asked_twice;           /* its second cookie is under way or back */
	uint64_t files_before, bytes_before;

	void (*done)(const struct job_record *record, void *arg);
	void *done_arg;
	void (*changed)(const struct job_record *record, void *arg);
	void *changed_arg;
};

/* ---- the record ---- */

static void
tell(struct snapshot *s)
{
	if (s->changed)
		s->changed(&s->record, s->changed_arg);
}

static void
count_sent(struct snapshot *s)
{
	struct replicator_status flow;

	replicator_status(s->setup.replicator, &flow);
	s->record.files_sent = flow.files_sent - s->sent_files;
	s->record.bytes_sent = flow.payload_bytes_sent - s->sent_bytes;
	s->record.wire_bytes = flow.wire_bytes_sent - s->sent_wire;
}

static void
store_record(struct snapshot *s)
{
	if (jobs_put(s->setup.jobs, &s->record) != 0)
		log_warn("snapshot.history", "profile=%s: %s; the backup itself is not affected", s->setup.profile, err_text());
}

static void
enter_phase(struct snapshot *s, enum job_phase phase)
{
	int64_t now = clock_wall_ns();

	if (phase == s->record.phase && phase != JOB_CHECK)
		return;
	s->record.phase_ms[s->record.phase] += (now - s->phase_since_ns) / 1000000;
	s->phase_since_ns = now;
	s->record.phase = phase;
	s->progress = (struct job_progress){0};
	count_sent(s);
	log_info("snapshot.phase", "profile=%s job=%llu phase=%s", s->setup.profile, (unsigned long long)s->record.id, job_phase_name(phase));
	store_record(s);
	tell(s);
}

static void
warn(struct snapshot *s, const char *text)
{
	size_t used = strlen(s->record.text);

	if (text && *text)
		snprintf(s->record.text + used, sizeof s->record.text - used, "%s%s", used ? "; " : "", text);
}

/* ---- the end ---- */

static void
after_hooks(struct snapshot *s)
{
	char t0[32];
	bool good = s->record.result == JOB_GOOD || s->record.result == JOB_WARNED || PLANTED(stamp_without_a_set);

	/* The stamp carries the snapshot's start: what arrived and was deleted during the copy is not purged unsaved. */
	snprintf(t0, sizeof t0, "%lld", (long long)((PLANTED(stamp_of_the_end) ? s->record.ended_ns : s->record.t0_ns) / 1000000000));
	if (good)
		hook_run(s->setup.base, "purge-stamp", s->setup.config->purge_stamp, t0, &s->record);
	if (s->record.result != JOB_GOOD)
		hook_run(s->setup.base, "notify", s->setup.config->notify, NULL, &s->record);
}

static void
destroy(struct snapshot *s)
{
	preparation_end(&s->prepared, s->copied);
	free(s->command);
	free(s->log_path);
	free(s->profile_dir);
	free(s);
}

/* The server hears of every job, begun there or not: what fails here must not stay green there. */
static void
tell_end(struct snapshot *s)
{
	const struct replicator_job_end end = {.job = s->record.id, .date = s->record.date, .t0_ns = s->record.t0_ns,
	    .origin = s->record.origin, .code = s->record.code, .text = s->record.text};

	replicator_job_end(s->setup.replicator, &end);
}

static void
finish(struct snapshot *s, enum job_result result)
{
	void (*done)(const struct job_record *, void *) = s->done;
	void *done_arg = s->done_arg;

	if (result != JOB_GOOD && result != JOB_WARNED)
		tell_end(s);
	dbcopy_free(s->dbcopy);
	s->dbcopy = NULL;
	preparation_end(&s->prepared, s->copied);
	free(s->command);
	s->command = NULL;
	free(s->log_path);
	s->log_path = NULL;
	count_sent(s);
	s->record.ended_ns = clock_wall_ns();
	s->record.phase_ms[s->record.phase] += (s->record.ended_ns - s->phase_since_ns) / 1000000;
	s->record.result = result;
	if (result == JOB_GOOD || result == JOB_WARNED)
		s->record.phase = JOB_DONE;
	s->step = STEP_IDLE;
	s->failing = false;
	s->done = NULL;
	log_write(result == JOB_FAILED ? LOG_ERROR : result == JOB_GOOD ? LOG_INFO : LOG_WARN, "snapshot.end",
	    "profile=%s job=%llu result=%s phase=%s set=%s %s", s->setup.profile, (unsigned long long)s->record.id, job_result_name(result),
	    job_phase_name(s->record.phase), s->record.set, s->record.text);
	store_record(s);
	after_hooks(s);
	tell(s);
	if (done)
		done(&s->record, done_arg);
}

static void
finish_failed(struct snapshot *s)
{
	finish(s, s->record.code == ERR_STOPPED ? JOB_STOPPED : JOB_FAILED);
}

/* The one way out: remembers the first cause, tells what runs to end; what ends calls back and lands in finish_failed. */
static void
fail(struct snapshot *s, int err, const char *text)
{
	if (s->failing)
		return;
	s->failing = true;
	s->record.code = err < 0 ? -err : err;
	snprintf(s->record.text, sizeof s->record.text, "%s", text && *text ? text : err_words(err));
	switch (s->step) {
	case STEP_PREPARE: /* the lane's work ends soon, its `done` finishes */
		return;
	case STEP_COPY:
		if (s->dbcopy) {
			dbcopy_stop(s->dbcopy);
			return;
		}
		break;
	case STEP_SEAL:
		if (!s->seal_over) {
			replicator_seal_stop(s->setup.replicator);
			return;
		}
		break;
	case STEP_BARRIER:
		if (s->barrier)
			replicator_cancel(s->setup.replicator, s->barrier);
		break;
	default:
		break;
	}
	finish_failed(s);
}

/* True when the callback of a step belongs to a job that has moved on or is ending. */
static bool
stale(const struct snapshot *s, enum step step)
{
	return s->step != step || s->failing;
}

/* ---- the steps, last first ---- */

static void
sealed(int err, const char *text, const struct wire_set *set, const char *note, void *arg)
{
	struct snapshot *s = arg;

	if (s->step != STEP_SEAL)
		return;
	if (err && s->failing) {
		finish_failed(s);
		return;
	}
	if (err) {
		s->seal_over = true;
		fail(s, err, text);
		return;
	}
	if (s->failing) {
		/* The stop came too late: there is a set, and it is a good one. */
		s->record.code = 0;
		snprintf(s->record.text, sizeof s->record.text, "%s", "");
	}
	snprintf(s->record.set, sizeof s->record.set, "%s", set->name);
	s->record.set_files = set->files;
	s->record.set_bytes = set->bytes;
	if (note && *note) {
		s->record.text[0] = '\0';
		warn(s, note);
	}
	finish(s, *s->record.text ? JOB_WARNED : JOB_GOOD);
}

static void
seal_progress(const char *phase, uint64_t done, uint64_t total, void *arg)
{
	struct snapshot *s = arg;

	if (stale(s, STEP_SEAL))
		return;
	enter_phase(s, JOB_SEAL);
	s->progress = (struct job_progress){.done = done, .total = total};
	snprintf(s->progress.step, sizeof s->progress.step, "%s", phase);
	tell(s);
}

static void
seal(struct snapshot *s)
{
	static const struct replicator_seal_events events = {.progress = seal_progress, .done = sealed};

	s->step = STEP_SEAL;
	s->seal_over = false;
	enter_phase(s, JOB_NOTIFY);
	replicator_seal(s->setup.replicator, s->record.id, s->record.date, s->record.t0_ns, s->record.text, &events, s);
}

static void copy(struct snapshot *s);
static void wait_for_flow(struct snapshot *s);

/*
 * A blob that was deleted before it could be sent may be named by a database of this copy: the databases are copied once more, and
 * name it no longer.  Whether a name that vanished was deleted or renamed is known when the events that were queued by then are read,
 * and that a second cookie tells.  True: not yet ready to be sealed.
 */
static bool
catch_up(struct snapshot *s)
{
	struct replicator_status flow;

	replicator_status(s->setup.replicator, &flow);
	if (flow.vanished != s->vanished && !s->asked_twice) {
		s->asked_twice = true;
		wait_for_flow(s);
		return true;
	}
	if (flow.missed == s->missed)
		return false;
	log_info("snapshot.missed", "profile=%s job=%llu blobs=%llu pass=%u", s->setup.profile, (unsigned long long)s->record.id,
	    (unsigned long long)(flow.missed - s->missed), s->passes);
	if (s->passes < PASSES_MAX) {
		dbcopy_free(s->dbcopy);
		s->dbcopy = NULL;
		copy(s);
		return true;
	}
	warn(s, "blobs were deleted before they could be sent, in each of several copies of the databases: messages that were deleted during "
	        "this backup may lack their content in the set; if this repeats, run the backup at a quieter time");
	return false;
}

static void
barrier_passed(int err, const char *text, void *arg)
{
	struct snapshot *s = arg;

	if (stale(s, STEP_BARRIER))
		return;
	s->barrier = 0;
	if (err) {
		fail(s, err, text);
		return;
	}
	if (catch_up(s))
		return;
	warn(s, text); /* stale files: the set has what came before, and says so */
	seal(s);
}

static void
wait_for_flow(struct snapshot *s)
{
	s->step = STEP_BARRIER;
	enter_phase(s, JOB_BARRIER);
	if (replicator_barrier(s->setup.replicator, barrier_passed, s, &s->barrier) != 0)
		fail(s, -ERR_NOMEM, err_text());
}

static void
streamed(int err, const char *text, void *arg)
{
	struct snapshot *s = arg;

	if (stale(s, STEP_STREAM))
		return;
	if (err) {
		fail(s, err, text);
		return;
	}
	wait_for_flow(s);
}

static void
copied(int err, const char *text, const struct dbcopy_figures *figures, void *arg)
{
	struct snapshot *s = arg;

	if (s->failing) {
		finish_failed(s);
		return;
	}
	if (err) {
		struct dbcopy *gone = s->dbcopy; /* `text` lies in it */

		s->dbcopy = NULL; /* nothing is left to wait for */
		fail(s, err, text);
		dbcopy_free(gone);
		return;
	}
	s->copied = true;
	s->record.files_copied = s->files_before + figures->files_copied;
	s->record.bytes_copied = s->bytes_before + figures->bytes_copied;
	warn(s, figures->warnings);
	s->step = STEP_STREAM;
	enter_phase(s, JOB_STREAM);
	if (replicator_snapshot_end(s->setup.replicator, streamed, s) != 0)
		fail(s, -ERR_NOMEM, err_text());
}

static void
file_copied(const struct dbcopy_file *file, void *arg)
{
	struct snapshot *s = arg;

	if (stale(s, STEP_COPY))
		free(file->hashes);
	else if (file->changed)
		replicator_snapshot_file(s->setup.replicator, file->path, file->hashes, file->n_hashes, &file->digest);
	else
		free(file->hashes);
}

static void
copy_progress(uint64_t files, uint64_t bytes, void *arg)
{
	struct snapshot *s = arg;

	s->record.files_copied = s->files_before + files;
	s->record.bytes_copied = s->bytes_before + bytes;
	s->progress = (struct job_progress){.done = bytes, .total = dbcopy_total(s->dbcopy)};
	tell(s);
}

static void
copy(struct snapshot *s)
{
	static const struct dbcopy_events events = {.file = file_copied, .progress = copy_progress, .done = copied};
	struct replicator_status flow;
	char *shadow = NULL;
	uint8_t key[BLOCK_KEY_BYTES];
	struct dbcopy_setup setup = {
	    .base = s->setup.base,
	    .pool = s->setup.pool,
	    .lane = s->setup.lane,
	    .tree = s->setup.tree,
	    .command = s->setup.config->dbcopy,
	    .staging = s->prepared.staging,
	    .lock = s->prepared.lock,
	    .log_file = s->log_path,
	    .key = key,
	    .timeout_ms = s->setup.config->dbcopy_timeout_ms,
	    .t0_ns = s->record.t0_ns,
	};

	replicator_status(s->setup.replicator, &flow);
	s->vanished = flow.vanished;
	s->missed = flow.missed;
	s->asked_twice = false;
	s->copied = false;
	s->passes++;
	s->files_before = s->record.files_copied;
	s->bytes_before = s->record.bytes_copied;
	s->step = STEP_COPY;
	enter_phase(s, JOB_COPY);
	replicator_snapshot_begin(s->setup.replicator, s->prepared.staging_fd);
	if (!replicator_key(s->setup.replicator, key) || asprintf(&shadow, "%s/shadow", s->profile_dir) < 0) {
		fail(s, -ERR_UNREACHABLE, "the server has not told us the profile's hash key yet");
		return;
	}
	setup.shadow = shadow;
	if (dbcopy_start(&setup, &events, s, &s->dbcopy) != 0)
		fail(s, -ERR_IO, err_text());
	free(shadow);
}

static void
begun(int err, const char *text, void *arg)
{
	struct snapshot *s = arg;

	if (stale(s, STEP_BEGIN))
		return;
	if (err)
		fail(s, err, text);
	else
		copy(s);
}

/* ---- the first step (lane) ---- */

static void
prepare_run(struct job *job)
{
	struct snapshot *s = (struct snapshot *)((char *)job - offsetof(struct snapshot, job));

	s->prepare_err = preparation_make(&s->prepared);
	if (s->prepare_err)
		snprintf(s->prepare_text, sizeof s->prepare_text, "%s", err_text());
}

static void
prepare_done(struct job *job, bool cancelled)
{
	struct snapshot *s = (struct snapshot *)((char *)job - offsetof(struct snapshot, job));

	if (s->freed) {
		destroy(s);
		return;
	}
	if (s->failing) {
		finish_failed(s);
		return;
	}
	s->step = STEP_BEGIN;
	if (cancelled || s->prepare_err) {
		fail(s, cancelled ? -ERR_STOPPED : s->prepare_err, cancelled ? "the collector is ending" : s->prepare_text);
		return;
	}
	warn(s, s->prepared.warning);
	s->record.t0_ns = clock_wall_ns();
	if (replicator_job_begin(s->setup.replicator, s->record.id, s->record.date, s->record.t0_ns, s->record.origin, begun, s) != 0)
		fail(s, -ERR_NOMEM, err_text());
}

/* ---- the public face ---- */

int
snapshot_new(const struct snapshot_setup *setup, struct snapshot **ret_snapshot)
{
	struct snapshot *s = calloc(1, sizeof *s);

	if (!s || !(s->profile_dir = strdup(setup->profile_dir))) {
		free(s);
		return err_set(ERR_NOMEM, "preparing backups of %s", setup->profile);
	}
	s->setup = *setup;
	preparation_init(&s->prepared);
	*ret_snapshot = s;
	return 0;
}

void
snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	s->changed = NULL;
	s->done = NULL;
	if (s->step == STEP_PREPARE) {
		s->freed = true;
		return;
	}
	if (s->step != STEP_IDLE) {
		s->record.code = ERR_INTERRUPTED; /* nobody stopped it: it may be made up for */
		snprintf(s->record.text, sizeof s->record.text, "the collector ended while the job ran");
		finish(s, JOB_STOPPED);
	}
	destroy(s);
}

void
snapshot_set_config(struct snapshot *s, const struct profile_config *config, const struct zone *zone)
{
	s->setup.config = config;
	s->setup.zone = zone;
}

static void
name_day(struct snapshot *s)
{
	/* The weekday of a date, whatever the zone: noon UTC. */
	struct tm tm = {.tm_year = (int)(s->record.date / 10000) - 1900, .tm_mon = (int)(s->record.date / 100 % 100) - 1,
	    .tm_mday = (int)(s->record.date % 100), .tm_hour = 12};
	timegm(&tm);
	layout_day_name(tm.tm_wday, tm.tm_mon + 1, tm.tm_mday, s->day);
}

int
snapshot_start(struct snapshot *s, const char *origin, uint32_t date, void (*done)(const struct job_record *record, void *arg), void *arg,
    uint64_t *ret_id)
{
	struct replicator_status flow;
	int64_t now = clock_wall_ns();

	if (s->step != STEP_IDLE)
		return err_set(ERR_BUSY, "job %llu of %s is running (phase %s)", (unsigned long long)s->record.id, s->setup.profile,
		    job_phase_name(s->record.phase));
	s->record = (struct job_record){.id = jobs_next_id(s->setup.jobs, now), .date = date, .started_ns = now, .t0_ns = now};
	snprintf(s->record.profile, sizeof s->record.profile, "%s", s->setup.profile);
	snprintf(s->record.origin, sizeof s->record.origin, "%s", origin);
	replicator_status(s->setup.replicator, &flow);
	if (!flow.connected)
		return err_set(ERR_UNREACHABLE, "the server is not connected (%s): no backup was started, it would not be sealed",
		    *flow.why ? flow.why : "not tried yet; ask again in a moment");
	s->sent_files = flow.files_sent;
	s->sent_bytes = flow.payload_bytes_sent;
	s->sent_wire = flow.wire_bytes_sent;
	s->done = done;
	s->done_arg = arg;
	s->phase_since_ns = now;
	s->prepare_err = 0;
	s->passes = 0;
	s->copied = false;
	name_day(s);
	s->log_path = jobs_log_path(s->setup.jobs, s->record.id);
	s->command = s->log_path ? strdup(s->setup.config->dbcopy) : NULL;
	if (!s->command) {
		free(s->log_path);
		s->log_path = NULL;
		return err_set(ERR_NOMEM, "starting a backup of %s", s->setup.profile);
	}
	s->step = STEP_PREPARE;
	log_info("snapshot.start", "profile=%s job=%llu origin=\"%s\" day=%s", s->setup.profile, (unsigned long long)s->record.id, origin, s->day);
	enter_phase(s, JOB_CHECK);
	s->prepared.tree = s->setup.tree;
	s->prepared.dbcopy = s->command;
	s->prepared.profile_dir = s->profile_dir;
	s->prepared.day = s->day;
	s->job = (struct job){.run = prepare_run, .done = prepare_done};
	workpool_submit(s->setup.pool, s->setup.lane, &s->job);
	*ret_id = s->record.id;
	return 0;
}

int
snapshot_stop(struct snapshot *s, const char *who)
{
	char text[256];

	if (s->step == STEP_IDLE)
		return err_set(ERR_NOTFOUND, "no job of %s is running", s->setup.profile);
	snprintf(text, sizeof text, "stopped by %s in phase %s; no set was made", who, job_phase_name(s->record.phase));
	fail(s, -ERR_STOPPED, text);
	return 0;
}

const struct job_record *
snapshot_job(struct snapshot *s)
{
	if (s->step == STEP_IDLE)
		return NULL;
	count_sent(s);
	return &s->record;
}

const struct job_progress *
snapshot_progress(const struct snapshot *s)
{
	return &s->progress;
}

void
snapshot_on_change(struct snapshot *s, void (*changed)(const struct job_record *record, void *arg), void *arg)
{
	s->changed = changed;
	s->changed_arg = arg;
}
