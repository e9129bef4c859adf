/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transfer - what is compared with what, when a belief may be trusted, and when a read was torn. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/planted.h"
#include "replicator/look.h"
#include "replicator/origin.h"
#include "replicator/transfer.h"
#include "replicator/work.h"

#define SPARSE 16 /* of a piece's blocks one is dirty, or fewer */

static const char *const names[] = {
	[TRANSFER_READ] = "read", [TRANSFER_ASK] = "ask", [TRANSFER_MARK] = "mark", [TRANSFER_SEND] = "send",
	[TRANSFER_WAIT] = "wait", [TRANSFER_DONE] = "done", [TRANSFER_FAILED] = "failed",
};
_Static_assert(sizeof names / sizeof *names == TRANSFER_STATES, "every state has its name");

const char *
transfer_state_name(enum transfer_state state)
{
	return names[state];
}

static void
set_state(struct transfer *t, enum transfer_state state)
{
	if (t->state != state)
		log_debug("transfer.state", "path=%s block=%llu %s -> %s", t->work->path, (unsigned long long)t->at,
		    names[t->state], names[state]);
	t->state = state;
}

/* A piece, or the file where that is smaller. */
static size_t
buffer_bytes(uint64_t size)
{
	uint64_t n = block_count(size);

	return (size_t)(n < TRANSFER_PIECE ? n : TRANSFER_PIECE) * BLOCK_BYTES;
}

struct transfer *
transfer_new(struct work *work, struct blockmap *map, const struct block_key *key, bool blob)
{
	struct transfer *t = calloc(1, sizeof *t);

	if (!t || !(t->digest = block_digest_new(key))) {
		free(t);
		return NULL;
	}
	t->work = work;
	t->map = map;
	t->key = key;
	t->blob = blob;
	t->fd = -1;
	t->data_bytes = buffer_bytes(work->entry.size);
	return t;
}

void
transfer_free(struct transfer *t)
{
	if (!t)
		return;
	if (t->fd >= 0)
		close(t->fd);
	entry_fini(&t->old);
	block_digest_free(t->digest);
	free(t->theirs);
	free(t->data);
	free(t);
}

/* ---- the first piece: open, and choose what to compare with ---- */

/*
 * A flight mark, a cut transfer or an adopted entry mean that nobody here knows what the server holds.  Adopted content is
 * probably equal, and so is a blob whose stat alone changed: their digest is tried first, which costs the server nothing.
 * A blob is never patched, so what the server holds of its last version helps nobody.
 */
static enum transfer_against
choose(const struct transfer *t, bool known, bool adopted, bool marked)
{
	if (t->work->whole)
		return AGAINST_NOTHING;
	if ((marked && !PLANTED(flight_mark_ignored)) || t->work->doubt)
		return t->blob && known && !adopted ? AGAINST_NOTHING : AGAINST_SERVER;
	if (!known)
		return AGAINST_NOTHING;
	return adopted || t->blob ? AGAINST_DIGEST : AGAINST_MAP;
}

static int
read_belief(struct transfer *t)
{
	struct blockmap_stat stat = {0};
	bool marked = false, known;
	int err = blockmap_get(t->map, t->work->path, &t->old, &stat);

	if (err < 0)
		return err;
	known = err == 0 && t->old.kind == ENTRY_FILE;
	if ((err = blockmap_in_flight(t->map, t->work->path, &marked)) < 0)
		return err;
	t->work->known = known;
	t->patch = known && !t->blob;
	t->marked = marked;
	t->against = choose(t, known, stat.adopted, marked);
	return 0;
}

