/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire - the messages of the protocol as structs, and their bytes.  Pure.  PROTOCOL.md tells states and order.
 *
 * A frame carries one or more messages; a message is u8 type, u32 length, body.  Control frames carry control messages
 * only, data frames data messages only; the receiver of a frame can queue a data frame without looking inside.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pack.h"
#include "wire/entry.h"

#define WIRE_VERSION_MIN 1u
#define WIRE_VERSION_MAX 3u
#define WIRE_FRAME_HEAD 12u               /* bytes: u32 length, u8 class, u8 flags, u16 zero, u32 raw length */
#define WIRE_FRAME_MAX (1024u * 1024u)    /* payload bytes, packed and unpacked alike */
#define WIRE_CHUNK_MAX (512u * 1024u)     /* data bytes in one DATA */
#define WIRE_WHOLE_MAX (256u * 1024u)     /* files up to this size travel whole in one PUT */
#define WIRE_WINDOW (32u * 1024u * 1024u) /* payload of ops above `durable` at which no further op begins; an open one goes on */
#define WIRE_OPEN_MAX 64u                 /* BEGINs open at a time */
#define WIRE_TEXT_MAX 1024u
#define WIRE_NAME_MAX 64u                 /* profile and set names */
#define WIRE_CERT_MAX 8192u               /* a certificate or a request for one, DER */
#define WIRE_ENROL_MAX 16384u             /* a frame's payload on a connection without a client certificate */
#define WIRE_LIST_MAX 4096u               /* items in one SUMS, LIST or NAMES, hashes in one BLOCKS */
#define WIRE_LIST_BYTES (768u * 1024u)    /* a sender ends a SUMS or LIST here, with `more` set */
#define WIRE_PLACE_MAX (RELPATH_MAX + 32u) /* where a page of NAMES ended */
#define WIRE_RELEASE_MAX 4096u            /* the head of a release */
#define WIRE_PIECE_MAX (256u * 1024u)     /* bytes of a release in one PIECE */
#define WIRE_PING_MS 15000
#define WIRE_DEAD_MS 45000

enum wire_class { WIRE_CONTROL = 0, WIRE_DATA = 1 };

/* A type's place is its number on the wire, from 1: a new one goes to the end. */
#define WIRE_TABLE(X)                                                                                              \
	/* control, collector -> server */                                                                         \
	X(HELLO) X(SUMS_REQ) X(LIST_REQ) X(BLOCKS_REQ) X(JOB_BEGIN) X(SEAL) X(JOB_END) X(SETS_REQ) X(ENROL)         \
	/* control, server -> collector */                                                                         \
	X(WELCOME) X(ACK) X(NAK) X(SUMS) X(LIST) X(BLOCKS) X(PROGRESS) X(SEALED) X(JOB_FAILED) X(SETS) X(ENROLLED)  \
	/* control, both */                                                                                        \
	X(STOP) X(PING) X(PONG) X(GOODBYE)                                                                         \
	/* data, collector -> server */                                                                            \
	X(PUT) X(BEGIN) X(CHUNK) X(HOLE) X(END) X(ABORT) X(ENTRY) X(REMOVE)                                        \
	/* since version 2: control; NEWEST, NAMES and REFUSED server -> collector, the others collector -> server */ \
	X(ORIGIN) X(JOB_OVER) X(DUE) X(NEWEST) X(NAMES_REQ) X(NAMES) X(REFUSED)                                     \
	/* since version 3: control; the requests collector -> server, the answers server -> collector */           \
	X(RELEASE_REQ) X(RELEASE) X(PIECE_REQ) X(PIECE)

enum wire_type {
	WIRE_NONE = 0,
#define X(name) WIRE_##name,
	WIRE_TABLE(X)
#undef X
	WIRE_TYPES
};

struct wire_bytes {
	const uint8_t *data;
	size_t len;
};

struct wire_sum {
	char *dir;
	struct treemap_sum sum;
};

struct wire_item {
	char *name;
	struct entry entry;
};

