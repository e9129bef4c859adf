/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every message survives its bytes, and no bytes survive that are not a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/relpath.h"
#include "tests/lib/frame.h"
#include "wire/wire.h"
#include "src/wire/wire_table.h"

#define SEED 20260213u

static uint64_t random_state;

static uint64_t
random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint32_t
below(uint32_t n)
{
	return (uint32_t)(random_u64() % n);
}

static void
seed(unsigned n)
{
	random_state = 0x9e3779b97f4a7c15ull * (n + 1);
}

static char *
random_text(uint32_t max)
{
	uint32_t len = below(max + 1);
	char *s = malloc(len + 1);

	for (uint32_t i = 0; i < len; i++)
		s[i] = (char)(1 + below(255));
	s[len] = '\0';
	return s;
}

/* A name without slash, a path of three of them. */
static char *
random_path(bool deep)
{
	char *s = NULL;

	if (asprintf(&s, deep ? "d%x/e%x/\xff%x" : "n%x", below(99), below(99), below(99)) < 0)
		abort();
	return s;
}

static struct entry
random_entry(uint8_t kind)
{
	struct entry e = {.kind = kind, .mode = below(07777), .uid = (uint32_t)random_u64(), .gid = below(9)};

	if (kind != ENTRY_DIR)
		e.mtime_ns = (int64_t)random_u64();
	if (kind == ENTRY_FILE)
		e.size = random_u64() >> 1;
	if (kind == ENTRY_FILE || kind == ENTRY_SYMLINK)
		e.digest = (struct hash128){random_u64(), random_u64()};
	if (kind == ENTRY_SYMLINK)
		e.size = strlen(e.target = random_path(true));
	if (kind == ENTRY_CHAR || kind == ENTRY_BLOCK)
		e.rdev = random_u64();
	return e;
}

static const uint8_t some_data[WIRE_CHUNK_MAX] = {1, 2, 3};

static void fill_shape(const struct shape *shape, void *owner);

static char *
fill_string(const struct field *f)
{
	if (!f->valid)
		return random_text(f->max > 300 ? 300 : f->max);
	return random_path(f->valid("a/b"));
}

static void
fill_array(const struct field *f, void *owner, void *at)
{
	size_t n = below(5);
	char *v = n ? calloc(n, f->of->bytes) : NULL;

	for (size_t i = 0; i < n; i++)
		fill_shape(f->of, v + i * f->of->bytes);
	memcpy(at, &v, sizeof v);
	memcpy((char *)owner + f->count_at, &n, sizeof n);
}

static void
fill_field(const struct field *f, void *owner)
{
	char *at = (char *)owner + f->at;

	switch (f->kind) {
	case FIELD_U8:
		*(uint8_t *)at = (uint8_t)below(f->max ? f->max + 1 : 256);
		break;
	case FIELD_ENUM:
		*(int *)(void *)at = (int)below(f->max + 1);
		break;
	case FIELD_BOOL:
		*(bool *)at = below(2);
		break;
	case FIELD_U32:
		*(uint32_t *)(void *)at = 1 + below(f->max ? f->max : UINT32_MAX);
		break;
	case FIELD_U64:
	case FIELD_I64:
		*(uint64_t *)(void *)at = random_u64();
		break;
	case FIELD_SIZE:
		*(uint64_t *)(void *)at = random_u64() >> 14;
		break;
	case FIELD_CODE:
		*(int32_t *)(void *)at = (int32_t)below(ERR_COUNT);
		break;
	case FIELD_TEXT:
	case FIELD_STRING:
		*(char **)(void *)at = fill_string(f);
		break;
	case FIELD_RAW32:
		for (int i = 0; i < 32; i++)
			at[i] = (char)below(256);
		break;
	case FIELD_BYTES:
		*(struct wire_bytes *)(void *)at = (struct wire_bytes){some_data, 1 + below(1000)};
		break;
	case FIELD_HASH:
		*(struct hash128 *)(void *)at = (struct hash128){random_u64(), random_u64()};
		break;
	case FIELD_ENTRY:
		*(struct entry *)(void *)at = random_entry((uint8_t)(1 + below(7)));
		break;
	case FIELD_STRUCT:
		fill_shape(f->of, at);
		break;
	case FIELD_ARRAY:
		fill_array(f, owner, at);
		break;
	case FIELD_KINDS:
		break;
	}
}

