/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * release - a release of the collector: what its statement says, and whether it is to be believed.  Pure, but for release_keys_load.
 *
 * One file carries it: a head, which is the statement and the signatures over it, and after the head the programs, one behind
 * the other.  The head travels first, and decides whether the rest is wanted.
 *
 *     "tidemark release 1\n", u32 length, statement, u8 n, n x { 32 bytes key, 64 bytes signature }, programs
 *     statement: "collector", u32 major, minor, patch, str platform, i64 made, i64 expires, u8 n, n x { str name, u64 size, 32 bytes SHA-256 }
 *
 * Integers are little-endian, a str is u32 length and bytes, times are seconds since 1970.  A signature is Ed25519 over the first
 * line and the statement with its length, so that it is good for nothing else.  The rules of trust follow TUF (theupdateframework.io, section 1.5.2): several keys
 * that are kept apart, a version that only rises, an end of validity.
 *
 * Threads: any.
 */
#ifndef RELEASE_RELEASE_H
#define RELEASE_RELEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/pack.h"
#include "wire/signing.h"

#define RELEASE_HEAD_MAX 4096u
#define RELEASE_PROGRAM_MAX (64u << 20)   /* bytes of one program */
#define RELEASE_PLATFORM_MAX 32u
#define RELEASE_SIGNATURES_MAX 16u
#define RELEASE_SIGNERS_NEEDED 2u         /* one stolen key makes no release */
#define RELEASE_VERSION_TEXT 24u

/* In the order in which their bytes lie. */
enum release_program { RELEASE_COLLECTOR, RELEASE_WATCHER, RELEASE_DBCOPY, RELEASE_PROGRAMS };
extern const char *const release_program_names[RELEASE_PROGRAMS];

struct release_version {
	uint32_t part[3];
};

struct release_signature {
	uint8_t key[SIGNING_KEY_BYTES];
	uint8_t bytes[SIGNING_BYTES];
};

struct release {
	struct release_version version;
	char platform[RELEASE_PLATFORM_MAX + 1]; /* "linux-x86_64" */
	int64_t made_s, expires_s;
	struct {
		uint64_t size;
		uint8_t digest[DIGEST_BYTES];
	} programs[RELEASE_PROGRAMS];
	struct release_signature signatures[RELEASE_SIGNATURES_MAX];
	size_t n_signatures;
	size_t signed_len;                       /* of the head: what the signatures are over */
	size_t head_len;
};

/* Reads a head at the beginning of `data`, which may go on behind it; -ERR_CORRUPT. */
int release_read(const uint8_t *data, size_t len, struct release *ret_release);
/* Appends the part that is signed, or one signature, to a head.  A head is that part, their number (u8), and they. */
void release_pack_signed(struct pack_out *o, const struct release *r);
void release_pack_signatures(struct pack_out *o, const struct release_signature *signatures, size_t n);

/* Of all programs. */
uint64_t release_bytes(const struct release *r);

/* "1.2.3", each part below 10^6, without leading zeros: 0, or -ERR_USAGE. */
int release_version_parse(const char *text, struct release_version *ret_version);
void release_version_text(const struct release_version *v, char ret_text[RELEASE_VERSION_TEXT]);
/* <0, 0, >0 as a is below, equal to or above b. */
int release_version_compare(const struct release_version *a, const struct release_version *b);
/* What this program was built as, and for. */
struct release_version release_version_here(void);
const char *release_platform_here(void);

/* Who may sign: lines of "ed25519 <64 hex digits> words", and comments with #. */
#define RELEASE_KEYS_MAX 16u
struct release_keys {
	uint8_t key[RELEASE_KEYS_MAX][SIGNING_KEY_BYTES];
	size_t n;
};
/* -ERR_CONFIG with the line; also when there are fewer than RELEASE_SIGNERS_NEEDED. */
int release_keys_parse(const char *text, struct release_keys *ret_keys);
int release_keys_load(const char *path, struct release_keys *ret_keys);

/* 0 when enough of the keys have signed this head, and it is for this platform; -ERR_DENIED with what is wrong. */
int release_trust(const uint8_t *head, const struct release *r, const struct release_keys *keys, const char *platform);
/* -ERR_DENIED when its time is over, or lies in a future that the clock of this host knows nothing of. */
int release_in_time(const struct release *r, int64_t now_s);

#endif
