/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ledger - names and form of the files; what the rows in them mean is the catalogue's. */
#include "keeper/ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/fsio.h"

#define MAGIC "TMLEDGE1"
#define MAGIC_BYTES 8
#define HEAD_BYTES (MAGIC_BYTES + 8)
#define RECORD_HEAD 5                    /* kind, length */
#define RECORD_MAX (256u * 1024u)
#define TAIL_BYTES (RECORD_HEAD + DIGEST_BYTES)
#define NEW_NAME "new"
#define NAME_BYTES 24
#define READ_BYTES 65536

static void
name_of(uint32_t number, bool all, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "%010" PRIu32 "-%s", number, all ? "all" : "day");
}

/* ---- which there are ---- */

struct found {
	uint32_t number;
	bool all;
	uint64_t bytes;
};

struct list {
	struct found *v;
	size_t n, cap;
};

static bool
parse_name(const char *name, struct found *ret_found)
{
	struct found f = {0};
	char kind[4], again[NAME_BYTES];

	if (sscanf(name, "%10" SCNu32 "-%3[a-z]", &f.number, kind) != 2)
		return false;
	f.all = strcmp(kind, "all") == 0;
	name_of(f.number, f.all, again);
	*ret_found = f;
	return strcmp(again, name) == 0;
}

static int
list_add(struct list *l, const struct found *f)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 32;
		struct found *grown = realloc(l->v, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "reading the ledger");
		l->v = grown;
		l->cap = cap;
	}
	l->v[l->n++] = *f;
	return 0;
}

static int
by_number(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->number != y->number ? (x->number < y->number ? -1 : 1) : (int)y->all - (int)x->all;
}

static int
list_all(int dirfd, struct list *l)
{
	int err = 0, fd = fsio_open_dir(dirfd, ""); /* a position of its own */
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : err_sys("list the ledger");
	}
	for (errno = 0; !err && (d = readdir(dir)); errno = 0) {
		struct found f;
		struct stat st;

		if (!parse_name(d->d_name, &f) || fsio_stat(dirfd, d->d_name, &st) < 0)
			continue;
		f.bytes = (uint64_t)st.st_size;
		err = list_add(l, &f);
	}
	if (!err && errno)
		err = err_sys("list the ledger");
	closedir(dir);
	if (l->n)
		qsort(l->v, l->n, sizeof *l->v, by_number);
	return err;
}

int
ledger_chain(int dirfd, uint32_t below, struct ledger_chain *ret_chain)
{
	struct ledger_chain c = {0};
	struct list l = {0};
	size_t from = 0;
	int err = list_all(dirfd, &l);

	for (size_t i = 0; i < l.n; i++)
		if (l.v[i].all && l.v[i].number < below) {
			c.all = c.last = l.v[i].number;
			c.all_bytes = l.v[i].bytes;
			from = i;
		}
	if (!err && c.all && !(c.numbers = calloc(l.n, sizeof *c.numbers)))
		err = err_set(ERR_NOMEM, "reading the ledger");
	for (size_t i = from; !err && c.all && i < l.n && l.v[i].number < below; i++) {
		if (l.v[i].number == c.last && i != from)
			continue; /* the day of an "all" */
		c.numbers[c.n++] = c.last = l.v[i].number;
		c.day_bytes += i == from ? 0 : l.v[i].bytes;
	}
	free(l.v);
	if (!err)
		*ret_chain = c;
	else
		free(c.numbers);
	return err;
}

void
ledger_chain_fini(struct ledger_chain *chain)
{
	free(chain->numbers);
	*chain = (struct ledger_chain){0};
}

/* ---- writing ---- */

struct ledger_writer {
	int dirfd;
	uint32_t number;
	bool all;
	FILE *file;
	struct digest *sha;
};

static int
put(struct ledger_writer *w, const void *bytes, size_t len)
{
	digest_update(w->sha, bytes, len);
	return fwrite(bytes, 1, len, w->file) == len ? 0 : err_sys("write the ledger");
}

int
ledger_create(int dirfd, uint32_t number, uint32_t before, struct ledger_writer **ret_writer)
{
	struct ledger_writer *w = calloc(1, sizeof *w);
	int err = 0, fd = w ? fsio_open(dirfd, NEW_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0640) : err_set(ERR_NOMEM, "writing the ledger");
	uint8_t head[HEAD_BYTES];
	struct pack_out o = pack_out_fixed(head, sizeof head);

	if (fd < 0) {
		free(w);
		return fd;
	}
	*w = (struct ledger_writer){.dirfd = dirfd, .number = number, .all = !before, .file = fdopen(fd, "w"), .sha = digest_new()};
	if (!w->file)
		close(fd);
	pack_raw(&o, MAGIC, MAGIC_BYTES);
	pack_u32(&o, number);
	pack_u32(&o, before);
	err = w->file && w->sha ? put(w, head, sizeof head) : err_set(ERR_NOMEM, "writing the ledger");
	if (err)
		ledger_abandon(w);
	else
		*ret_writer = w;
	return err;
}

static int
put_record(struct ledger_writer *w, enum ledger_kind kind, const void *bytes, size_t len)
{
	uint8_t head[RECORD_HEAD];
	struct pack_out o = pack_out_fixed(head, sizeof head);
	int err;

	pack_u8(&o, (uint8_t)kind);
	pack_u32(&o, (uint32_t)len);
	err = put(w, head, sizeof head);
	return err ? err : put(w, bytes, len);
}

int
ledger_add(struct ledger_writer *w, enum ledger_kind kind, const struct pack_out *bytes)
{
	if (bytes->failed || bytes->len > RECORD_MAX)
		return err_set(ERR_NOMEM, "writing the ledger");
	return put_record(w, kind, bytes->data, bytes->len);
}

