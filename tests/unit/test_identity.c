/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who gets in: enrolment, and TLS sessions between two ends in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/ssl.h>

#include "base/err.h"
#include "base/fsio.h"
#include "tests/lib/scratch.h"
#include "wire/identity_own.h"
#include "wire/wire_conn_tls.h"

#include "disk_rig.h"

static int no_pin; /* what asking for a key's pin answers, while it is not 0 */

int __real_cert_pin(const X509 *cert, uint8_t ret_pin[IDENTITY_PIN_BYTES]);
int __wrap_cert_pin(const X509 *cert, uint8_t ret_pin[IDENTITY_PIN_BYTES]);
int
__wrap_cert_pin(const X509 *cert, uint8_t ret_pin[IDENTITY_PIN_BYTES])
{
	return no_pin ? no_pin : __real_cert_pin(cert, ret_pin);
}

#define NOW 1771000000
#define TTL 3600

/* A server and room for collectors. */
struct world {
	struct scratch scratch;
	char server_dir[256], collector_dir[256];
	struct identity *server;
};

static int
world_open(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	no_pin = 0; /* a test that failed leaves them as they were */
	disk.unseen = NULL;
	scratch_open(&w->scratch);
	scratch_path(&w->scratch, "server", w->server_dir);
	scratch_path(&w->scratch, "collector", w->collector_dir);
	assert_int_equal(identity_open_server(w->server_dir, &w->server), 0);
	*state = w;
	return 0;
}

static int
world_close(void **state)
{
	struct world *w = *state;

	identity_close(w->server);
	scratch_close(&w->scratch);
	free(w);
	return 0;
}

/* ---- a TLS session in memory ---- */

struct pair {
	struct wire_tls *server, *client;
	int server_err, client_err; /* of the handshake: 1 = done */
};

static void
carry(struct wire_tls *from, struct wire_tls *to)
{
	size_t len, room;
	const uint8_t *bytes = wire_tls_waiting(from, &len);
	uint8_t *at = wire_tls_room(to, len, &room);

	if (room)
		memcpy(at, bytes, room);
	wire_tls_filled(to, room);
	wire_tls_taken(from, room);
}

/* The client is done before the server has seen its certificate: only a byte from the server, or an alert, ends it. */
static void
shake(struct identity *server, struct identity *client, struct pair *p)
{
	uint8_t byte = 7;

	*p = (struct pair){0};
	assert_int_equal(wire_tls_new(server, true, &p->server), 0);
	assert_int_equal(wire_tls_new(client, false, &p->client), 0);
	for (int i = 0; i < 10; i++) {
		if (p->client_err == 0)
			p->client_err = wire_tls_handshake(p->client);
		carry(p->client, p->server);
		if (p->server_err == 0)
			p->server_err = wire_tls_handshake(p->server);
		carry(p->server, p->client);
	}
	if (p->server_err == 1)
		assert_int_equal(wire_tls_write(p->server, &byte, 1), 1);
	carry(p->server, p->client);
	if (p->client_err == 1)
		p->client_err = (int)wire_tls_read(p->client, &byte, 1);
}

static void
pair_close(struct pair *p)
{
	wire_tls_free(p->server);
	wire_tls_free(p->client);
}

static void
assert_handshake(struct identity *server, struct identity *client, int server_err, int client_err)
{
	struct pair p;

	shake(server, client, &p);
	assert_int_equal(p.server_err, server_err);
	assert_int_equal(p.client_err, client_err);
	pair_close(&p);
}

/* ---- enrolment, both sides in one place ---- */

struct enrolment {
	struct identity_token token;
	struct identity_request *req;
	uint8_t exporter[32], proof[32];
	const uint8_t *csr;
	size_t csr_len;
	uint8_t *cert, *authority;
	size_t cert_len, authority_len;
};

