/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity_keys - what our certificates say and how keys lie on disk.
 *
 * The one distinction that carries weight is the extended key usage: the same authority signs the server and every
 * collector, so without it a collector could stand in for the server.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/digest.h"
#include "base/fsio.h"
#include "wire/identity_keys.h"
#include "wire/wire.h"

#define PEM_MAX 16384
#define DAY_S 86400L
#define YEAR_DAYS 365
#define AUTHORITY_YEARS 30 /* outlives every leaf that it signs in its first twenty years */
#define LEAF_YEARS 10      /* the allow-list, not the calendar, says who may connect */

int
identity_error(enum err code, const char *what)
{
	unsigned long reason = ERR_peek_last_error();
	char text[256] = "";

	if (reason)
		ERR_error_string_n(reason, text, sizeof text);
	ERR_clear_error();
	return err_set(code, "%s%s%s", what, *text ? ": " : "", text);
}

/* ---- files ---- */

static int
save_bio(int dir, const char *file, BIO *bio)
{
	char *data;
	long len = BIO_get_mem_data(bio, &data);

	return fsio_replace_file(dir, file, data, (size_t)len, 0600, "identity.file");
}

/* *Gives* a BIO with the file's bytes; they may be a key, so nothing of them stays elsewhere. */
static int
load_bio(int dir, const char *file, BIO **ret_bio)
{
	char *data;
	size_t len;
	bool good;
	int err = fsio_read_file(dir, file, PEM_MAX, &data, &len);

	if (err)
		return err;
	*ret_bio = BIO_new(BIO_s_secmem());
	good = *ret_bio && BIO_write(*ret_bio, data, (int)len) == (int)len;
	OPENSSL_cleanse(data, len);
	free(data);
	if (good)
		return 0;
	BIO_free(*ret_bio);
	return identity_error(ERR_CORRUPT, file);
}

/* ---- keys ---- */

int
key_generate(EVP_PKEY **ret_key)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	if (!key)
		return identity_error(ERR_IO, "making a key");
	*ret_key = key;
	return 0;
}

int
key_save(int dir, const char *file, const EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int err;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		err = save_bio(dir, file, bio);
	else
		err = identity_error(ERR_NOMEM, file);
	BIO_free(bio);
	return err;
}

static int
key_check_mode(int dir, const char *file)
{
	struct stat st;
	int err = fsio_stat(dir, file, &st);

	if (err)
		return err;
	if (!S_ISREG(st.st_mode) || st.st_mode & 077)
		return err_set(ERR_CONFIG, "%s: a private key must be a file that nobody else may read (mode 0600)", file);
	return 0;
}

/* No passphrase is ever asked for: a daemon has nobody to ask. */
static int
no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf, (void)size, (void)rwflag, (void)arg;
	return -1;
}

int
key_load(int dir, const char *file, EVP_PKEY **ret_key)
{
	EVP_PKEY *key;
	BIO *bio;
	int err = key_check_mode(dir, file);

	if (!err)
		err = load_bio(dir, file, &bio);
	if (err)
		return err;
	key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!key)
		return identity_error(ERR_CORRUPT, file);
	*ret_key = key;
	return 0;
}

/* ---- names ---- */

bool
identity_name_valid(const char *name)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	size_t len = strlen(name);

	if (len == 0 || len > IDENTITY_NAME_MAX || !strchr(first, name[0]))
		return false;
	for (size_t i = 1; i < len; i++)
		if (!strchr(first, name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

X509_NAME *
name_make(const char *common_name)
{
	X509_NAME *name = X509_NAME_new();
	const unsigned char *text = (const unsigned char *)common_name;

	if (name && X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, text, -1, -1, 0) != 1) {
		X509_NAME_free(name);
		return NULL;
	}
	return name;
}

bool
name_get(const X509_NAME *subject, char ret_name[IDENTITY_NAME_MAX + 1])
{
	const ASN1_STRING *cn;
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	char name[IDENTITY_NAME_MAX + 1] = "";
	int len;

	if (at < 0 || X509_NAME_entry_count(subject) != 1)
		return false;
	cn = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	len = ASN1_STRING_length(cn);
	if (len <= 0 || len > IDENTITY_NAME_MAX)
		return false;
	memcpy(name, ASN1_STRING_get0_data(cn), (size_t)len);
	/* A NUL inside would make a shorter name of it. */
	if (strlen(name) != (size_t)len || !identity_name_valid(name))
		return false;
	memcpy(ret_name, name, sizeof name);
	return true;
}

bool
name_is(const X509_NAME *subject, const char *name)
{
	char got[IDENTITY_NAME_MAX + 1];

	return name_get(subject, got) && !strcmp(got, name);
}

/* ---- certificates ---- */

static bool
add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool good;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return good;
}

