/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how libcrypto is asked for SHA-256, and that it must never be answered for.
 *
 * Once a context exists and is reset SHA-256 cannot fail for a reason outside this program.  If it does, we abort: a digest that was
 * not computed must not reach a manifest.
 */
#include "base/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"

struct digest {
	EVP_MD_CTX *ctx;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;      /* looked up once: by name, libcrypto would look it up at every sum */
static pthread_key_t own;   /* each thread's, for digest_once */
static bool have_own;

static void
free_own(void *d)
{
	digest_free(d);
}

static void
prepare(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	have_own = pthread_key_create(&own, free_own) == 0;
}

static bool
prepared(void)
{
	(void)pthread_once(&once, prepare);
	return sha256 && have_own;
}

static void
must(int ok)
{
	if (ok != 1)
		abort();
}

struct digest *
digest_new(void)
{
	struct digest *d = prepared() ? malloc(sizeof(*d)) : NULL;

	if (!d)
		return NULL;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || EVP_DigestInit_ex2(d->ctx, sha256, NULL) != 1) {
		digest_free(d);
		return NULL;
	}
	return d;
}

int
digest_begin(void)
{
	struct digest *d;

	if (PLANTED(digest_begins_late))
		return 0;
	d = digest_new();
	if (!d)
		return err_set(ERR_NOMEM, "preparing SHA-256");
	digest_free(d);
	return 0;
}

void
digest_reset(struct digest *d)
{
	/* OpenSSL 3.0 frees its state here and asks for memory anew; nothing else can go wrong, and callers have nothing to go on with. */
	if (EVP_DigestInit_ex2(d->ctx, NULL, NULL) != 1)
		log_end_out_of_memory("digest.memory");
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

/* This thread's.  Callers are deep in a transaction, and have nothing to go on with. */
static struct digest *
own_digest(void)
{
	struct digest *d = prepared() ? pthread_getspecific(own) : NULL;

	if (d)
		return d;
	d = digest_new();
	if (!d || pthread_setspecific(own, d) != 0)
		log_end_out_of_memory("digest.memory");
	return d;
}

void
digest_once(const void *data, size_t len, uint8_t out[DIGEST_BYTES])
{
	struct digest *d = own_digest();

	digest_reset(d);
	digest_update(d, data, len);
	digest_final(d, out);
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
