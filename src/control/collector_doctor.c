/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector_doctor - what can be wrong with a profile, and the sentence that says what to do. */
#include <stdio.h>
#include <unistd.h>

#include "collector/collector.h"
#include "collector/upgrade.h"
#include "control/collector_doctor.h"
#include "control/tell.h"

static void
check_profile(json_t *checks, const struct collector_profile_status *s)
{
	const struct collector_doctor_facts *d = &s->doctor;
	char what[96];

	snprintf(what, sizeof what, "%s", s->name);
	if (!s->enrolled)
		tell_check(checks, VERDICT_FAIL, what, "not enrolled: on the server `tidemark token create %s`, then here `tidemark enrol %s TOKEN`", s->name, s->name);
	else if (!s->flow.connected)
		tell_check(checks, VERDICT_FAIL, what, "the server is not connected (%s): changes are remembered and sent later", *s->flow.why ? s->flow.why : "not tried yet");
	else
		tell_check(checks, VERDICT_OK, what, "connected to the server");
	tell_rights_check(checks, s->path, R_OK | X_OK, "the tree cannot be read");
	if (s->trouble[0])
		tell_check(checks, VERDICT_FAIL, what, "%s", s->trouble);
	else if (s->flow.root_gone)
		tell_check(checks, VERDICT_FAIL, what, "the live tree %s, or a file system in it, is gone or not mounted: nothing is taken for deleted; mount it again "
		    "(the log names it; was it removed or replaced on purpose, restart the collector)", s->path);
	if (d->dbcopy_problem[0])
		tell_check(checks, VERDICT_FAIL, what, "%s", d->dbcopy_problem);
	else
		tell_check(checks, VERDICT_OK, what, "DBCOPY can be run");
	if (!s->watcher_up)
		tell_check(checks, VERDICT_FAIL, what, "the watcher does not answer: changes are not seen until it is back; see the collector's log");
	else if (s->unwatched)
		tell_check(checks, VERDICT_WARN, what,
		    "%llu directories are not watched but polled: raise fs.inotify.max_user_watches (now %lld) to at least %llu, or see their rights",
		    (unsigned long long)s->unwatched, (long long)d->watch_limit, (unsigned long long)(2 * (s->watched + s->unwatched)));
	else
		tell_check(checks, VERDICT_OK, what, "%llu directories watched, none missing", (unsigned long long)s->watched);
	if (s->flow.troubled)
		tell_check(checks, VERDICT_WARN, what, "%llu files could not be sent yet; `tidemark status %s` names them",
		    (unsigned long long)s->flow.troubled, s->name);
}

static void
check_upgrade(json_t *checks, struct collector *c)
{
	struct upgrade_status s;

	collector_upgrade_status(c, &s);
	if (s.alarm)
		tell_check(checks, VERDICT_WARN, "upgrade", "%s", s.why);
	else if (s.on)
		tell_check(checks, VERDICT_OK, "upgrade", "%s runs, and upgrades itself from the server", s.running);
}

json_t *
collector_doctor(struct collector *c)
{
	struct collector_profile_status s;
	json_t *checks = json_array();

	tell_host_checks(checks, collector_state_dir(c));
	for (size_t i = 0; collector_status(c, i, &s); i++)
		check_profile(checks, &s);
	check_upgrade(checks, c);
	return tell_doctor(checks);
}
