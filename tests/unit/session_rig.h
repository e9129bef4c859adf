/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session_rig - a scripted collector talks to the whole server over real connections, on one loop; a scripted keeper stands in
 * for the real one: this program again, under the keeper's name.
 */
#ifndef TESTS_SESSION_RIG_H
#define TESTS_SESSION_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "keeper/order.h"
#include "layout.h"
#include "server/config.h"
#include "server/server.h"
#include "server/tenant.h"
#include "tests/lib/scratch.h"
#include "tests/lib/writes.h"
#include "wire/identity.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"
#include "wire/wire_conn_own.h"

#include "disk_rig.h"

/* ---- a disk that does not give bytes, and a lock that is waited for ---- */

static atomic_bool bad_sector, locks_wait, lanes_wait;
static pthread_t loop_thread;

ssize_t
pread(int fd, void *buf, size_t n, off_t offset)
{
	while (atomic_load(&lanes_wait) && !pthread_equal(pthread_self(), loop_thread))
		usleep(1000);
	if (atomic_load(&bad_sector)) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pread64, fd, buf, n, offset);
}

static size_t no_room_for; /* bytes of an element, of which one array finds no memory */

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *
__wrap_calloc(size_t n, size_t size)
{
	if (size != no_room_for || !pthread_equal(pthread_self(), loop_thread))
		return __real_calloc(n, size);
	no_room_for = 0;
	return NULL;
}

int
flock(int fd, int how)
{
	while (atomic_load(&locks_wait))
		usleep(1000);
	return (int)syscall(SYS_flock, fd, how);
}

#define KEEPER_FAILS "TIDEMARK_TEST_KEEPER_FAILS" /* in the environment: a file; while it is there, no sets are told */

/* ---- the keeper's part: what the note of a SEAL asks for ---- */

static inline void
keeper_says(const struct report *report)
{
	struct pack_out o = {0};

	pack_u32(&o, 0);
	report_pack(&o, report);
	struct pack_out head = pack_out_fixed(o.data, 4);
	pack_u32(&head, (uint32_t)(o.len - 4));
	if (write(3, o.data, o.len) != (ssize_t)o.len)
		_exit(1);
	pack_out_fini(&o);
}

static inline void
keeper_seals(const struct order *order)
{
	struct report_set set = {.name = (char *)(uintptr_t)"tuenov24", .profile = order->profile, .started_ns = order->t0_ns,
	    .sealed_ns = strcmp(order->note, "now") == 0 ? clock_wall_ns() : order->t0_ns + 1000, .files = order->total.count, .bytes = order->total.bytes, .note = (char *)(uintptr_t)""};
	char *doubtful = (char *)(uintptr_t)"ofuser/u.db";

	keeper_says(&(struct report){.id = order->id, .kind = REPORT_PROGRESS, .phase = (char *)(uintptr_t)"copy", .done = 1, .total = 2});
	if (strcmp(order->note, "hang") == 0)
		return; /* until STOP */
	if (strcmp(order->note, "die") == 0)
		_exit(7);
	if (strcmp(order->note, "lost") == 0) {
		doubtful = (char *)(uintptr_t)"ofuser/index/a";
		keeper_says(&(struct report){.id = order->id, .kind = REPORT_DONE, .sets = &set, .n_sets = 1, .fresh_done = order->fresh_seal,
		    .doubtful = &doubtful, .n_doubtful = 1});
	} else if (strcmp(order->note, "removals") == 0) {
		char text[32];

		snprintf(text, sizeof text, "up to %llu", (unsigned long long)order->fresh_t0);
		keeper_says(&(struct report){.id = order->id, .kind = REPORT_FAILED, .code = ERR_STOPPED, .text = text});
	} else if (strcmp(order->note, "doubt") == 0)
		keeper_says(&(struct report){.id = order->id, .kind = REPORT_FAILED, .code = ERR_DIFFERS, .text = (char *)(uintptr_t)"differs",
		    .doubtful = &doubtful, .n_doubtful = 1});
	else
		keeper_says(&(struct report){.id = order->id, .kind = REPORT_DONE, .sets = &set, .n_sets = 1, .fresh_done = order->fresh_seal});
}

