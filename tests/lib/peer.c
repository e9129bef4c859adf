/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peer - the server's half of a session, without the daemon around it. */
#include "tests/lib/peer.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"

#define MUST(x)                                                                   \
	do {                                                                      \
		if (!(x)) {                                                       \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, err_text()); \
			abort();                                                  \
		}                                                                 \
	} while (0)

static void
tell(struct peer *p, const struct wire_msg *m)
{
	if (p->conn)
		MUST(wire_conn_send(p->conn, m) == 0);
}

/* ---- staging's words ---- */

static void
on_ack(uint64_t received, uint64_t applied, uint64_t durable, void *arg)
{
	struct peer *p = arg;
	struct wire_msg m = {.type = WIRE_ACK};

	m.u.ack.received = received;
	m.u.ack.applied = applied;
	m.u.ack.durable = p->undurable ? 0 : durable;
	p->unsaid = m;
	if (!p->mute)
		tell(p, &m);
}

void
peer_speak(struct peer *p)
{
	p->mute = false;
	tell(p, &p->unsaid);
}

static void
on_nak(uint64_t op, int err, const char *text, void *arg)
{
	struct peer *p = arg;
	struct wire_msg m = {.type = WIRE_NAK};

	p->naks++;
	snprintf(p->last_nak, sizeof p->last_nak, "%s: %s", err_name(err), text);
	m.u.nak.op = op;
	m.u.nak.code = err < 0 ? -err : err;
	m.u.nak.text = p->last_nak;
	tell(p, &m);
}

static void
on_drained(void *arg)
{
	struct peer *p = arg;

	if (p->conn)
		wire_conn_pause(p->conn, false);
}

static void
on_failed(int err, const char *text, void *arg)
{
	struct peer *p = arg;

	(void)text;
	p->failed = err;
}

static const struct staging_events staging_events = {.ack = on_ack, .nak = on_nak, .drained = on_drained, .failed = on_failed};

/* ---- answers ---- */

struct dirs {
	struct wire_sum *v;
	size_t n;
	const char *after;
};

static int
gather_dir(const char *dir, const struct treemap_sum *sum, void *arg)
{
	struct dirs *d = arg;

	if (d->after && *d->after && strcmp(dir, d->after) <= 0)
		return 0;
	d->v = realloc(d->v, (d->n + 1) * sizeof *d->v);
	MUST(d->v);
	d->v[d->n].dir = strdup(dir);
	d->v[d->n++].sum = *sum;
	return 0;
}

static int
by_dir(const void *a, const void *b)
{
	return strcmp(((const struct wire_sum *)a)->dir, ((const struct wire_sum *)b)->dir);
}

/* The root's own sum has the name "", which as `after` means the start: it comes with the first page only. */
static void
answer_sums(struct peer *p, const char *after)
{
	struct dirs d = {.after = after};
	struct wire_msg m = {.type = WIRE_SUMS};
	size_t n;

	MUST(index_dirs(p->index, gather_dir, &d) >= 0);
	if (d.n)
		qsort(d.v, d.n, sizeof *d.v, by_dir);
	n = d.n < p->page ? d.n : p->page;
	m.u.sums.v = d.v;
	m.u.sums.n = n;
	m.u.sums.more = n < d.n;
	tell(p, &m);
	for (size_t i = 0; i < d.n; i++)
		free(d.v[i].dir);
	free(d.v);
}

struct names {
	struct wire_item *v;
	size_t n, max;
	bool more;
};

static int
gather_name(const char *path, const struct index_node *node, void *arg)
{
	struct names *l = arg;

	if (l->n == l->max) {
		l->more = true;
		return 1;
	}
	l->v[l->n].name = strdup(relpath_name(path));
	l->v[l->n].entry = node->entry;
	if (node->entry.target)
		l->v[l->n].entry.target = strdup(node->entry.target);
	l->n++;
	return 0;
}

