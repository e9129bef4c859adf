/* SPDX-License-Identifier: GPL-2.0-or-later */
/* warden - what is asked of root, one note after the other, and how the keeper is started as another user. */
#include "server/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/courier.h"
#include "base/err.h"
#include "base/log.h"

#define START 's'
#define END 'e'
#define MAKE 'm'
#define KEEPER_FD 3 /* the receiver's orders */
#define WARDEN_FD 4 /* the way to us */
#define LAST_PATIENCE_MS 20000

struct warden {
	struct courier *courier;
	pid_t pid;
};

/* ---- the process ---- */

struct root {
	const struct warden_setup *setup;
	int receiver, keeper; /* sockets; keeper -1 without one */
	int store;
	pid_t pid;            /* 0: there is no keeper */
	int pidfd;
	int status;           /* of the last one's end */
};

static void
answer(int fd, int err, const struct courier_note *with)
{
	struct courier_note note = with ? *with : (struct courier_note){.fd = -1};

	if (err < 0) {
		note = (struct courier_note){.number = err, .fd = -1};
		snprintf(note.text, sizeof note.text, "%s", err_text());
	}
	(void)courier_send(fd, &note); /* whoever asked may be gone */
}

static void
serve_keeper(struct root *r)
{
	struct courier_note note;
	int err = courier_receive(r->keeper, &note);

	if (err) {
		close(r->keeper);
		r->keeper = -1;
		return;
	}
	if (note.kind == WARDEN_TAKE && note.fd >= 0)
		err = ownership_take(note.fd, &r->setup->owners);
	else
		err = err_set(ERR_DENIED, "the keeper may not ask for this");
	if (note.fd >= 0)
		close(note.fd);
	answer(r->keeper, err, NULL);
}

static void
buried(struct root *r)
{
	(void)waitpid(r->pid, &r->status, 0);
	close(r->pidfd);
	if (r->keeper >= 0)
		close(r->keeper);
	r->keeper = r->pidfd = -1;
	r->pid = 0;
}

/* Serves the keeper while it works towards its end: it may be waiting for us. */
static void
end_keeper(struct root *r, int64_t patience_ms)
{
	int64_t until = clock_steady_ms() + patience_ms;

	while (r->pid) {
		struct pollfd waits[] = {{.fd = r->pidfd, .events = POLLIN}, {.fd = r->keeper, .events = POLLIN}};
		int64_t left = until - clock_steady_ms();

		(void)poll(waits, 2, left > 0 ? (int)left : 0);
		if (!waits[0].revents && left <= 0)
			(void)pidfd_send_signal(r->pidfd, SIGKILL, NULL, 0);
		if (waits[0].revents || left <= 0)
			buried(r);
		else if (waits[1].revents)
			serve_keeper(r);
	}
}

/* In the keeper's own process.  Both numbers may be taken by the sockets themselves: they are moved out of the way first. */
static void
be_keeper(const struct warden_setup *s, int orders, int way)
{
	char *argv[] = {(char *)(uintptr_t)s->program, (char[]){"--config"}, (char *)(uintptr_t)s->config, (char[]){"--fd"}, (char[]){"3"},
	    (char[]){"--warden"}, (char[]){"4"}, NULL};
	int high[2] = {fcntl(orders, F_DUPFD_CLOEXEC, 10), fcntl(way, F_DUPFD_CLOEXEC, 10)};
	sigset_t none;

	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (high[0] < 0 || high[1] < 0 || dup2(high[0], KEEPER_FD) < 0 || dup2(high[1], WARDEN_FD) < 0)
		(void)err_sys("giving the keeper its sockets");
	else if (users_become(&s->owners.keeper, s->owners.receiver.gid) == 0) {
		execvp(s->program, argv);
		(void)err_sys("starting %s", s->program);
	}
	log_error("warden.keeper", "%s", err_text());
	_exit(1);
}

static int
fork_keeper(struct root *r, int orders, int way)
{
	pid_t pid = fork();

	if (pid < 0)
		return err_sys("starting the keeper");
	if (pid == 0)
		be_keeper(r->setup, orders, way);
	r->pid = pid;
	r->pidfd = pidfd_open(pid, 0);
	if (r->pidfd >= 0)
		return 0;
	int err = err_sys("holding the keeper");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	r->pid = 0;
	return err;
}

