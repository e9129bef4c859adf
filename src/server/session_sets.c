/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session_sets - what a collector asks of the keeper: which sets there are, and what one holds. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "keeper/order.h"
#include "server/keeper_link.h"
#include "server/session_own.h"
#include "server/tenant.h"

/* A name takes less on the wire than it counts for, so a page holds fewer than a list may and fits a frame with its last name. */
#define PAGE_BYTES (128u * 1024u)
_Static_assert(PAGE_BYTES / ORDER_NAME_COST <= WIRE_LIST_MAX, "a page of names fits one message");

static void
refuse(struct session *s, enum wire_type type, int code, const char *text)
{
	struct wire_msg m = {.type = WIRE_REFUSED};

	m.u.refused.type = (uint8_t)type;
	m.u.refused.code = code < 0 ? -code : code ? code : ERR_IO;
	m.u.refused.text = (char *)(uintptr_t)(text ? text : "");
	session_send(s, &m);
}

/* ---- the list of sets ---- */

/* The first version knows no refusal: there, what cannot be told is an empty list. */
static void
refuse_sets(struct session *s, int code, const char *text)
{
	if (s->version >= wire_type_since(WIRE_REFUSED))
		refuse(s, WIRE_SETS_REQ, code, text);
	else
		session_send(s, &(struct wire_msg){.type = WIRE_SETS});
}

static void
send_sets(struct session *s, const struct report *report)
{
	struct wire_msg m = {.type = WIRE_SETS};
	struct wire_set *sets = calloc(report->n_sets ? report->n_sets : 1, sizeof *sets);

	if (!sets) {
		refuse_sets(s, ERR_NOMEM, "the server is out of memory for the list of sets");
		return;
	}
	for (size_t i = 0; i < report->n_sets; i++)
		sets[i] = tenant_wire_set(&report->sets[i]);
	m.u.sets.v = sets;
	m.u.sets.n = report->n_sets;
	session_send(s, &m);
	free(sets);
}

static void
sets_told(const struct report *report, void *arg)
{
	struct session *s = arg;

	if (report->kind != REPORT_DONE && report->kind != REPORT_FAILED)
		return;
	s->sets_order = 0;
	if (report->kind == REPORT_FAILED)
		refuse_sets(s, report->code, report->text);
	else
		send_sets(s, report);
}

void
session_on_sets(struct session *s, struct wire_msg *m)
{
	struct order order = {.kind = ORDER_SETS, .profile = (char *)(uintptr_t)tenant_name(s->t)};

	(void)m;
	if (s->sets_order)
		return;
	s->sets_order = keeper_link_order(s->t->keeper, &order, sets_told, s);
	if (!s->sets_order)
		sets_told(&(struct report){.kind = REPORT_FAILED, .code = ERR_UNREACHABLE, .text = (char *)(uintptr_t)err_text()}, s);
}

/* ---- the names of one ---- */

static void
page_fini(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].path);
	free(p->v);
	*p = (struct page){0};
}

/* False when out of memory: a page with a hole in it must not be sent. */
static bool
page_add(struct page *p, const char *path, const struct report_entry *e)
{
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;
		struct wire_name *v = reallocarray(p->v, room, sizeof *v);

		if (!v)
			return false;
		p->v = v;
		p->room = room;
	}
	p->v[p->n] = (struct wire_name){.path = strdup(path), .kind = e->kind, .mode = e->mode, .size = e->size, .mtime_ns = e->mtime_ns};
	return p->v[p->n].path && ++p->n;
}

static void
send_page(struct session *s, const struct report *report)
{
	struct wire_msg m = {.type = WIRE_NAMES};

	m.u.names.set = tenant_wire_set(&report->sets[0]);
	m.u.names.v = s->names.v;
	m.u.names.n = s->names.n;
	m.u.names.next = report->next;
	session_send(s, &m);
	page_fini(&s->names);
}

static void
refuse_page(struct session *s, int code, const char *text)
{
	refuse(s, WIRE_NAMES_REQ, code, text);
	page_fini(&s->names);
}

static void
names_told(const struct report *report, void *arg)
{
	struct session *s = arg;

	switch (report->kind) {
	case REPORT_ENTRY:
		if (page_add(&s->names, report->path, &report->entry))
			break;
		keeper_link_forget(s->t->keeper, s->names.order);
		refuse_page(s, ERR_NOMEM, "the server is out of memory for a page of names");
		break;
	case REPORT_DONE:
		if (report->n_sets == 1)
			send_page(s, report);
		else
			refuse_page(s, ERR_PEER, "the keeper told names of no set");
		break;
	case REPORT_FAILED:
		refuse_page(s, report->code, report->text);
		break;
	case REPORT_PROGRESS:
	case REPORT_FINDING:
	case REPORT_GONE:
		break;
	}
}

void
session_on_names(struct session *s, struct wire_msg *m)
{
	struct order order = {.kind = ORDER_SHOW, .profile = (char *)(uintptr_t)tenant_name(s->t), .set = m->u.names_req.set,
	    .after = m->u.names_req.after, .page = PAGE_BYTES};

	if (s->names.order) {
		session_close(s, -ERR_PEER, "a page of names was asked for while another is on its way");
		return;
	}
	s->names.order = keeper_link_order(s->t->keeper, &order, names_told, s);
	if (!s->names.order)
		refuse_page(s, ERR_UNREACHABLE, err_text());
}

void
session_forget_orders(struct session *s)
{
	if (s->t && s->sets_order)
		keeper_link_forget(s->t->keeper, s->sets_order);
	if (s->t && s->names.order)
		keeper_link_forget(s->t->keeper, s->names.order);
	s->sets_order = 0;
	page_fini(&s->names);
}
