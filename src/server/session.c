/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session - knows which message may come when, and how much of a collector's haste is held back. */
#include "server/session.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/workpool.h"
#include "server/answers.h"
#include "server/index.h"
#include "server/keeper_link.h"
#include "server/profile.h"
#include "server/sealing.h"
#include "server/staging.h"
#include "server/tenant.h"
#include "wire/identity.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

#define QUEUE_MAX (40u * 1024u * 1024u)
#define QUEUE_LOW (24u * 1024u * 1024u)
#define QUESTIONS_MAX 64u

enum state { CONNECTING, HELLO, STARTING, LIVE, ENROLLING, CLOSING, STATES };
static const char *const state_names[] = {"connecting", "hello", "starting", "live", "enrolling", "closing"};
_Static_assert(sizeof state_names / sizeof *state_names == STATES, "every state has a name");

/* A question that is answered in a lane. */
struct question {
	TAILQ_ENTRY(question) link;
	struct job job;
	struct session *s;
	struct profile *profile;
	struct answers about;
	struct wire_msg msg;
	uint8_t *frame;
	size_t len;
	int err;
	char *text;
};
TAILQ_HEAD(questions, question);

struct enrolment {
	struct job job;
	struct session *s;
	struct tenant *t;
	char profile[WIRE_NAME_MAX + 1];
	uint8_t exporter[32], proof[32];
	uint8_t *csr, *certificate, *authority;
	size_t csr_len, certificate_len, authority_len;
	int64_t now_s;
	int err;
	char *text;
};

struct session {
	const struct session_host *host;
	struct wire_conn *conn;
	enum state state;
	struct tenant *t;
	unsigned refs;             /* the connection, and whatever has been asked for it */
	bool freed;
	bool paused;
	uint8_t layout;
	uint8_t pin[IDENTITY_PIN_BYTES];
	bool has_pin;
	uint64_t token;
	struct questions questions; /* first = in the lane */
	size_t n_questions;
	bool asking_sets;
	uint64_t sets_order;
};

static int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* ---- life ---- */

static void
unref(struct session *s)
{
	if (--s->refs == 0)
		free(s);
}

static void
question_free(struct question *q)
{
	wire_msg_fini(&q->msg);
	free(q->frame);
	free(q->text);
	free(q);
}

/* Questions that are not in the lane yet. */
static void
drop_questions(struct session *s)
{
	struct question *first = TAILQ_FIRST(&s->questions), *q;

	while (first && (q = TAILQ_NEXT(first, link))) {
		TAILQ_REMOVE(&s->questions, q, link);
		s->n_questions--;
		question_free(q);
	}
}

/* The profile is free for the next session. */
static void
leave(struct session *s)
{
	struct tenant *t = s->t;

	drop_questions(s);
	if (t && s->sets_order)
		keeper_link_forget(t->keeper, s->sets_order);
	s->sets_order = 0;
	if (!t || t->session != s)
		return;
	profile_cancel(t->profile, s);
	if (s->state == LIVE)
		staging_end(profile_staging(t->profile));
	t->wire_bytes_received += wire_conn_bytes_received(s->conn);
	t->last_seen_ns = now_ns();
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
	unref(s);
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
	s->t->last_durable_ns = now_ns();
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

	m.u.welcome.version = WIRE_VERSION_MAX;
	m.u.welcome.build = (char *)(uintptr_t)TIDEMARK_VERSION;
	m.u.welcome.instance = (char *)(uintptr_t)index_instance(profile_index(s->t->profile));
	m.u.welcome.generation = a->generation;
	m.u.welcome.token = a->token;
	m.u.welcome.total = a->total;
	memcpy(m.u.welcome.key, profile_key_bytes(s->t->profile), sizeof m.u.welcome.key);
	m.u.welcome.last_set = newest->name ? newest->name : (char *)(uintptr_t)"";
	m.u.welcome.last_sealed_ns = newest->sealed_ns;
	m.u.welcome.last_started_ns = newest->started_ns;
	m.u.welcome.now_ns = now_ns();
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
	s->t->connected_ns = now_ns();
	log_info("session.live", "profile=%s peer=%s token=%llu", tenant_name(s->t), wire_conn_peer(s->conn), (unsigned long long)a->token);
	send_welcome(s, a);
	s->t->changed(s->t);
}

static void
sets_learned(void *arg)
{
	struct session *s = arg;

	if (s->state == STARTING && !s->freed)
		profile_admit(s->t->profile, (enum layout_type)s->layout, admitted, s);
	unref(s);
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
	} else if (another_lives(s)) {
		session_close(s, -ERR_BUSY, "another collector of this profile is connected");
	} else {
		s->host->authenticated(s, s->host->arg);
		s->t->session = s;
		s->layout = m->u.hello.layout;
		s->state = STARTING;
		s->refs++;
		/* The WELCOME names the newest set: a seal may have ended while the collector was away. */
		if (s->t->sets_known)
			sets_learned(s);
		else
			tenant_learn_sets(s->t, sets_learned, s);
	}
}

