/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends of a connection in one process, with real TLS between them; and what a stranger can do to one. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* First, with its statics: an end over one half of a socket pair is made by hand. */
#include "src/wire/wire_conn.c"

#include "base/block.h"
#include "base/clock.h"
#include "tests/lib/frame.h"
#include "tests/lib/scratch.h"

#define LIMIT_S 240 /* of one test; reached only when something hangs */
#define FAR_MS 1000000

static struct {
	struct scratch scratch;
	struct identity *server, *po1, *revoked, *foreign, *foreign_collector, *stranger;
} who;

static struct event_base *base;
static int inside; /* a call of ours runs: no callback may come */

/* ---- identities ---- */

static struct identity *
enrol(struct identity *server, const char *dir, const char *profile)
{
	uint8_t exporter[32] = {0}, proof[32], *cert, *authority;
	size_t csr_len, cert_len, authority_len;
	struct identity_request *req;
	struct identity_token token;
	struct identity *id;
	const uint8_t *csr;
	char *text;

	assert_int_equal(identity_token_create(server, profile, "localhost:1", 0, 1, &text), 0);
	assert_int_equal(identity_token_parse(text, &token), 0);
	assert_int_equal(identity_enrol_begin(profile, &req), 0);
	identity_request_csr(req, &csr, &csr_len);
	assert_int_equal(identity_proof(token.secret, exporter, csr, csr_len, proof), 0);
	assert_int_equal(identity_enrol_accept(server, profile, 0, exporter, csr, csr_len, proof, &cert, &cert_len, &authority, &authority_len), 0);
	assert_int_equal(identity_enrol_finish(req, dir, cert, cert_len, authority, authority_len), 0);
	assert_int_equal(identity_open_collector(dir, profile, &id), 0);
	identity_request_free(req);
	free(cert);
	free(authority);
	free(text);
	return id;
}

static int
identities_open(void **state)
{
	char path[256];
	uint8_t pin[IDENTITY_PIN_BYTES];

	(void)state;
	scratch_open(&who.scratch);
	assert_int_equal(identity_open_server(scratch_path(&who.scratch, "server", path), &who.server), 0);
	assert_int_equal(identity_open_server(scratch_path(&who.scratch, "foreign", path), &who.foreign), 0);
	who.po1 = enrol(who.server, scratch_path(&who.scratch, "collector", path), "po1");
	who.revoked = enrol(who.server, path, "po2");
	assert_int_equal(identity_pin_remove(who.server, "po2"), 0);
	who.foreign_collector = enrol(who.foreign, scratch_path(&who.scratch, "elsewhere", path), "po1");
	assert_int_equal(identity_authority_pin(who.server, pin), 0);
	assert_int_equal(identity_open_enrolling(pin, sizeof pin, &who.stranger), 0);
	return 0;
}

static int
identities_close(void **state)
{
	(void)state;
	identity_close(who.server);
	identity_close(who.po1);
	identity_close(who.revoked);
	identity_close(who.foreign);
	identity_close(who.foreign_collector);
	identity_close(who.stranger);
	scratch_close(&who.scratch);
	return 0;
}

/* ---- ends ---- */

enum when { NEVER, AT_OPENED, AT_FRAME, AT_WRITABLE, AT_CLOSED };

struct end {
	struct wire_conn *conn;
	bool opened, closed;
	char profile[64];
	int err;
	char text[256];
	size_t frames[2];      /* by class */
	uint64_t bytes[2];
	uint64_t sum;          /* over all payload bytes of data frames, in order */
	uint64_t data_before_control;
	unsigned writable;
	enum when free_at;     /* the user frees the connection in this callback */
	uint64_t stop_frames;  /* leave the loop when that many frames came */
};

static void
maybe_free(struct end *e, enum when when)
{
	if (e->free_at != when)
		return;
	wire_conn_free(e->conn);
	e->conn = NULL;
	event_base_loopbreak(base);
}

static void
on_opened(struct wire_conn *c, const char *profile, void *arg)
{
	struct end *e = arg;

	(void)c;
	assert_int_equal(inside, 0);
	e->opened = true;
	snprintf(e->profile, sizeof e->profile, "%s", profile);
	maybe_free(e, AT_OPENED);
	event_base_loopbreak(base);
}

