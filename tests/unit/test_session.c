/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session - a scripted collector talks to the whole server over real connections, on one loop; a scripted keeper stands in
 * for the real one: this program again, under the keeper's name.
 */
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

static void
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

static void
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
static void
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

static bool
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

static int
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

static void
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

static void
on_opened(struct wire_conn *conn, const char *profile, void *arg)
{
	(void)conn;
	(void)profile;
	((struct collector *)arg)->opened = true;
}

static void
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

static void
on_writable(struct wire_conn *conn, void *arg)
{
	(void)conn;
	(void)arg;
}

static void
on_closed(struct wire_conn *conn, int err, const char *text, void *arg)
{
	struct collector *c = arg;

	(void)conn;
	c->closed = true;
	c->close_err = err;
	snprintf(c->close_text, sizeof c->close_text, "%s", text ? text : "");
}

static const struct wire_conn_events events = {.opened = on_opened, .frame = on_frame, .writable = on_writable, .closed = on_closed};

static const char *
address(void)
{
	struct server_facts facts;

	server_facts(w.server, &facts);
	return facts.listen;
}

static void
turn(void)
{
	event_base_loop(w.base, EVLOOP_ONCE);
}

static void
dial(struct collector *c)
{
	assert_int_equal(wire_conn_dial(w.base, address(), c->identity, &events, c, &c->conn), 0);
	while (!c->opened && !c->closed)
		turn();
}

static void
hang_up(struct collector *c)
{
	wire_conn_free(c->conn);
	c->conn = NULL;
	c->opened = c->closed = false;
}

static void
say(struct collector *c, const struct wire_msg *m)
{
	assert_int_equal(wire_conn_send(c->conn, m), 0);
}

/* Waits until one more of this type came. */
static void
await(struct collector *c, enum wire_type type, unsigned count)
{
	while (c->seen[type] < count && !c->closed)
		turn();
	if (c->seen[type] < count)
		fail_msg("closed instead of %s: %s", wire_type_name(type), c->close_text);
}

static void
await_end(struct collector *c)
{
	while (!c->closed)
		turn();
}

static void
hello_of(struct collector *c, enum layout_type type)
{
	struct wire_msg m = {.type = WIRE_HELLO};

	m.u.hello.version_min = WIRE_VERSION_MIN;
	m.u.hello.version_max = c->version_max ? c->version_max : WIRE_VERSION_MAX;
	m.u.hello.layout = type;
	m.u.hello.build = m.u.hello.host = m.u.hello.journal = (char *)(uintptr_t)"test";
	say(c, &m);
}

static void
hello(struct collector *c)
{
	hello_of(c, LAYOUT_POST_OFFICE);
}

static void
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

static void
on_granted(int err, const char *text, const char *token, void *arg)
{
	struct grant *g = arg;

	(void)text;
	*g = (struct grant){true, err, token ? strdup(token) : NULL};
}

/* Files are written in a lane: nothing is known when the call returns. */
static char *
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

static void
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

static uint64_t
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

static void
settle(struct collector *c)
{
	while (c->durable < c->op && !c->closed)
		turn();
}

static void
tell_begin(struct collector *c, uint64_t job)
{
	struct wire_msg m = {.type = WIRE_JOB_BEGIN};

	m.u.job_begin.job = job;
	m.u.job_begin.date = 20261124;
	m.u.job_begin.t0_ns = 1000000;
	say(c, &m);
}

static void
begin_job(struct collector *c, uint64_t job)
{
	unsigned before = c->seen[WIRE_PROGRESS];

	tell_begin(c, job);
	await(c, WIRE_PROGRESS, before + 1);
	assert_string_equal(c->phase, "begin");
}

static void
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
static void
fail_to_begin_job(struct collector *c, uint64_t job)
{
	unsigned progress = c->seen[WIRE_PROGRESS], failed = c->seen[WIRE_JOB_FAILED];

	tell_begin(c, job);
	while (c->seen[WIRE_PROGRESS] == progress && c->seen[WIRE_JOB_FAILED] == failed && !c->closed)
		turn();
	assert_int_equal(c->seen[WIRE_PROGRESS], progress);
}

/* ---- the world ---- */

static void
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

static void
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

static int
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

static int
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

/* ---- what is promised ---- */

static void
a_token_enrols_and_each_session_has_a_higher_number(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	assert_int_equal(w.c.token, 1);
	assert_true(server_status(w.server, 0, &st));
	assert_string_equal(st.name, "po1");
	assert_string_equal(st.type, "post-office");
	assert_true(st.enrolled && st.connected);
	hang_up(&w.c);
	connect_live(&w.c);
	assert_int_equal(w.c.token, 2);
}

static void
a_second_collector_is_sent_away_while_the_first_lives(void **state)
{
	struct collector second = {.identity = w.c.identity};

	(void)state;
	connect_live(&w.c);
	dial(&second);
	hello(&second);
	while (!second.closed && !second.seen[WIRE_WELCOME])
		turn();
	assert_int_equal(second.seen[WIRE_WELCOME], 0);
	put(&w.c, "offiles/fd1/a", "still here");
	settle(&w.c);
	assert_int_equal(w.c.durable, 1);
	hang_up(&second);
}