static void
answer_list(struct peer *p, const char *dir, const char *after)
{
	struct names l = {.v = calloc(p->page, sizeof *l.v), .max = p->page};
	struct wire_msg m = {.type = WIRE_LIST};
	char *copy = strdup(dir);

	p->list_requests++;
	MUST(index_children(p->index, dir, *after ? after : NULL, gather_name, &l) >= 0);
	m.u.list.dir = copy;
	m.u.list.v = l.v;
	m.u.list.n = l.n;
	m.u.list.more = l.more;
	tell(p, &m);
	for (size_t i = 0; i < l.n; i++) {
		free(l.v[i].name);
		entry_fini(&l.v[i].entry);
	}
	free(l.v);
	free(copy);
}

static void
answer_blocks(struct peer *p, const char *path, uint64_t first, uint32_t count)
{
	struct wire_msg m = {.type = WIRE_BLOCKS};
	int fd = staging_open_held(p->fd, LAYOUT_POST_OFFICE, &p->key, p->index, path);
	uint8_t *data = malloc((size_t)count * BLOCK_BYTES);
	struct hash128 *hashes = calloc(count, sizeof *hashes);
	struct stat st = {0};
	ssize_t n = 0;

	p->blocks_requests++;
	m.u.blocks.path = (char *)(uintptr_t)path;
	m.u.blocks.first = first;
	if (fd >= 0) {
		MUST(fstat(fd, &st) == 0);
		n = fsio_pread(fd, data, (size_t)count * BLOCK_BYTES, first * BLOCK_BYTES);
		MUST(n >= 0);
		close(fd);
		block_hash_many(&p->key, data, (size_t)n, hashes);
		m.u.blocks.present = true;
		m.u.blocks.size = (uint64_t)st.st_size;
		m.u.blocks.v = hashes;
		m.u.blocks.n = block_count((uint64_t)n);
	}
	tell(p, &m);
	free(hashes);
	free(data);
}

/* ---- the session ---- */

static void
run_nothing(struct staging_task *task)
{
	(void)task;
}

static void
send_welcome(struct peer *p)
{
	struct wire_msg m = {.type = WIRE_WELCOME};
	char instance[64], build[] = "peer", set[] = "mon", none[] = "";

	snprintf(instance, sizeof instance, "%s", index_instance(p->index));
	m.u.welcome.version = p->version ? p->version : 1;
	m.u.welcome.build = build;
	m.u.welcome.instance = instance;
	m.u.welcome.generation = p->generation;
	m.u.welcome.token = p->sessions;
	MUST(index_total(p->index, &m.u.welcome.total) == 0);
	memcpy(m.u.welcome.key, p->key_bytes, sizeof m.u.welcome.key);
	m.u.welcome.last_set = p->sealed_t0_ns ? set : none;
	m.u.welcome.last_started_ns = p->sealed_t0_ns;
	tell(p, &m);
}

static void
on_session(struct staging_task *task, bool cancelled)
{
	struct peer *p = (struct peer *)((char *)task - offsetof(struct peer, task));

	p->task_busy = false;
	if (cancelled || !p->conn || !p->hello)
		return;
	staging_begin(p->staging, &staging_events, p);
	p->began = true;
	p->sessions++;
	send_welcome(p);
}

static void
end_session(struct peer *p)
{
	if (p->began)
		staging_end(p->staging);
	p->began = p->hello = false;
}

static void
on_hello(struct peer *p)
{
	if (p->refuse) {
		wire_conn_close(p->conn, p->refuse, "refused by the test");
		return;
	}
	p->hello = true;
	if (p->task_busy)
		return; /* its `done` sees the new session */
	p->task_busy = true;
	p->task = (struct staging_task){.run = run_nothing, .done = on_session};
	staging_submit(p->staging, &p->task);
}

void
peer_sealed(struct peer *p)
{
	struct wire_msg m = {.type = WIRE_SEALED};
	char set[] = "mon", note[] = "";

	p->sealed_t0_ns = p->seal_t0_ns;
	m.u.sealed.job = p->seal_job;
	m.u.sealed.set.name = set;
	m.u.sealed.set.started_ns = p->seal_t0_ns;
	m.u.sealed.set.sealed_ns = 1;
	m.u.sealed.note = note;
	tell(p, &m);
}

