/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watcher_link - a connection that is always there or being made.
 *
 * Five times a second while down: connect; refused or absent: start a watcher, then wait longer and longer (up to 30 s) before
 * the next start.  Up: read lines, ask for figures every five seconds.  One that leaves SILENT_ASKS of them without an answer counts
 * as down, for it may be frozen with a full queue behind it; its connection stays, and its next answer makes it up again.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/block.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/version.h"
#include "collector/config.h"
#include "collector/launched.h"
#include "collector/watcher_link.h"

#define START_AGAIN_MAX_S 30
#define SILENT_ASKS 3
#define SYSTEMD_GRACE_S 10 /* for the watcher's own unit to come up */

static const struct timeval ask_every = {5, 0}, try_every = {0, 200000};

struct watcher_link {
	struct event_base *base;
	const struct watcher_link_events *events;
	void *arg;
	char *profile, *config_file, *socket_path, *fingerprint;
	struct watcher_link_status status;
	int fd;
	struct event *readable, *tick, *child;
	char line[512];
	size_t len;
	bool greeted;
	unsigned unanswered;
	pid_t pid;             /* of the one we started; 0 = none, or it was reaped */
	int wait_s;            /* before the next start */
	int64_t start_after_s; /* monotonic */
};

char *
watcher_fingerprint(const struct conf *conf, const char *profile)
{
	static const uint8_t zeros[BLOCK_KEY_BYTES];
	const struct profile_config *p = collector_config_profile(conf, profile);
	char *facts, hex[33];
	struct block_key key;
	char *word = NULL;
	int len = asprintf(&facts, "%d\n%s\n%s", p->type, p->path, collector_config_main(conf)->state);

	if (len < 0)
		return NULL;
	block_key_init(&key, zeros);
	hash128_hex(block_hash(&key, facts, (size_t)len), hex);
	free(facts);
	return asprintf(&word, "%s.%s", hex, tidemark_version) < 0 ? NULL : word;
}

static bool
under_systemd(void)
{
	return getenv("NOTIFY_SOCKET") && getenv("INVOCATION_ID");
}

/* True when it serves what we want and is not to be replaced for its version. */
static bool
is_ours(const struct watcher_link *l, const char *fingerprint)
{
	size_t facts = strcspn(l->fingerprint, ".") + 1;

	return strcmp(fingerprint, l->fingerprint) == 0 || (under_systemd() && launched_by() && strncmp(fingerprint, l->fingerprint, facts) == 0);
}

/* ---- starting a watcher ---- */

static void
reap(struct watcher_link *l)
{
	int status;
	pid_t got = l->pid ? waitpid(l->pid, &status, WNOHANG) : 0;

	if (got == 0)
		return;
	l->pid = 0;
	/* Not a child of ours: whose it is will reap it.  11: another watcher has the profile's lock, which is as good. */
	if (got > 0 && (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 11)))
		log_warn("watcher.died", "profile=%s status=%d: it is started again; nothing is lost, its start compares the tree", l->profile,
		    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	reap(arg);
}

static int
start(struct watcher_link *l)
{
	char program[PATH_MAX];
	char *words[] = {program, (char[]){"--config"}, l->config_file, (char[]){"--profile"}, l->profile, NULL};
	ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
	posix_spawnattr_t attributes;
	char *slash;

	program[n < 0 ? 0 : n] = '\0';
	slash = strrchr(program, '/');
	if (!slash || (size_t)(slash - program) + sizeof "/tidemark-watcher" > sizeof program)
		return err_set(ERR_IO, "finding our own program");
	strcpy(slash, "/tidemark-watcher");
	posix_spawnattr_init(&attributes);
	/* A session of its own: it outlives us, and a terminal's ^C is for the collector. */
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
	errno = posix_spawn(&l->pid, program, NULL, &attributes, words, environ);
	posix_spawnattr_destroy(&attributes);
	if (errno) {
		l->pid = 0;
		return err_sys("starting %s", program);
	}
	return 0;
}

