/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_api - what the server can be asked and told, as routes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/relpath.h"
#include "base/verified.h"
#include "control/api.h"
#include "control/listings.h"
#include "control/server_api.h"
#include "control/tell.h"
#include "control/watchers.h"
#include "keeper/order.h"
#include "server/config.h"
#include "server/server.h"

#define JOBS_SHOWN 100u
#define PATHS_MAX 4096u
#define FINDINGS_UNTAKEN_MAX (4u << 20) /* bytes: some ten thousand of them */

struct server_api {
	struct server *s;
	struct api *api;
	struct watchers *watchers;
	struct listings *listings;
	LIST_HEAD(, asking) askings;
};

/* A request that the keeper is answering. */
struct asking {
	struct server_api *owner;
	struct api_request *req; /* NULL: the client has gone */
	uint64_t order;
	bool sets;               /* answer with all sets in one object */
	uint64_t untold;         /* findings for which the client left no room */
	LIST_ENTRY(asking) link;
};

/* ---- status ---- */

static void
tell_profile(json_t *o, const struct server_profile_status *s)
{
	json_object_set_new(o, "profile", json_string(s->name));
	json_object_set_new(o, "type", json_string(s->type));
	json_object_set_new(o, "state", json_string(server_state_name(s->state)));
	json_object_set_new(o, "reason", api_text(s->reason));
	json_object_set_new(o, "enrolled", json_boolean(s->enrolled));
	json_object_set_new(o, "connected", json_boolean(s->connected));
	json_object_set_new(o, "peer", json_string(s->peer));
	json_object_set_new(o, "connected_since", api_time_ns(s->connected_ns));
	json_object_set_new(o, "last_seen", api_time_ns(s->last_seen_ns));
	/* What waits is known on the collector; the server says only what it has. */
	json_object_set_new(o, "pending_changes", json_null());
	json_object_set_new(o, "pending_bytes", json_null());
	json_object_set_new(o, "oldest_pending_seconds", json_null());
	json_object_set_new(o, "wire_bytes_sent", json_null());
	json_object_set_new(o, "wire_bytes_received", json_integer((json_int_t)s->wire_bytes_received));
	json_object_set_new(o, "staged_files", json_integer((json_int_t)s->staged.count));
	json_object_set_new(o, "staged_bytes", json_integer((json_int_t)s->staged.bytes));
	json_object_set_new(o, "last_durable", api_time_ns(s->last_durable_ns));
	json_object_set_new(o, "last_set", tell_last_set(s->last_set, s->last_started_ns, s->last_sealed_ns, s->last_verified == SET_GOOD));
	json_object_set_new(o, "sets", json_integer((json_int_t)s->sets));
	json_object_set_new(o, "job", tell_job(s->job));
	json_object_set_new(o, "job_done", json_integer((json_int_t)s->job_done));
	json_object_set_new(o, "job_total", json_integer((json_int_t)s->job_total));
	json_object_set_new(o, "last_job", tell_job(s->last_job));
	json_object_set_new(o, "free_bytes", json_integer((json_int_t)s->free_bytes));
	json_object_set_new(o, "total_bytes", json_integer((json_int_t)s->total_bytes));
}

static json_t *
status_line(const char *profile, void *arg)
{
	struct server_api *a = arg;
	struct server_profile_status s;
	struct server_facts facts;
	json_t *o = api_object("status"), *list = json_array();

	server_facts(a->s, &facts);
	json_object_set_new(o, "side", json_string("server"));
	json_object_set_new(o, "listen", json_string(facts.listen));
	json_object_set_new(o, "keeper", json_boolean(facts.keeper_up));
	json_object_set_new(o, "sessions", json_integer((json_int_t)facts.sessions));
	for (size_t i = 0; server_status(a->s, i, &s); i++) {
		json_t *p;

		if (*profile && strcmp(profile, s.name) != 0)
			continue;
		if (*profile)
			tell_profile(o, &s);
		p = json_object();
		tell_profile(p, &s);
		json_array_append_new(list, p);
	}
	json_object_set_new(o, "profiles", list);
	return o;
}

