/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session - knows which message may come when, and how much of a collector's haste is held back. */
#include "base/planted.h"
#include "server/session_own.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/version.h"
#include "server/index.h"
#include "server/keeper_link.h"
#include "server/profile.h"
#include "server/sealing.h"
#include "server/staging.h"
#include "server/tenant.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

#define QUEUE_MAX (40u * 1024u * 1024u)
#define QUEUE_LOW (24u * 1024u * 1024u)

static const char *const state_names[] = {"connecting", "hello", "starting", "live", "enrolling", "closing"};
_Static_assert(sizeof state_names / sizeof *state_names == STATES, "every state has a name");

/* ---- life ---- */

void
session_unref(struct session *s)
{
	if (--s->refs == 0)
		free(s);
}

/* The profile is free for the next session. */
static void
leave(struct session *s)
{
	struct tenant *t = s->t;

	session_drop_questions(s);
	session_forget_orders(s);
	if (!t || t->session != s)
		return;
	profile_cancel(t->profile, s);
	if (s->state == LIVE)
		staging_end(profile_staging(t->profile));
	t->wire_bytes_received += wire_conn_bytes_received(s->conn);
	t->last_seen_ns = clock_wall_ns();
	t->connected_ns = 0;
	t->session = NULL;
	t->changed(t);
}

void
session_free(struct session *s)
{
	if (!s || s->freed)
		return;
	s->freed = true;
	leave(s);
	s->state = CLOSING;
	wire_conn_free(s->conn);
	s->conn = NULL;
	session_unref(s);
}

void
session_send(struct session *s, const struct wire_msg *msg)
{
	if (s->state == CLOSING || s->state == CONNECTING)
		return;
	int err = wire_conn_send(s->conn, msg);
	if (err)
		session_close(s, err, err_text());
}

void
session_close(struct session *s, int err, const char *text)
{
	char copy[256];

	if (s->state == CLOSING)
		return;
	snprintf(copy, sizeof copy, "%s", text); /* it may be err_text(), and leaving may fail */
	if (err)
		log_warn("session.close", "profile=%s peer=%s %s", s->t ? tenant_name(s->t) : "-", wire_conn_peer(s->conn), copy);
	leave(s);
	s->state = CLOSING;
	wire_conn_close(s->conn, err, copy);
}

/* ---- what staging says ---- */

static void
on_ack(uint64_t received, uint64_t applied, uint64_t durable, void *arg)
{
	struct session *s = arg;
	struct wire_msg m = {.type = WIRE_ACK};

	m.u.ack.received = received;
	m.u.ack.applied = applied;
	m.u.ack.durable = durable;
	if (durable > s->durable)
		s->t->last_durable_ns = clock_wall_ns();
	s->durable = durable;
	session_send(s, &m);
}

static void
on_nak(uint64_t op, int err, const char *text, void *arg)
{
	struct session *s = arg;
	struct wire_msg m = {.type = WIRE_NAK};

	log_debug("session.nak", "profile=%s op=%llu %s", tenant_name(s->t), (unsigned long long)op, text);
	m.u.nak.op = op;
	m.u.nak.code = err;
	m.u.nak.text = (char *)(uintptr_t)text;
	session_send(s, &m);
}

static void
on_drained(void *arg)
{
	struct session *s = arg;

	if (!s->paused || staging_queued(profile_staging(s->t->profile)) > QUEUE_LOW)
		return;
	s->paused = false;
	wire_conn_pause(s->conn, false);
}

static void
on_failed(int err, const char *text, void *arg)
{
	struct session *s = arg;

	log_error("session.staging", "profile=%s %s", tenant_name(s->t), text);
	session_close(s, err, text);
}

static const struct staging_events staging_events = {.ack = on_ack, .nak = on_nak, .drained = on_drained, .failed = on_failed};

/* ---- HELLO ---- */

static void
send_welcome(struct session *s, const struct profile_admission *a)
{
	const struct report_set *newest = &s->t->newest;
	struct wire_msg m = {.type = WIRE_WELCOME};

	m.u.welcome.version = s->version;
	m.u.welcome.build = (char *)(uintptr_t)tidemark_version;
	m.u.welcome.instance = (char *)(uintptr_t)index_instance(profile_index(s->t->profile));
	m.u.welcome.generation = a->generation;
	m.u.welcome.token = a->token;
	m.u.welcome.total = a->total;
	memcpy(m.u.welcome.key, profile_key_bytes(s->t->profile), sizeof m.u.welcome.key);
	m.u.welcome.last_set = newest->name ? newest->name : (char *)(uintptr_t)"";
	m.u.welcome.last_sealed_ns = newest->sealed_ns;
	m.u.welcome.last_started_ns = newest->started_ns;
	m.u.welcome.now_ns = clock_wall_ns();
	session_send(s, &m);
}

