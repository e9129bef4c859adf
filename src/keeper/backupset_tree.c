/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backupset_tree - how one file gets into a set: as a link to the previous set's file when nothing about its bytes changed,
 * else as a clone or copy that is summed up in the same pass.  Never as a link to staging, which goes on changing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"
#include "keeper/seal.h"
#include "keeper/walk.h"

#define SET_DEPTH 3 /* backups/weeknow/<set>: so many steps up to the profile's folder */

/* ---- where ---- */

static bool
spot_is(const struct spot *spot, const char *path)
{
	size_t len = relpath_dir_len(path);

	return spot->dir && strlen(spot->dir) == len && memcmp(spot->dir, path, len) == 0;
}

/* Moves the spot to the directory of `path`. */
static int
spot_move(struct seal *s, const char *path)
{
	size_t len = relpath_dir_len(path);
	struct spot *spot = &s->spot;
	char *dir;
	int made;

	if (spot_is(spot, path))
		return 0;
	dir = strndup(path, len);
	if (!dir)
		return err_set(ERR_NOMEM, "out of memory for a path");
	made = len ? fsio_make_dirs(s->dir, dir, false) : fsio_open_dir(s->dir, "");
	if (made < 0) {
		free(dir);
		return made;
	}
	if (spot->dir) {
		close(spot->made);
		if (spot->prev >= 0)
			close(spot->prev);
		free(spot->dir);
	}
	spot->dir = dir;
	spot->made = made;
	spot->prev = s->prev_manifest ? fsio_open_dir(s->prev, dir) : -1;
	return 0;
}

/* ---- files ---- */

static bool
same_content(const struct entry *a, const struct entry *b)
{
	return a->kind == ENTRY_FILE && b->kind == ENTRY_FILE && a->size == b->size && a->mtime_ns == b->mtime_ns &&
	    (hash128_equal(a->digest, b->digest) || PLANTED(changed_file_linked));
}

/* True when the previous set's file now is in this set as well.  Any doubt, and too many links, is no: it is copied then. */
static bool
link_previous(struct seal *s, const char *name, const struct entry *e)
{
	const struct spot *spot = &s->spot;
	struct timespec mtime = clock_timespec(e->mtime_ns);
	struct stat st;

	return spot->prev >= 0 && fstatat(spot->prev, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size == e->size && st.st_mtim.tv_sec == mtime.tv_sec && st.st_mtim.tv_nsec == mtime.tv_nsec &&
	    linkat(spot->prev, name, spot->made, name, 0) == 0;
}

/* A file of a set is read by many and written by nobody. */
static int
finish_file(int fd, const struct entry *e)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, clock_timespec(e->mtime_ns)};

	if (fchmod(fd, 0440) != 0 || futimens(fd, times) != 0)
		return err_sys("mode and time of a file");
	return 0;
}

/* 0, or 1 when what lies in staging is not what the index says, or cannot be read: the caller decides what that means. */
static int
copy_staged(const struct seal *s, struct copy *copy, const char *path, const struct entry *e, struct copy_sums *ret_sums)
{
	char *place = index_place((enum layout_type)s->order->layout, path, 1);
	int err, from, to;

	if (!place)
		return err_set(ERR_NOMEM, "out of memory for a path");
	from = fsio_open(s->vault->dir, place, O_RDONLY | O_NONBLOCK, 0);
	free(place);
	if (from < 0)
		return from == -ERR_GONE || from == -ERR_UNSAFE ? 1 : from;
	to = fsio_open(s->spot.made, relpath_name(path), O_RDWR | O_CREAT | O_EXCL, 0600);
	err = to < 0 ? to : copy_clone(copy, from, to, ret_sums);
	if (to >= 0 && err == -ERR_IO && !err_is_want(err) && !copy_could_not_write(copy))
		err = 1; /* the collector still has it */
	if (!err && (ret_sums->size != e->size || !hash128_equal(ret_sums->digest, e->digest)) && !PLANTED(sealed_digest_not_compared))
		err = 1;
	if (!err)
		err = finish_file(to, e);
	if (to >= 0)
		close(to);
	close(from);
	return err;
}

#define MARKED 2 /* 1 is the walk's own word for its end */

static int
is_path(const char *path, void *arg)
{
	return strcmp(path, arg) == 0 ? MARKED : 0;
}

/* Index files change while they are copied; then there is a mark now, or another row.  1: neither, so the bytes are not those that were
 * acknowledged, and nobody would notice.  A change that ended as it began looks the same, and costs one file that is sent again. */
static int
is_lost(struct seal *s, const char *path, const struct entry *e)
{
	int marked = index_marks(s->index, is_path, (void *)(uintptr_t)path);
	struct index_node node;
	int err = marked ? marked : index_get(s->index, path, &node);
	bool same;

	if (err)
		return err < 0 ? err : 0;
	same = node.entry.kind == ENTRY_FILE && node.entry.size == e->size && hash128_equal(node.entry.digest, e->digest);
	entry_fini(&node.entry);
	return same;
}

