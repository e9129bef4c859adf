/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity_enrol - how a stranger with a token becomes a collector with a certificate.
 *
 * The proof is made with the token's secret over this very TLS session and this very request, so it can neither be replayed
 * nor be used by somebody in the middle.  Crash windows of the server, in order: killed after the token is burned, the
 * administrator makes another; after the pin is written, the collector has no certificate yet and enrols again with another.
 * Never is there a token that can be used twice.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/fsio.h"
#include "base/pack.h"
#include "base/planted.h"
#include "wire/identity_own.h"
#include "wire/wire.h"

#define RECORD_VERSION 1
#define RECORD_BYTES (1 + 8 + 1 + 16)
#define WRONG_MAX 5

struct identity_request {
	char profile[IDENTITY_NAME_MAX + 1];
	EVP_PKEY *key;
	uint8_t *csr;
	size_t csr_len;
};

int
identity_proof(const uint8_t secret[16], const uint8_t exporter[32], const uint8_t *csr, size_t csr_len, uint8_t ret_proof[32])
{
	uint8_t text[32 + WIRE_CERT_MAX];

	if (csr_len > WIRE_CERT_MAX)
		return err_set(ERR_LIMIT, "a certificate request of %zu bytes", csr_len);
	memcpy(text, exporter, 32);
	memcpy(text + 32, csr, csr_len);
	if (!HMAC(EVP_sha256(), secret, 16, text, 32 + csr_len, ret_proof, NULL))
		return identity_error(ERR_NOMEM, "computing a proof");
	return 0;
}

/* ---- collector ---- */

static int
sign_request(struct identity_request *req)
{
	X509_REQ *csr = X509_REQ_new();
	X509_NAME *name = name_make(req->profile);
	uint8_t *der = NULL;
	int len = -1;

	if (csr && name && X509_REQ_set_subject_name(csr, name) == 1 && X509_REQ_set_pubkey(csr, req->key) == 1 &&
	    X509_REQ_sign(csr, req->key, NULL) > 0)
		len = i2d_X509_REQ(csr, &der);
	X509_NAME_free(name);
	X509_REQ_free(csr);
	if (len <= 0)
		return identity_error(ERR_NOMEM, "making a certificate request");
	req->csr = der;
	req->csr_len = (size_t)len;
	return 0;
}

int
identity_enrol_begin(const char *profile, struct identity_request **ret_req)
{
	struct identity_request *req;
	int err;

	if (!identity_name_valid(profile))
		return err_set(ERR_USAGE, "\"%s\" is no name of a profile", profile);
	req = calloc(1, sizeof *req);
	if (!req)
		return err_set(ERR_NOMEM, "a certificate request");
	snprintf(req->profile, sizeof req->profile, "%s", profile);
	err = key_generate(&req->key);
	if (!err)
		err = sign_request(req);
	if (err)
		identity_request_free(req);
	else
		*ret_req = req;
	return err;
}

void
identity_request_csr(const struct identity_request *req, const uint8_t **ret_der, size_t *ret_len)
{
	*ret_der = req->csr;
	*ret_len = req->csr_len;
}

void
identity_request_free(struct identity_request *req)
{
	if (!req)
		return;
	EVP_PKEY_free(req->key);
	OPENSSL_free(req->csr);
	free(req);
}

/* What will be believed at every connection from now on is looked at once, here. */
static int
check_issued(const struct identity_request *req, X509 *cert, X509 *authority)
{
	if (X509_check_ca(authority) != 1 || X509_verify(authority, X509_get0_pubkey(authority)) != 1)
		return identity_error(ERR_PEER, "the server's authority is none");
	if (X509_check_issued(authority, cert) != X509_V_OK || X509_verify(cert, X509_get0_pubkey(authority)) != 1)
		return identity_error(ERR_PEER, "the certificate is not signed by the server's authority");
	if (X509_check_private_key(cert, req->key) != 1 || !name_is(X509_get_subject_name(cert), req->profile) ||
	    X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0) != 1)
		return identity_error(ERR_PEER, "the certificate is not the one that was asked for");
	return 0;
}

/* Killed in between: without the new certificate the profile is not enrolled, or still enrolled with an old certificate
 * that no longer fits its key, which identity_open_collector says. */
