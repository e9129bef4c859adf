/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how a blob's number becomes its name and content, and how a blob is written. */
#include "bench/gwsim/blobs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/gwsim/die.h"
#include "bench/gwsim/names.h"

#define BLOB_PATH "offiles/fd%X/%08x.%03x"

void
blobs_open(struct blobs *blobs, const char *offiles, uint64_t run_id)
{
	struct name_list list = { 0 };

	*blobs = (struct blobs){ .run_id = run_id, .graveyard = -1 };
	blobs->digest = EVP_MD_CTX_new();
	blobs->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	blobs->chunk = must_calloc(1, BLOB_CHUNK);
	if (!blobs->digest || !blobs->sha256)
		die("no SHA-256 in the crypto library");
	memset(blobs->dirs, -1, sizeof blobs->dirs);
	if (offiles)
		name_list_init(&list, offiles);
	for (size_t i = 0; i < list.count; i++) {
		const char *name = list.names[i];
		unsigned long no;
		char *end, *path;

		if (strncasecmp(name, "fd", 2) != 0 || !isxdigit((unsigned char)name[2]))
			continue;
		no = strtoul(name + 2, &end, 16);
		if (*end || no >= BLOB_DIRS)
			continue;
		path = must_printf("%s/%s", offiles, name);
		if (blobs->dirs[no] < 0)
			blobs->dirs[no] = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		free(path);
	}
	name_list_fini(&list);
}

void
blobs_close(struct blobs *blobs)
{
	for (int i = 0; i < BLOB_DIRS; i++)
		if (blobs->dirs[i] >= 0)
			close(blobs->dirs[i]);
	if (blobs->graveyard >= 0)
		close(blobs->graveyard);
	EVP_MD_CTX_free(blobs->digest);
	EVP_MD_free(blobs->sha256);
	free(blobs->chunk);
}

/* A bijection of 44 bits (four Feistel rounds), so that different numbers never share a name. */
static uint64_t
scramble_number(uint64_t run_id, uint64_t number)
{
	const uint64_t half = (1u << 22) - 1;
	uint64_t left = (number >> 22) & half, right = number & half;

	for (uint64_t round = 0; round < 4; round++) {
		uint64_t next = left ^ (mix2(run_id + round, right) & half);

		left = right;
		right = next;
	}
	return left << 22 | right;
}

void
blobs_name(uint64_t run_id, uint64_t number, char *ret_path, size_t room)
{
	uint64_t name = scramble_number(run_id, number);

	snprintf(ret_path, room, BLOB_PATH, (unsigned)(mix64(name) % BLOB_DIRS), (unsigned)(name >> 12),
		(unsigned)(name & 0xfff));
}

/* "offiles/fdF6/0123abcd.456": the directory's number, and the file's name. */
static bool
parse_path(const struct slot *slot, int *ret_dir, const char **ret_name)
{
	char *end;
	unsigned long no;

	if (!memchr(slot->path, 0, sizeof slot->path) || strncmp(slot->path, "offiles/fd", 10) != 0 ||
		!isxdigit((unsigned char)slot->path[10]))
		return false;
	no = strtoul(slot->path + 10, &end, 16);
	if (*end != '/' || no >= BLOB_DIRS || !end[1] || strchr(end + 1, '/'))
		return false;
	*ret_dir = (int)no;
	*ret_name = end + 1;
	return true;
}

bool
blobs_plausible(const struct slot *slot)
{
	const char *name;
	int dir;

	return parse_path(slot, &dir, &name);
}

static void
write_all(int fd, const char *at, size_t size, const char *path)
{
	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die_errno("cannot write %s", path);
		at += n;
		size -= (size_t)n;
	}
}