static void
close_both(const int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static void
start_keeper(struct root *r)
{
	int orders[2] = {-1, -1}, way[2] = {-1, -1}, err;

	end_keeper(r, 0);
	err = courier_pair(way);
	if (!err && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, orders) != 0)
		err = err_sys("making the keeper's socket");
	if (!err)
		err = fork_keeper(r, orders[1], way[1]);
	if (!err) {
		r->keeper = way[0];
		way[0] = -1;
	}
	const struct courier_note note = {.number = (int32_t)r->pid, .fd = orders[0]};
	answer(r->receiver, err, &note);
	close_both(orders);
	close_both(way);
}

static void
serve_receiver(struct root *r, const struct courier_note *note)
{
	switch (note->kind) {
	case START:
		start_keeper(r);
		return;
	case END:
		r->status = 0;
		end_keeper(r, note->number);
		answer(r->receiver, 0, &(struct courier_note){.number = r->status, .fd = -1});
		return;
	case MAKE:
		answer(r->receiver, ownership_of_profile(r->store, note->text, &r->setup->owners), NULL);
		return;
	default:
		answer(r->receiver, err_set(ERR_DENIED, "the receiver may not ask for this"), NULL);
	}
}

static void
serve(struct root *r)
{
	struct courier_note note;

	for (;;) {
		struct pollfd waits[] = {{.fd = r->receiver, .events = POLLIN}, {.fd = r->keeper, .events = POLLIN}};

		if (poll(waits, 2, -1) < 0 && errno != EINTR)
			return;
		if (waits[1].revents)
			serve_keeper(r);
		if (!waits[0].revents)
			continue;
		if (courier_receive(r->receiver, &note) != 0)
			return;
		if (note.fd >= 0)
			close(note.fd); /* nothing that it may ask for needs one */
		serve_receiver(r, &note);
	}
}

/* Signals that end a service reach every process of it: we end when the receiver has. */
static void
be_warden(const struct warden_setup *setup, int fd)
{
	struct root r = {.setup = setup, .receiver = fd, .keeper = -1, .pidfd = -1};

	(void)prctl(PR_SET_NAME, "tidemark-warden");
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	r.store = open(setup->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.store < 0)
		log_error("warden.store", "%s: %s", setup->store, strerror(errno));
	else if (confine(CONFINE_NO_NETWORK, NULL, 0) != 0)
		log_error("warden.confine", "%s", err_text());
	else
		serve(&r);
	end_keeper(&r, LAST_PATIENCE_MS);
	_exit(0);
}

/* ---- the receiver's side ---- */

int
warden_start(const struct warden_setup *setup, struct warden **ret_warden)
{
	struct warden *w = calloc(1, sizeof *w);
	int pair[2], err = w ? courier_pair(pair) : err_set(ERR_NOMEM, "starting the warden");

	if (!err && (err = courier_new(pair[0], &w->courier)) != 0) {
		close(pair[0]);
		close(pair[1]);
	}
	if (err) {
		free(w);
		return err;
	}
	w->pid = fork();
	if (w->pid == 0) {
		courier_free(w->courier);
		be_warden(setup, pair[1]);
	}
	close(pair[1]);
	if (w->pid < 0) {
		err = err_sys("starting the warden");
		warden_free(w);
		return err;
	}
	*ret_warden = w;
	return 0;
}

void
warden_free(struct warden *w)
{
	if (!w)
		return;
	courier_free(w->courier);
	if (w->pid > 0)
		(void)waitpid(w->pid, NULL, 0);
	free(w);
}

int
warden_start_keeper(struct warden *w, int *ret_pid, int *ret_fd)
{
	struct courier_note note;
	int err = courier_ask(w->courier, &(struct courier_note){.kind = START, .fd = -1}, &note);

	if (err < 0)
		return err;
	/* The kernel drops what we have no room for; the keeper sees that its socket is gone, and ends. */
	if (note.fd < 0)
		return err_set(ERR_LIMIT, "the keeper's socket did not arrive: too many open files");
	*ret_pid = note.number;
	*ret_fd = note.fd;
	return 0;
}

int
warden_end_keeper(struct warden *w, int patience_ms, int *ret_status)
{
	struct courier_note note;
	int err = courier_ask(w->courier, &(struct courier_note){.kind = END, .number = patience_ms, .fd = -1}, &note);

	if (err < 0)
		return err;
	*ret_status = note.number;
	return 0;
}

int
warden_make_profile(struct warden *w, const char *profile)
{
	struct courier_note note, question = {.kind = MAKE, .fd = -1};
	int err;

	snprintf(question.text, sizeof question.text, "%s", profile);
	err = courier_ask(w->courier, &question, &note);
	return err < 0 ? err : 0;
}
