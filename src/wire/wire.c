/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire - how a described field becomes bytes and back: the one reader of bytes from the network, and so the one place
 * where a length of the peer's is compared with what is there before it is used.
 *
 * All three walks (pack, unpack, free) follow the same descriptions in wire_table.c; a message that fails half way is
 * freed by the third, which finds zeros where nothing was read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/relpath.h"
#include "wire/wire_table.h"

#define MESSAGE_HEAD 5 /* u8 type, u32 length */
#define CODE_NAME_MAX 32

const char *
wire_type_name(enum wire_type type)
{
	return type < WIRE_TYPES ? wire_messages[type].name : "unknown";
}

enum wire_class
wire_type_class(enum wire_type type)
{
	return type < WIRE_TYPES ? wire_messages[type].class : WIRE_CONTROL;
}

uint32_t
wire_type_since(enum wire_type type)
{
	return type < WIRE_TYPES && wire_messages[type].since ? wire_messages[type].since : WIRE_VERSION_MIN;
}

static void *
field_of(void *owner, const struct field *f)
{
	return (char *)owner + f->at;
}

static const void *
field_in(const void *owner, const struct field *f)
{
	return (const char *)owner + f->at;
}

static size_t *
count_of(void *owner, const struct field *f)
{
	return (size_t *)(void *)((char *)owner + f->count_at);
}

static size_t
count_in(const void *owner, const struct field *f)
{
	return *(const size_t *)(const void *)((const char *)owner + f->count_at);
}

/* The pointer of an array, whatever it points to. */
static char *
array_in(const void *at)
{
	void *v;

	memcpy(&v, at, sizeof v);
	return v;
}

/* ---- pack ---- */

static void pack_shape(struct pack_out *o, const struct shape *shape, const void *owner);

static void
pack_limited(struct pack_out *o, const char *s, const struct field *f)
{
	size_t len = s ? strlen(s) : 0;

	if (len > f->max && f->kind == FIELD_TEXT)
		len = f->max;
	if (len > f->max || (f->valid && !f->valid(s ? s : "")))
		o->failed = true;
	pack_bytes(o, s, len);
}

static void
pack_code(struct pack_out *o, int32_t code)
{
	pack_str(o, code ? err_name(code) : "");
}

static void
pack_view(struct pack_out *o, const struct wire_bytes *b, uint32_t max)
{
	if (b->len > max)
		o->failed = true;
	pack_bytes(o, b->data, b->len);
}

static void
pack_hash(struct pack_out *o, const struct hash128 *h)
{
	pack_u64(o, h->lo);
	pack_u64(o, h->hi);
}

static void
pack_array(struct pack_out *o, const struct field *f, const char *v, size_t n)
{
	if (n > f->max)
		o->failed = true;
	pack_u32(o, (uint32_t)n);
	for (size_t i = 0; i < n && !o->failed; i++)
		pack_shape(o, f->of, v + i * f->of->bytes);
}

static void
pack_field(struct pack_out *o, const struct field *f, const void *owner)
{
	const void *at = field_in(owner, f);

	switch (f->kind) {
	case FIELD_U8:
		pack_u8(o, *(const uint8_t *)at);
		break;
	case FIELD_ENUM:
		pack_u8(o, (uint8_t)*(const int *)at);
		break;
	case FIELD_BOOL:
		pack_u8(o, *(const bool *)at);
		break;
	case FIELD_U32:
		pack_u32(o, *(const uint32_t *)at);
		break;
	case FIELD_U64:
	case FIELD_I64:
	case FIELD_SIZE:
		pack_u64(o, *(const uint64_t *)at);
		break;
	case FIELD_CODE:
		pack_code(o, *(const int32_t *)at);
		break;
	case FIELD_TEXT:
	case FIELD_STRING:
		pack_limited(o, *(char *const *)at, f);
		break;
	case FIELD_RAW32:
		pack_raw(o, at, 32);
		break;
	case FIELD_BYTES:
		pack_view(o, at, f->max);
		break;
	case FIELD_HASH:
		pack_hash(o, at);
		break;
	case FIELD_ENTRY:
		entry_pack(o, at);
		break;
	case FIELD_STRUCT:
		pack_shape(o, f->of, at);
		break;
	case FIELD_ARRAY:
		pack_array(o, f, array_in(at), count_in(owner, f));
		break;
	case FIELD_KINDS:
		break;
	}
}

