/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_table - the fields of every message stand here and nowhere else (PROTOCOL.md says what they mean).
 */
#include <string.h>

#include "base/relpath.h"
#include "wire/wire_table.h"

#define UUID_MAX 64
#define WORDS_MAX 255 /* a build, a host, a phase, an origin */

/* ---- rules for strings ---- */

static bool
is_dir(const char *s)
{
	return !*s || relpath_valid(s);
}

static bool
is_name(const char *s)
{
	return relpath_valid(s) && !strchr(s, '/');
}

static bool
is_name_or_none(const char *s)
{
	return !*s || is_name(s);
}

/* ---- how a field is written down ---- */

/* Where the member is; does not compile unless it is `width` bytes wide. */
#define AT(type, member, width) \
	(offsetof(struct type, member) + 0 * sizeof(char[sizeof(((struct type *)0)->member) == (width) ? 1 : -1]))

#define IN(type, field_kind, member, width, ...) {.kind = (field_kind), .at = AT(type, member, width), __VA_ARGS__}

#define U8(type, member, top) IN(type, FIELD_U8, member, 1, .max = (top))
#define ENUM(type, member, top) IN(type, FIELD_ENUM, member, sizeof(int), .max = (top))
#define BOOL(type, member) IN(type, FIELD_BOOL, member, sizeof(bool))
#define U32(type, member, top) IN(type, FIELD_U32, member, 4, .max = (top))
#define U64(type, member) IN(type, FIELD_U64, member, 8)
#define I64(type, member) IN(type, FIELD_I64, member, 8)
#define SIZE(type, member) IN(type, FIELD_SIZE, member, 8)
#define CODE(type, member) IN(type, FIELD_CODE, member, 4)
#define TEXT(type, member, top) IN(type, FIELD_TEXT, member, sizeof(char *), .max = (top))
#define STRING(type, member, top, rule) IN(type, FIELD_STRING, member, sizeof(char *), .max = (top), .valid = (rule))
#define WORD(type, member) STRING(type, member, WIRE_NAME_MAX, NULL)
#define PATH(type, member) STRING(type, member, RELPATH_MAX, relpath_valid)
#define DIR(type, member) STRING(type, member, RELPATH_MAX, is_dir)
#define RAW32(type, member) IN(type, FIELD_RAW32, member, 32)
#define BYTES(type, member, top) IN(type, FIELD_BYTES, member, sizeof(struct wire_bytes), .max = (top))
#define HASH(type, member) IN(type, FIELD_HASH, member, sizeof(struct hash128))
#define ENTRY(type, member) IN(type, FIELD_ENTRY, member, sizeof(struct entry))
#define SUM(type, member) IN(type, FIELD_STRUCT, member, sizeof(struct treemap_sum), .of = &sum_shape)
#define SET(type, member) IN(type, FIELD_STRUCT, member, sizeof(struct wire_set), .of = &set_shape)
#define ARRAY(type, array, count, shape) \
	{.kind = FIELD_ARRAY, .at = offsetof(struct type, array), .count_at = AT(type, count, sizeof(size_t)), \
	    .max = WIRE_LIST_MAX, .of = (shape)}

#define SHAPE(list, type) {(list), sizeof(list) / sizeof *(list), sizeof(struct type)}

/* ---- structs inside messages ---- */

static const struct field hash_fields[] = {
	{.kind = FIELD_HASH, .at = 0},
};
static const struct shape hash_shape = SHAPE(hash_fields, hash128);

static const struct field sum_fields[] = {
	U64(treemap_sum, count), U64(treemap_sum, bytes), HASH(treemap_sum, hash),
};
static const struct shape sum_shape = SHAPE(sum_fields, treemap_sum);

static const struct field dir_fields[] = {
	DIR(wire_sum, dir), SUM(wire_sum, sum),
};
static const struct shape dir_shape = SHAPE(dir_fields, wire_sum);

static const struct field item_fields[] = {
	STRING(wire_item, name, RELNAME_MAX, is_name), ENTRY(wire_item, entry),
};
static const struct shape item_shape = SHAPE(item_fields, wire_item);

static const struct field set_fields[] = {
	WORD(wire_set, name), I64(wire_set, started_ns), I64(wire_set, sealed_ns), U64(wire_set, files), U64(wire_set, bytes),
	U8(wire_set, verified, 2), U8(wire_set, state, 1),
};
static const struct shape set_shape = SHAPE(set_fields, wire_set);

static const struct field name_fields[] = {
	PATH(wire_name, path), U8(wire_name, kind, ENTRY_BLOCK), U32(wire_name, mode, 07777), SIZE(wire_name, size), I64(wire_name, mtime_ns),
};
static const struct shape name_shape = SHAPE(name_fields, wire_name);

/* ---- messages: the order of the fields is the order of the bytes ---- */

