/* SPDX-License-Identifier: GPL-2.0-or-later */
/* office_state - what the state of a profile is, and why: the gravest reason that holds, in words that say what to do. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fsio.h"
#include "base/overdue.h"
#include "base/verified.h"
#include "collector/config.h"
#include "collector/dbcopy.h"
#include "collector/memo.h"
#include "collector/office_private.h"
#include "collector/schedule.h"
#include "collector/snapshot.h"
#include "collector/watcher_link.h"
#include "journal/journal.h"

#define LATE_PENDING_NS (15ll * 60 * 1000000000)

static void
ask_space(struct office *p)
{
	uint64_t total, inodes;
	int64_t now = clock_wall_ns() / 1000000000;
	int fd;

	/* A stat of a file system that hangs would hang the loop: once a minute is enough to risk. */
	if (p->space_asked_s && now - p->space_asked_s < 60)
		return;
	p->space_asked_s = now;
	fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsio_space(fd, &p->free_bytes, &total, &inodes);
		close(fd);
	}
}

static const struct job_record *
last_ended(const struct office *p)
{
	const struct job_record *r;

	for (size_t i = 0; (r = jobs_nth(p->jobs, i)); i++)
		if (r->result != JOB_RUNNING)
			return r;
	return NULL;
}

static void __attribute__((format(printf, 3, 4)))
judge(struct collector_profile_status *s, enum profile_state state, const char *fmt, ...)
{
	va_list args;

	/* The first reason is the gravest: they are tried in that order. */
	if (s->state != PROFILE_OK)
		return;
	s->state = state;
	va_start(args, fmt);
	vsnprintf(s->reason, sizeof s->reason, fmt, args);
	va_end(args);
}

static int64_t
due_after(const struct office *p, int64_t t0_ns)
{
	int64_t t0_s = (t0_ns ? t0_ns : p->started_ns) / 1000000000;
	struct schedule_slot slot;

	return schedule_next(p->schedule, p->zone, t0_s, t0_s, &slot) ? slot.at_s * 1000000000 : 0;
}

int64_t
office_due_ns(const struct office *p)
{
	struct replicator_status f;

	replicator_status(p->replicator, &f);
	return due_after(p, f.last_started_ns);
}

static void
judge_age(const struct office *p, struct collector_profile_status *s)
{
	const struct replicator_status *f = &s->flow;
	int64_t now = clock_wall_ns(), due = due_after(p, f->last_started_ns);
	int64_t t0 = f->last_started_ns ? f->last_started_ns : p->started_ns;
	int64_t sealed = f->last_sealed_ns ? f->last_sealed_ns : p->started_ns;

	if (due && now > overdue_from(t0, sealed, due, p->config->late_ms * 1000000))
		judge(s, PROFILE_LATE, "no set was sealed for %lld h, and none by the run that was due %lld h ago; see `tidemark job list`",
		    (long long)((now - sealed) / 3600000000000), (long long)((now - due) / 3600000000000));
}