static void
enrol_prepare(struct world *w, const char *profile, struct enrolment *e)
{
	struct identity *stranger;
	struct pair p;
	uint8_t theirs[32];
	char *text;

	*e = (struct enrolment){0};
	assert_int_equal(identity_token_create(w->server, profile, "backup.example.org:7460", NOW, TTL, &text), 0);
	assert_int_equal(identity_token_parse(text, &e->token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(e->token.pin, sizeof e->token.pin, &stranger), 0);
	shake(w->server, stranger, &p);
	assert_int_equal(p.server_err, 1);
	assert_int_equal(p.client_err, 1);
	assert_int_equal(wire_tls_exporter(p.client, e->exporter), 0);
	assert_int_equal(wire_tls_exporter(p.server, theirs), 0);
	assert_memory_equal(e->exporter, theirs, 32);
	pair_close(&p);
	identity_close(stranger);
	assert_int_equal(identity_enrol_begin(profile, &e->req), 0);
	identity_request_csr(e->req, &e->csr, &e->csr_len);
	assert_int_equal(identity_proof(e->token.secret, e->exporter, e->csr, e->csr_len, e->proof), 0);
}

static int
enrol_accept(struct world *w, const char *profile, int64_t now, struct enrolment *e)
{
	return identity_enrol_accept(w->server, profile, now, e->exporter, e->csr, e->csr_len, e->proof, &e->cert, &e->cert_len,
	    &e->authority, &e->authority_len);
}

static int
enrol_finish(struct world *w, struct enrolment *e)
{
	return identity_enrol_finish(e->req, w->collector_dir, e->cert, e->cert_len, e->authority, e->authority_len);
}

static void
enrolment_fini(struct enrolment *e)
{
	identity_request_free(e->req);
	free(e->cert);
	free(e->authority);
}

static struct identity *
enrolled(struct world *w, const char *profile)
{
	struct identity *id;
	struct enrolment e;

	enrol_prepare(w, profile, &e);
	assert_int_equal(enrol_accept(w, profile, NOW + 1, &e), 0);
	assert_int_equal(enrol_finish(w, &e), 0);
	enrolment_fini(&e);
	assert_int_equal(identity_open_collector(w->collector_dir, profile, &id), 0);
	return id;
}

/* ---- tests ---- */

static void
an_enrolled_collector_is_its_profile_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1"), *po2 = enrolled(w, "po2");
	uint8_t pin[IDENTITY_PIN_BYTES], authority[IDENTITY_PIN_BYTES], ours[IDENTITY_PIN_BYTES];
	char name[IDENTITY_NAME_MAX + 1];
	struct pair p;

	shake(w->server, po1, &p);
	assert_int_equal(p.server_err, 1);
	assert_int_equal(p.client_err, 1);
	assert_int_equal(wire_tls_peer_name(p.server, name), 0);
	assert_string_equal(name, "po1");
	assert_int_equal(wire_tls_peer_pin(p.server, pin), 0);
	assert_int_equal(identity_pin_check(w->server, "po1", pin), 0);
	assert_int_equal(identity_pin_check(w->server, "po2", pin), -ERR_DENIED);
	assert_int_equal(identity_pin_check(w->server, "../pins/po1", pin), -ERR_DENIED);
	pair_close(&p);
	assert_int_equal(identity_authority_pin(w->server, authority), 0);
	assert_int_equal(identity_authority_pin(po1, ours), 0);
	assert_memory_equal(authority, ours, sizeof ours);
	identity_close(po1);
	identity_close(po2);
}

static void
a_second_start_finds_the_same_authority(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1"), *again;

	assert_int_equal(identity_open_server(w->server_dir, &again), 0);
	assert_handshake(again, po1, 1, 1);
	identity_close(again);
	identity_close(po1);
}

static void
a_session_is_tls_1_3_without_resumption(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1");
	SSL *ssl;

	assert_int_equal(SSL_CTX_get_min_proto_version(identity_ssl_ctx(w->server)), TLS1_3_VERSION);
	assert_int_equal(SSL_CTX_get_num_tickets(identity_ssl_ctx(w->server)), 0);
	assert_int_equal(SSL_CTX_get_max_early_data(identity_ssl_ctx(w->server)), 0);
	ssl = SSL_new(identity_ssl_ctx(po1));
	assert_int_equal(SSL_set_max_proto_version(ssl, TLS1_2_VERSION), 1);
	SSL_free(ssl);
	SSL_CTX_set_min_proto_version(identity_ssl_ctx(po1), TLS1_2_VERSION);
	SSL_CTX_set_max_proto_version(identity_ssl_ctx(po1), TLS1_2_VERSION);
	assert_handshake(w->server, po1, -ERR_PEER, -ERR_PEER);
	identity_close(po1);
}