static void
admitted(int err, const char *text, const struct profile_admission *a, void *arg)
{
	struct session *s = arg;

	if (err) {
		session_close(s, err, text);
		return;
	}
	s->state = LIVE;
	s->token = a->token;
	staging_begin(profile_staging(s->t->profile), &staging_events, s);
	sealing_load(s->t->sealing);
	sealing_session_begins(s->t->sealing);
	s->t->connected_ns = clock_wall_ns();
	log_info("session.live", "profile=%s peer=%s token=%llu", tenant_name(s->t), wire_conn_peer(s->conn), (unsigned long long)a->token);
	send_welcome(s, a);
	tenant_tell_newest(s->t);
	s->t->changed(s->t);
}

static void
sets_learned(void *arg)
{
	struct session *s = arg;

	if (s->state == STARTING && !s->freed)
		profile_admit(s->t->profile, (enum layout_type)s->layout, admitted, s);
	session_unref(s);
}

/* A collector that was killed must not wait for its own ghost: whose connection has ended makes room, however much of what it
 * sent is still to be read. */
static bool
another_lives(struct session *s)
{
	struct session *other = s->t->session;

	if (other && !wire_conn_probe(other->conn))
		session_close(other, -ERR_UNREACHABLE, "its connection is lost, and a new one of this profile has come");
	return s->t->session;
}

static void
on_hello(struct session *s, struct wire_msg *m)
{
	if (m->u.hello.version_min > WIRE_VERSION_MAX || m->u.hello.version_max < WIRE_VERSION_MIN) {
		session_close(s, -ERR_UNSUPPORTED, "no protocol version in common: upgrade the older side");
	} else if (m->u.hello.layout >= LAYOUT_TYPES) {
		session_close(s, -ERR_UNSUPPORTED, "an unknown type of profile");
	} else if (another_lives(s) && !PLANTED(second_collector_let_in)) {
		session_close(s, -ERR_BUSY, "another collector of this profile is connected");
	} else {
		s->host->authenticated(s, s->host->arg);
		s->t->session = s;
		s->layout = m->u.hello.layout;
		s->version = m->u.hello.version_max < WIRE_VERSION_MAX ? m->u.hello.version_max : WIRE_VERSION_MAX;
		s->state = STARTING;
		s->refs++;
		/* The WELCOME names the newest set: a seal may have ended while the collector was away. */
		if (s->t->sets_known)
			sets_learned(s);
		else
			tenant_learn_sets(s->t, sets_learned, s);
	}
}

/* ---- the day ---- */

static void
on_job_begin(struct session *s, struct wire_msg *m)
{
	sealing_begin(s->t->sealing, m->u.job_begin.job, m->u.job_begin.date, m->u.job_begin.t0_ns);
}

static void
on_seal(struct session *s, struct wire_msg *m)
{
	sealing_seal(s->t->sealing, m->u.seal.job, m->u.seal.date, m->u.seal.t0_ns, &m->u.seal.total, m->u.seal.note ? m->u.seal.note : "");
}

static void
on_stop(struct session *s, struct wire_msg *m)
{
	char who[64];

	snprintf(who, sizeof who, "collector: %s", m->u.stop.origin ? m->u.stop.origin : "");
	sealing_stop(s->t->sealing, m->u.stop.job, who);
}

static void
on_job_end(struct session *s, struct wire_msg *m)
{
	sealing_end(s->t->sealing, m->u.job_end.job);
}

static void
on_origin(struct session *s, struct wire_msg *m)
{
	sealing_origin(s->t->sealing, m->u.origin.job, m->u.origin.origin ? m->u.origin.origin : "");
}

static void
on_job_over(struct session *s, struct wire_msg *m)
{
	const struct sealing_over over = {.job = m->u.job_over.job, .date = m->u.job_over.date, .t0_ns = m->u.job_over.t0_ns,
	    .origin = m->u.job_over.origin ? m->u.job_over.origin : "", .code = m->u.job_over.code, .text = m->u.job_over.text ? m->u.job_over.text : ""};

	sealing_over(s->t->sealing, &over);
}

static void
on_due(struct session *s, struct wire_msg *m)
{
	sealing_due(s->t->sealing, m->u.due.at_ns);
}

static void
on_goodbye(struct session *s, struct wire_msg *m)
{
	log_info("session.goodbye", "profile=%s peer=%s %s", s->t ? tenant_name(s->t) : "-", wire_conn_peer(s->conn),
	    m->u.goodbye.text ? m->u.goodbye.text : "");
	session_close(s, 0, "");
}

/* ---- the table ---- */

typedef void handler(struct session *s, struct wire_msg *m);