/* Two pages of a set; of another one there is nothing to tell. */
static inline void
keeper_shows(const struct order *order)
{
	struct report_set set = {.name = (char *)(uintptr_t)"tuenov24", .profile = order->profile, .files = 3};
	bool first = !*order->after;

	if (strcmp(order->set, "latest") != 0 && strcmp(order->set, set.name) != 0) {
		keeper_says(&(struct report){.id = order->id, .kind = REPORT_FAILED, .code = ERR_NOTFOUND, .text = (char *)(uintptr_t)"no such set"});
		return;
	}
	for (int i = first ? 0 : 2; i < (first ? 2 : 3); i++) {
		char path[] = "ofmsg/msg0.db";

		path[9] = (char)('0' + i);
		keeper_says(&(struct report){.id = order->id, .kind = REPORT_ENTRY, .path = path, .entry = {ENTRY_FILE, 0640, 5, 7}});
	}
	keeper_says(&(struct report){.id = order->id, .kind = REPORT_DONE, .sets = &set, .n_sets = 1, .next = (char *)(uintptr_t)(first ? "there" : "")});
}

static inline bool
keeper_reads(void *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(3, (char *)buf + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static inline int
play_keeper(void)
{
	static uint8_t bytes[1 << 16];
	uint8_t head[4];

	while (keeper_reads(head, sizeof head)) {
		struct pack_in in = pack_in(head, sizeof head);
		uint32_t len = unpack_u32(&in);
		struct order order;

		if (len > sizeof bytes || !keeper_reads(bytes, len) || order_unpack(bytes, len, &order) != 0)
			return 1;
		if (order.kind == ORDER_SETS && access(getenv(KEEPER_FAILS), F_OK) == 0)
			keeper_says(&(struct report){.id = order.id, .kind = REPORT_FAILED, .code = ERR_BUSY, .text = (char *)(uintptr_t)"an old keeper has them"});
		else if (order.kind == ORDER_SEAL)
			keeper_seals(&order);
		else if (order.kind == ORDER_SHOW)
			keeper_shows(&order);
		else if (order.kind == ORDER_STOP) {
			keeper_says(&(struct report){.id = order.target, .kind = REPORT_FAILED, .code = ERR_STOPPED, .text = (char *)(uintptr_t)"stopped"});
			keeper_says(&(struct report){.id = order.id, .kind = REPORT_DONE});
		} else
			keeper_says(&(struct report){.id = order.id, .kind = REPORT_DONE});
		order_fini(&order);
	}
	return 0;
}

/* ---- the collector's part ---- */

struct collector {
	struct identity *identity;
	struct wire_conn *conn;
	bool opened, closed;
	int close_err;
	char close_text[256];
	unsigned seen[WIRE_TYPES];

	uint32_t version_max; /* as HELLO says; 0 = all that we know */
	uint8_t newest_verified;
	uint64_t token, generation, received, durable, op;
	struct treemap_sum total;
	char last_set[64];
	uint8_t key_bytes[BLOCK_KEY_BYTES];
	struct block_key key;
	int nak_err, failed_code, goodbye_code;
	char text[256], stop_origin[64], phase[32], page[128], next[64];
	size_t n_items;
	bool present;
	struct hash128 first_block;
	uint8_t *certificate, *authority;
	size_t certificate_len, authority_len;
};

static struct {
	struct scratch scratch;
	char path[64];
	struct event_base *base;
	struct server *server;
	struct collector c;
} w;

static inline void
keep(const struct wire_msg *m, struct collector *c)
{
	switch (m->type) {
	case WIRE_WELCOME:
		c->token = m->u.welcome.token;
		c->generation = m->u.welcome.generation;
		c->total = m->u.welcome.total;
		snprintf(c->last_set, sizeof c->last_set, "%s", m->u.welcome.last_set);
		memcpy(c->key_bytes, m->u.welcome.key, sizeof c->key_bytes);
		block_key_init(&c->key, c->key_bytes);
		break;
	case WIRE_ACK:
		c->received = m->u.ack.received;
		c->durable = m->u.ack.durable;
		break;
	case WIRE_NAK:
		c->nak_err = m->u.nak.code;
		break;
	case WIRE_PROGRESS:
		snprintf(c->phase, sizeof c->phase, "%s", m->u.progress.phase);
		break;
	case WIRE_JOB_FAILED:
		c->failed_code = m->u.job_failed.code;
		snprintf(c->text, sizeof c->text, "%s", m->u.job_failed.text);
		break;
	case WIRE_NEWEST:
		c->newest_verified = m->u.newest.set.verified;
		break;
	case WIRE_SEALED:
		snprintf(c->last_set, sizeof c->last_set, "%s", m->u.sealed.set.name);
		break;
	case WIRE_SUMS:
		c->n_items = m->u.sums.n;
		break;
	case WIRE_LIST:
		c->n_items = m->u.list.n;
		break;
	case WIRE_BLOCKS:
		c->n_items = m->u.blocks.n;
		c->present = m->u.blocks.present;
		if (m->u.blocks.n)
			c->first_block = m->u.blocks.v[0];
		break;
	case WIRE_NAMES:
		snprintf(c->next, sizeof c->next, "%s", m->u.names.next);
		c->page[0] = '\0';
		for (size_t i = 0; i < m->u.names.n; i++)
			snprintf(c->page + strlen(c->page), sizeof c->page - strlen(c->page), "%s ", m->u.names.v[i].path);
		snprintf(c->last_set, sizeof c->last_set, "%s", m->u.names.set.name);
		break;
	case WIRE_REFUSED:
		c->failed_code = m->u.refused.code;
		c->op = m->u.refused.type;
		snprintf(c->text, sizeof c->text, "%s", m->u.refused.text);
		break;
	case WIRE_STOP:
		snprintf(c->stop_origin, sizeof c->stop_origin, "%s", m->u.stop.origin);
		break;
	case WIRE_GOODBYE:
		c->goodbye_code = m->u.goodbye.code;
		break;
	case WIRE_ENROLLED:
		c->certificate_len = m->u.enrolled.certificate.len;
		c->certificate = malloc(c->certificate_len);
		memcpy(c->certificate, m->u.enrolled.certificate.data, c->certificate_len);
		c->authority_len = m->u.enrolled.authority.len;
		c->authority = malloc(c->authority_len);
		memcpy(c->authority, m->u.enrolled.authority.data, c->authority_len);
		break;
	default:
		break;
	}
	c->seen[m->type]++;
}

static inline void
on_opened(struct wire_conn *conn, const char *profile, void *arg)
{
	(void)conn;
	(void)profile;
	((struct collector *)arg)->opened = true;
}

static inline void
on_frame(struct wire_conn *conn, struct wire_frame *frame, void *arg)
{
	struct pack_in payload;
	struct wire_msg m;
	uint8_t *buf = NULL;

	(void)conn;
	if (wire_frame_open(&frame->head, frame->body, &payload, &buf) != 0)
		abort();
	while (wire_unpack(&payload, WIRE_CONTROL, &m) > 0) {
		keep(&m, arg);
		wire_msg_fini(&m);
	}
	free(buf);
	wire_frame_free(frame);
}

static inline void
on_writable(struct wire_conn *conn, void *arg)
{
	(void)conn;
	(void)arg;
}

static inline void
on_closed(struct wire_conn *conn, int err, const char *text, void *arg)
{
	struct collector *c = arg;

	(void)conn;
	c->closed = true;
	c->close_err = err;
	snprintf(c->close_text, sizeof c->close_text, "%s", text ? text : "");
}

static const struct wire_conn_events events = {.opened = on_opened, .frame = on_frame, .writable = on_writable, .closed = on_closed};

static inline const char *
address(void)
{
	struct server_facts facts;

	server_facts(w.server, &facts);
	return facts.listen;
}

static inline void
turn(void)
{
	event_base_loop(w.base, EVLOOP_ONCE);
}

static inline void
dial(struct collector *c)
{
	assert_int_equal(wire_conn_dial(w.base, address(), c->identity, &events, c, &c->conn), 0);
	while (!c->opened && !c->closed)
		turn();
}

static inline void
hang_up(struct collector *c)
{
	wire_conn_free(c->conn);
	c->conn = NULL;
	c->opened = c->closed = false;
}

static inline void
say(struct collector *c, const struct wire_msg *m)
{
	assert_int_equal(wire_conn_send(c->conn, m), 0);
}

/* Waits until one more of this type came. */
static inline void
await(struct collector *c, enum wire_type type, unsigned count)
{
	while (c->seen[type] < count && !c->closed)
		turn();
	if (c->seen[type] < count)
		fail_msg("closed instead of %s: %s", wire_type_name(type), c->close_text);
}

static inline void
await_end(struct collector *c)
{
	while (!c->closed)
		turn();
}

static inline void
hello_of(struct collector *c, enum layout_type type)
{
	struct wire_msg m = {.type = WIRE_HELLO};

	m.u.hello.version_min = WIRE_VERSION_MIN;
	m.u.hello.version_max = c->version_max ? c->version_max : WIRE_VERSION_MAX;
	m.u.hello.layout = type;
	m.u.hello.build = m.u.hello.host = m.u.hello.journal = (char *)(uintptr_t)"test";
	say(c, &m);
}

static inline void
hello(struct collector *c)
{
	hello_of(c, LAYOUT_POST_OFFICE);
}

static inline void
connect_live(struct collector *c)
{
	unsigned before = c->seen[WIRE_WELCOME];

	dial(c);
	hello(c);
	await(c, WIRE_WELCOME, before + 1);
	c->op = c->durable = 0;
}

struct grant {
	bool over;
	int err;
	char *token;
};

static inline void
on_granted(int err, const char *text, const char *token, void *arg)
{
	struct grant *g = arg;

	(void)text;
	*g = (struct grant){true, err, token ? strdup(token) : NULL};
}

/* Files are written in a lane: nothing is known when the call returns. */
static inline char *
make_token(void)
{
	struct grant g = {0};

	assert_int_equal(server_token_create(w.server, "po1", 60, on_granted, &g), 0);
	assert_false(g.over);
	while (!g.over)
		turn();
	assert_int_equal(g.err, 0);
	return g.token;
}

static inline void
enrol(struct collector *c)
{
	struct wire_msg m = {.type = WIRE_ENROL};
	struct identity_request *request;
	struct identity_token token;
	uint8_t exporter[32];
	const uint8_t *csr;
	char *text = make_token(), dir[256];
	size_t len;

	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &c->identity), 0);
	dial(c);
	assert_int_equal(identity_enrol_begin("po1", &request), 0);
	identity_request_csr(request, &csr, &len);
	m.u.enrol.profile = (char *)(uintptr_t)"po1";
	m.u.enrol.csr = (struct wire_bytes){csr, len};
	assert_int_equal(wire_conn_exporter(c->conn, exporter), 0);
	assert_int_equal(identity_proof(token.secret, exporter, csr, len, m.u.enrol.proof), 0);
	say(c, &m);
	await(c, WIRE_ENROLLED, 1);
	scratch_path(&w.scratch, "collector", dir);
	assert_int_equal(identity_enrol_finish(request, dir, c->certificate, c->certificate_len, c->authority, c->authority_len), 0);
	identity_request_free(request);
	free(c->certificate);
	free(c->authority);
	hang_up(c);
	identity_close(c->identity);
	assert_int_equal(identity_open_collector(dir, "po1", &c->identity), 0);
}

