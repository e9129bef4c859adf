/* SPDX-License-Identifier: GPL-2.0-or-later */
/* client - an answer that ends too early is never taken for a good one, and ^C is told apart from both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "control/api.h"
#include "control/cli.h"
#include "control/client.h"
#include "tests/lib/scratch.h"

#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LINE "9\r\n{\"n\":123}\r\n1\r\n\n\r\n"
#define END "0\r\n\r\n"

static struct scratch scratch;
static char path[256];
static unsigned lines;

static int
on_line(const json_t *object, void *arg)
{
	(void)arg;
	assert_int_equal(json_integer_value(json_object_get(object, "n")), 123);
	lines++;
	return 0;
}

/* A daemon that answers one request with these bytes and closes; or, when `interrupt` is set, stays and signals us. */
static pid_t
serve(const char *bytes, bool interrupt)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char request[4096];

	assert_true(strlen(path) < sizeof address.sun_path);
	strcpy(address.sun_path, path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	pid_t pid = fork();
	if (pid != 0) {
		close(fd);
		return pid;
	}
	int peer = accept(fd, NULL, NULL);
	if (read(peer, request, sizeof request) <= 0 || write(peer, bytes, strlen(bytes)) != (ssize_t)strlen(bytes))
		_exit(1);
	/* Again and again: the first may come before it waits. */
	while (interrupt && kill(getppid(), SIGINT) == 0 && recv(peer, request, 1, MSG_DONTWAIT) != 0)
		usleep(1000);
	_exit(0);
}

static void
on_interrupt(int signal_number)
{
	(void)signal_number;
	client_interrupt();
}

static int
ask(const char *bytes, bool interrupt)
{
	int status, err;
	pid_t pid = serve(bytes, interrupt);

	lines = 0;
	err = client_ask(path, "GET", "/v1/status", NULL, on_line, NULL, NULL);
	while (waitpid(pid, &status, 0) != pid)
		assert_int_equal(errno, EINTR); /* one signal more */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return err;
}

static void
a_stream_that_ends_is_good(void **state)
{
	(void)state;
	assert_int_equal(ask(HEAD LINE LINE END, false), 0);
	assert_int_equal(lines, 2);
	assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"n\":123}\n", false), 0);
	assert_int_equal(lines, 1);
}

static void
a_daemon_that_dies_in_its_answer_leaves_the_outcome_unknown(void **state)
{
	static const char *const cut[] = {HEAD LINE, HEAD, HEAD "9\r\n{\"n\":", HEAD LINE "9", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"n\":", "HTTP/1.1 200 OK\r\nConten", ""};

	(void)state;
	for (size_t i = 0; i < sizeof cut / sizeof *cut; i++)
		if (ask(cut[i], false) != -ERR_UNREACHABLE)
			fail_msg("answer %zu is taken for whole", i);
}

static void
an_error_in_a_stream_is_the_answer(void **state)
{
	(void)state;
	assert_int_equal(ask(HEAD LINE "37\r\n{\"v\":1,\"type\":\"error\",\"code\":\"BUSY\",\"text\":\"not today\"}\n\r\n" END, false), -ERR_BUSY);
	assert_string_equal(err_text(), "not today");
}

static void
an_interrupt_while_waiting_is_told_as_one(void **state)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	(void)state;
	sigaction(SIGINT, &action, NULL);
	assert_int_equal(ask(HEAD LINE, true), -ERR_INTERRUPTED);
	assert_int_equal(ask("", true), -ERR_INTERRUPTED);
}

static int
interrupt_on_line(const json_t *object, void *arg)
{
	raise(SIGINT);
	return on_line(object, arg);
}

/* While a line is printed, nobody waits: of an answer that does not stop coming that is most of the time. */
static void
an_interrupt_between_two_waits_is_not_lost(void **state)
{
	struct sigaction action = {.sa_handler = on_interrupt};
	int status;
	pid_t pid = serve(HEAD LINE, false);

	(void)state;
	sigaction(SIGINT, &action, NULL);
	assert_int_equal(client_ask(path, "GET", "/v1/status", NULL, interrupt_on_line, NULL, NULL), -ERR_INTERRUPTED);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(ask(HEAD LINE END, false), 0); /* and ends no other */
}

int __real_bind(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t len);

static char made_meanwhile[256]; /* "" = nothing */

/* Stands for another thread, which makes a directory while the socket gets its name. */
int
__wrap_bind(int fd, const struct sockaddr *address, socklen_t len)
{
	if (*made_meanwhile)
		assert_int_equal(mkdir(made_meanwhile, 0700), 0);
	return __real_bind(fd, address, len);
}

