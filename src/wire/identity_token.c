/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity_token - the string that an administrator carries from the server to the collector.
 *
 * RFC 4648 base32 without padding of: u8 version, 16 bytes pin, 16 bytes secret, u8 length and bytes of the address, the
 * first 4 bytes of the SHA-256 of all that.  The checksum is for people who lose a letter, not against anybody.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/digest.h"
#include "base/pack.h"
#include "wire/identity_own.h"

#define TOKEN_VERSION 1
#define TOKEN_CHECK_BYTES 4
#define TOKEN_BYTES_MAX (1 + 16 + 16 + 1 + 255 + TOKEN_CHECK_BYTES)

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

/* *Gives* the text. */
static char *
base32_encode(const uint8_t *data, size_t len)
{
	char *text = malloc((len * 8 + 4) / 5 + 1), *to = text;
	uint32_t bits = 0;
	unsigned held = 0;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (held += 8; held >= 5; held -= 5)
			*to++ = alphabet[bits >> (held - 5) & 31];
	}
	if (held)
		*to++ = alphabet[bits << (5 - held) & 31];
	*to = '\0';
	return text;
}

/* Writes what the text says to `o`, which has a fixed size; fails there on a foreign character. */
static void
base32_decode(const char *text, struct pack_out *o)
{
	uint32_t bits = 0;
	unsigned held = 0;

	for (; *text; text++) {
		const char *at = strchr(alphabet, tolower((unsigned char)*text));

		if (isspace((unsigned char)*text) || *text == '-')
			continue;
		if (!at) {
			o->failed = true;
			return;
		}
		bits = bits << 5 | (uint32_t)(at - alphabet);
		held += 5;
		if (held >= 8) {
			held -= 8;
			pack_u8(o, (uint8_t)(bits >> held));
		}
	}
}

int
identity_token_format(const struct identity_token *token, char **ret_text)
{
	uint8_t check[DIGEST_BYTES];
	struct pack_out o = {0};
	size_t address_len = strlen(token->address);
	char *text;

	pack_u8(&o, TOKEN_VERSION);
	pack_raw(&o, token->pin, sizeof token->pin);
	pack_raw(&o, token->secret, sizeof token->secret);
	pack_u8(&o, (uint8_t)address_len);
	pack_raw(&o, token->address, address_len);
	if (!o.failed)
		digest_once(o.data, o.len, check);
	pack_raw(&o, check, TOKEN_CHECK_BYTES);
	text = o.failed ? NULL : base32_encode(o.data, o.len);
	OPENSSL_cleanse(o.data, o.len);
	pack_out_fini(&o);
	if (!text)
		return err_set(ERR_NOMEM, "a token");
	*ret_text = text;
	return 0;
}

static void
unpack_array(struct pack_in *i, uint8_t *to, size_t n)
{
	const uint8_t *from = unpack_raw(i, n);

	if (from)
		memcpy(to, from, n);
}

static bool
address_valid(const char *address, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)address[i]))
			return false;
	return len > 0;
}

static bool
unpack_token(const uint8_t *bytes, size_t len, struct identity_token *token)
{
	uint8_t check[DIGEST_BYTES], version, address_len;
	struct pack_in i;

	if (len < TOKEN_CHECK_BYTES)
		return false;
	digest_once(bytes, len - TOKEN_CHECK_BYTES, check);
	if (memcmp(check, bytes + len - TOKEN_CHECK_BYTES, TOKEN_CHECK_BYTES) != 0)
		return false;
	i = pack_in(bytes, len - TOKEN_CHECK_BYTES);
	version = unpack_u8(&i);
	unpack_array(&i, token->pin, sizeof token->pin);
	unpack_array(&i, token->secret, sizeof token->secret);
	address_len = unpack_u8(&i);
	unpack_array(&i, (uint8_t *)token->address, address_len);
	return unpack_done(&i) && version == TOKEN_VERSION && address_valid(token->address, address_len);
}

int
identity_token_parse(const char *text, struct identity_token *ret_token)
{
	struct identity_token token = {0};
	uint8_t bytes[TOKEN_BYTES_MAX];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);
	bool good;

	base32_decode(text, &o);
	good = !o.failed && unpack_token(bytes, o.len, &token);
	if (good)
		*ret_token = token;
	OPENSSL_cleanse(bytes, sizeof bytes);
	OPENSSL_cleanse(&token, sizeof token);
	return good ? 0 : err_set(ERR_USAGE, "the token is damaged or incomplete: copy the whole line that the server printed");
}
