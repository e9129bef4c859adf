/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * api - routes, requests and streams over evhttp; with json.c the only file that sees HTTP.
 *
 * A request ends in one of three ways: api_reply, api_fail, or - once a stream was begun - api_stream_end or the client's
 * going.  evhttp frees a request only after its reply was sent, so a handler may keep the pointer until then; the close
 * callback covers the client that leaves before: evhttp has then taken the request off its connection and left it to us.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "control/api.h"

#define BODY_MAX (1024 * 1024)
#define HEADERS_MAX (16 * 1024)
#define PARTS_MAX 4u
#define JSON_DEPTH 16
#define BEHIND_BYTES (64 * 1024) /* beside what the socket holds */

struct api {
	struct event_base *base;
	struct evhttp *http;
	const struct api_route *routes;
	void *arg;
	char *path;
	struct evconnlistener *listener; /* evhttp's */
	struct event *resume;            /* listens again */
	LIST_HEAD(, api_request) open;
	LIST_ENTRY(api) link;
};

/* libevent tells a listener's mistakes with evhttp's own argument: whose they are is found here. */
static LIST_HEAD(, api) apis = LIST_HEAD_INITIALIZER(apis);

struct api_request {
	struct api *api;
	struct evhttp_request *http;
	LIST_ENTRY(api_request) link;
	char *parts[PARTS_MAX];
	struct evkeyvalq query;
	json_t *body;
	char who[96];            /* "" = not looked up yet */
	bool streaming;
	void (*gone)(void *arg);
	void (*taken)(void *arg);
	void *stream_arg;
};

/* ---- the end of a request ---- */

static void
request_free(struct api_request *req)
{
	struct evhttp_connection *conn = req->http ? evhttp_request_get_connection(req->http) : NULL;

	if (conn)
		evhttp_connection_set_closecb(conn, NULL, NULL);
	LIST_REMOVE(req, link);
	for (unsigned i = 0; i < PARTS_MAX; i++)
		free(req->parts[i]);
	evhttp_clear_headers(&req->query);
	json_decref(req->body);
	free(req);
}

static void
on_closed(struct evhttp_connection *conn, void *arg)
{
	struct api_request *req = arg;
	void (*gone)(void *) = req->gone;
	void *stream_arg = req->stream_arg;

	(void)conn;
	/* One that still hangs on the connection (evhttp_free) goes with it. */
	if (!evhttp_request_get_connection(req->http))
		evhttp_request_free(req->http);
	req->http = NULL;
	if (!req->streaming)
		return; /* the handler still holds it; its reply will find no connection */
	request_free(req);
	if (gone)
		gone(stream_arg);
}

/* ---- answers ---- */

static int
http_status(int err)
{
	switch (err < 0 ? -err : err) {
	case ERR_OK: return 200;
	case ERR_USAGE:
	case ERR_CONFIG: return 400;
	case ERR_DENIED: return 403;
	case ERR_NOTFOUND: return 404;
	case ERR_BUSY: return 409;
	case ERR_UNREACHABLE: return 503;
	case ERR_NOSPACE: return 507;
	default: return 500;
	}
}

static void
send_json(struct api_request *req, int status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct evbuffer *out = evbuffer_new();

	if (req->http && out) {
		evhttp_add_header(evhttp_request_get_output_headers(req->http), "Content-Type", "application/json");
		evbuffer_add_printf(out, "%s\n", text ? text : "{}");
		evhttp_send_reply(req->http, status, NULL, out);
	}
	if (out)
		evbuffer_free(out);
	free(text);
	json_decref(body);
	request_free(req);
}

void
api_reply(struct api_request *req, json_t *body)
{
	send_json(req, 200, body);
}

static json_t *
error_body(int err, const char *text)
{
	json_t *body = api_object("error");

	json_object_set_new(body, "code", json_string(err_name(err)));
	json_object_set_new(body, "text", api_text(text));
	json_object_set_new(body, "exit", json_integer(err_exit_status(err)));
	return body;
}

void
api_fail(struct api_request *req, int err, const char *text)
{
	if (req->streaming) {
		api_stream_line(req, error_body(err, text));
		api_stream_end(req);
	} else {
		send_json(req, http_status(err), error_body(err, text));
	}
}

void
api_stream_begin(struct api_request *req, void (*gone)(void *arg), void *arg)
{
	req->streaming = true;
	req->gone = gone;
	req->stream_arg = arg;
	if (req->http) {
		evhttp_add_header(evhttp_request_get_output_headers(req->http), "Content-Type", "application/x-ndjson");
		evhttp_send_reply_start(req->http, 200, NULL);
	}
}