static int
remove_before(int dirfd, uint32_t number)
{
	struct list l = {0};
	int err = list_all(dirfd, &l);

	for (size_t i = 0; !err && i < l.n; i++) {
		char name[NAME_BYTES];

		name_of(l.v[i].number, l.v[i].all, name);
		if (l.v[i].number < number || (l.v[i].number == number && !l.v[i].all))
			err = fsio_unlink(dirfd, name);
	}
	free(l.v);
	return err;
}

int
ledger_finish(struct ledger_writer *w)
{
	uint8_t tail[TAIL_BYTES], sum[DIGEST_BYTES];
	struct pack_out o = pack_out_fixed(tail, sizeof tail);
	char name[NAME_BYTES];
	int err;

	digest_final(w->sha, sum);
	pack_u8(&o, LEDGER_END);
	pack_u32(&o, DIGEST_BYTES);
	pack_raw(&o, sum, sizeof sum);
	pack_out_fini(&o);
	if (fwrite(tail, 1, sizeof tail, w->file) != sizeof tail || fflush(w->file) != 0)
		return err_sys("write the ledger");
	name_of(w->number, w->all, name);
	err = fsio_sync_file(fileno(w->file), "ledger.file");
	if (!err)
		err = fsio_publish(w->dirfd, NEW_NAME, w->dirfd, name, false, "ledger.publish");
	return err || !w->all ? err : remove_before(w->dirfd, w->number);
}

void
ledger_abandon(struct ledger_writer *w)
{
	if (!w)
		return;
	if (w->file)
		fclose(w->file);
	digest_free(w->sha);
	free(w);
}

/* ---- reading ---- */

static int
damaged(uint32_t number)
{
	return err_set(ERR_CORRUPT, "the ledger's file of set %" PRIu32 " is damaged", number);
}

/* Where the records end. */
static int
check_whole(int fd, uint32_t number, uint64_t *ret_end)
{
	struct digest *sha = digest_new();
	uint8_t *buffer = malloc(READ_BYTES), said[TAIL_BYTES], is[DIGEST_BYTES];
	struct stat st;
	uint64_t at = 0, end = 0;
	ssize_t n = 1;
	int err = sha && buffer ? 0 : err_set(ERR_NOMEM, "reading the ledger");

	if (!err && fstat(fd, &st) != 0)
		err = err_sys("stat the ledger");
	if (!err && (uint64_t)st.st_size < HEAD_BYTES + TAIL_BYTES)
		err = damaged(number);
	if (!err)
		end = (uint64_t)st.st_size - TAIL_BYTES;
	for (; !err && at < end && n > 0; at += (uint64_t)n) {
		n = fsio_pread(fd, buffer, end - at < READ_BYTES ? (size_t)(end - at) : READ_BYTES, at);
		if (n > 0)
			digest_update(sha, buffer, (size_t)n);
	}
	if (!err && n < 0)
		err = (int)n;
	if (!err && (at != end || fsio_pread(fd, said, sizeof said, end) != (ssize_t)sizeof said))
		err = damaged(number);
	if (!err) {
		digest_final(sha, is);
		err = memcmp(said + RECORD_HEAD, is, sizeof is) == 0 ? 0 : damaged(number);
	}
	digest_free(sha);
	free(buffer);
	*ret_end = end;
	return err;
}

static int
read_record(FILE *file, uint32_t number, uint8_t *buffer, uint64_t *left,
    int (*visit)(enum ledger_kind kind, const uint8_t *bytes, size_t len, void *arg), void *arg)
{
	uint8_t head[RECORD_HEAD];
	struct pack_in i = pack_in(head, sizeof head);
	uint8_t kind;
	uint32_t len;

	if (*left < sizeof head || fread(head, 1, sizeof head, file) != sizeof head)
		return damaged(number);
	kind = unpack_u8(&i);
	len = unpack_u32(&i);
	*left -= sizeof head;
	if (len > RECORD_MAX || len > *left || (kind != LEDGER_SET && kind != LEDGER_BLOB) || fread(buffer, 1, len, file) != len)
		return damaged(number);
	*left -= len;
	return visit((enum ledger_kind)kind, buffer, len, arg);
}

static int
read_head(FILE *file, uint32_t number, uint32_t before)
{
	uint8_t head[HEAD_BYTES];
	struct pack_in i = pack_in(head + MAGIC_BYTES, HEAD_BYTES - MAGIC_BYTES);

	if (fread(head, 1, sizeof head, file) != sizeof head || memcmp(head, MAGIC, MAGIC_BYTES) != 0 || unpack_u32(&i) != number ||
	    unpack_u32(&i) != before)
		return damaged(number);
	return 0;
}

int
ledger_read(int dirfd, uint32_t number, uint32_t before,
    int (*visit)(enum ledger_kind kind, const uint8_t *bytes, size_t len, void *arg), void *arg)
{
	uint8_t *buffer = malloc(RECORD_MAX);
	char name[NAME_BYTES];
	uint64_t end, left = 0;
	FILE *file = NULL;
	int fd, err;

	name_of(number, !before, name);
	fd = buffer ? fsio_open(dirfd, name, O_RDONLY, 0) : err_set(ERR_NOMEM, "reading the ledger");
	err = fd < 0 ? fd : check_whole(fd, number, &end);
	if (!err && !(file = fdopen(fd, "r")))
		err = err_sys("open the ledger");
	if (!err)
		err = read_head(file, number, before);
	if (!err)
		left = end - HEAD_BYTES;
	while (!err && left)
		err = read_record(file, number, buffer, &left, visit, arg);
	if (file)
		fclose(file);
	else if (fd >= 0)
		close(fd);
	free(buffer);
	return err;
}