/* ---- questions ---- */

static void ask_next(struct session *s);

static void
question_run(struct job *job)
{
	struct question *q = (struct question *)((char *)job - offsetof(struct question, job));

	switch (q->msg.type) {
	case WIRE_SUMS_REQ:
		q->err = answers_sums(&q->about, q->msg.u.sums_req.after, &q->frame, &q->len);
		break;
	case WIRE_LIST_REQ:
		q->err = answers_list(&q->about, q->msg.u.list_req.dir, q->msg.u.list_req.after, &q->frame, &q->len);
		break;
	default:
		q->err = answers_blocks(&q->about, q->msg.u.blocks_req.path, q->msg.u.blocks_req.first, q->msg.u.blocks_req.count, &q->frame, &q->len);
		break;
	}
	if (q->err < 0)
		q->text = strdup(err_text());
}

static void
question_done(struct job *job, bool cancelled)
{
	struct question *q = (struct question *)((char *)job - offsetof(struct question, job));
	struct session *s = q->s;

	TAILQ_REMOVE(&s->questions, q, link);
	s->n_questions--;
	profile_release(q->profile);
	if (s->state == LIVE && !cancelled) {
		if (q->err < 0) {
			session_close(s, q->err, q->text ? q->text : "");
		} else {
			wire_conn_send_frame(s->conn, WIRE_CONTROL, q->frame, q->len);
			q->frame = NULL;
		}
	}
	question_free(q);
	if (s->state == LIVE && !cancelled)
		ask_next(s);
	unref(s);
}

static void
ask_next(struct session *s)
{
	struct question *q = TAILQ_FIRST(&s->questions);
	struct profile *p = s->t->profile;

	if (!q)
		return;
	q->profile = p;
	q->about = (struct answers){.index = profile_index(p), .key = profile_key(p), .layout = (enum layout_type)s->layout, .profile_fd = profile_fd(p)};
	q->job = (struct job){.run = question_run, .done = question_done};
	profile_hold(p);
	s->refs++;
	workpool_submit(s->host->pool, s->host->lane_read, &q->job);
}

static void
on_question(struct session *s, struct wire_msg *m)
{
	struct question *q = s->n_questions < QUESTIONS_MAX ? calloc(1, sizeof *q) : NULL;

	if (!q) {
		session_close(s, -ERR_LIMIT, "too many questions at a time");
		return;
	}
	q->s = s;
	q->msg = *m;
	*m = (struct wire_msg){0}; /* taken */
	TAILQ_INSERT_TAIL(&s->questions, q, link);
	if (++s->n_questions == 1)
		ask_next(s);
}

static void
sets_told(const struct report *report, void *arg)
{
	struct session *s = arg;
	struct wire_msg m = {.type = WIRE_SETS};

	if (report->kind != REPORT_DONE && report->kind != REPORT_FAILED)
		return;
	s->sets_order = 0;
	struct wire_set *sets = calloc(report->n_sets ? report->n_sets : 1, sizeof *sets);
	for (size_t i = 0; sets && i < report->n_sets; i++) {
		const struct report_set *r = &report->sets[i];

		sets[i] = (struct wire_set){.name = r->name, .started_ns = r->started_ns, .sealed_ns = r->sealed_ns, .files = r->files,
		    .bytes = r->bytes, .verified = r->verified, .state = r->warnings};
	}
	m.u.sets.v = sets;
	m.u.sets.n = sets ? report->n_sets : 0;
	session_send(s, &m);
	free(sets);
}

