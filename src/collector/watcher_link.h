/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watcher_link - the collector's side of a watcher: finds the living one by its socket, starts one where there is none, hears
 * its pokes.
 *
 * A watcher that serves another configuration (path, type or state changed), or is of another version, is told to quit and
 * replaced.  Under systemd the watcher is a unit of its own; when it does not answer within ten seconds we start one all the same,
 * and the profile's lock decides which lives.  There, one of another version is kept by a collector that is a release: its unit would
 * only bring the same program again, which changes with the package.
 *
 * Threads: loop thread only.
 */
#ifndef COLLECTOR_WATCHER_LINK_H
#define COLLECTOR_WATCHER_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct conf;
struct event_base;
struct watcher_link;

struct watcher_link_status {
	bool up; /* connected, and it answers */
	bool root_gone;
	uint64_t directories, unwatched, events, overflows, rescans;
	int64_t since_s;
};

struct watcher_link_events {
	void (*poke)(void *arg);   /* the journal has news */
	void (*up)(void *arg);     /* a watcher answers: what happened while none did was not seen */
	void (*changed)(void *arg); /* up or down, or new figures */
};

/* What a watcher serves, and then, behind a dot, its version, as one word: *gives*. */
char *watcher_fingerprint(const struct conf *conf, const char *profile);

/* `config_file` is handed to a watcher that is started.  Strings are copied. */
int watcher_link_new(struct event_base *base, const struct conf *conf, const char *config_file, const char *profile,
    const struct watcher_link_events *events, void *arg, struct watcher_link **ret_link);
/* The watcher lives on. */
void watcher_link_free(struct watcher_link *l);

/* The watcher is to begin anew: it is told to end, and another is started. */
void watcher_link_replace(struct watcher_link *l);

void watcher_link_status(const struct watcher_link *l, struct watcher_link_status *ret_status);

#endif