static void
on_frame(struct wire_conn *c, struct wire_frame *f, void *arg)
{
	struct end *e = arg;

	(void)c;
	assert_int_equal(inside, 0);
	if (f->head.class == WIRE_CONTROL && !e->frames[WIRE_CONTROL])
		e->data_before_control = e->bytes[WIRE_DATA];
	e->frames[f->head.class]++;
	e->bytes[f->head.class] += f->head.len;
	if (f->head.class == WIRE_DATA)
		e->sum = block_checksum(e->sum, f->body, f->head.len);
	wire_frame_free(f);
	if (e->stop_frames && e->frames[0] + e->frames[1] >= e->stop_frames)
		event_base_loopbreak(base);
	maybe_free(e, AT_FRAME);
}

static void
on_writable(struct wire_conn *c, void *arg)
{
	struct end *e = arg;

	(void)c;
	assert_int_equal(inside, 0);
	e->writable++;
	maybe_free(e, AT_WRITABLE);
	event_base_loopbreak(base);
}

static void
on_closed(struct wire_conn *c, int err, const char *text, void *arg)
{
	struct end *e = arg;

	(void)c;
	assert_int_equal(inside, 0);
	assert_false(e->closed);
	e->closed = true;
	e->err = err;
	snprintf(e->text, sizeof e->text, "%s", text);
	maybe_free(e, AT_CLOSED);
	event_base_loopbreak(base);
}

static const struct wire_conn_events end_events = {on_opened, on_frame, on_writable, on_closed};

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	fail_msg("the test hangs");
}

static struct event *limit;

static int
base_open(void **state)
{
	const struct timeval t = {.tv_sec = LIMIT_S};

	(void)state;
	/* Far away: a deadline that a test is about is set there, and a slow machine must meet none of the others. */
	wire_conn_timing = (struct wire_conn_timing){FAR_MS, FAR_MS, FAR_MS, FAR_MS, FAR_MS, FAR_MS, FAR_MS};
	inside = 0;
	base = event_base_new();
	limit = event_new(base, -1, 0, on_limit, NULL);
	event_add(limit, &t);
	return 0;
}

static int
base_close(void **state)
{
	(void)state;
	event_free(limit);
	event_base_free(base);
	return 0;
}

/* Turns the loop until the condition holds. */
#define until(condition) \
	while (!(condition)) \
	event_base_loop(base, EVLOOP_ONCE)

/* Our calls, watched. */
#define call(...) \
	do { \
		inside++; \
		__VA_ARGS__; \
		inside--; \
	} while (0)

static void
end_client(struct end *e, struct identity *id, int fd)
{
	e->conn = conn_new(base, id, &end_events, e);
	assert_non_null(e->conn);
	evutil_make_socket_nonblocking(fd);
	e->conn->fd = fd;
	assert_int_equal(start_handshake(e->conn), 0);
}

/* A connected pair of which only the server's half is an end. */
static int
end_against_raw(struct end *server)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	call(assert_int_equal(wire_conn_accept(base, fd[0], who.server, &end_events, server, &server->conn), 0));
	return fd[1];
}

static void
ends_start(struct end *server, struct end *client, struct identity *server_id, struct identity *client_id)
{
	int fd[2];

	*server = *client = (struct end){0};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	call(assert_int_equal(wire_conn_accept(base, fd[0], server_id, &end_events, server, &server->conn), 0));
	call(end_client(client, client_id, fd[1]));
}

static void
ends_open(struct end *server, struct end *client)
{
	ends_start(server, client, who.server, who.po1);
	until(server->opened && client->opened);
}

static void
ends_free(struct end *server, struct end *client)
{
	call(wire_conn_free(server->conn));
	call(wire_conn_free(client->conn));
}

static void
send_control(struct end *e, uint64_t job)
{
	struct wire_msg m = {.type = WIRE_JOB_END};

	m.u.job_end.job = job;
	call(assert_int_equal(wire_conn_send(e->conn, &m), 0));
}

/* A data frame of pseudo-random payload; gives the sum that the receiver will have. */
static uint64_t
send_data(struct end *e, size_t len, uint64_t sum)
{
	static uint64_t random = 88172645463325252u;
	uint8_t *payload = malloc(len), *data;
	size_t total;

	for (size_t i = 0; i < len; i += 8) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		memcpy(payload + i, &random, len - i < 8 ? len - i : 8);
	}
	assert_int_equal(frame_of(WIRE_DATA, payload, len, false, &data, &total), 0);
	sum = block_checksum(sum, payload, len);
	free(payload);
	call(wire_conn_send_frame(e->conn, WIRE_DATA, data, total));
	return sum;
}

