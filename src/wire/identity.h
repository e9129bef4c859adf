/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity - who is who: keys, certificates, pins, enrolment.  With wire_conn.c the only files that know OpenSSL's TLS.
 *
 * The server is its own authority.  A collector's certificate is one profile: its common name.  Both sides pin: the
 * collector the SHA-256 of the authority's public key, the server the SHA-256 of each enrolled public key (its
 * allow-list; deleting a pin revokes).  Names in messages are never believed.
 *
 * Files: a directory with 0600 files - server: authority.key authority.crt server.key server.crt, pins/<profile>; collector:
 * <profile>.key <profile>.crt authority.crt.  Written through base/fsio.
 */
#ifndef WIRE_IDENTITY_H
#define WIRE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTITY_PIN_BYTES 32

struct identity; /* our key and certificate, and whom we trust: an SSL_CTX behind it */

/* Server: makes authority and server key at the first call. */
int identity_open_server(const char *dir, struct identity **ret_id);
/* Collector: -ERR_DENIED when the profile is not enrolled. */
int identity_open_collector(const char *dir, const char *profile, struct identity **ret_id);
/* Collector, for the enrolment connection only: no client certificate, the authority pinned by `pin` (first `pin_len` bytes). */
int identity_open_enrolling(const uint8_t *pin, size_t pin_len, struct identity **ret_id);
void identity_close(struct identity *id);

/* SHA-256 of the authority's public key. */
int identity_authority_pin(const struct identity *id, uint8_t ret_pin[IDENTITY_PIN_BYTES]);

/* Server: allow-list. */
bool identity_pin_allowed(const struct identity *id, const char *profile, const uint8_t pin[IDENTITY_PIN_BYTES]);
int identity_pin_remove(struct identity *id, const char *profile);

/* ---- enrolment ---- */

/* What one string carries: base32 of version, pin (16 bytes), secret (16 bytes), address; with a checksum. */
struct identity_token {
	char address[256]; /* host:port of the server as collectors reach it */
	uint8_t pin[16];
	uint8_t secret[16];
};

/* Server: makes a token for `profile` valid for `ttl_s` seconds (kept, hashed, in the identity's directory) and *gives* its string. */
int identity_token_create(struct identity *id, const char *profile, const char *address, int64_t now_s, int64_t ttl_s, char **ret_token);
/* Collector: -ERR_USAGE when the string is damaged. */
int identity_token_parse(const char *text, struct identity_token *ret_token);

/* Collector: makes a key (kept in memory until identity_enrol_finish) and a certificate request. */
struct identity_request;
int identity_enrol_begin(const char *profile, struct identity_request **ret_req);
void identity_request_csr(const struct identity_request *req, const uint8_t **ret_der, size_t *ret_len);
/* Writes key, certificate and authority to `dir`, durably, the certificate last. */
int identity_enrol_finish(struct identity_request *req, const char *dir, const uint8_t *cert, size_t cert_len,
    const uint8_t *authority, size_t authority_len);
void identity_request_free(struct identity_request *req);

/* The proof that binds a secret to this TLS session: HMAC-SHA256(secret, exporter || csr). */
void identity_proof(const uint8_t secret[16], const uint8_t exporter[32], const uint8_t *csr, size_t csr_len, uint8_t ret_proof[32]);

/* Server: checks the token of `profile` against the proof, burns it, signs, pins.  -ERR_DENIED.  *Gives* both. */
int identity_enrol_accept(struct identity *id, const char *profile, int64_t now_s, const uint8_t exporter[32], const uint8_t *csr,
    size_t csr_len, const uint8_t proof[32], uint8_t **ret_cert, size_t *ret_cert_len, uint8_t **ret_authority, size_t *ret_authority_len);

/* The SSL_CTX, for wire_conn.c only. */
struct ssl_ctx_st *identity_ssl_ctx(const struct identity *id);

#endif
