/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_rig - one profile's staging in a fresh folder, fed with frames as a collector would pack them.
 */
#ifndef TESTS_STAGING_RIG_H
#define TESTS_STAGING_RIG_H

#include <assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/workpool.h"
#include "server/index.h"
#include "server/staging.h"
#include "tests/lib/frame.h"
#include "tests/lib/scratch.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

#define RIG_NAKS 64
#define RIG_THREADS 2 /* of each lane */

struct rig {
	char dir[128];
	struct event_base *base;
	struct workpool *pool;
	int lane_write, lane_sync;
	int fd;
	struct block_key key;
	struct index *index;
	struct staging *staging;
	struct staging_recovery recovery;
	struct staging_task task;

	uint64_t op; /* last given */
	struct pack_out out;
	uint64_t received, applied, durable;
	struct { uint64_t op; int err; char text[200]; } naks[RIG_NAKS];
	size_t n_naks;
	int failed;
	bool started;
	uint8_t *image; /* of a file in transfer */
	void (*on_ack)(struct rig *r);
};

static inline void
rig_ack(uint64_t received, uint64_t applied, uint64_t durable, void *arg)
{
	struct rig *r = arg;

	assert(received >= applied && applied >= durable && durable >= r->durable);
	r->received = received;
	r->applied = applied;
	r->durable = durable;
	if (r->on_ack)
		r->on_ack(r);
}

static inline void
rig_nak(uint64_t op, int err, const char *text, void *arg)
{
	struct rig *r = arg;

	if (r->n_naks == RIG_NAKS)
		return;
	r->naks[r->n_naks].op = op;
	r->naks[r->n_naks].err = err;
	snprintf(r->naks[r->n_naks].text, sizeof r->naks[0].text, "%s", text);
	r->n_naks++;
}

static inline void rig_drained(void *arg) { (void)arg; }

static inline void
rig_failed(int err, const char *text, void *arg)
{
	struct rig *r = arg;

	(void)text;
	r->failed = err;
}

static const struct staging_events rig_events = {.ack = rig_ack, .nak = rig_nak, .drained = rig_drained, .failed = rig_failed};

static inline void
rig_started(struct staging_task *task, bool cancelled)
{
	struct rig *r = (struct rig *)((char *)task - offsetof(struct rig, task));

	if (cancelled)
		return;
	r->started = true;
	r->op = r->received = r->applied = r->durable = 0;
	staging_begin(r->staging, &rig_events, r);
}

static inline void rig_nothing(struct staging_task *task) { (void)task; }

/* Begins a session once the last one is settled. */
static inline void
rig_begin(struct rig *r)
{
	r->started = false;
	r->n_naks = 0;
	r->failed = 0;
	r->task = (struct staging_task){.run = rig_nothing, .done = rig_started};
	staging_submit(r->staging, &r->task);
	while (!r->started)
		event_base_loop(r->base, EVLOOP_ONCE);
}

static inline int
rig_recover(struct rig *r)
{
	char state[160];

	snprintf(state, sizeof state, "%s/state", r->dir);
	r->fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(fsio_make_dirs(r->fd, "state", false));
	block_key_init(&r->key, (const uint8_t *)"0123456789abcdef0123456789abcdef");
	int err = index_open(state, "po1", false, &r->index, NULL);
	if (err)
		return err;
	r->lane_write = workpool_add_lane(r->pool, "write", RIG_THREADS);
	r->lane_sync = workpool_add_lane(r->pool, "sync", RIG_THREADS);
	struct staging_setup setup = {.pool = r->pool, .lane_write = r->lane_write, .lane_sync = r->lane_sync, .index = r->index,
	    .profile_fd = r->fd, .layout = LAYOUT_POST_OFFICE, .key = &r->key};
	err = staging_new(&setup, &r->staging);
	return err ? err : staging_recover(r->staging, 1000000000, &r->recovery);
}

/* `dir`: an existing folder, or NULL for a fresh one. */
static inline void
rig_open(struct rig *r, const char *dir)
{
	*r = (struct rig){.fd = -1};
	if (!dir) {
		struct scratch fresh;

		scratch_open(&fresh);
		close(fresh.fd);
		snprintf(r->dir, sizeof r->dir, "%s", fresh.path);
	} else {
		snprintf(r->dir, sizeof r->dir, "%s", dir);
	}
	r->base = event_base_new();
	if (workpool_new(r->base, &r->pool) != 0 || rig_recover(r) != 0) {
		fprintf(stderr, "rig: %s\n", err_text());
		abort();
	}
	rig_begin(r);
}

static inline void
rig_close(struct rig *r)
{
	staging_end(r->staging);
	while (!staging_idle(r->staging))
		event_base_loop(r->base, EVLOOP_ONCE);
	workpool_free(r->pool);
	staging_free(r->staging);
	index_close(r->index);
	event_base_free(r->base);
	close(r->fd);
	pack_out_fini(&r->out);
	free(r->image);
}

static inline void
rig_remove(struct rig *r)
{
	scratch_remove(r->dir);
}