static void
pack_shape(struct pack_out *o, const struct shape *shape, const void *owner)
{
	for (size_t i = 0; i < shape->n; i++)
		pack_field(o, &shape->fields[i], owner);
}

void
wire_pack(struct pack_out *o, const struct wire_msg *msg)
{
	const struct message *m = &wire_messages[msg->type];
	size_t start = o->len;
	struct pack_out length;

	pack_u8(o, (uint8_t)msg->type);
	pack_u32(o, 0);
	pack_shape(o, &m->shape, msg);
	if (m->holds && !m->holds(msg))
		o->failed = true;
	if (o->failed)
		return;
	length = pack_out_fixed(o->data + start + 1, 4);
	pack_u32(&length, (uint32_t)(o->len - start - MESSAGE_HEAD));
	if (o->len > WIRE_FRAME_MAX)
		o->failed = true;
}

size_t
wire_sum_bytes(const struct wire_sum *s)
{
	return 4 + strlen(s->dir) + 8 + 8 + 16;
}

size_t
wire_item_bytes(const struct wire_item *item)
{
	return 4 + strlen(item->name) + ENTRY_BYTES_FILE + (item->entry.target ? strlen(item->entry.target) : 0);
}

/* ---- unpack ---- */

static void unpack_shape(struct pack_in *i, const struct shape *shape, void *owner);

/* The fewest bytes that a field, or a struct, can be on the wire: what an array's count is measured against. */
static size_t
field_least(const struct field *f)
{
	static const uint8_t least[FIELD_KINDS] = {
		[FIELD_U8] = 1, [FIELD_ENUM] = 1, [FIELD_BOOL] = 1, [FIELD_U32] = 4, [FIELD_U64] = 8, [FIELD_I64] = 8,
		[FIELD_SIZE] = 8, [FIELD_CODE] = 4, [FIELD_TEXT] = 4, [FIELD_STRING] = 4, [FIELD_RAW32] = 32,
		[FIELD_BYTES] = 4, [FIELD_HASH] = 16, [FIELD_ENTRY] = ENTRY_BYTES_MIN, [FIELD_ARRAY] = 4,
	};
	size_t sum = least[f->kind];

	for (size_t i = 0; f->kind == FIELD_STRUCT && i < f->of->n; i++)
		sum += field_least(&f->of->fields[i]);
	return sum;
}

static size_t
shape_least(const struct shape *shape)
{
	size_t sum = 0;

	for (size_t i = 0; i < shape->n; i++)
		sum += field_least(&shape->fields[i]);
	return sum;
}

/* A number of `width` bytes that is at most `max`. */
static uint64_t
unpack_limited(struct pack_in *i, size_t width, uint64_t max)
{
	uint64_t v = unpack_uint(i, width);

	if (v > max) {
		i->failed = true;
		return 0;
	}
	return v;
}

static char *
unpack_valid(struct pack_in *i, const struct field *f)
{
	char *s = unpack_str(i, f->max);

	if (s && f->valid && !f->valid(s))
		i->failed = true;
	return s;
}

static int32_t
unpack_code(struct pack_in *i)
{
	char *name = unpack_str(i, CODE_NAME_MAX);
	int32_t code = name && *name ? (int32_t)err_from_name(name) : 0;

	free(name);
	return code;
}

static void
unpack_raw32(struct pack_in *i, uint8_t to[32])
{
	const uint8_t *from = unpack_raw(i, 32);

	if (from)
		memcpy(to, from, 32);
}

static void
unpack_view(struct pack_in *i, uint32_t max, struct wire_bytes *b)
{
	b->data = unpack_bytes(i, max, &b->len);
}

static void
unpack_hash(struct pack_in *i, struct hash128 *h)
{
	h->lo = unpack_u64(i);
	h->hi = unpack_u64(i);
}

static void
unpack_array(struct pack_in *i, const struct field *f, void *at, size_t *ret_n)
{
	uint32_t n = unpack_u32(i);
	char *v;

	if (i->failed || n > f->max || n > (i->len - i->pos) / shape_least(f->of)) {
		i->failed = true;
		return;
	}
	if (!n)
		return;
	v = calloc(n, f->of->bytes);
	if (!v) {
		i->failed = true;
		return;
	}
	memcpy(at, &v, sizeof v);
	*ret_n = n;
	for (uint32_t k = 0; k < n && !i->failed; k++)
		unpack_shape(i, f->of, v + k * f->of->bytes);
}

