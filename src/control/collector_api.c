/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector_api - what the collector can be asked and told, as routes. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/collector.h"
#include "control/api.h"
#include "control/collector_api.h"
#include "control/collector_doctor.h"
#include "control/collector_progress.h"
#include "control/collector_status.h"
#include "control/listings.h"
#include "control/tell.h"
#include "control/watchers.h"
#include "journal/journal.h"
#include "wire/wire.h"

#define JOBS_SHOWN 100u

struct collector_api {
	struct collector *c;
	struct api *api;
	struct watchers *watchers;
	struct listings *listings;
	struct event *tick;      /* while somebody is told of progress, or waits for a link */
	LIST_HEAD(, waiter) waiters;
};

enum wait { WAIT_ANSWER, WAIT_SYNC, WAIT_JOB, WAIT_LINK };

/* A request that waits for a callback of the collector.  Either may go first. */
struct waiter {
	struct collector_api *owner;
	struct api_request *req; /* NULL: the client has gone */
	enum wait kind;          /* WAIT_ANSWER: for nothing but the callback */
	char profile[64];
	uint64_t job;            /* WAIT_JOB */
	unsigned ticks;          /* WAIT_LINK: how long it has waited */
	struct sync_meter meter; /* WAIT_SYNC */
	LIST_ENTRY(waiter) link;
};

/* ---- status ---- */

static json_t *
status_line(const char *profile, void *arg)
{
	struct collector_api *a = arg;

	return collector_status_tell(a->c, profile);
}

static void
on_status(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	const char *profile = api_query(req, "profile"), *watch = api_query(req, "watch");

	if (profile && *profile && collector_find(a->c, profile) < 0)
		api_fail(req, -ERR_NOTFOUND, err_text());
	else if (watch)
		watchers_add(a->watchers, req, profile ? profile : "");
	else
		api_reply(req, status_line(profile ? profile : "", a));
}

/* ---- requests that wait ---- */

static void
waiter_gone(void *arg)
{
	struct waiter *w = arg;

	w->req = NULL;
}

static struct waiter *
wait_begin(struct collector_api *a, struct api_request *req)
{
	struct waiter *w = calloc(1, sizeof *w);

	if (!w) {
		api_fail(req, -ERR_NOMEM, "out of memory");
		return NULL;
	}
	w->owner = a;
	w->req = req;
	snprintf(w->profile, sizeof w->profile, "%s", api_part(req, 0));
	LIST_INSERT_HEAD(&a->waiters, w, link);
	api_stream_begin(req, waiter_gone, w);
	return w;
}

static void
wait_end(struct waiter *w, int err, const char *text, json_t *last)
{
	LIST_REMOVE(w, link);
	if (!w->req) {
		json_decref(last);
	} else if (err) {
		json_decref(last);
		api_fail(w->req, err, text);
	} else {
		api_stream_line(w->req, last ? last : api_object("done"));
		api_stream_end(w->req);
	}
	free(w);
}

/* ---- what is told while it waits ---- */

static const struct timeval look_every = {1, 0};
#define LINK_TICKS 10u /* how long an enrolment waits for its first link; one that fails is told from the second on */

/* The enrolment is over when its link is up, and told all the same when that takes long or cannot be. */
static void
look_for_link(struct waiter *w, const struct collector_profile_status *s)
{
	const char *why = *s->trouble ? s->trouble : s->flow.why;
	char text[512];
	json_t *o;

	if (!s->flow.connected && !*s->trouble && w->ticks < LINK_TICKS && !(*why && w->ticks > 1))
		return;
	snprintf(text, sizeof text, "enrolled, but not connected yet (%s): `tidemark status %s` tells when it is", *why ? why : "still trying", s->name);
	o = api_object("done");
	json_object_set_new(o, "text", api_text(s->flow.connected ? "" : text));
	wait_end(w, 0, "", o);
}

/* May end the request. */
static void
look_at_sync(struct waiter *w, const struct collector_profile_status *s)
{
	json_t *cause = sync_meter_cause(&w->meter, s);

	if (cause)
		api_stream_line(w->req, cause);
	if (w->req && !api_stream_behind(w->req))
		api_stream_line(w->req, sync_meter_tell(&w->meter, &s->flow));
}

