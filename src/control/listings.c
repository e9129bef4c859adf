/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listings - the streams of names, and whose turn it is: the client's to take a page, or ours to ask for one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/err.h"
#include "control/api.h"
#include "control/listings.h"
#include "wire/entry.h"

struct listing_stream {
	struct listings *owner;
	struct api_request *req; /* NULL: the client has gone */
	char profile[64], set[64];
	char *after;
	json_t *names;           /* of the page that is being asked for */
	bool asked;              /* for a page that is still to come; else it is the client's turn */
	LIST_ENTRY(listing_stream) link;
};

struct listings {
	listings_ask *ask;
	void *arg;
	LIST_HEAD(, listing_stream) streams;
};

int
listings_new(listings_ask *ask, void *arg, struct listings **ret_listings)
{
	struct listings *l = calloc(1, sizeof *l);

	if (!l)
		return err_set(ERR_NOMEM, "preparing lists of names");
	LIST_INIT(&l->streams);
	l->ask = ask;
	l->arg = arg;
	*ret_listings = l;
	return 0;
}

static void
stream_free(struct listing_stream *l)
{
	LIST_REMOVE(l, link);
	json_decref(l->names);
	free(l->after);
	free(l);
}

void
listings_free(struct listings *l)
{
	struct listing_stream *s, *next;

	for (s = l ? LIST_FIRST(&l->streams) : NULL; s; s = next) {
		next = LIST_NEXT(s, link);
		stream_free(s);
	}
	free(l);
}

/* What was asked for still comes, and ends it. */
static void
on_gone(void *arg)
{
	struct listing_stream *l = arg;

	l->req = NULL;
	if (!l->asked)
		stream_free(l);
}

static void
on_taken(void *arg)
{
	struct listing_stream *l = arg;

	l->names = json_array();
	l->asked = true;
	l->owner->ask(l->profile, l->set, l->after, l, l->owner->arg);
}

void
listings_begin(struct listings *owner, struct api_request *req)
{
	struct listing_stream *l = calloc(1, sizeof *l);

	if (!l || !(l->after = strdup(""))) {
		free(l);
		api_fail(req, -ERR_NOMEM, "out of memory for a list of names");
		return;
	}
	l->owner = owner;
	l->req = req;
	snprintf(l->profile, sizeof l->profile, "%s", api_part(req, 0));
	snprintf(l->set, sizeof l->set, "%s", api_part(req, 1));
	LIST_INSERT_HEAD(&owner->streams, l, link);
	api_stream_begin(req, on_gone, l);
	on_taken(l);
}

void
listings_name(struct listing_stream *l, const char *path, uint8_t kind, uint32_t mode, uint64_t size, int64_t mtime_ns)
{
	json_t *o = api_object("entry");
	char text[8];

	snprintf(text, sizeof text, "%04o", mode & 07777);
	json_object_set_new(o, "kind", json_string(entry_kind_name(kind)));
	json_object_set_new(o, "path", api_name(path));
	json_object_set_new(o, "size", json_integer((json_int_t)size));
	json_object_set_new(o, "mtime", api_time_ns(mtime_ns));
	json_object_set_new(o, "mode", json_string(text));
	json_array_append_new(l->names, o);
}

static void
end_stream(struct listing_stream *l, json_t *set)
{
	json_t *o = api_object("done"), *sets = json_array();

	json_array_append(sets, set);
	json_object_set(o, "set", set);
	json_object_set_new(o, "text", json_string(""));
	json_object_set_new(o, "sets", sets);
	api_stream_lines(l->req, l->names, NULL);
	l->names = NULL;
	api_stream_line(l->req, o);
	api_stream_end(l->req);
	stream_free(l);
}

/* The next page is of the set that this one was of, whatever is sealed meanwhile: "latest" has become a name. */
static void
wait_until_taken(struct listing_stream *l, const json_t *set, char *after)
{
	json_t *names = l->names;

	snprintf(l->set, sizeof l->set, "%s", json_string_value(json_object_get(set, "name")));
	free(l->after);
	l->after = after;
	l->names = NULL;
	api_stream_lines(l->req, names, on_taken);
}

void
listings_page(struct listing_stream *l, int err, const char *text, json_t *set, const char *next)
{
	char *after = NULL;

	l->asked = false;
	if (!err && !l->names) {
		err = -ERR_NOMEM;
		text = "out of memory for a list of names";
	}
	if (!err && *next && !(after = strdup(next))) {
		err = -ERR_NOMEM;
		text = "out of memory for a list of names";
	}
	if (!l->req) {
		free(after);
		stream_free(l);
	} else if (err) {
		api_fail(l->req, err, text);
		stream_free(l);
	} else if (after) {
		wait_until_taken(l, set, after);
	} else {
		end_stream(l, set);
	}
	json_decref(set);
}