static int
leave_out(struct seal *s, const char *path, const struct entry *e)
{
	int lost = is_lost(s, path, e);

	if (lost > 0)
		lost = seal_doubt_index_file(s, path);
	if (lost < 0)
		return lost;
	if (!s->left_first)
		s->left_first = relpath_escape(path);
	s->left_out++;
	return fsio_unlink(s->spot.made, relpath_name(path));
}

static void
count_database(struct seal *s, const char *path, const struct entry *e)
{
	if (!layout_is_database(path))
		return;
	if (strchr(path, '/'))
		s->databases++;
	else if (strcasecmp(path, layout_root_database((enum layout_type)s->order->layout)) == 0 && e->size > 0)
		s->root_database = true;
}

/* ---- files that wait to be copied ---- */

/* Neighbours in the directory of the spot, in the manifest's order. */
#define BATCH 256u

struct waiting {
	struct manifest_row row; /* path ours; a file's entry owns nothing */
	enum layout_class class;
	bool linked, differs;
};

struct batch {
	struct seal *seal;
	struct waiting *files;
	size_t n;
};

static int
copy_waiting(void *arg, unsigned hand, size_t i)
{
	struct batch *b = arg;
	struct waiting *f = &b->files[i];
	struct copy_sums sums;
	int err;

	if (f->linked)
		return 0;
	err = copy_staged(b->seal, b->seal->copies[hand], f->row.path, &f->row.entry, &sums);
	f->differs = err == 1;
	if (err)
		return err == 1 ? 0 : err;
	memcpy(f->row.sha256, sums.sha256, DIGEST_BYTES);
	f->row.fresh = true;
	return 0;
}

static int
count_file(struct seal *s, const struct waiting *f)
{
	const struct entry *e = &f->row.entry;

	if (f->differs)
		return f->class == LAYOUT_INDEX ? leave_out(s, f->row.path, e) : seal_doubt(s, f->row.path);
	if (f->row.fresh)
		s->set.new_bytes += e->size;
	s->set.files++;
	s->set.bytes += e->size;
	if (f->class == LAYOUT_SNAPSHOT)
		count_database(s, f->row.path, e);
	return manifest_add(s->manifest, &f->row);
}

/* Copies what waits, by several threads, and writes it down in its order. */
static int
batch_flush(struct batch *b)
{
	int err = crew_each(b->seal->hands, b->n, copy_waiting, b);

	for (size_t i = 0; i < b->n; i++) {
		if (!err)
			err = count_file(b->seal, &b->files[i]);
		free(b->files[i].row.path);
	}
	b->n = 0;
	return err;
}

static int
add_file(struct batch *b, const char *path, const struct entry *e, enum layout_class class)
{
	struct seal *s = b->seal;
	struct waiting *f;
	const struct manifest_row *prev = NULL;
	int err = 0;

	if (b->n == BATCH || !spot_is(&s->spot, path))
		err = batch_flush(b);
	if (!err)
		err = spot_move(s, path);
	if (!err && s->prev_manifest)
		err = manifest_seek(s->prev_manifest, path, &prev);
	if (err < 0)
		return err;
	f = &b->files[b->n];
	*f = (struct waiting){.row = {.path = strdup(path), .entry = *e}, .class = class};
	if (!f->row.path)
		return err_set(ERR_NOMEM, "out of memory for a path");
	b->n++;
	f->linked = prev && same_content(&prev->entry, e) && link_previous(s, relpath_name(path), e);
	if (f->linked)
		memcpy(f->row.sha256, prev->sha256, DIGEST_BYTES);
	return 0;
}

/* ---- all else ---- */

static int
add_directory(struct seal *s, const char *path, const struct entry *e)
{
	const struct manifest_row row = {.path = (char *)(uintptr_t)path, .entry = *e};
	int fd = fsio_make_dirs(s->dir, path, false);
	int err;

	if (fd < 0)
		return fd;
	err = fchmod(fd, 0750) != 0 ? err_sys("mode of a directory") : 0;
	close(fd);
	return err ? err : manifest_add(s->manifest, &row);
}

/* The one link that stands for all blobs of an area: they are shared, and the catalogue says which of them are the set's. */
static int
add_area(struct seal *s, const char *path)
{
	enum layout_type type = (enum layout_type)s->order->layout;
	char *place = index_place(type, path, 1), *target = NULL;
	struct manifest_row row = {.path = (char *)(uintptr_t)path, .area = true, .entry = {.kind = ENTRY_SYMLINK, .mode = 0777}};
	size_t ups = SET_DEPTH, cap;
	int err = spot_move(s, path);

	for (const char *c = path; *c; c++)
		ups += *c == '/';
	cap = place ? 3 * ups + strlen(place) + 1 : 0;
	target = place ? malloc(cap) : NULL;
	if (!err && !target)
		err = err_set(ERR_NOMEM, "out of memory for a path");
	if (!err) {
		for (size_t i = 0; i < ups; i++)
			memcpy(target + 3 * i, "../", 3);
		memcpy(target + 3 * ups, place, strlen(place) + 1);
		row.entry.target = target;
		row.entry.size = strlen(target);
		if (symlinkat(target, s->spot.made, relpath_name(path)) != 0)
			err = err_sys("link to the blobs");
	}
	if (!err)
		err = manifest_add(s->manifest, &row);
	free(place);
	free(target);
	return err;
}

