/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how libcrypto is asked for SHA-256, and that it must never be answered for.
 *
 * Once a context exists SHA-256 cannot fail for a reason outside this program.  If it does, we abort: a digest that was
 * not computed must not reach a manifest.
 */
#include "base/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "base/err.h"

struct digest {
	EVP_MD_CTX *ctx;
};

static void
must(int ok)
{
	if (ok != 1)
		abort();
}

struct digest *
digest_new(void)
{
	struct digest *d = malloc(sizeof(*d));

	if (!d)
		return NULL;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
		digest_free(d);
		return NULL;
	}
	return d;
}

void
digest_reset(struct digest *d)
{
	/* No type: keeps the implementation fetched by digest_new(); naming it again would look it up again. */
	must(EVP_DigestInit_ex2(d->ctx, NULL, NULL));
}

void
digest_update(struct digest *d, const void *data, size_t len)
{
	must(EVP_DigestUpdate(d->ctx, data, len));
}

void
digest_final(struct digest *d, uint8_t out[DIGEST_BYTES])
{
	must(EVP_DigestFinal_ex(d->ctx, out, NULL));
}

void
digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

void
digest_once(const void *data, size_t len, uint8_t out[DIGEST_BYTES])
{
	must(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL));
}

void
digest_hex(const uint8_t in[DIGEST_BYTES], char out[DIGEST_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		out[2 * i] = digits[in[i] >> 4];
		out[2 * i + 1] = digits[in[i] & 15];
	}
	out[2 * DIGEST_BYTES] = '\0';
}

/* -1 when `c` is no hex digit; of either case, since people paste these. */
static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int
digest_from_hex(const char *hex, uint8_t out[DIGEST_BYTES])
{
	uint8_t bytes[DIGEST_BYTES];

	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		int high = nibble(hex[2 * i]);
		int low = high < 0 ? -1 : nibble(hex[2 * i + 1]); /* never looks past the NUL */

		if (low < 0)
			return err_set(ERR_CORRUPT, "a SHA-256 digest is 64 hex digits");
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (hex[2 * DIGEST_BYTES])
		return err_set(ERR_CORRUPT, "a SHA-256 digest is 64 hex digits");
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		out[i] = bytes[i];
	return 0;
}