struct wire_set {
	char *name;            /* "wedfeb13" */
	int64_t started_ns;    /* T0 */
	int64_t sealed_ns;
	uint64_t files, bytes;
	uint8_t verified;      /* enum set_verified */
	uint8_t state;         /* 0 good, 1 with warnings */
};

struct wire_name {
	char *path;
	uint8_t kind;          /* enum entry_kind */
	uint32_t mode;
	uint64_t size;
	int64_t mtime_ns;
};

enum wire_begin_mode {
	WIRE_BEGIN_WHOLE = 0, /* a new file; what the server may hold of it (an earlier, broken transfer) is kept and patched */
	WIRE_BEGIN_PATCH = 1, /* the server's file, with ranges replaced, then cut to the END's size */
};

/*
 * One decoded message.  Pointers into the frame (struct wire_bytes) live as long as the frame; strings and arrays are
 * the message's and go with wire_msg_fini.  Codes travel by name (err_name); either sign is sent, the positive arrives.
 */
struct wire_msg {
	enum wire_type type;
	union {
		struct {
			uint32_t version_min, version_max;
			uint8_t layout;          /* enum layout_type */
			char *build, *host;
			char *journal;           /* uuid of the collector's journal */
			struct treemap_sum total; /* what the collector believes the server holds */
		} hello;
		struct {
			uint32_t version;
			char *build;
			char *instance;          /* uuid of the server's index: another one = it was rebuilt or replaced */
			uint64_t generation;     /* raised when the server's state went back in time */
			uint64_t token;          /* fencing: this writer's number */
			struct treemap_sum total; /* what the server holds */
			uint8_t key[BLOCK_KEY_BYTES]; /* the profile's hash key */
			char *last_set;          /* name, "" = none */
			int64_t last_sealed_ns, last_started_ns;
			int64_t now_ns;
		} welcome;
		/* Highest n such that every op <= n has the level, was refused or aborted; an op with an open BEGIN has none yet. */
		struct { uint64_t received, applied, durable; } ack;
		struct { uint64_t op; int32_t code; char *text; } nak; /* this op had no effect; code is an enum err */
		struct { char *after; } sums_req;               /* directories above this name, "" = from the start */
		struct { struct wire_sum *v; size_t n; bool more; } sums;
		struct { char *dir, *after; } list_req;
		struct { char *dir; struct wire_item *v; size_t n; bool more; } list;
		struct { char *path; uint64_t first; uint32_t count; } blocks_req;
		struct { char *path; bool present; uint64_t size, first; struct hash128 *v; size_t n; } blocks;
		struct { uint64_t job; uint32_t date; int64_t t0_ns; } job_begin; /* date: yyyymmdd of T0 in the schedule's zone */
		struct {
			uint64_t job;
			uint32_t date;
			int64_t t0_ns;
			struct treemap_sum total; /* what the server must hold now, every directory */
			char *note;              /* warnings to carry in the set, "" = none */
		} seal;
		struct { uint64_t job; char *phase; uint64_t done, total; } progress; /* phase "begin" answers JOB_BEGIN */
		struct { uint64_t job; struct wire_set set; char *note; } sealed;
		struct { uint64_t job; int32_t code; char *text; } job_failed;
		struct { uint64_t job; } job_end;
		struct { uint64_t job; char *origin; } stop;
		struct { uint64_t job; char *origin; } origin;  /* who began it: "schedule", "user root" */
		struct {                                        /* JOB_END with the reason; of a job that never began here as well */
			uint64_t job;
			uint32_t date;
			int64_t t0_ns;
			char *origin;
			int32_t code;
			char *text;
		} job_over;
		struct { int64_t at_ns; } due;                  /* the first scheduled run after the newest set; 0 = no schedule */
		struct { struct wire_set set; } newest;         /* as the server knows it now */
		struct { struct wire_set *v; size_t n; } sets;
		struct { char *set, *after; } names_req;        /* set "latest" allowed; `next` of the page before, "" = from the first */
		struct { struct wire_set set; struct wire_name *v; size_t n; char *next; } names; /* next "" = that was all */
		struct { uint8_t type; int32_t code; char *text; } refused; /* the request of this type has no other answer */
		struct { char *platform; } release_req;         /* "linux-x86_64": the newest release for it */
		struct { struct wire_bytes head; } release;     /* as release.h has it; what it says is for its signers to prove */
		struct { uint8_t release[32]; uint64_t offset; uint32_t count; } piece_req; /* SHA-256 of the head; behind the head */
		struct { struct wire_bytes data; } piece;       /* fewer than asked for only at the end */
		struct { char *profile; struct wire_bytes csr; uint8_t proof[32]; } enrol;
		struct { struct wire_bytes certificate, authority; uint8_t key[BLOCK_KEY_BYTES]; } enrolled;
		struct { uint64_t n; } ping, pong;
		struct { int32_t code; char *text; } goodbye;