#define M wire_msg

static const struct field hello[] = {
	U32(M, u.hello.version_min, 0), U32(M, u.hello.version_max, 0), U8(M, u.hello.layout, 0),
	TEXT(M, u.hello.build, WORDS_MAX), TEXT(M, u.hello.host, WORDS_MAX),
	STRING(M, u.hello.journal, UUID_MAX, NULL), SUM(M, u.hello.total),
};
static const struct field sums_req[] = {
	DIR(M, u.sums_req.after),
};
static const struct field list_req[] = {
	DIR(M, u.list_req.dir), STRING(M, u.list_req.after, RELNAME_MAX, is_name_or_none),
};
static const struct field blocks_req[] = {
	PATH(M, u.blocks_req.path), SIZE(M, u.blocks_req.first), U32(M, u.blocks_req.count, WIRE_LIST_MAX),
};
static const struct field job_begin[] = {
	U64(M, u.job_begin.job), U32(M, u.job_begin.date, 0), I64(M, u.job_begin.t0_ns),
};
static const struct field seal[] = {
	U64(M, u.seal.job), U32(M, u.seal.date, 0), I64(M, u.seal.t0_ns), SUM(M, u.seal.total),
	TEXT(M, u.seal.note, WIRE_TEXT_MAX),
};
static const struct field job_end[] = {
	U64(M, u.job_end.job),
};
static const struct field enrol[] = {
	WORD(M, u.enrol.profile), BYTES(M, u.enrol.csr, WIRE_CERT_MAX), RAW32(M, u.enrol.proof),
};
static const struct field welcome[] = {
	U32(M, u.welcome.version, 0), TEXT(M, u.welcome.build, WORDS_MAX), STRING(M, u.welcome.instance, UUID_MAX, NULL),
	U64(M, u.welcome.generation), U64(M, u.welcome.token), SUM(M, u.welcome.total), RAW32(M, u.welcome.key),
	WORD(M, u.welcome.last_set), I64(M, u.welcome.last_sealed_ns), I64(M, u.welcome.last_started_ns),
	I64(M, u.welcome.now_ns),
};
static const struct field ack[] = {
	U64(M, u.ack.received), U64(M, u.ack.applied), U64(M, u.ack.durable),
};
static const struct field nak[] = {
	U64(M, u.nak.op), CODE(M, u.nak.code), TEXT(M, u.nak.text, WIRE_TEXT_MAX),
};
static const struct field sums[] = {
	ARRAY(M, u.sums.v, u.sums.n, &dir_shape), BOOL(M, u.sums.more),
};
static const struct field list[] = {
	DIR(M, u.list.dir), ARRAY(M, u.list.v, u.list.n, &item_shape), BOOL(M, u.list.more),
};
static const struct field blocks[] = {
	PATH(M, u.blocks.path), BOOL(M, u.blocks.present), SIZE(M, u.blocks.size), SIZE(M, u.blocks.first),
	ARRAY(M, u.blocks.v, u.blocks.n, &hash_shape),
};
static const struct field progress[] = {
	U64(M, u.progress.job), TEXT(M, u.progress.phase, WORDS_MAX), U64(M, u.progress.done), U64(M, u.progress.total),
};
static const struct field sealed[] = {
	U64(M, u.sealed.job), SET(M, u.sealed.set), TEXT(M, u.sealed.note, WIRE_TEXT_MAX),
};
static const struct field job_failed[] = {
	U64(M, u.job_failed.job), CODE(M, u.job_failed.code), TEXT(M, u.job_failed.text, WIRE_TEXT_MAX),
};
static const struct field sets[] = {
	ARRAY(M, u.sets.v, u.sets.n, &set_shape),
};
static const struct field enrolled[] = {
	BYTES(M, u.enrolled.certificate, WIRE_CERT_MAX), BYTES(M, u.enrolled.authority, WIRE_CERT_MAX),
	RAW32(M, u.enrolled.key),
};
static const struct field stop[] = {
	U64(M, u.stop.job), TEXT(M, u.stop.origin, WORDS_MAX),
};
static const struct field origin[] = {
	U64(M, u.origin.job), TEXT(M, u.origin.origin, WORDS_MAX),
};
static const struct field job_over[] = {
	U64(M, u.job_over.job), U32(M, u.job_over.date, 0), I64(M, u.job_over.t0_ns), TEXT(M, u.job_over.origin, WORDS_MAX),
	CODE(M, u.job_over.code), TEXT(M, u.job_over.text, WIRE_TEXT_MAX),
};
static const struct field due[] = {
	I64(M, u.due.at_ns),
};
static const struct field newest[] = {
	SET(M, u.newest.set),
};
static const struct field release_req[] = {
	WORD(M, u.release_req.platform),
};
static const struct field release[] = {
	BYTES(M, u.release.head, WIRE_RELEASE_MAX),
};
static const struct field piece_req[] = {
	RAW32(M, u.piece_req.release), SIZE(M, u.piece_req.offset), U32(M, u.piece_req.count, WIRE_PIECE_MAX),
};
static const struct field piece[] = {
	BYTES(M, u.piece.data, WIRE_PIECE_MAX),
};
static const struct field names_req[] = {
	WORD(M, u.names_req.set), STRING(M, u.names_req.after, WIRE_PLACE_MAX, NULL),
};
static const struct field names[] = {
	SET(M, u.names.set), ARRAY(M, u.names.v, u.names.n, &name_shape), STRING(M, u.names.next, WIRE_PLACE_MAX, NULL),
};
static const struct field refused[] = {
	U8(M, u.refused.type, 0), CODE(M, u.refused.code), TEXT(M, u.refused.text, WIRE_TEXT_MAX),
};
static const struct field ping[] = {
	U64(M, u.ping.n),
};
static const struct field pong[] = {
	U64(M, u.pong.n),
};
static const struct field goodbye[] = {
	CODE(M, u.goodbye.code), TEXT(M, u.goodbye.text, WIRE_TEXT_MAX),
};
static const struct field put[] = {
	U64(M, u.put.op), PATH(M, u.put.path), ENTRY(M, u.put.entry), BYTES(M, u.put.data, WIRE_WHOLE_MAX),
};
static const struct field begin[] = {
	U64(M, u.begin.op), PATH(M, u.begin.path), ENUM(M, u.begin.mode, WIRE_BEGIN_PATCH), SIZE(M, u.begin.size),
};
static const struct field chunk[] = {
	U64(M, u.chunk.op), SIZE(M, u.chunk.offset), BYTES(M, u.chunk.data, WIRE_CHUNK_MAX),
};
static const struct field hole[] = {
	U64(M, u.hole.op), SIZE(M, u.hole.offset), SIZE(M, u.hole.len),
};
static const struct field end[] = {
	U64(M, u.end.op), ENTRY(M, u.end.entry),
};
static const struct field abort_[] = {
	U64(M, u.abort.op),
};
static const struct field entry[] = {
	U64(M, u.entry.op), PATH(M, u.entry.path), ENTRY(M, u.entry.entry),
};
static const struct field remove_[] = {
	U64(M, u.remove.op), PATH(M, u.remove.path),
};

