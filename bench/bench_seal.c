/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench_seal - what a seal costs when many blobs exist and few are new, beside the databases' own copy.
 *
 *   bench_seal DIR PERCENT BLOBS...
 *
 * Per size: a profile with so many blobs of 4 KiB, sealed once, and one 64 MiB database; then PERCENT of the blobs are put anew, as
 * many are removed, the database is changed, and the next seal is timed.  Prints a line of four numbers: blobs, seconds of the first
 * seal, of the next one, and of a plain copy and sync of that database on the same file system.  DIR must be on the file
 * system to be measured; what is made in it is removed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "keeper/backupset.h"

#define DATABASE_BYTES (64u << 20)
#define BLOB_BYTES 4096u
#define BATCH 1000u
#define PROFILE "po1"

struct rig {
	char store[512], state[600];
	int dir;
	struct block_key key;
	struct index *index;
	char *bytes;
	int64_t tick;
};

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
need(int err, const char *what)
{
	if (err >= 0)
		return;
	fprintf(stderr, "bench_seal: %s: %s\n", what, err_text());
	exit(1);
}

/* ---- staging, as the receiver leaves it ---- */

static struct entry
write_staged(struct rig *r, const char *path, uint32_t version, size_t len)
{
	struct entry e = {.kind = ENTRY_FILE, .mode = 0640, .size = len, .mtime_ns = ++r->tick * 1000000};
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = e.mtime_ns / 1000000000, .tv_nsec = e.mtime_ns % 1000000000}};
	struct block_digest *digest = block_digest_new(&r->key);
	char *place = index_place(LAYOUT_POST_OFFICE, path, version), *slash = strrchr(place, '/');
	int fd;

	memcpy(r->bytes, &r->tick, sizeof r->tick); /* no two alike */
	fd = fsio_open(r->dir, place, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd == -ERR_GONE) {
		*slash = '\0';
		close(fsio_make_dirs(r->dir, place, false));
		*slash = '/';
		fd = fsio_open(r->dir, place, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	}
	need(fd, place);
	need(fsio_pwrite(fd, r->bytes, len, 0), place);
	if (futimens(fd, times) != 0)
		need(err_sys("time"), place);
	close(fd);
	block_digest_update(digest, r->bytes, len);
	e.digest = block_digest_value(digest);
	block_digest_free(digest);
	free(place);
	return e;
}

static void
put_node(struct rig *r, const char *path, uint8_t kind, size_t len, bool blob)
{
	struct index_node node = {.version = 1, .entry = {.kind = ENTRY_DIR, .mode = 0750}};
	struct index_op op = {.kind = INDEX_PUT, .path = path, .node = &node, .blob = blob};

	if (kind == ENTRY_FILE)
		node.entry = write_staged(r, path, 1, len);
	need(index_apply(r->index, &r->key, &op, 1), path);
}

static void
name_blob(char out[64], size_t i)
{
	snprintf(out, 64, "offiles/fd%zx/%08zx.%03zu", i % 256, i * 2654435761u % 0xffffffffu, i % 1000);
}

static void
put_blobs(struct rig *r, size_t from, size_t to)
{
	struct index_node *nodes = calloc(BATCH, sizeof *nodes);
	struct index_op *ops = calloc(BATCH, sizeof *ops);
	char(*names)[64] = calloc(BATCH, sizeof *names);

	for (size_t at = from; at < to; at += BATCH) {
		size_t n = to - at < BATCH ? to - at : BATCH;

		for (size_t i = 0; i < n; i++) {
			name_blob(names[i], at + i);
			nodes[i] = (struct index_node){.version = 1, .entry = write_staged(r, names[i], 1, BLOB_BYTES)};
			ops[i] = (struct index_op){.kind = INDEX_PUT, .path = names[i], .node = &nodes[i], .blob = true};
		}
		need(index_apply(r->index, &r->key, ops, n), "index");
	}
	free(nodes);
	free(ops);
	free(names);
}

static void
remove_blobs(struct rig *r, size_t from, size_t to)
{
	struct index_op *ops = calloc(BATCH, sizeof *ops);
	char(*names)[64] = calloc(BATCH, sizeof *names);

	for (size_t at = from; at < to; at += BATCH) {
		size_t n = to - at < BATCH ? to - at : BATCH;

		for (size_t i = 0; i < n; i++) {
			name_blob(names[i], at + i);
			ops[i] = (struct index_op){.kind = INDEX_REMOVE, .path = names[i], .blob = true};
		}
		need(index_apply(r->index, &r->key, ops, n), "index");
	}
	free(ops);
	free(names);
}

