/* SPDX-License-Identifier: GPL-2.0-or-later */
/* release - bytes of a head, and the rules of trust. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "base/version.h"
#include "release/release.h"

#define MAGIC "tidemark release 1\n"
#define PRODUCT "collector"
#define NAME_MAX_BYTES 64u
#define PART_MAX 999999u
#define KEYS_FILE_MAX 65536u
#define CLOCK_SLACK_S 86400 /* how far a signer's clock may be ahead of ours */

const char *const release_program_names[RELEASE_PROGRAMS] = {"tidemark-collector", "tidemark-watcher", "tidemark-dbcopy"};

/* ---- bytes ---- */

static bool
unpack_word(struct pack_in *in, const char *word)
{
	size_t len;
	const uint8_t *at = unpack_bytes(in, NAME_MAX_BYTES, &len);

	return at && len == strlen(word) && memcmp(at, word, len) == 0;
}

static bool
platform_valid(const char *s)
{
	return *s && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(s);
}

static bool
read_statement(struct pack_in *in, struct release *r)
{
	const uint8_t *platform;
	size_t len;

	if (!unpack_word(in, PRODUCT))
		return false;
	for (size_t i = 0; i < 3; i++)
		if ((r->version.part[i] = unpack_u32(in)) > PART_MAX)
			return false;
	platform = unpack_bytes(in, RELEASE_PLATFORM_MAX, &len);
	if (!platform || memchr(platform, 0, len))
		return false;
	memcpy(r->platform, platform, len);
	r->made_s = unpack_i64(in);
	r->expires_s = unpack_i64(in);
	if (!platform_valid(r->platform) || unpack_u8(in) != RELEASE_PROGRAMS)
		return false;
	for (size_t i = 0; i < RELEASE_PROGRAMS; i++) {
		const uint8_t *digest;
		bool named = unpack_word(in, release_program_names[i]);

		r->programs[i].size = unpack_u64(in);
		digest = unpack_raw(in, DIGEST_BYTES);
		if (!named || !digest || !r->programs[i].size || r->programs[i].size > RELEASE_PROGRAM_MAX)
			return false;
		memcpy(r->programs[i].digest, digest, DIGEST_BYTES);
	}
	return unpack_done(in);
}

static bool
read_head(struct pack_in *in, struct release *r)
{
	const uint8_t *magic = unpack_raw(in, sizeof MAGIC - 1), *statement;
	struct pack_in inner;
	size_t len;

	if (!magic || memcmp(magic, MAGIC, sizeof MAGIC - 1) != 0 || !(statement = unpack_bytes(in, RELEASE_HEAD_MAX, &len)))
		return false;
	inner = pack_in(statement, len);
	if (!read_statement(&inner, r))
		return false;
	r->signed_len = in->pos;
	r->n_signatures = unpack_u8(in);
	if (r->n_signatures > RELEASE_SIGNATURES_MAX)
		return false;
	for (size_t i = 0; i < r->n_signatures; i++) {
		const uint8_t *at = unpack_raw(in, sizeof r->signatures[i]);

		if (!at)
			return false;
		memcpy(&r->signatures[i], at, sizeof r->signatures[i]);
	}
	r->head_len = in->pos;
	return !in->failed && r->head_len <= RELEASE_HEAD_MAX;
}
_Static_assert(sizeof(struct release_signature) == SIGNING_KEY_BYTES + SIGNING_BYTES, "a signature is its bytes");

int
release_read(const uint8_t *data, size_t len, struct release *ret_release)
{
	struct pack_in in = pack_in(data, len);

	*ret_release = (struct release){0};
	return read_head(&in, ret_release) ? 0 : err_set(ERR_CORRUPT, "this is no release of the collector, or not a whole one");
}

void
release_pack_signed(struct pack_out *o, const struct release *r)
{
	struct pack_out s = {0};

	pack_str(&s, PRODUCT);
	for (size_t i = 0; i < 3; i++)
		pack_u32(&s, r->version.part[i]);
	pack_str(&s, r->platform);
	pack_i64(&s, r->made_s);
	pack_i64(&s, r->expires_s);
	pack_u8(&s, RELEASE_PROGRAMS);
	for (size_t i = 0; i < RELEASE_PROGRAMS; i++) {
		pack_str(&s, release_program_names[i]);
		pack_u64(&s, r->programs[i].size);
		pack_raw(&s, r->programs[i].digest, DIGEST_BYTES);
	}
	pack_raw(o, MAGIC, sizeof MAGIC - 1);
	pack_bytes(o, s.data, s.len);
	o->failed |= s.failed;
	pack_out_fini(&s);
}

void
release_pack_signatures(struct pack_out *o, const struct release_signature *signatures, size_t n)
{
	pack_u8(o, (uint8_t)n);
	for (size_t i = 0; i < n; i++)
		pack_raw(o, &signatures[i], sizeof signatures[i]);
	if (n > RELEASE_SIGNATURES_MAX)
		o->failed = true;
}

uint64_t
release_bytes(const struct release *r)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < RELEASE_PROGRAMS; i++)
		sum += r->programs[i].size; /* each is bounded: the sum cannot overflow */
	return sum;
}

/* ---- versions ---- */

