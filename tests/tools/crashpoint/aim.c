/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/tools/crashpoint/aim.h"

struct aim aim = {.lock = PTHREAD_MUTEX_INITIALIZER, .dead = PTHREAD_COND_INITIALIZER};

static FILE *in, *out;
static int notify_fd;
static pthread_t obeying, hearing;

void
die(const char *what)
{
	fprintf(stderr, "crashpoint: %s: %s\n", what, strerror(errno));
	exit(99);
}

void
aim_tell(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(out, format, args);
	va_end(args);
	fputc('\n', out);
	fflush(out);
}

/* ---- orders ---- */

/* "EIO", or "EIO+" for an error that lasts. */
static bool
arm_error(const char *mode)
{
	char name[16];

	snprintf(name, sizeof name, "%s", mode);
	name[strcspn(name, "+")] = '\0';
	aim.error = error_of(name);
	aim.lasts = strchr(mode, '+');
	aim.mode = FAIL;
	return aim.error >= 0;
}

void
aim_arm(unsigned long n, const char *mode)
{
	static const char *const names[] = {[NONE] = "none", [BEFORE] = "before", [AFTER] = "after", [HALF] = "half"};
	enum mode m = NONE;

	while (m < FAIL && strcmp(names[m], mode) != 0)
		m++;
	aim.mode = m;
	aim.at = n;
	aim.count = aim.hits = 0;
	if (m == FAIL && !arm_error(mode)) {
		errno = EINVAL;
		die(mode);
	}
}

static void
disarm(void)
{
	aim.mode = NONE;
	while (aim.victim) /* its death is told first */
		pthread_cond_wait(&aim.dead, &aim.lock);
	aim_tell("calls %lu %lu", aim.count, aim.hits);
}

/* Its death is told as that of any victim. */
static void
kill_command(void)
{
	aim.mode = NONE;
	aim.victim = aim.command;
	snprintf(aim.what, sizeof aim.what, "as told");
	kill(aim.command, SIGKILL);
}

static void
obey(const char *line)
{
	char mode[16];
	unsigned long n;

	pthread_mutex_lock(&aim.lock);
	if (sscanf(line, "arm %lu %15s", &n, mode) == 2) {
		aim_arm(n, mode);
		aim_tell("armed");
	} else if (strncmp(line, "kill", 4) == 0) {
		kill_command();
	} else {
		disarm();
	}
	pthread_mutex_unlock(&aim.lock);
}

static void *
serve(void *arg)
{
	char line[256];
	int state;

	(void)arg;
	while (fgets(line, sizeof line, in)) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		obey(line);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	}
	return NULL;
}

/* ---- readiness ---- */

/* Its children say the same on the same socket: only who is the command counts. */
static void
hear_one(void)
{
	char text[512], control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = {text, sizeof text};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	ssize_t n = recvmsg(notify_fd, &msg, 0);
	struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	struct ucred from;
	int state;

	if (!head || head->cmsg_type != SCM_CREDENTIALS || n < 7 || memcmp(text, "READY=1", 7) != 0)
		return;
	memcpy(&from, CMSG_DATA(head), sizeof from);
	if (from.pid != aim.command)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_mutex_lock(&aim.lock);
	aim_tell("ready %d", (int)getpid());
	pthread_mutex_unlock(&aim.lock);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
}

static void *
hear(void *arg)
{
	(void)arg;
	for (;;)
		hear_one();
	return NULL;
}

/* ---- life ---- */

/* A pipe that is open for both never ends, however many ask. */
static FILE *
open_pipe(const char *control, const char *end, const char *how)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s.%s", control, end);
	if (mkfifo(path, 0600) != 0 && errno != EEXIST)
		die(path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path);
	return fdopen(fd, how);
}

static void
open_notify(const char *control)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const int on = 1;

	if ((size_t)snprintf(to.sun_path, sizeof to.sun_path, "%s.notify", control) >= sizeof to.sun_path)
		die("the control path is too long");
	unlink(to.sun_path);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (notify_fd < 0 || setsockopt(notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
	    bind(notify_fd, (struct sockaddr *)&to, sizeof to) != 0)
		die(to.sun_path);
	setenv("NOTIFY_SOCKET", to.sun_path, 1);
	unsetenv("INVOCATION_ID"); /* under systemd the collector leaves the watcher to its own unit */
}

void
aim_open(const char *control)
{
	in = open_pipe(control, "in", "r");
	out = open_pipe(control, "out", "w");
	open_notify(control);
}

void
aim_serve(pid_t command)
{
	aim.command = command;
	if (pthread_create(&obeying, NULL, serve, NULL) != 0 || pthread_create(&hearing, NULL, hear, NULL) != 0)
		die("control");
}

void
aim_end(void)
{
	pthread_cancel(obeying);
	pthread_cancel(hearing);
}
