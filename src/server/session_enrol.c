/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session_enrol - a token becomes a certificate: the profile's folder is opened first, and only then the token spent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/profile.h"
#include "server/session_own.h"
#include "server/tenant.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

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

	profile_release(e->t->profile);
	if (s->state == ENROLLING && !cancelled) {
		if (e->err)
			session_close(s, e->err, e->text ? e->text : "");
		else
			tell_enrolled(s, e);
	}
	enrolment_free(e);
	session_unref(s);
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
		session_unref(s);
		return;
	}
	profile_hold(e->t->profile); /* a collector that comes meanwhile may have it opened again, and its key is told at the end */
	e->job = (struct job){.run = enrolment_run, .done = enrolment_done};
	workpool_submit(s->host->pool, s->host->lane_enrol, &e->job);
}

void
session_on_enrol(struct session *s, struct wire_msg *m)
{
	const char *name = m->u.enrol.profile;
	struct enrolment *e;

	/* Else one stranger would have all the tries of a token at once, and as much of our memory as he can ask for in his time. */
	if (s->asked_in) {
		session_close(s, -ERR_PEER, "a second ENROL came on one connection");
		return;
	}
	s->asked_in = true;
	e = calloc(1, sizeof *e);
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
	e->now_s = clock_wall_ns() / 1000000000;
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
