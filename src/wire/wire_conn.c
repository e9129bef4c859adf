/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_conn - the life of a connection stands here: who may wait for how long, and how it ends.
 *
 *   DIALLING -> HANDSHAKE -> OPEN -> CLOSING -> CLOSED
 *
 * Calls of the user only record and wake the pump, which runs from the loop: so no callback comes from inside a call.
 *
 * How it ends: what is queued in control goes out, then GOODBYE, then close_notify, then our half of the socket is shut; only
 * when the other side has shut its half too, or CLOSING has lasted close_ms, is the socket closed.  Closing it at once would
 * make the kernel answer what still arrives with a reset, and a reset takes the GOODBYE away from the peer unread.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire/wire_conn_own.h"
#include "base/clock.h"

#define CONTROL_MAX (8u * 1024u * 1024u) /* waiting control bytes: the peer does not read */
#define UNSENT_MAX (256 * 1024)          /* in the kernel and not on the wire: what control cannot overtake */

struct wire_conn_timing wire_conn_timing = {
	.try_ms = 5000,
	.dial_ms = 20000,
	.begin_ms = 10000,
	.close_ms = 2000,
	.ping_ms = WIRE_PING_MS,
	.dead_ms = WIRE_DEAD_MS,
	.probe_ms = 5000,
};

void
conn_wake(struct wire_conn *c)
{
	event_active(c->turn, EV_TIMEOUT, 0);
}

void
conn_arm(struct event *e, int64_t ms)
{
	struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(e, &t);
}

/* ---- how it ends ---- */

static void
drop_event(struct event *e)
{
	if (e)
		event_free(e);
}

