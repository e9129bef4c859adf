/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * collector_progress - the JSON that tells whoever waits for a sync or a backup where it has got to.
 *
 * Both tell "done" and "total" in "unit" (total 0 = not known), "pending_changes", "pending_bytes" and "rescans_open".
 */
#ifndef CONTROL_COLLECTOR_PROGRESS_H
#define CONTROL_COLLECTOR_PROGRESS_H

#include <jansson.h>
#include <stdint.h>

struct collector_profile_status;
struct replicator_status;

/* What a sync is measured against. */
struct sync_meter {
	uint64_t sent_before; /* bytes on the wire that the profile had sent when it began */
	uint64_t most;        /* changes that waited at once since */
	enum { SYNC_RUNS, SYNC_PAUSED, SYNC_LINK, SYNC_WATCHER } cause; /* what keeps it from going on */
	unsigned looks;       /* with this cause */
};

/* {"type":"progress","phase":"sync",...,"wire_bytes":since it began}. */
json_t *sync_meter_tell(struct sync_meter *m, const struct replicator_status *flow);
/* {"type":"waits","text":why nothing moves, and what ends it}, once a cause, which must have been there at two looks; else NULL. */
json_t *sync_meter_cause(struct sync_meter *m, const struct collector_profile_status *s);
/* The running job as tell_job has it, with "step" of the seal or null; there must be one. */
json_t *tell_job_progress(const struct collector_profile_status *s);

#endif