static void
look(struct waiter *w, const struct collector_profile_status *s)
{
	if (w->kind == WAIT_LINK)
		look_for_link(w, s);
	else if (w->kind == WAIT_SYNC && w->req)
		look_at_sync(w, s);
	else if (w->kind == WAIT_JOB && w->req && !api_stream_behind(w->req) && s->job && w->job == s->job->id)
		api_stream_line(w->req, tell_job_progress(s));
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct collector_api *a = arg;
	struct collector_profile_status s;
	int i;

	(void)fd, (void)what;
	for (struct waiter *w = LIST_FIRST(&a->waiters), *next; w; w = next) {
		next = LIST_NEXT(w, link);
		if (w->kind == WAIT_ANSWER)
			continue;
		if (!evtimer_pending(a->tick, NULL))
			evtimer_add(a->tick, &look_every);
		w->ticks++;
		if ((i = collector_find(a->c, w->profile)) >= 0 && collector_status(a->c, (size_t)i, &s))
			look(w, &s);
	}
}

/* From now on the waiter looks at the profile, every second and at each change. */
static void
follow(struct waiter *w, enum wait kind)
{
	struct collector_profile_status s;
	int i = collector_find(w->owner->c, w->profile);

	if (i < 0 || !collector_status(w->owner->c, (size_t)i, &s))
		return;
	w->kind = kind;
	w->meter = (struct sync_meter){.sent_before = s.flow.wire_bytes_sent};
	if (!evtimer_pending(w->owner->tick, NULL))
		evtimer_add(w->owner->tick, &look_every);
}

/* Good, but for files that could not be sent: the text names them. */
static void
synced(int err, const char *text, void *arg)
{
	json_t *o = api_object("done");

	json_object_set_new(o, "text", api_text(text ? text : ""));
	wait_end(arg, err, text, o);
}

static void
on_sync(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	char profile[64];
	struct waiter *w;
	int err;

	snprintf(profile, sizeof profile, "%s", api_part(req, 0));
	if (collector_find(a->c, profile) < 0) {
		api_fail(req, -ERR_NOTFOUND, err_text());
		return;
	}
	if (!json_is_true(json_object_get(api_body(req), "wait"))) {
		api_reply(req, api_object("done"));
		return;
	}
	if (!(w = wait_begin(a, req)))
		return;
	err = collector_sync(a->c, profile, synced, w);
	if (err)
		wait_end(w, err, err_text(), NULL);
	else
		follow(w, WAIT_SYNC);
}

/* ---- backups ---- */

static void
backup_over(const struct job_record *record, void *arg)
{
	wait_end(arg, 0, "", tell_job(record));
}

/* With "wait" the answer is a stream: the job at each change and every second, last as it ended. */
static void
on_backup(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	bool wait = json_is_true(json_object_get(api_body(req), "wait"));
	struct waiter *w = NULL;
	uint64_t id;
	char profile[64], who[96];
	int err;

	snprintf(profile, sizeof profile, "%s", api_part(req, 0));
	snprintf(who, sizeof who, "%s", api_who(req));
	if (wait && !(w = wait_begin(a, req)))
		return;
	err = collector_backup(a->c, profile, who, wait ? backup_over : NULL, w, &id);
	if (err && w) {
		wait_end(w, err, err_text(), NULL);
	} else if (err) {
		api_fail(req, err, err_text());
	} else if (w) {
		w->job = id;
		follow(w, WAIT_JOB);
	} else {
		json_t *o = api_object("started");

		json_object_set_new(o, "id", json_integer((json_int_t)id));
		api_reply(req, o);
	}
}

/* A sync is told every second alone: its figures change with every file. */
static void
on_change(const char *profile, void *arg)
{
	struct collector_api *a = arg;
	struct collector_profile_status s;
	int i = collector_find(a->c, profile);

	watchers_changed(a->watchers);
	if (i < 0 || !collector_status(a->c, (size_t)i, &s))
		return;
	for (struct waiter *w = LIST_FIRST(&a->waiters), *next; w; w = next) {
		next = LIST_NEXT(w, link);
		if ((w->kind == WAIT_JOB || w->kind == WAIT_LINK) && strcmp(w->profile, profile) == 0)
			look(w, &s);
	}
}

