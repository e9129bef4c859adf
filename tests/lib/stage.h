/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stage - a profile's staging and index as a receiver would leave them, for the tests of the keeper: included by one test
 * each, after cmocka.h.
 *
 * LMDB lets a process open an environment once, so the index is closed while the keeper works.
 */
#ifndef TESTS_STAGE_H
#define TESTS_STAGE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "keeper/backupset.h"
#include "layout.h"
#include "server/index.h"
#include "tests/lib/scratch.h"

#define PROFILE "po1"
#define DAY_NS ((int64_t)86400 * 1000000000)

struct stage {
	struct scratch scratch;
	char state[256];
	int dir;                  /* the profile's folder */
	struct index *index;      /* open between the calls */
	struct vault *vault;
	struct block_key key;
	uint64_t job, fresh_t0;
	int64_t now_ns;           /* mtimes of what is put */
};

#define good(expr) do { int err_ = (expr); if (err_ < 0) print_error("%s: %s %s\n", #expr, err_name(err_), err_text()); \
	assert_true(err_ >= 0); } while (0)

static inline void
stage_index(struct stage *s, bool open)
{
	if (open && !s->index)
		good(index_open(s->state, PROFILE, false, &s->index, NULL));
	if (!open) {
		index_close(s->index);
		s->index = NULL;
	}
}

static inline void
stage_vault(struct stage *s, bool open)
{
	if (open && !s->vault)
		good(vault_open(s->scratch.path, PROFILE, NULL, &s->vault));
	if (!open) {
		vault_close(s->vault);
		s->vault = NULL;
	}
}

static inline void
stage_open(struct stage *s)
{
	uint8_t bytes[BLOCK_KEY_BYTES] = {7};
	int fd;

	memset(s, 0, sizeof *s);
	scratch_open(&s->scratch);
	fd = fsio_make_dirs(s->scratch.fd, PROFILE "/state", false);
	good(fd);
	close(fd);
	s->dir = fsio_open_dir(s->scratch.fd, PROFILE);
	good(s->dir);
	snprintf(s->state, sizeof s->state, "%s/" PROFILE "/state", s->scratch.path);
	block_key_init(&s->key, bytes);
	stage_index(s, true);
	good(index_meta_put(s->index, INDEX_META_KEY, bytes, sizeof bytes));
	stage_vault(s, true);
	s->now_ns = clock_wall_ns();
	s->job = 1;
}

static inline void
stage_close(struct stage *s)
{
	stage_index(s, false);
	stage_vault(s, false);
	close(s->dir);
	scratch_close(&s->scratch);
}

static inline bool
stage_is_blob(const char *path, bool dir)
{
	const struct layout_row *row = layout_of(LAYOUT_POST_OFFICE, path, dir);

	return row && row->class == LAYOUT_BLOB;
}

static inline void
stage_apply(struct stage *s, enum index_op_kind kind, const char *path, const struct index_node *node)
{
	bool dir = node && node->entry.kind == ENTRY_DIR;
	struct index_op op = {.kind = kind, .path = path, .node = node, .blob = stage_is_blob(path, dir)};

	stage_index(s, true);
	good(index_apply(s->index, &s->key, &op, 1));
}

static inline void
stage_dirs(struct stage *s, const char *path)
{
	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		struct index_node node = {.entry = {.kind = ENTRY_DIR, .mode = 0751, .uid = getuid(), .gid = getgid()}, .version = 1}, old;
		char *dir = strndup(path, (size_t)(at - path));

		stage_index(s, true);
		if (index_get(s->index, dir, &old) == 1)
			stage_apply(s, INDEX_PUT, dir, &node);
		free(dir);
	}
}

/* Writes the file in its place with an mtime and gives its entry. */
static inline struct entry
stage_write(struct stage *s, const char *path, uint32_t version, const void *data, size_t len)
{
	struct entry e = {.kind = ENTRY_FILE, .mode = 0640, .uid = getuid(), .gid = getgid(), .size = len, .mtime_ns = s->now_ns,
	    .digest = {0}};
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = s->now_ns / 1000000000, .tv_nsec = s->now_ns % 1000000000}};
	struct block_digest *digest = block_digest_new(&s->key);
	char *place = index_place(LAYOUT_POST_OFFICE, path, version);
	char *dir = strndup(place, relpath_dir_len(place));
	int fd = fsio_make_dirs(s->dir, dir, false);

	good(fd);
	close(fd);
	fd = fsio_open(s->dir, place, O_WRONLY | O_CREAT, 0600);
	good(fd);
	assert_int_equal(ftruncate(fd, 0), 0);
	good(fsio_pwrite(fd, data, len, 0));
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	block_digest_update(digest, data, len);
	e.digest = block_digest_value(digest);
	block_digest_free(digest);
	free(place);
	free(dir);
	return e;
}

