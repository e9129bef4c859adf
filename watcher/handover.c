/* SPDX-License-Identifier: GPL-2.0-or-later */
/* handover - a few clients on a Unix socket, each with a small line buffer. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "watcher/handover.h"

#define CLIENTS_MAX 8u

struct client {
	struct handover *owner;
	int fd;
	struct event *readable;
	char line[64];
	size_t len;
	LIST_ENTRY(client) link;
};

struct handover {
	struct event_base *base;
	char *path;
	const char *fingerprint;
	const struct handover_events *events;
	void *arg;
	int fd;
	struct event *incoming;
	LIST_HEAD(, client) clients;
	unsigned n_clients;
	time_t since;
};

static void
drop(struct client *c)
{
	LIST_REMOVE(c, link);
	c->owner->n_clients--;
	event_free(c->readable);
	close(c->fd);
	free(c);
}

static void
say(struct client *c, const char *text)
{
	/* A full socket buffer means that nobody reads: the line is lost, which costs the reader one tick. */
	if (send(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static void
say_status(struct client *c)
{
	struct watcher_figures f;
	char text[256];

	c->owner->events->figures(&f, c->owner->arg);
	snprintf(text, sizeof text, "status directories=%llu unwatched=%llu events=%llu overflows=%llu rescans=%llu root=%s since=%lld\n",
	    (unsigned long long)f.directories, (unsigned long long)f.unwatched, (unsigned long long)f.events, (unsigned long long)f.overflows,
	    (unsigned long long)f.rescans, f.root_gone ? "gone" : "ok", (long long)c->owner->since);
	say(c, text);
}

static void
obey(struct client *c, const char *line)
{
	if (strcmp(line, "status") == 0)
		say_status(c);
	else if (strcmp(line, "quit") == 0)
		c->owner->events->quit(c->owner->arg);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	char data[256];
	ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(c);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (data[i] == '\n') {
			c->line[c->len] = '\0';
			c->len = 0;
			obey(c, c->line);
		} else if (c->len + 1 < sizeof c->line) {
			c->line[c->len++] = data[i];
		}
	}
}

static void
on_incoming(evutil_socket_t listener, short what, void *arg)
{
	struct handover *h = arg;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c = fd < 0 || h->n_clients == CLIENTS_MAX ? NULL : calloc(1, sizeof *c);
	char hello[160];

	(void)what;
	if (c) {
		c->owner = h;
		c->fd = fd;
		c->readable = event_new(h->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	}
	if (!c || !c->readable || event_add(c->readable, NULL) != 0) {
		if (c && c->readable)
			event_free(c->readable);
		free(c);
		if (fd >= 0)
			close(fd);
		return;
	}
	LIST_INSERT_HEAD(&h->clients, c, link);
	h->n_clients++;
	snprintf(hello, sizeof hello, "tidemark-watcher 1 %d %s\n", (int)getpid(), h->fingerprint);
	say(c, hello);
}

static int
make_socket(const char *path, struct sockaddr_un *ret_address)
{
	int fd;

	*ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof ret_address->sun_path)
		return err_set(ERR_CONFIG, "run-dir: the socket's path %s is longer than %zu bytes", path, sizeof ret_address->sun_path - 1);
	strcpy(ret_address->sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? err_sys("making the watcher's socket") : fd;
}

void
handover_ask_quit(const char *path)
{
	struct sockaddr_un address;
	int fd = make_socket(path, &address);

	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		(void)!send(fd, "quit\n", 5, MSG_NOSIGNAL);
	close(fd);
}

static int
listen_at(const char *path)
{
	struct sockaddr_un address;
	int fd = make_socket(path, &address);

	if (fd < 0)
		return fd;
	unlink(path);
	mode_t mask = umask(0177);
	int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
	umask(mask);
	if (bound != 0 || listen(fd, 8) != 0) {
		int err = err_sys("opening the watcher's socket %s", path);

		close(fd);
		return err;
	}
	return fd;
}

int
handover_new(struct event_base *base, const char *path, const char *fingerprint, const struct handover_events *events, void *arg,
    struct handover **ret_handover)
{
	int fd = listen_at(path);
	struct handover *h = fd < 0 ? NULL : calloc(1, sizeof *h);

	if (fd < 0)
		return fd;
	if (h) {
		*h = (struct handover){.base = base, .path = strdup(path), .fingerprint = fingerprint, .events = events, .arg = arg, .fd = fd, .since = time(NULL)};
		LIST_INIT(&h->clients);
		h->incoming = event_new(base, fd, EV_READ | EV_PERSIST, on_incoming, h);
	}
	if (!h || !h->path || !h->incoming || event_add(h->incoming, NULL) != 0) {
		if (h && h->incoming)
			event_free(h->incoming);
		if (h)
			free(h->path);
		free(h);
		close(fd);
		return err_set(ERR_NOMEM, "opening the watcher's socket");
	}
	*ret_handover = h;
	return 0;
}

void
handover_poke(struct handover *h, uint64_t seq)
{
	struct client *c;
	char text[32];

	snprintf(text, sizeof text, "poke %llu\n", (unsigned long long)seq);
	LIST_FOREACH(c, &h->clients, link)
		say(c, text);
}

void
handover_free(struct handover *h)
{
	if (!h)
		return;
	/* The analyzer does not see that drop takes it off the list. */
	while (!LIST_EMPTY(&h->clients))
		drop(LIST_FIRST(&h->clients)); /* NOLINT(clang-analyzer-unix.Malloc) */
	event_free(h->incoming);
	close(h->fd);
	unlink(h->path);
	free(h->path);
	free(h);
}