static int
save_enrolment(const struct identity_request *req, const char *path, X509 *cert, X509 *authority)
{
	char file[IDENTITY_NAME_MAX + 8];
	int err, dir = identity_dir_open(path);

	if (dir < 0)
		return dir;
	snprintf(file, sizeof file, "%s.key", req->profile);
	err = key_save(dir, file, req->key);
	if (!err)
		err = cert_save(dir, AUTHORITY_CERT, authority);
	snprintf(file, sizeof file, "%s.crt", req->profile);
	if (!err)
		err = cert_save(dir, file, cert);
	close(dir);
	return err;
}

int
identity_enrol_finish(struct identity_request *req, const char *dir, const uint8_t *cert, size_t cert_len,
    const uint8_t *authority, size_t authority_len)
{
	X509 *ours = NULL, *theirs = NULL;
	int err = cert_from_der(cert, cert_len, &ours);

	if (!err)
		err = cert_from_der(authority, authority_len, &theirs);
	if (!err)
		err = check_issued(req, ours, theirs);
	if (!err)
		err = save_enrolment(req, dir, ours, theirs);
	X509_free(ours);
	X509_free(theirs);
	return err;
}

/* ---- server: tokens, one file a profile ---- */

struct record {
	int64_t expires_s;
	uint8_t wrong; /* proofs that did not fit */
	uint8_t secret[16];
};

static int
record_path(const char *profile, char path[sizeof TOKENS_DIR + 1 + IDENTITY_NAME_MAX])
{
	if (!identity_name_valid(profile))
		return err_set(ERR_DENIED, "no name of a profile");
	snprintf(path, sizeof TOKENS_DIR + 1 + IDENTITY_NAME_MAX, TOKENS_DIR "/%s", profile);
	return 0;
}

static int
record_write(struct identity *id, const char *path, const struct record *r)
{
	struct pack_out o = {0};
	int err;

	pack_u8(&o, RECORD_VERSION);
	pack_i64(&o, r->expires_s);
	pack_u8(&o, r->wrong);
	pack_raw(&o, r->secret, sizeof r->secret);
	if (o.failed)
		err = err_set(ERR_NOMEM, "a token");
	else
		err = fsio_replace_file(id->dir, path, o.data, o.len, 0600, "identity.token");
	OPENSSL_cleanse(o.data, o.len);
	pack_out_fini(&o);
	return err;
}

static int
record_read(struct identity *id, const char *path, struct record *ret_record)
{
	struct pack_in i;
	const uint8_t *secret;
	char *data;
	size_t len;
	int err = fsio_read_file(id->dir, path, RECORD_BYTES, &data, &len);

	if (err)
		return err;
	i = pack_in(data, len);
	if (unpack_u8(&i) != RECORD_VERSION)
		i.failed = true;
	ret_record->expires_s = unpack_i64(&i);
	ret_record->wrong = unpack_u8(&i);
	secret = unpack_raw(&i, sizeof ret_record->secret);
	if (unpack_done(&i))
		memcpy(ret_record->secret, secret, sizeof ret_record->secret);
	else
		err = err_set(ERR_CORRUPT, "%s", path);
	OPENSSL_cleanse(data, len);
	free(data);
	return err;
}

static int
record_burn(struct identity *id, const char *path)
{
	int dir, err = fsio_unlink(id->dir, path);

	if (err)
		return err;
	dir = fsio_open_dir(id->dir, TOKENS_DIR);
	if (dir < 0)
		return dir;
	err = fsio_sync_dir(dir, "identity.token_burn");
	close(dir);
	return err;
}

int
identity_token_create(struct identity *id, const char *profile, const char *address, int64_t now_s, int64_t ttl_s,
    char **ret_token)
{
	char path[sizeof TOKENS_DIR + 1 + IDENTITY_NAME_MAX];
	uint8_t pin[IDENTITY_PIN_BYTES];
	struct identity_token token = {0};
	struct record record = {.expires_s = now_s + ttl_s};
	int err;

	if (!identity_name_valid(profile))
		return err_set(ERR_USAGE, "\"%s\" is no name of a profile (letters, digits, . _ -, at most %d)", profile,
		    IDENTITY_NAME_MAX);
	if (strlen(address) >= sizeof token.address || !*address)
		return err_set(ERR_USAGE, "\"%s\" is no address", address);
	err = record_path(profile, path);
	if (!err)
		err = identity_authority_pin(id, pin);
	if (!err && RAND_bytes(record.secret, sizeof record.secret) != 1)
		err = identity_error(ERR_IO, "random bytes");
	if (!err)
		err = record_write(id, path, &record);
	if (err)
		return err;
	snprintf(token.address, sizeof token.address, "%s", address);
	memcpy(token.pin, pin, sizeof token.pin);
	memcpy(token.secret, record.secret, sizeof token.secret);
	err = identity_token_format(&token, ret_token);
	OPENSSL_cleanse(&token, sizeof token);
	OPENSSL_cleanse(&record, sizeof record);
	return err;
}

