/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_dial - how a name becomes addresses: libevent's own resolver, because getaddrinfo() waits for seconds.
 *
 * That resolver knows /etc/hosts and the name servers of /etc/resolv.conf; other sources of nsswitch.conf it does not know.
 * A numeric address needs none of it.  It may answer inside the call that asks, so an answer is only recorded and the next
 * loop turn acts on it.
 *
 * A resolver that was told to stop still calls back from a later turn, and then looks at itself: so a lookup has a life of
 * its own, and is freed RETIRE_MS after its dial let go of it.  (On a loop that does not turn again it is left behind.)
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "base/err.h"
#include "wire/wire_dial.h"

#define NAME_MAX_BYTES 256
#define RETIRE_MS 50

struct lookup {
	struct wire_dial *owner;             /* NULL: nobody waits any more */
	struct evdns_base *resolver;
	struct evdns_getaddrinfo_request *asked;
	struct event *retire;
	bool at_once;                        /* answered from the hosts file: nothing calls back later */
};

struct wire_dial {
	struct event_base *base;
	wire_dial_done *done;
	void *arg;
	char host[NAME_MAX_BYTES], port[NAME_MAX_BYTES];
	struct event *turn;                  /* the next step */
	struct lookup *lookup;
	bool resolved;
	int resolve_error;                   /* EVUTIL_EAI_* */
	struct evutil_addrinfo *addresses, *next;
	int fd;
	struct event *connected;
	struct timeval try;
	int last_errno;
};

/* ---- the address ---- */

static bool
port_valid(const char *port)
{
	char *end;
	long n = strtol(port, &end, 10);

	return isdigit((unsigned char)*port) && !*end && n > 0 && n <= 65535;
}

bool
wire_dial_split(const char *address, size_t room, char *ret_host, char *ret_port)
{
	const char *colon = strrchr(address, ':'), *host = address;
	size_t len;

	if (!colon || !port_valid(colon + 1) || strlen(colon + 1) >= room)
		return false;
	len = (size_t)(colon - address);
	if (*address == '[') {
		if (len < 3 || colon[-1] != ']')
			return false;
		host++;
		len -= 2;
	} else if (memchr(address, ':', len)) {
		return false;
	}
	if (len == 0 || len >= room)
		return false;
	memcpy(ret_host, host, len);
	ret_host[len] = '\0';
	snprintf(ret_port, room, "%s", colon + 1);
	return true;
}

/* ---- connecting ---- */

static void
finish(struct wire_dial *d, int err)
{
	int fd = d->fd;

	if (!err)
		d->fd = -1;
	d->done(err ? -1 : fd, err, d->arg);
}

static void
give_up_address(struct wire_dial *d, int error)
{
	d->last_errno = error;
	if (d->connected)
		event_free(d->connected);
	d->connected = NULL;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	event_active(d->turn, EV_TIMEOUT, 0);
}

static void
on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct wire_dial *d = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	if (what & EV_TIMEOUT)
		error = ETIMEDOUT;
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error) {
		give_up_address(d, error);
		return;
	}
	event_free(d->connected);
	d->connected = NULL;
	finish(d, 0);
}

static void
try_address(struct wire_dial *d, const struct evutil_addrinfo *a)
{
	d->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0 || (connect(d->fd, a->ai_addr, (socklen_t)a->ai_addrlen) != 0 && errno != EINPROGRESS)) {
		give_up_address(d, errno);
		return;
	}
	d->connected = event_new(d->base, d->fd, EV_WRITE, on_connected, d);
	if (!d->connected || event_add(d->connected, &d->try) != 0)
		give_up_address(d, ENOMEM);
}

/* ---- resolving ---- */

static void
resolved(struct wire_dial *d, int result, struct evutil_addrinfo *addresses)
{
	d->resolved = true;
	d->resolve_error = result;
	d->addresses = d->next = addresses;
	event_active(d->turn, EV_TIMEOUT, 0);
}

static void
on_answer(int result, struct evutil_addrinfo *addresses, void *arg)
{
	struct lookup *l = arg;

	l->asked = NULL;
	if (l->owner)
		resolved(l->owner, result, addresses);
	else if (addresses)
		evutil_freeaddrinfo(addresses);
}

