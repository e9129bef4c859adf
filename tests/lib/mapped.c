/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mapped - everything a part of the replicator borrows, ready made. */
#include "tests/lib/mapped.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "livetree.h"
#include "replicator/look.h"

#define MUST(x)                                                                         \
	do {                                                                            \
		if (!(x)) {                                                             \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, err_text()); \
			abort();                                                        \
		}                                                                       \
	} while (0)

void
mapped_open(struct mapped *m)
{
	static const uint8_t key[BLOCK_KEY_BYTES] = "a key of thirty-two bytes, fixed";
	char path[256];
	bool rebuilt;

	memset(m, 0, sizeof *m);
	scratch_open(&m->scratch);
	MUST(mkdirat(m->scratch.fd, "live", 0700) == 0 && mkdirat(m->scratch.fd, "state", 0700) == 0);
	mapped_dir(m, "ofuser");
	mapped_dir(m, "ofuser/index");
	mapped_dir(m, "ofmsg");
	mapped_dir(m, "offiles");
	mapped_file(m, "wphost.db", 1, 4096);
	block_key_init(&m->key, key);
	MUST(livetree_open(scratch_path(&m->scratch, "live", path), LAYOUT_POST_OFFICE, &m->tree) == 0);
	MUST(blockmap_open(scratch_path(&m->scratch, "state", path), "po1", &m->map, &rebuilt) == 0);
	MUST(journal_open(path, "po1", &m->journal, &rebuilt) == 0);
	MUST(blockmap_set_key(m->map, key) == 0);
	m->live = (struct origin){.type = LAYOUT_POST_OFFICE, .tree = m->tree, .staging_fd = -1};
}

void
mapped_close(struct mapped *m)
{
	journal_close(m->journal);
	blockmap_close(m->map);
	livetree_close(m->tree);
	scratch_close(&m->scratch);
}

static const char *
below(const char *path, char out[512])
{
	snprintf(out, 512, "live/%s", path);
	return out;
}

void
mapped_dir(struct mapped *m, const char *path)
{
	char full[512];

	MUST(mkdirat(m->scratch.fd, below(path, full), 0755) == 0);
}

int
mapped_path_fd(struct mapped *m, const char *path, int flags)
{
	char full[512];

	return openat(m->scratch.fd, below(path, full), flags | O_CLOEXEC, 0644);
}

void
mapped_age(struct mapped *m, const char *path)
{
	const struct timespec old[2] = {{.tv_sec = 1500000000}, {.tv_sec = 1500000000}};
	char full[512];

	MUST(utimensat(m->scratch.fd, below(path, full), old, AT_SYMLINK_NOFOLLOW) == 0);
}

void
mapped_file(struct mapped *m, const char *path, uint8_t fill, size_t len)
{
	int fd = mapped_path_fd(m, path, O_WRONLY | O_CREAT | O_TRUNC);
	uint8_t *data = malloc(len + 1);

	MUST(fd >= 0 && data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(fill + i / BLOCK_BYTES * 7);
	MUST(fsio_pwrite(fd, data, len, 0) == 0);
	free(data);
	close(fd);
	mapped_age(m, path);
}

void
mapped_remove(struct mapped *m, const char *path)
{
	int live = fsio_open_dir(m->scratch.fd, "live");

	MUST(fsio_remove_tree(live, path) == 0);
	close(live);
}

void
mapped_apply(struct mapped *m, struct blockmap_op op)
{
	MUST(blockmap_apply(m->map, &op, 1) == 0);
}

void
mapped_believe(struct mapped *m, const char *path)
{
	struct stat st;
	struct entry e = {0};
	uint8_t *data;
	int fd = mapped_path_fd(m, path, O_RDONLY);

	MUST(fd >= 0 && fstat(fd, &st) == 0);
	entry_from_stat(&e, &st);
	if (S_ISREG(st.st_mode)) {
		size_t n = block_count((uint64_t)st.st_size);
		struct hash128 *hashes = calloc(n + 1, sizeof *hashes);

		data = malloc((size_t)st.st_size + 1);
		MUST(data && hashes && fsio_pread(fd, data, (size_t)st.st_size, 0) == st.st_size);
		e.digest = block_hash(&m->key, data, (size_t)st.st_size);
		block_hash_many(&m->key, data, (size_t)st.st_size, hashes);
		for (size_t i = 0; i < n; i += BLOCKMAP_EXTENT)
			mapped_apply(m, (struct blockmap_op){.kind = BLOCKMAP_BLOCKS, .path = path, .first = i, .hashes = hashes + i,
			                    .n = n - i < BLOCKMAP_EXTENT ? n - i : BLOCKMAP_EXTENT});
		free(hashes);
		free(data);
	}
	mapped_apply(m, (struct blockmap_op){.kind = BLOCKMAP_PUT, .path = path, .entry = &e, .stat = look_stat(&st)});
	close(fd);
}