/* ---- rules between fields ---- */

/* Both are at most 2^63 - 1, so their sum does not wrap. */
static bool
in_file(uint64_t offset, uint64_t len)
{
	return len > 0 && offset + len <= INT64_MAX;
}

static bool
hello_holds(const struct wire_msg *m)
{
	return m->u.hello.version_min <= m->u.hello.version_max;
}

static bool
blocks_req_holds(const struct wire_msg *m)
{
	return m->u.blocks_req.count > 0 && m->u.blocks_req.first <= block_count(INT64_MAX);
}

/* No more hashes than the file has blocks. */
static bool
blocks_holds(const struct wire_msg *m)
{
	uint64_t blocks_there = block_count(m->u.blocks.size);

	if (!m->u.blocks.n)
		return true;
	return m->u.blocks.present && m->u.blocks.first <= blocks_there && m->u.blocks.n <= blocks_there - m->u.blocks.first;
}

static bool
put_holds(const struct wire_msg *m)
{
	return m->u.put.entry.kind == ENTRY_FILE && m->u.put.entry.size == m->u.put.data.len;
}

static bool
chunk_holds(const struct wire_msg *m)
{
	return in_file(m->u.chunk.offset, m->u.chunk.data.len);
}

static bool
hole_holds(const struct wire_msg *m)
{
	return in_file(m->u.hole.offset, m->u.hole.len);
}

static bool
end_holds(const struct wire_msg *m)
{
	return m->u.end.entry.kind == ENTRY_FILE;
}

/* Whoever is to go on got something. */
static bool
names_hold(const struct wire_msg *m)
{
	return m->u.names.n > 0 || !m->u.names.next || !*m->u.names.next;
}

/* ---- the table ---- */

#define FIELDS(list) .shape = SHAPE(list, wire_msg)

