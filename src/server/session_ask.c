/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session_ask - what a collector wants to know: questions wait in a row and are answered one at a time in a lane, from the index and the disk. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "server/answers.h"
#include "server/profile.h"
#include "server/session_own.h"
#include "server/tenant.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

#define QUESTIONS_MAX 64u

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

static void
question_free(struct question *q)
{
	wire_msg_fini(&q->msg);
	free(q->frame);
	free(q->text);
	free(q);
}

void
session_drop_questions(struct session *s)
{
	struct question *first = TAILQ_FIRST(&s->questions), *q;

	while (first && (q = TAILQ_NEXT(first, link))) {
		TAILQ_REMOVE(&s->questions, q, link);
		s->n_questions--;
		question_free(q);
	}
}

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
	case WIRE_RELEASE_REQ:
		q->err = answers_release(&q->about, q->msg.u.release_req.platform, &q->frame, &q->len);
		break;
	case WIRE_PIECE_REQ:
		q->err = answers_piece(&q->about, q->msg.u.piece_req.release, q->msg.u.piece_req.offset, q->msg.u.piece_req.count, &q->frame, &q->len);
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
	session_unref(s);
}

static void
ask_next(struct session *s)
{
	struct question *q = TAILQ_FIRST(&s->questions);
	struct profile *p = s->t->profile;

	if (!q)
		return;
	q->profile = p;
	q->about = (struct answers){.index = profile_index(p), .key = profile_key(p), .layout = (enum layout_type)s->layout, .profile_fd = profile_fd(p),
	    .releases = s->host->releases};
	q->job = (struct job){.run = question_run, .done = question_done};
	profile_hold(p);
	s->refs++;
	workpool_submit(s->host->pool, s->host->lane_read, &q->job);
}

void
session_on_question(struct session *s, struct wire_msg *m)
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
