/* SPDX-License-Identifier: GPL-2.0-or-later */
/* maker - a release in memory, and its file. */
#include "release/maker.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"

#define FILE_MAX_BYTES (RELEASE_HEAD_MAX + (size_t)RELEASE_PROGRAMS * RELEASE_PROGRAM_MAX)
#define DAY_S 86400

extern char **environ;

/* ---- files ---- */

/* Opens the folder of a path, and tells the name in it. */
static int
open_folder(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, err = fd < 0 ? err_sys("opening the folder of %s", path) : 0;

	*ret_name = slash ? slash + 1 : path;
	free(folder);
	return err ? err : fd;
}

/* Head, then the programs as they lie behind the old head. */
static int
write_release(const char *file, const struct pack_out *head, const uint8_t *programs, size_t len)
{
	struct pack_out o = {0};
	const char *name;
	int dir, err;

	pack_raw(&o, head->data, head->len);
	pack_raw(&o, programs, len);
	if (head->failed || o.failed) {
		pack_out_fini(&o);
		return err_set(ERR_LIMIT, "%s would not fit, or there is no memory for it", file);
	}
	dir = open_folder(file, &name);
	err = dir < 0 ? dir : fsio_replace_file(dir, name, o.data, o.len, 0644, "release.file");
	if (dir >= 0)
		close(dir);
	pack_out_fini(&o);
	return err;
}

int
maker_read(const char *file, struct release *ret_release, uint8_t **ret_data, size_t *ret_len)
{
	uint64_t at;
	char *data;
	int err = fsio_read_path(file, FILE_MAX_BYTES, &data, ret_len);

	if (err)
		return err;
	err = release_read((uint8_t *)data, *ret_len, ret_release);
	if (!err && *ret_len != ret_release->head_len + release_bytes(ret_release))
		err = err_set(ERR_CORRUPT, "it has not the length that its statement says");
	at = ret_release->head_len;
	for (size_t i = 0; !err && i < RELEASE_PROGRAMS; i++) {
		uint8_t digest[DIGEST_BYTES];

		digest_once(data + at, ret_release->programs[i].size, digest);
		at += ret_release->programs[i].size;
		if (memcmp(digest, ret_release->programs[i].digest, DIGEST_BYTES) != 0)
			err = err_set(ERR_CORRUPT, "%s in it is not what its statement says", release_program_names[i]);
	}
	if (err) {
		free(data);
		(void)err_prefix(err, "%s", file);
		return err;
	}
	*ret_data = (uint8_t *)data;
	return 0;
}

/* ---- packing ---- */

