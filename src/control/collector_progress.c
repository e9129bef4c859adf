/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector_progress - what can be counted of work whose end is found out only while it is done. */
#include <stdbool.h>
#include <stdio.h>

#include "collector/collector.h"
#include "control/api.h"
#include "control/collector_progress.h"
#include "control/tell.h"

static void
tell_flow(json_t *o, const struct replicator_status *flow)
{
	json_object_set_new(o, "pending_changes", json_integer((json_int_t)flow->pending_changes));
	json_object_set_new(o, "pending_bytes", json_integer((json_int_t)flow->pending_bytes));
	json_object_set_new(o, "rescans_open", json_integer((json_int_t)flow->rescans_open));
}

json_t *
sync_meter_tell(struct sync_meter *m, const struct replicator_status *flow)
{
	json_t *o = api_object("progress");
	/* While a rescan is open, nobody knows how many changes there are. */
	bool known = flow->rescans_open == 0;

	m->most = !known ? 0 : flow->pending_changes > m->most ? flow->pending_changes : m->most;
	json_object_set_new(o, "phase", json_string("sync"));
	json_object_set_new(o, "done", json_integer(known ? (json_int_t)(m->most - flow->pending_changes) : 0));
	json_object_set_new(o, "total", json_integer((json_int_t)m->most));
	json_object_set_new(o, "unit", json_string("changes"));
	json_object_set_new(o, "wire_bytes", json_integer((json_int_t)(flow->wire_bytes_sent - m->sent_before)));
	tell_flow(o, flow);
	return o;
}

json_t *
sync_meter_cause(struct sync_meter *m, const struct collector_profile_status *s)
{
	const struct replicator_status *f = &s->flow;
	unsigned cause = f->paused ? SYNC_PAUSED : !f->connected && *f->why ? SYNC_LINK : !s->watcher_up ? SYNC_WATCHER : SYNC_RUNS;
	char text[512];
	json_t *o;

	m->looks = cause == m->cause ? m->looks + 1 : 1;
	m->cause = cause;
	if (cause == SYNC_RUNS || m->looks != 2)
		return NULL;
	if (cause == SYNC_PAUSED)
		snprintf(text, sizeof text, "%s is paused: the sync waits for `tidemark resume %s`", s->name, s->name);
	else if (cause == SYNC_LINK)
		snprintf(text, sizeof text, "the server is not connected (%s): the sync waits until it is; %llu changes are remembered", f->why,
		    (unsigned long long)f->pending_changes);
	else
		snprintf(text, sizeof text, "the watcher does not answer: the sync waits until it is back; see the collector's log");
	o = api_object("waits");
	json_object_set_new(o, "text", api_text(text));
	return o;
}

json_t *
tell_job_progress(const struct collector_profile_status *s)
{
	json_t *o = tell_job(s->job);

	json_object_set_new(o, "step", *s->progress->step ? json_string(s->progress->step) : json_null());
	json_object_set_new(o, "done", json_integer((json_int_t)s->progress->done));
	json_object_set_new(o, "total", json_integer((json_int_t)s->progress->total));
	json_object_set_new(o, "unit", json_string("bytes"));
	tell_flow(o, &s->flow);
	return o;
}