static void
fill_shape(const struct shape *shape, void *owner)
{
	for (size_t i = 0; i < shape->n; i++)
		fill_field(&shape->fields[i], owner);
}

/* A message with random contents that keeps the rules between its fields. */
static struct wire_msg
random_msg(enum wire_type type)
{
	struct wire_msg m = {0};

	m.type = type;
	fill_shape(&wire_messages[type].shape, &m);
	if (type == WIRE_HELLO)
		m.u.hello.version_max = m.u.hello.version_min;
	if (type == WIRE_BLOCKS_REQ)
		m.u.blocks_req.first >>= 12;
	if (type == WIRE_BLOCKS) {
		m.u.blocks.present = true;
		m.u.blocks.first = below(100);
		m.u.blocks.size = (m.u.blocks.first + m.u.blocks.n) * BLOCK_BYTES;
	}
	if (type == WIRE_NAMES && !m.u.names.n)
		*m.u.names.next = '\0';
	if (type == WIRE_PUT || type == WIRE_END) {
		struct entry *e = type == WIRE_PUT ? &m.u.put.entry : &m.u.end.entry;

		entry_fini(e);
		*e = random_entry(ENTRY_FILE);
		if (type == WIRE_PUT)
			e->size = m.u.put.data.len;
	}
	return m;
}

static struct pack_out
packed(const struct wire_msg *m)
{
	struct pack_out o = {0};

	wire_pack(&o, m);
	assert_false(o.failed);
	return o;
}

static int
taken(const struct pack_out *o, enum wire_class class, struct wire_msg *ret)
{
	struct pack_in i = pack_in(o->data, o->len);

	return wire_unpack(&i, class, ret);
}

#define each_type(t) (enum wire_type t = WIRE_NONE + 1; t < WIRE_TYPES; t++)

/* Equal bytes stand for equal fields: each is compared on its own in the tests of single messages. */
static void
every_message_comes_back_as_it_was(void **state)
{
	(void)state;
	print_message("# seed %u\n", SEED);
	for each_type(type)
		for (unsigned round = 0; round < 200; round++) {
			struct wire_msg m, back;
			struct pack_out a, b;

			seed(SEED + round);
			m = random_msg(type);
			a = packed(&m);
			assert_int_equal(taken(&a, wire_type_class(type), &back), 1);
			assert_int_equal(back.type, type);
			b = packed(&back);
			assert_int_equal(a.len, b.len);
			assert_memory_equal(a.data, b.data, a.len);
			wire_msg_fini(&m);
			wire_msg_fini(&back);
			pack_out_fini(&a);
			pack_out_fini(&b);
		}
}

static void
fields_arrive_where_they_belong(void **state)
{
	struct wire_item items[] = {{.name = (char[]){"a.db"}, .entry = {.kind = ENTRY_FILE, .size = 5}}};
	struct wire_msg m = {.type = WIRE_LIST}, back;
	struct pack_out o;

	(void)state;
	m.u.list.dir = (char[]){"ofuser"};
	m.u.list.v = items;
	m.u.list.n = 1;
	m.u.list.more = true;
	o = packed(&m);
	assert_int_equal(taken(&o, WIRE_CONTROL, &back), 1);
	assert_string_equal(back.u.list.dir, "ofuser");
	assert_int_equal(back.u.list.n, 1);
	assert_string_equal(back.u.list.v[0].name, "a.db");
	assert_int_equal(back.u.list.v[0].entry.size, 5);
	assert_true(back.u.list.more);
	wire_msg_fini(&back);
	pack_out_fini(&o);
}

