/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * entry - the one canonical form of a name's metadata is known here: equal entries have equal bytes, so that sums of
 * their hashes can be compared between two hosts.
 *
 * A field that means nothing for a kind is not in the bytes at all (a directory's mtime, a socket's size): what is not
 * there cannot differ.
 */
#include <stdlib.h>
#include <string.h>

#include "base/relpath.h"
#include "wire/entry.h"

#define MODE_BITS 07777u

/* XXH3 has colliding pairs among inputs of 17 to 240 bytes, for any key with probability 2^-27; above that it hashes in
 * another way, which has none as cheap.  Nearly all entries are that short, so they are filled up with zeros. */
#define WEIGHT_BYTES_MIN 256

const char *
entry_kind_name(uint8_t kind)
{
	static const char *const names[] = {"?", "file", "directory", "link", "fifo", "socket", "character-device", "block-device"};

	return names[kind < sizeof names / sizeof *names ? kind : 0];
}

static bool
kind_has_digest(uint8_t kind)
{
	return kind == ENTRY_FILE || kind == ENTRY_SYMLINK;
}

static bool
kind_is_device(uint8_t kind)
{
	return kind == ENTRY_CHAR || kind == ENTRY_BLOCK;
}

void
entry_pack(struct pack_out *o, const struct entry *e)
{
	pack_u8(o, e->kind);
	pack_u16(o, (uint16_t)(e->mode & MODE_BITS));
	pack_u32(o, e->uid);
	pack_u32(o, e->gid);
	if (e->kind != ENTRY_DIR)
		pack_i64(o, e->mtime_ns);
	if (kind_is_device(e->kind))
		pack_u64(o, e->rdev);
	if (kind_has_digest(e->kind)) {
		pack_u64(o, e->digest.lo);
		pack_u64(o, e->digest.hi);
	}
	if (e->kind == ENTRY_FILE)
		pack_u64(o, e->size);
	if (e->kind == ENTRY_SYMLINK)
		pack_str(o, e->target ? e->target : "");
}

static void
unpack_fields(struct pack_in *i, struct entry *e)
{
	e->kind = unpack_u8(i);
	e->mode = unpack_u16(i);
	e->uid = unpack_u32(i);
	e->gid = unpack_u32(i);
	if (e->kind < ENTRY_FILE || e->kind > ENTRY_BLOCK || e->mode & ~MODE_BITS)
		i->failed = true;
	if (e->kind != ENTRY_DIR)
		e->mtime_ns = unpack_i64(i);
	if (kind_is_device(e->kind))
		e->rdev = unpack_u64(i);
	if (kind_has_digest(e->kind)) {
		e->digest.lo = unpack_u64(i);
		e->digest.hi = unpack_u64(i);
	}
	if (e->kind == ENTRY_FILE)
		e->size = unpack_u64(i);
	if (e->size > INT64_MAX)
		i->failed = true;
	if (e->kind == ENTRY_SYMLINK)
		e->target = unpack_str(i, ENTRY_TARGET_MAX);
	if (e->target) {
		e->size = strlen(e->target);
		if (!e->size)
			i->failed = true;
	}
}

void
entry_unpack(struct pack_in *i, struct entry *ret_entry)
{
	struct entry e = {0};

	unpack_fields(i, &e);
	if (i->failed)
		entry_fini(&e);
	*ret_entry = e;
}

void
entry_fini(struct entry *e)
{
	free(e->target);
	*e = (struct entry){0};
}

static uint8_t
kind_of_mode(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return ENTRY_FILE;
	case S_IFDIR:
		return ENTRY_DIR;
	case S_IFLNK:
		return ENTRY_SYMLINK;
	case S_IFIFO:
		return ENTRY_FIFO;
	case S_IFSOCK:
		return ENTRY_SOCKET;
	case S_IFCHR:
		return ENTRY_CHAR;
	default:
		return ENTRY_BLOCK;
	}
}

/* A file system may hold times that 64 bits of nanoseconds (1677 to 2262) do not. */
static int64_t
time_ns(const struct timespec *t)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)t->tv_sec, (int64_t)1000000000, &ns) || __builtin_add_overflow(ns, t->tv_nsec, &ns))
		return t->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

void
entry_from_stat(struct entry *e, const struct stat *st)
{
	e->kind = kind_of_mode(st->st_mode);
	e->mode = st->st_mode & MODE_BITS;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->rdev = kind_is_device(e->kind) ? st->st_rdev : 0;
	e->size = kind_has_digest(e->kind) ? (uint64_t)st->st_size : 0;
	e->mtime_ns = e->kind == ENTRY_DIR ? 0 : time_ns(&st->st_mtim);
}

struct treemap_weight
entry_weight(const struct block_key *key, const char *path, const struct entry *e)
{
	uint8_t bytes[RELPATH_MAX + 1 + ENTRY_BYTES_MAX + WEIGHT_BYTES_MIN];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	pack_raw(&o, path, strlen(path) + 1);
	entry_pack(&o, e);
	if (o.len < WEIGHT_BYTES_MIN) {
		memset(bytes + o.len, 0, WEIGHT_BYTES_MIN - o.len);
		o.len = WEIGHT_BYTES_MIN;
	}
	/* Of files only: a link's size is read apart from its target and may disagree with it. */
	return (struct treemap_weight){
		.bytes = e->kind == ENTRY_FILE ? e->size : 0,
		.hash = block_hash(key, bytes, o.len),
	};
}