/* ---- the connection ---- */

static void
tell(struct watcher_link *l)
{
	if (l->events->changed)
		l->events->changed(l->arg);
}

static void
go_down(struct watcher_link *l)
{
	bool was = l->status.up;

	if (l->readable)
		event_free(l->readable);
	l->readable = NULL;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->len = 0;
	l->greeted = false;
	l->unanswered = 0;
	l->status.up = false;
	evtimer_add(l->tick, &try_every);
	if (was)
		tell(l);
}

static void
ask(struct watcher_link *l, const char *line)
{
	if (send(l->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN)
		go_down(l);
}

/* The process that listens there, 0 = unknown. */
static pid_t
peer(const struct watcher_link *l)
{
	struct ucred who = {0};
	socklen_t size = sizeof who;

	(void)getsockopt(l->fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	return who.pid;
}

/* What a silent one has not read yet is in its queue, not lost: unless it dies, nothing has to be compared when it answers again. */
static void
tell_silent(struct watcher_link *l)
{
	log_warn("watcher.silent",
	    "profile=%s pid=%d: the watcher does not answer: changes are not seen, and no sync or backup ends, until it does; if it stays "
	    "so, end it with kill -KILL: another is started and compares the tree",
	    l->profile, (int)peer(l));
	if (!l->status.up)
		return;
	l->status.up = false;
	tell(l);
}

static void
ask_figures(struct watcher_link *l)
{
	if (++l->unanswered == SILENT_ASKS + 1)
		tell_silent(l);
	ask(l, "status\n");
}

/* One that serves something else than we want ends, and we start another at once. */
static void
replace(struct watcher_link *l)
{
	ask(l, "quit\n");
	l->start_after_s = 0;
	if (l->fd >= 0)
		go_down(l);
}

static void
on_hello(struct watcher_link *l, const char *line)
{
	char fingerprint[64];
	int version, pid;

	if (sscanf(line, "tidemark-watcher %d %d %63s", &version, &pid, fingerprint) != 3) {
		go_down(l);
		return;
	}
	if (version != 1 || !is_ours(l, fingerprint)) {
		log_info("watcher.replace", "profile=%s pid=%d serves another configuration or version", l->profile, pid);
		replace(l);
		return;
	}
	l->greeted = true;
	l->status.up = true;
	l->wait_s = 1;
	log_info("watcher.up", "profile=%s pid=%d", l->profile, pid);
	ask_figures(l);
	if (l->fd < 0)
		return;
	evtimer_add(l->tick, &ask_every);
	l->events->poke(l->arg); /* what came while we were away */
	if (l->events->up)
		l->events->up(l->arg);
	tell(l);
}

static void
on_figures(struct watcher_link *l, const char *line)
{
	struct watcher_link_status s = {.up = true};
	unsigned long long directories, unwatched, events, overflows, rescans;
	long long since;
	char root[8];

	if (sscanf(line, "status directories=%llu unwatched=%llu events=%llu overflows=%llu rescans=%llu root=%7s since=%lld", &directories,
	        &unwatched, &events, &overflows, &rescans, root, &since) != 7)
		return;
	s.directories = directories;
	s.unwatched = unwatched;
	s.events = events;
	s.overflows = overflows;
	s.rescans = rescans;
	s.root_gone = strcmp(root, "gone") == 0;
	s.since_s = since;
	if (!l->status.up)
		log_info("watcher.up", "profile=%s: it answers again", l->profile);
	l->unanswered = 0;
	l->status = s;
	tell(l);
}

static void
on_line(struct watcher_link *l, const char *line)
{
	if (!l->greeted)
		on_hello(l, line);
	else if (strncmp(line, "poke ", 5) == 0)
		l->events->poke(l->arg);
	else
		on_figures(l, line);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct watcher_link *l = arg;
	char data[4096];
	ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		go_down(l);
		return;
	}
	for (ssize_t i = 0; i < n && l->fd >= 0; i++) {
		if (data[i] == '\n') {
			l->line[l->len] = '\0';
			l->len = 0;
			on_line(l, l->line);
		} else if (l->len + 1 < sizeof l->line) {
			l->line[l->len++] = data[i];
		}
	}
}

static int
dial(struct watcher_link *l)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	strcpy(address.sun_path, l->socket_path);
	/* A Unix socket connects at once or not at all. */
	if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct watcher_link *l = arg;

	(void)fd, (void)what;
	if (l->fd >= 0) {
		ask_figures(l);
		if (l->fd >= 0)
			evtimer_add(l->tick, &ask_every);
		return;
	}
	l->fd = dial(l);
	if (l->fd >= 0) {
		l->readable = event_new(l->base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
		if (!l->pid)
			l->pid = peer(l); /* a child of what this process was before it became a release has nobody else to reap it */
		if (!l->readable || event_add(l->readable, NULL) != 0)
			go_down(l);
		return;
	}
	reap(l);
	if (!l->pid && clock_steady_ms() / 1000 >= l->start_after_s) {
		if (start(l) != 0)
			log_error("watcher.start", "profile=%s: %s: changes are found by scans only until it runs", l->profile, err_text());
		l->start_after_s = clock_steady_ms() / 1000 + l->wait_s;
		l->wait_s = l->wait_s * 2 > START_AGAIN_MAX_S ? START_AGAIN_MAX_S : l->wait_s * 2;
	}
	evtimer_add(l->tick, &try_every);
}

int
watcher_link_new(struct event_base *base, const struct conf *conf, const char *config_file, const char *profile,
    const struct watcher_link_events *events, void *arg, struct watcher_link **ret_link)
{
	struct watcher_link *l = calloc(1, sizeof *l);
	struct sockaddr_un limit;
	int err = 0;

	if (!l)
		return err_set(ERR_NOMEM, "starting the watcher");
	*l = (struct watcher_link){.base = base, .events = events, .arg = arg, .fd = -1, .wait_s = 1};
	l->profile = strdup(profile);
	l->config_file = realpath(config_file, NULL);
	l->fingerprint = watcher_fingerprint(conf, profile);
	l->tick = evtimer_new(base, on_tick, l);
	l->child = evsignal_new(base, SIGCHLD, on_child, l);
	if (asprintf(&l->socket_path, "%s/watcher-%s.sock", collector_config_main(conf)->run_dir, profile) < 0)
		l->socket_path = NULL;
	if (!l->profile || !l->config_file || !l->fingerprint || !l->tick || !l->child || !l->socket_path || event_add(l->child, NULL) != 0)
		err = err_set(ERR_NOMEM, "starting the watcher");
	else if (strlen(l->socket_path) >= sizeof limit.sun_path)
		err = err_set(ERR_CONFIG, "run-dir: the socket's path %s is too long", l->socket_path);
	if (err) {
		watcher_link_free(l);
		return err;
	}
	if (under_systemd())
		l->start_after_s = clock_steady_ms() / 1000 + SYSTEMD_GRACE_S;
	event_active(l->tick, EV_TIMEOUT, 0);
	*ret_link = l;
	return 0;
}

void
watcher_link_free(struct watcher_link *l)
{
	if (!l)
		return;
	if (l->readable)
		event_free(l->readable);
	if (l->tick)
		event_free(l->tick);
	if (l->child)
		event_free(l->child);
	if (l->fd >= 0)
		close(l->fd);
	free(l->profile);
	free(l->config_file);
	free(l->socket_path);
	free(l->fingerprint);
	free(l);
}

void
watcher_link_replace(struct watcher_link *l)
{
	if (l->fd >= 0)
		replace(l);
}

void
watcher_link_status(const struct watcher_link *l, struct watcher_link_status *ret_status)
{
	*ret_status = l->status;
}