/* As the kernel does for the killed, who leave something unread: a reset, which overtakes what the server has no room for. */
static void
drop_dead(struct collector *c)
{
	struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(c->conn->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
	hang_up(c);
}

/* What a killed collector sent is more than the server keeps in memory, so it stops reading, and does not see the end. */
static void
a_killed_collector_does_not_wait_for_its_own_ghost(void **state)
{
	char *data = malloc(WIRE_WHOLE_MAX), path[64];

	(void)state;
	assert_non_null(data);
	memset(data, 'x', WIRE_WHOLE_MAX);
	data[WIRE_WHOLE_MAX - 1] = '\0';
	connect_live(&w.c);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(path, sizeof path, "offiles/fd1/b%u", i);
		put(&w.c, path, data);
	}
	while (wire_conn_queued(w.c.conn) > 50u << 20)
		turn();
	drop_dead(&w.c);
	connect_live(&w.c);
	assert_int_equal(w.c.token, 2);
	put(&w.c, "offiles/fd1/a", "here again");
	settle(&w.c);
	assert_int_equal(w.c.durable, 1);
	free(data);
}

static void
what_is_durable_can_be_asked_for(void **state)
{
	struct wire_msg m = {.type = WIRE_SUMS_REQ};

	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd1/a", "one");
	put(&w.c, "offiles/fd1/b", "two");
	put(&w.c, "ofuser/u.db", "three");
	settle(&w.c);
	m.u.sums_req.after = (char *)(uintptr_t)"";
	say(&w.c, &m);
	await(&w.c, WIRE_SUMS, 1);
	assert_int_equal(w.c.n_items, 2);
	m = (struct wire_msg){.type = WIRE_LIST_REQ};
	m.u.list_req.dir = (char *)(uintptr_t)"offiles/fd1";
	m.u.list_req.after = (char *)(uintptr_t)"a";
	say(&w.c, &m);
	await(&w.c, WIRE_LIST, 1);
	assert_int_equal(w.c.n_items, 1);
	m = (struct wire_msg){.type = WIRE_BLOCKS_REQ};
	m.u.blocks_req.path = (char *)(uintptr_t)"ofuser/u.db";
	m.u.blocks_req.count = 10;
	say(&w.c, &m);
	await(&w.c, WIRE_BLOCKS, 1);
	assert_int_equal(w.c.n_items, 1);
	assert_true(hash128_equal(w.c.first_block, block_hash(&w.c.key, "three", 5)));
	m.u.blocks_req.path = (char *)(uintptr_t)"../../etc";
	(void)wire_conn_send(w.c.conn, &m); /* refused here or there */
}

static void
a_message_in_the_wrong_state_ends_the_session(void **state)
{
	(void)state;
	dial(&w.c);
	seal(&w.c, 1, "");
	await_end(&w.c);
	hang_up(&w.c);
	dial(&w.c);
	put(&w.c, "offiles/fd1/a", "too early");
	await_end(&w.c);
	hang_up(&w.c);
	connect_live(&w.c);
	hello(&w.c);
	await_end(&w.c);
	assert_int_not_equal(w.c.close_err, 0);
}

static void
only_a_poke_seals_and_only_what_both_hold(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	seal(&w.c, 5, ""); /* never begun */
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_STOPPED);
	begin_job(&w.c, 5);
	put(&w.c, "offiles/fd1/a", "one");
	settle(&w.c);
	w.c.total.bytes++;
	seal(&w.c, 5, "");
	while (w.c.seen[WIRE_JOB_FAILED] < 2 && !w.c.seen[WIRE_SEALED])
		turn();
	assert_int_equal(w.c.seen[WIRE_SEALED], 0);
	assert_int_equal(w.c.failed_code, ERR_DIFFERS);
	w.c.total.bytes--;
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
	assert_string_equal(w.c.last_set, "tuenov24");
	assert_true(server_status(w.server, 0, &st));
	assert_string_equal(st.last_set, "tuenov24");
	assert_null(st.job);
	assert_int_equal(st.last_job->result, JOB_GOOD);
	/* Staging is free again. */
	w.c.nak_err = 0;
	put(&w.c, "ofuser/u.db", "later");
	settle(&w.c);
	assert_int_equal(w.c.nak_err, 0);
}

static void
refuses_to_seal(struct collector *c, int code)
{
	unsigned before = c->seen[WIRE_JOB_FAILED];

	while (c->seen[WIRE_JOB_FAILED] == before && !c->seen[WIRE_SEALED])
		turn();
	assert_int_equal(c->seen[WIRE_SEALED], 0);
	assert_int_equal(c->failed_code, code);
}

static void
only_the_job_that_was_begun_is_sealed(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	seal(&w.c, 4, "");
	refuses_to_seal(&w.c, ERR_BUSY);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
}