static void
another_protocol_or_none_is_refused(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1");

	assert_int_equal(SSL_CTX_set_alpn_protos(identity_ssl_ctx(po1), (const uint8_t *)"\x02h2", 3), 0);
	assert_handshake(w->server, po1, -ERR_PEER, -ERR_PEER);
	assert_int_equal(SSL_CTX_set_alpn_protos(identity_ssl_ctx(po1), NULL, 0), 0);
	assert_handshake(w->server, po1, -ERR_PEER, -ERR_PEER);
	identity_close(po1);
}

static void
a_revoked_pin_is_refused(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1"), *po2 = enrolled(w, "po2");

	assert_int_equal(identity_pin_remove(w->server, "po1"), 0);
	assert_int_equal(identity_pin_remove(w->server, "po1"), 0);
	assert_handshake(w->server, po1, -ERR_DENIED, -ERR_DENIED);
	assert_handshake(w->server, po2, 1, 1);
	identity_close(po1);
	identity_close(po2);
}

static void
a_second_enrolment_ends_the_first(void **state)
{
	struct world *w = *state;
	struct identity *first = enrolled(w, "po1"), *second = enrolled(w, "po1");

	assert_handshake(w->server, first, -ERR_DENIED, -ERR_DENIED);
	assert_handshake(w->server, second, 1, 1);
	identity_close(first);
	identity_close(second);
}

static void
a_damaged_allow_list_allows_nobody(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1");
	static const char *const damaged[] = {"", "\n", "00", "zz"};
	int dir = identity_dir_open(w->server_dir);

	for (size_t k = 0; k < sizeof damaged / sizeof *damaged; k++) {
		assert_int_equal(fsio_replace_file(dir, "pins/po1", damaged[k], strlen(damaged[k]), 0600, "test"), 0);
		assert_handshake(w->server, po1, -ERR_DENIED, -ERR_DENIED);
	}
	close(dir);
	identity_close(po1);
}