static bool
add_extensions(X509 *cert, X509 *issuer, enum cert_role role)
{
	if (!add_extension(cert, issuer, NID_subject_key_identifier, "hash"))
		return false;
	if (role == CERT_AUTHORITY)
		return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		    add_extension(cert, issuer, NID_key_usage, "critical,keyCertSign");
	return add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(cert, issuer, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always") &&
	    add_extension(cert, issuer, NID_ext_key_usage, role == CERT_SERVER ? "critical,serverAuth" : "critical,clientAuth");
}

static bool
set_serial(X509 *cert)
{
	uint8_t bytes[16];
	BIGNUM *n;
	bool good;

	if (RAND_bytes(bytes, sizeof bytes) != 1)
		return false;
	bytes[0] &= 0x7f;
	n = BN_bin2bn(bytes, sizeof bytes, NULL);
	good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return good;
}

/* Begins a day ago: the clocks of the two hosts need not agree. */
static bool
set_life(X509 *cert, int years)
{
	return X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S) &&
	    X509_time_adj_ex(X509_getm_notAfter(cert), years * YEAR_DAYS, 0, NULL);
}

static bool
set_names(X509 *cert, const char *subject, const X509 *issuer)
{
	X509_NAME *name = name_make(subject);
	bool good = name && X509_set_subject_name(cert, name) == 1 &&
	    X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : name) == 1;

	X509_NAME_free(name);
	return good;
}

int
cert_make(enum cert_role role, const char *name, EVP_PKEY *key, const struct issuer *issuer, X509 **ret_cert)
{
	X509 *cert = X509_new();
	bool good = cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
	    set_names(cert, name, issuer->cert) && set_life(cert, role == CERT_AUTHORITY ? AUTHORITY_YEARS : LEAF_YEARS) && X509_set_pubkey(cert, key) == 1 &&
	    add_extensions(cert, issuer->cert ? issuer->cert : cert, role) &&
	    X509_sign(cert, issuer->key ? issuer->key : key, NULL) > 0;

	if (!good) {
		X509_free(cert);
		return identity_error(ERR_IO, "making a certificate");
	}
	*ret_cert = cert;
	return 0;
}

int
cert_save(int dir, const char *file, X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int err;

	if (bio && PEM_write_bio_X509(bio, cert) == 1)
		err = save_bio(dir, file, bio);
	else
		err = identity_error(ERR_NOMEM, file);
	BIO_free(bio);
	return err;
}

int
cert_load(int dir, const char *file, X509 **ret_cert)
{
	X509 *cert;
	BIO *bio;
	int err = load_bio(dir, file, &bio);

	if (err)
		return err;
	cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!cert)
		return identity_error(ERR_CORRUPT, file);
	*ret_cert = cert;
	return 0;
}

int
cert_to_der(const X509 *cert, uint8_t **ret_der, size_t *ret_len)
{
	int len = i2d_X509(cert, NULL);
	uint8_t *der = len > 0 ? malloc((size_t)len) : NULL, *at = der;

	if (!der || i2d_X509(cert, &at) != len) {
		free(der);
		return identity_error(ERR_NOMEM, "encoding a certificate");
	}
	*ret_der = der;
	*ret_len = (size_t)len;
	return 0;
}

int
cert_from_der(const uint8_t *der, size_t len, X509 **ret_cert)
{
	const uint8_t *at = der;
	X509 *cert = len <= WIRE_CERT_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;

	if (!cert || at != der + len) {
		X509_free(cert);
		return identity_error(ERR_PEER, "what should be a certificate is none");
	}
	*ret_cert = cert;
	return 0;
}

int
cert_pin(const X509 *cert, uint8_t ret_pin[IDENTITY_PIN_BYTES])
{
	uint8_t *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	if (len <= 0)
		return identity_error(ERR_NOMEM, "encoding a public key");
	digest_once(der, (size_t)len, ret_pin);
	OPENSSL_free(der);
	return 0;
}

bool
cert_ends_soon(const X509 *cert)
{
	int days = 0, seconds = 0;

	return ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1 || days < YEAR_DAYS;
}

bool
cert_begins_later(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0;
}