static handler *const handlers[STATES][WIRE_TYPES] = {
	[HELLO] = {[WIRE_HELLO] = on_hello, [WIRE_GOODBYE] = on_goodbye},
	[STARTING] = {[WIRE_GOODBYE] = on_goodbye},
	[LIVE] = {
		[WIRE_SUMS_REQ] = session_on_question, [WIRE_LIST_REQ] = session_on_question, [WIRE_BLOCKS_REQ] = session_on_question,
		[WIRE_JOB_BEGIN] = on_job_begin, [WIRE_SEAL] = on_seal, [WIRE_JOB_END] = on_job_end, [WIRE_STOP] = on_stop,
		[WIRE_ORIGIN] = on_origin, [WIRE_JOB_OVER] = on_job_over, [WIRE_DUE] = on_due,
		[WIRE_RELEASE_REQ] = session_on_question, [WIRE_PIECE_REQ] = session_on_question,
		[WIRE_SETS_REQ] = session_on_sets, [WIRE_NAMES_REQ] = session_on_names, [WIRE_GOODBYE] = on_goodbye,
	},
	[ENROLLING] = {[WIRE_ENROL] = session_on_enrol, [WIRE_GOODBYE] = on_goodbye},
};

static void
dispatch(struct session *s, struct wire_msg *m)
{
	handler *handle = handlers[s->state][m->type];
	char text[96];

	if (handle && (s->state != LIVE || wire_type_since(m->type) <= s->version)) {
		handle(s, m);
		return;
	}
	snprintf(text, sizeof text, "%s came while the session is %s", wire_type_name(m->type), state_names[s->state]);
	session_close(s, -ERR_PEER, text);
}

static void
take_control(struct session *s, struct wire_frame *frame)
{
	struct pack_in payload;
	struct wire_msg m;
	uint8_t *buf = NULL;
	int got = wire_frame_open(&frame->head, frame->body, &payload, &buf);

	while (got >= 0 && s->state != CLOSING && (got = wire_unpack(&payload, WIRE_CONTROL, &m)) > 0) {
		dispatch(s, &m);
		wire_msg_fini(&m);
	}
	if (got < 0)
		session_close(s, got, err_text());
	free(buf);
	wire_frame_free(frame);
}

static void
take_data(struct session *s, struct wire_frame *frame)
{
	struct staging *st;

	if (s->state != LIVE) {
		wire_frame_free(frame);
		session_close(s, -ERR_PEER, "data came before the session is live");
		return;
	}
	st = profile_staging(s->t->profile);
	staging_frame(st, frame);
	if (s->state == LIVE && !s->paused && staging_queued(st) > QUEUE_MAX) {
		s->paused = true;
		wire_conn_pause(s->conn, true);
	}
}

/* ---- the connection ---- */

static void
on_opened(struct wire_conn *c, const char *profile, void *arg)
{
	struct session *s = arg;
	int err;

	if (!*profile) {
		s->state = ENROLLING;
		return;
	}
	s->state = HELLO;
	err = wire_conn_peer_pin(c, s->pin);
	s->has_pin = err == 0;
	s->t = s->has_pin ? s->host->tenant(profile, s->host->arg) : NULL;
	if (err)
		session_close(s, err, err_text());
	else if (!s->t)
		session_close(s, -ERR_DENIED, "this profile is not known here");
}

static void
on_frame(struct wire_conn *c, struct wire_frame *frame, void *arg)
{
	struct session *s = arg;

	(void)c;
	s->refs++; /* a handler may end it */
	if (s->state == CLOSING)
		wire_frame_free(frame);
	else if (frame->head.class == WIRE_DATA)
		take_data(s, frame);
	else
		take_control(s, frame);
	session_unref(s);
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
	struct session *s = arg;

	(void)c;
	if (s->state != CLOSING)
		log_info("session.closed", "profile=%s peer=%s%s%s", s->t ? tenant_name(s->t) : "-", wire_conn_peer(s->conn), err ? " " : "", err ? text : "");
	s->host->over(s, s->host->arg);
	session_free(s);
}

static const struct wire_conn_events conn_events = {.opened = on_opened, .frame = on_frame, .writable = on_writable, .closed = on_closed};

int
session_new(const struct session_host *host, int fd, struct session **ret_session)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s) {
		close(fd);
		return err_set(ERR_NOMEM, "accepting a connection");
	}
	s->host = host;
	s->refs = 1;
	TAILQ_INIT(&s->questions);
	int err = wire_conn_accept(host->base, fd, host->identity, &conn_events, s, &s->conn);
	if (err) {
		free(s);
		return err;
	}
	*ret_session = s;
	return 0;
}

/* ---- for the server ---- */

void
session_check_pin(struct session *s)
{
	int err;

	if (!s->t || !s->has_pin || s->state == CLOSING || PLANTED(revoked_session_kept))
		return;
	err = identity_pin_check(s->host->identity, tenant_name(s->t), s->pin);
	if (err == -ERR_DENIED)
		session_close(s, err, "this certificate was revoked");
	else if (err)
		session_close(s, err, err_text());
}

struct tenant *
session_tenant(const struct session *s)
{
	return s->t;
}

uint32_t
session_version(const struct session *s)
{
	return s->version;
}

bool
session_live(const struct session *s)
{
	return s->state == LIVE;
}

const char *
session_peer(const struct session *s)
{
	return s->conn ? wire_conn_peer(s->conn) : "";
}

uint64_t
session_bytes_received(const struct session *s)
{
	return s->conn ? wire_conn_bytes_received(s->conn) : 0;
}
