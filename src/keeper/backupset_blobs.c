/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backupset_blobs - which blob changes count for the set to come, and that each new blob's bytes are read once, here, for
 * the rest of its life: by several threads, since a first set has all blobs to read.
 *
 * The list of fresh rows tells what changed since the last seal.  When index or catalogue is another one than at the last
 * seal the list does not reach back far enough: then the whole index is walked first, the list replayed over it, and what the index
 * does not know closed.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crew.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "keeper/seal.h"
#include "keeper/walk.h"

#define BATCH 1000u

struct positions {
	uint64_t puts, removes;
};

/* ---- the list ---- */

static bool
counts(const struct seal *s, const struct positions *p, const struct index_fresh *row)
{
	if (row->removed)
		return row->seq > p->removes && (row->seq <= s->order->fresh_t0 || PLANTED(removal_after_t0_counted));
	return row->seq > p->puts;
}

/* Moves the rows that count to the front. */
static size_t
pick(const struct seal *s, const struct positions *p, struct index_fresh *rows, size_t n)
{
	size_t picked = 0;

	for (size_t i = 0; i < n && rows[i].seq <= s->order->fresh_seal; i++)
		if (counts(s, p, &rows[i])) {
			struct index_fresh swap = rows[picked];

			rows[picked++] = rows[i];
			rows[i] = swap;
		}
	return picked;
}

static int
stage_list(struct seal *s, const struct positions *p)
{
	uint64_t at = p->removes < p->puts ? p->removes : p->puts;

	while (at < s->order->fresh_seal) {
		struct index_fresh *rows;
		uint64_t last;
		size_t n;
		int err = task_check(s->task);

		if (!err)
			err = index_fresh_read(s->index, at, BATCH, &rows, &n);
		if (err)
			return err;
		last = n ? rows[n - 1].seq : s->order->fresh_seal;
		err = catalogue_stage(s->vault->catalogue, rows, pick(s, p, rows, n));
		index_fresh_free(rows, n);
		if (err)
			return err;
		at = last;
	}
	return 0;
}

/* ---- the whole index ---- */

/* A batch whose strings belong to it. */
struct batch {
	struct index_fresh *rows;
	size_t n;
};

static int
batch_flush(struct seal *s, struct batch *b)
{
	int err = catalogue_stage(s->vault->catalogue, b->rows, b->n);

	for (size_t i = 0; i < b->n; i++) {
		free(b->rows[i].path);
		entry_fini(&b->rows[i].entry);
	}
	b->n = 0;
	return err;
}

static int
batch_add(struct seal *s, struct batch *b, const char *path, uint64_t seq, const struct index_node *node)
{
	struct index_fresh *row = &b->rows[b->n];

	*row = (struct index_fresh){.seq = seq, .removed = !node, .path = strdup(path)};
	if (node) {
		row->version = node->version;
		row->entry = node->entry;
		row->entry.target = node->entry.target ? strdup(node->entry.target) : NULL;
	}
	if (!row->path || (node && node->entry.target && !row->entry.target)) {
		free(row->path);
		free(row->entry.target);
		return err_set(ERR_NOMEM, "out of memory for blob changes");
	}
	return ++b->n == BATCH ? batch_flush(s, b) : 0;
}

static int
stage_nodes(struct seal *s, struct batch *b)
{
	enum layout_type type = (enum layout_type)s->order->layout;
	const struct walk_node *node;
	struct walk *walk;
	uint64_t head;
	/* Read before the walk: a removal above it is newer than what the walk finds. */
	int err = index_fresh_head(s->index, &head);

	if (!err)
		err = walk_new(s->index, "", &walk);
	if (err)
		return err;
	while (!err && (err = walk_next(walk, &node)) == 0) {
		bool is_dir = node->node.entry.kind == ENTRY_DIR;
		const struct layout_row *row = layout_of(type, node->path, is_dir);

		err = task_check(s->task);
		if (!err && row && row->class == LAYOUT_BLOB)
			err = batch_add(s, b, node->path, head, &node->node);
	}
	walk_free(walk);
	if (err == 1)
		err = batch_flush(s, b);
	return err;
}

/* Open rows that the index does not know any more: their tombstones went with the old index. */
static int
stage_vanished(struct seal *s, struct batch *b)
{
	struct blob_row *rows = NULL, *old = NULL;
	size_t n = 0, n_old = 0;
	int err;

	do {
		err = catalogue_blobs(s->vault->catalogue, 0, "", n_old ? &old[n_old - 1] : NULL, BATCH, &rows, &n);
		for (size_t i = 0; !err && i < n; i++) {
			struct index_node node = {0};

			err = index_get(s->index, rows[i].path, &node);
			entry_fini(&node.entry);
			if (err == 1)
				err = batch_add(s, b, rows[i].path, UINT64_MAX, NULL);
		}
		blob_rows_free(old, n_old);
		old = rows;
		n_old = n;
		rows = NULL;
	} while (!err && n);
	blob_rows_free(old, n_old);
	return err ? err : batch_flush(s, b);
}