int
release_version_parse(const char *text, struct release_version *ret_version)
{
	char again[RELEASE_VERSION_TEXT];
	struct release_version v;
	int end = 0;

	if (strlen(text) < RELEASE_VERSION_TEXT && sscanf(text, "%6u.%6u.%6u%n", &v.part[0], &v.part[1], &v.part[2], &end) == 3 && !text[end]) {
		release_version_text(&v, again);
		if (strcmp(again, text) == 0) {
			*ret_version = v;
			return 0;
		}
	}
	return err_set(ERR_USAGE, "\"%s\" is not a version (1.2.3)", text);
}

void
release_version_text(const struct release_version *v, char ret_text[RELEASE_VERSION_TEXT])
{
	snprintf(ret_text, RELEASE_VERSION_TEXT, "%u.%u.%u", v->part[0] % (PART_MAX + 1), v->part[1] % (PART_MAX + 1), v->part[2] % (PART_MAX + 1));
}

int
release_version_compare(const struct release_version *a, const struct release_version *b)
{
	for (size_t i = 0; i < 3; i++)
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i] ? -1 : 1;
	return 0;
}

struct release_version
release_version_here(void)
{
	struct release_version v = {{0}};

	(void)release_version_parse(tidemark_version, &v);
	return v;
}

const char *
release_platform_here(void)
{
	/* What the program was compiled for: uname does not tell a 32-bit program from a 64-bit kernel. */
#if defined __x86_64__
	return "linux-x86_64";
#elif defined __aarch64__
	return "linux-aarch64";
#else
	return "linux-other";
#endif
}

/* ---- who may sign ---- */

static bool
has_key(const struct release_keys *keys, const uint8_t key[SIGNING_KEY_BYTES])
{
	for (size_t i = 0; i < keys->n; i++)
		if (memcmp(keys->key[i], key, SIGNING_KEY_BYTES) == 0)
			return true;
	return false;
}

int
release_keys_parse(const char *text, struct release_keys *ret_keys)
{
	int line = 0;

	*ret_keys = (struct release_keys){0};
	for (const char *at = text; *at; at += strcspn(at, "\n"), at += *at == '\n') {
		uint8_t key[SIGNING_KEY_BYTES];
		char word[16], hex[DIGEST_HEX + 1], copy[256];

		line++;
		snprintf(copy, sizeof copy, "%.*s", (int)strcspn(at, "\n"), at);
		copy[strcspn(copy, "#")] = '\0';
		if (!copy[strspn(copy, " \t\r")])
			continue;
		if (sscanf(copy, "%15s %65s", word, hex) != 2 || strcmp(word, "ed25519") != 0 || digest_from_hex(hex, key) != 0)
			return err_set(ERR_CONFIG, "line %d is no key (\"ed25519\" and 64 hex digits, as `tidemark-release key` prints them)", line);
		if (ret_keys->n == RELEASE_KEYS_MAX)
			return err_set(ERR_CONFIG, "line %d: more than %u keys", line, RELEASE_KEYS_MAX);
		if (!has_key(ret_keys, key)) /* a key that stands there twice signs once */
			memcpy(ret_keys->key[ret_keys->n++], key, SIGNING_KEY_BYTES);
	}
	return ret_keys->n >= RELEASE_SIGNERS_NEEDED ? 0
	    : err_set(ERR_CONFIG, "there must be %u keys at least: so many have to sign a release", RELEASE_SIGNERS_NEEDED);
}

int
release_keys_load(const char *path, struct release_keys *ret_keys)
{
	char *text;
	size_t len;
	int err = fsio_read_path(path, KEYS_FILE_MAX, &text, &len);

	if (err)
		return err_prefix(err, "the keys of releases, %s", path);
	err = release_keys_parse(text, ret_keys);
	free(text);
	return err ? err_prefix(err, "%s", path) : 0;
}

/* ---- trust ---- */

/* How many of the keys have signed; each counts once, however often it signed. */
static size_t
signers(const uint8_t *head, const struct release *r, const struct release_keys *keys)
{
	struct release_keys counted = {.n = 0};

	for (size_t i = 0; i < r->n_signatures; i++) {
		const struct release_signature *s = &r->signatures[i];

		if (has_key(keys, s->key) && !has_key(&counted, s->key) && signing_verify(s->key, head, r->signed_len, s->bytes) == 0)
			memcpy(counted.key[counted.n++], s->key, SIGNING_KEY_BYTES);
	}
	return counted.n;
}

int
release_trust(const uint8_t *head, const struct release *r, const struct release_keys *keys, const char *platform)
{
	size_t n = signers(head, r, keys), needed = PLANTED(release_of_one_signer) ? 1 : RELEASE_SIGNERS_NEEDED;

	if (n < needed && !PLANTED(release_signatures_unread))
		return err_set(ERR_DENIED, "only %zu of the %u signatures that it needs are of keys that are trusted here", n, RELEASE_SIGNERS_NEEDED);
	if (strcmp(r->platform, platform) != 0 && !PLANTED(release_of_any_platform))
		return err_set(ERR_DENIED, "it is for %s, and this is %s", r->platform, platform);
	return 0;
}

int
release_in_time(const struct release *r, int64_t now_s)
{
	if (now_s >= r->expires_s && !PLANTED(release_never_expires))
		return err_set(ERR_DENIED, "its time is over: somebody holds newer ones back, or nobody has signed it again");
	if (r->made_s > now_s && r->made_s - now_s > CLOCK_SLACK_S)
		return err_set(ERR_DENIED, "it was made in the future: the clock of this host, or of who made it, is wrong");
	return 0;
}
