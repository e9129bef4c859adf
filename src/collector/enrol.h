/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * enrol - the one conversation by which a profile becomes known to a server: pin, prove, sign.
 *
 * The server's authority is pinned by the token before anything is sent; the proof binds the token's secret to this TLS
 * session, so that nobody in between can use it.
 *
 * Threads: loop thread only; the files are written in a lane.
 */
#ifndef COLLECTOR_ENROL_H
#define COLLECTOR_ENROL_H

struct enrol;
struct event_base;
struct workpool;

typedef void enrol_done(int err, const char *text, void *arg);

/* `dir`: where identities are kept.  `done` is called once; the enrolment frees itself after it. */
int enrol_start(struct event_base *base, struct workpool *pool, int lane, const char *dir, const char *profile, const char *token,
    enrol_done *done, void *arg);

#endif
