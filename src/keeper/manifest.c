/* SPDX-License-Identifier: GPL-2.0-or-later */
/* manifest - the text form is known here alone: its columns, its order and its last line. */
#include "keeper/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/relpath.h"

#define HEAD "tidemark-manifest 1\t"
#define TAIL_BYTES 128   /* more than the last line takes */
#define READ_BYTES 65536

enum { KIND, NEW, MODE, UID, GID, SIZE, MTIME, XXH, SHA, PATH, EXTRA, COLUMNS };

static const char kinds[] = {
	[ENTRY_FILE] = 'f', [ENTRY_DIR] = 'd', [ENTRY_SYMLINK] = 'l', [ENTRY_FIFO] = 'p', [ENTRY_SOCKET] = 's',
	[ENTRY_CHAR] = 'c', [ENTRY_BLOCK] = 'b',
};

int
manifest_compare(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	/* A name ends before it goes on: '/' sorts below every byte of a name, the end of the path below '/'. */
	int left = *a == '/' ? 1 : *a ? 1 + (uint8_t)*a : 0;
	int right = *b == '/' ? 1 : *b ? 1 + (uint8_t)*b : 0;

	return left - right;
}

/* ---- writing ---- */

struct manifest_writer {
	FILE *file;
	struct digest *sha;
	char *last;       /* path of the last row */
	uint64_t lines;
};

int
manifest_create(int dirfd, const char *name, const char *profile, struct manifest_writer **ret_writer)
{
	struct manifest_writer *w = calloc(1, sizeof *w);
	int fd = fsio_open(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0640);
	char head[512];
	int n;

	if (fd < 0) {
		free(w);
		return fd;
	}
	if (w) {
		w->file = fdopen(fd, "w");
		w->sha = digest_new();
	}
	if (!w || !w->file || !w->sha) {
		if (!w || !w->file)
			close(fd);
		manifest_abandon(w);
		return err_set(ERR_NOMEM, "out of memory for a manifest");
	}
	n = snprintf(head, sizeof head, HEAD "%.200s\t%.200s\n", profile, name);
	digest_update(w->sha, head, (size_t)n);
	if (fwrite(head, 1, (size_t)n, w->file) != (size_t)n) {
		int err = err_sys("write manifest %s", name);

		manifest_abandon(w);
		return err;
	}
	*ret_writer = w;
	return 0;
}

static int
check_order(struct manifest_writer *w, const char *path)
{
	char *copy;

	if (w->last && manifest_compare(w->last, path) >= 0)
		return err_set(ERR_CORRUPT, "manifest: %.200s comes after %.200s", path, w->last);
	copy = strdup(path);
	if (!copy)
		return err_set(ERR_NOMEM, "out of memory for a manifest");
	free(w->last);
	w->last = copy;
	return 0;
}

/* What stands in the last column; *gives* the text, NULL when out of memory. */
static char *
extra_text(const struct entry *e)
{
	char *text = NULL;

	if (e->kind == ENTRY_SYMLINK)
		return relpath_escape(e->target ? e->target : "");
	if (e->kind != ENTRY_CHAR && e->kind != ENTRY_BLOCK)
		return strdup("-");
	return asprintf(&text, "%" PRIu64, e->rdev) < 0 ? NULL : text;
}

static char *
line_text(const struct manifest_row *row)
{
	const struct entry *e = &row->entry;
	bool summed = e->kind == ENTRY_FILE || e->kind == ENTRY_SYMLINK;
	char *path = relpath_escape(row->path), *extra = extra_text(e), *line = NULL;
	char xxh[33] = "-", sha[DIGEST_HEX] = "-";

	if (summed)
		snprintf(xxh, sizeof xxh, "%016" PRIx64 "%016" PRIx64, e->digest.hi, e->digest.lo);
	if (e->kind == ENTRY_FILE)
		digest_hex(row->sha256, sha);
	if (path && extra && asprintf(&line, "%c\t%c\t%04o\t%u\t%u\t%" PRIu64 "\t%" PRId64 "\t%s\t%s\t%s\t%s\n",
	    row->area ? 'A' : kinds[e->kind], row->fresh ? '+' : '=', e->mode, e->uid, e->gid, e->size, e->mtime_ns, xxh, sha,
	    path, extra) < 0)
		line = NULL;
	free(path);
	free(extra);
	return line;
}

int
manifest_add(struct manifest_writer *w, const struct manifest_row *row)
{
	char *line;
	size_t len;
	int err = check_order(w, row->path);

	if (err)
		return err;
	line = line_text(row);
	if (!line)
		return err_set(ERR_NOMEM, "out of memory for a manifest");
	len = strlen(line);
	digest_update(w->sha, line, len);
	if (fwrite(line, 1, len, w->file) != len)
		err = err_sys("write manifest");
	w->lines++;
	free(line);
	return err;
}

