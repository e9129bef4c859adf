/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_orders - carries what an operator asks of the keeper there, and its reports back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "server/server_own.h"

#define PAGE_BYTES (256u * 1024u)

static void
end(struct asked *a, const struct report *report)
{
	const struct server_order_events *events = a->events;
	void *arg = a->arg;
	int err = report->code > 0 ? -report->code : report->code;

	if (a->verify && report->kind == REPORT_DONE && report->n_sets == 1)
		server_note_verified(a->server, a->profile, &report->sets[0]);
	TAILQ_REMOVE(&a->server->asked, a, link);
	free(a);
	if (events->page && !err && report->n_sets != 1)
		events->page(-ERR_PEER, "the keeper told names of no set", NULL, "", arg);
	else if (events->page)
		events->page(err, report->text ? report->text : "", report->sets, report->next ? report->next : "", arg);
	else
		events->done(err, report->text ? report->text : "", report->sets, report->n_sets, arg);
}

static void
on_report(const struct report *report, void *arg)
{
	struct asked *a = arg;

	switch (report->kind) {
	case REPORT_PROGRESS:
		if (a->events->progress)
			a->events->progress(report->phase ? report->phase : "", report->done, report->total, a->arg);
		break;
	case REPORT_FINDING:
		if (a->events->finding)
			a->events->finding(report->path ? report->path : "", report->text ? report->text : "", a->arg);
		break;
	case REPORT_ENTRY:
		if (a->events->entry)
			a->events->entry(report->path ? report->path : "", &report->entry, a->arg);
		break;
	case REPORT_GONE:
		break;
	case REPORT_DONE:
	case REPORT_FAILED:
		end(a, report);
		break;
	}
}

/* Gives the order: its id, or 0. */
static uint64_t
ask(struct server *s, const char *profile, struct order *order, const struct server_order_events *events, void *arg)
{
	struct asked *a;

	if (!server_tenant(s, profile)) {
		(void)err_set(ERR_NOTFOUND, "there is no profile %s; `tidemark status` lists them", profile);
		return 0;
	}
	a = calloc(1, sizeof *a);
	if (!a) {
		(void)err_set(ERR_NOMEM, "giving an order");
		return 0;
	}
	a->server = s;
	a->events = events;
	a->arg = arg;
	a->verify = order->kind == ORDER_VERIFY;
	snprintf(a->profile, sizeof a->profile, "%s", profile);
	order->profile = a->profile;
	a->id = keeper_link_order(s->keeper, order, on_report, a);
	if (!a->id) {
		free(a);
		return 0;
	}
	TAILQ_INSERT_TAIL(&s->asked, a, link);
	return a->id;
}

uint64_t
server_sets(struct server *s, const char *profile, const struct server_order_events *events, void *arg)
{
	struct order order = {.kind = ORDER_SETS};

	return ask(s, profile, &order, events, arg);
}

uint64_t
server_show(struct server *s, const char *profile, const char *set, const char *after, const struct server_order_events *events, void *arg)
{
	struct order order = {.kind = ORDER_SHOW, .set = (char *)(uintptr_t)set, .after = (char *)(uintptr_t)after, .page = PAGE_BYTES};

	return ask(s, profile, &order, events, arg);
}

uint64_t
server_verify(struct server *s, const char *profile, const char *set, const struct server_order_events *events, void *arg)
{
	struct order order = {.kind = ORDER_VERIFY, .set = (char *)(uintptr_t)set};

	return ask(s, profile, &order, events, arg);
}

uint64_t
server_restore(struct server *s, const char *profile, const char *set, const char *to, const char *const *paths, size_t n_paths,
    const struct server_order_events *events, void *arg)
{
	struct order order = {.kind = ORDER_RESTORE, .set = (char *)(uintptr_t)set, .to = (char *)(uintptr_t)to,
	    .paths = (char **)(uintptr_t)paths, .n_paths = n_paths};

	if (n_paths > ORDER_PATHS_MAX) {
		(void)err_set(ERR_LIMIT, "more than %u paths to restore at a time", ORDER_PATHS_MAX);
		return 0;
	}
	return ask(s, profile, &order, events, arg);
}

static struct asked *
asked_of(struct server *s, uint64_t id)
{
	struct asked *a;

	TAILQ_FOREACH(a, &s->asked, link)
		if (a->id == id)
			return a;
	return NULL;
}

void
server_order_cancel(struct server *s, uint64_t id)
{
	struct asked *a = asked_of(s, id);

	if (!a)
		return;
	keeper_link_forget(s->keeper, id);
	keeper_link_stop(s->keeper, a->profile, id);
	TAILQ_REMOVE(&s->asked, a, link);
	free(a);
}
