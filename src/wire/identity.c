/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity - the rules of every TLS session stand here: version, what is off, and whom each side believes.
 *
 * Nobody is believed for a name in a message or for an address.  The collector believes the one authority that it saw when
 * it enrolled, and of what that signed only a server; the server believes keys in its allow-list, each under one name.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "base/digest.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "wire/identity_own.h"

#define AUTHORITY_KEY "authority.key"
#define SERVER_KEY "server.key"
#define SERVER_CERT "server.crt"
#define CHAIN_MAX 8192 /* bytes of certificates that a stranger may make us read */

/* ---- rules of a session ---- */

/* As ALPN lists them: each after its length. */
static const unsigned char protocols[] = "\x0a" IDENTITY_PROTOCOL;
_Static_assert(sizeof protocols == 1 + 0x0a + 1, "the length of the name stands before it");

/* With a client that offers no ALPN this is not called at all: wire_conn_tls.c asks what was agreed. */
static int
select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
    void *arg)
{
	unsigned char *chosen;

	(void)ssl, (void)arg;
	if (SSL_select_next_proto(&chosen, out_len, protocols, sizeof protocols - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static struct identity *
identity_of(X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* Server: the chain is good; is this key the one that speaks for its name? */
static int
check_client(int good, X509_STORE_CTX *store)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	char name[IDENTITY_NAME_MAX + 1];
	uint8_t pin[IDENTITY_PIN_BYTES];
	int err;

	if (!good || X509_STORE_CTX_get_error_depth(store) != 0)
		return good;
	err = name_get(X509_get_subject_name(cert), name) ? cert_pin(cert, pin) : -ERR_DENIED;
	if (err == 0)
		err = identity_pin_check(identity_of(store), name, pin);
	if (err == 0 || PLANTED(client_pin_not_checked))
		return 1;
	/* The alert says which: "certificate revoked" is believed for a minute, "internal error" is asked again soon. */
	X509_STORE_CTX_set_error(store, err == -ERR_DENIED ? X509_V_ERR_CERT_REVOKED : X509_V_ERR_UNSPECIFIED);
	return 0;
}

/* Collector, enrolling: the authority comes with the handshake; it is the right one when its key fits the pin of the token. */
static int
check_by_pin(X509_STORE_CTX *store, void *arg)
{
	const struct identity *id = arg;
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store), *trusted = sk_X509_new_null();
	uint8_t pin[IDENTITY_PIN_BYTES];
	int good = 0;

	for (int i = 0; trusted && i < sk_X509_num(chain); i++)
		if (cert_pin(sk_X509_value(chain, i), pin) == 0 &&
		    (!CRYPTO_memcmp(pin, id->pin, id->pin_len) || PLANTED(server_pin_not_checked)))
			sk_X509_push(trusted, sk_X509_value(chain, i));
	if (trusted && sk_X509_num(trusted) > 0) {
		X509_STORE_CTX_set0_trusted_stack(store, trusted);
		good = X509_verify_cert(store) == 1;
	} else {
		X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
	}
	sk_X509_free(trusted);
	return good;
}

static bool
set_rules(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_cert_list(ctx, CHAIN_MAX);
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
	return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 && SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	    SSL_CTX_set_max_early_data(ctx, 0) == 1 && SSL_CTX_set_recv_max_early_data(ctx, 0) == 1 &&
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1 &&
	    SSL_CTX_set_alpn_protos(ctx, protocols, sizeof protocols - 1) == 0;
}

int
identity_begin(void)
{
	unsigned char byte;
	int err = digest_begin();
	SSL_CTX *ctx = err ? NULL : SSL_CTX_new(TLS_method());

	if (!err && (!ctx || RAND_bytes(&byte, 1) != 1))
		err = identity_error(ERR_NOMEM, "preparing TLS");
	SSL_CTX_free(ctx);
	return err;
}

/* Asks for a certificate; whether one must come depends on what the connection is for, and wire_conn.c's user decides. */
static int
make_ctx(struct identity *id, int (*check)(int, X509_STORE_CTX *))
{
	id->ctx = SSL_CTX_new(TLS_method());
	if (!id->ctx || !set_rules(id->ctx))
		return identity_error(ERR_NOMEM, "setting up TLS");
	SSL_CTX_set_app_data(id->ctx, id);
	SSL_CTX_set_verify(id->ctx, SSL_VERIFY_PEER, check);
	if (id->authority && X509_STORE_add_cert(SSL_CTX_get_cert_store(id->ctx), id->authority) != 1)
		return identity_error(ERR_NOMEM, "trusting the authority");
	return 0;
}

static int
use_certificate(struct identity *id, X509 *cert, EVP_PKEY *key)
{
	if (SSL_CTX_use_certificate(id->ctx, cert) != 1 || SSL_CTX_use_PrivateKey(id->ctx, key) != 1 ||
	    SSL_CTX_check_private_key(id->ctx) != 1)
		return identity_error(ERR_CONFIG, "certificate and private key do not belong together");
	return 0;
}

/* ---- server ---- */

int
identity_dir_open(const char *path)
{
	char *for_parent = strdup(path), *for_name = strdup(path);
	int parent, dir;

	if (!for_parent || !for_name) {
		dir = err_set(ERR_NOMEM, "%s", path);
		goto out;
	}
	parent = open(dirname(for_parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0) {
		dir = err_sys("%s", path);
		goto out;
	}
	dir = fsio_make_dirs(parent, basename(for_name), true);
	close(parent);
out:
	free(for_parent);
	free(for_name);
	return dir < 0 ? err_prefix(dir, "identity directory %s", path) : dir;
}

static int
make_folder(int dir, const char *name)
{
	int fd = fsio_make_dirs(dir, name, true);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* A certificate is written after its key.  So a certificate without a key was damaged by somebody, and a new key would cut
 * off every collector: that is for an operator to decide.  A key without a certificate is a crash of the first start. */
static int
load_or_make_key(int dir, const char *key_file, const char *cert_file, EVP_PKEY **ret_key)
{
	struct stat st;
	int err = key_load(dir, key_file, ret_key);

	if (err != -ERR_GONE)
		return err;
	err = fsio_stat(dir, cert_file, &st);
	if (err != -ERR_GONE)
		return err ? err : err_set(ERR_CONFIG, "%s is missing beside %s", key_file, cert_file);
	err = key_generate(ret_key);
	if (err)
		return err;
	err = key_save(dir, key_file, *ret_key);
	if (err)
		EVP_PKEY_free(*ret_key);
	return err;
}

static int
make_and_save(int dir, const char *file, enum cert_role role, const char *name, EVP_PKEY *key, const struct issuer *issuer,
    X509 **ret_cert)
{
	int err = cert_make(role, name, key, issuer, ret_cert);

	if (err)
		return err;
	err = cert_save(dir, file, *ret_cert);
	if (err)
		X509_free(*ret_cert);
	return err;
}

static int
open_authority(struct identity *id)
{
	int err = load_or_make_key(id->dir, AUTHORITY_KEY, AUTHORITY_CERT, &id->authority_key);

	if (err)
		return err;
	err = cert_load(id->dir, AUTHORITY_CERT, &id->authority);
	if (err == -ERR_GONE)
		err = make_and_save(id->dir, AUTHORITY_CERT, CERT_AUTHORITY, "tidemark authority", id->authority_key,
		    &(struct issuer){0}, &id->authority);
	if (!err && X509_check_private_key(id->authority, id->authority_key) != 1)
		err = identity_error(ERR_CONFIG, "authority.crt and authority.key do not belong together");
	return err;
}

/* The space in the name keeps it apart from every profile.  One of the future was made under a clock that was ahead, and nobody would
 * believe it until then. */
static int
open_server_cert(struct identity *id, EVP_PKEY *key, X509 **ret_cert)
{
	const struct issuer issuer = {id->authority, id->authority_key};
	X509 *old;
	int err = cert_load(id->dir, SERVER_CERT, &old);

	if (err && err != -ERR_GONE)
		return err;
	if (!err && !cert_ends_soon(old) && !cert_begins_later(old)) {
		*ret_cert = old;
		return 0;
	}
	if (!err)
		X509_free(old);
	return make_and_save(id->dir, SERVER_CERT, CERT_SERVER, "tidemark server", key, &issuer, ret_cert);
}

/* The authority travels in the handshake for those who have only its pin. */
static int
use_server_certificate(struct identity *id)
{
	X509 *cert = NULL;
	EVP_PKEY *key;
	int err = load_or_make_key(id->dir, SERVER_KEY, SERVER_CERT, &key);

	if (err)
		return err;
	err = open_server_cert(id, key, &cert);
	if (!err)
		err = use_certificate(id, cert, key);
	if (!err && SSL_CTX_add1_chain_cert(id->ctx, id->authority) != 1)
		err = identity_error(ERR_NOMEM, "setting up TLS");
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

static int
open_server(struct identity *id, const char *dir)
{
	int err;

	id->dir = identity_dir_open(dir);
	if (id->dir < 0)
		return id->dir;
	err = make_folder(id->dir, PINS_DIR);
	if (!err)
		err = make_folder(id->dir, TOKENS_DIR);
	if (!err)
		err = open_authority(id);
	if (!err)
		err = make_ctx(id, check_client);
	return err ? err : use_server_certificate(id);
}

/* ---- collector ---- */

static int
load_collector(struct identity *id, int dir, const char *profile, X509 **ret_cert, EVP_PKEY **ret_key)
{
	char file[IDENTITY_NAME_MAX + 8];
	int err;

	snprintf(file, sizeof file, "%s.crt", profile);
	err = cert_load(dir, file, ret_cert);
	if (err)
		return err;
	snprintf(file, sizeof file, "%s.key", profile);
	err = key_load(dir, file, ret_key);
	return err ? err : cert_load(dir, AUTHORITY_CERT, &id->authority);
}

static int
open_collector(struct identity *id, const char *dir, const char *profile)
{
	X509 *cert = NULL;
	EVP_PKEY *key = NULL;
	int fd, err;

	if (!identity_name_valid(profile))
		return err_set(ERR_USAGE, "\"%s\" is no name of a profile", profile);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 ? err_sys("%s", dir) : load_collector(id, fd, profile, &cert, &key);
	if (fd >= 0)
		close(fd);
	if (err == -ERR_GONE)
		err = err_set(ERR_DENIED, "profile %s is not enrolled", profile);
	if (!err && !name_is(X509_get_subject_name(cert), profile))
		err = err_set(ERR_CONFIG, "%s.crt is the certificate of another profile", profile);
	if (!err)
		err = make_ctx(id, NULL);
	if (!err)
		err = use_certificate(id, cert, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

static int
open_enrolling(struct identity *id, const uint8_t *pin, size_t pin_len)
{
	int err;

	if (pin_len < TOKEN_PIN_BYTES || pin_len > sizeof id->pin)
		return err_set(ERR_USAGE, "a pin of %zu bytes", pin_len);
	memcpy(id->pin, pin, pin_len);
	id->pin_len = pin_len;
	err = make_ctx(id, NULL);
	if (!err)
		SSL_CTX_set_cert_verify_callback(id->ctx, check_by_pin, id);
	return err;
}

/* ---- open and close ---- */

static struct identity *
identity_new(void)
{
	struct identity *id = calloc(1, sizeof *id);

	if (id)
		id->dir = -1;
	else
		err_set(ERR_NOMEM, "an identity");
	return id;
}

static int
finish_open(struct identity *id, int err, struct identity **ret_id)
{
	if (err)
		identity_close(id);
	else
		*ret_id = id;
	return err;
}

int
identity_open_server(const char *dir, struct identity **ret_id)
{
	struct identity *id = identity_new();

	return id ? finish_open(id, open_server(id, dir), ret_id) : -ERR_NOMEM;
}

int
identity_open_collector(const char *dir, const char *profile, struct identity **ret_id)
{
	struct identity *id = identity_new();

	return id ? finish_open(id, open_collector(id, dir, profile), ret_id) : -ERR_NOMEM;
}

int
identity_open_enrolling(const uint8_t *pin, size_t pin_len, struct identity **ret_id)
{
	struct identity *id = identity_new();

	return id ? finish_open(id, open_enrolling(id, pin, pin_len), ret_id) : -ERR_NOMEM;
}

void
identity_close(struct identity *id)
{
	if (!id)
		return;
	SSL_CTX_free(id->ctx);
	X509_free(id->authority);
	EVP_PKEY_free(id->authority_key);
	if (id->dir >= 0)
		close(id->dir);
	free(id);
}

struct ssl_ctx_st *
identity_ssl_ctx(const struct identity *id)
{
	return id->ctx;
}

int
identity_authority_pin(const struct identity *id, uint8_t ret_pin[IDENTITY_PIN_BYTES])
{
	if (!id->authority)
		return err_set(ERR_USAGE, "the authority is not known yet");
	return cert_pin(id->authority, ret_pin);
}

/* ---- allow-list: one file a profile, the pin as 64 hex digits ---- */

static bool
pin_path(const char *profile, char path[sizeof PINS_DIR + 1 + IDENTITY_NAME_MAX])
{
	if (!identity_name_valid(profile))
		return false;
	snprintf(path, sizeof PINS_DIR + 1 + IDENTITY_NAME_MAX, PINS_DIR "/%s", profile);
	return true;
}

int
identity_pin_put(struct identity *id, const char *profile, const uint8_t pin[IDENTITY_PIN_BYTES])
{
	char path[sizeof PINS_DIR + 1 + IDENTITY_NAME_MAX], hex[DIGEST_HEX + 1];

	if (!pin_path(profile, path))
		return err_set(ERR_USAGE, "\"%s\" is no name of a profile", profile);
	digest_hex(pin, hex);
	memcpy(hex + DIGEST_HEX - 1, "\n", 2);
	return fsio_replace_file(id->dir, path, hex, strlen(hex), 0600, "identity.pin");
}

int
identity_pin_check(const struct identity *id, const char *profile, const uint8_t pin[IDENTITY_PIN_BYTES])
{
	char path[sizeof PINS_DIR + 1 + IDENTITY_NAME_MAX], *hex;
	uint8_t allowed[IDENTITY_PIN_BYTES];
	bool good;
	size_t len;
	int err;

	if (id->dir < 0 || !pin_path(profile, path))
		return err_set(ERR_DENIED, "\"%.32s\" is no name of a profile", profile);
	err = fsio_read_file(id->dir, path, DIGEST_HEX, &hex, &len);
	if (err == -ERR_GONE)
		return err_set(ERR_DENIED, "profile %s is not enrolled", profile);
	if (err)
		return err_prefix(err, "the allow-list cannot be read");
	hex[strcspn(hex, "\n")] = '\0';
	good = digest_from_hex(hex, allowed) == 0 && !CRYPTO_memcmp(allowed, pin, sizeof allowed);
	free(hex);
	return good ? 0 : err_set(ERR_DENIED, "this key does not speak for profile %s", profile);
}

int
identity_pin_remove(struct identity *id, const char *profile)
{
	char path[sizeof PINS_DIR + 1 + IDENTITY_NAME_MAX];
	int pins, err;

	if (!pin_path(profile, path))
		return err_set(ERR_USAGE, "\"%s\" is no name of a profile", profile);
	err = fsio_unlink(id->dir, path);
	if (err)
		return err;
	pins = fsio_open_dir(id->dir, PINS_DIR);
	if (pins < 0)
		return pins;
	err = fsio_sync_dir(pins, "identity.pin_remove");
	close(pins);
	return err;
}