static void
numbers_of_types_never_change(void **state)
{
	(void)state;
	assert_int_equal(WIRE_HELLO, 1);
	assert_int_equal(WIRE_ENROL, 9);
	assert_int_equal(WIRE_WELCOME, 10);
	assert_int_equal(WIRE_ENROLLED, 20);
	assert_int_equal(WIRE_STOP, 21);
	assert_int_equal(WIRE_GOODBYE, 24);
	assert_int_equal(WIRE_PUT, 25);
	assert_int_equal(WIRE_REMOVE, 32);
	assert_int_equal(WIRE_NEWEST, 36);
	assert_int_equal(WIRE_REFUSED, 39);
	assert_int_equal(WIRE_RELEASE_REQ, 40);
	assert_int_equal(WIRE_PIECE, 43);
	assert_int_equal(wire_type_since(WIRE_PIECE), 3);
	assert_int_equal(WIRE_TYPES, 44);
	for each_type(type)
		assert_int_equal(wire_type_class(type), type >= WIRE_PUT && type <= WIRE_REMOVE ? WIRE_DATA : WIRE_CONTROL);
	assert_string_equal(wire_type_name(WIRE_JOB_BEGIN), "JOB_BEGIN");
	assert_int_equal(WIRE_REMOVE, 32);
	assert_int_equal(wire_type_since(WIRE_REMOVE), 1);
	assert_int_equal(WIRE_ORIGIN, 33);
	assert_int_equal(wire_type_since(WIRE_ORIGIN), 2);
	assert_string_equal(wire_type_name(200), "unknown");
}

static void
bytes_of_a_put_never_change(void **state)
{
	static const uint8_t want[] = {
		25, 62, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'x',
		1, 0xa4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		2, 0, 0, 0, 'h', 'i',
	};
	struct wire_msg m = {.type = WIRE_PUT};
	struct pack_out o;

	(void)state;
	m.u.put.op = 7;
	m.u.put.path = (char[]){"x"};
	m.u.put.entry = (struct entry){.kind = ENTRY_FILE, .mode = 0644, .mtime_ns = 9, .size = 2, .digest = {1, 2}};
	m.u.put.data = (struct wire_bytes){(const uint8_t *)"hi", 2};
	o = packed(&m);
	assert_int_equal(o.len, sizeof want);
	assert_memory_equal(o.data, want, sizeof want);
	pack_out_fini(&o);
}

static void
codes_travel_by_name_and_lose_their_sign(void **state)
{
	struct wire_msg m = {.type = WIRE_NAK}, back;
	struct pack_out o;

	(void)state;
	m.u.nak.code = -ERR_NOSPACE;
	o = packed(&m);
	assert_non_null(memmem(o.data, o.len, "NOSPACE", 7));
	assert_int_equal(taken(&o, WIRE_CONTROL, &back), 1);
	assert_int_equal(back.u.nak.code, ERR_NOSPACE);
	assert_string_equal(back.u.nak.text, "");
	wire_msg_fini(&back);
	pack_out_fini(&o);
}

static void
texts_are_cut_but_names_are_not(void **state)
{
	struct wire_msg m = {.type = WIRE_GOODBYE}, back;
	char *text = calloc(1, 5000);
	struct pack_out o;

	(void)state;
	memset(text, 't', 4999);
	m.u.goodbye.text = text;
	o = packed(&m);
	assert_int_equal(taken(&o, WIRE_CONTROL, &back), 1);
	assert_int_equal(strlen(back.u.goodbye.text), WIRE_TEXT_MAX);
	wire_msg_fini(&back);
	pack_out_fini(&o);

	m = (struct wire_msg){.type = WIRE_ENROL};
	m.u.enrol.profile = text;
	o = (struct pack_out){0};
	wire_pack(&o, &m);
	assert_true(o.failed);
	pack_out_fini(&o);
	free(text);
}

