/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signing - the one-shot calls of OpenSSL for Ed25519, which hashes for itself: there is no digest to name. */
#include "base/err.h"
#include "base/fsio.h"
#include "wire/identity_keys.h"
#include "wire/signing.h"

static int
public_half(const EVP_PKEY *key, uint8_t ret_key[SIGNING_KEY_BYTES])
{
	size_t len = SIGNING_KEY_BYTES;

	if (EVP_PKEY_is_a(key, "ED25519") != 1 || EVP_PKEY_get_raw_public_key(key, ret_key, &len) != 1 || len != SIGNING_KEY_BYTES)
		return identity_error(ERR_CONFIG, "this is no Ed25519 key");
	return 0;
}

int
signing_make(int dir, const char *file, uint8_t ret_key[SIGNING_KEY_BYTES])
{
	struct stat st;
	EVP_PKEY *key;
	int err = fsio_stat(dir, file, &st);

	if (err != -ERR_GONE)
		return err ? err : err_set(ERR_BUSY, "%s exists: a key is never written over", file);
	err = key_generate(&key);
	if (err)
		return err;
	err = public_half(key, ret_key);
	if (!err)
		err = key_save(dir, file, key);
	EVP_PKEY_free(key);
	return err;
}

int
signing_sign(int dir, const char *file, const void *data, size_t len, uint8_t ret_key[SIGNING_KEY_BYTES], uint8_t ret_signature[SIGNING_BYTES])
{
	size_t n = SIGNING_BYTES;
	EVP_MD_CTX *ctx;
	EVP_PKEY *key;
	int err = key_load(dir, file, &key);

	if (err)
		return err;
	err = public_half(key, ret_key);
	ctx = EVP_MD_CTX_new();
	if (!err && (!ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 || EVP_DigestSign(ctx, ret_signature, &n, data, len) != 1 ||
	    n != SIGNING_BYTES))
		err = identity_error(ERR_IO, "signing");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return err;
}

int
signing_verify(const uint8_t key[SIGNING_KEY_BYTES], const void *data, size_t len, const uint8_t signature[SIGNING_BYTES])
{
	EVP_PKEY *public_key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, key, SIGNING_KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int err = 0;

	if (!public_key || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, public_key) != 1)
		err = identity_error(ERR_NOMEM, "checking a signature");
	else if (EVP_DigestVerify(ctx, signature, SIGNING_BYTES, data, len) != 1)
		err = identity_error(ERR_DENIED, "the signature does not fit");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(public_key);
	return err;
}
