/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watchers - open status streams: each gets a line at once, and one more whenever something changed.
 *
 * Changes come in bursts; a stream gets at most four lines a second, and none while its client does not take them.
 */
#ifndef CONTROL_WATCHERS_H
#define CONTROL_WATCHERS_H

#include <jansson.h>

struct api_request;
struct event_base;
struct watchers;

/* `line` *gives* the object that is told. */
int watchers_new(struct event_base *base, json_t *(*line)(const char *profile, void *arg), void *arg, struct watchers **ret_watchers);
void watchers_free(struct watchers *w); /* the streams are ended by api_free */

/* Turns the request into a stream; `profile` "" = all. */
void watchers_add(struct watchers *w, struct api_request *req, const char *profile);
void watchers_changed(struct watchers *w);

#endif