static void
a_job_whose_t0_could_not_be_kept_has_not_begun_and_begins_when_it_is_told_again(void **state)
{
	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd0/a", "a blob");
	settle(&w.c);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "");
	writes_errno = ENOSPC; /* the seal needs nothing written here; what the index forgets after it is its last write */
	writes_heads_only = true;
	await(&w.c, WIRE_SEALED, 1);
	fail_to_begin_job(&w.c, 9);
	writes_errno = 0;
	hang_up(&w.c);
	connect_live(&w.c);
	begin_job(&w.c, 9);
	seal(&w.c, 9, "removals");
	await(&w.c, WIRE_JOB_FAILED, w.c.seen[WIRE_JOB_FAILED] + 1);
	assert_string_equal(w.c.text, "up to 1"); /* what was removed before T0 is not in the set */
}

static void
an_index_file_that_was_lost_loses_its_row_and_both_sides_are_compared(void **state)
{
	(void)state;
	connect_live(&w.c);
	put(&w.c, "ofuser/index/a", "index");
	settle(&w.c);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "lost");
	await(&w.c, WIRE_SEALED, 1);
	while (!w.c.closed)
		turn();
	assert_int_equal(w.c.close_err, -ERR_DIFFERS);
	hang_up(&w.c);
	connect_live(&w.c);
	assert_int_equal(w.c.total.count, 0); /* as WELCOME tells it */
}

static void
a_file_that_is_on_its_way_is_waited_for(void **state)
{
	struct wire_msg m = {.type = WIRE_BEGIN};

	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	m.u.begin.op = ++w.c.op;
	m.u.begin.path = (char *)(uintptr_t)"offiles/fd1/large";
	m.u.begin.mode = WIRE_BEGIN_WHOLE;
	m.u.begin.size = 1 << 20;
	say(&w.c, &m);
	while (w.c.received < w.c.op && !w.c.closed)
		turn();
	seal(&w.c, 5, "");
	refuses_to_seal(&w.c, ERR_BUSY);
	m = (struct wire_msg){.type = WIRE_ABORT};
	m.u.abort.op = w.c.op;
	say(&w.c, &m);
	settle(&w.c);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
}

static void
a_collector_of_the_other_type_is_sent_away(void **state)
{
	(void)state;
	connect_live(&w.c);
	hang_up(&w.c);
	dial(&w.c);
	hello_of(&w.c, LAYOUT_DOMAIN);
	while (!w.c.closed && w.c.seen[WIRE_WELCOME] < 2)
		turn();
	assert_int_equal(w.c.seen[WIRE_WELCOME], 1);
	hang_up(&w.c);
	connect_live(&w.c);
}

/* ---- what the collector tells of a job, and hears of a set ---- */

static void
say_over(struct collector *c, uint64_t job, int code, const char *text)
{
	struct wire_msg m = {.type = WIRE_JOB_OVER};

	m.u.job_over.job = job;
	m.u.job_over.date = 20261124;
	m.u.job_over.t0_ns = 1000000;
	m.u.job_over.origin = (char *)(uintptr_t)"schedule";
	m.u.job_over.code = code;
	m.u.job_over.text = (char *)(uintptr_t)text;
	say(c, &m);
}

static const struct job_record *
until_ended(uint64_t job)
{
	const struct job_record *r;

	while (!(r = jobs_find(server_jobs(w.server, "po1"), job)) || r->result == JOB_RUNNING)
		turn();
	return r;
}

static void
a_job_that_failed_on_the_collector_is_a_failure_here(void **state)
{
	struct wire_msg from = {.type = WIRE_ORIGIN};
	struct server_profile_status st;
	const struct job_record *r;

	(void)state;
	connect_live(&w.c);
	from.u.origin.job = 5;
	from.u.origin.origin = (char *)(uintptr_t)"user root";
	say(&w.c, &from);
	begin_job(&w.c, 5);
	say_over(&w.c, 5, ERR_INCOMPLETE, "DBCOPY ended with 7");
	r = until_ended(5);
	assert_int_equal(r->result, JOB_FAILED);
	assert_int_equal(r->code, ERR_INCOMPLETE);
	assert_string_equal(r->origin, "user root");
	assert_string_equal(r->text, "DBCOPY ended with 7");
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.state, SERVER_FAILED);
	assert_non_null(strstr(st.reason, "DBCOPY ended with 7"));
	begin_job(&w.c, 6); /* the hold is released, and another job may come */
	say_over(&w.c, 6, ERR_STOPPED, "stopped by user root");
	assert_int_equal(until_ended(6)->result, JOB_STOPPED);
}

static void
a_job_that_failed_before_it_came_here_is_a_failure_here(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	say_over(&w.c, 7, ERR_NOSPACE, "no room");
	assert_string_equal(until_ended(7)->origin, "schedule");
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.state, SERVER_FAILED);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "now");
	await(&w.c, WIRE_SEALED, 1);
	assert_int_equal(until_ended(8)->result, JOB_GOOD);
	say_over(&w.c, 8, ERR_IO, "heard too late: it is sealed");
	say_over(&w.c, 9, ERR_STOPPED, "stopped");
	until_ended(9);
	assert_int_equal(until_ended(8)->result, JOB_GOOD);
	assert_true(server_status(w.server, 0, &st));
	assert_int_not_equal(st.state, SERVER_FAILED);
}