static void
on_sets(struct session *s, struct wire_msg *m)
{
	struct order order = {.kind = ORDER_SETS, .profile = (char *)(uintptr_t)tenant_name(s->t)};

	(void)m;
	if (s->sets_order)
		return;
	s->sets_order = keeper_link_order(s->t->keeper, &order, sets_told, s);
	if (!s->sets_order)
		sets_told(&(struct report){.kind = REPORT_FAILED}, s);
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
on_goodbye(struct session *s, struct wire_msg *m)
{
	log_info("session.goodbye", "profile=%s peer=%s %s", s->t ? tenant_name(s->t) : "-", wire_conn_peer(s->conn),
	    m->u.goodbye.text ? m->u.goodbye.text : "");
	session_close(s, 0, "");
}

/* ---- enrolment ---- */

static void
enrolment_run(struct job *job)
{
	struct enrolment *e = (struct enrolment *)job;

	e->err = identity_enrol_accept(e->s->host->identity, e->profile, e->now_s, e->exporter, e->csr, e->csr_len, e->proof,
	    &e->certificate, &e->certificate_len, &e->authority, &e->authority_len);
	if (e->err)
		e->text = strdup(err_text());
}

static void
enrolment_free(struct enrolment *e)
{
	free(e->csr);
	free(e->certificate);
	free(e->authority);
	free(e->text);
	free(e);
}

static void
tell_enrolled(struct session *s, const struct enrolment *e)
{
	struct wire_msg m = {.type = WIRE_ENROLLED};

	m.u.enrolled.certificate = (struct wire_bytes){e->certificate, e->certificate_len};
	m.u.enrolled.authority = (struct wire_bytes){e->authority, e->authority_len};
	memcpy(m.u.enrolled.key, profile_key_bytes(e->t->profile), sizeof m.u.enrolled.key);
	log_info("session.enrolled", "profile=%s peer=%s", e->profile, wire_conn_peer(s->conn));
	session_send(s, &m);
	e->t->changed(e->t);
}

static void
enrolment_done(struct job *job, bool cancelled)
{
	struct enrolment *e = (struct enrolment *)job;
	struct session *s = e->s;

	if (s->state == ENROLLING && !cancelled) {
		if (e->err)
			session_close(s, e->err, e->text ? e->text : "");
		else
			tell_enrolled(s, e);
	}
	enrolment_free(e);
	unref(s);
}

/* The folder is open and has its key: only now the token is spent. */
static void
enrolment_opened(int err, const char *text, void *arg)
{
	struct enrolment *e = arg;
	struct session *s = e->s;

	if (s->state != ENROLLING || err) {
		session_close(s, err, text);
		enrolment_free(e);
		unref(s);
		return;
	}
	e->job = (struct job){.run = enrolment_run, .done = enrolment_done};
	workpool_submit(s->host->pool, s->host->lane_enrol, &e->job);
}

static void
on_enrol(struct session *s, struct wire_msg *m)
{
	struct enrolment *e = calloc(1, sizeof *e);
	const char *name = m->u.enrol.profile;

	if (!identity_name_valid(name)) {
		free(e);
		session_close(s, -ERR_DENIED, "not a profile's name");
		return;
	}
	if (!e || !(e->csr = malloc(m->u.enrol.csr.len + 1)) || wire_conn_exporter(s->conn, e->exporter) != 0) {
		if (e)
			enrolment_free(e);
		session_close(s, -ERR_NOMEM, "enrolment failed");
		return;
	}
	e->s = s;
	snprintf(e->profile, sizeof e->profile, "%s", name);
	memcpy(e->csr, m->u.enrol.csr.data, m->u.enrol.csr.len);
	e->csr_len = m->u.enrol.csr.len;
	memcpy(e->proof, m->u.enrol.proof, sizeof e->proof);
	e->now_s = now_ns() / 1000000000;
	/* A name that nobody made a token for must not become a folder: the server knows it by its token. */
	e->t = s->host->tenant(name, s->host->arg);
	if (!e->t) {
		enrolment_free(e);
		session_close(s, -ERR_DENIED, "no token was made for this profile, or it is spent or too old");
		return;
	}
	s->refs++;
	profile_open(e->t->profile, enrolment_opened, e);
}

/* ---- the table ---- */

typedef void handler(struct session *s, struct wire_msg *m);

static handler *const handlers[STATES][WIRE_TYPES] = {
	[HELLO] = {[WIRE_HELLO] = on_hello, [WIRE_GOODBYE] = on_goodbye},
	[STARTING] = {[WIRE_GOODBYE] = on_goodbye},
	[LIVE] = {
		[WIRE_SUMS_REQ] = on_question, [WIRE_LIST_REQ] = on_question, [WIRE_BLOCKS_REQ] = on_question,
		[WIRE_JOB_BEGIN] = on_job_begin, [WIRE_SEAL] = on_seal, [WIRE_JOB_END] = on_job_end, [WIRE_STOP] = on_stop,
		[WIRE_SETS_REQ] = on_sets, [WIRE_GOODBYE] = on_goodbye,
	},
	[ENROLLING] = {[WIRE_ENROL] = on_enrol, [WIRE_GOODBYE] = on_goodbye},
};

static void
dispatch(struct session *s, struct wire_msg *m)
{
	handler *handle = handlers[s->state][m->type];
	char text[96];

	if (handle) {
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

	if (!*profile) {
		s->state = ENROLLING;
		return;
	}
	s->state = HELLO;
	s->has_pin = wire_conn_peer_pin(c, s->pin) == 0;
	s->t = s->has_pin ? s->host->tenant(profile, s->host->arg) : NULL;
	if (!s->t)
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
	unref(s);
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
	if (s->t && s->has_pin && s->state != CLOSING && !identity_pin_allowed(s->host->identity, tenant_name(s->t), s->pin))
		session_close(s, -ERR_DENIED, "this certificate was revoked");
}

struct tenant *
session_tenant(const struct session *s)
{
	return s->t;
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