static void
several_messages_share_a_frame(void **state)
{
	struct pack_out o = {0};
	struct wire_msg back;
	struct pack_in i;

	(void)state;
	for (uint64_t op = 1; op <= 3; op++) {
		struct wire_msg m = {.type = WIRE_ABORT};

		m.u.abort.op = op;
		wire_pack(&o, &m);
	}
	i = pack_in(o.data, o.len);
	for (uint64_t op = 1; op <= 3; op++) {
		assert_int_equal(wire_unpack(&i, WIRE_DATA, &back), 1);
		assert_int_equal(back.u.abort.op, op);
	}
	assert_int_equal(wire_unpack(&i, WIRE_DATA, &back), 0);
	pack_out_fini(&o);
}

/* ---- hostile bytes ---- */

static void
every_truncation_is_refused(void **state)
{
	(void)state;
	for each_type(type) {
		struct wire_msg m, back;
		struct pack_out o;

		seed(SEED + type);
		m = random_msg(type);
		o = packed(&m);
		for (size_t len = 1; len < o.len; len++) {
			/* As its own allocation: a read past the end is then a finding of the sanitizer. */
			uint8_t *cut = malloc(len);
			struct pack_in i = pack_in(cut, len);

			memcpy(cut, o.data, len);
			assert_int_equal(wire_unpack(&i, wire_type_class(type), &back), -ERR_PEER);
			free(cut);
		}
		wire_msg_fini(&m);
		pack_out_fini(&o);
	}
}

/* The message's own length is truthful here and its body is cut: every field sees the end come early. */
static void
every_short_body_is_refused(void **state)
{
	(void)state;
	for each_type(type) {
		struct wire_msg m, back;
		struct pack_out o;

		seed(SEED + 100 + type);
		m = random_msg(type);
		o = packed(&m);
		for (uint32_t body = 0; body + 5 < o.len; body++) {
			struct pack_in i = pack_in(o.data, body + 5);
			struct pack_out length = pack_out_fixed(o.data + 1, 4);

			pack_u32(&length, body);
			assert_int_equal(wire_unpack(&i, wire_type_class(type), &back), -ERR_PEER);
		}
		wire_msg_fini(&m);
		pack_out_fini(&o);
	}
}

static void
mutate(uint8_t *data, size_t len)
{
	static const uint32_t words[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, WIRE_LIST_MAX, WIRE_LIST_MAX + 1, WIRE_FRAME_MAX + 1};
	size_t at = below((uint32_t)len);

	if (below(2) && len >= 9) {
		uint32_t word = words[below(sizeof words / sizeof *words)];

		memcpy(data + 5 + below((uint32_t)len - 8), &word, 4);
	} else {
		data[at] ^= (uint8_t)(1u << below(8));
	}
}

static void
mutations_never_crash_and_what_is_taken_packs_again(void **state)
{
	(void)state;
	print_message("# seed %u\n", SEED);
	for each_type(type)
		for (unsigned round = 0; round < 3000; round++) {
			struct wire_msg m, back;
			struct pack_out o;

			seed(SEED + round);
			m = random_msg(type);
			o = packed(&m);
			for (uint32_t n = 1 + below(3); n; n--)
				mutate(o.data, o.len);
			if (taken(&o, wire_type_class(type), &back) == 1) {
				struct pack_out again = packed(&back);

				pack_out_fini(&again);
				wire_msg_fini(&back);
			}
			wire_msg_fini(&m);
			pack_out_fini(&o);
		}
}

static void
bytes_too_many_are_refused_but_in_open_messages(void **state)
{
	(void)state;
	for each_type(type) {
		bool open_ended = type == WIRE_HELLO || type == WIRE_WELCOME || type == WIRE_GOODBYE;
		struct wire_msg m, back;
		struct pack_out o, length;
		int got;

		seed(SEED + type);
		m = random_msg(type);
		o = packed(&m);
		pack_u64(&o, 0);
		length = pack_out_fixed(o.data + 1, 4);
		pack_u32(&length, (uint32_t)o.len - 5);
		got = taken(&o, wire_type_class(type), &back);
		assert_int_equal(got, open_ended ? 1 : -ERR_PEER);
		if (got == 1)
			wire_msg_fini(&back);
		wire_msg_fini(&m);
		pack_out_fini(&o);
	}
}

