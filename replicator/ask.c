/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ask - what is asked of the server beside the backup, of its sets and of releases: questions wait in a row, and one at a time is on its way. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "replicator/own.h"

struct ask {
	TAILQ_ENTRY(ask) link;
	struct wire_msg question;
	replicator_sets_done *sets;
	replicator_names_done *names;
	replicator_bytes_done *bytes;
	void *arg;
};

static void
ask_free(struct ask *a)
{
	wire_msg_fini(&a->question);
	free(a);
}

static void
tell_bytes(const struct ask *a, int err, const char *text, const struct wire_msg *answer)
{
	const struct wire_bytes *bytes = !answer ? NULL : answer->type == WIRE_RELEASE ? &answer->u.release.head : &answer->u.piece.data;

	a->bytes(err, text, bytes ? bytes->data : NULL, bytes ? bytes->len : 0, a->arg);
}

static void
tell(const struct ask *a, int err, const char *text, const struct wire_msg *answer)
{
	if (a->sets)
		a->sets(err, text, answer ? answer->u.sets.v : NULL, answer ? answer->u.sets.n : 0, a->arg);
	else if (a->bytes)
		tell_bytes(a, err, text, answer);
	else if (a->names && answer)
		a->names(0, "", &answer->u.names.set, answer->u.names.v, answer->u.names.n, answer->u.names.next, a->arg);
	else if (a->names)
		a->names(err, text, NULL, NULL, 0, "", a->arg);
}

static void
end_ask(struct replicator *r, struct ask *a, int err, const char *text, const struct wire_msg *answer)
{
	TAILQ_REMOVE(&r->asks, a, link);
	r->asked = false;
	tell(a, err, text, answer);
	ask_free(a);
}

static int
begin_ask(struct replicator *r, const struct ask *asked)
{
	struct ask *a = malloc(sizeof *a);

	if (!a)
		return -ERR_NOMEM;
	*a = *asked;
	TAILQ_INSERT_TAIL(&r->asks, a, link);
	pump_wake(r);
	return 0;
}

static void
no_memory(const struct ask *asked)
{
	tell(asked, -ERR_NOMEM, "out of memory for a question", NULL);
}

void
replicator_sets(struct replicator *r, replicator_sets_done *done, void *arg)
{
	struct ask a = {.question.type = WIRE_SETS_REQ, .sets = done, .arg = arg};

	if (begin_ask(r, &a) != 0)
		no_memory(&a);
}

void
replicator_names(struct replicator *r, const char *set, const char *after, replicator_names_done *done, void *arg)
{
	struct ask a = {.question.type = WIRE_NAMES_REQ, .names = done, .arg = arg};

	a.question.u.names_req.set = strdup(set);
	a.question.u.names_req.after = strdup(after);
	/* An `after` that is lost would be the first page again. */
	if (a.question.u.names_req.set && a.question.u.names_req.after && begin_ask(r, &a) == 0)
		return;
	no_memory(&a);
	wire_msg_fini(&a.question);
}

void
replicator_release(struct replicator *r, const char *platform, replicator_bytes_done *done, void *arg)
{
	struct ask a = {.question.type = WIRE_RELEASE_REQ, .bytes = done, .arg = arg};

	a.question.u.release_req.platform = strdup(platform);
	if (a.question.u.release_req.platform && begin_ask(r, &a) == 0)
		return;
	no_memory(&a);
	wire_msg_fini(&a.question);
}

void
replicator_piece(struct replicator *r, const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *arg)
{
	struct ask a = {.question.type = WIRE_PIECE_REQ, .bytes = done, .arg = arg};

	memcpy(a.question.u.piece_req.release, release, sizeof a.question.u.piece_req.release);
	a.question.u.piece_req.offset = offset;
	a.question.u.piece_req.count = count;
	if (begin_ask(r, &a) != 0)
		no_memory(&a);
}

static const char *
too_old(enum wire_type question)
{
	return question == WIRE_NAMES_REQ
	    ? "the server is older than this collector and cannot list from here what a set holds; `tidemark set show` on the server does"
	    : "the server is older than this collector and hands out no releases";
}

void
ask_pump(struct replicator *r)
{
	struct ask *a, *next;

	for (a = TAILQ_FIRST(&r->asks); a && !r->asked; a = next) {
		next = TAILQ_NEXT(a, link);
		if (r->phase == PHASE_DOWN)
			end_ask(r, a, -ERR_UNREACHABLE, "the server is not connected; `tidemark status` tells why", NULL);
		else if (r->phase != PHASE_RUN)
			break;
		else if (!job_knows(r, a->question.type))
			end_ask(r, a, -ERR_UNSUPPORTED, too_old(a->question.type), NULL);
		else if (link_send(r->link, &a->question) == 0)
			r->asked = true;
		else
			break; /* the link is going */
	}
}

static bool
answers(const struct wire_msg *msg, enum wire_type question)
{
	return (msg->type == WIRE_SETS && question == WIRE_SETS_REQ) || (msg->type == WIRE_NAMES && question == WIRE_NAMES_REQ) ||
	    (msg->type == WIRE_RELEASE && question == WIRE_RELEASE_REQ) || (msg->type == WIRE_PIECE && question == WIRE_PIECE_REQ) ||
	    (msg->type == WIRE_REFUSED && msg->u.refused.type == question);
}

bool
ask_message(struct replicator *r, struct wire_msg *msg)
{
	struct ask *a = r->asked ? TAILQ_FIRST(&r->asks) : NULL;

	if (!a || !job_knows(r, msg->type) || !answers(msg, a->question.type))
		return false;
	if (msg->type == WIRE_SETS && msg->u.sets.n) {
		const struct wire_set *last = &msg->u.sets.v[msg->u.sets.n - 1];

		job_newest_set(r, last->name, last->sealed_ns, last->started_ns, last->verified);
	}
	if (msg->type == WIRE_REFUSED)
		end_ask(r, a, msg->u.refused.code > 0 ? -msg->u.refused.code : -ERR_IO, msg->u.refused.text, NULL);
	else
		end_ask(r, a, 0, "", msg);
	pump_wake(r);
	return true;
}

/* What was asked is asked again on the next connection. */
void
ask_closed(struct replicator *r)
{
	r->asked = false;
}

void
ask_fini(struct replicator *r)
{
	struct ask *a;

	while ((a = TAILQ_FIRST(&r->asks))) {
		TAILQ_REMOVE(&r->asks, a, link);
		ask_free(a);
	}
}
