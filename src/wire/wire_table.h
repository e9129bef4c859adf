/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_table - the messages described as data: which fields, in which order, within which limits.  Inside src/wire only:
 * wire.c walks the descriptions to pack, unpack and free.
 */
#ifndef WIRE_WIRE_TABLE_H
#define WIRE_WIRE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/wire.h"

enum field_kind {
	FIELD_U8,     /* at most `max` when that is not 0 */
	FIELD_ENUM,   /* an int in memory, one byte on the wire, at most `max` */
	FIELD_BOOL,   /* one byte, 0 or 1 */
	FIELD_U32,    /* at most `max` when that is not 0 */
	FIELD_U64,
	FIELD_I64,
	FIELD_SIZE,   /* a size or offset of a file: at most 2^63 - 1 */
	FIELD_CODE,   /* an enum err in memory, its name on the wire: the numbers may move between versions */
	FIELD_TEXT,   /* for people: cut at `max` when it is packed */
	FIELD_STRING, /* at most `max` bytes, and `valid` */
	FIELD_RAW32,  /* 32 bytes */
	FIELD_BYTES,  /* struct wire_bytes: points into the frame */
	FIELD_HASH,   /* struct hash128 */
	FIELD_ENTRY,  /* struct entry */
	FIELD_STRUCT, /* as `of` says */
	FIELD_ARRAY,  /* a pointer, with its count at `count_at`; at most `max` elements as `of` says */
	FIELD_KINDS
};

struct shape;

struct field {
	enum field_kind kind;
	uint32_t max;
	size_t at;       /* where in its struct */
	size_t count_at;
	bool (*valid)(const char *s);
	const struct shape *of;
};

/* What a struct consists of. */
struct shape {
	const struct field *fields;
	size_t n;
	size_t bytes; /* of the struct in memory */
};

struct message {
	const char *name;
	enum wire_class class;
	bool open_ended; /* a later version may add fields; what we do not know is skipped */
	struct shape shape;
	bool (*holds)(const struct wire_msg *m); /* what no single field can say; may be NULL */
	uint32_t since;  /* version of the protocol; 0 = the first */
};

extern const struct message wire_messages[WIRE_TYPES];

#endif