/* ---- server: acceptance ---- */

/* A wrong proof costs a try, not the token: a passer-by must not be able to undo an administrator's work at once. */
static int
proof_was_wrong(struct identity *id, const char *path, struct record *r)
{
	int err;

	r->wrong++;
	err = r->wrong >= WRONG_MAX ? record_burn(id, path) : record_write(id, path, r);
	return err ? err : err_set(ERR_DENIED, "the proof does not fit the token (try %u of %u)", r->wrong, WRONG_MAX);
}

static int
check_proof(struct identity *id, const char *path, struct record *r, int64_t now_s, const uint8_t exporter[32],
    const uint8_t *csr, size_t csr_len, const uint8_t proof[32])
{
	uint8_t want[32];
	int err = record_read(id, path, r);

	if (err == -ERR_GONE)
		return err_set(ERR_DENIED, "there is no token for this profile, or it was used");
	if (err)
		return err;
	if (now_s >= r->expires_s && !PLANTED(token_without_end)) {
		err = record_burn(id, path);
		return err ? err : err_set(ERR_DENIED, "the token has expired");
	}
	err = identity_proof(r->secret, exporter, csr, csr_len, want);
	if (err)
		return err;
	return CRYPTO_memcmp(want, proof, sizeof want) == 0 || PLANTED(token_not_checked) ? 0 : proof_was_wrong(id, path, r);
}

/* *Gives* the request's key; it proves that it has the private half, and asks for this name only. */
static int
open_request(const uint8_t *der, size_t len, const char *profile, EVP_PKEY **ret_key)
{
	const uint8_t *at = der;
	X509_REQ *csr = len <= WIRE_CERT_MAX ? d2i_X509_REQ(NULL, &at, (long)len) : NULL;
	EVP_PKEY *key = csr ? X509_REQ_get_pubkey(csr) : NULL;
	bool good = key && at == der + len && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 && X509_REQ_verify(csr, key) == 1 &&
	    name_is(X509_REQ_get_subject_name(csr), profile);

	X509_REQ_free(csr);
	if (!good) {
		EVP_PKEY_free(key);
		return identity_error(ERR_PEER, "the certificate request is not one for this profile");
	}
	*ret_key = key;
	return 0;
}

static int
give_both(struct identity *id, X509 *cert, uint8_t **ret_cert, size_t *ret_cert_len, uint8_t **ret_authority,
    size_t *ret_authority_len)
{
	uint8_t *der;
	size_t len;
	int err = cert_to_der(cert, &der, &len);

	if (err)
		return err;
	err = cert_to_der(id->authority, ret_authority, ret_authority_len);
	if (err) {
		free(der);
		return err;
	}
	*ret_cert = der;
	*ret_cert_len = len;
	return 0;
}

int
identity_enrol_accept(struct identity *id, const char *profile, int64_t now_s, const uint8_t exporter[32], const uint8_t *csr,
    size_t csr_len, const uint8_t proof[32], uint8_t **ret_cert, size_t *ret_cert_len, uint8_t **ret_authority,
    size_t *ret_authority_len)
{
	const struct issuer issuer = {id->authority, id->authority_key};
	char path[sizeof TOKENS_DIR + 1 + IDENTITY_NAME_MAX];
	uint8_t pin[IDENTITY_PIN_BYTES];
	struct record record = {0};
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int err = record_path(profile, path);

	if (!err)
		err = check_proof(id, path, &record, now_s, exporter, csr, csr_len, proof);
	OPENSSL_cleanse(&record, sizeof record);
	if (!err)
		err = open_request(csr, csr_len, profile, &key);
	if (!err && !PLANTED(token_not_burned))
		err = record_burn(id, path);
	if (!err)
		err = cert_make(CERT_COLLECTOR, profile, key, &issuer, &cert);
	if (!err)
		err = cert_pin(cert, pin);
	if (!err)
		err = identity_pin_put(id, profile, pin);
	if (!err)
		err = give_both(id, cert, ret_cert, ret_cert_len, ret_authority, ret_authority_len);
	EVP_PKEY_free(key);
	X509_free(cert);
	return err;
}
