/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outbox - a socket pair carries pointers between the threads: its buffer is the bound, the kernel does the waiting, and
 * shutting it down wakes everybody.
 */
#include "keeper/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"

#define OUT_MAX (1u << 20) /* bytes waiting for the receiver, above which no more is taken from the threads */
#define HEAD_BYTES 4u
#define TAKE_MAX 256       /* packets a turn of the loop */

struct packet {
	size_t len;
	uint8_t bytes[];
};

/* What travels between the threads. */
struct letter {
	struct packet *packet;
};

struct keeper_outbox {
	int fd, in, out;           /* `out`: where threads post, `in`: where the loop takes */
	struct event *taking, *writing;
	struct evbuffer *waiting;
};

/* The receiver would wait for it for ever: our end tells it that there will be no answer. */
static _Noreturn void
lost(const char *why)
{
	log_error("outbox.lost", "%s: a report cannot be given to the server; ending, so that it does not wait for it", why);
	_exit(1);
}

static struct packet *
packet_new(const struct report *report)
{
	struct pack_out o = {0}, head;
	struct packet *p = NULL;

	pack_u32(&o, 0);
	report_pack(&o, report);
	if (!o.failed && o.len - HEAD_BYTES > ORDER_BYTES_MAX)
		lost("too long");
	if (!o.failed)
		p = malloc(sizeof *p + o.len);
	if (p) {
		p->len = o.len;
		memcpy(p->bytes, o.data, o.len);
		head = pack_out_fixed(p->bytes, HEAD_BYTES);
		pack_u32(&head, (uint32_t)(o.len - HEAD_BYTES));
	} else {
		lost("out of memory");
	}
	pack_out_fini(&o);
	return p;
}

/* The next packet that a thread posted; NULL when there is none. */
static struct packet *
take(const struct keeper_outbox *o)
{
	struct letter letter;

	return recv(o->in, &letter, sizeof letter, MSG_DONTWAIT) == (ssize_t)sizeof letter ? letter.packet : NULL;
}

static void
discard(const struct keeper_outbox *o)
{
	struct packet *p;

	while ((p = take(o)) != NULL)
		free(p);
}

static void
pace(struct keeper_outbox *o)
{
	size_t waiting = evbuffer_get_length(o->waiting);

	if (waiting)
		event_add(o->writing, NULL);
	if (waiting < OUT_MAX)
		event_add(o->taking, NULL);
	else
		event_del(o->taking);
}

static void
append(struct keeper_outbox *o, struct packet *p)
{
	evbuffer_add(o->waiting, p->bytes, p->len);
	free(p);
}

static void
on_taking(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_outbox *o = arg;
	struct packet *p;

	(void)fd;
	(void)what;
	for (int i = 0; i < TAKE_MAX && (p = take(o)) != NULL; i++)
		append(o, p);
	pace(o);
}

static void
on_writing(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_outbox *o = arg;

	(void)what;
	/* A broken socket is found by its reader. */
	if (evbuffer_write(o->waiting, fd) < 0 && errno != EAGAIN && errno != EINTR)
		evbuffer_drain(o->waiting, evbuffer_get_length(o->waiting));
	pace(o);
}

int
keeper_outbox_new(struct event_base *base, int fd, struct keeper_outbox **ret_outbox)
{
	struct keeper_outbox *o = calloc(1, sizeof *o);
	int pair[2];

	if (!o)
		return err_set(ERR_NOMEM, "out of memory for reports");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		free(o);
		return err_sys("socket pair for reports");
	}
	o->fd = fd;
	o->in = pair[0];
	o->out = pair[1];
	o->waiting = evbuffer_new();
	o->taking = event_new(base, o->in, EV_READ | EV_PERSIST, on_taking, o);
	o->writing = event_new(base, fd, EV_WRITE, on_writing, o);
	if (!o->waiting || !o->taking || !o->writing) {
		keeper_outbox_free(o);
		return err_set(ERR_NOMEM, "out of memory for reports");
	}
	event_add(o->taking, NULL);
	*ret_outbox = o;
	return 0;
}

void
keeper_outbox_post(struct keeper_outbox *o, const struct report *report)
{
	struct letter letter = {packet_new(report)};
	ssize_t n;

	do
		n = send(o->out, &letter, sizeof letter, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EPIPE && !PLANTED(report_lost))
		lost(strerror(errno));
	if (n < 0) /* shut */
		free(letter.packet);
}

void
keeper_outbox_put(struct keeper_outbox *o, const struct report *report)
{
	append(o, packet_new(report));
	pace(o);
}

void
keeper_outbox_shut(struct keeper_outbox *o)
{
	shutdown(o->in, SHUT_RD);
	discard(o);
}

void
keeper_outbox_free(struct keeper_outbox *o)
{
	if (!o)
		return;
	if (o->taking)
		event_free(o->taking);
	if (o->writing)
		event_free(o->writing);
	if (o->waiting)
		evbuffer_free(o->waiting);
	discard(o);
	close(o->in);
	close(o->out);
	free(o);
}