static int
open_file(struct transfer *t)
{
	struct stat seen;
	int err;

	/* Before the opening, which makes a store through a mapping move the times: one that came between it and the look would be in them, and
	 * those that follow it into the same page would not. */
	if ((err = origin_stat(t->work->origin, t->work->path, &seen)) < 0)
		return err;
	t->fd = origin_open(t->work->origin, t->work->path, O_RDONLY);
	if (t->fd < 0)
		return t->fd;
	if (fstat(t->fd, &t->before) < 0)
		return err_sys("stat");
	if (!look_same_instant(&seen, &t->before))
		return err_set(ERR_TORN, "changed while being opened");
	if (!S_ISREG(t->before.st_mode) || look_travels_whole(t->work->origin, t->work->path, (uint64_t)t->before.st_size))
		return err_set(ERR_TORN, "became another kind of file");
	if ((err = read_belief(t)) < 0)
		return err;
	posix_fadvise(t->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	entry_from_stat(&t->work->entry, &t->before);
	t->work->stat = look_stat(&t->before);
	t->size = (uint64_t)t->before.st_size;
	t->n_blocks = block_count(t->size);
	if (t->work->n_hints != t->n_blocks || t->against == AGAINST_DIGEST) {
		free(t->work->hints);
		t->work->hints = NULL;
		t->work->n_hints = 0;
	}
	return 0;
}

/* ---- one piece ---- */

static size_t
bytes_of(const struct transfer *t, uint64_t block, uint32_t n)
{
	uint64_t from = block * BLOCK_BYTES, to = (block + n) * BLOCK_BYTES;

	return (size_t)((to < t->size ? to : t->size) - from);
}

/* `n` blocks of the piece from `block` on, to the place of block `at` of the buffer. */
static int
read_at(struct transfer *t, uint32_t block, uint32_t n, uint32_t at)
{
	size_t want = bytes_of(t, t->first + block, n);
	ssize_t got = fsio_pread(t->fd, t->data + (size_t)at * BLOCK_BYTES, want, (t->first + block) * BLOCK_BYTES);

	if (got < 0)
		return (int)got;
	return (size_t)got == want ? 0 : err_set(ERR_TORN, "became shorter while being read");
}

/* Marks the blocks that lie in holes as a whole; gives whether any data is there. */
static int
find_holes(struct transfer *t, bool *ret_any_data)
{
	uint64_t offset = t->first * BLOCK_BYTES, stop = offset + bytes_of(t, t->first, t->n), start, end;
	int err;

	memset(t->hole, 0, sizeof t->hole);
	*ret_any_data = true;
	if ((uint64_t)t->before.st_blocks * 512 >= t->size)
		return 0;
	memset(t->hole, 1, sizeof t->hole);
	*ret_any_data = false;
	while (offset < stop) {
		if ((err = fsio_next_data(t->fd, offset, t->size, &start, &end)) < 0)
			return err;
		if (start >= stop)
			break;
		for (uint64_t b = start / BLOCK_BYTES; b * BLOCK_BYTES < end && b < t->first + t->n; b++)
			t->hole[b - t->first] = false;
		*ret_any_data = true;
		offset = end;
	}
	return 0;
}

static int
read_piece(struct transfer *t)
{
	size_t len = bytes_of(t, t->first, t->n);
	bool any_data;
	int err = find_holes(t, &any_data);

	if (err < 0)
		return err;
	if (!any_data)
		memset(t->data, 0, len);
	else if ((err = read_at(t, 0, t->n, 0)) < 0)
		return err;
	block_hash_many(t->key, t->data, len, t->now);
	block_digest_update(t->digest, t->data, len);
	return 0;
}

/* What the server holds of the piece, as far as it is known. */
static int
old_hashes(struct transfer *t, struct hash128 old[BLOCKMAP_EXTENT], size_t *ret_n)
{
	uint64_t skip = t->first - t->theirs_first;

	*ret_n = 0;
	if (t->against == AGAINST_MAP) {
		*ret_n = t->n;
		return blockmap_blocks_get(t->map, t->work->path, t->first, t->n, old);
	}
	if (t->against == AGAINST_SERVER && skip < t->n_theirs) {
		*ret_n = t->n_theirs - skip < t->n ? t->n_theirs - skip : t->n;
		memcpy(old, t->theirs + skip, *ret_n * sizeof *old);
	}
	return 0;
}

/* The writer of the file told its hashes: only what is dirty is read, and must be what was told. */
static int
read_hinted(struct transfer *t)
{
	struct hash128 got[TRANSFER_PIECE];
	int err;

	for (size_t i = 0; i < t->n_ranges; i++) {
		struct dirty_range *r = &t->ranges[i];

		if ((err = read_at(t, r->first, r->count, r->at)) < 0)
			return err;
		block_hash_many(t->key, t->data + (size_t)r->at * BLOCK_BYTES, bytes_of(t, t->first + r->first, r->count), got);
		if (memcmp(got, t->now + r->first, r->count * sizeof *got) != 0)
			return err_set(ERR_TORN, "is not what its copier said");
	}
	return 0;
}

/* The piece ends where its dirty blocks would not fit into the buffer, in which they lie one after the other. */
static void
pack(struct transfer *t, const struct dirty_range *ranges, size_t n)
{
	uint32_t dirty = 0;

	for (t->n_ranges = 0; t->n_ranges < n && dirty < TRANSFER_PIECE; t->n_ranges++) {
		struct dirty_range *r = &t->ranges[t->n_ranges];

		*r = ranges[t->n_ranges];
		r->at = dirty;
		if (dirty + r->count > TRANSFER_PIECE)
			r->count = TRANSFER_PIECE - dirty;
		dirty += r->count;
		if (dirty == TRANSFER_PIECE)
			t->n = r->first + r->count;
	}
	t->sparse = dirty <= t->n / SPARSE;
}

static int
compare_hinted(struct transfer *t)
{
	struct hash128 old[BLOCKMAP_EXTENT];
	struct dirty_range ranges[BLOCKMAP_EXTENT];
	size_t n_old;
	int err = old_hashes(t, old, &n_old);

	if (err < 0)
		return err;
	memcpy(t->now, t->work->hints + t->first, t->n * sizeof *t->now);
	pack(t, ranges, dirty_ranges(old, n_old, t->now, NULL, t->n, TRANSFER_PIECE, ranges));
	return read_hinted(t);
}

static int
compare_read(struct transfer *t)
{
	struct hash128 old[BLOCKMAP_EXTENT];
	size_t n_old;
	int err = read_piece(t);

	t->n_ranges = 0;
	if (err < 0 || t->against == AGAINST_DIGEST)
		return err;
	if ((err = old_hashes(t, old, &n_old)) < 0)
		return err;
	t->n_ranges = dirty_ranges(old, n_old, t->now, t->hole, t->n, TRANSFER_PIECE, t->ranges);
	return 0;
}

static void
gather_extent(struct transfer *t)
{
	memcpy(t->extent + t->n_extent, t->now, t->n * sizeof *t->now);
	t->n_extent += t->n;
	t->extent_dirty |= t->n_ranges > 0 || t->against != AGAINST_MAP;
}

static int
finish_reading(struct transfer *t)
{
	struct stat after;

	if (fstat(t->fd, &after) < 0)
		return err_sys("stat after reading");
	if (!look_same_instant(&t->before, &after) && !PLANTED(torn_read_believed))
		return err_set(ERR_TORN, "changed while being read");
	t->work->entry.digest = t->work->hints ? t->work->hint_digest : block_digest_value(t->digest);
	return 0;
}

/* Hashes of the server for the next piece are not here yet. */
static bool
must_ask(const struct transfer *t)
{
	return t->against == AGAINST_SERVER && !t->theirs_absent &&
	    (!t->theirs_known || (t->at * BLOCK_BYTES < t->theirs_size && t->at >= t->theirs_first + t->n_theirs));
}

/* A piece ends with the file, with its extent, and where the server's hashes end before its file does. */
static uint32_t
piece_blocks(const struct transfer *t)
{
	uint64_t n = t->work->hints && t->sparse ? BLOCKMAP_EXTENT : TRANSFER_PIECE, theirs_end = t->theirs_first + t->n_theirs;

	if (n > t->n_blocks - t->at)
		n = t->n_blocks - t->at;
	if (n > BLOCKMAP_EXTENT - t->n_extent)
		n = BLOCKMAP_EXTENT - t->n_extent;
	if (t->against == AGAINST_SERVER && theirs_end > t->at && theirs_end * BLOCK_BYTES < t->theirs_size && n > theirs_end - t->at)
		n = theirs_end - t->at;
	return (uint32_t)n;
}

static int
next_piece(struct transfer *t)
{
	int err;

	t->first = t->at;
	t->n = piece_blocks(t);
	t->last = t->first + t->n == t->n_blocks;
	if (!t->data && !(t->data = malloc(buffer_bytes(t->size))))
		return err_set(ERR_NOMEM, "no memory");
	err = t->work->hints ? compare_hinted(t) : compare_read(t);
	if (!err && t->last)
		err = finish_reading(t);
	if (err < 0)
		return err;
	t->at += t->n;
	gather_extent(t);
	return 0;
}

void
transfer_run(struct transfer *t)
{
	t->err = t->fd < 0 ? open_file(t) : 0;
	t->n = 0;
	t->n_ranges = 0;
	if (!t->err && !must_ask(t))
		t->err = next_piece(t);
	if (t->err < 0)
		snprintf(t->work->text, sizeof t->work->text, "%s", err_text());
}

/* ---- between the pieces ---- */

static void
fail(struct transfer *t, int err)
{
	t->err = err;
	t->work->err = err;
	if (!t->work->text[0])
		snprintf(t->work->text, sizeof t->work->text, "%s", err_text());
	set_state(t, TRANSFER_FAILED);
}

/* The cheap comparison failed: the same file once more, against something better. */
static void
start_over(struct transfer *t, enum transfer_against against)
{
	t->against = against;
	t->at = 0;
	t->n_extent = 0;
	t->extent_dirty = t->last = false;
	block_digest_reset(t->digest);
	set_state(t, must_ask(t) ? TRANSFER_ASK : TRANSFER_READ);
}

/* Nothing was dirty to the end: equal content, unless the belief was wrong. */
static void
conclude_equal(struct transfer *t)
{
	struct work *w = t->work;

	if (t->old.size == w->entry.size && hash128_equal(t->old.digest, w->entry.digest)) {
		w->verdict = look_same_metadata(&t->old, &w->entry) ? WORK_LEARNED : WORK_ENTRY;
		set_state(t, TRANSFER_DONE);
	} else if (t->against == AGAINST_DIGEST && t->blob) {
		start_over(t, AGAINST_NOTHING);
	} else {
		start_over(t, AGAINST_SERVER);
	}
}

static bool
must_send(const struct transfer *t)
{
	if (t->n_ranges || (t->against == AGAINST_SERVER && !t->begun))
		return true; /* in doubt: marked from the start, since the map's own hashes are replaced on the way */
	if (!t->last || t->against == AGAINST_DIGEST)
		return false;
	return t->begun || t->against != AGAINST_MAP || t->old.size != t->work->entry.size;
}

/* Before the first byte of a patch leaves, the belief is suspended; new files only where a resume would pay. */
static bool
needs_mark(const struct transfer *t)
{
	return !t->begun && !t->marked && (t->work->known || t->size >= TRANSFER_RESUME_BYTES) && !PLANTED(flight_mark_not_written);
}

void
transfer_ran(struct transfer *t)
{
	assert(t->state == TRANSFER_READ);
	if (t->fd >= 0)
		t->data_bytes = buffer_bytes(t->size);
	if (t->err < 0)
		fail(t, t->err);
	else if (!t->n)
		set_state(t, TRANSFER_ASK);
	else if (must_send(t))
		set_state(t, needs_mark(t) ? TRANSFER_MARK : TRANSFER_SEND);
	else if (t->last)
		conclude_equal(t);
	else if (must_ask(t))
		set_state(t, TRANSFER_ASK);
}

void
transfer_ask(const struct transfer *t, struct wire_msg *ret_msg)
{
	*ret_msg = (struct wire_msg){.type = WIRE_BLOCKS_REQ};
	ret_msg->u.blocks_req.path = t->work->path;
	ret_msg->u.blocks_req.first = t->at;
	ret_msg->u.blocks_req.count = WIRE_LIST_MAX;
}

bool
transfer_answer(struct transfer *t, const struct wire_msg *msg)
{
	size_t n = msg->u.blocks.n;

	if (t->state != TRANSFER_ASK || strcmp(msg->u.blocks.path, t->work->path) != 0)
		return false;
	t->theirs_known = true;
	t->theirs_size = msg->u.blocks.size;
	t->theirs_first = t->at;
	t->n_theirs = n;
	/* An answer without hashes would be asked for again for ever: the rest counts as absent. */
	t->theirs_absent = !msg->u.blocks.present || !n || msg->u.blocks.first != t->at;
	if (t->theirs_absent)
		t->n_theirs = 0;
	if (!msg->u.blocks.present) /* it was lost there, though both have a row of it: a patch would be refused every time */
		t->patch = false;
	free(t->theirs);
	t->theirs = n ? malloc(n * sizeof *t->theirs) : NULL;
	if (n && !t->theirs) {
		fail(t, err_set(ERR_NOMEM, "no memory"));
		return true;
	}
	if (n)
		memcpy(t->theirs, msg->u.blocks.v, n * sizeof *t->theirs);
	set_state(t, TRANSFER_READ);
	return true;
}

struct blockmap_op
transfer_mark(const struct transfer *t)
{
	return (struct blockmap_op){.kind = BLOCKMAP_FLIGHT, .path = t->work->path};
}

void
transfer_marked(struct transfer *t, int err)
{
	if (err < 0) {
		fail(t, err);
		return;
	}
	t->marked = true;
	set_state(t, TRANSFER_SEND);
}

/* ---- messages ---- */

static struct wire_msg
range_message(struct transfer *t, const struct dirty_range *r, uint64_t op)
{
	uint64_t block = t->first + r->first;
	size_t len = bytes_of(t, block, r->count);
	struct wire_msg m = {.type = r->hole ? WIRE_HOLE : WIRE_CHUNK};

	if (r->hole) {
		m.u.hole.op = op;
		m.u.hole.offset = block * BLOCK_BYTES;
		m.u.hole.len = len;
		return m;
	}
	m.u.chunk.op = op;
	m.u.chunk.offset = block * BLOCK_BYTES;
	m.u.chunk.data = (struct wire_bytes){t->data + (size_t)r->at * BLOCK_BYTES, len};
	t->bytes += len;
	return m;
}

size_t
transfer_messages(struct transfer *t, uint64_t op, struct wire_msg *msgs, void **ret_data)
{
	size_t n = 0;

	assert(t->state == TRANSFER_SEND);
	if (!t->begun) {
		struct wire_msg m = {.type = WIRE_BEGIN};

		m.u.begin.op = op;
		m.u.begin.path = t->work->path;
		m.u.begin.mode = t->patch ? WIRE_BEGIN_PATCH : WIRE_BEGIN_WHOLE;
		m.u.begin.size = t->size;
		msgs[n++] = m;
	}
	t->op = op;
	t->begun = true;
	for (size_t i = 0; i < t->n_ranges; i++)
		msgs[n++] = range_message(t, &t->ranges[i], op);
	if (t->last) {
		struct wire_msg m = {.type = WIRE_END};

		m.u.end.op = op;
		m.u.end.entry = t->work->entry;
		msgs[n++] = m;
		t->work->verdict = WORK_LARGE;
	}
	*ret_data = t->data;
	t->data = NULL;
	t->n_ranges = 0;
	set_state(t, t->last ? TRANSFER_WAIT : must_ask(t) ? TRANSFER_ASK : TRANSFER_READ);
	return n;
}

/* Saved while the belief is suspended, adopted or absent, or unchanged: never while it is believed and wrong. */
bool
transfer_take_extent(struct transfer *t, uint64_t *ret_first, struct hash128 **ret_hashes, size_t *ret_n)
{
	bool complete = t->n_extent && (t->n_extent == BLOCKMAP_EXTENT || t->at == t->n_blocks);
	bool wanted = complete && t->extent_dirty && !t->blob;

	if (wanted && (*ret_hashes = malloc(t->n_extent * sizeof **ret_hashes))) {
		memcpy(*ret_hashes, t->extent, t->n_extent * sizeof **ret_hashes);
		*ret_first = t->at - t->n_extent;
		*ret_n = t->n_extent;
	} else if (wanted) {
		t->work->hashes_lost = true;
	}
	if (complete) {
		t->n_extent = 0;
		t->extent_dirty = false;
	}
	return wanted && *ret_hashes;
}
