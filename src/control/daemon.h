/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon - the life of a daemon: arguments, signals, readiness, the end.
 *
 * Foreground; logs to standard error; tells systemd READY=1, STATUS=, STOPPING=1, WATCHDOG=1 through NOTIFY_SOCKET (a
 * datagram of our own: the library would bring a compressor into a network daemon).  SIGTERM and SIGINT end the loop,
 * SIGHUP calls reload, SIGPIPE is ignored.
 */
#ifndef CONTROL_DAEMON_H
#define CONTROL_DAEMON_H

#include <stdbool.h>

struct event_base;
struct daemon;

struct daemon_arguments {
	const char *config;  /* --config FILE, or the default */
	const char *profile; /* --profile NAME where the program has it, else NULL */
	int fd;              /* --fd N where the program has it, else -1 */
	int warden;          /* --warden N where a program with --fd is given it, else -1 */
	bool replace;        /* --replace, which a program with a profile has */
};

/* Parses `--config FILE`, `--debug`, `--help`, `--version`, and what `*ret_arguments` asks for beforehand: a non-NULL profile `--profile
 * NAME`, an fd >= 0 `--fd N` and perhaps
 * `--warden N`.  Exits itself for help and version (0) and for a usage error (2). */
void daemon_arguments(int argc, char **argv, const char *program, const char *purpose, const char *default_config,
    struct daemon_arguments *ret_arguments);

/* Frames of up to 1 MiB come and go all the time: kept in the heap they cost no page faults.  Up to `kept_mib` that are free stay
 * with the process.  To be called before the first thread. */
void daemon_heap(int kept_mib);

/* From now on a loop that gets no memory for itself ends the program with a word: libevent 2.1 does not survive its own failed allocations
 * (evhttp frees a connection that it has not yet made).  To be called before the first event base. */
void daemon_events(void);

int daemon_new(struct event_base *base, void (*reload)(void *arg), void *arg, struct daemon **ret_daemon);
/* May be said again, with another status. */
void daemon_ready(struct daemon *d, const char *status);
void daemon_status(struct daemon *d, const char *status);
/* Runs the loop until a signal or daemon_end, which may have come before; returns the exit status.  A loop that is left for another
 * reason is no end, and may be run again. */
int daemon_run(struct daemon *d);
/* True once a signal or daemon_end has asked for the end: tells it from a loop that was left for another reason. */
bool daemon_ended(const struct daemon *d);
void daemon_end(struct daemon *d, int exit_status);
/* Ends the loop because the program is to be begun again in this process: systemd is told of a reload, not of an end. */
void daemon_end_to_begin_again(struct daemon *d);
/* True after that, unless a signal or daemon_end came as well. */
bool daemon_begins_again(const struct daemon *d);
void daemon_free(struct daemon *d);

#endif
