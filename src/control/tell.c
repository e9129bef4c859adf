/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tell - the JSON of what both daemons know: a job looks the same wherever one asks. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/verified.h"
#include "control/api.h"
#include "control/tell.h"
#include "jobs.h"

#define JOB_LOG_MAX (256u * 1024u)

json_t *
tell_job(const struct job_record *job)
{
	json_t *o, *phases;
	char date[16];

	if (!job)
		return json_null();
	o = api_object("job");
	phases = json_object();
	snprintf(date, sizeof date, "%04u-%02u-%02u", job->date / 10000, job->date / 100 % 100, job->date % 100);
	for (int i = 0; i < JOB_PHASE_COUNT; i++)
		json_object_set_new(phases, job_phase_name(i), json_integer(job->phase_ms[i]));
	json_object_set_new(o, "id", json_integer((json_int_t)job->id));
	json_object_set_new(o, "profile", api_text(job->profile));
	json_object_set_new(o, "phase", json_string(job_phase_name(job->phase)));
	json_object_set_new(o, "result", json_string(job_result_name(job->result)));
	json_object_set_new(o, "origin", api_text(job->origin));
	json_object_set_new(o, "date", json_string(date));
	json_object_set_new(o, "started_at", api_time_ns(job->started_ns));
	json_object_set_new(o, "t0", api_time_ns(job->t0_ns));
	json_object_set_new(o, "ended_at", api_time_ns(job->ended_ns));
	json_object_set_new(o, "set", *job->set ? api_text(job->set) : json_null());
	json_object_set_new(o, "text", api_text(job->text));
	json_object_set_new(o, "code", job->code ? json_string(err_name(job->code)) : json_null());
	json_object_set_new(o, "phase_ms", phases);
	json_object_set_new(o, "files_copied", json_integer((json_int_t)job->files_copied));
	json_object_set_new(o, "bytes_copied", json_integer((json_int_t)job->bytes_copied));
	json_object_set_new(o, "files_sent", json_integer((json_int_t)job->files_sent));
	json_object_set_new(o, "bytes_sent", json_integer((json_int_t)job->bytes_sent));
	json_object_set_new(o, "wire_bytes", json_integer((json_int_t)job->wire_bytes));
	json_object_set_new(o, "set_files", json_integer((json_int_t)job->set_files));
	json_object_set_new(o, "set_bytes", json_integer((json_int_t)job->set_bytes));
	return o;
}

json_t *
tell_set(const char *name, int64_t started_ns, int64_t sealed_ns, uint64_t files, uint64_t bytes, uint8_t verified, bool warnings)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", api_text(name));
	json_object_set_new(o, "started_at", api_time_ns(started_ns));
	json_object_set_new(o, "sealed_at", api_time_ns(sealed_ns));
	json_object_set_new(o, "files", json_integer((json_int_t)files));
	json_object_set_new(o, "bytes", json_integer((json_int_t)bytes));
	json_object_set_new(o, "verified", json_boolean(verified == SET_GOOD));
	json_object_set_new(o, "state", json_string(verified == SET_DIFFERS ? "differs" : warnings ? "warnings" : "good"));
	return o;
}

json_t *
tell_last_set(const char *name, int64_t started_ns, int64_t sealed_ns, bool verified)
{
	json_t *o;

	if (!*name)
		return json_null();
	o = json_object();
	json_object_set_new(o, "name", api_text(name));
	json_object_set_new(o, "started_at", api_time_ns(started_ns));
	json_object_set_new(o, "sealed_at", api_time_ns(sealed_ns));
	json_object_set_new(o, "verified", json_boolean(verified));
	return o;
}

/* ---- doctor ---- */

static const char *const verdicts[] = {[VERDICT_OK] = "OK", [VERDICT_WARN] = "WARN", [VERDICT_FAIL] = "FAIL"};

void
tell_check(json_t *checks, enum verdict verdict, const char *what, const char *fmt, ...)
{
	json_t *o = json_object();
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	json_object_set_new(o, "verdict", json_string(verdicts[verdict]));
	json_object_set_new(o, "what", json_string(what));
	json_object_set_new(o, "text", api_text(text));
	json_array_append_new(checks, o);
}

json_t *
tell_doctor(json_t *checks)
{
	json_t *o = api_object("doctor"), *check;
	enum verdict worst = VERDICT_OK;
	size_t i;

	json_array_foreach(checks, i, check) {
		const char *word = json_string_value(json_object_get(check, "verdict"));

		for (enum verdict v = VERDICT_WARN; v <= VERDICT_FAIL; v++)
			if (word && strcmp(word, verdicts[v]) == 0 && v > worst)
				worst = v;
	}
	json_object_set_new(o, "verdict", json_string(verdicts[worst]));
	json_object_set_new(o, "checks", checks);
	return o;
}

static void
check_clock(json_t *checks)
{
	struct timex t = {0};

	if (adjtimex(&t) == TIME_ERROR)
		tell_check(checks, VERDICT_WARN, "clock",
		    "the clock is not synchronised: the schedule and the names of sets may be wrong; run an NTP client such as chrony");
	else
		tell_check(checks, VERDICT_OK, "clock", "synchronised");
}

static void
check_descriptors(json_t *checks)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1024)
		tell_check(checks, VERDICT_WARN, "descriptors", "only %llu open files are allowed; raise LimitNOFILE to 4096",
		    (unsigned long long)limit.rlim_cur);
	else
		tell_check(checks, VERDICT_OK, "descriptors", "%llu open files allowed", (unsigned long long)limit.rlim_cur);
}

