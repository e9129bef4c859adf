/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keeper_link - knows how the keeper is started and how its death is noticed: its end of the socket pair closes. */
#include "server/keeper_link.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "server/warden.h"

#define KEEPER_FD 3
#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS 60000
#define END_PATIENCE_S 20
#define STEADY_S 60 /* up for so long: the next start is a first one again */

struct pending {
	TAILQ_ENTRY(pending) link;
	uint64_t id;
	keeper_report *report;
	void *arg;
};
TAILQ_HEAD(pendings, pending);

struct keeper_link {
	struct event_base *base;
	char *program;
	const char *config;
	struct warden *warden; /* NULL: the keeper is our child */
	const struct keeper_events *events;
	void *arg;
	struct event *start_timer;
	struct bufferevent *io; /* NULL: down */
	pid_t pid;
	int64_t started_s; /* of the steady clock */
	int64_t backoff_ms;
	uint64_t restarts, next_id;
	struct pendings pendings;
};

extern char **environ;

#define KEEPER "tidemark-keeper"

/* Beside our executable, so that a checkout runs without installation; else where the PATH finds it. */
char *
keeper_link_program(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash, *program;

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return strdup(KEEPER);
	*slash = '\0';
	if (asprintf(&program, "%s/" KEEPER, self) < 0)
		return NULL;
	if (access(program, X_OK) == 0)
		return program;
	free(program);
	return strdup(KEEPER);
}

/* ---- orders and their ends ---- */

static struct pending *
find(struct keeper_link *k, uint64_t id)
{
	struct pending *p;

	TAILQ_FOREACH(p, &k->pendings, link)
		if (p->id == id)
			return p;
	return NULL;
}

static void
hand_out(struct keeper_link *k, const struct report *report)
{
	struct pending *p = find(k, report->id);
	bool last = report->kind == REPORT_DONE || report->kind == REPORT_FAILED;

	if (!report->id) {
		k->events->scrub(report, k->arg);
		return;
	}
	if (!p)
		return; /* forgotten */
	keeper_report *call = p->report;
	void *arg = p->arg;
	if (last) {
		TAILQ_REMOVE(&k->pendings, p, link);
		free(p);
	}
	call(report, arg);
}

static void
fail_all(struct keeper_link *k, enum err code, const char *text)
{
	uint64_t last = k->next_id;
	char *copy = strdup(text);
	struct pending *p;

	/* What is ordered by the callbacks belongs to the next keeper: ids rise, and the oldest is first. */
	while ((p = TAILQ_FIRST(&k->pendings)) && p->id <= last)
		hand_out(k, &(struct report){.id = p->id, .kind = REPORT_FAILED, .code = (int32_t)code, .text = copy});
	free(copy);
}

/* ---- the process ---- */

static void
say_how_it_ended(struct keeper_link *k, char *text, size_t size)
{
	int status = 0;

	/* It closed the socket: either it is a zombie by now, or it hangs on its way out. */
	if (k->warden) {
		if (warden_end_keeper(k->warden, 0, &status) != 0)
			log_error("keeper_link.warden", "%s", err_text());
	} else if (waitpid(k->pid, &status, WNOHANG) == 0) {
		kill(k->pid, SIGKILL);
		waitpid(k->pid, &status, 0);
	}
	k->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(text, size, "the keeper was ended by signal %d while it worked; it is started again", WTERMSIG(status));
	else
		snprintf(text, size, "the keeper ended with status %d while it worked; it is started again", WEXITSTATUS(status));
}

/* bufferevent_free closes the socket only when the loop turns again: the keeper must see the end of it now. */
static void
close_socket(struct keeper_link *k)
{
	if (!k->io)
		return;
	(void)shutdown(bufferevent_getfd(k->io), SHUT_RDWR);
	bufferevent_free(k->io);
	k->io = NULL;
}