void
blobs_create(struct blobs *blobs, uint64_t number, uint64_t bytes, enum blob_way way, struct slot *ret_slot)
{
	char temporary[NAME_MAX];
	const char *name = NULL, *first;
	struct slot slot = { .state = SLOT_BLOB, .bytes = bytes };
	struct rng rng;
	int dir = 0, fd;

	blobs_name(blobs->run_id, number, slot.path, sizeof slot.path);
	if (!parse_path(&slot, &dir, &name) || blobs->dirs[dir] < 0)
		die("there is no directory for %s", slot.path);
	snprintf(temporary, sizeof temporary, "%s.tmp", name);
	first = way == BLOB_RENAMED ? temporary : name;
	fd = openat(blobs->dirs[dir], first, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		die_errno("cannot create %s", slot.path);
	rng_init(&rng, blobs->run_id, number);
	EVP_DigestInit_ex2(blobs->digest, blobs->sha256, NULL);
	while (bytes) {
		size_t size = bytes < BLOB_CHUNK ? (size_t)bytes : BLOB_CHUNK;

		rng_fill(&rng, blobs->chunk, size);
		EVP_DigestUpdate(blobs->digest, blobs->chunk, size);
		write_all(fd, blobs->chunk, size, slot.path);
		bytes -= size;
	}
	EVP_DigestFinal_ex(blobs->digest, slot.sha, NULL);
	if (close(fd) < 0)
		die_errno("cannot write %s", slot.path);
	if (way == BLOB_RENAMED && renameat(blobs->dirs[dir], first, blobs->dirs[dir], name) < 0)
		die_errno("cannot rename %s", slot.path);
	*ret_slot = slot;
}

void
blobs_delete(struct blobs *blobs, const struct slot *slot)
{
	const char *name;
	int dir;

	if (!parse_path(slot, &dir, &name) || blobs->dirs[dir] < 0)
		return;
	if (blobs->graveyard >= 0) {
		char at[NAME_MAX];

		snprintf(at, sizeof at, "fd%X", (unsigned)dir);
		if (mkdirat(blobs->graveyard, at, 0755) < 0 && errno != EEXIST)
			die_errno("cannot create %s in the graveyard", at);
		snprintf(at, sizeof at, "fd%X/%s", (unsigned)dir, name);
		if (linkat(blobs->dirs[dir], name, blobs->graveyard, at, 0) < 0 && errno != EEXIST && errno != ENOENT)
			die_errno("cannot keep %s in the graveyard", slot->path);
	}
	if (unlinkat(blobs->dirs[dir], name, 0) < 0 && errno != ENOENT)
		die_errno("cannot delete %s", slot->path);
}

/* Open for reading, trying the name in lower and upper case when it is not there as recorded. */
static int
open_blob(int dir, const char *name)
{
	char other[NAME_MAX];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	for (int upper = 0; fd < 0 && errno == ENOENT && upper < 2; upper++) {
		snprintf(other, sizeof other, "%s", name);
		for (char *c = other; *c; c++)
			*c = (char)(upper ? toupper((unsigned char)*c) : tolower((unsigned char)*c));
		fd = openat(dir, other, O_RDONLY | O_CLOEXEC);
	}
	return fd;
}

static enum blob_state
compare_content(struct blobs *blobs, int fd, const struct slot *slot, uint64_t *ret_bytes)
{
	uint8_t sha[EVP_MAX_MD_SIZE];
	ssize_t n;

	*ret_bytes = 0;
	EVP_DigestInit_ex2(blobs->digest, blobs->sha256, NULL);
	while ((n = read(fd, blobs->chunk, BLOB_CHUNK)) > 0) {
		EVP_DigestUpdate(blobs->digest, blobs->chunk, (size_t)n);
		*ret_bytes += (uint64_t)n;
	}
	if (n < 0)
		return BLOB_UNREADABLE;
	EVP_DigestFinal_ex(blobs->digest, sha, NULL);
	return memcmp(sha, slot->sha, SHA_BYTES) == 0 ? BLOB_GOOD : BLOB_CORRUPT;
}

enum blob_state
blobs_verify(struct blobs *blobs, const struct slot *slot, bool content, uint64_t *ret_bytes)
{
	enum blob_state state = BLOB_GOOD;
	const char *name;
	struct stat st;
	int dir, fd;

	*ret_bytes = 0;
	if (!parse_path(slot, &dir, &name) || blobs->dirs[dir] < 0)
		return BLOB_MISSING;
	fd = open_blob(blobs->dirs[dir], name);
	if (fd < 0)
		return errno == ENOENT ? BLOB_MISSING : BLOB_UNREADABLE;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return BLOB_UNREADABLE;
	}
	*ret_bytes = (uint64_t)st.st_size;
	if (*ret_bytes < slot->bytes)
		state = BLOB_TRUNCATED;
	else if (*ret_bytes > slot->bytes)
		state = BLOB_TOO_LONG;
	else if (content)
		state = compare_content(blobs, fd, slot, ret_bytes);
	close(fd);
	return state;
}
