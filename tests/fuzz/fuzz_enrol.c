/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_enrol - what is read before anybody is believed: an enrolment string, a certificate request whose proof is right,
 * and the certificates that a server answers with.
 */
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/scratch.h"
#include "wire/identity.h"

static struct {
	struct scratch scratch;
	char server_dir[256], collector_dir[256];
	struct identity *server;
	struct identity_request *request;
} w;

static void
leave(void)
{
	identity_request_free(w.request);
	identity_close(w.server);
	scratch_close(&w.scratch);
}

static void
prepare(void)
{
	if (w.server)
		return;
	scratch_open(&w.scratch);
	scratch_path(&w.scratch, "server", w.server_dir);
	scratch_path(&w.scratch, "collector", w.collector_dir);
	MUST(identity_open_server(w.server_dir, &w.server) == 0);
	MUST(identity_enrol_begin("po1", &w.request) == 0);
	atexit(leave);
}

static void
token(const uint8_t *data, size_t len)
{
	struct identity_token token;
	struct pack_in in = pack_in(data, len);
	char *text = fuzz_text(&in);

	if (identity_token_parse(text, &token) == 0)
		MUST(memchr(token.address, '\0', sizeof token.address) && *token.address);
	free(text);
}

/* Only the genuine request is signed. */
static void
request(const uint8_t *data, size_t len)
{
	static const uint8_t exporter[32];
	struct identity_token token;
	uint8_t proof[32], *cert, *authority;
	size_t cert_len, authority_len;
	char *text;

	MUST(identity_token_create(w.server, "po1", "h:1", 1000, 60, &text) == 0);
	MUST(identity_token_parse(text, &token) == 0);
	free(text);
	MUST(identity_proof(token.secret, exporter, data, len, proof) == 0);
	if (identity_enrol_accept(w.server, "po1", 1001, exporter, data, len, proof, &cert, &cert_len, &authority, &authority_len) != 0)
		return;
	free(cert);
	free(authority);
}

/* u16 length of the first certificate. */
static void
answer(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);
	size_t n = unpack_u16(&in), left = len - in.pos;

	n = n > left ? left : n;
	MUST(identity_enrol_finish(w.request, w.collector_dir, data + in.pos, n, data + in.pos + n, left - n) != 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static void (*const what[])(const uint8_t *, size_t) = {token, request, answer};

	prepare();
	if (len)
		what[data[0] % 3](data + 1, len - 1);
	return 0;
}