void
peer_newest(struct peer *p, uint8_t verified)
{
	struct wire_msg m = {.type = WIRE_NEWEST};
	char set[] = "mon";

	m.u.newest.set = (struct wire_set){.name = set, .started_ns = p->sealed_t0_ns, .sealed_ns = 1, .verified = verified};
	tell(p, &m);
}

static void
on_seal(struct peer *p, const struct wire_msg *msg)
{
	struct treemap_sum total;
	struct wire_msg m = {.type = WIRE_JOB_FAILED};
	char text[] = "what the collector says and what the server holds differ";

	p->seal_job = msg->u.seal.job;
	p->seal_t0_ns = msg->u.seal.t0_ns;
	p->sealed_total = msg->u.seal.total;
	MUST(index_total(p->index, &total) == 0);
	if (total.count == msg->u.seal.total.count && hash128_equal(total.hash, msg->u.seal.total.hash)) {
		if (!p->hold_seal)
			peer_sealed(p);
		return;
	}
	m.u.job_failed.job = msg->u.seal.job;
	m.u.job_failed.code = ERR_DIFFERS;
	m.u.job_failed.text = text;
	tell(p, &m);
}

static void
on_control(struct peer *p, struct wire_msg *m)
{
	struct wire_msg reply = {0};
	char phase[] = "begin";

	p->messages[m->type]++;
	switch (m->type) {
	case WIRE_HELLO:
		on_hello(p);
		break;
	case WIRE_SUMS_REQ:
		answer_sums(p, m->u.sums_req.after);
		break;
	case WIRE_LIST_REQ:
		answer_list(p, m->u.list_req.dir, m->u.list_req.after);
		break;
	case WIRE_BLOCKS_REQ:
		answer_blocks(p, m->u.blocks_req.path, m->u.blocks_req.first, m->u.blocks_req.count);
		break;
	case WIRE_JOB_BEGIN:
		reply.type = WIRE_PROGRESS;
		reply.u.progress.job = m->u.job_begin.job;
		reply.u.progress.phase = phase;
		tell(p, &reply);
		break;
	case WIRE_SEAL:
		on_seal(p, m);
		break;
	case WIRE_ORIGIN:
		snprintf(p->origin, sizeof p->origin, "%s", m->u.origin.origin);
		break;
	case WIRE_JOB_OVER:
		p->over_jobs[(p->messages[WIRE_JOB_OVER] - 1) % 16] = m->u.job_over.job;
		p->over_code = m->u.job_over.code;
		snprintf(p->over_text, sizeof p->over_text, "%s", m->u.job_over.text);
		break;
	case WIRE_DUE:
		p->due_ns = m->u.due.at_ns;
		break;
	default:
		break;
	}
}

/* Counted before staging has it, so that a cut comes in the middle of a file as well. */
static void
on_data(struct peer *p, struct wire_frame *frame)
{
	uint8_t *buf = NULL;
	struct pack_in in;
	struct wire_msg m;

	p->data_bytes += frame->head.raw_len;
	MUST(wire_frame_open(&frame->head, frame->body, &in, &buf) == 0);
	while (wire_unpack(&in, WIRE_DATA, &m) == 1) {
		p->messages[m.type]++;
		wire_msg_fini(&m);
	}
	free(buf);
	staging_frame(p->staging, frame);
	if (staging_queued(p->staging) > 8u * 1024u * 1024u)
		wire_conn_pause(p->conn, true);
}

static void
on_frame(struct wire_conn *c, struct wire_frame *frame, void *arg)
{
	struct peer *p = arg;
	uint8_t *buf = NULL;
	struct pack_in in;
	struct wire_msg m;

	(void)c;
	if (frame->head.class == WIRE_DATA) {
		uint64_t size = frame->head.raw_len;

		on_data(p, frame);
		if (p->cut_after && (p->cut_after -= size < p->cut_after ? size : p->cut_after) == 0)
			event_active(p->accept_event, EV_TIMEOUT, 0); /* never from inside a callback of the connection */
		return;
	}
	MUST(wire_frame_open(&frame->head, frame->body, &in, &buf) == 0);
	while (wire_unpack(&in, WIRE_CONTROL, &m) == 1) {
		on_control(p, &m);
		wire_msg_fini(&m);
	}
	free(buf);
	wire_frame_free(frame);
}