/* ---- plain orders ---- */

static void
answer(struct api_request *req, int err)
{
	if (err)
		api_fail(req, err, err_text());
	else
		api_reply(req, api_object("done"));
}

static void
on_stop(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;

	answer(req, collector_stop(a->c, api_part(req, 0), api_who(req)));
}

static void
on_pause(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;

	answer(req, collector_pause(a->c, api_part(req, 0), true));
}

static void
on_resume(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;

	answer(req, collector_pause(a->c, api_part(req, 0), false));
}

static void
on_bandwidth(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	const json_t *rate = json_object_get(api_body(req), "bytes_per_second");

	if (!json_is_integer(rate) || json_integer_value(rate) < 0)
		api_fail(req, -ERR_USAGE, "bytes_per_second must be a number, 0 = unlimited");
	else
		answer(req, collector_set_bandwidth(a->c, api_part(req, 0), (uint64_t)json_integer_value(rate)));
}

static void
enrolled(int err, const char *text, void *arg)
{
	struct waiter *w = arg;

	if (!err && w->req)
		follow(w, WAIT_LINK);
	if (w->kind != WAIT_LINK)
		wait_end(w, err, text, NULL);
}

/* Over when the profile is connected: what is asked next, a backup, needs the link. */
static void
on_enrol(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	const char *token = json_string_value(json_object_get(api_body(req), "token"));
	char profile[64], *copy = token ? strdup(token) : NULL;
	struct waiter *w;
	int err;

	if (!copy) {
		api_fail(req, -ERR_USAGE, "the token is missing");
		return;
	}
	snprintf(profile, sizeof profile, "%s", api_part(req, 0));
	if ((w = wait_begin(a, req)) && (err = collector_enrol(a->c, profile, copy, enrolled, w)) != 0)
		wait_end(w, err, err_text(), NULL);
	free(copy);
}

/* ---- sets, jobs, troubles ---- */

static json_t *
tell_wire_set(const struct wire_set *set)
{
	return tell_set(set->name, set->started_ns, set->sealed_ns, set->files, set->bytes, set->verified, set->state == 1);
}

static void
sets_known(int err, const char *text, const struct wire_set *sets, size_t n, void *arg)
{
	json_t *o = api_object("sets"), *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, tell_wire_set(&sets[i]));
	json_object_set_new(o, "sets", list);
	wait_end(arg, err, text, o);
}

static void
on_sets(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	char profile[64];
	struct waiter *w;
	int err;

	snprintf(profile, sizeof profile, "%s", api_part(req, 0));
	if ((w = wait_begin(a, req)) && (err = collector_sets(a->c, profile, sets_known, w)) != 0)
		wait_end(w, err, err_text(), NULL);
}

static void
page_known(int err, const char *text, const struct wire_set *set, const struct wire_name *names, size_t n, const char *next, void *arg)
{
	for (size_t i = 0; i < n; i++)
		listings_name(arg, names[i].path, names[i].kind, names[i].mode, names[i].size, names[i].mtime_ns);
	listings_page(arg, err, text, err ? NULL : tell_wire_set(set), next);
}

static void
ask_names(const char *profile, const char *set, const char *after, struct listing_stream *l, void *arg)
{
	struct collector_api *a = arg;
	int err = collector_names(a->c, profile, set, after, page_known, l);

	if (err)
		listings_page(l, err, err_text(), NULL, "");
}

static void
on_show(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;

	listings_begin(a->listings, req);
}

static void
troubles_known(int err, struct journal_trouble *troubles, size_t n, void *arg)
{
	json_t *o = api_object("troubles"), *list = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *t = json_object();

		json_object_set_new(t, "path", api_name(troubles[i].path));
		json_object_set_new(t, "code", json_string(err_name(troubles[i].code)));
		json_object_set_new(t, "text", api_text(troubles[i].text));
		json_object_set_new(t, "attempts", json_integer(troubles[i].attempts));
		json_object_set_new(t, "first_at", api_time_ns(troubles[i].first_ns));
		json_object_set_new(t, "next_try", api_time_ns(troubles[i].next_ns));
		json_array_append_new(list, t);
	}
	json_object_set_new(o, "troubles", list);
	wait_end(arg, err, err_text(), o);
}