static void
what_a_later_version_says_ends_a_session_of_the_first(void **state)
{
	(void)state;
	w.c.version_max = 1;
	connect_live(&w.c);
	say_over(&w.c, 5, ERR_IO, "");
	await_end(&w.c);
	assert_int_equal(w.c.close_err, -ERR_PEER);
	assert_null(jobs_find(server_jobs(w.server, "po1"), 5));
}

static void
a_collector_hears_of_the_newest_set_once_it_is_welcomed(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_NEWEST, 1);
	await(&w.c, WIRE_SEALED, 1);
	hang_up(&w.c);
	connect_live(&w.c);
	await(&w.c, WIRE_NEWEST, 2);
	hang_up(&w.c);
	w.c.version_max = 1;
	connect_live(&w.c);
	begin_job(&w.c, 6); /* an answer: whatever was said with WELCOME has come */
	assert_int_equal(w.c.seen[WIRE_NEWEST], 2);
}

static void
ask_names(const char *set, const char *after)
{
	struct wire_msg m = {.type = WIRE_NAMES_REQ};

	m.u.names_req.set = (char *)(uintptr_t)set;
	m.u.names_req.after = (char *)(uintptr_t)after;
	say(&w.c, &m);
}

static void
the_names_of_a_set_come_a_page_at_a_time(void **state)
{
	(void)state;
	connect_live(&w.c);
	ask_names("latest", "");
	await(&w.c, WIRE_NAMES, 1);
	assert_string_equal(w.c.page, "ofmsg/msg0.db ofmsg/msg1.db ");
	assert_string_equal(w.c.next, "there");
	assert_string_equal(w.c.last_set, "tuenov24");
	ask_names("tuenov24", w.c.next);
	await(&w.c, WIRE_NAMES, 2);
	assert_string_equal(w.c.page, "ofmsg/msg2.db ");
	assert_string_equal(w.c.next, "");
	ask_names("never", "");
	await(&w.c, WIRE_REFUSED, 1);
	assert_int_equal(w.c.op, WIRE_NAMES_REQ);
	assert_int_equal(w.c.failed_code, ERR_NOTFOUND);
	assert_string_equal(w.c.text, "no such set");
}

static void
a_second_page_while_the_first_is_on_its_way_ends_the_session(void **state)
{
	(void)state;
	connect_live(&w.c);
	ask_names("latest", "");
	ask_names("latest", "");
	await_end(&w.c);
	assert_int_equal(w.c.close_err, -ERR_PEER);
}

static void
a_collector_of_the_first_version_may_not_ask_for_names(void **state)
{
	(void)state;
	w.c.version_max = 1;
	connect_live(&w.c);
	ask_names("latest", "");
	await_end(&w.c);
	assert_int_equal(w.c.close_err, -ERR_PEER);
}

static void
sets_for_which_there_is_no_memory_are_not_an_empty_list(void **state)
{
	struct wire_msg question = {.type = WIRE_SETS_REQ};

	(void)state;
	connect_live(&w.c);
	no_room_for = sizeof(struct wire_set);
	say(&w.c, &question);
	while (!w.c.seen[WIRE_REFUSED] && !w.c.seen[WIRE_SETS] && !w.c.closed)
		turn();
	no_room_for = 0;
	assert_int_equal(w.c.seen[WIRE_REFUSED], 1);
	assert_int_equal(w.c.failed_code, ERR_NOMEM);
	say(&w.c, &question);
	await(&w.c, WIRE_SETS, 1);
}

static void
a_stop_from_the_server_ends_a_running_seal(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 6);
	unsigned before = w.c.seen[WIRE_PROGRESS];
	seal(&w.c, 6, "hang");
	await(&w.c, WIRE_PROGRESS, before + 1);
	put(&w.c, "ofuser/u.db", "not now");
	put(&w.c, "offiles/fd1/a", "a blob may come");
	settle(&w.c);
	assert_int_equal(w.c.nak_err, ERR_BUSY);
	assert_int_equal(w.c.seen[WIRE_NAK], 1);
	assert_int_equal(server_stop(w.server, "po1", "user root"), 0);
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_STOPPED);
	assert_string_equal(w.c.stop_origin, "server: user root");
	assert_int_equal(server_stop(w.server, "po1", "user root"), -ERR_NOTFOUND);
	put(&w.c, "ofuser/u.db", "now");
	settle(&w.c);
	assert_int_equal(w.c.seen[WIRE_NAK], 1);
}

static void
a_keeper_that_dies_fails_the_job_and_comes_back(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 7);
	log_set_level(LOG_ERROR);
	seal(&w.c, 7, "die");
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_UNREACHABLE);
	wait_for_keeper();
	seal(&w.c, 7, ""); /* the job was not ended: it may be sealed again */
	await(&w.c, WIRE_SEALED, 1);
}