static void
messages_of_the_other_class_and_unknown_types_are_refused(void **state)
{
	struct wire_msg back;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		uint8_t bytes[5] = {(uint8_t)type};

		for (int class = WIRE_CONTROL; class <= WIRE_DATA; class++) {
			struct pack_in i = pack_in(bytes, sizeof bytes);
			bool fits = type == WIRE_SETS_REQ && class == WIRE_CONTROL;

			assert_int_equal(wire_unpack(&i, class, &back), fits ? 1 : -ERR_PEER);
		}
	}
}

static void
assert_refused(const struct wire_msg *m)
{
	struct pack_out o = {0};

	wire_pack(&o, m);
	assert_true(o.failed);
	pack_out_fini(&o);
}

static void
limits_and_rules_hold_for_the_sender_too(void **state)
{
	struct wire_msg m;

	(void)state;
	m = (struct wire_msg){.type = WIRE_CHUNK};
	m.u.chunk.data = (struct wire_bytes){some_data, WIRE_CHUNK_MAX + 1};
	assert_refused(&m);
	m.u.chunk.data.len = 0;
	assert_refused(&m);
	m.u.chunk.data.len = 1;
	m.u.chunk.offset = INT64_MAX;
	assert_refused(&m);

	m = (struct wire_msg){.type = WIRE_PUT};
	m.u.put.path = (char[]){"a"};
	m.u.put.entry = (struct entry){.kind = ENTRY_FILE, .size = 3};
	m.u.put.data = (struct wire_bytes){some_data, 2};
	assert_refused(&m);
	m.u.put.entry = (struct entry){.kind = ENTRY_DIR};
	m.u.put.data.len = 0;
	assert_refused(&m);

	m = (struct wire_msg){.type = WIRE_HOLE};
	assert_refused(&m);
	m = (struct wire_msg){.type = WIRE_NAMES};
	m.u.names.next = (char[]){"there"}; /* nothing, and more of it */
	assert_refused(&m);
	m = (struct wire_msg){.type = WIRE_HELLO};
	m.u.hello.version_min = 2;
	m.u.hello.version_max = 1;
	assert_refused(&m);
}

static void
paths_that_climb_are_refused(void **state)
{
	static const char *const bad[] = {"", "/", "/a", "a//b", "..", "a/..", "./a", "a/", "../x"};

	(void)state;
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct wire_msg m = {.type = WIRE_REMOVE}, back;
		struct pack_out o = {0};
		char path[32];

		/* Packed as something harmless of the same length, then forged. */
		strcpy(path, bad[k]);
		memset(path, 'x', strlen(path));
		m.u.remove.path = *path ? path : (char[]){"x"};
		wire_pack(&o, &m);
		memcpy(o.data + 17, bad[k], strlen(bad[k]));
		if (*bad[k]) {
			assert_int_equal(taken(&o, WIRE_DATA, &back), -ERR_PEER);
		}
		m.u.remove.path = strcpy(path, bad[k]);
		pack_out_fini(&o);
		assert_refused(&m);
	}
}

/* A count of 4096 in a message of a few bytes must not buy an allocation. */
static void
counts_are_measured_against_the_bytes_that_are_there(void **state)
{
	struct wire_msg m = {.type = WIRE_SETS}, back;
	struct pack_out o = packed(&m), count;

	(void)state;
	count = pack_out_fixed(o.data + 5, 4);
	pack_u32(&count, WIRE_LIST_MAX);
	assert_int_equal(taken(&o, WIRE_CONTROL, &back), -ERR_PEER);
	pack_out_fini(&o);
}