/* A revoked collector comes back in a minute; one that meets a failing disk, or a server without descriptors, at once. */
static void
a_list_that_cannot_be_read_revokes_nobody_and_lets_nobody_in(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1");
	struct rlimit limit, none;
	int dir = identity_dir_open(w->server_dir);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_handshake(w->server, po1, -ERR_IO, -ERR_UNREACHABLE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_handshake(w->server, po1, 1, 1);

	/* A folder is opened, and its first read fails. */
	assert_int_equal(unlinkat(dir, "pins/po1", 0), 0);
	assert_int_equal(mkdirat(dir, "pins/po1", 0700), 0);
	assert_handshake(w->server, po1, -ERR_IO, -ERR_UNREACHABLE);
	close(dir);
	identity_close(po1);
}

static void
a_key_that_finds_no_memory_is_not_revoked(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1");

	no_pin = -ERR_NOMEM;
	assert_handshake(w->server, po1, -ERR_IO, -ERR_UNREACHABLE);
	no_pin = 0;
	assert_handshake(w->server, po1, 1, 1);
	identity_close(po1);
}

static void
another_authority_is_refused_by_both_sides(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1"), *other;
	char path[256];

	assert_int_equal(identity_open_server(scratch_path(&w->scratch, "other", path), &other), 0);
	assert_handshake(other, po1, -ERR_DENIED, -ERR_DENIED);
	/* A collector of ours that takes anybody for the server, to see the other side's judgement. */
	SSL_CTX_set_verify(identity_ssl_ctx(po1), SSL_VERIFY_NONE, NULL);
	assert_handshake(other, po1, -ERR_DENIED, -ERR_DENIED);
	identity_close(other);
	identity_close(po1);
}

/* Both certificates come from one authority; only what they are for tells them apart. */
static void
a_collector_cannot_play_the_server(void **state)
{
	struct world *w = *state;
	struct identity *po1 = enrolled(w, "po1"), *po2 = enrolled(w, "po2");

	assert_handshake(po1, po2, -ERR_DENIED, -ERR_DENIED);
	identity_close(po1);
	identity_close(po2);
}

static void
a_stranger_gets_no_name_and_sees_the_right_server(void **state)
{
	struct world *w = *state;
	uint8_t pin[IDENTITY_PIN_BYTES];
	char name[IDENTITY_NAME_MAX + 1] = "x";
	struct identity *stranger;
	struct pair p;

	assert_int_equal(identity_authority_pin(w->server, pin), 0);
	assert_int_equal(identity_open_enrolling(pin, 16, &stranger), 0);
	shake(w->server, stranger, &p);
	assert_int_equal(p.server_err, 1);
	assert_int_equal(p.client_err, 1);
	assert_int_equal(wire_tls_peer_name(p.server, name), 0);
	assert_string_equal(name, "");
	assert_int_equal(wire_tls_peer_pin(p.server, pin), -ERR_DENIED);
	pair_close(&p);
	identity_close(stranger);
}

static void
a_stranger_refuses_a_server_without_the_pin(void **state)
{
	struct world *w = *state;
	uint8_t pin[IDENTITY_PIN_BYTES];
	struct identity *stranger, *none;

	assert_int_equal(identity_authority_pin(w->server, pin), 0);
	pin[15] ^= 1;
	assert_int_equal(identity_open_enrolling(pin, 16, &stranger), 0);
	assert_handshake(w->server, stranger, -ERR_DENIED, -ERR_DENIED);
	identity_close(stranger);
	assert_int_equal(identity_open_enrolling(pin, 4, &none), -ERR_USAGE);
}

static void
a_token_works_once(void **state)
{
	struct world *w = *state;
	struct enrolment e;

	enrol_prepare(w, "po1", &e);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), 0);
	free(e.cert);
	free(e.authority);
	e.cert = e.authority = NULL;
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), -ERR_DENIED);
	enrolment_fini(&e);
}

static void
a_token_ends_in_time(void **state)
{
	struct world *w = *state;
	struct enrolment e;

	enrol_prepare(w, "po1", &e);
	assert_int_equal(enrol_accept(w, "po1", NOW + TTL, &e), -ERR_DENIED);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), -ERR_DENIED);
	enrolment_fini(&e);
}

static void
a_token_is_for_one_profile(void **state)
{
	struct world *w = *state;
	struct enrolment e;

	enrol_prepare(w, "po1", &e);
	assert_int_equal(enrol_accept(w, "po2", NOW, &e), -ERR_DENIED);
	assert_int_equal(enrol_accept(w, "../po1", NOW, &e), -ERR_DENIED);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), 0);
	enrolment_fini(&e);
}

static void
four_wrong_proofs_are_forgiven_and_the_fifth_burns_the_token(void **state)
{
	struct world *w = *state;

	for (int tries = 4; tries <= 5; tries++) {
		struct enrolment e;

		enrol_prepare(w, "po1", &e);
		e.proof[0] ^= 1;
		for (int i = 0; i < tries; i++)
			assert_int_equal(enrol_accept(w, "po1", NOW, &e), -ERR_DENIED);
		e.proof[0] ^= 1;
		assert_int_equal(enrol_accept(w, "po1", NOW, &e), tries == 4 ? 0 : -ERR_DENIED);
		enrolment_fini(&e);
	}
}

static void
a_proof_fits_one_session_and_one_request(void **state)
{
	struct world *w = *state;
	struct enrolment e, other;

	enrol_prepare(w, "po1", &e);
	e.exporter[31] ^= 1;
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), -ERR_DENIED);
	e.exporter[31] ^= 1;
	assert_int_equal(identity_enrol_begin("po1", &other.req), 0);
	identity_request_csr(other.req, &e.csr, &e.csr_len);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), -ERR_DENIED);
	identity_request_free(other.req);
	enrolment_fini(&e);
}

