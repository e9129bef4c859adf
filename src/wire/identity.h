/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * identity - who is who: keys, certificates, pins, enrolment.  identity*.c and wire_conn_tls.c are the only files that
 * know OpenSSL's TLS.
 *
 * The server is its own authority.  A collector's certificate is one profile: its common name.  Both sides pin: the
 * collector the SHA-256 of the authority's public key, the server the SHA-256 of each enrolled public key (its
 * allow-list; deleting a pin revokes).  Names in messages are never believed.
 *
 * Files: a directory with 0600 files - server: authority.key authority.crt server.key server.crt, pins/<profile>,
 * tokens/<profile>; collector: <profile>.key <profile>.crt authority.crt.  Written through base/fsio.
 *
 * Threads: any.  An open identity does not change; its files are replaced whole.  Tokens and pins of one profile are
 * changed by one thread at a time.
 */
#ifndef WIRE_IDENTITY_H
#define WIRE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTITY_PROTOCOL "tidemark/1" /* ALPN; both sides insist on it */
#define IDENTITY_PIN_BYTES 32
#define IDENTITY_NAME_MAX 32

struct identity; /* our key and certificate, and whom we trust: an SSL_CTX behind it */

/* A daemon's start: what OpenSSL makes once a process is made while a failure can still end it (base/digest.h).  Before any other call. */
int identity_begin(void);

/* A profile's name: a directory and a common name.  [A-Za-z0-9][A-Za-z0-9._-]{0,31} */
bool identity_name_valid(const char *name);

/* Server: makes the directory, authority and server key at the first call, a new server certificate when the old one has
 * less than a year, or is not valid yet.  -ERR_CONFIG when a private key may be read by others, or is missing beside its certificate. */
int identity_open_server(const char *dir, struct identity **ret_id);
/* Collector: -ERR_DENIED when the profile is not enrolled. */
int identity_open_collector(const char *dir, const char *profile, struct identity **ret_id);
/* Collector, for the enrolment connection only: no client certificate, the authority pinned by `pin` (first `pin_len` bytes). */
int identity_open_enrolling(const uint8_t *pin, size_t pin_len, struct identity **ret_id);
void identity_close(struct identity *id); /* NULL is fine */

/* SHA-256 of the authority's public key; not for an identity that is enrolling. */
int identity_authority_pin(const struct identity *id, uint8_t ret_pin[IDENTITY_PIN_BYTES]);

/* Server: allow-list.  Read at every handshake, so that removing the file is enough.  0 allowed; -ERR_DENIED not on the list; anything
 * else: the list cannot be read, so that nobody gets in now and nobody is told that he was revoked. */
int identity_pin_check(const struct identity *id, const char *profile, const uint8_t pin[IDENTITY_PIN_BYTES]);
/* Durably; absent is success.  Connections that are open are the caller's to close. */
int identity_pin_remove(struct identity *id, const char *profile);

/* ---- enrolment ---- */

/* What one string carries: base32 of version, pin (16 bytes), secret (16 bytes), address; with a checksum.  Letters of
 * either case; spaces, line ends and hyphens between them mean nothing. */
struct identity_token {
	char address[256]; /* host:port of the server as collectors reach it */
	uint8_t pin[16];
	uint8_t secret[16];
};

/* Server: makes a token for `profile` valid for `ttl_s` seconds and *gives* its string.  An older token of the profile ends.
 * The secret itself is kept, in tokens/<profile>: a proof that is bound to a session cannot be checked with a hash of it.
 * Who can read that file can read the authority's key beside it. */
int identity_token_create(struct identity *id, const char *profile, const char *address, int64_t now_s, int64_t ttl_s, char **ret_token);
/* Collector: -ERR_USAGE when the string is damaged. */
int identity_token_parse(const char *text, struct identity_token *ret_token);

/* Collector: makes a key (kept in memory until identity_enrol_finish) and a certificate request. */
struct identity_request;
int identity_enrol_begin(const char *profile, struct identity_request **ret_req);
void identity_request_csr(const struct identity_request *req, const uint8_t **ret_der, size_t *ret_len);
/* Writes key, certificate and authority to `dir` (made), durably, the certificate last.  -ERR_PEER when the certificate is
 * not ours, or not signed by that authority. */
int identity_enrol_finish(struct identity_request *req, const char *dir, const uint8_t *cert, size_t cert_len,
    const uint8_t *authority, size_t authority_len);
void identity_request_free(struct identity_request *req); /* NULL is fine */

/* The proof that binds a secret to this TLS session: HMAC-SHA256(secret, exporter || csr). */
int identity_proof(const uint8_t secret[16], const uint8_t exporter[32], const uint8_t *csr, size_t csr_len, uint8_t ret_proof[32]);

/* Server: checks the token of `profile` against the proof, burns it, signs, pins.  -ERR_DENIED: no token, too late, or a
 * wrong proof, the fifth of which burns the token too; -ERR_PEER: the proof is right and the request is not.  *Gives* both. */
int identity_enrol_accept(struct identity *id, const char *profile, int64_t now_s, const uint8_t exporter[32], const uint8_t *csr,
    size_t csr_len, const uint8_t proof[32], uint8_t **ret_cert, size_t *ret_cert_len, uint8_t **ret_authority, size_t *ret_authority_len);

/* The SSL_CTX, for wire_conn_tls.c only. */
struct ssl_ctx_st *identity_ssl_ctx(const struct identity *id);

#endif
