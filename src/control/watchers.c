/* SPDX-License-Identifier: GPL-2.0-or-later */
/* watchers - the list of status streams and the one timer that feeds them. */
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"
#include "control/api.h"
#include "control/watchers.h"

struct stream {
	struct watchers *owner;
	struct api_request *req;
	char profile[64];
	LIST_ENTRY(stream) link;
};

struct watchers {
	struct event *tick;
	json_t *(*line)(const char *profile, void *arg);
	void *arg;
	bool soon; /* the tick is that of a change, and not to be put off by the next */
	LIST_HEAD(, stream) streams;
};

static const struct timeval pause_between = {0, 250000};
/* Ages and lags move without any event: an idle stream is told every two seconds. */
static const struct timeval idle = {2, 0};

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct watchers *w = arg;
	struct stream *s;

	(void)fd, (void)what;
	w->soon = false;
	LIST_FOREACH(s, &w->streams, link)
		if (!api_stream_behind(s->req))
			api_stream_line(s->req, w->line(s->profile, w->arg));
	if (!LIST_EMPTY(&w->streams))
		evtimer_add(w->tick, &idle);
}

static void
on_gone(void *arg)
{
	struct stream *s = arg;

	LIST_REMOVE(s, link);
	free(s);
}

int
watchers_new(struct event_base *base, json_t *(*line)(const char *profile, void *arg), void *arg, struct watchers **ret_watchers)
{
	struct watchers *w = calloc(1, sizeof *w);

	if (w)
		w->tick = evtimer_new(base, on_tick, w);
	if (!w || !w->tick) {
		free(w);
		return err_set(ERR_NOMEM, "preparing status streams");
	}
	LIST_INIT(&w->streams);
	w->line = line;
	w->arg = arg;
	*ret_watchers = w;
	return 0;
}

void
watchers_free(struct watchers *w)
{
	if (!w)
		return;
	event_free(w->tick);
	free(w);
}

void
watchers_add(struct watchers *w, struct api_request *req, const char *profile)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s) {
		api_fail(req, -ERR_NOMEM, "out of memory");
		return;
	}
	s->owner = w;
	s->req = req;
	snprintf(s->profile, sizeof s->profile, "%s", profile);
	LIST_INSERT_HEAD(&w->streams, s, link);
	api_stream_begin(req, on_gone, s);
	api_stream_line(req, w->line(s->profile, w->arg));
	if (!evtimer_pending(w->tick, NULL))
		evtimer_add(w->tick, &idle);
}

void
watchers_changed(struct watchers *w)
{
	/* A quarter second after the first change of a burst: whoever waits for its last one is told nothing while much happens. */
	if (w->soon || LIST_EMPTY(&w->streams))
		return;
	w->soon = true;
	evtimer_add(w->tick, &pause_between);
}