static inline void
stage_put_bytes(struct stage *s, const char *path, const void *data, size_t len)
{
	struct index_node node = {.version = 1};
	uint32_t version = 0;

	stage_index(s, true);
	if (stage_is_blob(path, false)) {
		good(index_version(s->index, path, &version));
		node.version = version + 1;
	}
	stage_dirs(s, path);
	s->now_ns += 1000;
	node.entry = stage_write(s, path, node.version, data, len);
	stage_apply(s, INDEX_PUT, path, &node);
}

static inline void
stage_put(struct stage *s, const char *path, const char *text)
{
	stage_put_bytes(s, path, text, strlen(text));
}

static inline void
stage_remove(struct stage *s, const char *path)
{
	char *place = index_place(LAYOUT_POST_OFFICE, path, 1);

	stage_apply(s, INDEX_REMOVE, path, NULL);
	if (!stage_is_blob(path, false))
		good(fsio_unlink(s->dir, place));
	free(place);
}

/* The job begins: removals from now on do not count for its set. */
static inline void
stage_t0(struct stage *s)
{
	stage_index(s, true);
	good(index_fresh_head(s->index, &s->fresh_t0));
}

/* The order for a set of now; free with order_fini. */
static inline struct order
stage_order(struct stage *s, uint32_t date)
{
	struct order o = {.id = s->job, .kind = ORDER_SEAL, .job = s->job, .date = date, .keep_days = 14, .layout = LAYOUT_POST_OFFICE};

	s->job++;
	o.profile = strdup(PROFILE);
	o.note = strdup("");
	o.t0_ns = s->now_ns;
	o.fresh_t0 = s->fresh_t0;
	stage_index(s, true);
	good(index_fresh_head(s->index, &o.fresh_seal));
	good(index_total(s->index, &o.total));
	return o;
}

static inline int
stage_seal_order(struct stage *s, struct order *o, struct task *task, struct set_row *ret_set, struct doubtful *doubtful)
{
	int err;

	stage_index(s, false);
	stage_vault(s, true);
	err = backupset_seal(s->vault, o, task, ret_set, doubtful);
	order_fini(o);
	return err;
}

/* T0, order and seal in one; the set must come to be. */
static inline struct set_row
stage_seal(struct stage *s, uint32_t date)
{
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row set = {0};
	struct order o;

	stage_t0(s);
	o = stage_order(s, date);
	good(stage_seal_order(s, &o, &task, &set, &doubtful));
	assert_int_equal(doubtful.n, 0);
	return set;
}

/* A small post office. */
static inline void
stage_fill(struct stage *s)
{
	stage_put(s, "wphost.db", "post office database");
	stage_put(s, "ngwguard.dc", "dictionary");
	stage_put(s, "ofuser/userabc.db", "user abc");
	stage_put(s, "ofuser/userxyz.db", "user xyz");
	stage_put(s, "ofuser/index/abc.idx", "index of abc");
	stage_put(s, "ofmsg/msg0.db", "messages 0");
	stage_put(s, "offiles/fd0/aaa", "blob aaa");
	stage_put(s, "offiles/fd0/bbb", "blob bbb");
	stage_put(s, "offiles/fd1/ccc", "blob ccc");
}

/* Content of a file beneath `dirfd`; "" for an absent one.  Static buffer. */
static inline const char *
content(int dirfd, const char *path)
{
	static char text[4096];
	char *data;
	size_t len;

	text[0] = '\0';
	if (fsio_read_file(dirfd, path, sizeof text - 1, &data, &len) == 0) {
		memcpy(text, data, len + 1);
		free(data);
	}
	return text;
}

static inline const char *
set_content(struct stage *s, const char *set, const char *path)
{
	char full[512];

	snprintf(full, sizeof full, "backups/weeknow/%s/%s", set, path);
	return content(s->dir, full);
}

static inline bool
present(int dirfd, const char *path)
{
	struct stat st;

	return fsio_stat(dirfd, path, &st) == 0;
}

/* Names in a directory beneath the profile. */
static inline int
stage_count_name(const char *name, void *arg)
{
	(void)name;
	(*(size_t *)arg)++;
	return 0;
}

static inline size_t
stage_count(struct stage *s, const char *dir)
{
	size_t n = 0;
	int fd = fsio_open_dir(s->dir, dir);

	if (fd < 0)
		return 0;
	good(vault_names(fd, stage_count_name, &n));
	close(fd);
	return n;
}

#endif