static void
a_directory_that_is_made_while_a_control_socket_is_can_be_entered(void **state)
{
	static const struct api_route none[] = {{0}};
	struct event_base *base = event_base_new();
	struct stat st;
	struct api *api;

	(void)state;
	scratch_path(&scratch, "made", made_meanwhile);
	assert_int_equal(api_new(base, path, none, NULL, &api), 0);
	assert_int_equal(stat(made_meanwhile, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	made_meanwhile[0] = '\0';
	api_free(api);
	event_base_free(base);
}

static void
a_control_socket_is_for_its_owner_and_group(void **state)
{
	static const struct api_route none[] = {{0}};
	struct event_base *base = event_base_new();
	struct stat st;
	struct api *api;

	(void)state;
	assert_int_equal(api_new(base, path, none, NULL, &api), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	api_free(api);
	event_base_free(base);
}

/* ---- what api makes of a request ---- */

static void
reply_with_n(struct api_request *req, void *arg)
{
	json_t *o = api_object("n");

	(void)arg;
	json_object_set_new(o, "n", json_integer(api_query(req, "watch") ? 123 : 0));
	api_reply(req, o);
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	event_base_loopbreak(arg);
}

/* What a client gets for this path from a real api: 0 or the error, positive. */
static int
ask_api(const char *request_path)
{
	static const struct api_route one[] = {{"GET", "/v1/n", reply_with_n}, {0}};
	struct event_base *base = event_base_new();
	struct event *child = evsignal_new(base, SIGCHLD, on_child, base);
	struct api *api;
	int status;

	assert_int_equal(api_new(base, path, one, NULL, &api), 0);
	event_add(child, NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(-client_ask(path, "GET", request_path, NULL, on_line, NULL, NULL));
	event_base_dispatch(base);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	api_free(api);
	event_free(child);
	event_base_free(base);
	return WEXITSTATUS(status);
}

static size_t
count_lines(const char *file)
{
	FILE *f = fopen(file, "r");
	size_t n = 0;

	for (int c; f && (c = fgetc(f)) != EOF;)
		n += c == '\n';
	assert_non_null(f);
	fclose(f);
	return n;
}

/* Calls the loop fifty times with no descriptor left; gives how many lines that said. */
static size_t
turn_without_descriptors(struct event_base *base)
{
	char file[256];
	int said = open(scratch_path(&scratch, "said", file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), before = dup(STDERR_FILENO), next = dup(0);
	struct rlimit limit, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){(rlim_t)next, limit.rlim_max};
	close(next);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	dup2(said, STDERR_FILENO);
	for (unsigned i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	dup2(before, STDERR_FILENO);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	close(before);
	close(said);
	return count_lines(file);
}

static void
a_client_for_whom_there_is_no_descriptor_is_taken_later_and_told_of_once(void **state)
{
	static const struct api_route one[] = {{"GET", "/v1/n", reply_with_n}, {0}};
	static const char request[] = "GET /v1/n HTTP/1.1\r\nHost: x\r\n\r\n";
	static const struct timeval enough = {1, 500000};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct event_base *base = event_base_new();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char answer[512] = "";
	struct api *api;

	(void)state;
	strcpy(address.sun_path, path);
	assert_int_equal(api_new(base, path, one, NULL, &api), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
	assert_int_equal(turn_without_descriptors(base), 1);
	event_base_loopexit(base, &enough);
	event_base_dispatch(base);
	assert_true(read(fd, answer, sizeof answer - 1) > 0);
	assert_non_null(strstr(answer, "200 OK"));
	close(fd);
	api_free(api);
	event_base_free(base);
}

static void
a_query_that_cannot_be_read_is_refused(void **state)
{
	(void)state;
	assert_int_equal(ask_api("/v1/n?watch=1"), 0);
	assert_int_equal(ask_api("/v1/n?profile=po1&watch=1"), 0);
	assert_int_equal(ask_api("/v1/n?&watch=1"), ERR_USAGE);
	assert_int_equal(ask_api("/v1/n?=1&watch=1"), ERR_USAGE);
}

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	scratch_path(&scratch, "s", path);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

/* A server's words on an operator's terminal: whatever is in them, they are read and not obeyed. */
static void
words_of_a_peer_are_shown_plain(void **state)
{
	json_t *object = json_pack("{s:s, s:[{s:s}]}", "text", "\033[2Jgone\r\007 \xc3\xa4\n2", "sets", "name", "\033]0;x");
	json_t *plain = cli_plain_object(object);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(plain, "text")), "?[2Jgone?? \xc3\xa4\n2");
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(plain, "sets"), 0), "name")), "?]0;x");
	json_decref(plain);
	json_decref(object);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_that_ends_is_good),
		cmocka_unit_test(a_daemon_that_dies_in_its_answer_leaves_the_outcome_unknown),
		cmocka_unit_test(an_error_in_a_stream_is_the_answer),
		cmocka_unit_test(an_interrupt_while_waiting_is_told_as_one),
		cmocka_unit_test(an_interrupt_between_two_waits_is_not_lost),
		cmocka_unit_test(a_control_socket_is_for_its_owner_and_group),
		cmocka_unit_test(a_directory_that_is_made_while_a_control_socket_is_can_be_entered),
		cmocka_unit_test(a_client_for_whom_there_is_no_descriptor_is_taken_later_and_told_of_once),
		cmocka_unit_test(a_query_that_cannot_be_read_is_refused),
		cmocka_unit_test(words_of_a_peer_are_shown_plain),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