/* ---- opening ---- */

static void
both_ends_open_and_share_a_secret(void **state)
{
	struct end server, client;
	uint8_t a[32], b[32], pin[IDENTITY_PIN_BYTES];

	(void)state;
	ends_open(&server, &client);
	assert_string_equal(server.profile, "po1");
	assert_string_equal(client.profile, "");
	assert_int_equal(wire_conn_exporter(server.conn, a), 0);
	assert_int_equal(wire_conn_exporter(client.conn, b), 0);
	assert_memory_equal(a, b, 32);
	assert_int_equal(wire_conn_peer_pin(server.conn, pin), 0);
	assert_int_equal(identity_pin_check(who.server, "po1", pin), 0);
	assert_string_equal(wire_conn_peer(server.conn), "local");
	ends_free(&server, &client);
}

static void
assert_both_denied(struct identity *server_id, struct identity *client_id)
{
	struct end server, client;

	ends_start(&server, &client, server_id, client_id);
	until(server.closed && client.closed);
	assert_false(server.opened);
	assert_int_equal(server.err, -ERR_DENIED);
	assert_int_equal(client.err, -ERR_DENIED);
	ends_free(&server, &client);
}

static void
a_revoked_certificate_gets_nowhere(void **state)
{
	(void)state;
	assert_both_denied(who.server, who.revoked);
}

static void
a_foreign_certificate_gets_nowhere(void **state)
{
	(void)state;
	assert_both_denied(who.server, who.foreign_collector);
	assert_both_denied(who.foreign, who.po1);
}

static void
without_a_certificate_one_is_a_stranger(void **state)
{
	struct end server, client;

	(void)state;
	ends_start(&server, &client, who.server, who.stranger);
	until(server.opened && client.opened);
	assert_string_equal(server.profile, "");
	server.stop_frames = 1;
	send_control(&client, 1);
	until(server.frames[WIRE_CONTROL] == 1);
	ends_free(&server, &client);
}

static void
a_stranger_may_not_send_large_or_packed_frames(void **state)
{
	(void)state;
	for (int packed = 0; packed <= 1; packed++) {
		static const uint8_t zeros[WIRE_ENROL_MAX + 1];
		struct end server, client;
		uint8_t *data;
		size_t len;

		ends_start(&server, &client, who.server, who.stranger);
		until(server.opened && client.opened);
		assert_int_equal(frame_of(WIRE_CONTROL, zeros, WIRE_ENROL_MAX + !packed, packed, &data, &len), 0);
		call(wire_conn_send_frame(client.conn, WIRE_CONTROL, data, len));
		until(server.closed && client.closed);
		assert_int_equal(server.err, -ERR_PEER);
		assert_int_equal(client.err, -ERR_PEER);
		assert_int_equal(server.frames[WIRE_CONTROL], 0);
		ends_free(&server, &client);
	}
}

/* ---- strangers that do not speak TLS, or speak it for ever ---- */