static void
doubtful_files_lose_their_rows(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	put(&w.c, "ofuser/u.db", "doubted");
	settle(&w.c);
	begin_job(&w.c, 8);
	seal(&w.c, 8, "doubt");
	await(&w.c, WIRE_JOB_FAILED, 1);
	assert_int_equal(w.c.failed_code, ERR_DIFFERS);
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.staged.count, 0);
}

static void
a_collector_that_goes_away_does_not_cancel_the_seal(void **state)
{
	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 9);
	seal(&w.c, 9, "");
	while (wire_conn_queued(w.c.conn) || w.c.seen[WIRE_SEALED] + w.c.seen[WIRE_PROGRESS] < 2)
		turn(); /* the order is given */
	hang_up(&w.c);
	struct server_profile_status st;
	do {
		turn();
		assert_true(server_status(w.server, 0, &st));
	} while (!*st.last_set || st.connected);
	w.c.last_set[0] = '\0';
	connect_live(&w.c);
	assert_string_equal(w.c.last_set, "tuenov24");
}

static void
a_seal_that_is_asked_for_again_after_a_lost_connection_goes_on(void **state)
{
	unsigned before;

	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 9);
	before = w.c.seen[WIRE_PROGRESS];
	seal(&w.c, 9, "hang");
	await(&w.c, WIRE_PROGRESS, before + 1); /* the keeper is at work */
	hang_up(&w.c);
	connect_live(&w.c);
	assert_string_equal(w.c.last_set, ""); /* no set yet: the collector asks again */
	before = w.c.seen[WIRE_PROGRESS];
	seal(&w.c, 9, "hang");
	while (w.c.seen[WIRE_PROGRESS] == before && !w.c.seen[WIRE_JOB_FAILED])
		turn();
	assert_int_equal(w.c.seen[WIRE_JOB_FAILED], 0);
	assert_int_equal(server_stop(w.server, "po1", "user root"), 0);
	await(&w.c, WIRE_JOB_FAILED, 1); /* the answer comes to the new connection */
	assert_int_equal(w.c.failed_code, ERR_STOPPED);
}

static void
a_revoked_certificate_ends_its_session(void **state)
{
	struct wire_msg question = {.type = WIRE_SUMS_REQ};
	struct grant g = {0};

	(void)state;
	connect_live(&w.c);
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), 0);
	assert_false(g.over);
	while (!g.over)
		turn();
	assert_int_equal(g.err, 0);
	question.u.sums_req.after = (char *)(uintptr_t)"";
	(void)wire_conn_send(w.c.conn, &question); /* its end may have come already */
	while (!w.c.closed && !w.c.seen[WIRE_SUMS])
		turn();
	assert_int_equal(w.c.seen[WIRE_SUMS], 0);
	hang_up(&w.c);
	dial(&w.c);
	if (!w.c.closed) {
		hello(&w.c);
		await_end(&w.c);
	}
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), -ERR_NOTFOUND);
}

static enum server_state
state_when_enrolled_hours_ago(int64_t hours)
{
	const struct timespec then = {.tv_sec = clock_wall_ns() / 1000000000 - hours * 3600};
	struct server_profile_status st;
	char pin[256];

	scratch_path(&w.scratch, "store/.identity/pins/po1", pin);
	assert_int_equal(utimensat(AT_FDCWD, pin, (struct timespec[2]){then, then}, 0), 0);
	assert_true(server_status(w.server, 0, &st));
	return st.state;
}

/* Nobody has to tell the server: that it hears of no set is enough. */
static void
a_profile_without_a_set_for_too_long_is_late(void **state)
{
	(void)state;
	connect_live(&w.c);
	assert_int_not_equal(state_when_enrolled_hours_ago(25), SERVER_LATE);
	assert_int_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	begin_job(&w.c, 5);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
	assert_int_equal(state_when_enrolled_hours_ago(0), SERVER_LATE); /* the set's T0 is of 1970 */
}

/* Whoever is not a profile's session has one of few places, and not for long: strangers, and a certificate without a HELLO. */
static void
say_due(struct collector *c, int64_t hours_ago)
{
	struct wire_msg m = {.type = WIRE_DUE};

	m.u.due.at_ns = clock_wall_ns() - hours_ago * 3600 * 1000000000;
	say(c, &m);
	begin_job(c, 5); /* an answer: it was heard */
}

static void
a_set_is_late_only_when_a_run_is_overdue_too(void **state)
{
	(void)state;
	connect_live(&w.c);
	say_due(&w.c, 1);
	assert_int_not_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	hang_up(&w.c);
	server_free(w.server);
	start_server();
	w.c.version_max = 1; /* nobody tells it again */
	connect_live(&w.c);
	assert_int_not_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	hang_up(&w.c);
	w.c.version_max = 0;
	connect_live(&w.c);
	say_due(&w.c, 3);
	assert_int_equal(state_when_enrolled_hours_ago(27), SERVER_LATE);
	say_due(&w.c, -100000);
	assert_int_not_equal(state_when_enrolled_hours_ago(7 * 24), SERVER_LATE);
	assert_int_equal(state_when_enrolled_hours_ago(9 * 24), SERVER_LATE); /* no collector puts it off for years */
}