static void
a_request_for_another_name_is_refused_and_keeps_the_token(void **state)
{
	struct world *w = *state;
	struct identity_request *other;
	struct enrolment e;
	const uint8_t *own = NULL;
	size_t own_len;

	enrol_prepare(w, "po1", &e);
	own = e.csr;
	own_len = e.csr_len;
	assert_int_equal(identity_enrol_begin("po2", &other), 0);
	identity_request_csr(other, &e.csr, &e.csr_len);
	assert_int_equal(identity_proof(e.token.secret, e.exporter, e.csr, e.csr_len, e.proof), 0);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), -ERR_PEER);
	identity_request_free(other);
	e.csr = own;
	e.csr_len = own_len;
	assert_int_equal(identity_proof(e.token.secret, e.exporter, e.csr, e.csr_len, e.proof), 0);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), 0);
	enrolment_fini(&e);
}

static void
a_damaged_request_is_refused(void **state)
{
	struct world *w = *state;
	struct enrolment e;
	uint8_t csr[1024];

	enrol_prepare(w, "po1", &e);
	for (size_t at = 0; at < e.csr_len; at += 7) {
		memcpy(csr, e.csr, e.csr_len);
		csr[at] ^= 0x55;
		assert_int_equal(identity_proof(e.token.secret, e.exporter, csr, e.csr_len, e.proof), 0);
		assert_int_equal(identity_enrol_accept(w->server, "po1", NOW, e.exporter, csr, e.csr_len, e.proof, &e.cert, &e.cert_len,
			    &e.authority, &e.authority_len),
		    -ERR_PEER);
	}
	enrolment_fini(&e);
}

static void
a_certificate_that_is_not_ours_is_not_kept(void **state)
{
	struct world *w = *state;
	struct identity *none;
	struct enrolment e, other;

	enrol_prepare(w, "po1", &e);
	enrol_prepare(w, "po2", &other);
	assert_int_equal(enrol_accept(w, "po1", NOW, &e), 0);
	assert_int_equal(enrol_accept(w, "po2", NOW, &other), 0);
	assert_int_equal(identity_enrol_finish(e.req, w->collector_dir, other.cert, other.cert_len, e.authority, e.authority_len), -ERR_PEER);
	assert_int_equal(identity_enrol_finish(e.req, w->collector_dir, e.cert, e.cert_len, other.cert, other.cert_len), -ERR_PEER);
	assert_int_equal(identity_enrol_finish(e.req, w->collector_dir, e.cert, e.cert_len - 1, e.authority, e.authority_len), -ERR_PEER);
	assert_int_equal(identity_open_collector(w->collector_dir, "po1", &none), -ERR_DENIED);
	enrolment_fini(&e);
	enrolment_fini(&other);
}

static void
a_damaged_token_is_told_from_a_good_one(void **state)
{
	struct world *w = *state;
	struct identity_token token, spaced;
	char *text, loose[1024], *to = loose;

	assert_int_equal(identity_token_create(w->server, "po1", "[2001:db8::7]:7460", NOW, TTL, &text), 0);
	assert_int_equal(identity_token_parse(text, &token), 0);
	assert_string_equal(token.address, "[2001:db8::7]:7460");
	for (size_t at = 0; text[at]; at++) {
		char was = text[at];

		/* The last letter carries a few bits that are no data. */
		if (text[at + 1]) {
			text[at] = was == 'a' ? 'b' : 'a';
			assert_int_equal(identity_token_parse(text, &spaced), -ERR_USAGE);
		}
		text[at] = '\0';
		assert_int_equal(identity_token_parse(text, &spaced), -ERR_USAGE);
		text[at] = '!';
		assert_int_equal(identity_token_parse(text, &spaced), -ERR_USAGE);
		text[at] = was;
	}
	for (size_t at = 0; text[at]; at++) {
		*to++ = (char)(text[at] >= 'a' ? text[at] - 'a' + 'A' : text[at]);
		if (at % 5 == 4)
			*to++ = at % 2 ? '-' : '\n';
	}
	*to = '\0';
	assert_int_equal(identity_token_parse(loose, &spaced), 0);
	assert_memory_equal(spaced.secret, token.secret, sizeof token.secret);
	free(text);
}