static void
on_status(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	const char *profile = api_query(req, "profile");

	if (profile && *profile && server_find(a->s, profile) < 0)
		api_fail(req, -ERR_NOTFOUND, err_text());
	else if (api_query(req, "watch"))
		watchers_add(a->watchers, req, profile ? profile : "");
	else
		api_reply(req, status_line(profile ? profile : "", a));
}

static void
on_change(const char *profile, void *arg)
{
	struct server_api *a = arg;

	(void)profile;
	watchers_changed(a->watchers);
}

/* ---- orders ---- */

static void
asking_gone(void *arg)
{
	struct asking *k = arg;

	k->req = NULL;
	server_order_cancel(k->owner->s, k->order);
	LIST_REMOVE(k, link);
	free(k);
}

static void
order_progress(const char *phase, uint64_t done, uint64_t total, void *arg)
{
	struct asking *k = arg;
	json_t *o;

	if (api_stream_behind(k->req))
		return;
	o = api_object("progress");
	json_object_set_new(o, "phase", json_string(phase));
	json_object_set_new(o, "done", json_integer((json_int_t)done));
	json_object_set_new(o, "total", json_integer((json_int_t)total));
	api_stream_line(k->req, o);
}

static void
order_finding(const char *path, const char *what, void *arg)
{
	struct asking *k = arg;
	json_t *o;

	/* None is left out for a client that reads.  For one that has stopped they are counted. */
	if (api_stream_untaken(k->req) > FINDINGS_UNTAKEN_MAX) {
		k->untold++;
		return;
	}
	o = api_object("difference");
	json_object_set_new(o, "path", api_name(path));
	json_object_set_new(o, "what", api_text(what));
	api_stream_line(k->req, o);
}

static json_t *
tell_report_set(const struct report_set *set)
{
	json_t *o = tell_set(set->name, set->started_ns, set->sealed_ns, set->files, set->bytes, set->verified, set->warnings);

	json_object_set_new(o, "scrubbed_at", api_time_ns(set->scrubbed_ns));
	json_object_set_new(o, "new_bytes", json_integer((json_int_t)set->new_bytes));
	json_object_set_new(o, "note", api_text(set->note ? set->note : ""));
	return o;
}

/* `text`, or it with the number of what was left out in the buffer. */
static const char *
with_untold(const struct asking *k, const char *text, char *buffer, size_t size)
{
	if (!k->untold)
		return text;
	snprintf(buffer, size, "%.700s%s%llu findings are not listed, because the client had stopped reading", text, *text ? "; " : "", (unsigned long long)k->untold);
	return buffer;
}

static void
order_done(int err, const char *text, const struct report_set *sets, size_t n, void *arg)
{
	struct asking *k = arg;
	struct api_request *req = k->req;
	char more[1024];
	json_t *o, *list;

	LIST_REMOVE(k, link);
	text = with_untold(k, text, more, sizeof more);
	if (err) {
		api_fail(req, err, text);
		free(k);
		return;
	}
	o = api_object(k->sets ? "sets" : "done");
	list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, tell_report_set(&sets[i]));
	if (!k->sets && n)
		json_object_set(o, "set", json_array_get(list, 0));
	json_object_set_new(o, "text", api_text(text));
	json_object_set_new(o, "sets", list);
	api_stream_line(req, o);
	api_stream_end(req);
	free(k);
}

static const struct server_order_events order_events = {.progress = order_progress, .finding = order_finding, .done = order_done};

static struct asking *
asking_begin(struct server_api *a, struct api_request *req, bool sets)
{
	struct asking *k = calloc(1, sizeof *k);

	if (!k) {
		api_fail(req, -ERR_NOMEM, "out of memory");
		return NULL;
	}
	k->owner = a;
	k->req = req;
	k->sets = sets;
	LIST_INSERT_HEAD(&a->askings, k, link);
	return k;
}

/* The order was given, or not: then the request is refused here. */
static void
asking_given(struct asking *k, uint64_t order)
{
	if (order) {
		k->order = order;
		api_stream_begin(k->req, asking_gone, k);
		return;
	}
	LIST_REMOVE(k, link);
	api_fail(k->req, server_find(k->owner->s, api_part(k->req, 0)) < 0 ? -ERR_NOTFOUND : -ERR_UNREACHABLE, err_text());
	free(k);
}

