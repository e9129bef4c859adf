/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon - signals become events, readiness becomes a datagram, the exit status is remembered.
 *
 * systemd's protocol is sd_notify(3): one datagram to the socket named by NOTIFY_SOCKET ('@' = abstract).  The watchdog is
 * kicked from the loop itself at half of WATCHDOG_USEC, so a stuck loop is a missed kick.
 */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/version.h"
#include "control/daemon.h"

struct daemon {
	struct event_base *base;
	struct event *term, *interrupt, *hangup, *watchdog;
	void (*reload)(void *arg);
	void *arg;
	int exit_status;
	bool ended;
	bool again;    /* the loop was left so that the program begins again */
	int notify_fd; /* -1: not under systemd */
};

/* ---- arguments ---- */

static void
print_usage(FILE *out, const char *program, const char *purpose, const char *default_config, const struct daemon_arguments *wants)
{
	fprintf(out, "%s - %s\n\nusage: %s --config FILE%s%s\n  --config FILE   configuration (%s)\n", program, purpose, program,
	    wants->profile ? " --profile NAME" : "", wants->fd >= 0 ? " --fd N" : "", default_config);
	if (wants->profile)
		fputs("  --profile NAME  the profile to watch\n  --replace       another watcher of this profile is asked to end\n", out);
	if (wants->fd >= 0)
		fputs("  --fd N          where orders come from\n  --warden N      the way to root, where the receiver is another user\n", out);
	fputs("  --version, --help\nRuns in the foreground and logs to standard error; SIGTERM ends it, SIGHUP reloads the configuration.\n", out);
}

void
daemon_arguments(int argc, char **argv, const char *program, const char *purpose, const char *default_config,
    struct daemon_arguments *ret_arguments)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'}, {"profile", required_argument, NULL, 'p'}, {"fd", required_argument, NULL, 'f'}, {"warden", required_argument, NULL, 'w'}, {"replace", no_argument, NULL, 'r'},
	    {"debug", no_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {0},
	};
	struct daemon_arguments wants = *ret_arguments, got = {.config = default_config, .fd = -1, .warden = -1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c': got.config = optarg; continue;
		case 'd': log_set_least(LOG_DEBUG); continue;
		case 'h': print_usage(stdout, program, purpose, default_config, &wants); exit(0);
		case 'V': printf("%s %s\n", program, tidemark_version); exit(0);
		case 'p':
			if (wants.profile) {
				got.profile = optarg;
				continue;
			}
			break;
		case 'r':
			if (wants.profile) {
				got.replace = true;
				continue;
			}
			break;
		case 'f':
			if (wants.fd >= 0) {
				got.fd = atoi(optarg);
				continue;
			}
			break;
		case 'w':
			if (wants.fd >= 0) {
				got.warden = atoi(optarg);
				continue;
			}
			break;
		default: break;
		}
		print_usage(stderr, program, purpose, default_config, &wants);
		exit(2);
	}
	if (optind < argc || (wants.profile && !got.profile) || (wants.fd >= 0 && got.fd < 0)) {
		print_usage(stderr, program, purpose, default_config, &wants);
		exit(2);
	}
	*ret_arguments = got;
}

/* ---- telling systemd ---- */