/* What both need. */
static int
stage_in_batches(struct seal *s, int (*stage)(struct seal *s, struct batch *b))
{
	struct batch b = {.rows = calloc(BATCH, sizeof *b.rows)};
	int err;

	if (!b.rows)
		return err_set(ERR_NOMEM, "out of memory for blob changes");
	err = stage(s, &b);
	for (size_t i = 0; i < b.n; i++) {
		free(b.rows[i].path);
		entry_fini(&b.rows[i].entry);
	}
	free(b.rows);
	return err;
}

/* The numbers of another index say nothing beside those in the catalogue's rows: so what it no longer knows is closed last, over whatever
 * the list made of it. */
static int
stage_everything(struct seal *s)
{
	int err = stage_in_batches(s, stage_nodes);

	if (!err)
		err = stage_list(s, &(struct positions){0});
	return err ? err : stage_in_batches(s, stage_vanished);
}

/* ---- reading what is new ---- */

/* A batch of new blobs, read by a crew; what they found is told in order afterwards. */
struct reading {
	struct seal *seal;
	struct blob_row *rows;
	bool doubtful[BATCH];
};

/* 0, or 1 when the file is not what the index says, or cannot be read. */
static int
read_blob(const struct seal *s, unsigned hand, struct blob_row *row)
{
	char *place = index_place((enum layout_type)s->order->layout, row->path, row->version);
	struct copy_sums sums;
	int err;

	if (!place)
		return err_set(ERR_NOMEM, "out of memory for a path");
	err = custody_read(s->custodies[hand], s->copies[hand], place, &sums);
	free(place);
	if (err)
		return err; /* what cannot be read the collector still has */
	if (sums.size != row->entry.size || !hash128_equal(sums.digest, row->entry.digest))
		return 1;
	memcpy(row->sha256, sums.sha256, DIGEST_BYTES);
	return 0;
}

static int
read_piece(void *arg, unsigned hand, size_t i)
{
	struct reading *r = arg;
	int err = task_check(r->seal->task);

	if (!err)
		err = read_blob(r->seal, hand, &r->rows[i]);
	r->doubtful[i] = err == 1;
	return err == 1 ? 0 : err;
}

static int
read_batch(struct seal *s, struct blob_row *rows, size_t n)
{
	struct reading r = {.seal = s, .rows = rows};
	int err = crew_each(s->hands, n, read_piece, &r);

	for (size_t i = 0; !err && i < n; i++) {
		if (r.doubtful[i])
			err = seal_doubt(s, rows[i].path);
		else
			s->set.new_bytes += rows[i].entry.size;
	}
	/* With one doubtful file the set will not be: then its staging does not matter either. */
	return err ? err : catalogue_stage_done(s->vault->catalogue, rows, n);
}

static int
read_new(struct seal *s)
{
	struct blob_row *old = NULL, *rows = NULL;
	size_t n_old = 0, n = 0;
	int err;

	do {
		err = catalogue_stage_todo(s->vault->catalogue, n_old ? &old[n_old - 1] : NULL, BATCH, &rows, &n);
		blob_rows_free(old, n_old);
		old = NULL;
		n_old = 0;
		if (err)
			break;
		err = read_batch(s, rows, n);
		old = rows;
		n_old = n;
	} while (!err && n);
	blob_rows_free(old, n_old);
	return err;
}

int
seal_blobs(struct seal *s)
{
	struct positions p;
	const char *instance = index_instance(s->index);
	char known[sizeof s->set.instance];
	int err = catalogue_positions(s->vault->catalogue, &p.puts, &p.removes, known);

	if (err)
		return err;
	task_begin(s->task, "blobs", 0);
	/* Numbers that the catalogue has seen already: an older copy of the same index, which gives them out once more. */
	if (strcmp(known, instance) != 0 || s->order->fresh_seal < p.puts) {
		p = (struct positions){0};
		err = stage_everything(s);
	} else {
		err = stage_list(s, &p);
	}
	if (!err)
		err = read_new(s);
	if (err)
		return err;
	strncpy(s->set.instance, instance, sizeof s->set.instance - 1);
	s->set.fresh_puts = s->order->fresh_seal > p.puts ? s->order->fresh_seal : p.puts;
	s->set.fresh_removes = s->order->fresh_t0 > p.removes ? s->order->fresh_t0 : p.removes;
	return 0;
}
