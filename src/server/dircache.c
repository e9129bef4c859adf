/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dircache - knows how a directory is found, or made, without following a link, and which descriptor to give up. */
#include "server/dircache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"

struct dir {
	LIST_ENTRY(dir) bucket;
	TAILQ_ENTRY(dir) age;
	uint64_t hash;
	int fd;
	size_t len;
	char place[];
};
LIST_HEAD(bucket, dir);
TAILQ_HEAD(age, dir);

struct dircache {
	int root_fd;
	size_t n, max, n_buckets;
	struct age oldest; /* first = least recently used */
	struct bucket buckets[];
};

/* FNV-1a: the names are places of ours, the lengths short. */
static uint64_t
hash_of(const char *place, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)place[i]) * 0x100000001b3u;
	return h;
}

int
dircache_new(int root_fd, size_t max, struct dircache **ret_cache)
{
	struct dircache *c = calloc(1, sizeof *c + 2 * max * sizeof c->buckets[0]);

	if (!c)
		return err_set(ERR_NOMEM, "opening the cache of directories");
	c->root_fd = root_fd;
	c->max = max;
	c->n_buckets = 2 * max;
	TAILQ_INIT(&c->oldest);
	*ret_cache = c;
	return 0;
}

static void
forget(struct dircache *c, struct dir *d)
{
	LIST_REMOVE(d, bucket);
	TAILQ_REMOVE(&c->oldest, d, age);
	c->n--;
	close(d->fd);
	free(d);
}

/* Somebody removed it: what its descriptor leads to has no name any more. */
static bool
was_removed(const struct dir *d)
{
	struct stat st;

	return fstat(d->fd, &st) != 0 || st.st_nlink == 0;
}

void
dircache_clear(struct dircache *c)
{
	while (!TAILQ_EMPTY(&c->oldest))
		forget(c, TAILQ_FIRST(&c->oldest));
}

void
dircache_free(struct dircache *c)
{
	if (!c)
		return;
	dircache_clear(c);
	free(c);
}

static struct dir *
find(struct dircache *c, const char *place, size_t len, uint64_t hash)
{
	struct dir *d;

	LIST_FOREACH(d, &c->buckets[hash % c->n_buckets], bucket)
		if (d->hash == hash && d->len == len && memcmp(d->place, place, len) == 0)
			return d;
	return NULL;
}

/* Opens `place`, making what is missing, from the top: descriptor or negative error. */
static int
make_and_open(int root_fd, const char *place, bool *made)
{
	int failed = 0, fd = fsio_open_dir(root_fd, place);

	if (fd != -ERR_GONE)
		return fd;
	size_t up = relpath_dir_len(place);
	char *parent = strndup(place, up);
	if (!parent)
		return err_set(ERR_NOMEM, "making the directory %s", place);
	int parent_fd = up ? make_and_open(root_fd, parent, made) : fsio_open_dir(root_fd, "");
	free(parent);
	if (parent_fd < 0)
		return parent_fd;
	/* EEXIST: another thread made it, or a file is in the way, which the opening tells. */
	if (mkdirat(parent_fd, relpath_name(place), 0770) == 0)
		*made = true;
	else if (errno != EEXIST)
		failed = err_sys("making the directory %s", place);
	fd = failed ? failed : fsio_open_dir(root_fd, place);
	close(parent_fd);
	return fd;
}

int
dircache_get(struct dircache *c, const char *place, size_t len, bool *made)
{
	uint64_t hash = hash_of(place, len);
	struct dir *d = find(c, place, len, hash);

	if (d && was_removed(d)) {
		forget(c, d);
	} else if (d) {
		TAILQ_REMOVE(&c->oldest, d, age);
		TAILQ_INSERT_TAIL(&c->oldest, d, age);
		return d->fd;
	}
	d = malloc(sizeof *d + len + 1);
	if (!d)
		return err_set(ERR_NOMEM, "opening a directory");
	memcpy(d->place, place, len);
	d->place[len] = '\0';
	int fd = make_and_open(c->root_fd, d->place, made);
	if (fd < 0) {
		free(d);
		return fd;
	}
	if (c->n == c->max)
		forget(c, TAILQ_FIRST(&c->oldest));
	d->fd = fd;
	d->len = len;
	d->hash = hash;
	LIST_INSERT_HEAD(&c->buckets[hash % c->n_buckets], d, bucket);
	TAILQ_INSERT_TAIL(&c->oldest, d, age);
	c->n++;
	return fd;
}

void
dircache_drop(struct dircache *c, const char *place, size_t len)
{
	struct dir *d = find(c, place, len, hash_of(place, len));

	if (d)
		forget(c, d);
}