static int
notify_open(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof to.sun_path || (*path != '/' && *path != '@'))
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(to.sun_path, path, len);
	if (*path == '@')
		to.sun_path[0] = '\0';
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void
notify(const struct daemon *d, const char *text)
{
	/* A lost datagram is systemd's to notice; there is nothing we could do better. */
	if (d->notify_fd >= 0 && send(d->notify_fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		log_debug("daemon.notify", "%s", strerror(errno));
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	notify(arg, "WATCHDOG=1");
}

static void
start_watchdog(struct daemon *d)
{
	const char *text = getenv("WATCHDOG_USEC");
	long long usec = text ? atoll(text) / 2 : 0;
	struct timeval period = {usec / 1000000, usec % 1000000};

	if (d->notify_fd < 0 || usec <= 0)
		return;
	d->watchdog = event_new(d->base, -1, EV_PERSIST, on_watchdog, d);
	if (d->watchdog)
		event_add(d->watchdog, &period);
}

/* ---- memory ---- */

void
daemon_heap(int kept_mib)
{
	mallopt(M_MMAP_THRESHOLD, 4 << 20);
	mallopt(M_TRIM_THRESHOLD, kept_mib << 20);
	mallopt(M_ARENA_MAX, 2);
}

static void *
or_end(void *memory)
{
	if (memory)
		return memory;
	log_end_out_of_memory("daemon.memory");
}

static void *
must_malloc(size_t size)
{
	return or_end(malloc(size));
}

static void *
must_realloc(void *memory, size_t size)
{
	return or_end(realloc(memory, size));
}

void
daemon_events(void)
{
	event_set_mem_functions(must_malloc, must_realloc, free);
}

/* ---- signals ---- */

static void
on_end(evutil_socket_t signal_number, short what, void *arg)
{
	(void)what;
	log_info("daemon.signal", "%s: ending", strsignal((int)signal_number));
	daemon_end(arg, 0);
}

static void
on_hangup(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd, (void)what;
	notify(d, "RELOADING=1");
	if (d->reload)
		d->reload(d->arg);
	notify(d, "READY=1");
}

static struct event *
on_signal(struct daemon *d, int signal_number, event_callback_fn call)
{
	struct event *ev = evsignal_new(d->base, signal_number, call, d);

	if (ev && event_add(ev, NULL) != 0) {
		event_free(ev);
		ev = NULL;
	}
	if (ev)
		event_priority_set(ev, 0);
	return ev;
}

int
daemon_new(struct event_base *base, void (*reload)(void *arg), void *arg, struct daemon **ret_daemon)
{
	struct daemon *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(ERR_NOMEM, "starting");
	d->base = base;
	d->reload = reload;
	d->arg = arg;
	d->notify_fd = notify_open();
	signal(SIGPIPE, SIG_IGN);
	d->term = on_signal(d, SIGTERM, on_end);
	d->interrupt = on_signal(d, SIGINT, on_end);
	d->hangup = on_signal(d, SIGHUP, on_hangup);
	if (!d->term || !d->interrupt || !d->hangup) {
		daemon_free(d);
		return err_set(ERR_NOMEM, "watching signals");
	}
	*ret_daemon = d;
	return 0;
}

void
daemon_ready(struct daemon *d, const char *status)
{
	notify(d, "READY=1");
	daemon_status(d, status);
	if (!d->watchdog)
		start_watchdog(d);
}

void
daemon_status(struct daemon *d, const char *status)
{
	char text[512];

	snprintf(text, sizeof text, "STATUS=%s", status);
	notify(d, text);
}

int
daemon_run(struct daemon *d)
{
	/* A loop forgets at its beginning that it was to end: whoever asked for that before it began would wait for ever. */
	if (!d->ended && !d->again && event_base_dispatch(d->base) < 0) {
		log_error("daemon.loop", "the event loop failed: %s", strerror(errno));
		daemon_end(d, 1);
	}
	if (d->ended || d->again)
		notify(d, daemon_begins_again(d) ? "RELOADING=1" : "STOPPING=1");
	return d->exit_status;
}

bool
daemon_ended(const struct daemon *d)
{
	return d->ended;
}

void
daemon_end(struct daemon *d, int exit_status)
{
	d->exit_status = exit_status;
	d->ended = true;
	event_base_loopbreak(d->base);
}

void
daemon_end_to_begin_again(struct daemon *d)
{
	d->again = true;
	event_base_loopbreak(d->base);
}

bool
daemon_begins_again(const struct daemon *d)
{
	return d->again && !d->ended;
}

void
daemon_free(struct daemon *d)
{
	if (!d)
		return;
	struct event *const events[] = {d->term, d->interrupt, d->hangup, d->watchdog};
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i])
			event_free(events[i]);
	if (d->notify_fd >= 0)
		close(d->notify_fd);
	free(d);
}