static void
on_sets(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	struct asking *k = asking_begin(a, req, true);

	if (k)
		asking_given(k, server_sets(a->s, api_part(req, 0), &order_events, k));
}

static void
show_entry(const char *path, const struct report_entry *e, void *arg)
{
	listings_name(arg, path, e->kind, e->mode, e->size, e->mtime_ns);
}

static void
show_page(int err, const char *text, const struct report_set *set, const char *next, void *arg)
{
	listings_page(arg, err, text, err ? NULL : tell_report_set(set), next);
}

static const struct server_order_events show_events = {.entry = show_entry, .page = show_page};

static void
ask_names(const char *profile, const char *set, const char *after, struct listing_stream *l, void *arg)
{
	struct server_api *a = arg;

	if (!server_show(a->s, profile, set, after, &show_events, l))
		listings_page(l, server_find(a->s, profile) < 0 ? -ERR_NOTFOUND : -ERR_UNREACHABLE, err_text(), NULL, "");
}

static void
on_show(struct api_request *req, void *arg)
{
	struct server_api *a = arg;

	listings_begin(a->listings, req);
}

static void
on_verify(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	const char *set = json_string_value(json_object_get(api_body(req), "set"));
	struct asking *k = asking_begin(a, req, false);

	if (k)
		asking_given(k, server_verify(a->s, api_part(req, 0), set ? set : "", &order_events, k));
}

/* The reverse of api_name: *gives* the bytes; NULL when it is none. */
static char *
bytes_of(const json_t *name)
{
	return json_is_string(name) ? relpath_unescape(json_string_value(name)) : NULL;
}

static void
on_restore(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	const char *set = json_string_value(json_object_get(api_body(req), "set"));
	char *to = bytes_of(json_object_get(api_body(req), "to"));
	const json_t *wanted = json_object_get(api_body(req), "paths");
	size_t n = json_array_size(wanted), got = 0;
	char **paths = n <= PATHS_MAX ? calloc(n + 1, sizeof *paths) : NULL;
	struct asking *k = NULL;

	/* A path that cannot be read must not become "everything". */
	while (paths && got < n && (paths[got] = bytes_of(json_array_get(wanted, got))))
		got++;
	if (!set || !to || *to != '/' || !paths || got < n)
		api_fail(req, -ERR_USAGE, "a restore needs a set, an absolute target directory, and at most 4096 paths of the set");
	else
		k = asking_begin(a, req, false);
	if (k)
		asking_given(k, server_restore(a->s, api_part(req, 0), set, to, (const char *const *)paths, n, &order_events, k));
	for (size_t i = 0; i < got; i++)
		free(paths[i]);
	free(paths);
	free(to);
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
	struct server_api *a = arg;

	answer(req, server_stop(a->s, api_part(req, 0), api_who(req)));
}

static void
granted(int err, const char *text, const char *token, void *arg)
{
	struct asking *k = arg;
	json_t *o = api_object(token ? "token" : "done");

	LIST_REMOVE(k, link);
	if (token) {
		json_object_set_new(o, "profile", json_string(api_part(k->req, 0)));
		json_object_set_new(o, "token", json_string(token));
	}
	if (err) {
		json_decref(o);
		api_fail(k->req, err, text);
	} else {
		api_reply(k->req, o);
	}
	free(k);
}

/* What was asked for is under way, or refused here. */
static void
granting(struct asking *k, int err)
{
	if (!err)
		return;
	LIST_REMOVE(k, link);
	api_fail(k->req, err, err_text());
	free(k);
}

static void
on_revoke(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	struct asking *k = asking_begin(a, req, false);

	if (k)
		granting(k, server_revoke(a->s, api_part(req, 0), granted, k));
}

static void
on_token(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	const json_t *ttl = json_object_get(api_body(req), "ttl_seconds");
	struct asking *k = asking_begin(a, req, false);

	if (k)
		granting(k, server_token_create(a->s, api_part(req, 0), json_is_integer(ttl) ? json_integer_value(ttl) : 3600, granted, k));
}