static void
sets_that_nobody_adds_to_grow_old(void **state)
{
	struct server_profile_status st;
	struct grant g = {0};

	(void)state;
	connect_live(&w.c);
	begin_job(&w.c, 5);
	seal(&w.c, 5, "");
	await(&w.c, WIRE_SEALED, 1);
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), 0);
	while (!g.over)
		turn();
	assert_true(server_status(w.server, 0, &st));
	assert_false(st.enrolled);
	assert_int_equal(st.state, SERVER_LATE);
}

static void
a_name_that_was_only_given_a_token_is_not_green(void **state)
{
	struct server_profile_status st = {0};
	struct grant g = {0};
	int i;

	(void)state;
	assert_int_equal(server_token_create(w.server, "typo", 60, on_granted, &g), 0);
	while (!g.over)
		turn();
	free(g.token);
	i = server_find(w.server, "typo");
	assert_true(i >= 0 && server_status(w.server, (size_t)i, &st));
	assert_int_equal(st.state, SERVER_DEGRADED);
	assert_non_null(strstr(st.reason, "no collector is enrolled"));
}

static void
who_only_stays_counts_as_connecting_and_is_sent_away(void **state)
{
	struct collector stranger = {0};
	struct identity_token token;
	struct server_facts facts;
	char *text = make_token();

	(void)state;
	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &stranger.identity), 0);
	dial(&stranger);
	dial(&w.c);
	do {
		turn();
		server_facts(w.server, &facts);
	} while (facts.connecting + facts.sessions < 2);
	assert_int_equal(facts.connecting, 2);
	server_connecting_ms = -1;
	await_end(&stranger);
	await_end(&w.c);
	server_connecting_ms = 60000;
	hang_up(&stranger);
	identity_close(stranger.identity);
	hang_up(&w.c);
	connect_live(&w.c);
	server_facts(w.server, &facts);
	assert_int_equal(facts.sessions, 1);
}

static void
a_token_that_the_server_has_no_time_for_is_told(void **state)
{
	struct grant g = {0};

	(void)state;
	assert_int_equal(server_token_create(w.server, "po1", 0, on_granted, &g), -ERR_USAGE);
	assert_int_equal(server_token_create(w.server, "po1", 60, on_granted, &g), 0);
	server_free(w.server);
	w.server = NULL;
	assert_true(g.over);
	free(g.token);
}

static void
a_restart_keeps_the_job_and_what_was_durable(void **state)
{
	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd1/a", "one");
	settle(&w.c);
	begin_job(&w.c, 10);
	struct treemap_sum before = w.c.total;
	hang_up(&w.c);
	server_free(w.server);
	start_server();
	connect_live(&w.c);
	assert_int_equal(w.c.total.count, before.count);
	assert_true(hash128_equal(w.c.total.hash, before.hash));
	seal(&w.c, 10, "");
	await(&w.c, WIRE_SEALED, 1);
}

/* ---- what cannot be known now ---- */

static void
on_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	*(bool *)arg = true;
}

/* Turns the loop for so long; gives how often it turned. */
static unsigned
turn_for(int ms)
{
	const struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	bool over = false;
	struct event *e = event_new(w.base, -1, 0, on_over, &over);
	unsigned turns = 0;

	event_add(e, &t);
	for (; !over; turns++)
		turn();
	event_free(e);
	return turns;
}

static void
revoke_it(void)
{
	struct grant g = {0};

	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), 0);
	while (!g.over)
		turn();
	assert_int_equal(g.err, 0);
}

/* Who waits cannot be let in, and the listener says so as long as he waits. */
static void
a_server_without_descriptors_rests_and_then_lets_in_who_waited(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), next;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct rlimit limit, none;
	struct server_facts facts;

	(void)state;
	for (server_facts(w.server, &facts); facts.connecting; server_facts(w.server, &facts))
		turn(); /* who was enrolled lets go of his descriptor */
	to.sin_port = htons((uint16_t)atoi(strrchr(facts.listen, ':') + 1));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(fd);
	close(next);
	none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
	assert_in_range(turn_for(500), 1, 50);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	do {
		turn();
		server_facts(w.server, &facts);
	} while (!facts.connecting);
	close(fd);
}

static void
a_revocation_that_cannot_look_does_not_say_that_there_is_nothing_to_revoke(void **state)
{
	struct server_profile_status st;
	struct grant g = {0};

	(void)state;
	disk.unseen = "po1";
	assert_int_equal(server_revoke(w.server, "po1", on_granted, &g), -ERR_IO);
	assert_true(server_status(w.server, 0, &st));
	disk.unseen = NULL;
	assert_int_equal(st.state, SERVER_DEGRADED);
	assert_null(strstr(st.reason, "token create"));
	assert_non_null(strstr(st.reason, "not known"));
	revoke_it();
}

