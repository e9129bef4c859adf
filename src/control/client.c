/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client - HTTP as our own daemons speak it: a status line, headers, a body that is plain or chunked and holds JSON lines.
 */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "control/client.h"

#define LINE_MAX_BYTES (16u * 1024u * 1024u)
#define BODY_END 256 /* beside every byte */

struct client {
	int fd;
	char buf[65536];
	size_t have, pos;
	bool chunked, answered; /* answered: one object at least has come */
	size_t chunk_left;
	char *line; /* the JSON line being gathered */
	size_t line_len, line_cap;
	void (*tick)(void *arg);
	void *arg;
};

static volatile sig_atomic_t interrupted;

void
client_interrupt(void)
{
	interrupted = 1;
}

/* Waits until there are bytes, or the end.  Of a signal that comes while nobody waits no call tells: it is asked for, at least once a
 * second. */
static int
wait_for_bytes(struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN};

	while (!interrupted) {
		int ready = poll(&p, 1, 1000);

		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return err_sys("waiting for the daemon");
		if (ready == 0 && c->tick)
			c->tick(c->arg);
	}
	return err_set(ERR_INTERRUPTED, "interrupted");
}

/* 1 some bytes, 0 end, negative error. */
static int
fill(struct client *c)
{
	int err = wait_for_bytes(c);
	ssize_t n;

	if (err)
		return err;
	do
		n = read(c->fd, c->buf, sizeof c->buf);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys("reading the daemon's answer");
	c->have = (size_t)n;
	c->pos = 0;
	return n > 0;
}

static int
next_byte(struct client *c)
{
	if (c->pos == c->have) {
		int got = fill(c);

		if (got <= 0)
			return got < 0 ? got : -ERR_UNREACHABLE;
	}
	return (unsigned char)c->buf[c->pos++];
}

/* One header line without its CRLF. */
static int
header_line(struct client *c, char *out, size_t size)
{
	size_t n = 0;
	int byte;

	while ((byte = next_byte(c)) >= 0 && byte != '\n')
		if (byte != '\r' && n + 1 < size)
			out[n++] = (char)byte;
	out[n] = '\0';
	if (byte < 0)
		return byte == -ERR_UNREACHABLE ? err_set(ERR_UNREACHABLE, "the daemon closed the connection before it answered; see its log") : byte;
	return 0;
}

static int
read_headers(struct client *c)
{
	char line[1024];
	int err = header_line(c, line, sizeof line);

	if (err == 0 && strncmp(line, "HTTP/1.", 7) != 0)
		return err_set(ERR_PEER, "what answers on the control socket does not speak HTTP");
	while (err == 0 && (err = header_line(c, line, sizeof line)) == 0 && *line)
		if (strncasecmp(line, "Transfer-Encoding:", 18) == 0 && strcasestr(line, "chunked"))
			c->chunked = true;
	return err;
}

/* A stream that ends without its last chunk is a daemon that died: nothing may be taken for done. */
static int
cut_short(void)
{
	return err_set(ERR_UNREACHABLE, "the daemon ended in the middle of its answer: it is not known whether this was carried out; "
	    "see its log, start it again and ask again");
}

/* The next byte of the body; BODY_END at its end. */
static int
body_byte(struct client *c)
{
	char line[64];
	int byte;

	if (c->chunked && c->chunk_left == 0) {
		do {
			byte = header_line(c, line, sizeof line);
			if (byte != 0)
				return byte == -ERR_UNREACHABLE ? cut_short() : byte;
		} while (!*line);
		c->chunk_left = strtoul(line, NULL, 16);
		if (c->chunk_left == 0)
			return BODY_END;
	}
	byte = next_byte(c);
	if (byte == -ERR_UNREACHABLE)
		return c->chunked || !c->answered ? cut_short() : BODY_END;
	if (c->chunked)
		c->chunk_left--;
	return byte;
}