static void
on_opened(struct wire_conn *c, const char *profile, void *arg)
{
	(void)c;
	(void)profile;
	(void)arg;
}

static void
on_writable(struct wire_conn *c, void *arg)
{
	(void)c;
	(void)arg;
}

static void
on_closed(struct wire_conn *c, int err, const char *text, void *arg)
{
	struct peer *p = arg;

	(void)err;
	(void)text;
	if (p->conn == c)
		peer_cut(p);
}

static const struct wire_conn_events conn_events = {
	.opened = on_opened, .frame = on_frame, .writable = on_writable, .closed = on_closed,
};

void
peer_cut(struct peer *p)
{
	struct wire_conn *c = p->conn;

	p->conn = NULL;
	end_session(p);
	wire_conn_free(c);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	int conn;

	if (what & EV_TIMEOUT)
		peer_cut(p);
	if (!(what & EV_READ) || (conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
		return;
	if (p->conn)
		peer_cut(p);
	MUST(wire_conn_accept(p->base, conn, p->identity, &conn_events, p, &p->conn) == 0);
}

static void
listen_on_loopback(struct peer *p)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;

	p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	MUST(p->listener >= 0 && bind(p->listener, (struct sockaddr *)&a, sizeof a) == 0 && listen(p->listener, 16) == 0);
	MUST(getsockname(p->listener, (struct sockaddr *)&a, &len) == 0);
	snprintf(p->address, sizeof p->address, "127.0.0.1:%u", ntohs(a.sin_port));
	p->accept_event = event_new(p->base, p->listener, EV_READ | EV_PERSIST, on_accept, p);
	event_add(p->accept_event, NULL);
}

void
peer_open(struct peer *p, struct event_base *base, struct workpool *pool, struct identity *identity, const char *dir)
{
	char state[256];
	uint64_t generation = p->generation ? p->generation : 1;
	struct staging_recovery recovery;

	*p = (struct peer){.base = base, .pool = pool, .identity = identity, .generation = generation, .page = 5};
	p->lane_write = workpool_add_lane(pool, "write", 2);
	p->lane_sync = workpool_add_lane(pool, "sync", 1);
	memcpy(p->key_bytes, "0123456789abcdef0123456789abcdef", sizeof p->key_bytes);
	block_key_init(&p->key, p->key_bytes);
	MUST(mkdir(dir, 0700) == 0 || access(dir, W_OK) == 0);
	p->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(fsio_make_dirs(p->fd, "state", false));
	snprintf(state, sizeof state, "%s/state", dir);
	MUST(index_open(state, "po1", false, &p->index, NULL) == 0);
	struct staging_setup setup = {.pool = pool, .lane_write = p->lane_write, .lane_sync = p->lane_sync, .index = p->index,
	    .profile_fd = p->fd, .layout = LAYOUT_POST_OFFICE, .key = &p->key};
	MUST(staging_new(&setup, &p->staging) == 0);
	MUST(staging_recover(p->staging, 1500000000, &recovery) == 0);
	listen_on_loopback(p);
}

void
peer_settle(struct peer *p)
{
	while (!staging_idle(p->staging))
		event_base_loop(p->base, EVLOOP_ONCE);
}

void
peer_close(struct peer *p)
{
	peer_cut(p);
	peer_settle(p);
	while (p->task_busy)
		event_base_loop(p->base, EVLOOP_ONCE);
	workpool_remove_lane(p->pool, p->lane_write);
	workpool_remove_lane(p->pool, p->lane_sync);
	event_free(p->accept_event);
	close(p->listener);
	staging_free(p->staging);
	index_close(p->index);
	close(p->fd);
}

int
peer_open_file(struct peer *p, const char *path, struct index_node *ret_node)
{
	char *place;
	int fd, err = index_get(p->index, path, ret_node);

	if (err)
		return err < 0 ? err : -ERR_NOTFOUND;
	place = index_place(LAYOUT_POST_OFFICE, path, ret_node->version);
	MUST(place);
	fd = fsio_open(p->fd, place, O_RDONLY, 0);
	free(place);
	return fd;
}