static void
a_full_list_fits_a_frame(void **state)
{
	struct wire_item *items = calloc(WIRE_LIST_MAX, sizeof *items);
	char name[RELNAME_MAX + 1];
	struct wire_msg m = {.type = WIRE_LIST};
	struct pack_out o;
	size_t sum = 0;

	(void)state;
	memset(name, 'n', RELNAME_MAX);
	name[RELNAME_MAX] = '\0';
	m.u.list.v = items;
	m.u.list.dir = name;
	while (m.u.list.n < WIRE_LIST_MAX) {
		struct wire_item *item = &items[m.u.list.n];

		*item = (struct wire_item){name, {.kind = ENTRY_FILE}};
		sum += wire_item_bytes(item);
		if (sum > WIRE_LIST_BYTES)
			break;
		m.u.list.n++;
	}
	o = packed(&m);
	assert_in_range(o.len, WIRE_LIST_BYTES / 2, sum);
	pack_out_fini(&o);
	free(items);
}

/* ---- frames ---- */

static uint8_t *
framed(size_t len, bool compressible, bool compress, size_t *ret_len)
{
	uint8_t *payload = malloc(len), *data;

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)(compressible ? i >> 6 : random_u64());
	assert_int_equal(frame_of(WIRE_DATA, payload, len, compress, &data, ret_len), 0);
	free(payload);
	return data;
}

static void
check_frame(size_t len, bool compressible, bool compress)
{
	struct wire_head head;
	struct pack_in payload;
	size_t total;
	uint8_t *data, *buf;

	seed(1);
	data = framed(len, compressible, compress, &total);
	assert_int_equal(wire_head_unpack(data, &head), 0);
	assert_int_equal(head.class, WIRE_DATA);
	assert_int_equal(head.raw_len, len);
	assert_int_equal(head.len + WIRE_FRAME_HEAD, total);
	assert_int_equal(head.packed, compressible && compress && len >= 1000);
	assert_int_equal(wire_frame_open(&head, data + WIRE_FRAME_HEAD, &payload, &buf), 0);
	assert_int_equal(payload.len, len);
	seed(1);
	for (size_t i = 0; i < len; i++)
		if (payload.data[i] != (uint8_t)(compressible ? i >> 6 : random_u64()))
			fail();
	free(buf);
	free(data);
}

static void
frames_come_back_packed_or_not(void **state)
{
	static const size_t sizes[] = {1, 100, 1000, 70000, WIRE_CHUNK_MAX, WIRE_FRAME_MAX};

	(void)state;
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
		for (int what = 0; what < 4; what++)
			check_frame(sizes[k], what & 1, what & 2);
}

static void
frames_of_no_or_too_many_bytes_are_not_built(void **state)
{
	uint8_t *payload = calloc(1, WIRE_FRAME_MAX + 1), *data;
	size_t len;

	(void)state;
	assert_int_equal(frame_of(WIRE_DATA, payload, 0, true, &data, &len), -ERR_LIMIT);
	assert_int_equal(frame_of(WIRE_DATA, payload, WIRE_FRAME_MAX + 1, true, &data, &len), -ERR_LIMIT);
	free(payload);
}

/* Zeros among noise: `run` of every `each` bytes, from `first` on. */
static bool
is_packed(size_t len, size_t first, size_t run, size_t each)
{
	uint8_t *payload = malloc(len), *data;
	struct wire_head head;
	size_t n;

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)random_u64();
	for (size_t at = first; at < len; at += each)
		memset(payload + at, 0, run < len - at ? run : len - at);
	assert_int_equal(frame_of(WIRE_DATA, payload, len, true, &data, &n), 0);
	assert_int_equal(wire_head_unpack(data, &head), 0);
	free(payload);
	free(data);
	return head.packed;
}

static void
what_can_be_packed_is_found_wherever_in_a_large_payload_it_lies(void **state)
{
	static const size_t sizes[] = {130 * 1024, 256 * 1024 + 40, 512 * 1024, 512 * 1024 + 61, WIRE_FRAME_MAX};

	(void)state;
	seed(3);
	for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
		size_t len = sizes[k], eighth = len / 8;

		for (size_t i = 0; i < 8; i++)
			assert_true(is_packed(len, i * eighth, eighth, len));
		/* In every page at the same place: samples must not all fall beside it. */
		for (size_t in_page = 0; in_page < 4096; in_page += 512)
			assert_true(is_packed(len, in_page, 1024, 4096));
		assert_false(is_packed(len, len, 0, 1));
	}
}

