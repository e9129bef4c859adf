/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_guests - who may come in: the listener, and how many strangers there may be, and for how long. */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "server/config.h"
#include "server/server_own.h"

#define CONNECTING_MAX 64u
#define CONNECTING_SOURCE_MAX 4u
#define LISTEN_BACKLOG 256

int64_t server_connecting_ms = 60000;

/* ---- connections ---- */

static struct guest *
guest_of(struct server *s, const struct session *session)
{
	struct guest *g = s->guests;

	while (g && g->session != session)
		g = g->next;
	return g;
}

static void
come_in(struct server *s, struct guest *g)
{
	if (!g->connecting)
		return;
	g->connecting = false;
	s->connecting--;
	s->sessions++;
}

static void
on_authenticated(struct session *session, void *arg)
{
	struct guest *g = guest_of(arg, session);

	if (g)
		come_in(arg, g);
}

static void
guest_free(struct server *s, struct guest *g)
{
	if (g->connecting)
		s->connecting--;
	else
		s->sessions--;
	for (struct guest **at = &s->guests; *at; at = &(*at)->next)
		if (*at == g) {
			*at = g->next;
			break;
		}
	free(g);
}

static void
on_over(struct session *session, void *arg)
{
	struct guest *g = guest_of(arg, session);

	if (g)
		guest_free(arg, g);
}

static struct tenant *
find_tenant(const char *profile, void *arg)
{
	return server_tenant(arg, profile);
}

static void
note_address(struct guest *g, const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;

		memcpy(g->address, &in->sin_addr, sizeof in->sin_addr);
		g->local = ntohl(in->sin_addr.s_addr) >> 24 == 127;
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;

		memcpy(g->address, &in6->sin6_addr, sizeof in6->sin6_addr);
		g->local = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
}

static bool
has_room_for(const struct server *s, const struct guest *guest)
{
	const struct guest *g;
	size_t same = 0;

	if (s->connecting >= CONNECTING_MAX)
		return false;
	for (g = s->guests; g; g = g->next)
		same += g->connecting && memcmp(g->address, guest->address, sizeof g->address) == 0;
	return guest->local || same < CONNECTING_SOURCE_MAX;
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	struct server *s = arg;
	struct guest *g = calloc(1, sizeof *g);

	(void)l;
	(void)len;
	if (g)
		note_address(g, sa);
	if (!g || !has_room_for(s, g)) {
		s->refused++;
		close(fd);
		free(g);
		return;
	}
	g->connecting = true;
	g->since_ms = clock_steady_ms();
	s->connecting++;
	g->next = s->guests;
	s->guests = g;
	if (session_new(&s->host, fd, &g->session) != 0) {
		log_warn("server.accept", "%s", err_text());
		guest_free(s, g);
	}
}

/* The connection stays where it is, and the loop would come back to it at once, again and again: until the next tick. */
static void
on_accept_error(struct evconnlistener *l, void *arg)
{
	(void)arg;
	log_error("server.accept", "%s: no collector can connect until this is over; with too many open files, raise LimitNOFILE", strerror(errno));
	(void)evconnlistener_disable(l);
}

/* ---- the listener ---- */

/* "[::]:7460", "0.0.0.0:7460", "backup.example.org:7460"; resolved once, at the start. */
static int
parse_listen(const char *text, struct sockaddr_storage *ret_sa, int *ret_len)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	const char *colon = strrchr(text, ':');
	struct addrinfo *found;
	char name[256];
	int rc;

	assert(colon); /* the configuration was checked */
	snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
	size_t n = strlen(name);
	if (n > 2 && name[0] == '[' && name[n - 1] == ']') {
		memmove(name, name + 1, n - 2);
		name[n - 2] = '\0';
	}
	rc = getaddrinfo(name, colon + 1, &hints, &found);
	if (rc)
		return err_set(ERR_CONFIG, "listen: %s: %s (an address and a port, as in 0.0.0.0:7460 or [::]:7460)", text, gai_strerror(rc));
	memcpy(ret_sa, found->ai_addr, found->ai_addrlen);
	*ret_len = (int)found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int
note_port(struct server *s)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} at = {.in6 = {0}};
	socklen_t len = sizeof at;
	char host[64] = "";

	if (getsockname(evconnlistener_get_fd(s->listener), &at.any, &len) != 0)
		return err_sys("asking for the address listened on");
	if (at.any.sa_family == AF_INET6) {
		s->port = ntohs(at.in6.sin6_port);
		inet_ntop(AF_INET6, &at.in6.sin6_addr, host, sizeof host);
		snprintf(s->listen, sizeof s->listen, "[%s]:%u", host, s->port);
	} else {
		s->port = ntohs(at.in.sin_port);
		inet_ntop(AF_INET, &at.in.sin_addr, host, sizeof host);
		snprintf(s->listen, sizeof s->listen, "%s:%u", host, s->port);
	}
	return 0;
}

int
server_guests_listen(struct server *s)
{
	struct sockaddr_storage sa = {0};
	int len = 0, err = parse_listen(server_config_main(s->conf)->listen, &sa, &len);

	if (err)
		return err;
	s->listener = evconnlistener_new_bind(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, LISTEN_BACKLOG,
	    (struct sockaddr *)&sa, len);
	if (!s->listener)
		return err_sys("listening on %s: nothing can be received; correct `listen`, or end what listens there already", server_config_main(s->conf)->listen);
	evconnlistener_set_error_cb(s->listener, on_accept_error);
	return note_port(s);
}

/* ---- for the server ---- */

void
server_guests_host(struct server *s)
{
	s->host = (struct session_host){.base = s->base, .pool = s->pool, .identity = s->identity, .releases = s->releases, .tenant = find_tenant,
	    .authenticated = on_authenticated, .over = on_over, .arg = s};
}

void
server_guests_check(struct server *s)
{
	if (s->listener)
		evconnlistener_enable(s->listener);
	for (struct guest *g = s->guests; g; g = g->next) {
		session_check_pin(g->session);
		/* A stranger who only stays would take the place of those who are let in. */
		if (g->connecting && clock_steady_ms() - g->since_ms > server_connecting_ms)
			session_close(g->session, -ERR_TIMEOUT, "neither HELLO nor an enrolment came to its end in time");
	}
}

void
server_guests_end(struct server *s)
{
	if (s->listener)
		evconnlistener_free(s->listener);
	for (struct guest *g = s->guests, *next; g; g = next) {
		next = g->next;
		session_free(g->session);
		guest_free(s, g);
	}
}