static void
destroy(struct wire_conn *c)
{
	drop_event(c->readable);
	drop_event(c->writable);
	drop_event(c->turn);
	drop_event(c->deadline);
	drop_event(c->ping);
	drop_event(c->silence);
	drop_event(c->pace);
	wire_dial_free(c->dial);
	wire_tls_free(c->tls);
	wire_frame_free(c->frame);
	wire_outbox_clear(&c->outbox);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void
conn_enter(struct wire_conn *c)
{
	c->busy++;
}

bool
conn_leave(struct wire_conn *c)
{
	c->busy--;
	if (!c->doomed)
		return true;
	if (!c->busy)
		destroy(c);
	return false;
}

static void
stop_events(struct wire_conn *c)
{
	event_del(c->turn);
	event_del(c->deadline);
	event_del(c->ping);
	event_del(c->silence);
	event_del(c->pace);
	if (c->readable)
		event_del(c->readable);
	if (c->writable)
		event_del(c->writable);
}

void
conn_finish(struct wire_conn *c)
{
	if (c->state == CLOSED)
		return;
	c->state = CLOSED;
	stop_events(c);
	wire_dial_free(c->dial);
	c->dial = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	if (!c->doomed)
		c->events->closed(c, c->end_err, c->end_text, c->arg);
}

bool
conn_begin_end(struct wire_conn *c, int err, const char *text)
{
	if (c->state >= CLOSING)
		return false;
	c->state = CLOSING;
	c->end_err = err > 0 ? -err : err;
	snprintf(c->end_text, sizeof c->end_text, "%s", text ? text : "");
	wire_outbox_drop_data(&c->outbox);
	conn_arm(c->deadline, wire_conn_timing.close_ms);
	event_del(c->ping);
	event_del(c->silence);
	/* What still comes is read and thrown away, also when reading was paused. */
	if (c->readable)
		event_add(c->readable, NULL);
	conn_wake(c);
	return true;
}

void
conn_break_off(struct wire_conn *c, int err)
{
	conn_begin_end(c, err, err_text());
	c->broken = true;
	wire_outbox_clear(&c->outbox);
}

void
conn_lose(struct wire_conn *c, const char *doing)
{
	int err = err_set(ERR_UNREACHABLE, "connection lost: %s: %s", doing, strerror(errno));

	conn_begin_end(c, err, err_text());
	conn_finish(c);
}

static int
queue_message(struct wire_conn *c, const struct wire_msg *msg)
{
	struct pack_out o;
	uint8_t *data;
	size_t len;
	int err;

	wire_frame_begin(&o, 0);
	wire_pack(&o, msg);
	err = wire_frame_end(&o, wire_type_class(msg->type), false, &data, &len);
	if (err)
		return err_prefix(err, "%s", wire_type_name(msg->type));
	if (!wire_outbox_add(&c->outbox, wire_type_class(msg->type), data, len)) {
		free(data);
		return err_set(ERR_NOMEM, "%s", wire_type_name(msg->type));
	}
	return 0;
}

static void
say_goodbye(struct wire_conn *c, int err, const char *text)
{
	struct wire_msg m = {.type = WIRE_GOODBYE};
	char copy[256];

	snprintf(copy, sizeof copy, "%s", text ? text : "");
	m.u.goodbye.code = err;
	m.u.goodbye.text = copy;
	queue_message(c, &m);
}

void
wire_conn_close(struct wire_conn *c, int err, const char *text)
{
	bool can_speak = c->state == OPEN;

	if (!conn_begin_end(c, err, text))
		return;
	if (can_speak)
		say_goodbye(c, err, text);
	else
		c->broken = true;
}

void
conn_give_up(struct wire_conn *c, int err)
{
	wire_conn_close(c, err, err_text());
}

/* ---- how it begins ---- */

void
conn_heard(struct wire_conn *c)
{
	c->heard_ns = clock_steady_ns();
	c->heard_bytes = 0;
}

void
conn_opened(struct wire_conn *c)
{
	int err = c->server ? wire_tls_peer_name(c->tls, c->profile) : 0;

	if (err) {
		conn_break_off(c, err);
		return;
	}
	c->state = OPEN;
	/* The collector speaks first: the server's deadline goes on until it has. */
	if (!c->server)
		event_del(c->deadline);
	conn_heard(c);
	conn_arm(c->ping, wire_conn_timing.ping_ms);
	conn_arm(c->silence, wire_conn_timing.dead_ms);
	c->events->opened(c, c->profile, c->arg);
}

/* ---- events ---- */

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	conn_pump(arg);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct wire_conn *c = arg;

	(void)fd, (void)what;
	conn_enter(c);
	conn_readable(c);
	if (conn_leave(c))
		conn_pump(c);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct wire_conn *c = arg;

	(void)fd, (void)what;
	conn_enter(c);
	if (c->state == CLOSING)
		conn_finish(c);
	else if (c->state == DIALLING)
		conn_give_up(c, err_set(ERR_UNREACHABLE, "no connection within %d s", wire_conn_timing.dial_ms / 1000));
	else if (c->state == OPEN && !*c->profile)
		conn_give_up(c, err_set(ERR_TIMEOUT, "the enrolment did not come to its end in time: the server may still be opening the profile; try again in a minute"));
	else
		conn_give_up(c, err_set(ERR_TIMEOUT, "the other side did not begin in time"));
	conn_leave(c);
}

static void
send_ping(struct wire_conn *c)
{
	struct wire_msg m = {.type = WIRE_PING};

	m.u.ping.n = ++c->pings;
	wire_conn_send(c, &m);
}

static void
on_ping(evutil_socket_t fd, short what, void *arg)
{
	struct wire_conn *c = arg;

	(void)fd, (void)what;
	send_ping(c);
	if (c->state == OPEN)
		conn_arm(c->ping, wire_conn_timing.ping_ms);
}

static void
on_silence(evutil_socket_t fd, short what, void *arg)
{
	struct wire_conn *c = arg;
	bool doubted = c->doubted_ns > c->heard_ns;
	int64_t patience_ms = doubted ? wire_conn_timing.probe_ms : wire_conn_timing.dead_ms;
	int64_t silent_ms = (clock_steady_ns() - (doubted ? c->doubted_ns : c->heard_ns)) / 1000000;

	(void)fd, (void)what;
	if (c->paused)
		conn_arm(c->silence, wire_conn_timing.dead_ms);
	else if (silent_ms < patience_ms)
		conn_arm(c->silence, patience_ms - silent_ms);
	else
		conn_give_up(c, err_set(ERR_TIMEOUT, "nothing heard for %lld s", (long long)patience_ms / 1000));
}