		/* data: every op is numbered, from 1 in a connection, without a gap */
		struct { uint64_t op; char *path; struct entry entry; struct wire_bytes data; } put;
		struct { uint64_t op; char *path; enum wire_begin_mode mode; uint64_t size; } begin;
		struct { uint64_t op; uint64_t offset; struct wire_bytes data; } chunk; /* op of its BEGIN */
		struct { uint64_t op; uint64_t offset, len; } hole;
		struct { uint64_t op; struct entry entry; } end;    /* op of its BEGIN; acknowledged by it */
		struct { uint64_t op; } abort;
		struct { uint64_t op; char *path; struct entry entry; } entry; /* a directory, a special, or new metadata of a file */
		struct { uint64_t op; char *path; } remove;
	} u;
};

const char *wire_type_name(enum wire_type type);
enum wire_class wire_type_class(enum wire_type type);
/* The version of the protocol that has it: to be sent, and to be taken, only where WELCOME named this one or a later one. */
uint32_t wire_type_since(enum wire_type type);

/* Appends the message to a frame's payload.  Borrows.  A NULL string is "", texts for people are cut at their limit; any other
 * field above its limit, and bytes above WIRE_FRAME_MAX in `o`, are a failure, sticky in `o`. */
void wire_pack(struct pack_out *o, const struct wire_msg *msg);

/* At most what the element takes in its SUMS or LIST: to be summed up against WIRE_LIST_BYTES. */
size_t wire_sum_bytes(const struct wire_sum *s);
size_t wire_item_bytes(const struct wire_item *item);

/* Takes the next message of a payload: 1 got one (fini it), 0 at the end, -ERR_PEER.  Every length is bounded by the bytes
 * that are there and by the limits above before anything is allocated; paths are relpath_valid. */
int wire_unpack(struct pack_in *payload, enum wire_class class, struct wire_msg *ret_msg);
void wire_msg_fini(struct wire_msg *msg);

/*
 * A frame is made where its payload is: begin leaves room for the head, wire_pack appends messages, end fills the head in; `expected` is
 * what the payload will have, as far as one knows.  Packed with zstd level 1 when `compress` and it saves 3 % and more.
 * End *takes* what begin made, also when it fails (-ERR_LIMIT: `o` failed, no payload, or too much), and *gives* `ret_data`.  Any thread.
 */
void wire_frame_begin(struct pack_out *o, size_t expected);
int wire_frame_end(struct pack_out *o, enum wire_class class, bool compress, uint8_t **ret_data, size_t *ret_len);

/* A frame's head as met on the wire; -ERR_PEER when a length is above its limit or a reserved bit is set. */
struct wire_head {
	uint32_t len, raw_len;
	uint8_t class;
	bool packed;
};
int wire_head_unpack(const uint8_t head[WIRE_FRAME_HEAD], struct wire_head *ret_head);
/* The payload of a received frame: `body` itself when not packed, else unpacked into `*ret_buf` (*given*, NULL if none). */
int wire_frame_open(const struct wire_head *head, const uint8_t *body, struct pack_in *ret_payload, uint8_t **ret_buf);

#endif
