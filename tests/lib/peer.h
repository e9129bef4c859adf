/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * peer - a server for tests of the collector: real TLS on loopback, the real index and staging, and a session of the
 * smallest kind.  It can be cut, refuse, forget and go back in time.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/block.h"
#include "base/workpool.h"
#include "server/index.h"
#include "server/staging.h"
#include "wire/wire_conn.h"

struct event;
struct event_base;
struct identity;

struct peer {
	struct event_base *base;
	struct workpool *pool;
	struct identity *identity;
	int listener, fd, lane_write, lane_sync;
	struct event *accept_event;
	char address[64];
	uint8_t key_bytes[BLOCK_KEY_BYTES];
	struct block_key key;
	struct index *index;
	struct staging *staging;
	struct staging_task task;
	struct wire_conn *conn;
	bool began, hello, task_busy;
	uint64_t generation;
	size_t page;                   /* rows in one SUMS, LIST: small, so that paging is met */

	/* what a test may ask for */
	uint32_t version;              /* of the protocol that WELCOME names; 0 = 1 */
	int refuse;                    /* enum err: every HELLO is answered by this GOODBYE */
	uint64_t cut_after;            /* data bytes until the connection is cut; 0 = never */
	bool mute;                     /* no acknowledgement is sent, until peer_speak */
	struct wire_msg unsaid;
	bool undurable;                /* it is told what was received, and of nothing that it is durable */

	/* what a test may look at */
	uint64_t sessions, data_bytes, naks, list_requests, blocks_requests, messages[WIRE_TYPES];
	char last_nak[200];
	int failed;
	struct treemap_sum sealed_total;
	bool hold_seal;                /* the answer to SEAL waits */
	uint64_t seal_job;
	int64_t seal_t0_ns, sealed_t0_ns;
	uint64_t over_jobs[16];        /* of each JOB_OVER */
	int32_t over_code;             /* of the last */
	char over_text[64], origin[64];
	int64_t due_ns;
};

/* `dir` (made) is the profile's folder. */
void peer_open(struct peer *p, struct event_base *base, struct workpool *pool, struct identity *identity, const char *dir);
void peer_cut(struct peer *p);
/* Ends `mute`. */
void peer_speak(struct peer *p);
/* Runs the loop until nothing is on its way to disk. */
void peer_settle(struct peer *p);
/* Answers a held SEAL. */
void peer_sealed(struct peer *p);
/* Tells NEWEST of the set that was sealed last. */
void peer_newest(struct peer *p, uint8_t verified);
/* Ends the session, lets the disk finish, closes all: peer_open may follow. */
void peer_close(struct peer *p);

/* Opens what the server holds of a path, by its index; negative error. */
int peer_open_file(struct peer *p, const char *path, struct index_node *ret_node);

#endif