static int
gather(struct client *c, int byte)
{
	if (c->line_len == c->line_cap) {
		size_t cap = c->line_cap ? c->line_cap * 2 : 4096;
		char *grown = cap <= LINE_MAX_BYTES ? realloc(c->line, cap) : NULL;

		if (!grown)
			return err_set(ERR_LIMIT, "the daemon's answer is too long");
		c->line = grown;
		c->line_cap = cap;
	}
	c->line[c->line_len++] = (char)byte;
	return 0;
}

/* The error object's code, with its sentence recorded; 0 when it is not one. */
static int
error_of(const json_t *object)
{
	const char *type = json_string_value(json_object_get(object, "type"));
	const char *code = json_string_value(json_object_get(object, "code"));
	const char *text = json_string_value(json_object_get(object, "text"));

	if (!type || strcmp(type, "error") != 0)
		return 0;
	return err_set(err_from_name(code ? code : ""), "%s", text ? text : "the daemon refused");
}

static int
read_body(struct client *c, int (*line)(const json_t *object, void *arg))
{
	int byte = 0, err = 0, stop = 0;

	while (err == 0 && !stop && byte != BODY_END) {
		byte = body_byte(c);
		if (byte < 0)
			return byte;
		if (byte != BODY_END && byte != '\n') {
			err = gather(c, byte);
			continue;
		}
		if (c->line_len == 0)
			continue;
		json_t *object = json_loadb(c->line, c->line_len, 0, NULL);
		c->line_len = 0;
		err = object ? error_of(object) : err_set(ERR_PEER, "the daemon's answer is not JSON");
		c->answered = true;
		if (err == 0)
			stop = line(object, c->arg);
		json_decref(object);
	}
	return err;
}

static int
dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return err_set(ERR_USAGE, "the socket's path is too long: %s", path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_sys("making a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		int err = errno == EACCES
		    ? err_set(ERR_DENIED, "you may not ask the daemon at %s; its group may, or root", path)
		    : err_set(ERR_UNREACHABLE, "no daemon answers at %s (%s); is it running?", path, strerror(errno));

		close(fd);
		return err;
	}
	return fd;
}

static int
send_request(int fd, const char *method, const char *path, const json_t *body)
{
	char *json = body ? json_dumps(body, JSON_COMPACT) : NULL, *text = NULL;
	int len = asprintf(&text, "%s %s HTTP/1.1\r\nHost: tidemark\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", method, path,
	    json ? strlen(json) : 0, json ? json : "");
	int err = len < 0 ? err_set(ERR_NOMEM, "out of memory") : 0;

	for (int sent = 0; err == 0 && sent < len;) {
		ssize_t n = send(fd, text + sent, (size_t)(len - sent), MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			err = err_set(ERR_UNREACHABLE, "the daemon closed the connection: %s", strerror(errno));
		sent += n > 0 ? (int)n : 0;
	}
	if (len >= 0)
		free(text);
	free(json);
	return err;
}

int
client_ask(const char *socket_path, const char *method, const char *path, const json_t *body,
    int (*line)(const json_t *object, void *arg), void (*tick)(void *arg), void *arg)
{
	struct client *c = calloc(1, sizeof *c);
	int err;

	if (!c)
		return err_set(ERR_NOMEM, "out of memory");
	interrupted = 0;
	c->tick = tick;
	c->arg = arg;
	c->fd = dial(socket_path);
	err = c->fd < 0 ? c->fd : send_request(c->fd, method, path, body);
	if (err == 0)
		err = read_headers(c);
	if (err == 0)
		err = read_body(c, line);
	if (c->fd >= 0)
		close(c->fd);
	free(c->line);
	free(c);
	return err;
}

char *
client_encode(const char *component)
{
	char *out = malloc(3 * strlen(component) + 1), *o = out;

	for (const unsigned char *p = (const unsigned char *)component; out && *p; p++) {
		if (isalnum(*p) || strchr("-._~", *p))
			*o++ = (char)*p;
		else
			o += sprintf(o, "%%%02X", *p);
	}
	if (out)
		*o = '\0';
	return out;
}