void
api_stream_line(struct api_request *req, json_t *line)
{
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	struct evbuffer *out = evbuffer_new();

	if (req->http && out && text) {
		evbuffer_add_printf(out, "%s\n", text);
		evhttp_send_reply_chunk(req->http, out);
	}
	if (out)
		evbuffer_free(out);
	free(text);
	json_decref(line);
}

static void
on_written(struct evhttp_connection *conn, void *arg)
{
	struct api_request *req = arg;

	(void)conn;
	req->taken(req->stream_arg);
}

/* evhttp forgets the callback with the next chunk, and calls none for an empty one. */
void
api_stream_lines(struct api_request *req, json_t *lines, void (*taken)(void *arg))
{
	struct evbuffer *out = evbuffer_new();
	json_t *line;
	size_t i;

	json_array_foreach(lines, i, line)
	{
		char *text = json_dumps(line, JSON_COMPACT);

		if (out && text)
			evbuffer_add_printf(out, "%s\n", text);
		free(text);
	}
	req->taken = taken;
	if (req->http && out && taken)
		evhttp_send_reply_chunk_with_cb(req->http, out, on_written, req);
	else if (req->http && out)
		evhttp_send_reply_chunk(req->http, out);
	if (out)
		evbuffer_free(out);
	json_decref(lines);
}

void
api_stream_end(struct api_request *req)
{
	struct evhttp_request *http = req->http;

	request_free(req);
	if (http)
		evhttp_send_reply_end(http);
}

size_t
api_stream_untaken(const struct api_request *req)
{
	struct evhttp_connection *conn = req->http ? evhttp_request_get_connection(req->http) : NULL;

	return conn ? evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(conn))) : 0;
}

bool
api_stream_behind(const struct api_request *req)
{
	return api_stream_untaken(req) > BEHIND_BYTES;
}

/* ---- questions about a request ---- */

const char *
api_part(const struct api_request *req, unsigned i)
{
	return i < PARTS_MAX && req->parts[i] ? req->parts[i] : "";
}

const char *
api_query(const struct api_request *req, const char *name)
{
	return evhttp_find_header(&req->query, name);
}

const json_t *
api_body(const struct api_request *req)
{
	return req->body;
}

const char *
api_who(struct api_request *req)
{
	struct evhttp_connection *conn = req->http ? evhttp_request_get_connection(req->http) : NULL;
	struct ucred cred;
	socklen_t len = sizeof cred;
	struct passwd *pw;

	if (*req->who)
		return req->who;
	snprintf(req->who, sizeof req->who, "user unknown");
	if (!conn || getsockopt(bufferevent_getfd(evhttp_connection_get_bufferevent(conn)), SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return req->who;
	pw = getpwuid(cred.uid);
	if (pw)
		snprintf(req->who, sizeof req->who, "user %s", pw->pw_name);
	else
		snprintf(req->who, sizeof req->who, "user %u", cred.uid);
	return req->who;
}

/* ---- taking a request in ---- */

/* Matches a route's pattern; the components met by {} are kept, decoded. */
static bool
match(struct api_request *req, const char *pattern, const char *path)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PARTS_MAX; i++) {
		free(req->parts[i]);
		req->parts[i] = NULL;
	}
	while (*pattern && *path) {
		if (strncmp(pattern, "{}", 2) == 0) {
			size_t len = strcspn(path, "/");
			char *raw = strndup(path, len);

			if (!len || !raw || n == PARTS_MAX) {
				free(raw);
				return false;
			}
			req->parts[n++] = evhttp_uridecode(raw, 0, NULL);
			free(raw);
			pattern += 2;
			path += len;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && !*path;
}

static bool
read_body(struct api_request *req)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(req->http);
	size_t len = evbuffer_get_length(in);
	json_error_t error;

	if (len == 0) {
		req->body = json_object();
		return true;
	}
	/* jansson bounds nesting itself (JSON_PARSER_MAX_DEPTH 2048); the body's cap bounds the rest. */
	req->body = json_loadb((const char *)evbuffer_pullup(in, -1), len, JSON_REJECT_DUPLICATES, &error);
	return req->body && json_is_object(req->body);
}

static const char *
method_name(const struct evhttp_request *http)
{
	switch (evhttp_request_get_command(http)) {
	case EVHTTP_REQ_GET: return "GET";
	case EVHTTP_REQ_POST: return "POST";
	default: return "";
	}
}

static void
on_request(struct evhttp_request *http, void *arg)
{
	struct api *a = arg;
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(http));
	struct api_request *req = calloc(1, sizeof *req);

	if (!req) {
		evhttp_send_error(http, 500, NULL);
		return;
	}
	req->api = a;
	req->http = http;
	TAILQ_INIT(&req->query);
	LIST_INSERT_HEAD(&a->open, req, link);
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), on_closed, req);
	/* What cannot be read must not count as not asked for: evhttp then keeps no parameter at all. */
	if (query && evhttp_parse_query_str(query, &req->query) != 0) {
		api_fail(req, -ERR_USAGE, "the request's query cannot be read (name=value, joined by &)");
		return;
	}
	if (!read_body(req)) {
		api_fail(req, -ERR_USAGE, "the request's body is not a JSON object");
		return;
	}
	for (const struct api_route *r = a->routes; r->method; r++)
		if (strcmp(r->method, method_name(http)) == 0 && match(req, r->path, path ? path : "")) {
			r->handle(req, a->arg);
			return;
		}
	api_fail(req, -ERR_NOTFOUND, "no such request; this daemon may be older than the command line");
}

