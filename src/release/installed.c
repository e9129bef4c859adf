/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * installed - writes and reads the folder of a release.
 *
 * Crash windows: until installing_finish has renamed the folder it is called *.new, which installed_sweep removes and no launcher
 * looks at; the rename comes after the sync of all that lies in it.  Who removes one of the same version first loses it for the
 * moment until the rename: it is not the one that runs, for that version is not newer than itself.
 */
#include "release/installed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"

#define HEAD_FILE "release"
#define FREE_MIN (64ull << 20)
#define READ_BYTES 65536u
#define FOLDER_TEXT (RELEASE_VERSION_TEXT + 8u)

struct installing {
	struct release release;
	int dir, folder, fd;        /* fd: of the program that is being written, -1 = none */
	char name[FOLDER_TEXT];     /* "1.2.3.new" */
	size_t program;
	uint64_t written;           /* of that program */
	struct digest *digest;
};

/* ---- writing ---- */

static int
check_room(int dir, const struct release *r)
{
	uint64_t free_bytes, total, inodes;
	int err = fsio_space(dir, &free_bytes, &total, &inodes);

	if (!err && free_bytes < release_bytes(r) + FREE_MIN)
		err = err_set(ERR_NOSPACE, "%llu MiB are needed for it", (unsigned long long)((release_bytes(r) + FREE_MIN) >> 20));
	return err;
}

static int
put_head(struct installing *in, const uint8_t *head)
{
	int fd = fsio_open(in->folder, HEAD_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600), err;

	if (fd < 0)
		return fd;
	err = fsio_pwrite(fd, head, in->release.head_len, 0);
	if (!err)
		err = fsio_sync_file(fd, "installed.head");
	close(fd);
	return err;
}

int
installing_begin(int dir, const uint8_t *head, const struct release *r, struct installing **ret_installing)
{
	struct installing *in;
	int err = check_room(dir, r);

	if (err)
		return err;
	if (!(in = calloc(1, sizeof *in)) || !(in->digest = digest_new())) {
		free(in);
		return err_set(ERR_NOMEM, "installing a release");
	}
	in->release = *r;
	in->dir = dir;
	in->fd = in->folder = -1;
	release_version_text(&r->version, in->name);
	strcat(in->name, ".new");
	err = fsio_remove_tree(dir, in->name);
	if (!err)
		err = in->folder = fsio_make_dirs(dir, in->name, false);
	if (err >= 0)
		err = put_head(in, head);
	if (err) {
		installing_abandon(in);
		return err;
	}
	*ret_installing = in;
	return 0;
}

static int
end_program(struct installing *in)
{
	uint8_t digest[DIGEST_BYTES];
	int err = fsio_sync_file(in->fd, "installed.program");

	close(in->fd);
	in->fd = -1;
	digest_final(in->digest, digest);
	digest_reset(in->digest);
	if (!err && memcmp(digest, in->release.programs[in->program].digest, sizeof digest) != 0 && !PLANTED(release_bytes_unread))
		err = err_set(ERR_DENIED, "%s is not what was signed", release_program_names[in->program]);
	in->program++;
	in->written = 0;
	return err;
}

int
installing_write(struct installing *in, const uint8_t *data, size_t len)
{
	while (len > 0) {
		uint64_t left;
		size_t n;
		int err = 0;

		if (in->program == RELEASE_PROGRAMS)
			return err_set(ERR_DENIED, "more bytes came than were signed");
		if (in->fd < 0 && (in->fd = fsio_open(in->folder, release_program_names[in->program], O_WRONLY | O_CREAT | O_EXCL, 0700)) < 0)
			return in->fd;
		left = in->release.programs[in->program].size - in->written;
		n = left < len ? (size_t)left : len;
		err = fsio_pwrite(in->fd, data, n, in->written);
		if (err)
			return err;
		digest_update(in->digest, data, n);
		in->written += n;
		data += n;
		len -= n;
		if (n == left && (err = end_program(in)) != 0)
			return err;
	}
	return 0;
}

int
installing_finish(struct installing *in)
{
	char name[RELEASE_VERSION_TEXT];
	int err = in->program < RELEASE_PROGRAMS ? err_set(ERR_DENIED, "fewer bytes came than were signed") : fsio_sync_dir(in->folder, "installed.folder");

	release_version_text(&in->release.version, name);
	if (!err)
		err = fsio_remove_tree(in->dir, name);
	if (!err)
		err = fsio_publish(in->dir, in->name, in->dir, name, true, "installed.publish");
	installing_abandon(in);
	return err;
}