int
manifest_finish(struct manifest_writer *w, uint8_t ret_sha256[DIGEST_BYTES])
{
	uint8_t sha[DIGEST_BYTES];
	char hex[DIGEST_HEX];
	int err;

	digest_final(w->sha, sha);
	digest_hex(sha, hex);
	if (fprintf(w->file, "end\t%" PRIu64 "\t%s\n", w->lines, hex) < 0 || fflush(w->file) != 0)
		return err_sys("write manifest");
	err = PLANTED(manifest_not_synced) ? 0 : fsio_sync_file(fileno(w->file), "seal.manifest");
	if (!err)
		memcpy(ret_sha256, sha, DIGEST_BYTES);
	return err;
}

void
manifest_abandon(struct manifest_writer *w)
{
	if (!w)
		return;
	if (w->file)
		fclose(w->file);
	digest_free(w->sha);
	free(w->last);
	free(w);
}

/* ---- reading ---- */

struct manifest_reader {
	FILE *file;
	char *line;
	size_t cap;
	uint64_t lines;             /* rows that are left */
	uint64_t end;               /* where the last line begins */
	struct manifest_row row;
	bool held;                  /* row waits for manifest_seek */
};

static void
row_fini(struct manifest_row *row)
{
	free(row->path);
	entry_fini(&row->entry);
	*row = (struct manifest_row){0};
}

/* Cuts `line` in place at its TABs; false unless there are exactly COLUMNS. */
static bool
cut(char *line, char *columns[COLUMNS])
{
	int n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *at = line; at; n++) {
		char *tab = strchr(at, '\t');

		if (n == COLUMNS)
			return false;
		columns[n] = at;
		if (tab)
			*tab++ = '\0';
		at = tab;
	}
	return n == COLUMNS;
}

static bool
number(const char *text, int base, uint64_t max, uint64_t *ret)
{
	char *end;

	*ret = strtoull(text, &end, base);
	return *text >= '0' && *text <= '9' && !*end && *ret <= max;
}

static bool
signed_number(const char *text, int64_t *ret)
{
	char *end;

	*ret = strtoll(text, &end, 10);
	return *text && !*end;
}

static bool
parse_digest(const char *text, struct hash128 *ret)
{
	return strlen(text) == 32 && sscanf(text, "%16" SCNx64 "%16" SCNx64, &ret->hi, &ret->lo) == 2;
}

static bool
parse_kind(const char *text, struct manifest_row *row)
{
	const char *at = *text && !text[1] ? memchr(kinds + 1, *text, sizeof kinds - 1) : NULL;

	row->area = strcmp(text, "A") == 0;
	row->entry.kind = row->area ? ENTRY_SYMLINK : at ? (uint8_t)(at - kinds) : 0;
	return row->entry.kind != 0;
}

static bool
parse_numbers(char *const columns[COLUMNS], struct entry *e)
{
	uint64_t mode, uid, gid;
	bool good = number(columns[MODE], 8, 07777, &mode) && number(columns[UID], 10, UINT32_MAX, &uid) &&
	    number(columns[GID], 10, UINT32_MAX, &gid) && number(columns[SIZE], 10, INT64_MAX, &e->size) &&
	    signed_number(columns[MTIME], &e->mtime_ns);

	if (good) {
		e->mode = (uint32_t)mode;
		e->uid = (uint32_t)uid;
		e->gid = (uint32_t)gid;
	}
	return good;
}

static bool
parse_extra(const char *text, struct entry *e)
{
	if (e->kind == ENTRY_SYMLINK)
		return (e->target = relpath_unescape(text)) != NULL;
	if (e->kind == ENTRY_CHAR || e->kind == ENTRY_BLOCK)
		return number(text, 10, UINT64_MAX, &e->rdev);
	return true;
}

static bool
parse_row(char *line, struct manifest_row *row)
{
	char *columns[COLUMNS];

	if (!cut(line, columns) || !parse_kind(columns[KIND], row) || !parse_numbers(columns, &row->entry))
		return false;
	row->fresh = columns[NEW][0] == '+';
	if (row->entry.kind == ENTRY_FILE && digest_from_hex(columns[SHA], row->sha256) != 0)
		return false;
	if ((row->entry.kind == ENTRY_FILE || row->entry.kind == ENTRY_SYMLINK) && !parse_digest(columns[XXH], &row->entry.digest))
		return false;
	row->path = relpath_unescape(columns[PATH]);
	return row->path && relpath_valid(row->path) && parse_extra(columns[EXTRA], &row->entry);
}