/* ---- the socket ---- */

static int
listen_unix(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return err_set(ERR_CONFIG, "run-dir: the socket's path %s is longer than %zu bytes", path, sizeof address.sun_path - 1);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys("making the control socket");
	/* Whoever holds the daemon's lock owns the name: what lies there is left from a dead one. */
	unlink(path);
	/* Nobody can connect before listen().  Not by umask, which is the whole process's: a directory that another thread makes in between
	 * would be one that nobody can enter, for ever. */
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || chmod(path, 0660) != 0 || listen(fd, 64) != 0) {
		int err = err_sys("opening the control socket %s", path);

		close(fd);
		return err;
	}
	return fd;
}

/* A connection that cannot be taken stays where it is, and the loop would come back to it at once, again and again. */
static void
on_accept_error(struct evconnlistener *listener, void *http)
{
	static const struct timeval later = {1, 0};
	struct api *a;

	log_error("api.accept", "%s: nobody can ask until this is over; with too many open files, raise LimitNOFILE", strerror(errno));
	LIST_FOREACH(a, &apis, link)
		if (a->http == http) {
			evconnlistener_disable(listener);
			evtimer_add(a->resume, &later);
		}
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct api *a = arg;

	(void)fd, (void)what;
	evconnlistener_enable(a->listener);
}

static int
listen_http(struct api *a, int fd)
{
	struct evhttp_bound_socket *bound;

	a->resume = evtimer_new(a->base, on_resume, a);
	a->http = evhttp_new(a->base);
	bound = a->resume && a->http ? evhttp_accept_socket_with_handle(a->http, fd) : NULL;
	if (!bound)
		return err_set(ERR_NOMEM, "opening the control socket");
	a->listener = evhttp_bound_socket_get_listener(bound);
	evconnlistener_set_error_cb(a->listener, on_accept_error);
	return 0;
}

int
api_new(struct event_base *base, const char *socket_path, const struct api_route *routes, void *arg, struct api **ret_api)
{
	struct api *a = calloc(1, sizeof *a);
	int fd = listen_unix(socket_path);

	if (fd < 0 || !a) {
		free(a);
		return fd < 0 ? fd : err_set(ERR_NOMEM, "opening the control socket");
	}
	LIST_INIT(&a->open);
	a->base = base;
	a->routes = routes;
	a->arg = arg;
	a->path = strdup(socket_path);
	LIST_INSERT_HEAD(&apis, a, link);
	if (!a->path || listen_http(a, fd) != 0) {
		close(fd);
		api_free(a);
		return err_set(ERR_NOMEM, "opening the control socket");
	}
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_max_body_size(a->http, BODY_MAX);
	evhttp_set_max_headers_size(a->http, HEADERS_MAX);
	evhttp_set_gencb(a->http, on_request, a);
	*ret_api = a;
	return 0;
}

void
api_free(struct api *a)
{
	if (!a)
		return;
	/* Closing the connections calls on_closed of every open stream. */
	if (a->http)
		evhttp_free(a->http);
	while (!LIST_EMPTY(&a->open))
		request_free(LIST_FIRST(&a->open));
	LIST_REMOVE(a, link);
	if (a->resume)
		event_free(a->resume);
	if (a->path)
		unlink(a->path);
	free(a->path);
	free(a);
}