static inline uint64_t
put(struct collector *c, const char *path, const char *data)
{
	struct wire_msg m = {.type = WIRE_PUT};

	m.u.put.op = ++c->op;
	m.u.put.path = (char *)(uintptr_t)path;
	m.u.put.entry = (struct entry){.kind = ENTRY_FILE, .mode = 0644, .size = strlen(data), .digest = block_hash(&c->key, data, strlen(data))};
	m.u.put.data = (struct wire_bytes){(const uint8_t *)data, strlen(data)};
	say(c, &m);
	/* What the collector believes grows with it. */
	struct treemap_weight weight = entry_weight(&c->key, path, &m.u.put.entry);
	c->total.count++;
	c->total.bytes += weight.bytes;
	c->total.hash = hash128_add(c->total.hash, weight.hash);
	return c->op;
}

static inline void
settle(struct collector *c)
{
	while (c->durable < c->op && !c->closed)
		turn();
}

static inline void
tell_begin(struct collector *c, uint64_t job)
{
	struct wire_msg m = {.type = WIRE_JOB_BEGIN};

	m.u.job_begin.job = job;
	m.u.job_begin.date = 20261124;
	m.u.job_begin.t0_ns = 1000000;
	say(c, &m);
}

static inline void
begin_job(struct collector *c, uint64_t job)
{
	unsigned before = c->seen[WIRE_PROGRESS];

	tell_begin(c, job);
	await(c, WIRE_PROGRESS, before + 1);
	assert_string_equal(c->phase, "begin");
}

