/* SPDX-License-Identifier: GPL-2.0-or-later */
/* releases - finds a release among files that may be anything. */
#include "server/releases.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "release/release.h"

#define FILES_MAX 256u /* looked at; a folder with more is not what it was meant for */

struct found {
	struct release release;
	uint8_t head[RELEASE_HEAD_MAX];
	int fd;
};

typedef bool wanted(const struct found *f, void *arg);

static bool
is_release_name(const char *name)
{
	size_t len = strlen(name);

	return *name != '.' && len > 8 && strcmp(name + len - 8, ".release") == 0;
}

static int
read_head(int dir, const char *name, struct found *ret_found)
{
	ssize_t n;
	int err;

	ret_found->fd = fsio_open(dir, name, O_RDONLY | O_NONBLOCK, 0);
	if (ret_found->fd < 0)
		return ret_found->fd;
	n = fsio_pread(ret_found->fd, ret_found->head, sizeof ret_found->head, 0);
	err = n < 0 ? (int)n : release_read(ret_found->head, (size_t)n, &ret_found->release);
	if (err)
		close(ret_found->fd);
	return err;
}

/* Calls for each release of the folder; one that is `wanted` is left open, and ends the search. */
static int
search(const char *path, wanted *want, void *arg, struct found *f)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	unsigned n = 0;
	int err;

	if (!dir)
		return err_sys("the folder of releases, %s", path);
	for (errno = 0; n < FILES_MAX && (e = readdir(dir)); errno = 0) {
		if (!is_release_name(e->d_name))
			continue;
		n++;
		if (read_head(dirfd(dir), e->d_name, f) != 0) {
			log_warn("releases.file", "%s/%s is offered to nobody: %s", path, e->d_name, err_text());
			continue;
		}
		if (want(f, arg)) {
			closedir(dir);
			return 0;
		}
		close(f->fd);
	}
	err = errno ? err_sys("listing the folder of releases, %s", path) : err_set(ERR_NOTFOUND, "this server has no such release");
	closedir(dir);
	return err;
}

/* ---- the newest ---- */

struct newest {
	const char *platform;
	struct found best;
	bool there;
};

/* One that too few have signed is refused by everybody: it must not hide an older one that is not. */
static int
compare(const struct release *a, const struct release *b)
{
	int order = (a->n_signatures >= RELEASE_SIGNERS_NEEDED) - (b->n_signatures >= RELEASE_SIGNERS_NEEDED);

	if (!order)
		order = release_version_compare(&a->version, &b->version);
	return order ? order : (a->expires_s > b->expires_s) - (a->expires_s < b->expires_s);
}

static bool
is_newer(const struct found *f, void *arg)
{
	struct newest *n = arg;

	if (strcmp(f->release.platform, n->platform) == 0 && (!n->there || compare(&f->release, &n->best.release) > 0)) {
		n->best = *f;
		n->there = true;
	}
	return false; /* the next may be newer still */
}

int
releases_newest(const char *dir, const char *platform, uint8_t **ret_head, size_t *ret_len)
{
	struct newest n = {.platform = platform};
	struct found f;
	int err = search(dir, is_newer, &n, &f);

	if (err != -ERR_NOTFOUND)
		return err; /* what was not listed may be newer */
	if (!n.there)
		return err_set(ERR_NOTFOUND, "this server has no release for %s", platform);
	*ret_len = n.best.release.head_len;
	*ret_head = malloc(*ret_len);
	if (!*ret_head)
		return err_set(ERR_NOMEM, "reading a release");
	memcpy(*ret_head, n.best.head, *ret_len);
	return 0;
}

/* ---- one that is known ---- */

static bool
has_digest(const struct found *f, void *arg)
{
	uint8_t digest[DIGEST_BYTES];

	digest_once(f->head, f->release.head_len, digest);
	return memcmp(digest, arg, sizeof digest) == 0;
}

int
releases_piece(const char *dir, const uint8_t digest[32], uint64_t offset, uint32_t count, uint8_t **ret_data, size_t *ret_len)
{
	uint8_t wanted_digest[DIGEST_BYTES], *data;
	struct found f;
	ssize_t n;
	int err;

	memcpy(wanted_digest, digest, sizeof wanted_digest);
	err = search(dir, has_digest, wanted_digest, &f);
	if (err)
		return err;
	data = malloc(count ? count : 1);
	n = !data ? err_set(ERR_NOMEM, "reading a release") : offset > release_bytes(&f.release) ? 0
	    : fsio_pread(f.fd, data, count, f.release.head_len + offset);
	close(f.fd);
	if (n < 0) {
		free(data);
		return (int)n;
	}
	*ret_data = data;
	*ret_len = (size_t)n;
	return 0;
}