const struct message wire_messages[WIRE_TYPES] = {
	[WIRE_NONE] = {.name = "NONE"},
	[WIRE_HELLO] = {"HELLO", WIRE_CONTROL, .open_ended = true, FIELDS(hello), .holds = hello_holds},
	[WIRE_SUMS_REQ] = {"SUMS_REQ", WIRE_CONTROL, FIELDS(sums_req)},
	[WIRE_LIST_REQ] = {"LIST_REQ", WIRE_CONTROL, FIELDS(list_req)},
	[WIRE_BLOCKS_REQ] = {"BLOCKS_REQ", WIRE_CONTROL, FIELDS(blocks_req), .holds = blocks_req_holds},
	[WIRE_JOB_BEGIN] = {"JOB_BEGIN", WIRE_CONTROL, FIELDS(job_begin)},
	[WIRE_SEAL] = {"SEAL", WIRE_CONTROL, FIELDS(seal)},
	[WIRE_JOB_END] = {"JOB_END", WIRE_CONTROL, FIELDS(job_end)},
	[WIRE_SETS_REQ] = {"SETS_REQ", WIRE_CONTROL, .shape = {NULL, 0, sizeof(struct wire_msg)}},
	[WIRE_ENROL] = {"ENROL", WIRE_CONTROL, FIELDS(enrol)},
	[WIRE_WELCOME] = {"WELCOME", WIRE_CONTROL, .open_ended = true, FIELDS(welcome)},
	[WIRE_ACK] = {"ACK", WIRE_CONTROL, FIELDS(ack)},
	[WIRE_NAK] = {"NAK", WIRE_CONTROL, FIELDS(nak)},
	[WIRE_SUMS] = {"SUMS", WIRE_CONTROL, FIELDS(sums)},
	[WIRE_LIST] = {"LIST", WIRE_CONTROL, FIELDS(list)},
	[WIRE_BLOCKS] = {"BLOCKS", WIRE_CONTROL, FIELDS(blocks), .holds = blocks_holds},
	[WIRE_PROGRESS] = {"PROGRESS", WIRE_CONTROL, FIELDS(progress)},
	[WIRE_SEALED] = {"SEALED", WIRE_CONTROL, FIELDS(sealed)},
	[WIRE_JOB_FAILED] = {"JOB_FAILED", WIRE_CONTROL, FIELDS(job_failed)},
	[WIRE_SETS] = {"SETS", WIRE_CONTROL, FIELDS(sets)},
	[WIRE_ENROLLED] = {"ENROLLED", WIRE_CONTROL, FIELDS(enrolled)},
	[WIRE_STOP] = {"STOP", WIRE_CONTROL, FIELDS(stop)},
	[WIRE_PING] = {"PING", WIRE_CONTROL, FIELDS(ping)},
	[WIRE_PONG] = {"PONG", WIRE_CONTROL, FIELDS(pong)},
	[WIRE_GOODBYE] = {"GOODBYE", WIRE_CONTROL, .open_ended = true, FIELDS(goodbye)},
	[WIRE_PUT] = {"PUT", WIRE_DATA, FIELDS(put), .holds = put_holds},
	[WIRE_BEGIN] = {"BEGIN", WIRE_DATA, FIELDS(begin)},
	[WIRE_CHUNK] = {"CHUNK", WIRE_DATA, FIELDS(chunk), .holds = chunk_holds},
	[WIRE_HOLE] = {"HOLE", WIRE_DATA, FIELDS(hole), .holds = hole_holds},
	[WIRE_END] = {"END", WIRE_DATA, FIELDS(end), .holds = end_holds},
	[WIRE_ABORT] = {"ABORT", WIRE_DATA, FIELDS(abort_)},
	[WIRE_ENTRY] = {"ENTRY", WIRE_DATA, FIELDS(entry)},
	[WIRE_REMOVE] = {"REMOVE", WIRE_DATA, FIELDS(remove_)},
	[WIRE_ORIGIN] = {"ORIGIN", WIRE_CONTROL, FIELDS(origin), .since = 2},
	[WIRE_JOB_OVER] = {"JOB_OVER", WIRE_CONTROL, FIELDS(job_over), .since = 2},
	[WIRE_DUE] = {"DUE", WIRE_CONTROL, FIELDS(due), .since = 2},
	[WIRE_NEWEST] = {"NEWEST", WIRE_CONTROL, FIELDS(newest), .since = 2},
	[WIRE_NAMES_REQ] = {"NAMES_REQ", WIRE_CONTROL, FIELDS(names_req), .since = 2},
	[WIRE_NAMES] = {"NAMES", WIRE_CONTROL, FIELDS(names), .holds = names_hold, .since = 2},
	[WIRE_REFUSED] = {"REFUSED", WIRE_CONTROL, FIELDS(refused), .since = 2},
	[WIRE_RELEASE_REQ] = {"RELEASE_REQ", WIRE_CONTROL, FIELDS(release_req), .since = 3},
	[WIRE_RELEASE] = {"RELEASE", WIRE_CONTROL, FIELDS(release), .since = 3},
	[WIRE_PIECE_REQ] = {"PIECE_REQ", WIRE_CONTROL, FIELDS(piece_req), .since = 3},
	[WIRE_PIECE] = {"PIECE", WIRE_CONTROL, FIELDS(piece), .since = 3},
};
