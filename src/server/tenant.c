/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tenant - keeps what is remembered of a profile's sets between two questions to the keeper. */
#include "server/tenant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "server/keeper_link.h"
#include "server/sealing.h"
#include "server/session.h"

int64_t tenant_again_ms = 60000;

struct learning {
	struct tenant *t;
	void (*done)(void *arg);
	void *arg;
};

int
tenant_new(const struct profile_setup *setup, struct keeper_link *keeper, const char *name, struct tenant **ret_tenant)
{
	struct tenant *t = calloc(1, sizeof *t);

	if (!t)
		return err_set(ERR_NOMEM, "opening the profile %s", name);
	t->keeper = keeper;
	int err = profile_new(setup, name, &t->profile);
	if (err == 0)
		err = sealing_new(t, &t->sealing);
	if (err) {
		tenant_free(t);
		return err;
	}
	*ret_tenant = t;
	return 0;
}

static void
set_fini(struct report_set *set)
{
	free(set->name);
	free(set->profile);
	free(set->note);
	*set = (struct report_set){0};
}

void
tenant_free(struct tenant *t)
{
	if (!t)
		return;
	profile_free(t->profile); /* first: it takes back the sealing's tasks */
	sealing_free(t->sealing);
	set_fini(&t->newest);
	free(t);
}

const char *
tenant_name(const struct tenant *t)
{
	return profile_name(t->profile);
}

static void
remember(struct tenant *t, const struct report_set *set)
{
	struct report_set copy = *set;

	copy.name = set->name ? strdup(set->name) : NULL;
	copy.note = set->note ? strdup(set->note) : NULL;
	copy.profile = NULL;
	set_fini(&t->newest);
	t->newest = copy;
}

struct wire_set
tenant_wire_set(const struct report_set *set)
{
	return (struct wire_set){.name = set->name, .started_ns = set->started_ns, .sealed_ns = set->sealed_ns, .files = set->files,
	    .bytes = set->bytes, .verified = set->verified, .state = set->warnings};
}

void
tenant_note_set(struct tenant *t, const struct report_set *set)
{
	bool same = t->newest.name && set->name && strcmp(t->newest.name, set->name) == 0 && t->newest.sealed_ns == set->sealed_ns;

	if (!same && set->sealed_ns < t->newest.sealed_ns)
		return; /* a scrub of an older one */
	if (!same)
		t->n_sets++;
	remember(t, set);
	tenant_tell_newest(t);
	t->changed(t);
}

static void
learned(const struct report *report, void *arg)
{
	struct learning *l = arg;
	struct tenant *t = l->t;

	if (report->kind == REPORT_DONE) {
		t->sets_known = true;
		t->sets_trouble[0] = '\0';
		t->n_sets = report->n_sets;
		if (report->n_sets)
			remember(t, &report->sets[report->n_sets - 1]);
		else
			set_fini(&t->newest);
		tenant_tell_newest(t);
		t->changed(t);
	} else if (report->kind == REPORT_FAILED) {
		snprintf(t->sets_trouble, sizeof t->sets_trouble, "%s", report->text ? report->text : "");
	} else {
		return;
	}
	t->asking--;
	if (l->done)
		l->done(l->arg);
	free(l);
}

void
tenant_learn_sets(struct tenant *t, void (*done)(void *arg), void *arg)
{
	struct order order = {.kind = ORDER_SETS, .profile = (char *)(uintptr_t)tenant_name(t)};
	struct learning *l = calloc(1, sizeof *l);

	t->asked_ms = clock_steady_ms();
	if (l) {
		*l = (struct learning){t, done, arg};
		if (keeper_link_order(t->keeper, &order, learned, l)) {
			t->asking++;
			return;
		}
	}
	free(l);
	if (done)
		done(arg);
}

void
tenant_learn_again(struct tenant *t)
{
	bool told = t->sets_known && !*t->sets_trouble;

	if (!told && !t->asking && keeper_link_up(t->keeper) && clock_steady_ms() - t->asked_ms >= tenant_again_ms)
		tenant_learn_sets(t, NULL, NULL);
}

void
tenant_tell(struct tenant *t, const struct wire_msg *msg)
{
	if (t->session && session_live(t->session))
		session_send(t->session, msg);
}

void
tenant_tell_newest(struct tenant *t)
{
	struct wire_msg m = {.type = WIRE_NEWEST};

	if (!t->newest.name || !t->session || session_version(t->session) < wire_type_since(WIRE_NEWEST))
		return;
	m.u.newest.set = tenant_wire_set(&t->newest);
	tenant_tell(t, &m);
}