void
installing_abandon(struct installing *in)
{
	if (!in)
		return;
	if (in->fd >= 0)
		close(in->fd);
	if (in->folder >= 0)
		close(in->folder);
	(void)fsio_remove_tree(in->dir, in->name); /* what stays is the next sweep's */
	digest_free(in->digest);
	free(in);
}

/* ---- reading ---- */

static int
read_head(int folder, const struct release_version *v, const struct release_keys *keys, struct release *ret_release)
{
	char *head;
	size_t len;
	int err = fsio_read_file(folder, HEAD_FILE, RELEASE_HEAD_MAX, &head, &len);

	if (err)
		return err;
	err = release_read((uint8_t *)head, len, ret_release);
	if (!err)
		err = release_trust((uint8_t *)head, ret_release, keys, release_platform_here());
	if (!err && release_version_compare(v, &ret_release->version) != 0)
		err = err_set(ERR_DENIED, "another version lies in its folder");
	free(head);
	return err;
}

static int
check_bytes(int fd, uint64_t size, const uint8_t want[DIGEST_BYTES])
{
	uint8_t buf[READ_BYTES], got[DIGEST_BYTES];
	struct digest *d = digest_new();
	uint64_t at = 0;
	ssize_t n = 0;

	if (!d)
		return err_set(ERR_NOMEM, "reading a release");
	while (at <= size && (n = fsio_pread(fd, buf, sizeof buf, at)) > 0) {
		digest_update(d, buf, (size_t)n);
		at += (uint64_t)n;
	}
	digest_final(d, got);
	digest_free(d);
	if (n < 0)
		return (int)n;
	return at == size && memcmp(got, want, sizeof got) == 0 ? 0 : err_set(ERR_DENIED, "it is not what was signed");
}

static int
check_program(int folder, const struct release *r, size_t i, int *ret_fd)
{
	int fd = fsio_open(folder, release_program_names[i], O_RDONLY, 0), err = fd < 0 ? fd : 0;

	if (!err && !PLANTED(release_bytes_unread))
		err = check_bytes(fd, r->programs[i].size, r->programs[i].digest);
	if (err || i != RELEASE_COLLECTOR) {
		if (fd >= 0)
			close(fd);
		return err ? err_prefix(err, "%s", release_program_names[i]) : 0;
	}
	*ret_fd = fd;
	return 0;
}

int
installed_check(int dir, const struct release_version *v, const struct release_keys *keys, int *ret_fd)
{
	char name[RELEASE_VERSION_TEXT];
	struct release r;
	int folder, fd = -1, err;

	release_version_text(v, name);
	folder = fsio_open_dir(dir, name);
	if (folder < 0)
		return err_prefix(folder, "release %s", name);
	err = read_head(folder, v, keys, &r);
	for (size_t i = 0; !err && i < RELEASE_PROGRAMS; i++)
		err = check_program(folder, &r, i, &fd);
	close(folder);
	if (err) {
		if (fd >= 0)
			close(fd);
		return err_prefix(err, "release %s", name);
	}
	*ret_fd = fd;
	return 0;
}

/* ---- sweeping ---- */

static bool
is_kept(const char *name, const struct release_version *keep, size_t n)
{
	char text[RELEASE_VERSION_TEXT];

	for (size_t i = 0; i < n; i++) {
		release_version_text(&keep[i], text);
		if (strcmp(text, name) == 0)
			return true;
	}
	return false;
}

int
installed_sweep(int dir, const struct release_version *keep, size_t n)
{
	int fd = fsio_open_dir(dir, ""), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		err = fd < 0 ? fd : err_sys("listing releases");
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (errno = 0, e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' || is_kept(e->d_name, keep, n))
			continue;
		/* Not every file system tells the kinds of names in a list. */
		err = fsio_stat(dir, e->d_name, &st);
		if (!err && S_ISDIR(st.st_mode))
			err = fsio_remove_tree(dir, e->d_name);
	}
	if (!err && errno)
		err = err_sys("listing releases");
	closedir(d);
	return err;
}
