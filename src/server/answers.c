/* SPDX-License-Identifier: GPL-2.0-or-later */
/* answers - knows how much of an answer fits a frame; the rest is asked for again, from the last name on. */
#include "server/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/relpath.h"
#include "server/index.h"
#include "server/releases.h"
#include "server/staging.h"
#include "wire/wire.h"

#define READ_BLOCKS 64u

static int
build(const struct wire_msg *m, uint8_t **ret_frame, size_t *ret_len)
{
	struct pack_out o;
	int err;

	wire_frame_begin(&o, 0);
	wire_pack(&o, m);
	err = wire_frame_end(&o, WIRE_CONTROL, o.len > 4096, ret_frame, ret_len);
	return err ? err_prefix(err, "%s", wire_type_name(m->type)) : 0;
}

/* ---- sums ---- */

struct sums {
	const char *after;
	struct wire_sum *v;
	size_t n, cap;
};

static int
add_sum(const char *dir, const struct treemap_sum *sum, void *arg)
{
	struct sums *s = arg;

	if (*s->after && strcmp(dir, s->after) <= 0)
		return 0;
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 256;
		struct wire_sum *grown = realloc(s->v, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "listing directories");
		s->v = grown;
		s->cap = cap;
	}
	char *copy = strdup(dir);
	if (!copy)
		return err_set(ERR_NOMEM, "listing directories");
	s->v[s->n++] = (struct wire_sum){.dir = copy, .sum = *sum};
	return 0;
}

static int
by_dir(const void *a, const void *b)
{
	return strcmp(((const struct wire_sum *)a)->dir, ((const struct wire_sum *)b)->dir);
}

/* How many of the first fit. */
static size_t
sums_that_fit(const struct sums *s)
{
	size_t n = 0, bytes = 0;

	while (n < s->n && n < WIRE_LIST_MAX && (bytes += wire_sum_bytes(&s->v[n])) <= WIRE_LIST_BYTES)
		n++;
	return n;
}

int
answers_sums(const struct answers *a, const char *after, uint8_t **ret_frame, size_t *ret_len)
{
	struct sums s = {.after = after};
	int err = index_dirs(a->index, add_sum, &s);

	if (err == 0) {
		struct wire_msg m = {.type = WIRE_SUMS};

		/* The index keeps long names by their hash: its order is not that of the bytes. */
		if (s.n)
			qsort(s.v, s.n, sizeof *s.v, by_dir);
		m.u.sums.v = s.v;
		m.u.sums.n = sums_that_fit(&s);
		m.u.sums.more = m.u.sums.n < s.n;
		err = build(&m, ret_frame, ret_len);
	}
	for (size_t i = 0; i < s.n; i++)
		free(s.v[i].dir);
	free(s.v);
	return err;
}

/* ---- lists ---- */

#define LIST_FULL 1

struct list {
	struct wire_item *v;
	size_t n, bytes;
};

static int
add_item(const char *path, const struct index_node *node, void *arg)
{
	struct list *l = arg;
	struct wire_item item = {.entry = node->entry};

	item.name = strdup(relpath_name(path));
	item.entry.target = node->entry.target ? strdup(node->entry.target) : NULL;
	if (!item.name || (node->entry.target && !item.entry.target)) {
		free(item.name);
		free(item.entry.target);
		return err_set(ERR_NOMEM, "listing names");
	}
	l->bytes += wire_item_bytes(&item);
	if (l->n == WIRE_LIST_MAX || l->bytes > WIRE_LIST_BYTES) {
		free(item.name);
		entry_fini(&item.entry);
		return LIST_FULL;
	}
	l->v[l->n++] = item;
	return 0;
}

int
answers_list(const struct answers *a, const char *dir, const char *after, uint8_t **ret_frame, size_t *ret_len)
{
	struct list l = {.v = calloc(WIRE_LIST_MAX, sizeof *l.v)};
	struct wire_msg m = {.type = WIRE_LIST};
	int err;

	if (!l.v)
		return err_set(ERR_NOMEM, "listing names");
	err = index_children(a->index, dir, *after ? after : NULL, add_item, &l);
	m.u.list.dir = (char *)(uintptr_t)dir;
	m.u.list.v = l.v;
	m.u.list.n = l.n;
	m.u.list.more = err == LIST_FULL;
	if (err >= 0)
		err = build(&m, ret_frame, ret_len);
	for (size_t i = 0; i < l.n; i++) {
		free(l.v[i].name);
		entry_fini(&l.v[i].entry);
	}
	free(l.v);
	return err;
}

/* ---- blocks ---- */