/* Somebody who was told that it holds nothing would remove it. */
static void
a_profile_that_is_not_open_yet_is_not_said_to_hold_nothing(void **state)
{
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	put(&w.c, "offiles/fd1/a", "one");
	settle(&w.c);
	hang_up(&w.c);
	revoke_it();
	server_free(w.server);
	atomic_store(&locks_wait, true);
	start_server();
	(void)turn_for(500); /* the keeper tells that there are no sets */
	assert_true(server_status(w.server, 0, &st));
	atomic_store(&locks_wait, false);
	assert_int_equal(st.staged.count, 0);
	assert_non_null(strstr(st.reason, "no collector is enrolled"));
	assert_null(strstr(st.reason, "remove"));
}

static void
sets_that_the_keeper_cannot_tell_make_nothing_green_and_are_asked_for_again(void **state)
{
	struct server_profile_status st;
	FILE *f = fopen(getenv(KEEPER_FAILS), "w");

	(void)state;
	assert_non_null(f);
	fclose(f);
	server_free(w.server);
	start_server();
	connect_live(&w.c);
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.state, SERVER_DEGRADED);
	assert_non_null(strstr(st.reason, "an old keeper has them"));
	assert_int_equal(unlink(getenv(KEEPER_FAILS)), 0);
	tenant_again_ms = 0;
	while (state_when_enrolled_hours_ago(27) != SERVER_LATE)
		turn();
	assert_int_equal(state_when_enrolled_hours_ago(0), SERVER_OK);
	tenant_again_ms = 60000;
}

/* The collector sends what it is told no hash of. */
static void
blocks_that_cannot_be_read_are_not_told_and_end_nothing(void **state)
{
	struct wire_msg question = {.type = WIRE_BLOCKS_REQ};

	(void)state;
	connect_live(&w.c);
	put(&w.c, "ofuser/a.db", "one");
	settle(&w.c);
	question.u.blocks_req.path = (char *)(uintptr_t)"ofuser/a.db";
	question.u.blocks_req.count = 1;
	say(&w.c, &question);
	await(&w.c, WIRE_BLOCKS, 1);
	assert_int_equal(w.c.n_items, 1);
	atomic_store(&bad_sector, true);
	say(&w.c, &question);
	await(&w.c, WIRE_BLOCKS, 2);
	atomic_store(&bad_sector, false);
	assert_true(w.c.present);
	assert_int_equal(w.c.n_items, 0);
}

/* What comes of it is refused, as long as its inode is bad, and all else goes on. */
static void
a_file_whose_inode_cannot_be_read_is_told_as_absent(void **state)
{
	struct wire_msg question = {.type = WIRE_BLOCKS_REQ};

	(void)state;
	needs_openat2();
	connect_live(&w.c);
	put(&w.c, "ofuser/a.db", "one");
	settle(&w.c);
	disk.unreadable = "a.db";
	question.u.blocks_req.path = (char *)(uintptr_t)"ofuser/a.db";
	question.u.blocks_req.count = 1;
	say(&w.c, &question);
	await(&w.c, WIRE_BLOCKS, 1);
	assert_false(w.c.present);
	put(&w.c, "ofuser/b.db", "two");
	settle(&w.c);
	assert_false(w.c.closed);
	disk.unreadable = NULL;
}

static void
what_is_only_received_is_not_called_durable(void **state)
{
	struct wire_msg begin = {.type = WIRE_BEGIN};
	struct server_profile_status st;

	(void)state;
	connect_live(&w.c);
	begin.u.begin.op = ++w.c.op;
	begin.u.begin.path = (char *)(uintptr_t)"ofuser/a.db";
	begin.u.begin.size = 1 << 20;
	say(&w.c, &begin);
	await(&w.c, WIRE_ACK, 1);
	assert_int_equal(w.c.durable, 0);
	assert_true(server_status(w.server, 0, &st));
	assert_int_equal(st.last_durable_ns, 0);
	hang_up(&w.c);
	connect_live(&w.c);
	put(&w.c, "ofuser/b.db", "two");
	settle(&w.c);
	assert_true(server_status(w.server, 0, &st));
	assert_true(st.last_durable_ns > 0);
}

/* Five wrong proofs burn a token: nobody gets them all in at once. */
static void
a_connection_has_one_try_at_a_token(void **state)
{
	struct wire_msg m = {.type = WIRE_ENROL};
	struct collector stranger = {0};
	struct identity_token token;
	char *text = make_token();
	uint8_t record[64];
	char path[256];
	int fd;

	(void)state;
	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &stranger.identity), 0);
	dial(&stranger);
	m.u.enrol.profile = (char *)(uintptr_t)"po1";
	m.u.enrol.csr = (struct wire_bytes){(const uint8_t *)"x", 1};
	for (int i = 0; i < 5; i++)
		say(&stranger, &m);
	await_end(&stranger);
	(void)turn_for(200); /* what it has given to do */
	scratch_path(&w.scratch, "store/.identity/tokens/po1", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, record, sizeof record) > 9);
	assert_in_range(record[9], 0, 1); /* wrong proofs */
	close(fd);
	hang_up(&stranger);
	identity_close(stranger.identity);
}