/* Sends the messages gathered as one frame. */
static inline void
rig_send(struct rig *r)
{
	struct wire_frame *frame = calloc(1, sizeof *frame);
	uint8_t *data;
	size_t len;

	if (r->out.failed || frame_of(WIRE_DATA, r->out.data, r->out.len, false, &data, &len) != 0 ||
	    wire_head_unpack(data, &frame->head) != 0)
		abort();
	frame->body = malloc(len - WIRE_FRAME_HEAD + 1);
	memcpy(frame->body, data + WIRE_FRAME_HEAD, len - WIRE_FRAME_HEAD);
	free(data);
	r->out.len = 0;
	staging_frame(r->staging, frame);
}

static inline void
rig_pack(struct rig *r, const struct wire_msg *msg)
{
	wire_pack(&r->out, msg);
	if (r->out.len > 512u * 1024u)
		rig_send(r);
}

static inline struct entry
rig_entry(struct rig *r, const void *data, size_t len)
{
	return (struct entry){.kind = ENTRY_FILE, .mode = 0644, .size = len, .mtime_ns = 1500000000123456789, .digest = block_hash(&r->key, data, len)};
}

static inline uint64_t
rig_put(struct rig *r, const char *path, const void *data, size_t len)
{
	struct wire_msg m = {.type = WIRE_PUT};

	m.u.put.op = ++r->op;
	m.u.put.path = (char *)(uintptr_t)path;
	m.u.put.entry = rig_entry(r, data, len);
	m.u.put.data = (struct wire_bytes){data, len};
	rig_pack(r, &m);
	return r->op;
}

static inline uint64_t
rig_begin_file(struct rig *r, const char *path, enum wire_begin_mode mode, uint64_t size)
{
	struct wire_msg m = {.type = WIRE_BEGIN};

	m.u.begin.op = ++r->op;
	m.u.begin.path = (char *)(uintptr_t)path;
	m.u.begin.mode = mode;
	m.u.begin.size = size;
	rig_pack(r, &m);
	return r->op;
}

static inline void
rig_chunk(struct rig *r, uint64_t op, uint64_t offset, const void *data, size_t len)
{
	struct wire_msg m = {.type = WIRE_CHUNK};

	m.u.chunk.op = op;
	m.u.chunk.offset = offset;
	m.u.chunk.data = (struct wire_bytes){data, len};
	rig_pack(r, &m);
}

static inline void
rig_hole(struct rig *r, uint64_t op, uint64_t offset, uint64_t len)
{
	struct wire_msg m = {.type = WIRE_HOLE};

	m.u.hole.op = op;
	m.u.hole.offset = offset;
	m.u.hole.len = len;
	rig_pack(r, &m);
}

static inline void
rig_end_file(struct rig *r, uint64_t op, const void *data, size_t len)
{
	struct wire_msg m = {.type = WIRE_END};

	m.u.end.op = op;
	m.u.end.entry = rig_entry(r, data, len);
	rig_pack(r, &m);
}

static inline void
rig_abort(struct rig *r, uint64_t op)
{
	struct wire_msg m = {.type = WIRE_ABORT};

	m.u.abort.op = op;
	rig_pack(r, &m);
}

static inline uint64_t
rig_entry_of(struct rig *r, const char *path, const struct entry *e)
{
	struct wire_msg m = {.type = WIRE_ENTRY};

	m.u.entry.op = ++r->op;
	m.u.entry.path = (char *)(uintptr_t)path;
	m.u.entry.entry = *e;
	rig_pack(r, &m);
	return r->op;
}

static inline uint64_t
rig_rm(struct rig *r, const char *path)
{
	struct wire_msg m = {.type = WIRE_REMOVE};

	m.u.remove.op = ++r->op;
	m.u.remove.path = (char *)(uintptr_t)path;
	rig_pack(r, &m);
	return r->op;
}

/* Sends what is gathered and waits until everything is durable, or staging failed. */
static inline void
rig_settle(struct rig *r)
{
	if (r->out.len)
		rig_send(r);
	while (r->durable < r->op && !r->failed)
		event_base_loop(r->base, EVLOOP_ONCE);
}

static inline int
rig_nak_of(const struct rig *r, uint64_t op)
{
	for (size_t i = 0; i < r->n_naks; i++)
		if (r->naks[i].op == op)
			return r->naks[i].err;
	return 0;
}

/* The bytes at a place below the profile equal `data`. */
static inline bool
rig_holds(struct rig *r, const char *place, const void *data, size_t len)
{
	char *bytes;
	size_t n;

	if (fsio_read_file(r->fd, place, 64u << 20, &bytes, &n) != 0)
		return false;
	bool same = n == len && memcmp(bytes, data, len) == 0;
	free(bytes);
	return same;
}

static inline bool
rig_is_there(struct rig *r, const char *place)
{
	struct stat st;

	return fsio_stat(r->fd, place, &st) == 0;
}

static inline bool
rig_has_row(struct rig *r, const char *path, uint32_t *ret_version)
{
	struct index_node node;

	if (index_get(r->index, path, &node) != 0)
		return false;
	if (ret_version)
		*ret_version = node.version;
	entry_fini(&node.entry);
	return true;
}

#endif
