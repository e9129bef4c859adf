/* SPDX-License-Identifier: GPL-2.0-or-later */
/* link - when to dial again, and why the last connection ended. */
#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/version.h"
#include "replicator/link.h"
#include "wire/wire_conn.h"

#define RETRY_FIRST_MS 100
#define RETRY_BUSY_MS 1000
#define RETRY_MAX_MS 60000

struct link {
	struct event_base *base;
	struct identity *identity;
	char *address;
	const struct link_events *events;
	void *arg;
	struct event *timer;
	struct wire_conn *conn;
	enum link_state state;
	unsigned failures;
	unsigned busy;         /* times in a row that another collector was there */
	bool refused;
	bool dropping;         /* given up, but perhaps inside its own callback: the timer frees it */
	uint32_t version;      /* of the protocol, as the last WELCOME said */
	int goodbye;           /* code of the last GOODBYE, 0 = none came */
	char why[256];
	uint64_t rng, rate, bytes_before;
};

static const char *const names[] = {
	[LINK_DOWN] = "down", [LINK_DIALING] = "dialing", [LINK_OPEN] = "open", [LINK_GREETED] = "greeted", [LINK_UP] = "up",
};
_Static_assert(sizeof names / sizeof *names == LINK_STATES, "every state has its name");

static void
set_state(struct link *l, enum link_state state)
{
	if (l->state != state)
		log_debug("link.state", "%s -> %s", names[l->state], names[state]);
	l->state = state;
}

/* splitmix64: jitter need not be unguessable. */
static uint64_t
next_random(uint64_t *rng)
{
	uint64_t z = *rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

int64_t
link_delay_ms(unsigned failures, int err, uint64_t *rng)
{
	int64_t ms = RETRY_MAX_MS;

	if (err != -ERR_DENIED && failures < 10)
		ms = (int64_t)(err == -ERR_BUSY ? RETRY_BUSY_MS : RETRY_FIRST_MS) << failures;
	if (ms > RETRY_MAX_MS)
		ms = RETRY_MAX_MS;
	return ms / 2 + (int64_t)(next_random(rng) % (uint64_t)(failures ? ms / 2 + 1 : ms + 1));
}

static void
arm(struct link *l, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	evtimer_add(l->timer, &tv);
}

/* The connection is over or could not be made: wait, then dial again. */
static void
back_off(struct link *l, int err, const char *text)
{
	int64_t ms;

	if (l->goodbye)
		err = -l->goodbye;
	else
		snprintf(l->why, sizeof l->why, "%s", text && *text ? text : "the server closed the connection");
	l->refused = err == -ERR_DENIED || err == -ERR_BUSY;
	ms = link_delay_ms(err == -ERR_BUSY ? l->busy++ : l->failures++, l->refused ? err : 0, &l->rng);
	l->goodbye = 0;
	set_state(l, LINK_DOWN);
	log_info("link.down", "server=%s retry_ms=%lld why=%s", l->address, (long long)ms, l->why);
	arm(l, ms);
}

static void
close_conn(struct link *l)
{
	if (!l->conn)
		return;
	l->bytes_before += wire_conn_bytes_sent(l->conn);
	wire_conn_free(l->conn);
	l->conn = NULL;
	l->dropping = false;
}

static void
on_opened(struct wire_conn *c, const char *profile, void *arg)
{
	struct link *l = arg;

	(void)c;
	(void)profile;
	set_state(l, LINK_OPEN);
	l->events->opened(l->arg);
}

static void
on_welcome(struct link *l, struct wire_msg *msg)
{
	if (l->state != LINK_GREETED || msg->u.welcome.version < WIRE_VERSION_MIN || msg->u.welcome.version > WIRE_VERSION_MAX) {
		link_drop(l, -ERR_PEER, "WELCOME out of place or of an unknown version");
		return;
	}
	l->version = msg->u.welcome.version;
	set_state(l, LINK_UP);
	l->refused = false;
	l->busy = 0;
	l->why[0] = '\0';
	log_info("link.up", "server=%s peer=%s build=%s", l->address, wire_conn_peer(l->conn), msg->u.welcome.build);
	l->events->welcome(msg, l->arg);
}

static void
on_goodbye(struct link *l, const struct wire_msg *msg)
{
	l->goodbye = msg->u.goodbye.code;
	snprintf(l->why, sizeof l->why, "%s", msg->u.goodbye.text);
}

static void
on_message(struct link *l, struct wire_msg *msg)
{
	if (msg->type == WIRE_GOODBYE)
		on_goodbye(l, msg);
	else if (msg->type == WIRE_WELCOME)
		on_welcome(l, msg);
	else if (l->state == LINK_UP)
		l->events->message(msg, l->arg);
	else
		link_drop(l, -ERR_PEER, "a message before WELCOME");
}

/* A message may end the connection; what is left of its frame then counts for nothing. */
static void
on_frame(struct wire_conn *c, struct wire_frame *frame, void *arg)
{
	struct link *l = arg;
	struct pack_in payload = {0};
	uint8_t *buf = NULL;
	struct wire_msg msg;
	int got, err = wire_frame_open(&frame->head, frame->body, &payload, &buf);

	(void)c;
	while (!err && !l->dropping && (got = wire_unpack(&payload, frame->head.class, &msg)) != 0) {
		if (got < 0) {
			err = got;
			break;
		}
		on_message(l, &msg);
		wire_msg_fini(&msg);
	}
	if (err < 0 && !l->dropping)
		link_drop(l, err, err_text());
	free(buf);
	wire_frame_free(frame);
}

static void
on_writable(struct wire_conn *c, void *arg)
{
	struct link *l = arg;

	(void)c;
	l->events->writable(l->arg);
}

static void
on_closed(struct wire_conn *c, int err, const char *text, void *arg)
{
	struct link *l = arg;

	(void)c;
	close_conn(l);
	back_off(l, err, text);
	l->events->closed(l->arg);
}

static const struct wire_conn_events conn_events = {
	.opened = on_opened, .frame = on_frame, .writable = on_writable, .closed = on_closed,
};

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct link *l = arg;
	int err;

	(void)fd;
	(void)what;
	close_conn(l);
	if (l->state != LINK_DOWN) { /* dropped: the owner hears of it here, never from inside its own call */
		char why[sizeof l->why];

		memcpy(why, l->why, sizeof why);
		back_off(l, -ERR_PEER, why);
		l->events->closed(l->arg);
	} else if ((err = wire_conn_dial(l->base, l->address, l->identity, &conn_events, l, &l->conn)) < 0)
		back_off(l, err, err_text());
	else {
		set_state(l, LINK_DIALING);
		wire_conn_set_rate(l->conn, l->rate);
	}
}