void
tell_rights_check(json_t *checks, const char *path, int mode, const char *meaning)
{
	if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0)
		tell_check(checks, VERDICT_OK, "rights", "%s", path);
	else
		tell_check(checks, VERDICT_FAIL, "rights", "%s: %s: %s; run the daemon as a user who may, or correct the rights", path, strerror(errno), meaning);
}

/* Without either the processes work as ever, and a flaw in one of them reaches further. */
static void
check_confinement(json_t *checks)
{
	int landlock;
	bool seccomp;

	confine_means(&landlock, &seccomp);
	if (landlock && seccomp)
		tell_check(checks, VERDICT_OK, "confinement", "Landlock %d and seccomp", landlock);
	else
		tell_check(checks, VERDICT_WARN, "confinement", "this kernel has %s: a flaw in the daemon would reach further; Linux 5.19 and later have both, "
		    "where Landlock is among lsm= of the kernel's command line", landlock ? "no seccomp" : seccomp ? "no Landlock" : "neither Landlock nor seccomp");
}

void
tell_host_checks(json_t *checks, const char *path)
{
	uint64_t free_bytes, total, inodes;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	check_clock(checks);
	check_confinement(checks);
	check_descriptors(checks);
	if (fd < 0 || fsio_space(fd, &free_bytes, &total, &inodes) != 0)
		tell_check(checks, VERDICT_FAIL, "space", "%s cannot be read: %s; create it or correct the configuration", path, strerror(errno));
	else if (free_bytes < total / 20 || free_bytes < 512ull << 20)
		tell_check(checks, VERDICT_WARN, "space", "only %llu MiB of %llu MiB are free in %s: free some before backups fail",
		    (unsigned long long)(free_bytes >> 20), (unsigned long long)(total >> 20), path);
	else
		tell_check(checks, VERDICT_OK, "space", "%llu MiB free in %s", (unsigned long long)(free_bytes >> 20), path);
	if (fd >= 0)
		close(fd);
}

/* ---- jobs ---- */

/* Where a job stands in the list of all: newest first, and of one id, which is that of two profiles' jobs that began in the same second, by
 * profile. */
struct place {
	uint64_t id;
	size_t profile;
};

/* The first job behind `at`, which is moved to it. */
static const struct job_record *
next_job(const struct jobs *(*nth)(void *, size_t), void *arg, struct place *at)
{
	const struct job_record *best = NULL, *job;
	const struct place from = *at;
	const struct jobs *jobs;

	for (size_t p = 0; (jobs = nth(arg, p)); p++)
		for (size_t i = 0; (job = jobs_nth(jobs, i)); i++)
			if ((job->id < from.id || (job->id == from.id && p > from.profile)) && (!best || job->id > best->id)) {
				best = job;
				*at = (struct place){job->id, p};
			}
	return best;
}

json_t *
tell_jobs(const struct jobs *(*nth)(void *arg, size_t i), void *arg, size_t max)
{
	json_t *o = api_object("jobs"), *list = json_array();
	const struct job_record *job;
	struct place at = {UINT64_MAX, SIZE_MAX};

	for (size_t n = 0; n < max && (job = next_job(nth, arg, &at)); n++)
		json_array_append_new(list, tell_job(job));
	json_object_set_new(o, "jobs", list);
	return o;
}

static json_t *
job_log(const struct jobs *jobs, uint64_t id)
{
	char *text = jobs_log_end(jobs, id, JOB_LOG_MAX);
	json_t *log = text ? api_text(text) : json_null();

	free(text);
	return log;
}

/* The history that has the job, or NULL and why it cannot be told. */
static const struct jobs *
find_job(const struct jobs *(*nth)(void *, size_t), void *arg, uint64_t id, const char *profile, int *ret_err)
{
	const struct jobs *jobs, *found = NULL;

	for (size_t p = 0; id && (jobs = nth(arg, p)); p++) {
		const struct job_record *job = jobs_find(jobs, id);

		if (!job || (profile && strcmp(profile, job->profile) != 0))
			continue;
		if (found) {
			*ret_err = err_set(ERR_USAGE, "%llu is a job of %s and of %s: `job show %llu PROFILE` tells which is meant", (unsigned long long)id,
			    jobs_find(found, id)->profile, job->profile, (unsigned long long)id);
			return NULL;
		}
		found = jobs;
	}
	if (!found)
		*ret_err = err_set(ERR_NOTFOUND, "there is no such job; `job list` shows those that are kept");
	return found;
}

/* 0 for what is no id. */
static uint64_t
id_of(const char *text)
{
	char *end;
	uint64_t id = strtoull(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && !*end ? id : 0;
}

void
tell_job_reply(struct api_request *req, const struct jobs *(*nth)(void *arg, size_t i), void *arg, const char *id)
{
	struct place at = {UINT64_MAX, SIZE_MAX};
	const struct job_record *newest = *id ? NULL : next_job(nth, arg, &at);
	const struct jobs *of;
	int err = -ERR_NOTFOUND;
	uint64_t wanted = newest ? at.id : id_of(id);
	json_t *o;

	if (!*id && !newest) {
		api_fail(req, -ERR_NOTFOUND, "no job has run yet");
		return;
	}
	of = newest ? nth(arg, at.profile) : find_job(nth, arg, wanted, api_query(req, "profile"), &err);
	if (!of) {
		api_fail(req, err, err_text());
		return;
	}
	o = tell_job(jobs_find(of, wanted));
	json_object_set_new(o, "log", job_log(of, wanted));
	api_reply(req, o);
}