static void
open_index(struct rig *r)
{
	need(index_open(r->state, PROFILE, false, &r->index, NULL), "index");
}

static void
make_post_office(struct rig *r, size_t blobs)
{
	static const char *const dirs[] = {"ofuser", "ofmsg", "offiles"};
	char name[64];

	for (size_t i = 0; i < 3; i++)
		put_node(r, dirs[i], ENTRY_DIR, 0, i == 2);
	for (size_t i = 0; i < 256; i++) {
		snprintf(name, sizeof name, "offiles/fd%zx", i);
		put_node(r, name, ENTRY_DIR, 0, true);
	}
	put_node(r, "wphost.db", ENTRY_FILE, 65536, false);
	put_node(r, "ofmsg/msg0.db", ENTRY_FILE, DATABASE_BYTES, false);
	put_blobs(r, 0, blobs);
}

/* ---- the clock ---- */

static double
seal(struct rig *r, uint32_t date)
{
	struct order order = {.id = date, .kind = ORDER_SEAL, .job = date, .date = date, .t0_ns = 1, .layout = LAYOUT_POST_OFFICE};
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row set;
	struct vault *vault;
	double begin, took;

	need(index_fresh_head(r->index, &order.fresh_t0), "index");
	order.fresh_seal = order.fresh_t0;
	need(index_total(r->index, &order.total), "index");
	index_close(r->index);
	sync();
	need(vault_open(r->store, PROFILE, NULL, &vault), "vault");
	begin = seconds();
	need(backupset_seal(vault, &order, &task, &set, &doubtful), "seal");
	took = seconds() - begin;
	set_row_fini(&set);
	vault_close(vault);
	open_index(r);
	return took;
}

/* What nobody could do without: the changed database once through a plain copy to the disk. */
static double
plain_copy(struct rig *r)
{
	int from = fsio_open(r->dir, "gre_data/sync/ofmsg/msg0.db", O_RDONLY, 0);
	int to = fsio_open(r->dir, "copy", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	double begin;

	need(from, "copy");
	need(to, "copy");
	sync();
	begin = seconds();
	for (uint64_t at = 0; at < DATABASE_BYTES; at += 1 << 20) {
		ssize_t n = fsio_pread(from, r->bytes, 1 << 20, at);

		need((int)n, "copy");
		need(fsio_pwrite(to, r->bytes, (size_t)n, at), "copy");
	}
	need(fsio_sync_file(to, "bench"), "copy");
	begin = seconds() - begin;
	close(from);
	close(to);
	need(fsio_unlink(r->dir, "copy"), "copy");
	return begin;
}

static void
measure(const char *dir, double percent, size_t blobs)
{
	struct rig r = {.bytes = calloc(1, DATABASE_BYTES)};
	const uint8_t key[BLOCK_KEY_BYTES] = {1};
	size_t changed = (size_t)((double)blobs * percent / 100);
	double first, next, copy;
	int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	snprintf(r.store, sizeof r.store, "%s/bench_seal.%d", dir, (int)getpid());
	snprintf(r.state, sizeof r.state, "%s/" PROFILE "/state", r.store);
	need(fsio_make_dirs(top, strrchr(r.store, '/') + 1, false), "store");
	int store = open(r.store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(fsio_make_dirs(store, PROFILE "/state", false), "store");
	r.dir = fsio_open_dir(store, PROFILE);
	need(r.dir, "store");
	memset(r.bytes, 'x', DATABASE_BYTES);
	block_key_init(&r.key, key);
	open_index(&r);
	need(index_meta_put(r.index, INDEX_META_KEY, key, sizeof key), "index");

	make_post_office(&r, blobs);
	first = seal(&r, 20260201);
	put_blobs(&r, blobs, blobs + changed);
	remove_blobs(&r, 0, changed);
	put_node(&r, "ofmsg/msg0.db", ENTRY_FILE, DATABASE_BYTES, false);
	copy = plain_copy(&r);
	next = seal(&r, 20260202);
	printf("%zu %.4f %.4f %.4f\n", blobs, first, next, copy);
	fflush(stdout);
	index_close(r.index);
	close(r.dir);
	close(store);
	need(fsio_remove_tree(top, strrchr(r.store, '/') + 1), "remove");
	close(top);
	free(r.bytes);
}

int
main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: bench_seal DIR PERCENT BLOBS...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		measure(argv[1], strtod(argv[2], NULL), strtoul(argv[i], NULL, 10));
	return 0;
}
