/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * api - HTTP and JSON on a Unix socket: the one interface for command line, page and tests.
 *
 * The socket is 0660; who asks is known from SO_PEERCRED and ends up in a job's origin.  A reply is one JSON object, or a
 * stream of objects, one a line.  An error is {"v":1,"type":"error","code":"NOTFOUND","text":...} with the HTTP status that
 * fits.  Bodies are capped at 1 MiB, JSON depth at 16.
 *
 * Threads: loop thread only.
 */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct api;
struct api_request;

struct api_route {
	const char *method; /* "GET", "POST" */
	const char *path;   /* "/v1/profiles/{}/backup": {} matches one component, given to the handler in order */
	void (*handle)(struct api_request *req, void *arg);
};

/* `socket_path`: made, a stale one is replaced.  `routes` ends with a NULL method; borrowed. */
int api_new(struct event_base *base, const char *socket_path, const struct api_route *routes, void *arg, struct api **ret_api);
void api_free(struct api *a); /* ends open streams; removes the socket */

/* The i-th {} of the path, decoded; "" when there is none. */
const char *api_part(const struct api_request *req, unsigned i);
/* A query parameter, decoded, or NULL. */
const char *api_query(const struct api_request *req, const char *name);
/* The body; an empty object when there was none.  Borrowed. */
const json_t *api_body(const struct api_request *req);
/* "user root": who asks.  May wait for the host's directory service: only for what keeps the name. */
const char *api_who(struct api_request *req);

/* Answers; *takes* `body`.  The request is over. */
void api_reply(struct api_request *req, json_t *body);
void api_fail(struct api_request *req, int err, const char *text);

/* A stream: begin, any number of lines (*taken*), end.  When the client goes, `gone` is called once and the request is over. */
void api_stream_begin(struct api_request *req, void (*gone)(void *arg), void *arg);
void api_stream_line(struct api_request *req, json_t *line);
/* The lines of an array (*taken*), at once.  `taken`, when not NULL, is called from the loop with the stream's `arg` when the client
 * has taken all that it was told: whoever has much to tell goes on only then. */
void api_stream_lines(struct api_request *req, json_t *lines, void (*taken)(void *arg));
void api_stream_end(struct api_request *req);
/* True while the client leaves much of what it was told untaken.  Whoever tells a state over and over then leaves it out: one that has
 * stopped reading (a pager, ^Z) must not fill our memory, and takes the newest when it goes on. */
bool api_stream_behind(const struct api_request *req);
/* Bytes of what it was told that the client has not taken, beside what the socket holds. */
size_t api_stream_untaken(const struct api_request *req);

/* ---- JSON as CONTRACT.md wants it ---- */

/* {"v":1,"type":type}; NULL when out of memory. */
json_t *api_object(const char *type);
/* RFC 3339 UTC, or null for 0. */
json_t *api_time_ns(int64_t ns);
/* A path: UTF-8 as it is but for doubled backslashes, any other byte as \xHH (relpath_escape), so that it can be reversed. */
json_t *api_name(const char *bytes);
/* A sentence: as it is when UTF-8. */
json_t *api_text(const char *text);

#endif
