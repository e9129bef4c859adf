/* SPDX-License-Identifier: GPL-2.0-or-later */
/* profile - knows who waits for a profile to be open, and when it is opened, and opened again. */
#include "server/profile.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/workpool.h"
#include "server/index.h"
#include "server/opened.h"
#include "server/staging.h"

#define META_TOKEN "token"
#define META_GENERATION "generation"
#define QUIET_POLL_MS 20

struct waiting {
	struct waiting *next;
	profile_done *done;         /* one of the two */
	profile_admitted *admitted;
	enum layout_type layout;
	void *arg;
};

struct opening {
	struct job job;
	struct profile *p;
	bool has_layout;
	enum layout_type layout;
	struct opened *result;
	int err;
	char *text;
};

struct starting {
	struct staging_task task;
	struct profile *p;
	struct profile_admission admission;
	int err;
	char *text;
};

struct profile {
	const struct profile_setup *setup;
	char *name;
	struct opened *open;
	struct jobs *jobs;
	char *trouble;
	unsigned holds;
	struct opening *opening;    /* in the lane */
	struct starting *starting;  /* in staging */
	struct event *again;        /* the pump, later */
	struct waiting *first, **end; /* those who wait, the oldest first */
	struct waiting *admitting;  /* whom `starting` is for; NULL: taken back */
};

static void pump(struct profile *p);

/* ---- life ---- */

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pump(arg);
}

int
profile_new(const struct profile_setup *setup, const char *name, struct profile **ret_profile)
{
	struct profile *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(ERR_NOMEM, "opening the profile %s", name);
	p->setup = setup;
	p->end = &p->first;
	p->name = strdup(name);
	p->again = evtimer_new(setup->base, on_again, p);
	if (!p->name || !p->again) {
		profile_free(p);
		return err_set(ERR_NOMEM, "opening the profile %s", name);
	}
	*ret_profile = p;
	return 0;
}

static struct waiting *
take_first(struct profile *p)
{
	struct waiting *w = p->first;

	if (!w)
		return NULL;
	p->first = w->next;
	if (!p->first)
		p->end = &p->first;
	return w;
}

void
profile_free(struct profile *p)
{
	struct waiting *w;

	if (!p)
		return;
	while ((w = take_first(p)))
		free(w);
	opened_free(p->open); /* may take back what waits in staging */
	free(p->admitting);
	jobs_close(p->jobs);
	if (p->again)
		event_free(p->again);
	free(p->trouble);
	free(p->name);
	free(p);
}

/* ---- answers ---- */

static void
answer(struct waiting *w, int err, const char *text, const struct profile_admission *admission)
{
	if (w->admitted)
		w->admitted(err, text, admission, w->arg);
	else
		w->done(err, text, w->arg);
	free(w);
}

static void
answer_all(struct profile *p, int err, const char *text)
{
	size_t n = 0;
	struct waiting *w;

	/* Who asks again from a callback is not answered now. */
	for (w = p->first; w; w = w->next)
		n++;
	while (n-- && (w = take_first(p)))
		answer(w, err, text, NULL);
}

/* ---- opening ---- */

static void
opening_run(struct job *job)
{
	struct opening *o = (struct opening *)job;

	o->err = opened_open(o->result, o->p->setup, o->p->name, o->has_layout ? &o->layout : NULL);
	if (o->err)
		o->text = strdup(err_text());
}

static void
open_history(struct profile *p)
{
	char *file;

	if (p->jobs || asprintf(&file, "%s/%s/state/jobs", p->setup->store, p->name) < 0)
		return;
	if (jobs_open(file, p->setup->pool, p->setup->lane_jobs, &p->jobs) != 0)
		log_error("profile.jobs", "profile=%s %s", p->name, err_text());
	free(file);
}

static void
say_opened(struct opening *o)
{
	const struct staging_recovery *r = &o->result->recovery;

	log_info("profile.open", "profile=%s doubtful=%" PRIu64 " removed=%" PRIu64 " partials=%" PRIu64 " found=%" PRIu64, o->p->name,
	    r->doubtful, r->removed, r->partials, r->found);
}

static void
opening_done(struct job *job, bool cancelled)
{
	struct opening *o = (struct opening *)job;
	struct profile *p = o->p;

	p->opening = NULL;
	free(p->trouble);
	p->trouble = NULL;
	if (cancelled || o->err) {
		opened_free(o->result);
		p->trouble = o->text ? strdup(o->text) : NULL;
	} else {
		p->open = o->result;
		open_history(p);
		say_opened(o);
	}
	if (!cancelled && o->err)
		answer_all(p, o->err, o->text ? o->text : "");
	free(o->text);
	free(o);
	if (!cancelled)
		pump(p);
}

static void
start_opening(struct profile *p, const struct waiting *w)
{
	struct opening *o = calloc(1, sizeof *o);
	struct opened *r = opened_new();

	if (!o || !r) {
		free(o);
		opened_free(r);
		answer_all(p, -ERR_NOMEM, "out of memory");
		return;
	}
	*o = (struct opening){.job = {.run = opening_run, .done = opening_done}, .p = p, .result = r};
	o->has_layout = w->admitted != NULL;
	o->layout = w->layout;
	p->opening = o;
	workpool_submit(p->setup->pool, p->setup->lane_sync, &o->job);
}

/* ---- a session's start, in a task of staging ---- */

static int
get_number(struct index *index, const char *name, uint64_t *ret_v)
{
	size_t len;
	char *value;
	int err = index_meta_get(index, name, &value, &len);

	*ret_v = 0;
	if (err)
		return err > 0 ? 0 : err;
	*ret_v = strtoull(value, NULL, 10);
	free(value);
	return 0;
}