static void
heads_with_bad_lengths_or_bits_are_refused(void **state)
{
	static const struct { uint32_t len; uint8_t class, flags; uint16_t zero; uint32_t raw; } bad[] = {
		{0, 0, 0, 0, 0}, {WIRE_FRAME_MAX + 1, 0, 0, 0, WIRE_FRAME_MAX + 1}, {0x80000000, 0, 0, 0, 0x80000000},
		{UINT32_MAX, 0, 0, 0, UINT32_MAX}, {5, 2, 0, 0, 5}, {5, 0, 2, 0, 5}, {5, 0, 0x80, 0, 9}, {5, 0, 0, 1, 5},
		{5, 0, 0, 0, 6}, {5, 0, 1, 0, 5}, {5, 0, 1, 0, 4}, {5, 0, 1, 0, WIRE_FRAME_MAX + 1}, {5, 0, 1, 0, 0},
	};
	struct wire_head head;

	(void)state;
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
		struct pack_out o = {0};

		pack_u32(&o, bad[k].len);
		pack_u8(&o, bad[k].class);
		pack_u8(&o, bad[k].flags);
		pack_u16(&o, bad[k].zero);
		pack_u32(&o, bad[k].raw);
		assert_int_equal(wire_head_unpack(o.data, &head), -ERR_PEER);
		pack_out_fini(&o);
	}
}

/* Wrong size, cut, damaged, and two zstd frames in one. */
static void
packed_frames_that_lie_are_refused(void **state)
{
	struct wire_head head, lie;
	struct pack_in payload;
	uint8_t *data, *buf, *body;
	size_t total;

	(void)state;
	data = framed(50000, true, true, &total);
	assert_int_equal(wire_head_unpack(data, &head), 0);
	body = malloc(2 * head.len);
	memcpy(body, data + WIRE_FRAME_HEAD, head.len);
	memcpy(body + head.len, data + WIRE_FRAME_HEAD, head.len);
	lie = head;
	lie.raw_len++;
	assert_int_equal(wire_frame_open(&lie, body, &payload, &buf), -ERR_PEER);
	lie = head;
	lie.len *= 2;
	assert_int_equal(wire_frame_open(&lie, body, &payload, &buf), -ERR_PEER);
	for (lie = head, lie.len = 1; lie.len < head.len; lie.len++)
		assert_int_equal(wire_frame_open(&lie, body, &payload, &buf), -ERR_PEER);
	memset(body, 0, 4);
	assert_int_equal(wire_frame_open(&head, body, &payload, &buf), -ERR_PEER);
	free(body);
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_back_as_it_was),
		cmocka_unit_test(fields_arrive_where_they_belong),
		cmocka_unit_test(numbers_of_types_never_change),
		cmocka_unit_test(bytes_of_a_put_never_change),
		cmocka_unit_test(codes_travel_by_name_and_lose_their_sign),
		cmocka_unit_test(texts_are_cut_but_names_are_not),
		cmocka_unit_test(several_messages_share_a_frame),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_short_body_is_refused),
		cmocka_unit_test(mutations_never_crash_and_what_is_taken_packs_again),
		cmocka_unit_test(bytes_too_many_are_refused_but_in_open_messages),
		cmocka_unit_test(messages_of_the_other_class_and_unknown_types_are_refused),
		cmocka_unit_test(limits_and_rules_hold_for_the_sender_too),
		cmocka_unit_test(paths_that_climb_are_refused),
		cmocka_unit_test(counts_are_measured_against_the_bytes_that_are_there),
		cmocka_unit_test(a_full_list_fits_a_frame),
		cmocka_unit_test(frames_come_back_packed_or_not),
		cmocka_unit_test(frames_of_no_or_too_many_bytes_are_not_built),
		cmocka_unit_test(what_can_be_packed_is_found_wherever_in_a_large_payload_it_lies),
		cmocka_unit_test(heads_with_bad_lengths_or_bits_are_refused),
		cmocka_unit_test(packed_frames_that_lie_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
