/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server - all profiles this host keeps: listener, sessions, staging, the keeper's process.  What the control API asks, it
 * asks here.
 *
 * Green comes from here alone: every fact below is read from the server's own index, catalogue and clock, never from what
 * a collector says of itself.
 *
 * Threads: loop thread only; callbacks come from the loop, never from inside the call that was given them.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/treemap.h"
#include "jobs.h"

struct conf;
struct event_base;
struct report_entry; /* keeper/order.h */
struct report_set;
struct separation;
struct server;

/* Opens the store, starts the keeper, listens.  *Takes* `conf` on success; `file` is its path, for reloads.  `separation` (NULL: nobody
 * asked) is borrowed until free. */
int server_new(struct event_base *base, struct conf *conf, const char *file, const struct separation *separation, struct server **ret_server);
/* Says goodbye to every collector, waits for running commits, ends the keeper (a running seal ends with it). */
void server_free(struct server *s); /* NULL is fine */

/* Reads the file again: all or nothing.  Policies of profiles and the log level are obeyed at once; a changed listen, store
 * or run-dir needs a restart (-ERR_CONFIG, and the text says so). */
int server_reload(struct server *s);
const struct conf *server_conf(const struct server *s);

enum server_state { SERVER_OK, SERVER_LATE, SERVER_DEGRADED, SERVER_FAILED, SERVER_STATES };
const char *server_state_name(enum server_state state); /* "ok", "late", "degraded", "failed" */

struct server_profile_status {
	const char *name;
	const char *type;              /* "post-office", "domain"; "" before the first session */
	enum server_state state;
	char reason[512];              /* why not ok: what happened, what it means, what to do; "" = ok */
	bool enrolled;                 /* a certificate is on the allow-list */
	bool connected;
	const char *peer;              /* "192.0.2.7:41234", "" when not connected */
	int64_t connected_ns;          /* since when; 0 = not connected */
	int64_t last_seen_ns;          /* end of the last session, or now; 0 = never since the start */
	const struct job_record *job;  /* running, or NULL */
	const struct job_record *last_job; /* the last that ended, or NULL */
	uint64_t job_done, job_total;  /* progress of the running phase; total 0 = not known */
	struct treemap_sum staged;     /* what staging holds by the index: count, bytes */
	int64_t last_durable_ns;       /* when something last became durable; 0 = never since the start */
	uint64_t wire_bytes_received;  /* since the start of the server */
	uint64_t files_received, removals_received;
	uint64_t sets;                 /* kept */
	char last_set[64];             /* the newest; "" = none */
	int64_t last_started_ns, last_sealed_ns;
	uint64_t last_files, last_bytes;
	uint8_t last_verified;         /* enum set_verified */
	bool last_warnings;
	uint64_t free_bytes, total_bytes; /* of the store's file system */
	uint64_t index_bytes;
};

/* Profiles that are enrolled, configured, or have a folder in the store; in order of their names. */
size_t server_count(const struct server *s);
/* False past the end.  Pointers live until the next loop turn. */
bool server_status(struct server *s, size_t i, struct server_profile_status *ret_status);
/* Index of a profile, or -ERR_NOTFOUND. */
int server_find(const struct server *s, const char *profile);

/* How long a connection may be without being a profile's session, enrolment included. */
extern int64_t server_connecting_ms;

struct server_facts {
	bool keeper_up;
	uint64_t keeper_restarts;
	size_t sessions, connecting;   /* one a profile; all others, who have a minute */
	uint64_t refused;              /* connections turned away since the start */
	const char *listen;            /* "0.0.0.0:7460", with the real port */
	bool separated;                /* receiver and keeper are two users */
	const char *separation;        /* which, or what to do; "" = nobody asked */
};
void server_facts(const struct server *s, struct server_facts *ret_facts);

/* Stops the running job of a profile, in any phase.  -ERR_NOTFOUND: no such profile, or no job runs.  `who`: "user root". */
int server_stop(struct server *s, const char *profile, const char *who);

/* Comes once when the call that was given it returned 0, at the latest from server_free.  `token` (borrowed) is NULL but for a
 * token that was made. */
typedef void server_granted(int err, const char *text, const char *token, void *arg);
#define SERVER_TTL_MAX_S (30 * 86400)
/* One enrolment string, good once and for `ttl_s` seconds; a name that is not known yet becomes a profile. */
int server_token_create(struct server *s, const char *profile, int64_t ttl_s, server_granted *done, void *arg);
/* Takes the certificate off the allow-list and closes its session.  -ERR_NOTFOUND when none was enrolled. */
int server_revoke(struct server *s, const char *profile, server_granted *done, void *arg);

/* ---- orders to the keeper, answered as they are carried out ---- */

struct server_order_events {
	void (*progress)(const char *phase, uint64_t done, uint64_t total, void *arg); /* may be NULL */
	void (*finding)(const char *path, const char *what, void *arg);                /* of verify and restore; may be NULL */
	void (*entry)(const char *path, const struct report_entry *entry, void *arg);  /* of show; may be NULL */
	/* Once.  err 0 or a negative code (-ERR_DIFFERS: verify found something); `text` is a sentence, "" when there is
	 * nothing to say; `sets` (borrowed) are the answer of server_sets, and the set concerned otherwise. */
	void (*done)(int err, const char *text, const struct report_set *sets, size_t n, void *arg);
	/* Of show, in place of `done`: the set, and `after` of the next page, "" = that was all. */
	void (*page)(int err, const char *text, const struct report_set *set, const char *next, void *arg);
};

/* Each gives the order's id for server_order_cancel, or 0 when it could not be given (err_text(); `done` is then not called):
 * no such profile, the keeper is down.  `events` and `arg` are borrowed until `done`; strings until the call returns. */
uint64_t server_sets(struct server *s, const char *profile, const struct server_order_events *events, void *arg);
/* An `entry` for each name of a page; `after` "" = the first. */
uint64_t server_show(struct server *s, const char *profile, const char *set, const char *after, const struct server_order_events *events, void *arg);
/* `set` "" or "latest" = the newest. */
uint64_t server_verify(struct server *s, const char *profile, const char *set, const struct server_order_events *events, void *arg);
/* `to`: absolute, absent or an empty directory; no `paths` = all of the set. */
uint64_t server_restore(struct server *s, const char *profile, const char *set, const char *to, const char *const *paths,
    size_t n_paths, const struct server_order_events *events, void *arg);
/* The asker has gone: no further callback; a verify or restore that runs is stopped.  Unknown ids are fine. */
void server_order_cancel(struct server *s, uint64_t id);

/* The history of a profile's jobs as the server saw them; NULL for an unknown profile. */
const struct jobs *server_jobs(const struct server *s, const char *profile);

/* Called when a status changed (connection, phase, set): for streams.  One listener; NULL ends it. */
void server_on_change(struct server *s, void (*changed)(const char *profile, void *arg), void *arg);

#endif
