/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_status - decides what is well: from the catalogue, the index, the clock and the allow-list, never by hearsay. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/overdue.h"
#include "base/verified.h"
#include "keeper/order.h"
#include "server/config.h"
#include "server/index.h"
#include "server/sealing.h"
#include "server/separation.h"
#include "server/server_own.h"
#include "server/staging.h"

#define AWAY_S 900     /* a collector silent for so long is a fault */
#define SPACE_PERCENT 5

static const char *const state_names[] = {"ok", "late", "degraded", "failed"};
_Static_assert(sizeof state_names / sizeof *state_names == SERVER_STATES, "every state has a name");

const char *
server_state_name(enum server_state state)
{
	return state < SERVER_STATES ? state_names[state] : "unknown";
}

int
server_enrolled(const struct server *s, const char *profile, int64_t *ret_ns)
{
	char path[128];
	struct stat st;
	int err;

	*ret_ns = 0;
	snprintf(path, sizeof path, ".identity/pins/%s", profile);
	err = fsio_stat(s->store_fd, path, &st);
	if (err)
		return err == -ERR_GONE ? 0 : err_prefix(err, "whether a collector is enrolled as %s is not known now", profile);
	*ret_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
	return 0;
}

bool
server_is_late(struct server *s, const struct tenant *t, char *reason, size_t size)
{
	const char *name = profile_name(t->profile);
	int64_t since, late_ns = server_config_profile(s->conf, name)->late_ms * 1000000;
	const struct report_set *newest = t->newest.name ? &t->newest : NULL;

	(void)server_enrolled(s, name, &since);
	/* What the keeper has not told yet is not held against the profile.  Sets that nobody may add to any more grow old all the same. */
	if (!t->sets_known || (!newest && !since))
		return false;
	if (clock_wall_ns() <= overdue_from(newest ? newest->started_ns : since, newest ? newest->sealed_ns : since, sealing_due_ns(t->sealing), late_ns))
		return false;
	if (newest)
		snprintf(reason, size, "the newest set, %s, is %" PRId64 " hours old; see the collector's schedule and its last job", newest->name,
		    (clock_wall_ns() - newest->started_ns) / (int64_t)3600000000000);
	else
		snprintf(reason, size, "no set was ever sealed; run a backup on the collector");
	return true;
}

/* ---- one profile ---- */

static const struct job_record *
last_ended(const struct jobs *jobs)
{
	const struct job_record *r;

	for (size_t i = 0; jobs && (r = jobs_nth(jobs, i)); i++)
		if (r->result != JOB_RUNNING)
			return r;
	return NULL;
}

static void
fill_sets(struct server_profile_status *st, const struct tenant *t)
{
	const struct report_set *newest = &t->newest;

	st->sets = t->n_sets;
	snprintf(st->last_set, sizeof st->last_set, "%s", newest->name ? newest->name : "");
	st->last_started_ns = newest->started_ns;
	st->last_sealed_ns = newest->sealed_ns;
	st->last_files = newest->files;
	st->last_bytes = newest->bytes;
	st->last_verified = newest->verified;
	st->last_warnings = newest->warnings;
}

static void
fill_flow(struct server_profile_status *st, const struct tenant *t)
{
	const struct session *live = t->session && session_live(t->session) ? t->session : NULL;
	struct staging *staging = profile_staging(t->profile);
	struct index *index = profile_index(t->profile);
	struct staging_figures f = {0};
	uint64_t map;

	st->connected = live != NULL;
	st->peer = live ? session_peer(live) : "";
	st->connected_ns = t->connected_ns;
	st->last_seen_ns = live ? clock_wall_ns() : t->last_seen_ns;
	st->last_durable_ns = t->last_durable_ns;
	st->wire_bytes_received = t->wire_bytes_received + (live ? session_bytes_received(live) : 0);
	if (staging)
		staging_figures(staging, &f);
	st->files_received = t->files_received + f.files;
	st->removals_received = t->removals_received + f.removals;
	if (index) {
		(void)index_total(index, &st->staged);
		index_usage(index, &st->index_bytes, &map);
	}
}

/* An operator wrote a section for it, so somebody expects its sets. */
static bool
is_configured(const struct server *s, const char *profile)
{
	const struct conf_section *section;

	for (size_t i = 0; (section = conf_nth(s->conf, "profile", i)); i++)
		if (strcmp(section->name, profile) == 0)
			return true;
	return false;
}