static void
on_retire(evutil_socket_t fd, short what, void *arg)
{
	struct lookup *l = arg;

	(void)fd, (void)what;
	if (l->resolver)
		evdns_base_free(l->resolver, 0);
	event_free(l->retire);
	free(l);
}

static void
lookup_let_go(struct lookup *l)
{
	const struct timeval later = {.tv_usec = RETIRE_MS * 1000};

	if (l->at_once) {
		on_retire(-1, 0, l);
		return;
	}
	l->owner = NULL;
	if (l->asked)
		evdns_getaddrinfo_cancel(l->asked);
	event_add(l->retire, &later);
}

static struct lookup *
lookup_new(struct wire_dial *d)
{
	struct lookup *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->owner = d;
	l->retire = event_new(d->base, -1, 0, on_retire, l);
	if (!l->retire) {
		free(l);
		return NULL;
	}
	l->resolver = evdns_base_new(d->base, 0);
	return l;
}

static void
ask(struct wire_dial *d, const struct evutil_addrinfo *hints)
{
	struct evdns_getaddrinfo_request *asked;

	d->lookup = lookup_new(d);
	if (!d->lookup || !d->lookup->resolver) {
		resolved(d, EVUTIL_EAI_MEMORY, NULL);
		return;
	}
	/* Without the file it asks the local host, as the system's resolver does. */
	evdns_base_resolv_conf_parse(d->lookup->resolver, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	asked = evdns_getaddrinfo(d->lookup->resolver, d->host, d->port, hints, on_answer, d->lookup);
	d->lookup->at_once = d->resolved;
	if (!d->resolved)
		d->lookup->asked = asked;
}

static void
resolve(struct wire_dial *d)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	struct evutil_addrinfo numeric = hints, *addresses = NULL;

	numeric.ai_flags = EVUTIL_AI_NUMERICHOST | EVUTIL_AI_NUMERICSERV;
	if (evutil_getaddrinfo(d->host, d->port, &numeric, &addresses) == 0)
		resolved(d, 0, addresses);
	else
		ask(d, &hints);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct wire_dial *d = arg;
	const struct evutil_addrinfo *a = d->next;

	(void)fd, (void)what;
	if (!d->resolved) {
		resolve(d);
	} else if (d->resolve_error) {
		finish(d, err_set(ERR_UNREACHABLE, "%s: %s", d->host, evutil_gai_strerror(d->resolve_error)));
	} else if (!a) {
		finish(d, err_set(ERR_UNREACHABLE, "%s:%s: %s", d->host, d->port, strerror(d->last_errno)));
	} else {
		d->next = a->ai_next;
		try_address(d, a);
	}
}

int
wire_dial_new(struct event_base *base, const char *address, int try_ms, wire_dial_done *done, void *arg,
    struct wire_dial **ret_dial)
{
	struct wire_dial *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(ERR_NOMEM, "dialling %s", address);
	*d = (struct wire_dial){.base = base, .done = done, .arg = arg, .fd = -1, .last_errno = EADDRNOTAVAIL};
	d->try = (struct timeval){.tv_sec = try_ms / 1000, .tv_usec = try_ms % 1000 * 1000};
	if (!wire_dial_split(address, sizeof d->host, d->host, d->port)) {
		free(d);
		return err_set(ERR_USAGE, "\"%s\" is not an address (host:port)", address);
	}
	d->turn = event_new(base, -1, 0, on_turn, d);
	if (!d->turn) {
		free(d);
		return err_set(ERR_NOMEM, "dialling %s", address);
	}
	event_active(d->turn, EV_TIMEOUT, 0);
	*ret_dial = d;
	return 0;
}

void
wire_dial_free(struct wire_dial *d)
{
	if (!d)
		return;
	event_free(d->turn);
	if (d->connected)
		event_free(d->connected);
	if (d->lookup)
		lookup_let_go(d->lookup);
	if (d->addresses)
		evutil_freeaddrinfo(d->addresses);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}