static void
start_later(struct keeper_link *k)
{
	struct timeval after = {k->backoff_ms / 1000, k->backoff_ms % 1000 * 1000};

	evtimer_add(k->start_timer, &after);
	k->backoff_ms = k->backoff_ms * 2 < BACKOFF_MAX_MS ? k->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void
went_down(struct keeper_link *k)
{
	char text[160];

	close_socket(k);
	say_how_it_ended(k, text, sizeof text);
	log_error("keeper_link.down", "%s", text);
	if (clock_steady_ms() / 1000 - k->started_s >= STEADY_S)
		k->backoff_ms = BACKOFF_FIRST_MS;
	k->restarts++;
	start_later(k);
	fail_all(k, ERR_UNREACHABLE, text);
}

/* Takes one report from the input: 1 took one, 0 not all there yet, or an error. */
static int
take_report(struct keeper_link *k)
{
	struct evbuffer *in = bufferevent_get_input(k->io);
	size_t have = evbuffer_get_length(in);
	struct report report;
	uint8_t head[4];
	int err;

	if (have < sizeof head)
		return 0;
	evbuffer_copyout(in, head, sizeof head);
	struct pack_in cursor = pack_in(head, sizeof head);
	uint32_t len = unpack_u32(&cursor);
	if (len > ORDER_BYTES_MAX)
		return err_set(ERR_PEER, "the keeper sent a report of %u bytes", len);
	if (have - sizeof head < len)
		return 0;
	const uint8_t *bytes = evbuffer_pullup(in, (ssize_t)(sizeof head + len));
	if (!bytes)
		return err_set(ERR_NOMEM, "reading a report of the keeper");
	err = report_unpack(bytes + sizeof head, len, &report);
	evbuffer_drain(in, sizeof head + len);
	if (err)
		return err;
	hand_out(k, &report);
	report_fini(&report);
	return 1;
}

static void
on_read(struct bufferevent *io, void *arg)
{
	struct keeper_link *k = arg;
	int got;

	(void)io;
	while (k->io && (got = take_report(k)) != 0)
		if (got < 0) {
			log_error("keeper_link.read", "%s", err_text());
			went_down(k);
		}
}

static void
on_event(struct bufferevent *io, short what, void *arg)
{
	(void)io;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
		went_down(arg);
}

/* Descriptor 3 is the keeper's, whatever number it has here; ours closes itself. */
static int
spawn(struct keeper_link *k, int its_end)
{
	char *argv[] = {k->program, (char[]){"--config"}, (char *)(uintptr_t)k->config, (char[]){"--fd"}, (char[]){"3"}, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	/* Also when both numbers are the same: the copy loses its close-on-exec. */
	posix_spawn_file_actions_adddup2(&actions, its_end, KEEPER_FD);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int rc = posix_spawnp(&k->pid, k->program, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	if (rc) {
		k->pid = 0;
		errno = rc;
		return err_sys("starting %s", k->program);
	}
	return 0;
}

/* It stops what it does and ends by itself; one that hangs is not waited for longer than systemd would wait for us. */
static void
wait_for_end(struct keeper_link *k)
{
	const struct timespec step = {.tv_nsec = 10000000};
	int status;

	if (k->warden) {
		(void)warden_end_keeper(k->warden, END_PATIENCE_S * 1000, &status);
		return;
	}
	for (int i = 0; i < END_PATIENCE_S * 100; i++) {
		if (waitpid(k->pid, NULL, WNOHANG) != 0)
			return;
		nanosleep(&step, NULL);
	}
	log_error("keeper_link.free", "the keeper does not end; it is killed");
	kill(k->pid, SIGKILL);
	waitpid(k->pid, NULL, 0);
}

/* The keeper as our child, or the warden's. */
static int
start_process(struct keeper_link *k, int *ret_fd)
{
	int pair[2], err;

	if (k->warden)
		return warden_start_keeper(k->warden, &k->pid, ret_fd);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return err_sys("making the keeper's socket");
	err = spawn(k, pair[1]);
	close(pair[1]);
	if (err)
		close(pair[0]);
	else
		*ret_fd = pair[0];
	return err;
}

static int
start(struct keeper_link *k)
{
	int fd, err = start_process(k, &fd);

	if (err)
		return err;
	evutil_make_socket_nonblocking(fd);
	k->io = bufferevent_socket_new(k->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!k->io) {
		close(fd); /* which ends it */
		wait_for_end(k);
		k->pid = 0;
		return err_set(ERR_NOMEM, "opening the keeper's socket");
	}
	bufferevent_setcb(k->io, on_read, NULL, on_event, k);
	bufferevent_enable(k->io, EV_READ | EV_WRITE);
	k->started_s = clock_steady_ms() / 1000;
	return 0;
}

static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_link *k = arg;

	(void)fd;
	(void)what;
	if (start(k) == 0) {
		log_info("keeper_link.up", "pid=%d", (int)k->pid);
		k->events->up(k->arg);
	} else {
		log_error("keeper_link.start", "%s", err_text());
		start_later(k);
	}
}

/* ---- life ---- */

int
keeper_link_new(struct event_base *base, const char *program, const char *config, struct warden *warden, const struct keeper_events *events,
    void *arg, struct keeper_link **ret_link)
{
	struct keeper_link *k = calloc(1, sizeof *k);

	if (!k)
		return err_set(ERR_NOMEM, "preparing the keeper");
	TAILQ_INIT(&k->pendings);
	k->base = base;
	k->config = config;
	k->warden = warden;
	k->events = events;
	k->arg = arg;
	k->backoff_ms = BACKOFF_FIRST_MS;
	k->program = program ? strdup(program) : keeper_link_program();
	k->start_timer = evtimer_new(base, on_start, k);
	if (!k->program || !k->start_timer) {
		keeper_link_free(k);
		return err_set(ERR_NOMEM, "preparing the keeper");
	}
	event_active(k->start_timer, EV_TIMEOUT, 0);
	*ret_link = k;
	return 0;
}

void
keeper_link_end(struct keeper_link *k)
{
	if (!k)
		return;
	close_socket(k);
	if (k->pid > 0)
		wait_for_end(k);
	k->pid = 0;
	fail_all(k, ERR_STOPPED, "the server ends");
	if (k->start_timer)
		event_free(k->start_timer);
	k->start_timer = NULL;
}

void
keeper_link_free(struct keeper_link *k)
{
	if (!k)
		return;
	keeper_link_end(k);
	free(k->program);
	free(k);
}

static int
send_order(struct keeper_link *k, const struct order *order)
{
	struct pack_out o = {0};

	pack_u32(&o, 0);
	order_pack(&o, order);
	if (o.failed || o.len - 4 > ORDER_BYTES_MAX) {
		pack_out_fini(&o);
		return err_set(ERR_LIMIT, "the order is too long");
	}
	struct pack_out head = pack_out_fixed(o.data, 4);
	pack_u32(&head, (uint32_t)(o.len - 4));
	int rc = bufferevent_write(k->io, o.data, o.len);
	pack_out_fini(&o);
	return rc == 0 ? 0 : err_set(ERR_NOMEM, "giving an order to the keeper");
}

uint64_t
keeper_link_order(struct keeper_link *k, struct order *order, keeper_report *report, void *arg)
{
	struct pending *p = k->io ? calloc(1, sizeof *p) : NULL;

	if (!p) {
		(void)err_set(ERR_UNREACHABLE, "the keeper is not running; it is started again by itself (see the log)");
		return 0;
	}
	order->id = p->id = ++k->next_id;
	p->report = report;
	p->arg = arg;
	if (send_order(k, order) != 0) {
		free(p);
		return 0;
	}
	TAILQ_INSERT_TAIL(&k->pendings, p, link);
	return p->id;
}

void
keeper_link_stop(struct keeper_link *k, const char *profile, uint64_t id)
{
	struct order order = {.id = ++k->next_id, .kind = ORDER_STOP, .profile = (char *)(uintptr_t)profile, .target = id};

	/* The STOP's own DONE finds nobody waiting. */
	if (k->io)
		(void)send_order(k, &order);
}

void
keeper_link_forget(struct keeper_link *k, uint64_t id)
{
	struct pending *p = find(k, id);

	if (p) {
		TAILQ_REMOVE(&k->pendings, p, link);
		free(p);
	}
}

bool
keeper_link_up(const struct keeper_link *k)
{
	return k->io != NULL;
}

uint64_t
keeper_link_restarts(const struct keeper_link *k)
{
	return k->restarts;
}