/* By its index; one that is not open yet, or cannot be read, may hold anything. */
static bool
holds_nothing(const struct tenant *t)
{
	struct index *index = profile_index(t->profile);
	struct treemap_sum staged;

	return index && index_total(index, &staged) == 0 && !staged.count;
}

/* A profile that nobody may feed is never green: its section, its sets or a name that was mistyped for a token are all that it is. */
static void
tell_unenrolled(const struct server *s, struct server_profile_status *st, const struct tenant *t)
{
	int used = snprintf(st->reason, sizeof st->reason, "no collector is enrolled: nothing is backed up; `tidemark token create %s` gives the string it needs",
	    st->name);

	if (t->sets_known && !st->sets && holds_nothing(t) && !is_configured(s, st->name) && used > 0)
		snprintf(st->reason + used, sizeof st->reason - (size_t)used, "; it holds nothing: is its name a mistake, stop the server and remove %s/%s",
		    server_config_main(s->conf)->store, st->name);
}

/* `unsure`: why it is not known whether a collector is enrolled; "" = it is. */
static void
judge(struct server *s, struct server_profile_status *st, const struct tenant *t, const char *unsure)
{
	int64_t away_s = (clock_wall_ns() - (st->last_seen_ns ? st->last_seen_ns : s->started_ns)) / 1000000000;

	st->state = SERVER_FAILED;
	if (*profile_trouble(t->profile))
		snprintf(st->reason, sizeof st->reason, "cannot be opened: %s", profile_trouble(t->profile));
	else if (st->last_verified == SET_DIFFERS)
		snprintf(st->reason, sizeof st->reason, "the newest set, %s, differs from its manifest: verify it, then back up again", st->last_set);
	else if (st->last_job && st->last_job->result == JOB_FAILED && st->last_job->started_ns > st->last_sealed_ns)
		snprintf(st->reason, sizeof st->reason, "the last backup failed: %.400s", st->last_job->text);
	else if (server_is_late(s, t, st->reason, sizeof st->reason))
		st->state = SERVER_LATE;
	else
		st->state = SERVER_DEGRADED;
	if (*st->reason)
		return;
	if (*unsure)
		snprintf(st->reason, sizeof st->reason, "%s", unsure);
	else if (!st->enrolled)
		tell_unenrolled(s, st, t);
	else if (!keeper_link_up(s->keeper))
		snprintf(st->reason, sizeof st->reason, "the keeper is not running; it is started again by itself (see the log)");
	else if (!t->sets_known && *t->sets_trouble)
		snprintf(st->reason, sizeof st->reason, "the keeper cannot tell which sets there are, so none is missed: %s; it is asked again each minute", t->sets_trouble);
	else if (!st->connected && away_s > AWAY_S)
		snprintf(st->reason, sizeof st->reason, "no collector for %" PRId64 " minutes; see its host", away_s / 60);
	else if (st->total_bytes && st->free_bytes / (st->total_bytes / 100 + 1) < SPACE_PERCENT)
		snprintf(st->reason, sizeof st->reason, "less than %d %% of the store is free", SPACE_PERCENT);
	else
		st->state = SERVER_OK;
}

bool
server_status(struct server *s, size_t i, struct server_profile_status *ret_status)
{
	struct server_profile_status st = {0};
	char unsure[256] = "";
	enum layout_type layout;
	uint64_t inodes;
	struct tenant *t;
	int64_t since;

	if (i >= s->n_seats)
		return false;
	t = s->seats[i].t;
	st.name = tenant_name(t);
	st.type = profile_layout(t->profile, &layout) ? layout_type_name(layout) : "";
	if (server_enrolled(s, st.name, &since) != 0)
		snprintf(unsure, sizeof unsure, "%s", err_text());
	st.enrolled = since != 0;
	st.job = sealing_job(t->sealing, &st.job_done, &st.job_total);
	st.last_job = last_ended(profile_jobs(t->profile));
	fill_flow(&st, t);
	fill_sets(&st, t);
	(void)fsio_space(s->store_fd, &st.free_bytes, &st.total_bytes, &inodes);
	judge(s, &st, t, unsure);
	*ret_status = st;
	return true;
}

size_t
server_count(const struct server *s)
{
	return s->n_seats;
}

void
server_facts(const struct server *s, struct server_facts *ret_facts)
{
	*ret_facts = (struct server_facts){.keeper_up = keeper_link_up(s->keeper), .keeper_restarts = keeper_link_restarts(s->keeper),
	    .sessions = s->sessions, .connecting = s->connecting, .refused = s->refused, .listen = s->listen, .separated = s->separation && s->separation->warden,
	    .separation = s->separation ? s->separation->text : ""};
}