/* What the program prints for --version, "name 1.2.3". */
static int
ask_version(const char *program, char *ret_line, size_t size)
{
	char *argv[] = {strdup(program), (char[]){"--version"}, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2], status = -1, err = 0;
	ssize_t n = -1;
	pid_t pid;

	if (!argv[0] || pipe2(ends, O_CLOEXEC) != 0) {
		free(argv[0]);
		return err_sys("running %s", program);
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	if (posix_spawn(&pid, program, &actions, NULL, argv, environ) == 0) {
		close(ends[1]);
		ends[1] = -1;
		n = read(ends[0], ret_line, size - 1); /* a line is one write */
		waitpid(pid, &status, 0);
	}
	if (n <= 0 || status != 0)
		err = err_set(ERR_CONFIG, "%s does not tell its version: a release has programs that run here", program);
	ret_line[n > 0 ? n : 0] = '\0';
	ret_line[strcspn(ret_line, "\n")] = '\0';
	posix_spawn_file_actions_destroy(&actions);
	close(ends[0]);
	if (ends[1] >= 0)
		close(ends[1]);
	free(argv[0]);
	return err;
}

/* All programs of a release say the same version. */
static int
learn_version(const char *program, bool first, struct release_version *v)
{
	struct release_version here;
	char line[128];
	const char *space;
	int err = ask_version(program, line, sizeof line);

	if (err)
		return err;
	space = strrchr(line, ' ');
	err = release_version_parse(space ? space + 1 : line, &here);
	if (err)
		return err_prefix(err, "%s", program);
	if (!first && release_version_compare(&here, v) != 0)
		return err_set(ERR_CONFIG, "%s is of another version than the program before it", program);
	*v = here;
	return 0;
}

static int
add_program(struct release *r, size_t i, const char *folder, struct pack_out *o)
{
	char *path, *data;
	size_t len;
	int err = asprintf(&path, "%s/%s", folder, release_program_names[i]) < 0 ? err_set(ERR_NOMEM, "packing") : 0;

	if (err)
		return err;
	err = learn_version(path, i == 0, &r->version);
	if (!err)
		err = fsio_read_path(path, RELEASE_PROGRAM_MAX, &data, &len);
	free(path);
	if (err)
		return err;
	r->programs[i].size = len;
	digest_once(data, len, r->programs[i].digest);
	pack_raw(o, data, len);
	free(data);
	return 0;
}

static int
write_unsigned(const char *file, struct release *r, int64_t days, const uint8_t *programs, size_t len)
{
	struct pack_out head = {0};
	int err;

	r->made_s = time(NULL);
	r->expires_s = r->made_s + days * DAY_S;
	release_pack_signed(&head, r);
	release_pack_signatures(&head, NULL, 0);
	err = write_release(file, &head, programs, len);
	pack_out_fini(&head);
	return err;
}

int
maker_pack(const char *programs, int64_t days, const char *file)
{
	struct release r = {0};
	struct pack_out o = {0};
	int err = 0;

	snprintf(r.platform, sizeof r.platform, "%s", release_platform_here());
	for (size_t i = 0; !err && i < RELEASE_PROGRAMS; i++)
		err = add_program(&r, i, programs, &o);
	if (!err)
		err = o.failed ? err_set(ERR_NOMEM, "packing") : write_unsigned(file, &r, days, o.data, o.len);
	pack_out_fini(&o);
	return err;
}

int
maker_renew(const char *file, int64_t days)
{
	struct release r;
	uint8_t *data;
	size_t len;
	int err = maker_read(file, &r, &data, &len);

	if (err)
		return err;
	err = write_unsigned(file, &r, days, data + r.head_len, len - r.head_len);
	free(data);
	return err;
}

/* ---- signing ---- */

int
maker_key(const char *file, uint8_t ret_key[SIGNING_KEY_BYTES])
{
	const char *name;
	int dir = open_folder(file, &name), err;

	if (dir < 0)
		return dir;
	err = signing_make(dir, name, ret_key);
	close(dir);
	return err;
}

/* In the place of the key's older signature, or behind the others; how many there are then. */
static size_t
put_signature(struct release_signature *v, size_t n, const struct release_signature *s)
{
	size_t i = 0;

	while (i < n && memcmp(v[i].key, s->key, SIGNING_KEY_BYTES) != 0)
		i++;
	if (i < RELEASE_SIGNATURES_MAX)
		v[i] = *s;
	return i == n ? n + 1 : n; /* too many are refused when they are packed */
}

int
maker_sign(const char *file, const char *key)
{
	struct release_signature s;
	struct pack_out head = {0};
	struct release r;
	const char *name;
	uint8_t *data;
	size_t len;
	int dir, err = maker_read(file, &r, &data, &len);

	if (err)
		return err;
	dir = open_folder(key, &name);
	err = dir < 0 ? dir : signing_sign(dir, name, data, r.signed_len, s.key, s.bytes);
	if (dir >= 0)
		close(dir);
	if (!err) {
		r.n_signatures = put_signature(r.signatures, r.n_signatures, &s);
		pack_raw(&head, data, r.signed_len);
		release_pack_signatures(&head, r.signatures, r.n_signatures);
		err = write_release(file, &head, data + r.head_len, len - r.head_len);
	}
	pack_out_fini(&head);
	free(data);
	return err;
}
