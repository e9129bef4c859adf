/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_conn_tls - OpenSSL's return codes are turned into ours here, and its alerts into words for an operator.
 *
 * The rings are a BIO pair: fixed in size, so that nothing grows with the peer, and read and filled in place.  Sockets stay
 * out of OpenSSL's hands because its writes raise SIGPIPE and make a system call for every 16 KiB.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "wire/identity_keys.h"
#include "wire/wire_conn_tls.h"

#define EXPORTER_LABEL "EXPORTER-tidemark-enrol"

struct wire_tls {
	SSL *ssl;
	BIO *socket_side; /* the other half of the pair is the session's */
};

int
wire_tls_new(struct identity *id, bool server, struct wire_tls **ret_tls)
{
	struct wire_tls *t = calloc(1, sizeof *t);
	BIO *inner;

	if (!t)
		return err_set(ERR_NOMEM, "a TLS session");
	t->ssl = SSL_new(identity_ssl_ctx(id));
	if (!t->ssl || BIO_new_bio_pair(&inner, WIRE_TLS_RING, &t->socket_side, WIRE_TLS_RING) != 1) {
		wire_tls_free(t);
		return identity_error(ERR_NOMEM, "a TLS session");
	}
	SSL_set_bio(t->ssl, inner, inner);
	SSL_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	*ret_tls = t;
	return 0;
}

void
wire_tls_free(struct wire_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	BIO_free(t->socket_side);
	free(t);
}

/* ---- the rings ---- */

uint8_t *
wire_tls_room(struct wire_tls *t, size_t max, size_t *ret_room)
{
	char *at;
	int n = BIO_nwrite0(t->socket_side, &at);

	*ret_room = n > 0 ? (size_t)n : 0;
	if (*ret_room > max)
		*ret_room = max;
	return (uint8_t *)at;
}

void
wire_tls_filled(struct wire_tls *t, size_t n)
{
	char *at;

	BIO_nwrite(t->socket_side, &at, (int)n);
}

const uint8_t *
wire_tls_waiting(struct wire_tls *t, size_t *ret_len)
{
	char *at;
	int n = BIO_nread0(t->socket_side, &at);

	*ret_len = n > 0 ? (size_t)n : 0;
	return (const uint8_t *)at;
}

void
wire_tls_taken(struct wire_tls *t, size_t n)
{
	char *at;

	BIO_nread(t->socket_side, &at, (int)n);
}

/* ---- errors ---- */

static bool
is_refusal(int reason)
{
	switch (reason) {
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

static int
protocol_error(const struct wire_tls *t)
{
	int reason = ERR_GET_REASON(ERR_peek_error());
	long verdict = SSL_get_verify_result(t->ssl);

	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict == X509_V_ERR_UNSPECIFIED) {
		ERR_clear_error();
		return err_set(ERR_IO, "whether the other side may come in is not known now: %s", err_text());
	}
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		ERR_clear_error();
		return err_set(ERR_DENIED, "the other side's certificate is not accepted: %s",
		    verdict == X509_V_ERR_CERT_REVOKED ? "not enrolled, or revoked" : X509_verify_cert_error_string(verdict));
	}
	if (reason == SSL_R_TLSV1_ALERT_INTERNAL_ERROR)
		return identity_error(ERR_UNREACHABLE, "the other side is in trouble");
	if (is_refusal(reason))
		return identity_error(ERR_DENIED, "the other side does not accept our certificate");
	return identity_error(ERR_PEER, "TLS");
}

/* What a call that did not succeed means: 0 when the rings must be served first. */
static int
result_of(const struct wire_tls *t, int returned)
{
	switch (SSL_get_error(t->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return err_set(ERR_UNREACHABLE, "the other side ended the connection");
	default:
		return protocol_error(t);
	}
}

/* ---- the session ---- */

/* A client that offers no ALPN gets through the handshake without being asked. */
static int
check_protocol(const struct wire_tls *t)
{
	const unsigned char *name;
	unsigned len;

	SSL_get0_alpn_selected(t->ssl, &name, &len);
	if (len != strlen(IDENTITY_PROTOCOL) || memcmp(name, IDENTITY_PROTOCOL, len) != 0)
		return err_set(ERR_PEER, "the other side does not speak " IDENTITY_PROTOCOL);
	return 1;
}

int
wire_tls_handshake(struct wire_tls *t)
{
	int done;

	ERR_clear_error();
	done = SSL_do_handshake(t->ssl);
	return done == 1 ? check_protocol(t) : result_of(t, done);
}

ssize_t
wire_tls_read(struct wire_tls *t, void *buf, size_t len)
{
	size_t n;
	int done;

	ERR_clear_error();
	done = SSL_read_ex(t->ssl, buf, len, &n);
	return done == 1 ? (ssize_t)n : result_of(t, done);
}

ssize_t
wire_tls_write(struct wire_tls *t, const void *buf, size_t len)
{
	size_t n;
	int done;

	ERR_clear_error();
	done = SSL_write_ex(t->ssl, buf, len, &n);
	return done == 1 ? (ssize_t)n : result_of(t, done);
}

void
wire_tls_shutdown(struct wire_tls *t)
{
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

/* ---- who it is ---- */

int
wire_tls_peer_name(const struct wire_tls *t, char ret_name[IDENTITY_NAME_MAX + 1])
{
	const X509 *cert = SSL_get0_peer_certificate(t->ssl);

	if (!cert) {
		ret_name[0] = '\0';
		return 0;
	}
	if (!name_get(X509_get_subject_name(cert), ret_name))
		return err_set(ERR_DENIED, "the certificate names no profile");
	return 0;
}

int
wire_tls_peer_pin(const struct wire_tls *t, uint8_t ret_pin[IDENTITY_PIN_BYTES])
{
	const X509 *cert = SSL_get0_peer_certificate(t->ssl);

	return cert ? cert_pin(cert, ret_pin) : err_set(ERR_DENIED, "the other side has no certificate");
}

int
wire_tls_exporter(struct wire_tls *t, uint8_t ret_exporter[32])
{
	if (SSL_export_keying_material(t->ssl, ret_exporter, 32, EXPORTER_LABEL, strlen(EXPORTER_LABEL), NULL, 0, 0) != 1)
		return identity_error(ERR_PEER, "the session has no exporter yet");
	return 0;
}