/* ---- from a socket to a connection ---- */

/* Failures here cost speed only (a socket pair of a test is no TCP). */
static void
tune_socket(int fd)
{
	int on = 1, unsent = UNSENT_MAX;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
}

static void
name_peer(struct wire_conn *c)
{
	struct sockaddr_storage a = {0};
	socklen_t len = sizeof a;
	char host[64] = "local";

	strcpy(c->peer, "local");
	if (getpeername(c->fd, (struct sockaddr *)&a, &len) != 0)
		return;
	if (a.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&a;

		evutil_inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		snprintf(c->peer, sizeof c->peer, "%s:%u", host, ntohs(in->sin_port));
	} else if (a.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)&a;

		evutil_inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
		snprintf(c->peer, sizeof c->peer, "[%s]:%u", host, ntohs(in->sin6_port));
	}
}

static int
start_handshake(struct wire_conn *c)
{
	int err = wire_tls_new(c->id, c->server, &c->tls);

	if (err)
		return err;
	c->readable = event_new(c->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(c->base, c->fd, EV_WRITE, on_turn, c);
	if (!c->readable || !c->writable || event_add(c->readable, NULL) != 0)
		return err_set(ERR_NOMEM, "a connection");
	c->state = HANDSHAKE;
	tune_socket(c->fd);
	name_peer(c);
	conn_arm(c->deadline, wire_conn_timing.begin_ms);
	conn_wake(c);
	return 0;
}

static void
on_dialled(int fd, int err, void *arg)
{
	struct wire_conn *c = arg;

	conn_enter(c);
	wire_dial_free(c->dial);
	c->dial = NULL;
	c->fd = fd;
	if (!err && c->state == DIALLING) /* else it was closed in the turn in which it was reached, and stays so */
		err = start_handshake(c);
	if (err)
		conn_break_off(c, err);
	conn_leave(c);
}

/* NULL when out of memory, which is recorded. */
static struct wire_conn *
conn_new(struct event_base *base, struct identity *id, const struct wire_conn_events *events, void *arg)
{
	struct wire_conn *c = calloc(1, sizeof *c);

	if (!c) {
		err_set(ERR_NOMEM, "a connection");
		return NULL;
	}
	*c = (struct wire_conn){.base = base, .id = id, .events = events, .arg = arg, .fd = -1};
	c->turn = event_new(base, -1, 0, on_turn, c);
	c->deadline = event_new(base, -1, 0, on_deadline, c);
	c->ping = event_new(base, -1, 0, on_ping, c);
	c->silence = event_new(base, -1, 0, on_silence, c);
	c->pace = event_new(base, -1, 0, on_turn, c);
	if (!c->turn || !c->deadline || !c->ping || !c->silence || !c->pace) {
		destroy(c);
		err_set(ERR_NOMEM, "a connection");
		return NULL;
	}
	return c;
}

int
wire_conn_dial(struct event_base *base, const char *address, struct identity *id, const struct wire_conn_events *events,
    void *arg, struct wire_conn **ret_conn)
{
	struct wire_conn *c = conn_new(base, id, events, arg);
	int err;

	if (!c)
		return -ERR_NOMEM;
	snprintf(c->peer, sizeof c->peer, "%s", address);
	err = wire_dial_new(base, address, wire_conn_timing.try_ms, on_dialled, c, &c->dial);
	if (err) {
		destroy(c);
		return err;
	}
	conn_arm(c->deadline, wire_conn_timing.dial_ms);
	*ret_conn = c;
	return 0;
}

int
wire_conn_accept(struct event_base *base, int fd, struct identity *id, const struct wire_conn_events *events, void *arg,
    struct wire_conn **ret_conn)
{
	struct wire_conn *c = conn_new(base, id, events, arg);
	int err;

	if (!c) {
		close(fd);
		return -ERR_NOMEM;
	}
	c->fd = fd;
	c->server = true;
	evutil_make_socket_nonblocking(fd);
	evutil_make_socket_closeonexec(fd);
	err = start_handshake(c);
	if (err) {
		destroy(c);
		return err;
	}
	*ret_conn = c;
	return 0;
}

void
wire_conn_free(struct wire_conn *c)
{
	if (!c)
		return;
	c->doomed = true;
	if (!c->busy)
		destroy(c);
}

/* ---- calls of the user ---- */

static int
check_open(const struct wire_conn *c)
{
	return c->state == OPEN ? 0 : err_set(ERR_UNREACHABLE, "not connected");
}

/* Control has no window: who asks and does not read what is answered must not fill our memory. */
static int
check_control(struct wire_conn *c)
{
	int err;

	if (wire_outbox_bytes(&c->outbox, WIRE_CONTROL) <= CONTROL_MAX)
		return 0;
	err = err_set(ERR_LIMIT, "the other side does not read");
	conn_give_up(c, err);
	return err;
}

int
wire_conn_send(struct wire_conn *c, const struct wire_msg *msg)
{
	int err = check_open(c);

	if (!err)
		err = queue_message(c, msg);
	if (err)
		return err;
	err = check_control(c);
	conn_wake(c);
	return err;
}

void
wire_conn_send_frame(struct wire_conn *c, enum wire_class class, uint8_t *data, size_t len)
{
	if (c->state != OPEN) {
		free(data);
		return;
	}
	if (!wire_outbox_add(&c->outbox, class, data, len)) {
		free(data);
		/* A frame that silently is not there would be a gap that the peer takes for a broken protocol. */
		conn_give_up(c, err_set(ERR_NOMEM, "a frame of %zu bytes", len));
		return;
	}
	(void)check_control(c);
	if (wire_conn_queued(c) >= CONN_LOW_WATER)
		c->was_full = true;
	conn_wake(c);
}

size_t
wire_conn_queued(const struct wire_conn *c)
{
	return wire_outbox_bytes(&c->outbox, WIRE_DATA);
}

void
wire_conn_pause(struct wire_conn *c, bool paused)
{
	if (c->paused == paused)
		return;
	c->paused = paused;
	if (!c->readable || c->state >= CLOSING || c->ended)
		return;
	if (paused) {
		event_del(c->readable);
		return;
	}
	/* There may be whole frames in the ring that no event will announce. */
	event_add(c->readable, NULL);
	conn_heard(c);
	conn_wake(c);
}

bool
wire_conn_probe(struct wire_conn *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

	if (c->state != OPEN || c->ended || c->deaf || (poll(&p, 1, 0) == 1 && p.revents & (POLLRDHUP | POLLHUP | POLLERR)))
		return false;
	/* Whoever asks again and again must not be why the first question is never overdue. */
	if (c->doubted_ns <= c->heard_ns) {
		c->doubted_ns = clock_steady_ns();
		send_ping(c);
		conn_arm(c->silence, wire_conn_timing.probe_ms);
	}
	return true;
}

void
wire_conn_set_rate(struct wire_conn *c, uint64_t bytes_per_s)
{
	wire_outbox_set_rate(&c->outbox, bytes_per_s, clock_steady_ns());
	conn_wake(c);
}

uint64_t
wire_conn_bytes_sent(const struct wire_conn *c)
{
	return c->sent;
}

uint64_t
wire_conn_bytes_received(const struct wire_conn *c)
{
	return c->received;
}

int
wire_conn_exporter(struct wire_conn *c, uint8_t ret_exporter[32])
{
	int err = check_open(c);

	return err ? err : wire_tls_exporter(c->tls, ret_exporter);
}

const char *
wire_conn_peer(const struct wire_conn *c)
{
	return c->peer;
}

int
wire_conn_peer_pin(const struct wire_conn *c, uint8_t ret_pin[IDENTITY_PIN_BYTES])
{
	int err = check_open(c);

	return err ? err : wire_tls_peer_pin(c->tls, ret_pin);
}