static inline void
seal(struct collector *c, uint64_t job, const char *note)
{
	struct wire_msg m = {.type = WIRE_SEAL};

	m.u.seal.job = job;
	m.u.seal.date = 20261124;
	m.u.seal.t0_ns = 1000000;
	m.u.seal.total = c->total;
	m.u.seal.note = (char *)(uintptr_t)note;
	say(c, &m);
}

/* A job that cannot begin now: T0 cannot be told, or kept.  That may end the session before the failure is told. */
static inline void
fail_to_begin_job(struct collector *c, uint64_t job)
{
	unsigned progress = c->seen[WIRE_PROGRESS], failed = c->seen[WIRE_JOB_FAILED];

	tell_begin(c, job);
	while (c->seen[WIRE_PROGRESS] == progress && c->seen[WIRE_JOB_FAILED] == failed && !c->closed)
		turn();
	assert_int_equal(c->seen[WIRE_PROGRESS], progress);
}

/* ---- the world ---- */

static inline void
wait_for_keeper(void)
{
	struct server_facts facts;

	for (;;) {
		server_facts(w.server, &facts);
		if (facts.keeper_up)
			return;
		turn();
	}
}

static inline void
start_server(void)
{
	char file[256], text[1024];
	struct conf *conf;
	FILE *f;

	scratch_path(&w.scratch, "server.conf", file);
	snprintf(text, sizeof text, "[server]\nlisten = 127.0.0.1:0\nstore = %s/store\nrun-dir = %s\naddress = 127.0.0.1:1\nlog-level = error\n", w.scratch.path, w.scratch.path);
	f = fopen(file, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(server_config_load(file, &conf), 0);
	assert_int_equal(server_new(w.base, conf, file, NULL, &w.server), 0);
	wait_for_keeper();
}

static inline int
setup(void **state)
{
	char keeper[256], fails[256], path[4200], self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	(void)state;
	memset(&w, 0, sizeof w);
	memset(&disk, 0, sizeof disk); /* a test that failed leaves it as it was */
	atomic_store(&bad_sector, false);
	loop_thread = pthread_self();
	scratch_open(&w.scratch);
	if (n <= 0)
		return -1;
	self[n] = '\0';
	scratch_path(&w.scratch, "tidemark-keeper", keeper);
	snprintf(path, sizeof path, "%s:%s", w.scratch.path, getenv("PATH"));
	scratch_path(&w.scratch, "keeper-fails", fails);
	if (symlink(self, keeper) != 0 || setenv("PATH", path, 1) != 0 || setenv(KEEPER_FAILS, fails, 1) != 0)
		return -1;
	alarm(120); /* a hang is a failure of its own */
	w.base = event_base_new();
	start_server();
	enrol(&w.c);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	atomic_store(&locks_wait, false);
	atomic_store(&lanes_wait, false);
	wire_conn_free(w.c.conn);
	server_free(w.server);
	identity_close(w.c.identity);
	event_base_free(w.base);
	scratch_close(&w.scratch);
	return 0;
}

/* What a test's main() does: the scripted keeper's part, when it is started under that name, else the tests. */
#define SESSION_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define SESSION_MAIN(argc, argv, tests)                                                        \
	(is_keeper(argc, argv) ? play_keeper() : (log_set_level(LOG_ERROR), cmocka_run_group_tests(tests, NULL, NULL)))

static inline bool
is_keeper(int argc, char **argv)
{
	const char *name = argc ? strrchr(argv[0], '/') : NULL;

	return argc && strcmp(name ? name + 1 : argv[0], "tidemark-keeper") == 0;
}

#endif
