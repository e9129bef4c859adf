/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * procsession - reads /proc and signals.
 *
 * A process is signalled right after it was seen in the session; that its number becomes a stranger's in between would take a whole
 * round of the kernel's numbers.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "collector/procsession.h"

#define STAT_MAX 4096u
#define ROUND_MS 20
#define ROUNDS_TERM 250 /* five seconds */
#define ROUNDS_MAX 500

/* /proc/PID/stat: "PID (name) state parent group session ..."; a name may hold anything.  False: it has ended. */
static bool
read_one(pid_t pid, struct procsession_one *ret_one)
{
	struct procsession_one one = {.pid = pid};
	char path[64], *text = NULL, *name, *rest, state = 'X';
	size_t len;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (fsio_read_path(path, STAT_MAX, &text, &len) != 0)
		return false;
	name = strchr(text, '(');
	rest = strrchr(text, ')');
	if (name && rest && sscanf(rest + 1, " %c %*d %*d %d", &state, &one.session) == 2)
		snprintf(one.name, sizeof one.name, "%.*s", (int)(rest - name - 1), name + 1);
	free(text);
	*ret_one = one;
	/* One that its parent has not yet looked at holds nothing any more. */
	return state != 'X' && state != 'Z';
}

/* Calls `look` with every living process but ours, until it says true. */
static void
each_process(bool (*look)(const struct procsession_one *one, void *arg), void *arg)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	bool enough = false;

	while (dir && !enough && (entry = readdir(dir))) {
		struct procsession_one one;
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != getpid() && read_one(pid, &one))
			enough = look(&one, arg);
	}
	if (dir)
		closedir(dir);
}

static void
nap(void)
{
	struct timespec round = {.tv_nsec = ROUND_MS * 1000000};

	nanosleep(&round, NULL);
}

/* ---- who holds a file ---- */

struct search {
	const struct stat *file;
	char tail[NAME_MAX + 2]; /* "/name": a file of another name is not looked at, its file system may hang */
	struct procsession_one found;
};

static bool
is_it(const struct search *s, int fds, const char *fd)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fds, fd, target, sizeof target);
	size_t tail = strlen(s->tail);
	struct stat st;

	return n >= (ssize_t)tail && memcmp(target + n - tail, s->tail, tail) == 0 && fstatat(fds, fd, &st, 0) == 0 &&
	    st.st_dev == s->file->st_dev && st.st_ino == s->file->st_ino;
}

static bool
look_at_files(const struct procsession_one *one, void *arg)
{
	struct search *s = arg;
	char path[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)one->pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir)))
		found = is_it(s, dirfd(dir), entry->d_name);
	if (dir)
		closedir(dir);
	if (found)
		s->found = *one;
	return found;
}

bool
procsession_holder(const struct stat *file, const char *name, struct procsession_one *ret_holder)
{
	struct search s = {.file = file};

	snprintf(s.tail, sizeof s.tail, "/%s", name);
	each_process(look_at_files, &s);
	if (s.found.pid)
		*ret_holder = s.found;
	return s.found.pid != 0;
}

/* ---- the end of a session ---- */

struct strike {
	pid_t session;
	int signal; /* 0: only look */
	size_t n;
	struct procsession_one last;
};

static bool
strike(const struct procsession_one *one, void *arg)
{
	struct strike *s = arg;

	if (one->session != s->session)
		return false;
	(void)kill(one->pid, s->signal);
	s->last = *one;
	s->n++;
	return false;
}

int
procsession_end(pid_t session, int patience_ms, size_t *ret_ended)
{
	int term = patience_ms / ROUND_MS, signal = 0;
	struct strike s = {0};
	size_t ended = 0;

	if (session <= 1 || session == getsid(0))
		return err_set(ERR_BUSY, "session %d is not one that may be ended", (int)session);
	for (int round = 0; round < term + ROUNDS_MAX; round++) {
		signal = round == term ? SIGTERM : round < term + ROUNDS_TERM ? 0 : SIGKILL;
		s = (struct strike){.session = session, .signal = signal};
		each_process(strike, &s);
		if (s.n == 0) {
			*ret_ended = ended;
			return 0;
		}
		ended = signal && s.n > ended ? s.n : ended;
		nap();
	}
	return err_set(ERR_BUSY, "process %d (%s) cannot be ended", (int)s.last.pid, s.last.name);
}