/* Its collector comes, with the type that nobody had told, while another one is being enrolled. */
static void
a_profile_that_is_opened_again_waits_for_an_enrolment(void **state)
{
	struct wire_msg m = {.type = WIRE_ENROL};
	struct collector other = {0};
	struct identity_request *request;
	struct identity_token token;
	char *text = make_token();
	uint8_t exporter[32];
	const uint8_t *csr;
	size_t len;

	(void)state;
	assert_int_equal(identity_token_parse(text, &token), 0);
	free(text);
	assert_int_equal(identity_open_enrolling(token.pin, sizeof token.pin, &other.identity), 0);
	dial(&other);
	dial(&w.c);
	assert_int_equal(identity_enrol_begin("po1", &request), 0);
	identity_request_csr(request, &csr, &len);
	m.u.enrol.profile = (char *)(uintptr_t)"po1";
	m.u.enrol.csr = (struct wire_bytes){csr, len};
	assert_int_equal(wire_conn_exporter(other.conn, exporter), 0);
	assert_int_equal(identity_proof(token.secret, exporter, csr, len, m.u.enrol.proof), 0);
	atomic_store(&lanes_wait, true);
	say(&other, &m);
	(void)turn_for(200);
	atomic_store(&locks_wait, true); /* once it is closed it is not open again soon */
	hello(&w.c);
	(void)turn_for(200);
	atomic_store(&lanes_wait, false);
	await(&other, WIRE_ENROLLED, 1);
	atomic_store(&locks_wait, false);
	identity_request_free(request);
	free(other.certificate);
	free(other.authority);
	hang_up(&other);
	identity_close(other.identity);
}

int
main(int argc, char **argv)
{
	const char *name = argc ? strrchr(argv[0], '/') : NULL;

	if (strcmp(name ? name + 1 : argv[0], "tidemark-keeper") == 0)
		return play_keeper();
	log_set_level(LOG_ERROR);
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(a_token_enrols_and_each_session_has_a_higher_number),
		TEST(a_second_collector_is_sent_away_while_the_first_lives),
		TEST(a_killed_collector_does_not_wait_for_its_own_ghost),
		TEST(what_is_durable_can_be_asked_for),
		TEST(a_message_in_the_wrong_state_ends_the_session),
		TEST(only_a_poke_seals_and_only_what_both_hold),
		TEST(only_the_job_that_was_begun_is_sealed),
		TEST(a_job_whose_t0_could_not_be_kept_has_not_begun_and_begins_when_it_is_told_again),
		TEST(an_index_file_that_was_lost_loses_its_row_and_both_sides_are_compared),
		TEST(a_file_that_is_on_its_way_is_waited_for),
		TEST(a_collector_of_the_other_type_is_sent_away),
		TEST(a_job_that_failed_on_the_collector_is_a_failure_here),
		TEST(a_job_that_failed_before_it_came_here_is_a_failure_here),
		TEST(what_a_later_version_says_ends_a_session_of_the_first),
		TEST(a_collector_hears_of_the_newest_set_once_it_is_welcomed),
		TEST(the_names_of_a_set_come_a_page_at_a_time),
		TEST(a_second_page_while_the_first_is_on_its_way_ends_the_session),
		TEST(a_collector_of_the_first_version_may_not_ask_for_names),
		TEST(sets_for_which_there_is_no_memory_are_not_an_empty_list),
		TEST(a_stop_from_the_server_ends_a_running_seal),
		TEST(a_keeper_that_dies_fails_the_job_and_comes_back),
		TEST(doubtful_files_lose_their_rows),
		TEST(a_collector_that_goes_away_does_not_cancel_the_seal),
		TEST(a_seal_that_is_asked_for_again_after_a_lost_connection_goes_on),
		TEST(a_revoked_certificate_ends_its_session),
		TEST(a_profile_without_a_set_for_too_long_is_late),
		TEST(a_set_is_late_only_when_a_run_is_overdue_too),
		TEST(sets_that_nobody_adds_to_grow_old),
		TEST(a_name_that_was_only_given_a_token_is_not_green),
		TEST(who_only_stays_counts_as_connecting_and_is_sent_away),
		TEST(a_token_that_the_server_has_no_time_for_is_told),
		TEST(a_restart_keeps_the_job_and_what_was_durable),
		TEST(a_server_without_descriptors_rests_and_then_lets_in_who_waited),
		TEST(a_revocation_that_cannot_look_does_not_say_that_there_is_nothing_to_revoke),
		TEST(a_profile_that_is_not_open_yet_is_not_said_to_hold_nothing),
		TEST(sets_that_the_keeper_cannot_tell_make_nothing_green_and_are_asked_for_again),
		TEST(blocks_that_cannot_be_read_are_not_told_and_end_nothing),
		TEST(a_file_whose_inode_cannot_be_read_is_told_as_absent),
		TEST(what_is_only_received_is_not_called_durable),
		TEST(a_connection_has_one_try_at_a_token),
		TEST(a_profile_that_is_opened_again_waits_for_an_enrolment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
