/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * staging_write - puts the bytes of a planned batch where they belong.
 *
 * Nothing here is durable and nothing is believed before staging_commit: whatever is half done at a crash is found again by
 * its mark, its armed directory, or lies among the partial files (DESIGN.md).  Whether a refused change left something behind
 * is decided here: a failed new file is taken away again, a failed patch loses its row.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "server/staging_private.h"

#define FILE_MODE 0640
#define COPY_BYTES (256u * 1024u)
#define FLUSH_BYTES (8u * 1024u * 1024u) /* of a large file, after which writing to disk begins */

struct writer {
	struct batch *b;
	struct front *front;
	unsigned slice;
};

static struct dircache *
dirs_of(const struct writer *w)
{
	return w->front->dirs[w->slice];
}

static int
dir_of(struct writer *w, const char *place)
{
	return dircache_get(dirs_of(w), place, relpath_dir_len(place), &w->b->slice_made_dirs[w->slice]);
}

/* openat in the file's directory; one that was removed under a cached descriptor is made again. */
static int
open_in(struct writer *w, const char *place, int flags, int *ret_dir)
{
	for (int attempt = 0;; attempt++) {
		int dir = dir_of(w, place);
		int fd;

		if (dir < 0)
			return dir;
		fd = openat(dir, relpath_name(place), flags | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		if (fd >= 0) {
			*ret_dir = dir;
			return fd;
		}
		if (errno == EEXIST)
			return err_set(ERR_BUSY, "%s is there already", place);
		if (errno == EISDIR || errno == ENOTDIR)
			return err_set(ERR_BUSY, "a directory is in the way of %s", place);
		if (errno != ENOENT || attempt)
			return err_sys("making %s", place);
		dircache_drop(dirs_of(w), place, relpath_dir_len(place));
	}
}

static void
set_mtime(int fd, int64_t mtime_ns)
{
	/* For whoever looks into the folder; the truth is in the index. */
	(void)futimens(fd, (struct timespec[2]){{.tv_nsec = UTIME_OMIT}, clock_timespec(mtime_ns)});
}

/* The file is written: keeps what a small batch syncs one by one. */
static void
wrote(struct writer *w, struct change *c, int fd, int dir)
{
	if (w->b->small) {
		c->fd = fd;
		c->dir_fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	} else {
		close(fd);
	}
	failpoint("staging.wrote");
}

/* ---- small files, whole ---- */

static int
fill(int fd, const struct change *c)
{
	const struct wire_bytes *data = &c->msg.u.put.data;
	int err = fsio_pwrite(fd, data->data, data->len, 0);

	if (err == 0)
		set_mtime(fd, c->msg.u.put.entry.mtime_ns);
	return err;
}

/* True when the file at `place` holds exactly the change's data. */
static bool
holds_same(struct writer *w, const char *place, const struct wire_bytes *data)
{
	int fd = fsio_open(w->b->st->setup.profile_fd, place, O_RDONLY, 0);
	struct stat st;
	bool same = false;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == data->len) {
		uint8_t *bytes = malloc(data->len + 1);

		same = bytes && fsio_pread(fd, bytes, data->len, 0) == (ssize_t)data->len && memcmp(bytes, data->data, data->len) == 0;
		free(bytes);
	}
	close(fd);
	return same;
}

/*
 * A blob that comes again with the content of the version before it (also after the index was lost) becomes a second name
 * of that file.  The first name is not taken over: the keeper may be about to remove it.  0 linked, 1 not the same.
 */
static int
link_known(struct writer *w, struct change *c)
{
	char *from = index_place(w->b->st->setup.layout, c->path, c->known);
	int result = 1;

	if (from && holds_same(w, from, &c->msg.u.put.data)) {
		int to_dir = dir_of(w, c->place);
		char *dir = strndup(from, relpath_dir_len(from));
		int from_dir = dir ? fsio_open_dir(w->b->st->setup.profile_fd, dir) : -1;

		if (to_dir >= 0 && from_dir >= 0 && linkat(from_dir, relpath_name(from), to_dir, relpath_name(c->place), 0) == 0)
			result = 0;
		if (from_dir >= 0)
			close(from_dir);
		free(dir);
	}
	free(from);
	return result;
}