static void
judge_all(const struct office *p, struct collector_profile_status *s)
{
	const struct replicator_status *f = &s->flow;
	int64_t now = clock_wall_ns();

	if (!s->enrolled)
		judge(s, PROFILE_FAILED, "not enrolled: nothing is sent; get a token on the server (`tidemark token create %s`), then `tidemark enrol %s TOKEN`",
		    p->name, p->name);
	if (*p->trouble)
		judge(s, PROFILE_FAILED, "%s", p->trouble);
	if (f->root_gone)
		judge(s, PROFILE_FAILED, "%s, or a file system in it, is gone or not mounted: nothing is taken for deleted; mount it again (the log names it; "
		    "was it removed or replaced on purpose, restart the collector)", p->config->path);
	if (f->refused)
		judge(s, PROFILE_FAILED, "%s", f->why);
	if (f->last_verified == SET_DIFFERS)
		judge(s, PROFILE_FAILED, "the server found its newest set, %s, damaged: run a backup; `tidemark verify %s` there names what differs",
		    f->last_set, p->name);
	if (s->last_job && s->last_job->result == JOB_FAILED && s->last_job->started_ns > f->last_sealed_ns)
		judge(s, PROFILE_FAILED, "the last backup failed: %s", s->last_job->text);
	if (memo_facts(p->memo)->paused)
		judge(s, PROFILE_PAUSED, "paused: changes are remembered but not sent; `tidemark resume %s`", p->name);
	judge_age(p, s);
	if (!f->connected)
		judge(s, PROFILE_DEGRADED, "the server is not connected (%s): changes are remembered and sent later", *f->why ? f->why : "connecting");
	if (!s->watcher_up)
		judge(s, PROFILE_DEGRADED, "the watcher does not answer: changes are not seen until it is back (the collector's log says more)");
	if (s->unwatched)
		judge(s, PROFILE_DEGRADED, "%llu directories cannot be watched and are polled every minute; `tidemark doctor` says what to do",
		    (unsigned long long)s->unwatched);
	if (f->server_full)
		judge(s, PROFILE_DEGRADED, "the server has no space left: changes wait here and no set can be made; free some space in its store");
	if (f->disk_full)
		judge(s, PROFILE_DEGRADED, "the collector has no space left: changes wait and no set can be made; free some space in its state");
	if (f->troubled)
		judge(s, PROFILE_DEGRADED, "%llu files could not be sent yet; they are tried again", (unsigned long long)f->troubled);
	if (f->oldest_pending_ns && now - f->oldest_pending_ns > LATE_PENDING_NS)
		judge(s, PROFILE_LATE, "changes have waited for %lld min", (long long)((now - f->oldest_pending_ns) / 60000000000));
	if (*f->why && f->connected)
		judge(s, PROFILE_DEGRADED, "%s", f->why);
}

static void
doctor_facts(const struct office *p, struct collector_doctor_facts *d)
{
	char *problem = dbcopy_problem(p->config->dbcopy), *text = NULL;
	size_t len;

	snprintf(d->dbcopy_problem, sizeof d->dbcopy_problem, "%s", problem ? problem : "");
	free(problem);
	d->watch_limit = -1;
	if (fsio_read_path("/proc/sys/fs/inotify/max_user_watches", 64, &text, &len) == 0)
		d->watch_limit = atoll(text);
	free(text);
}

void
office_status(struct office *p, struct collector_profile_status *s)
{
	struct watcher_link_status w = {0};
	struct schedule_slot slot;
	uint64_t map;

	*s = (struct collector_profile_status){.name = p->name, .path = p->config->path, .type = layout_type_name((enum layout_type)p->config->type)};
	s->trouble = p->trouble;
	s->enrolled = p->identity != NULL;
	if (p->replicator)
		replicator_status(p->replicator, &s->flow);
	s->job = p->snapshot ? snapshot_job(p->snapshot) : NULL;
	s->progress = s->job ? snapshot_progress(p->snapshot) : NULL;
	s->last_job = last_ended(p);
	s->last_dbcopy_ns = memo_facts(p->memo)->last_dbcopy_ns;
	if (schedule_next(p->schedule, p->zone, clock_wall_ns() / 1000000000, memo_facts(p->memo)->last_slot_s, &slot))
		s->next_run_s = slot.at_s;
	if (p->watcher)
		watcher_link_status(p->watcher, &w);
	s->watcher_up = w.up;
	s->watched = w.directories;
	s->unwatched = w.unwatched;
	s->overflows = w.overflows;
	s->flow.root_gone |= w.root_gone;
	ask_space(p);
	s->staging_free_bytes = p->free_bytes;
	journal_usage(p->journal, &s->journal_bytes, &map);
	doctor_facts(p, &s->doctor);
	judge_all(p, s);
}