static void
on_troubles(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	char profile[64];
	struct waiter *w;
	int err;

	snprintf(profile, sizeof profile, "%s", api_part(req, 0));
	if ((w = wait_begin(a, req)) && (err = collector_troubles(a->c, profile, troubles_known, w)) != 0)
		wait_end(w, err, err_text(), NULL);
}

static const struct jobs *
nth_jobs(void *arg, size_t i)
{
	struct collector_api *a = arg;
	struct collector_profile_status s;

	return collector_status(a->c, i, &s) ? collector_jobs(a->c, s.name) : NULL;
}

static void
on_jobs(struct api_request *req, void *arg)
{
	api_reply(req, tell_jobs(nth_jobs, arg, JOBS_SHOWN));
}

static void
on_job(struct api_request *req, void *arg)
{
	tell_job_reply(req, nth_jobs, arg, api_part(req, 0));
}

static void
on_last_job(struct api_request *req, void *arg)
{
	tell_job_reply(req, nth_jobs, arg, "");
}

static void
on_doctor(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;

	api_reply(req, collector_doctor(a->c));
}

static void
on_upgrade(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;

	api_reply(req, collector_upgrade_tell(a->c));
}

static void
on_upgrade_now(struct api_request *req, void *arg)
{
	struct collector_api *a = arg;
	int err = collector_upgrade_now(a->c);

	if (err)
		api_fail(req, err, err_text());
	else
		api_reply(req, collector_upgrade_tell(a->c));
}

static const struct api_route routes[] = {
    {"GET", "/v1/status", on_status},
    {"GET", "/v1/doctor", on_doctor},
    {"GET", "/v1/upgrade", on_upgrade},
    {"POST", "/v1/upgrade", on_upgrade_now},
    {"GET", "/v1/jobs", on_jobs},
    {"GET", "/v1/jobs/last", on_last_job},
    {"GET", "/v1/jobs/{}", on_job},
    {"GET", "/v1/profiles/{}/sets", on_sets},
    {"GET", "/v1/profiles/{}/sets/{}", on_show},
    {"GET", "/v1/profiles/{}/troubles", on_troubles},
    {"POST", "/v1/profiles/{}/sync", on_sync},
    {"POST", "/v1/profiles/{}/backup", on_backup},
    {"POST", "/v1/profiles/{}/stop", on_stop},
    {"POST", "/v1/profiles/{}/pause", on_pause},
    {"POST", "/v1/profiles/{}/resume", on_resume},
    {"POST", "/v1/profiles/{}/bandwidth", on_bandwidth},
    {"POST", "/v1/profiles/{}/enrol", on_enrol},
    {0},
};

int
collector_api_new(struct event_base *base, struct collector *c, const char *run_dir, struct collector_api **ret_api)
{
	struct collector_api *a = calloc(1, sizeof *a);
	char *path = NULL;
	int err = a && asprintf(&path, "%s/collector.sock", run_dir) >= 0 ? 0 : err_set(ERR_NOMEM, "opening the control socket");

	if (err == 0) {
		LIST_INIT(&a->waiters);
		a->c = c;
		a->tick = evtimer_new(base, on_tick, a);
		err = a->tick ? 0 : err_set(ERR_NOMEM, "opening the control socket");
	}
	if (err == 0)
		err = watchers_new(base, status_line, a, &a->watchers);
	if (err == 0)
		err = listings_new(ask_names, a, &a->listings);
	if (err == 0)
		err = api_new(base, path, routes, a, &a->api);
	free(path);
	if (err) {
		collector_api_free(a);
		return err;
	}
	collector_on_change(c, on_change, a);
	*ret_api = a;
	return 0;
}

void
collector_api_free(struct collector_api *a)
{
	if (!a)
		return;
	api_free(a->api);
	if (a->tick)
		event_free(a->tick);
	watchers_free(a->watchers);
	listings_free(a->listings);
	while (!LIST_EMPTY(&a->waiters)) {
		struct waiter *w = LIST_FIRST(&a->waiters);

		LIST_REMOVE(w, link);
		free(w);
	}
	free(a);
}