static int
add_node(struct batch *b, struct walk *walk, const struct walk_node *n)
{
	struct seal *s = b->seal;
	const struct entry *e = &n->node.entry;
	bool is_dir = e->kind == ENTRY_DIR;
	const struct layout_row *row = layout_of((enum layout_type)s->order->layout, n->path, is_dir);
	const struct manifest_row special = {.path = n->path, .entry = *e};
	int err;

	if (!row) {
		/* Nothing of ours, and the receiver should not have taken it. */
		walk_skip(walk);
		return 0;
	}
	if (row->class == LAYOUT_BLOB)
		walk_skip(walk);
	else if (e->kind == ENTRY_FILE)
		return add_file(b, n->path, e, row->class);
	err = batch_flush(b); /* the manifest is in path order */
	if (err)
		return err;
	if (row->class == LAYOUT_BLOB)
		return is_dir ? add_area(s, n->path) : 0;
	return is_dir ? add_directory(s, n->path, e) : manifest_add(s->manifest, &special);
}

/* ---- what no directory leads to ---- */

/* Directories that hold names.  Not those of blobs, which come and go meanwhile, and which a set shares whole. */
struct holders {
	struct seal *seal;
	struct holder {
		char *dir;
		uint64_t names; /* directly in it */
	} *v;
	size_t n, room;
};

static int
collect_holder(const char *dir, const struct treemap_sum *sum, void *arg)
{
	struct holders *h = arg;
	const struct layout_row *row = layout_of((enum layout_type)h->seal->order->layout, dir, true);

	if (!*dir || !row || row->class == LAYOUT_BLOB)
		return 0;
	if (h->n == h->room) {
		size_t room = h->room ? 2 * h->room : 64;
		struct holder *grown = realloc(h->v, room * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "out of memory for a set's directories");
		h->v = grown;
		h->room = room;
	}
	h->v[h->n] = (struct holder){strdup(dir), sum->count};
	if (!h->v[h->n].dir)
		return err_set(ERR_NOMEM, "out of memory for a set's directories");
	h->n++;
	return 0;
}

/* The walk goes from directory to directory.  A row that none leads to counts in the total that both sides agreed on, and would be in no set. */
static int
check_holder(struct seal *s, const struct holder *h)
{
	const struct layout_row *row = layout_of((enum layout_type)s->order->layout, h->dir, true);
	struct index_node node;
	int err = index_get(s->index, h->dir, &node);
	bool there = err == 0 && node.entry.kind == ENTRY_DIR;

	if (err == 0)
		entry_fini(&node.entry);
	if (err < 0 || there || PLANTED(lost_folder_ignored))
		return err < 0 ? err : 0;
	if (row->class == LAYOUT_INDEX) {
		if (!s->left_first)
			s->left_first = relpath_escape(h->dir);
		s->left_out += h->names;
		return 0;
	}
	return err_set(ERR_DIFFERS, "the index holds %llu names in the folder %.200s, and not the folder itself: they would be in no set; the next backup compares all folders",
	    (unsigned long long)h->names, h->dir);
}

static int
check_holders(struct seal *s)
{
	struct holders h = {.seal = s};
	int err = index_dirs(s->index, collect_holder, &h);

	for (size_t i = 0; i < h.n; i++) {
		if (!err)
			err = check_holder(s, &h.v[i]);
		free(h.v[i].dir);
	}
	free(h.v);
	return err;
}

static int
add_nodes(struct batch *b, struct walk *walk)
{
	const struct walk_node *node;
	int err;

	while ((err = walk_next(walk, &node)) == 0) {
		err = task_check(b->seal->task);
		if (!err)
			err = add_node(b, walk, node);
		failpoint("seal.file");
		if (err)
			return err;
	}
	return err < 0 ? err : batch_flush(b);
}

int
seal_tree(struct seal *s)
{
	struct batch b = {.seal = s, .files = calloc(BATCH, sizeof *b.files)};
	struct walk *walk = NULL;
	int err = b.files ? check_holders(s) : err_set(ERR_NOMEM, "out of memory for a set's files");

	if (!err)
		err = walk_new(s->index, "", &walk);
	if (!err)
		err = add_nodes(&b, walk);
	walk_free(walk);
	for (size_t i = 0; i < b.n; i++)
		free(b.files[i].row.path);
	free(b.files);
	return err;
}