static void
assert_raw_is_closed(struct end *server, int fd, int err)
{
	char waste[4096];

	until(server->closed);
	assert_false(server->opened);
	assert_int_equal(server->err, err);
	while (recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(recv(fd, waste, 1, MSG_DONTWAIT), 0);
	close(fd);
	call(wire_conn_free(server->conn));
}

static void
plain_text_is_closed_at_once(void **state)
{
	static const char plain[] = "GET / HTTP/1.0\r\n\r\n";
	struct end server = {0};
	int fd = end_against_raw(&server);

	(void)state;
	wire_conn_timing.close_ms = 10;
	assert_int_equal(send(fd, plain, sizeof plain - 1, 0), sizeof plain - 1);
	assert_raw_is_closed(&server, fd, -ERR_PEER);
}

static void
a_silent_stranger_is_closed_in_time(void **state)
{
	struct end server = {0};
	int fd;

	(void)state;
	wire_conn_timing.begin_ms = 20;
	wire_conn_timing.close_ms = 10;
	fd = end_against_raw(&server);
	assert_raw_is_closed(&server, fd, -ERR_TIMEOUT);
}

/* A ClientHello that says it is 64 KiB, in records of 4 KiB. */
static void
an_endless_handshake_is_cut(void **state)
{
	uint8_t record[5 + 4096] = {22, 3, 1, 0x10, 0, 1, 1, 0, 0, 3, 3};
	struct end server = {0};
	int fd = end_against_raw(&server);

	(void)state;
	wire_conn_timing.close_ms = 10;
	for (int i = 0; i < 6; i++) {
		if (send(fd, record, sizeof record, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		memset(record + 5, 0, 8);
	}
	until(server.closed);
	assert_int_equal(server.err, -ERR_PEER);
	assert_in_range(server.conn->handshake_bytes, 0, 16384);
	close(fd);
	call(wire_conn_free(server.conn));
}

static void
whoever_opens_and_says_nothing_is_closed_in_time(void **state)
{
	struct end server, client;

	(void)state;
	wire_conn_timing.begin_ms = 400;
	wire_conn_timing.ping_ms = 10;
	ends_open(&server, &client);
	until(server.closed && client.closed);
	assert_int_equal(server.err, -ERR_TIMEOUT);
	assert_int_equal(client.err, -ERR_TIMEOUT);
	ends_free(&server, &client);
}

static void
a_stranger_has_to_be_done_in_time(void **state)
{
	struct end server, client;

	(void)state;
	wire_conn_timing.begin_ms = 400;
	ends_start(&server, &client, who.server, who.stranger);
	until(server.opened && client.opened);
	send_control(&client, 1);
	until(server.closed);
	assert_int_equal(server.err, -ERR_TIMEOUT);
	assert_int_equal(server.frames[WIRE_CONTROL], 1);
	assert_non_null(strstr(server.text, "try again")); /* he did begin, and the server may be what takes so long */
	ends_free(&server, &client);
}

/* ---- bytes ---- */

static void
a_big_transfer_arrives_whole_and_in_order(void **state)
{
	const uint64_t want = 24u << 20;
	struct end server, client;
	uint64_t sum = 0, given = 0;
	size_t len = 1;

	(void)state;
	ends_open(&server, &client);
	while (server.bytes[WIRE_DATA] < want) {
		while (given < want && wire_conn_queued(client.conn) < CONN_LOW_WATER) {
			sum = send_data(&client, len, sum);
			given += len;
			len = given + 2 * len > want ? want - given : (len * 7 + 13) % WIRE_CHUNK_MAX + 1;
			if (len > want - given)
				len = want - given;
		}
		event_base_loop(base, EVLOOP_ONCE);
	}
	assert_int_equal(server.bytes[WIRE_DATA], want);
	assert_true(server.sum == sum);
	assert_int_equal(wire_conn_bytes_sent(client.conn), wire_conn_bytes_received(server.conn));
	assert_int_equal(wire_conn_bytes_received(server.conn), want + server.frames[WIRE_DATA] * WIRE_FRAME_HEAD);
	ends_free(&server, &client);
}

static void
both_directions_at_once_arrive(void **state)
{
	struct end server, client;
	uint64_t a = 0, b = 0;

	(void)state;
	ends_open(&server, &client);
	for (int i = 0; i < 40; i++) {
		a = send_data(&client, WIRE_CHUNK_MAX / 3, a);
		b = send_data(&server, WIRE_CHUNK_MAX / 3, b);
	}
	until(server.frames[WIRE_DATA] == 40 && client.frames[WIRE_DATA] == 40);
	assert_true(server.sum == a && client.sum == b);
	assert_int_equal(server.writable, 1);
	ends_free(&server, &client);
}

static void
control_overtakes_data(void **state)
{
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	call(wire_conn_pause(server.conn, true));
	for (int i = 0; i < 64; i++)
		send_data(&client, WIRE_CHUNK_MAX / 2, 0);
	/* As much as kernel and ring take. */
	for (int i = 0; i < 20; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_true(wire_conn_queued(client.conn) > 12u << 20);
	send_control(&client, 1);
	call(wire_conn_pause(server.conn, false));
	until(server.frames[WIRE_DATA] == 64 && server.frames[WIRE_CONTROL] == 1);
	assert_in_range(server.data_before_control, 0, 2u << 20);
	ends_free(&server, &client);
}

static void
a_paused_end_reads_nothing_and_then_everything(void **state)
{
	struct end server, client;
	uint64_t sum = 0;

	(void)state;
	ends_open(&server, &client);
	sum = send_data(&client, 1000, sum);
	until(server.frames[WIRE_DATA] == 1);
	call(wire_conn_pause(server.conn, true));
	for (int i = 0; i < 32; i++)
		sum = send_data(&client, WIRE_CHUNK_MAX, sum);
	for (int i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	assert_int_equal(server.frames[WIRE_DATA], 1);
	assert_true(wire_conn_queued(client.conn) > 14u << 20);
	assert_int_equal(client.writable, 0);
	call(wire_conn_pause(server.conn, false));
	until(server.frames[WIRE_DATA] == 33);
	until(client.writable);
	assert_true(server.sum == sum);
	ends_free(&server, &client);
}

/* The frames that were in the ring when the receiver paused must not wait for news from the kernel. */
static void
frames_that_came_before_a_pause_come_after_it(void **state)
{
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	for (int i = 0; i < 100; i++)
		send_control(&client, (uint64_t)i);
	for (size_t n = 1; n <= 100; n++) {
		server.stop_frames = n;
		until(server.frames[WIRE_CONTROL] >= n);
		call(wire_conn_pause(server.conn, true));
		event_base_loop(base, EVLOOP_NONBLOCK);
		call(wire_conn_pause(server.conn, false));
	}
	ends_free(&server, &client);
}

static void
a_rate_is_kept_and_loses_nothing(void **state)
{
	const uint64_t rate = 8u << 20;
	struct end server, client;
	uint64_t sum = 0;
	int64_t begun, took_ms;

	(void)state;
	ends_open(&server, &client);
	call(wire_conn_set_rate(client.conn, rate));
	begun = clock_steady_ns();
	for (int i = 0; i < 16; i++)
		sum = send_data(&client, 128 << 10, sum);
	server.stop_frames = 17;
	send_control(&client, 1);
	until(server.frames[WIRE_CONTROL] == 1);
	assert_in_range(server.frames[WIRE_DATA], 0, 4);
	until(server.frames[WIRE_DATA] == 16);
	took_ms = (clock_steady_ns() - begun) / 1000000;
	/* All but the first frame is waited for; the bucket forgives a tenth of a second. */
	assert_true(took_ms >= 15 * 1000 / 64 - 110);
	assert_true(server.sum == sum);
	ends_free(&server, &client);
}

static void
a_frame_above_the_limit_ends_the_connection(void **state)
{
	static const uint8_t heads[][WIRE_FRAME_HEAD] = {
		{1, 0, 0x10, 0, 1, 0, 0, 0, 1, 0, 0x10, 0}, {0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, {0}, {4, 0, 0, 0, 9},
	};

	(void)state;
	for (size_t k = 0; k < sizeof heads / sizeof *heads; k++) {
		struct end server, client;
		uint8_t *forged = malloc(WIRE_FRAME_HEAD);

		ends_open(&server, &client);
		memcpy(forged, heads[k], WIRE_FRAME_HEAD);
		call(wire_conn_send_frame(client.conn, WIRE_DATA, forged, WIRE_FRAME_HEAD));
		until(server.closed && client.closed);
		assert_int_equal(server.err, -ERR_PEER);
		assert_int_equal(client.err, -ERR_PEER);
		assert_string_equal(server.text, client.text);
		ends_free(&server, &client);
	}
}

static void
a_peer_that_never_reads_control_is_given_up(void **state)
{
	struct wire_msg m = {.type = WIRE_JOB_END};
	struct end server, client;
	int err = 0;

	(void)state;
	wire_conn_timing.close_ms = 10;
	ends_open(&server, &client);
	call(wire_conn_pause(client.conn, true));
	for (int i = 0; !err; i++) {
		assert_in_range(i, 0, 1000000);
		call(err = wire_conn_send(server.conn, &m));
	}
	assert_int_equal(err, -ERR_LIMIT);
	until(server.closed);
	assert_int_equal(server.err, -ERR_LIMIT);
	ends_free(&server, &client);
}

/* Answers are frames that were built elsewhere: nobody waits for what is told to read the one before it. */
static void
a_peer_that_never_reads_answers_is_given_up(void **state)
{
	struct wire_msg m = {.type = WIRE_BLOCKS};
	struct hash128 hashes[WIRE_LIST_MAX] = {{0}};
	struct end server, client;
	struct pack_out o;
	size_t held = 0, len;
	uint8_t *frame;

	(void)state;
	wire_conn_timing.close_ms = 10;
	m.u.blocks.path = (char *)(uintptr_t)"ofuser/a.db";
	m.u.blocks.present = true;
	m.u.blocks.size = sizeof hashes / sizeof *hashes * BLOCK_BYTES;
	m.u.blocks.v = hashes;
	m.u.blocks.n = sizeof hashes / sizeof *hashes;
	ends_open(&server, &client);
	call(wire_conn_pause(client.conn, true));
	while (held < 32u << 20 && wire_conn_exporter(server.conn, (uint8_t[32]){0}) == 0) {
		wire_frame_begin(&o, 0);
		wire_pack(&o, &m);
		assert_int_equal(wire_frame_end(&o, WIRE_CONTROL, false, &frame, &len), 0);
		call(wire_conn_send_frame(server.conn, WIRE_CONTROL, frame, len));
		held += len;
	}
	assert_in_range(held, 8u << 20, 9u << 20);
	until(server.closed);
	assert_int_equal(server.err, -ERR_LIMIT);
	ends_free(&server, &client);
}

/* ---- signs of life ---- */

static void
pings_keep_an_idle_connection(void **state)
{
	struct end server, client;

	(void)state;
	wire_conn_timing.ping_ms = 5;
	wire_conn_timing.dead_ms = 5000;
	ends_open(&server, &client);
	until(server.conn->pings >= 20 && client.conn->pings >= 20);
	assert_false(server.closed || client.closed);
	assert_int_equal(server.frames[WIRE_CONTROL] + client.frames[WIRE_CONTROL], 0);
	ends_free(&server, &client);
}

static void
silence_ends_a_connection_but_not_while_we_pause(void **state)
{
	struct end server, client;

	(void)state;
	wire_conn_timing.dead_ms = 200;
	wire_conn_timing.close_ms = 10;
	ends_open(&server, &client);
	call(wire_conn_pause(client.conn, true));
	send_control(&client, 1);
	until(server.closed);
	assert_int_equal(server.err, -ERR_TIMEOUT);
	assert_false(client.closed);
	call(wire_conn_pause(client.conn, false));
	until(client.closed);
	assert_int_equal(client.err, -ERR_TIMEOUT);
	ends_free(&server, &client);
}

static void
a_probe_tells_that_the_peer_has_gone_before_all_it_sent_is_read(void **state)
{
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	assert_true(wire_conn_probe(server.conn));
	call(wire_conn_pause(server.conn, true));
	send_control(&client, 1);
	until(!wire_outbox_bytes(&client.conn->outbox, WIRE_CONTROL));
	wire_conn_free(client.conn);
	client.conn = NULL;
	until(!wire_conn_probe(server.conn));
	assert_false(server.closed);
	assert_int_equal(server.frames[WIRE_CONTROL], 0);
	ends_free(&server, &client);
}

static void
a_probed_connection_ends_soon_unless_the_peer_answers(void **state)
{
	struct end server, client;

	(void)state;
	wire_conn_timing.probe_ms = 200;
	wire_conn_timing.close_ms = 10;
	ends_open(&server, &client);
	assert_true(wire_conn_probe(server.conn));
	until(server.conn->heard_ns > server.conn->doubted_ns);
	call(wire_conn_pause(client.conn, true));
	assert_true(wire_conn_probe(server.conn));
	until(server.closed);
	assert_int_equal(server.err, -ERR_TIMEOUT);
	ends_free(&server, &client);
}

/* ---- the end ---- */

static void
a_close_says_everything_first(void **state)
{
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	for (int i = 0; i < 5000; i++)
		send_control(&client, (uint64_t)i);
	call(wire_conn_close(client.conn, 0, ""));
	until(server.closed && client.closed);
	assert_int_equal(server.frames[WIRE_CONTROL], 5000);
	assert_int_equal(server.err, 0);
	assert_int_equal(client.err, 0);
	ends_free(&server, &client);
}

static void
a_close_gives_its_reason_also_while_data_flows_both_ways(void **state)
{
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	for (int i = 0; i < 12; i++) {
		send_data(&client, WIRE_CHUNK_MAX, 0);
		send_data(&server, WIRE_CHUNK_MAX, 0);
	}
	until(server.frames[WIRE_DATA] && client.frames[WIRE_DATA]);
	call(wire_conn_close(server.conn, -ERR_BUSY, "another collector is active"));
	call(wire_conn_close(server.conn, -ERR_IO, "a second reason"));
	until(server.closed && client.closed);
	assert_int_equal(client.err, -ERR_BUSY);
	assert_string_equal(client.text, "another collector is active");
	assert_int_equal(server.err, -ERR_BUSY);
	ends_free(&server, &client);
}

static void
a_peer_that_vanishes_is_no_orderly_end(void **state)
{
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	send_control(&client, 1);
	until(server.frames[WIRE_CONTROL] == 1);
	call(wire_conn_free(client.conn));
	until(server.closed);
	assert_int_equal(server.err, -ERR_UNREACHABLE);
	call(wire_conn_free(server.conn));
}

/* Cut at every byte of what the client says: never an orderly end, never a crash. */
static void
a_goodbye_cut_short_is_no_goodbye(void **state)
{
	static const uint8_t goodbye[] = {13, 0, 0, 0, 0, 0, 0, 0, 13, 0, 0, 0, WIRE_GOODBYE, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	(void)state;
	for (size_t cut = 1; cut <= sizeof goodbye; cut++) {
		struct end server, client;
		uint8_t *data = malloc(cut);

		ends_open(&server, &client);
		memcpy(data, goodbye, cut);
		call(wire_conn_send_frame(client.conn, WIRE_CONTROL, data, cut));
		until(wire_conn_bytes_sent(client.conn) == cut);
		call(wire_conn_free(client.conn));
		until(server.closed);
		assert_int_equal(server.err, cut == sizeof goodbye ? 0 : -ERR_UNREACHABLE);
		call(wire_conn_free(server.conn));
	}
}

static void
a_closed_connection_takes_no_more_and_says_so(void **state)
{
	struct wire_msg m = {.type = WIRE_JOB_END};
	struct end server, client;

	(void)state;
	ends_open(&server, &client);
	call(wire_conn_close(client.conn, 0, NULL));
	call(assert_int_equal(wire_conn_send(client.conn, &m), -ERR_UNREACHABLE));
	call(wire_conn_send_frame(client.conn, WIRE_DATA, malloc(20), 20));
	until(client.closed);
	call(wire_conn_close(client.conn, 0, NULL));
	call(wire_conn_pause(client.conn, true));
	call(wire_conn_set_rate(client.conn, 5));
	event_base_loop(base, EVLOOP_NONBLOCK);
	ends_free(&server, &client);
}

static void
a_connection_may_be_freed_in_every_callback(void **state)
{
	(void)state;
	for (enum when when = AT_OPENED; when <= AT_CLOSED; when++) {
		struct end server, client;

		ends_start(&server, &client, who.server, who.po1);
		server.free_at = when == AT_WRITABLE ? NEVER : when;
		client.free_at = when == AT_WRITABLE ? when : NEVER;
		if (when != AT_OPENED) {
			until(server.opened && client.opened);
			for (int i = 0; i < 5; i++)
				send_data(&client, WIRE_CHUNK_MAX, 0);
		}
		if (when == AT_CLOSED)
			call(wire_conn_close(server.conn, 0, NULL));
		until(!server.conn || !client.conn);
		ends_free(&server, &client);
	}
}

/* ---- dialling ---- */

struct listener {
	int fd;
	char address[64];
};

static struct listener
listener_open(const char *host)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct listener l;
	socklen_t len = sizeof a;

	l.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l.fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(l.fd, 5), 0);
	assert_int_equal(getsockname(l.fd, (struct sockaddr *)&a, &len), 0);
	snprintf(l.address, sizeof l.address, "%s:%u", host, ntohs(a.sin_port));
	return l;
}

/* By number, and by a name that the hosts file knows. */
static void
a_dialled_connection_opens(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost"};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct end server = {0}, client = {0};
		struct listener l = listener_open(hosts[k]);

		call(assert_int_equal(wire_conn_dial(base, l.address, who.po1, &end_events, &client, &client.conn), 0));
		assert_string_equal(wire_conn_peer(client.conn), l.address);
		until(client.conn->state == HANDSHAKE);
		call(assert_int_equal(wire_conn_accept(base, accept(l.fd, NULL, NULL), who.server, &end_events, &server, &server.conn), 0));
		until(server.opened && client.opened);
		assert_memory_equal(wire_conn_peer(server.conn), "127.0.0.1:", 10);
		ends_free(&server, &client);
		close(l.fd);
	}
}

static void
nobody_there_is_unreachable(void **state)
{
	struct end client = {0};
	struct listener l = listener_open("127.0.0.1");

	(void)state;
	close(l.fd);
	call(assert_int_equal(wire_conn_dial(base, l.address, who.po1, &end_events, &client, &client.conn), 0));
	until(client.closed);
	assert_int_equal(client.err, -ERR_UNREACHABLE);
	call(wire_conn_free(client.conn));
}

/* The listener's queue accepts for the kernel, and nobody for us. */
static void
a_server_that_does_not_answer_is_given_up(void **state)
{
	struct end client = {0};
	struct listener l = listener_open("127.0.0.1");

	(void)state;
	wire_conn_timing.begin_ms = 20;
	wire_conn_timing.close_ms = 10;
	call(assert_int_equal(wire_conn_dial(base, l.address, who.po1, &end_events, &client, &client.conn), 0));
	until(client.closed);
	assert_int_equal(client.err, -ERR_TIMEOUT);
	call(wire_conn_free(client.conn));
	close(l.fd);
}

static void
a_dial_can_be_closed_or_freed_at_once(void **state)
{
	struct end client = {0};

	(void)state;
	call(assert_int_equal(wire_conn_dial(base, "127.0.0.1:9", who.po1, &end_events, &client, &client.conn), 0));
	call(wire_conn_close(client.conn, -ERR_STOPPED, "never mind"));
	until(client.closed);
	assert_int_equal(client.err, -ERR_STOPPED);
	call(wire_conn_free(client.conn));
	call(assert_int_equal(wire_conn_dial(base, "localhost:9", who.po1, &end_events, &client, &client.conn), 0));
	call(wire_conn_free(client.conn));
}

static void
addresses_are_host_and_port(void **state)
{
	static const char *const bad[] = {"", "host", ":1", "host:", "host:x", "host:0", "host:65536", "a:b:1", "[::1]", "[]:1", "[::1:5", "host:1x"};
	char host[64], port[64];

	(void)state;
	assert_true(wire_dial_split("backup.example.org:7460", sizeof host, host, port));
	assert_string_equal(host, "backup.example.org");
	assert_string_equal(port, "7460");
	assert_true(wire_dial_split("[2001:db8::7]:65535", sizeof host, host, port));
	assert_string_equal(host, "2001:db8::7");
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		assert_false(wire_dial_split(bad[k], sizeof host, host, port));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, base_open, base_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_ends_open_and_share_a_secret),
		TEST(a_revoked_certificate_gets_nowhere),
		TEST(a_foreign_certificate_gets_nowhere),
		TEST(without_a_certificate_one_is_a_stranger),
		TEST(a_stranger_may_not_send_large_or_packed_frames),
		TEST(plain_text_is_closed_at_once),
		TEST(a_silent_stranger_is_closed_in_time),
		TEST(an_endless_handshake_is_cut),
		TEST(whoever_opens_and_says_nothing_is_closed_in_time),
		TEST(a_stranger_has_to_be_done_in_time),
		TEST(a_big_transfer_arrives_whole_and_in_order),
		TEST(both_directions_at_once_arrive),
		TEST(control_overtakes_data),
		TEST(a_paused_end_reads_nothing_and_then_everything),
		TEST(frames_that_came_before_a_pause_come_after_it),
		TEST(a_rate_is_kept_and_loses_nothing),
		TEST(a_frame_above_the_limit_ends_the_connection),
		TEST(a_peer_that_never_reads_control_is_given_up),
		TEST(a_peer_that_never_reads_answers_is_given_up),
		TEST(pings_keep_an_idle_connection),
		TEST(silence_ends_a_connection_but_not_while_we_pause),
		TEST(a_probe_tells_that_the_peer_has_gone_before_all_it_sent_is_read),
		TEST(a_probed_connection_ends_soon_unless_the_peer_answers),
		TEST(a_close_says_everything_first),
		TEST(a_close_gives_its_reason_also_while_data_flows_both_ways),
		TEST(a_peer_that_vanishes_is_no_orderly_end),
		TEST(a_goodbye_cut_short_is_no_goodbye),
		TEST(a_closed_connection_takes_no_more_and_says_so),
		TEST(a_connection_may_be_freed_in_every_callback),
		TEST(a_dialled_connection_opens),
		TEST(nobody_there_is_unreachable),
		TEST(a_server_that_does_not_answer_is_given_up),
		TEST(a_dial_can_be_closed_or_freed_at_once),
		TEST(addresses_are_host_and_port),
	};

	return cmocka_run_group_tests(tests, identities_open, identities_close);
}
