/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_commit - the only order in which a batch becomes true: bytes on stable storage, then rows, then removals.
 *
 * The numbers are the crash windows of DESIGN.md.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "server/staging_private.h"

int
staging_arm(struct batch *b)
{
	/* Window 1: planned, nothing promised, nothing written. */
	failpoint("staging.arm");
	return index_apply(b->st->setup.index, b->st->setup.key, b->before, b->n_before);
	/* Window 2: marked or armed, nothing written yet. */
}

/* ---- bytes ---- */

static bool
same_dir(const struct change *a, const struct change *b)
{
	size_t n = relpath_dir_len(a->place);

	return n == relpath_dir_len(b->place) && memcmp(a->place, b->place, n) == 0;
}

static bool
dir_was_synced(const struct batch *b, size_t upto)
{
	for (size_t i = 0; i < upto; i++)
		if (b->changes[i].dir_fd >= 0 && same_dir(&b->changes[i], &b->changes[upto]))
			return true;
	return false;
}

static int
sync_each(struct batch *b)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < b->n; i++)
		if (b->changes[i].fd >= 0)
			err = fsio_sync_file(b->changes[i].fd, "staging.data");
	for (size_t i = 0; err == 0 && i < b->n; i++)
		if (b->changes[i].dir_fd >= 0 && !dir_was_synced(b, i))
			err = fsio_sync_dir(b->changes[i].dir_fd, "staging.dir");
	return err;
}

static bool
made_dirs(const struct batch *b)
{
	for (size_t i = 0; i < SLICES; i++)
		if (b->slice_made_dirs[i])
			return true;
	return false;
}

static bool
wrote_files(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (act_writes_file(b->changes[i].act))
			return true;
	return false;
}

static bool
has_rows(const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->changes[i].row != ROW_NONE)
			return true;
	return false;
}

static int
sync_bytes(struct batch *b)
{
	bool dirs = made_dirs(b);

	/* Pieces of a file that has not ended are nobody's yet. */
	if (!has_rows(b) || (!dirs && !wrote_files(b)) || PLANTED(rows_before_bytes))
		return 0;
	/* New directories have no descriptor here, nor have their parents. */
	if (b->small && !dirs)
		return sync_each(b);
	return fsio_sync_fs(b->st->setup.profile_fd, "staging.sync");
}

/* ---- rows ---- */

static const struct entry *
entry_of(const struct change *c)
{
	switch (c->msg.type) {
	case WIRE_PUT:
		return &c->msg.u.put.entry;
	case WIRE_END:
		return &c->msg.u.end.entry;
	default:
		return &c->msg.u.entry.entry;
	}
}

/* Shallow: the target stays the message's. */
static struct index_op
row_of(const struct change *c, struct index_node *node)
{
	struct index_op op = {.kind = INDEX_REMOVE, .path = c->path, .blob = c->blob};

	if (c->row == ROW_PUT) {
		*node = (struct index_node){.entry = *entry_of(c), .version = c->version};
		op.kind = INDEX_PUT;
		op.node = node;
	}
	return op;
}

static int
commit_rows(struct batch *b)
{
	struct index_op *ops = calloc(b->n, sizeof *ops);
	struct index_node *nodes = calloc(b->n, sizeof *nodes);
	size_t n = 0;
	int err = 0;

	if (!ops || !nodes)
		err = err_set(ERR_NOMEM, "committing a batch");
	for (size_t i = 0; err == 0 && i < b->n; i++)
		if (b->changes[i].row != ROW_NONE) {
			ops[n] = row_of(&b->changes[i], &nodes[n]);
			n++;
		}
	if (err == 0 && n)
		err = index_apply(b->st->setup.index, b->st->setup.key, ops, n);
	free(ops);
	free(nodes);
	return err;
}

/* Files that lie where a new blob should: never ours to overwrite, so the blob's next attempt goes above them. */
static int
learn_occupied(struct batch *b)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < b->n; i++) {
		struct change *c = &b->changes[i];
		char *path = c->occupied ? strdup(c->path) : NULL;

		if (path)
			err = index_versions_found(b->st->setup.index, &(struct index_found){path, c->version}, 1);
		free(path);
	}
	return err;
}

/* ---- removals ---- */

static void
remove_file(struct batch *b, const struct change *c)
{
	const struct staging_setup *setup = &b->st->setup;
	char partial[PARTIAL_NAME];

	/* A directory that still holds something, or a file that cannot go, is without a row: nobody sees it. */
	if (c->unlink && c->was_dir)
		(void)fsio_rmdir(setup->profile_fd, c->place);
	else if (c->unlink)
		(void)fsio_unlink(setup->profile_fd, c->place);
	staging_remove_bare(b, c);
	partial_name(setup->key, c->path, partial);
	(void)unlinkat(b->st->front.partial_fd, partial, 0);
}

int
staging_commit(struct batch *b)
{
	int err;

	/* Window 3: written, not durable. */
	err = sync_bytes(b);
	/* Window 4: bytes durable, no row tells of them. */
	failpoint("staging.commit");
	if (err == 0)
		err = commit_rows(b);
	if (err == 0)
		err = learn_occupied(b);
	if (err)
		return err;
	/* Window 5: true, not yet acknowledged; removed files still lie there without a row. */
	failpoint("staging.committed");
	for (size_t i = 0; i < b->n; i++)
		if (b->changes[i].msg.type == WIRE_REMOVE && !b->changes[i].err)
			remove_file(b, &b->changes[i]);
	return 0;
}
