/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listings - the names of sets, told page by page: the next page is asked for when the client has taken the one before, so
 * that a set of millions of names never lies in the daemon's memory.
 */
#ifndef CONTROL_LISTINGS_H
#define CONTROL_LISTINGS_H

#include <jansson.h>
#include <stdint.h>

struct api_request;
struct listing_stream;
struct listings;

/* Asks for a page of the set's names, which listings_page ends in any case; strings are borrowed until it returns. */
typedef void listings_ask(const char *profile, const char *set, const char *after, struct listing_stream *l, void *arg);

int listings_new(listings_ask *ask, void *arg, struct listings **ret_listings);
/* No page comes any more; the streams are ended by api_free. */
void listings_free(struct listings *l);

/* Turns the request, whose parts are profile and set, into a stream of "entry" lines and a last one, "done". */
void listings_begin(struct listings *l, struct api_request *req);

/* A name of the page. */
void listings_name(struct listing_stream *l, const char *path, uint8_t kind, uint32_t mode, uint64_t size, int64_t mtime_ns);
/* The page's end, or, with a negative `err`, the whole stream's.  `set` (*taken*) with its "name"; `next` "" = that was all. */
void listings_page(struct listing_stream *l, int err, const char *text, json_t *set, const char *next);

#endif