static int
write_new(struct writer *w, struct change *c, int flags)
{
	int dir = -1, fd = open_in(w, c->place, O_WRONLY | O_CREAT | flags, &dir);

	if (fd < 0)
		return fd;
	int err = fill(fd, c);
	if (err) {
		close(fd);
		(void)unlinkat(dir, relpath_name(c->place), 0);
		return err;
	}
	wrote(w, c, fd, dir);
	return 0;
}

static int
write_blob(struct writer *w, struct change *c)
{
	if (c->known && link_known(w, c) == 0) {
		w->b->slice_made_dirs[w->slice] = true; /* only the file system's sync covers a new name without a descriptor */
		return 0;
	}
	return write_new(w, c, PLANTED(blob_overwritten) ? O_TRUNC : O_EXCL);
}

/* The old file stays whole until the rename; the mark covers what lies between rename and commit. */
static int
write_beside(struct writer *w, struct change *c)
{
	char name[PARTIAL_NAME];
	int partial = w->front->partial_fd;

	snprintf(name, sizeof name, "new-%u", w->slice);
	int fd = openat(partial, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (fd < 0)
		return err_sys("making a temporary file");
	int err = fill(fd, c);
	int dir = err ? err : dir_of(w, c->place);
	if (dir >= 0)
		err = fsio_rename(partial, name, dir, relpath_name(c->place));
	if (err || dir < 0) {
		close(fd);
		return err ? err : dir;
	}
	wrote(w, c, fd, dir);
	return 0;
}

/* ---- files in pieces ---- */

/* Where it does not go on from what an earlier attempt left, nothing of that stays: what lies beyond the file in its place counts as zeros. */
static int
open_held(struct writer *w, struct transfer *t)
{
	int err = 0, placed = staging_open_placed(&w->b->st->setup, t->path);
	struct stat st;

	if (placed < 0 && placed != -ERR_GONE)
		return placed;
	if (staging_goes_on(t->fd, t->blob, placed)) {
		if (placed >= 0)
			close(placed);
		t->held_fd = t->fd;
	} else {
		t->held_fd = placed < 0 ? -1 : placed;
		err = fsio_set_size(t->fd, 0);
	}
	if (err == 0 && t->held_fd >= 0 && fstat(t->held_fd, &st) != 0)
		err = err_sys("looking at what is held of %s", t->path);
	t->held_size = err == 0 && t->held_fd >= 0 ? (uint64_t)st.st_size : 0;
	return err;
}

static int
begin(struct writer *w, struct change *c)
{
	struct transfer *t = c->transfer;

	assert(t);
	if (t->mode == WIRE_BEGIN_PATCH) {
		int fd = fsio_open(w->b->st->setup.profile_fd, t->place, O_RDWR, 0);

		if (fd < 0)
			return fd;
		t->fd = fd;
		return 0;
	}
	t->digest = block_digest_new(w->b->st->setup.key);
	if (!t->digest)
		return err_set(ERR_NOMEM, "beginning a transfer");
	t->fd = openat(w->front->partial_fd, t->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (t->fd < 0)
		return err_sys("making a partial file");
	return open_held(w, t);
}

/* Takes [pos, to) from what we hold, into the partial file and the digest. */
static int
take_held(struct transfer *t, uint64_t to)
{
	uint8_t *buf = NULL;
	int err = 0;

	while (err == 0 && t->pos < to) {
		uint64_t left = to - t->pos;
		uint64_t there = t->held_size > t->pos ? t->held_size - t->pos : 0;
		size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		ssize_t n;

		if (!there) {
			block_digest_zeros(t->digest, left);
			t->pos = to;
			break;
		}
		if (!buf && !(buf = malloc(COPY_BYTES))) {
			err = err_set(ERR_NOMEM, "joining a transfer");
			break;
		}
		if (there < want)
			want = (size_t)there;
		n = fsio_pread(t->held_fd, buf, want, t->pos);
		if (n <= 0) {
			t->held_size = t->pos; /* shorter than it was: the digest will tell */
			continue;
		}
		if (t->held_fd != t->fd)
			err = fsio_pwrite(t->fd, buf, (size_t)n, t->pos);
		block_digest_update(t->digest, buf, (size_t)n);
		t->pos += (uint64_t)n;
	}
	free(buf);
	return err;
}

/* A piece of a WHOLE file begins at `at`: fills what was left out before it, or gives up digesting on the way. */
static int
advance(struct transfer *t, uint64_t at)
{
	if (t->mode != WIRE_BEGIN_WHOLE || !t->ordered)
		return 0;
	if (at < t->pos) {
		t->ordered = false;
		return 0;
	}
	return take_held(t, at);
}

static int
write_chunk(struct transfer *t, const struct change *c)
{
	const struct wire_bytes *data = &c->msg.u.chunk.data;
	uint64_t at = c->msg.u.chunk.offset;

	assert(t);
	int err = advance(t, at);

	if (err == 0)
		err = fsio_pwrite(t->fd, data->data, data->len, at);
	if (err)
		return err;
	if (t->mode == WIRE_BEGIN_WHOLE && t->ordered) {
		block_digest_update(t->digest, data->data, data->len);
		t->pos = at + data->len;
	}
	/* A large file must not all wait for the sync of its END. */
	if (at / FLUSH_BYTES != (at + data->len) / FLUSH_BYTES)
		(void)sync_file_range(t->fd, (off_t)(at / FLUSH_BYTES * FLUSH_BYTES), FLUSH_BYTES, SYNC_FILE_RANGE_WRITE);
	return 0;
}

static int
write_hole(struct transfer *t, const struct change *c)
{
	uint64_t at = c->msg.u.hole.offset, len = c->msg.u.hole.len;
	struct stat st;

	assert(t);
	int err = advance(t, at);

	if (err == 0 && fstat(t->fd, &st) != 0)
		err = err_sys("making a hole");
	if (err)
		return err;
	/* Beyond the end everything is a hole already; END sets the size. */
	if ((uint64_t)st.st_size > at) {
		uint64_t there = (uint64_t)st.st_size - at;

		err = fsio_punch(t->fd, at, len < there ? len : there);
	}
	if (err == 0 && t->mode == WIRE_BEGIN_WHOLE && t->ordered) {
		block_digest_zeros(t->digest, len);
		t->pos = at + len;
	}
	return err;
}

/* The digest of what really lies in the partial file. */
static int
reread(struct transfer *t, uint64_t size)
{
	block_digest_reset(t->digest);
	if (t->held_fd >= 0 && t->held_fd != t->fd)
		close(t->held_fd);
	t->held_fd = t->fd;
	t->held_size = size;
	t->pos = 0;
	return take_held(t, size);
}

static int
finish_whole(struct transfer *t, const struct entry *e)
{
	int err = 0;

	if (t->ordered && t->pos > e->size)
		t->ordered = false;
	if (t->ordered)
		err = take_held(t, e->size);
	if (err == 0)
		err = fsio_set_size(t->fd, e->size);
	if (err == 0 && !t->ordered)
		err = reread(t, e->size);
	if (err == 0 && !hash128_equal(block_digest_value(t->digest), e->digest) && !PLANTED(joined_pieces_not_verified))
		err = err_set(ERR_DIFFERS, "the pieces do not make the file that its digest names");
	return err;
}

static int
end_whole(struct writer *w, struct change *c)
{
	const struct entry *e = &c->msg.u.end.entry;
	struct transfer *t = c->transfer;
	int partial = w->front->partial_fd;
	struct stat st;

	assert(t);
	int err = finish_whole(t, e);
	int dir = err ? err : dir_of(w, c->place);

	if (err == -ERR_DIFFERS)
		(void)unlinkat(partial, t->partial, 0);
	if (dir < 0)
		return dir;
	set_mtime(t->fd, e->mtime_ns);
	/* One writer: nobody can make the name between this look and the rename. */
	if (c->act == ACT_END_BLOB && fstatat(dir, relpath_name(c->place), &st, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(ERR_BUSY, "%s is there already", c->place);
	if (!c->blob)
		staging_clear_way(w->b, c->place);
	err = fsio_rename(partial, t->partial, dir, relpath_name(c->place));
	if (err)
		return err;
	wrote(w, c, fcntl(t->fd, F_DUPFD_CLOEXEC, 0), dir);
	return 0;
}

static int
end_patch(struct writer *w, struct change *c)
{
	const struct entry *e = &c->msg.u.end.entry;
	struct transfer *t = c->transfer;

	assert(t);
	int err, dir = dir_of(w, t->place);
	if (dir < 0)
		return dir;
	if ((err = fsio_set_size(t->fd, e->size)) != 0)
		return err;
	set_mtime(t->fd, e->mtime_ns);
	wrote(w, c, fcntl(t->fd, F_DUPFD_CLOEXEC, 0), dir);
	return 0;
}

/* How far a piece, or a file at its END, reaches. */
static uint64_t
reach_of(const struct change *c)
{
	switch (c->msg.type) {
	case WIRE_CHUNK:
		return c->msg.u.chunk.offset + c->msg.u.chunk.data.len;
	case WIRE_HOLE:
		return c->msg.u.hole.offset + c->msg.u.hole.len;
	case WIRE_END:
		return c->msg.u.end.entry.size;
	default:
		return 0;
	}
}

/* Holes cost the sender a few bytes and us the digesting of all their zeros: none is digested that the disk could not hold as data. */
static int
check_reach(const struct writer *w, const struct change *c)
{
	return reach_of(c) > w->front->disk_bytes ? err_set(ERR_NOSPACE, "a file larger than the server's file system") : 0;
}

/* ---- one change ---- */

static int
make_dir(struct writer *w, struct change *c)
{
	bool *made = &w->b->slice_made_dirs[w->slice];
	int fd = dircache_get(dirs_of(w), c->place, strlen(c->place), made);

	if (fd == -ERR_GONE) {
		/* A file is in its way; it has no row, or its row is suspended. */
		int err = fsio_unlink(w->b->st->setup.profile_fd, c->place);

		fd = err ? err : dircache_get(dirs_of(w), c->place, strlen(c->place), made);
	}
	return fd < 0 ? fd : 0;
}

static int
carry_out(struct writer *w, struct change *c)
{
	switch (c->act) {
	case ACT_NONE:
	case ACT_ABORT: /* what came of a whole file stays, for the next attempt */
		return 0;
	case ACT_DROP:
		assert(c->transfer);
		return c->transfer->mode == WIRE_BEGIN_WHOLE ? fsio_unlink(w->front->partial_fd, c->transfer->partial) : 0;
	case ACT_CREATE:
		return write_blob(w, c);
	case ACT_FRESH:
		staging_clear_way(w->b, c->place);
		return write_new(w, c, O_TRUNC);
	case ACT_REPLACE:
		return write_beside(w, c);
	case ACT_DIR:
		return make_dir(w, c);
	case ACT_CLEAR:
		return fsio_unlink(w->b->st->setup.profile_fd, c->place);
	case ACT_BEGIN:
		return begin(w, c);
	case ACT_CHUNK:
		return write_chunk(c->transfer, c);
	case ACT_HOLE:
		return write_hole(c->transfer, c);
	case ACT_END_PATCH:
		return end_patch(w, c);
	case ACT_END_BLOB:
	case ACT_END_FILE:
		return end_whole(w, c);
	}
	return 0;
}

/* The change failed: says so, and suspends what it may have spoiled. */
static void
fail(struct change *c, int err)
{
	struct transfer *t = c->transfer;

	/* GONE: an older blob lies where the folder should be. */
	c->occupied = (err == -ERR_BUSY || err == -ERR_GONE) && (c->act == ACT_CREATE || c->act == ACT_END_BLOB);
	change_refuse(c, err, err_text());
	if (t)
		t->dead = true;
	/* The mark is set already: dropping the row makes the index true again. */
	if (c->marked || (t && t->marked))
		c->row = ROW_REMOVE;
}

void
staging_write(struct batch *b, unsigned slice)
{
	struct writer w = {.b = b, .front = &b->st->front, .slice = slice};

	for (size_t i = 0; i < b->n; i++) {
		struct change *c = &b->changes[i];

		if ((!b->single && c->slice != slice) || c->err)
			continue;
		if (c->transfer && c->transfer->dead) {
			/* Its end was planned before a piece of the same batch failed: no row may tell of bytes that are not there. */
			c->row = ROW_NONE;
			continue;
		}
		int err = check_reach(&w, c);
		if (err == 0)
			err = carry_out(&w, c);
		if (err < 0)
			fail(c, err);
	}
}