/* Where the last line begins, what it says; -ERR_CORRUPT when there is none. */
static int
read_tail(int fd, uint64_t size, uint64_t *ret_start, uint64_t *ret_lines, uint8_t ret_sha256[DIGEST_BYTES])
{
	char tail[TAIL_BYTES + 1], hex[DIGEST_HEX];
	uint64_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
	ssize_t n = fsio_pread(fd, tail, TAIL_BYTES, from);
	char *line, end;

	if (n < 0)
		return (int)n;
	tail[n] = '\0';
	line = n > 1 && tail[n - 1] == '\n' ? memrchr(tail, '\n', (size_t)n - 1) : NULL;
	if (!line || sscanf(line + 1, "end\t%" SCNu64 "\t%64[0-9a-f]%c", ret_lines, hex, &end) != 3 || end != '\n')
		return err_set(ERR_CORRUPT, "manifest: no end");
	*ret_start = from + (uint64_t)(line + 1 - tail);
	return digest_from_hex(hex, ret_sha256);
}

static int
sum_of_file(int fd, uint64_t len, uint8_t ret_sha256[DIGEST_BYTES])
{
	struct digest *sha = digest_new();
	char *buffer = malloc(READ_BYTES);
	ssize_t n = sha && buffer ? 0 : err_set(ERR_NOMEM, "out of memory for a manifest");

	for (uint64_t at = 0; n >= 0 && at < len; at += (uint64_t)n) {
		n = fsio_pread(fd, buffer, len - at < READ_BYTES ? (size_t)(len - at) : READ_BYTES, at);
		if (n == 0)
			n = err_set(ERR_CORRUPT, "manifest: shorter than it was");
		if (n > 0)
			digest_update(sha, buffer, (size_t)n);
	}
	if (n >= 0)
		digest_final(sha, ret_sha256);
	digest_free(sha);
	free(buffer);
	return n < 0 ? (int)n : 0;
}

static int
check_whole(int fd, const uint8_t *want, uint64_t *ret_lines, uint64_t *ret_end)
{
	uint8_t said[DIGEST_BYTES], is[DIGEST_BYTES];
	uint64_t start = 0;
	struct stat st;
	int err;

	if (fstat(fd, &st) != 0)
		return err_sys("stat manifest");
	err = read_tail(fd, (uint64_t)st.st_size, &start, ret_lines, said);
	if (!err)
		err = sum_of_file(fd, start, is);
	if (!err && !PLANTED(manifest_not_checked) &&
	    (memcmp(said, is, DIGEST_BYTES) != 0 || (want && memcmp(want, is, DIGEST_BYTES) != 0)))
		err = err_set(ERR_CORRUPT, "manifest: its bytes are not the ones that were sealed");
	*ret_end = start;
	return err;
}

/* No memory for a line says nothing of the manifest. */
static int
read_line(struct manifest_reader *r)
{
	errno = 0;
	if (getline(&r->line, &r->cap, r->file) >= 0)
		return 0;
	return errno == ENOMEM ? err_set(ERR_NOMEM, "out of memory for a manifest") : err_set(ERR_CORRUPT, "manifest: a line cannot be read");
}

int
manifest_open(int dirfd, const char *name, const uint8_t *want, struct manifest_reader **ret_reader)
{
	struct manifest_reader *r = calloc(1, sizeof *r);
	int fd = fsio_open(dirfd, name, O_RDONLY, 0);
	int err = fd < 0 ? fd : 0;

	if (!err)
		err = r ? check_whole(fd, want, &r->lines, &r->end) : err_set(ERR_NOMEM, "out of memory for a manifest");
	if (!err && !(r->file = fdopen(fd, "r")))
		err = err_sys("open manifest");
	if (!err)
		err = read_line(r);
	if (!err && strncmp(r->line, HEAD, strlen(HEAD)) != 0)
		err = err_set(ERR_CORRUPT, "manifest: not one of ours, or of another version");
	if (err) {
		if (fd >= 0 && !(r && r->file))
			close(fd);
		manifest_close(r);
		return err_prefix(err, "manifest of %s", name);
	}
	*ret_reader = r;
	return 0;
}

int
manifest_next(struct manifest_reader *r, const struct manifest_row **ret_row)
{
	if (!r->held) {
		row_fini(&r->row);
		/* The number of lines is not in the sum: it must lead to the very end. */
		if (!r->lines)
			return ftello(r->file) == (off_t)r->end ? 1 : err_set(ERR_CORRUPT, "manifest: it has more lines than it says");
		int err = read_line(r);

		if (err)
			return err;
		if (!parse_row(r->line, &r->row))
			return err_set(ERR_CORRUPT, "manifest: a line cannot be read");
		r->lines--;
	}
	r->held = false;
	*ret_row = &r->row;
	return 0;
}

int
manifest_seek(struct manifest_reader *r, const char *path, const struct manifest_row **ret_row)
{
	for (;;) {
		const struct manifest_row *row;
		int err = manifest_next(r, &row), order;

		if (err)
			return err;
		order = manifest_compare(row->path, path);
		if (order == 0) {
			*ret_row = row;
			return 0;
		}
		if (order > 0) {
			r->held = true;
			return 1;
		}
	}
}

void
manifest_close(struct manifest_reader *r)
{
	if (!r)
		return;
	if (r->file)
		fclose(r->file);
	row_fini(&r->row);
	free(r->line);
	free(r);
}