int
link_new(struct event_base *base, struct identity *identity, const char *address, uint64_t seed, const struct link_events *events,
    void *arg, struct link **ret_link)
{
	struct link *l = calloc(1, sizeof *l);

	if (!l || !(l->address = strdup(address)) || !(l->timer = evtimer_new(base, on_timer, l))) {
		link_free(l);
		return err_set(ERR_NOMEM, "no memory for the link");
	}
	l->base = base;
	l->identity = identity;
	l->events = events;
	l->arg = arg;
	l->rng = seed;
	arm(l, 0);
	*ret_link = l;
	return 0;
}

void
link_free(struct link *l)
{
	if (!l)
		return;
	close_conn(l);
	if (l->timer)
		event_free(l->timer);
	free(l->address);
	free(l);
}

enum link_state
link_state(const struct link *l)
{
	return l->state;
}

const char *
link_why(const struct link *l)
{
	return l->why;
}

bool
link_refused(const struct link *l)
{
	return l->refused;
}

uint32_t
link_version(const struct link *l)
{
	return l->state == LINK_UP ? l->version : 0;
}

int
link_hello(struct link *l, enum layout_type layout, const char *journal_uuid, const struct treemap_sum *total)
{
	char build[64], host[256] = "", journal[64];
	struct wire_msg m = {.type = WIRE_HELLO};

	snprintf(build, sizeof build, "tidemark %s", tidemark_version);
	gethostname(host, sizeof host - 1);
	snprintf(journal, sizeof journal, "%s", journal_uuid);
	m.u.hello.version_min = WIRE_VERSION_MIN;
	m.u.hello.version_max = WIRE_VERSION_MAX;
	m.u.hello.layout = (uint8_t)layout;
	m.u.hello.build = build;
	m.u.hello.host = host;
	m.u.hello.journal = journal;
	m.u.hello.total = *total;
	set_state(l, LINK_GREETED);
	return link_send(l, &m);
}

void
link_progress(struct link *l)
{
	l->failures = 0;
}

void
link_drop(struct link *l, int err, const char *text)
{
	if (l->state == LINK_DOWN || l->dropping)
		return;
	log_warn("link.drop", "code=%s %s", err_name(err), text);
	snprintf(l->why, sizeof l->why, "%s", text);
	l->goodbye = 0;
	l->dropping = true;
	arm(l, 0);
}

void
link_retry(struct link *l)
{
	if (l->state == LINK_DOWN)
		arm(l, 0);
}

void
link_set_identity(struct link *l, struct identity *identity)
{
	l->identity = identity;
	l->failures = 0;
	if (l->state == LINK_DOWN)
		link_retry(l);
	else
		link_drop(l, -ERR_DENIED, "the profile was enrolled again");
}

int
link_send(struct link *l, const struct wire_msg *msg)
{
	assert(l->state != LINK_UP || wire_type_since(msg->type) <= l->version);
	return l->conn && !l->dropping ? wire_conn_send(l->conn, msg) : err_set(ERR_UNREACHABLE, "not connected");
}

void
link_send_frame(struct link *l, uint8_t *data, size_t len)
{
	if (l->conn && !l->dropping)
		wire_conn_send_frame(l->conn, WIRE_DATA, data, len);
	else
		free(data);
}

size_t
link_queued(const struct link *l)
{
	return l->conn ? wire_conn_queued(l->conn) : 0;
}

void
link_set_rate(struct link *l, uint64_t bytes_per_s)
{
	l->rate = bytes_per_s;
	if (l->conn)
		wire_conn_set_rate(l->conn, bytes_per_s);
}

uint64_t
link_bytes_sent(const struct link *l)
{
	return l->bytes_before + (l->conn ? wire_conn_bytes_sent(l->conn) : 0);
}