/* What the disk does not give has no hash, and so the collector sends it: ended sessions would be all that a bad sector makes. */
static void
say_unreadable(const char *path)
{
	log_warn("answers.blocks", "what is held of %s cannot be read, so its collector sends it again: %s", path, err_text());
}

static int
hash_blocks(const struct answers *a, const char *path, int fd, uint64_t first, size_t count, struct hash128 *out, size_t *ret_n)
{
	uint8_t *buf = malloc(READ_BLOCKS * BLOCK_BYTES);
	ssize_t got = 1;
	size_t n = 0;

	if (!buf)
		return err_set(ERR_NOMEM, "hashing");
	while (n < count && got > 0) {
		size_t want = count - n < READ_BLOCKS ? count - n : READ_BLOCKS;

		got = fsio_pread(fd, buf, want * BLOCK_BYTES, (first + n) * BLOCK_BYTES);
		if (got > 0) {
			block_hash_many(a->key, buf, (size_t)got, out + n);
			n += block_count((uint64_t)got);
		}
	}
	free(buf);
	*ret_n = n;
	if (got == -ERR_IO)
		say_unreadable(path);
	return got < 0 && got != -ERR_IO ? (int)got : 0;
}

static int
read_blocks(const struct answers *a, const char *path, uint64_t first, size_t count, struct hash128 *hashes, struct wire_msg *m)
{
	struct stat st;
	int err = 0, fd = staging_open_held(a->profile_fd, a->layout, a->key, a->index, path);

	if (fd == -ERR_IO)
		say_unreadable(path);
	if (fd < 0)
		return fd == -ERR_GONE || fd == -ERR_IO ? 0 : fd;
	if (fstat(fd, &st) != 0) {
		err = err_sys("looking at %s", path);
	} else if (S_ISREG(st.st_mode)) {
		m->u.blocks.present = true;
		m->u.blocks.size = (uint64_t)st.st_size;
		err = hash_blocks(a, path, fd, first, count, hashes, &m->u.blocks.n);
	}
	close(fd);
	return err;
}

int
answers_blocks(const struct answers *a, const char *path, uint64_t first, uint32_t count, uint8_t **ret_frame, size_t *ret_len)
{
	size_t n = count < WIRE_LIST_MAX ? count : WIRE_LIST_MAX;
	struct hash128 *hashes = calloc(n ? n : 1, sizeof *hashes);
	struct wire_msg m = {.type = WIRE_BLOCKS};
	int err;

	if (!hashes)
		return err_set(ERR_NOMEM, "hashing");
	m.u.blocks.path = (char *)(uintptr_t)path;
	m.u.blocks.first = first;
	m.u.blocks.v = hashes;
	err = first > UINT64_MAX / BLOCK_BYTES / 4 ? 0 : read_blocks(a, path, first, n, hashes, &m);
	if (err == 0)
		err = build(&m, ret_frame, ret_len);
	free(hashes);
	return err;
}

/* ---- releases ---- */

static int
refuse(enum wire_type type, int err, uint8_t **ret_frame, size_t *ret_len)
{
	struct wire_msg m = {.type = WIRE_REFUSED};
	char text[WIRE_TEXT_MAX];

	snprintf(text, sizeof text, "%s", err_text());
	m.u.refused.type = (uint8_t)type;
	m.u.refused.code = -err;
	m.u.refused.text = text;
	return build(&m, ret_frame, ret_len);
}

static int
find_releases(const struct answers *a)
{
	return a->releases && strcmp(a->releases, "off") != 0 ? 0 : err_set(ERR_NOTFOUND, "this server hands out no releases (its configuration names no folder of them)");
}

int
answers_release(const struct answers *a, const char *platform, uint8_t **ret_frame, size_t *ret_len)
{
	struct wire_msg m = {.type = WIRE_RELEASE};
	uint8_t *head = NULL;
	int err = find_releases(a);

	if (!err)
		err = releases_newest(a->releases, platform, &head, &m.u.release.head.len);
	if (err)
		return refuse(WIRE_RELEASE_REQ, err, ret_frame, ret_len);
	m.u.release.head.data = head;
	err = build(&m, ret_frame, ret_len);
	free(head);
	return err;
}

int
answers_piece(const struct answers *a, const uint8_t release[32], uint64_t offset, uint32_t count, uint8_t **ret_frame, size_t *ret_len)
{
	struct wire_msg m = {.type = WIRE_PIECE};
	uint8_t *data = NULL;
	int err = find_releases(a);

	if (!err)
		err = releases_piece(a->releases, release, offset, count, &data, &m.u.piece.data.len);
	if (err)
		return refuse(WIRE_PIECE_REQ, err, ret_frame, ret_len);
	m.u.piece.data.data = data;
	err = build(&m, ret_frame, ret_len);
	free(data);
	return err;
}
