/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector_status - the facts of a profile, each under the name that scripts know. */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/verified.h"
#include "collector/collector.h"
#include "collector/upgrade.h"
#include "control/api.h"
#include "control/collector_status.h"
#include "control/tell.h"

static json_t *
seconds_since(int64_t ns)
{
	return ns ? json_integer((json_int_t)(time(NULL) - ns / 1000000000)) : json_integer(0);
}

static void
tell_profile(json_t *o, const struct collector_profile_status *s)
{
	const struct replicator_status *f = &s->flow;

	json_object_set_new(o, "profile", json_string(s->name));
	json_object_set_new(o, "type", json_string(s->type));
	json_object_set_new(o, "path", api_name(s->path));
	json_object_set_new(o, "state", json_string(profile_state_name(s->state)));
	json_object_set_new(o, "reason", api_text(s->reason));
	json_object_set_new(o, "enrolled", json_boolean(s->enrolled));
	json_object_set_new(o, "connected", json_boolean(f->connected));
	json_object_set_new(o, "pending_changes", json_integer((json_int_t)f->pending_changes));
	json_object_set_new(o, "pending_bytes", f->bytes_unknown ? json_null() : json_integer((json_int_t)f->pending_bytes));
	json_object_set_new(o, "oldest_pending_seconds", seconds_since(f->oldest_pending_ns));
	json_object_set_new(o, "rescans_open", json_integer((json_int_t)f->rescans_open));
	json_object_set_new(o, "troubled", json_integer((json_int_t)f->troubled));
	json_object_set_new(o, "wire_bytes_sent", json_integer((json_int_t)f->wire_bytes_sent));
	json_object_set_new(o, "payload_bytes_sent", json_integer((json_int_t)f->payload_bytes_sent));
	json_object_set_new(o, "files_sent", json_integer((json_int_t)f->files_sent));
	json_object_set_new(o, "removals_sent", json_integer((json_int_t)f->removals_sent));
	json_object_set_new(o, "drift", json_integer((json_int_t)f->drift));
	json_object_set_new(o, "last_set", tell_last_set(f->last_set, f->last_started_ns, f->last_sealed_ns, f->last_verified == SET_GOOD));
	json_object_set_new(o, "job", tell_job(s->job));
	json_object_set_new(o, "last_job", tell_job(s->last_job));
	json_object_set_new(o, "last_dbcopy", api_time_ns(s->last_dbcopy_ns));
	json_object_set_new(o, "next_run", api_time_ns(s->next_run_s * 1000000000));
	json_object_set_new(o, "watcher", json_boolean(s->watcher_up));
	json_object_set_new(o, "watched_directories", json_integer((json_int_t)s->watched));
	json_object_set_new(o, "unwatched_directories", json_integer((json_int_t)s->unwatched));
	json_object_set_new(o, "queue_overflows", json_integer((json_int_t)s->overflows));
	json_object_set_new(o, "staging_free_bytes", json_integer((json_int_t)s->staging_free_bytes));
	json_object_set_new(o, "journal_bytes", json_integer((json_int_t)s->journal_bytes));
}

json_t *
collector_upgrade_tell(struct collector *c)
{
	struct upgrade_status s;
	json_t *o = api_object("upgrade");

	collector_upgrade_status(c, &s);
	json_object_set_new(o, "phase", json_string(s.phase));
	json_object_set_new(o, "state", json_string(s.alarm ? "degraded" : "ok"));
	json_object_set_new(o, "reason", api_text(s.why));
	json_object_set_new(o, "running", json_string(s.running));
	json_object_set_new(o, "offered", json_string(s.offered));
	json_object_set_new(o, "fresh", api_time_ns(s.fresh_s * 1000000000));
	return o;
}

json_t *
collector_status_tell(struct collector *c, const char *profile)
{
	struct collector_profile_status s;
	json_t *o = api_object("status"), *list = json_array();

	json_object_set_new(o, "side", json_string("collector"));
	for (size_t i = 0; collector_status(c, i, &s); i++) {
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
	json_object_set_new(o, "upgrade", collector_upgrade_tell(c));
	return o;
}
