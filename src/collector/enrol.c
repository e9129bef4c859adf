/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enrol - dial, prove, keep: a step machine that ends after one answer or ten seconds of silence (wire_conn's deadline). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/workpool.h"
#include "collector/enrol.h"
#include "collector/state.h"
#include "wire/identity.h"
#include "wire/wire_conn.h"

struct enrol {
	struct workpool *pool;
	int lane;
	char *dir, *profile;
	struct identity_token token;
	struct identity *identity;
	struct identity_request *request;
	struct wire_conn *conn;
	struct job job; /* writing the files */
	struct wire_frame *answer;
	struct wire_msg enrolled;
	int err;
	char text[1024];
	enrol_done *done;
	void *arg;
};

static void
over(struct enrol *e)
{
	e->done(e->err, e->text, e->arg);
	wire_conn_free(e->conn);
	identity_close(e->identity);
	identity_request_free(e->request);
	wire_msg_fini(&e->enrolled);
	if (e->answer)
		wire_frame_free(e->answer);
	free(e->dir);
	free(e->profile);
	free(e);
}

static void
fail(struct enrol *e, int err, const char *text)
{
	e->err = err;
	snprintf(e->text, sizeof e->text, "%s", text && *text ? text : err_words(err));
}

/* ---- keeping what the server signed (lane) ---- */

static void
keep_run(struct job *job)
{
	struct enrol *e = (struct enrol *)((char *)job - offsetof(struct enrol, job));
	int fd = state_open_dir(e->dir), err = fd;

	if (fd >= 0) {
		close(fd);
		err = identity_enrol_finish(e->request, e->dir, e->enrolled.u.enrolled.certificate.data, e->enrolled.u.enrolled.certificate.len,
		    e->enrolled.u.enrolled.authority.data, e->enrolled.u.enrolled.authority.len);
	}
	if (err)
		fail(e, err, err_text());
}

static void
keep_done(struct job *job, bool cancelled)
{
	struct enrol *e = (struct enrol *)((char *)job - offsetof(struct enrol, job));

	if (cancelled)
		fail(e, -ERR_STOPPED, "the collector is ending");
	over(e);
}

/* ---- the conversation ---- */

static void
on_opened(struct wire_conn *conn, const char *profile, void *arg)
{
	struct enrol *e = arg;
	struct wire_msg msg = {.type = WIRE_ENROL};
	uint8_t exporter[32];
	int err = wire_conn_exporter(conn, exporter);

	(void)profile;
	identity_request_csr(e->request, &msg.u.enrol.csr.data, &msg.u.enrol.csr.len);
	if (err == 0) /* a wrong proof would cost the token one of its five tries */
		err = identity_proof(e->token.secret, exporter, msg.u.enrol.csr.data, msg.u.enrol.csr.len, msg.u.enrol.proof);
	msg.u.enrol.profile = e->profile;
	if (err == 0)
		err = wire_conn_send(conn, &msg);
	if (err)
		wire_conn_close(conn, err, err_text());
}

static void
on_frame(struct wire_conn *conn, struct wire_frame *frame, void *arg)
{
	struct enrol *e = arg;
	struct pack_in payload;
	struct wire_msg msg = {0};
	uint8_t *buf = NULL;
	int got = wire_frame_open(&frame->head, frame->body, &payload, &buf);

	if (got == 0)
		got = wire_unpack(&payload, frame->head.class, &msg);
	if (got == 1 && msg.type == WIRE_ENROLLED && !e->answer && !buf) {
		/* The message points into the frame: both are kept until the files are written. */
		e->answer = frame;
		e->enrolled = msg;
		wire_conn_close(conn, 0, "");
		return;
	}
	if (got == 1 && msg.type == WIRE_GOODBYE)
		fail(e, msg.u.goodbye.code > 0 ? -msg.u.goodbye.code : msg.u.goodbye.code, msg.u.goodbye.text);
	if (got == 1)
		wire_msg_fini(&msg);
	free(buf);
	wire_frame_free(frame);
}

static void
on_closed(struct wire_conn *conn, int err, const char *text, void *arg)
{
	struct enrol *e = arg;

	(void)conn;
	if (e->answer) {
		e->job = (struct job){.run = keep_run, .done = keep_done};
		workpool_submit(e->pool, e->lane, &e->job);
		return;
	}
	if (!e->err)
		fail(e, err ? err : -ERR_UNREACHABLE, err ? text : "the server closed the connection without an answer");
	over(e);
}

static const struct wire_conn_events events = {.opened = on_opened, .frame = on_frame, .closed = on_closed};

int
enrol_start(struct event_base *base, struct workpool *pool, int lane, const char *dir, const char *profile, const char *token,
    enrol_done *done, void *arg)
{
	struct enrol *e = calloc(1, sizeof *e);
	int err = e ? identity_token_parse(token, &e->token) : err_set(ERR_NOMEM, "enrolling");

	if (err == 0) {
		e->pool = pool;
		e->lane = lane;
		e->done = done;
		e->arg = arg;
		e->dir = strdup(dir);
		e->profile = strdup(profile);
		err = e->dir && e->profile ? identity_open_enrolling(e->token.pin, sizeof e->token.pin, &e->identity) : err_set(ERR_NOMEM, "enrolling");
	}
	if (err == 0)
		err = identity_enrol_begin(profile, &e->request);
	if (err == 0)
		err = wire_conn_dial(base, e->token.address, e->identity, &events, e, &e->conn);
	if (err && e) {
		identity_request_free(e->request);
		identity_close(e->identity);
		free(e->dir);
		free(e->profile);
		free(e);
	}
	return err;
}