static const struct jobs *
nth_jobs(void *arg, size_t i)
{
	struct server_api *a = arg;
	struct server_profile_status s;

	return server_status(a->s, i, &s) ? server_jobs(a->s, s.name) : NULL;
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

/* ---- doctor ---- */

static void
check_profile(json_t *checks, const struct server_profile_status *s)
{
	if (!s->enrolled)
		tell_check(checks, VERDICT_WARN, s->name, "no collector is enrolled: `tidemark token create %s` gives the string it needs", s->name);
	else if (!s->connected)
		tell_check(checks, VERDICT_WARN, s->name, "its collector is not connected: changes wait there; see `tidemark doctor` on that host");
	else
		tell_check(checks, VERDICT_OK, s->name, "connected from %s", s->peer);
	if (s->state == SERVER_FAILED || s->state == SERVER_LATE)
		tell_check(checks, s->state == SERVER_FAILED ? VERDICT_FAIL : VERDICT_WARN, s->name, "%s", s->reason);
	else if (*s->last_set)
		tell_check(checks, VERDICT_OK, s->name, "newest set %s", s->last_set);
}

static void
on_doctor(struct api_request *req, void *arg)
{
	struct server_api *a = arg;
	struct server_profile_status s;
	struct server_facts facts;
	json_t *checks = json_array();
	const char *idle = server_config_idle(server_conf(a->s));

	server_facts(a->s, &facts);
	tell_host_checks(checks, server_config_main(server_conf(a->s))->store);
	/* Of two users neither may write in the store itself. */
	tell_rights_check(checks, server_config_main(server_conf(a->s))->store, facts.separated ? R_OK | X_OK : R_OK | W_OK | X_OK,
	    "nothing can be stored");
	if (*facts.separation)
		tell_check(checks, facts.separated ? VERDICT_OK : VERDICT_WARN, "separation", "%s", facts.separation);
	if (facts.keeper_up)
		tell_check(checks, VERDICT_OK, "keeper", "running");
	else
		tell_check(checks, VERDICT_FAIL, "keeper", "not running: nothing can be sealed, verified or restored; see the server's log");
	if (idle)
		tell_check(checks, VERDICT_WARN, "configuration", "%s", idle);
	for (size_t i = 0; server_status(a->s, i, &s); i++)
		check_profile(checks, &s);
	api_reply(req, tell_doctor(checks));
}

static const struct api_route routes[] = {
    {"GET", "/v1/status", on_status},
    {"GET", "/v1/doctor", on_doctor},
    {"GET", "/v1/jobs", on_jobs},
    {"GET", "/v1/jobs/last", on_last_job},
    {"GET", "/v1/jobs/{}", on_job},
    {"GET", "/v1/profiles/{}/sets", on_sets},
    {"GET", "/v1/profiles/{}/sets/{}", on_show},
    {"POST", "/v1/profiles/{}/verify", on_verify},
    {"POST", "/v1/profiles/{}/restore", on_restore},
    {"POST", "/v1/profiles/{}/stop", on_stop},
    {"POST", "/v1/profiles/{}/revoke", on_revoke},
    {"POST", "/v1/profiles/{}/token", on_token},
    {0},
};

int
server_api_new(struct event_base *base, struct server *s, const char *run_dir, struct server_api **ret_api)
{
	struct server_api *a = calloc(1, sizeof *a);
	char *path = NULL;
	int err = a && asprintf(&path, "%s/server.sock", run_dir) >= 0 ? 0 : err_set(ERR_NOMEM, "opening the control socket");

	if (err == 0) {
		LIST_INIT(&a->askings);
		a->s = s;
		err = watchers_new(base, status_line, a, &a->watchers);
	}
	if (err == 0)
		err = listings_new(ask_names, a, &a->listings);
	if (err == 0)
		err = api_new(base, path, routes, a, &a->api);
	free(path);
	if (err) {
		server_api_free(a);
		return err;
	}
	server_on_change(s, on_change, a);
	*ret_api = a;
	return 0;
}

void
server_api_free(struct server_api *a)
{
	if (!a)
		return;
	api_free(a->api);
	watchers_free(a->watchers);
	listings_free(a->listings);
	while (!LIST_EMPTY(&a->askings)) {
		struct asking *k = LIST_FIRST(&a->askings);

		LIST_REMOVE(k, link);
		free(k);
	}
	free(a);
}