static int
put_number(struct index *index, const char *name, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, v);
	return index_meta_put(index, name, text, strlen(text));
}

int
profile_raise_generation(struct index *index)
{
	uint64_t generation;
	int err = get_number(index, META_GENERATION, &generation);

	return err ? err : put_number(index, META_GENERATION, generation + 1);
}

static void
starting_run(struct staging_task *task)
{
	struct starting *s = (struct starting *)task;
	struct index *index = s->p->open->index;
	struct profile_admission *a = &s->admission;

	s->err = get_number(index, META_TOKEN, &a->token);
	if (s->err == 0)
		s->err = put_number(index, META_TOKEN, ++a->token);
	if (s->err == 0)
		s->err = get_number(index, META_GENERATION, &a->generation);
	if (s->err == 0)
		s->err = index_total(index, &a->total);
	if (s->err)
		s->text = strdup(err_text());
}

static void
starting_done(struct staging_task *task, bool cancelled)
{
	struct starting *s = (struct starting *)task;
	struct profile *p = s->p;
	struct waiting *w = p->admitting;

	p->starting = NULL;
	p->admitting = NULL;
	if (w && cancelled)
		free(w);
	else if (w)
		answer(w, s->err, s->text ? s->text : "", &s->admission);
	free(s->text);
	free(s);
	/* Not from inside a task of the staging that may have to be opened again. */
	if (!cancelled)
		event_active(p->again, EV_TIMEOUT, 0);
}

static void
start_session(struct profile *p, struct waiting *w)
{
	struct starting *s = calloc(1, sizeof *s);

	if (!s) {
		answer(w, -ERR_NOMEM, "out of memory", NULL);
		return;
	}
	s->p = p;
	s->task = (struct staging_task){.run = starting_run, .done = starting_done};
	p->starting = s;
	p->admitting = w;
	staging_submit(p->open->staging, &s->task);
}

/* ---- the pump ---- */

/* Nothing of ours is in a lane any more: what is open may be closed. */
static bool
may_close(const struct profile *p)
{
	return !p->holds && (!p->open->staging || staging_idle(p->open->staging));
}

static void
close_and_open(struct profile *p, const struct waiting *w)
{
	if (!may_close(p)) {
		evtimer_add(p->again, (&(struct timeval){0, QUIET_POLL_MS * 1000}));
		return;
	}
	opened_free(p->open);
	p->open = NULL;
	start_opening(p, w);
}

static void
serve(struct profile *p, struct waiting *w)
{
	(void)take_first(p);
	if (!w->admitted)
		answer(w, 0, "", NULL);
	else if (p->open->layout != w->layout)
		answer(w, -ERR_CONFIG, "this profile is of the other type (post-office, domain)", NULL);
	else
		start_session(p, w);
}

static void
pump(struct profile *p)
{
	struct waiting *w;

	while ((w = p->first) && !p->opening && !p->starting) {
		bool lacks_staging = w->admitted && p->open && (!p->open->staging || staging_broken(p->open->staging));

		if (!p->open) {
			start_opening(p, w);
		} else if (lacks_staging) {
			close_and_open(p, w);
			return;
		} else {
			serve(p, w);
		}
	}
}

static void
add(struct profile *p, profile_done *done, profile_admitted *admitted, enum layout_type layout, void *arg)
{
	struct waiting *w = calloc(1, sizeof *w);

	if (!w) {
		if (admitted)
			admitted(-ERR_NOMEM, "out of memory", NULL, arg);
		else if (done)
			done(-ERR_NOMEM, "out of memory", arg);
		return;
	}
	w->done = done;
	w->admitted = admitted;
	w->layout = layout;
	w->arg = arg;
	*p->end = w;
	p->end = &w->next;
	event_active(p->again, EV_TIMEOUT, 0);
}

void
profile_open(struct profile *p, profile_done *done, void *arg)
{
	add(p, done, NULL, LAYOUT_POST_OFFICE, arg);
}

void
profile_admit(struct profile *p, enum layout_type layout, profile_admitted *admitted, void *arg)
{
	add(p, NULL, admitted, layout, arg);
}

void
profile_cancel(struct profile *p, void *arg)
{
	struct waiting **at = &p->first;

	while (*at) {
		struct waiting *w = *at;

		if (w->arg == arg) {
			*at = w->next;
			free(w);
		} else {
			at = &w->next;
		}
	}
	p->end = at;
	if (p->admitting && p->admitting->arg == arg) {
		free(p->admitting);
		p->admitting = NULL;
	}
}

/* ---- what is open ---- */

const char *
profile_name(const struct profile *p)
{
	return p->name;
}

struct index *
profile_index(const struct profile *p)
{
	return p->open ? p->open->index : NULL;
}

struct staging *
profile_staging(const struct profile *p)
{
	return p->open ? p->open->staging : NULL;
}

const struct block_key *
profile_key(const struct profile *p)
{
	return p->open ? &p->open->key : NULL;
}

const uint8_t *
profile_key_bytes(const struct profile *p)
{
	return p->open ? p->open->key_bytes : NULL;
}

bool
profile_layout(const struct profile *p, enum layout_type *ret_layout)
{
	if (!p->open || !p->open->has_layout)
		return false;
	*ret_layout = p->open->layout;
	return true;
}

struct jobs *
profile_jobs(const struct profile *p)
{
	return p->jobs;
}

int
profile_fd(const struct profile *p)
{
	return p->open ? p->open->fd : -1;
}

const char *
profile_trouble(const struct profile *p)
{
	return p->trouble ? p->trouble : "";
}

void
profile_hold(struct profile *p)
{
	p->holds++;
}

void
profile_release(struct profile *p)
{
	p->holds--;
}