static void
unpack_field(struct pack_in *i, const struct field *f, void *owner)
{
	void *at = field_of(owner, f);

	switch (f->kind) {
	case FIELD_U8:
		*(uint8_t *)at = (uint8_t)unpack_limited(i, 1, f->max ? f->max : UINT8_MAX);
		break;
	case FIELD_ENUM:
		*(int *)at = (int)unpack_limited(i, 1, f->max);
		break;
	case FIELD_BOOL:
		*(bool *)at = unpack_limited(i, 1, 1);
		break;
	case FIELD_U32:
		*(uint32_t *)at = (uint32_t)unpack_limited(i, 4, f->max ? f->max : UINT32_MAX);
		break;
	case FIELD_U64:
	case FIELD_I64:
		*(uint64_t *)at = unpack_u64(i);
		break;
	case FIELD_SIZE:
		*(uint64_t *)at = unpack_limited(i, 8, INT64_MAX);
		break;
	case FIELD_CODE:
		*(int32_t *)at = unpack_code(i);
		break;
	case FIELD_TEXT:
	case FIELD_STRING:
		*(char **)at = unpack_valid(i, f);
		break;
	case FIELD_RAW32:
		unpack_raw32(i, at);
		break;
	case FIELD_BYTES:
		unpack_view(i, f->max, at);
		break;
	case FIELD_HASH:
		unpack_hash(i, at);
		break;
	case FIELD_ENTRY:
		entry_unpack(i, at);
		break;
	case FIELD_STRUCT:
		unpack_shape(i, f->of, at);
		break;
	case FIELD_ARRAY:
		unpack_array(i, f, at, count_of(owner, f));
		break;
	case FIELD_KINDS:
		break;
	}
}

static void
unpack_shape(struct pack_in *i, const struct shape *shape, void *owner)
{
	for (size_t k = 0; k < shape->n && !i->failed; k++)
		unpack_field(i, &shape->fields[k], owner);
}

static int
unpack_body(struct pack_in *body, const struct message *m, struct wire_msg *msg)
{
	unpack_shape(body, &m->shape, msg);
	if (body->failed || (m->holds && !m->holds(msg)))
		return err_set(ERR_PEER, "%s: malformed", m->name);
	if (body->pos != body->len && !m->open_ended)
		return err_set(ERR_PEER, "%s: %zu bytes too many", m->name, body->len - body->pos);
	return 0;
}

int
wire_unpack(struct pack_in *payload, enum wire_class class, struct wire_msg *ret_msg)
{
	struct wire_msg msg = {0};
	struct pack_in body;
	const uint8_t *bytes;
	uint8_t type;
	size_t len;
	int err;

	if (unpack_done(payload))
		return 0;
	type = unpack_u8(payload);
	bytes = unpack_bytes(payload, WIRE_FRAME_MAX, &len);
	if (payload->failed)
		return err_set(ERR_PEER, "a message ends outside its frame");
	if (type == WIRE_NONE || type >= WIRE_TYPES || wire_messages[type].class != class)
		return err_set(ERR_PEER, "message type %u in a %s frame", type, class == WIRE_DATA ? "data" : "control");
	msg.type = type;
	body = pack_in(bytes, len);
	err = unpack_body(&body, &wire_messages[type], &msg);
	if (err) {
		wire_msg_fini(&msg);
		return err;
	}
	*ret_msg = msg;
	return 1;
}

/* ---- free ---- */

static void free_shape(const struct shape *shape, void *owner);

static void
free_array(const struct field *f, char *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free_shape(f->of, v + i * f->of->bytes);
	free(v);
}

static void
free_shape(const struct shape *shape, void *owner)
{
	for (size_t i = 0; i < shape->n; i++) {
		const struct field *f = &shape->fields[i];
		void *at = field_of(owner, f);

		if (f->kind == FIELD_TEXT || f->kind == FIELD_STRING)
			free(*(char **)at);
		else if (f->kind == FIELD_ENTRY)
			entry_fini(at);
		else if (f->kind == FIELD_STRUCT)
			free_shape(f->of, at);
		else if (f->kind == FIELD_ARRAY)
			free_array(f, array_in(at), count_in(owner, f));
	}
}

void
wire_msg_fini(struct wire_msg *msg)
{
	if (msg->type < WIRE_TYPES)
		free_shape(&wire_messages[msg->type].shape, msg);
	*msg = (struct wire_msg){0};
}
