/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handover - the watcher's socket: one line that says who watches what, a poke after each commit, answers to `status`
 * and `quit`.
 *
 *   tidemark-watcher 1 <pid> <fingerprint>
 *   poke <seq>
 *   status directories=N unwatched=N events=N overflows=N rescans=N root=ok|gone since=UNIXTIME
 *
 * A client that does not read loses pokes, never the watcher's time: the journal knows everything, and the collector
 * looks every few seconds anyway.
 *
 * Threads: loop thread only.
 */
#ifndef WATCHER_HANDOVER_H
#define WATCHER_HANDOVER_H

#include <stdint.h>

#include "watcher/watcher.h"

struct event_base;
struct handover;

struct handover_events {
	void (*figures)(struct watcher_figures *ret_figures, void *arg);
	void (*quit)(void *arg);
};

/* The caller holds the profile's lock, so whatever lies at `path` is left from a dead watcher.  `path` is
 * copied, the fingerprint borrowed. */
int handover_new(struct event_base *base, const char *path, const char *fingerprint, const struct handover_events *events, void *arg,
    struct handover **ret_handover);
void handover_poke(struct handover *h, uint64_t seq);
void handover_free(struct handover *h); /* removes the socket */

/* Sends `quit` to the watcher that listens at `path`, if one does; does not wait for it. */
void handover_ask_quit(const char *path);

#endif