static void
keys_are_private_and_never_replaced_behind_our_back(void **state)
{
	struct world *w = *state;
	struct identity *none;
	struct stat st;
	char path[320];

	snprintf(path, sizeof path, "%s/authority.key", w->server_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(identity_open_server(w->server_dir, &none), -ERR_CONFIG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(identity_open_server(w->server_dir, &none), -ERR_CONFIG);
}

/* A new one, made beside the old certificate, would be taken for the operator's mistake at every later start. */
static void
no_key_is_made_beside_a_certificate_that_cannot_be_looked_at(void **state)
{
	struct world *w = *state;
	struct identity *none;
	struct stat st;
	char path[320];

	snprintf(path, sizeof path, "%s/authority.key", w->server_dir);
	assert_int_equal(unlink(path), 0);
	disk.unseen = "authority.crt";
	assert_int_equal(identity_open_server(w->server_dir, &none), -ERR_IO);
	disk.unseen = NULL;
	assert_int_not_equal(stat(path, &st), 0);
}

/* Made, or renewed, while the clock was far ahead: every collector would refuse it until then. */
static void
a_server_certificate_of_the_future_is_made_anew(void **state)
{
	struct world *w = *state;
	const struct issuer issuer = {w->server->authority, w->server->authority_key};
	struct identity *again, *po1 = enrolled(w, "po1");
	EVP_PKEY *key;
	X509 *cert;

	assert_int_equal(key_load(w->server->dir, "server.key", &key), 0);
	assert_int_equal(cert_make(CERT_SERVER, "tidemark server", key, &issuer, &cert), 0);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), 9 * 365 * 86400));
	assert_true(X509_sign(cert, w->server->authority_key, NULL) > 0);
	assert_int_equal(cert_save(w->server->dir, "server.crt", cert), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	assert_int_equal(identity_open_server(w->server_dir, &again), 0);
	assert_handshake(again, po1, 1, 1);
	identity_close(again);
	identity_close(po1);
}

static void
names_of_profiles_are_plain(void **state)
{
	static const char *const good[] = {"po1", "A", "9", "a.b_c-d", "abcdefghijklmnopqrstuvwxyz012345"};
	static const char *const bad[] = {"", ".", "..", ".a", "-a", "a/b", "a b", "a\n", "\xc3\xa4", "abcdefghijklmnopqrstuvwxyz0123456"};

	(void)state;
	for (size_t k = 0; k < sizeof good / sizeof *good; k++)
		assert_true(identity_name_valid(good[k]));
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		assert_false(identity_name_valid(bad[k]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_enrolled_collector_is_its_profile_and_nothing_else),
		TEST(a_second_start_finds_the_same_authority),
		TEST(a_session_is_tls_1_3_without_resumption),
		TEST(another_protocol_or_none_is_refused),
		TEST(a_revoked_pin_is_refused),
		TEST(a_second_enrolment_ends_the_first),
		TEST(a_damaged_allow_list_allows_nobody),
		TEST(a_list_that_cannot_be_read_revokes_nobody_and_lets_nobody_in),
		TEST(a_key_that_finds_no_memory_is_not_revoked),
		TEST(another_authority_is_refused_by_both_sides),
		TEST(a_collector_cannot_play_the_server),
		TEST(a_stranger_gets_no_name_and_sees_the_right_server),
		TEST(a_stranger_refuses_a_server_without_the_pin),
		TEST(a_token_works_once),
		TEST(a_token_ends_in_time),
		TEST(a_token_is_for_one_profile),
		TEST(four_wrong_proofs_are_forgiven_and_the_fifth_burns_the_token),
		TEST(a_proof_fits_one_session_and_one_request),
		TEST(a_request_for_another_name_is_refused_and_keeps_the_token),
		TEST(a_damaged_request_is_refused),
		TEST(a_certificate_that_is_not_ours_is_not_kept),
		TEST(a_damaged_token_is_told_from_a_good_one),
		TEST(keys_are_private_and_never_replaced_behind_our_back),
		TEST(no_key_is_made_beside_a_certificate_that_cannot_be_looked_at),
		TEST(a_server_certificate_of_the_future_is_made_anew),
		TEST(names_of_profiles_are_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
