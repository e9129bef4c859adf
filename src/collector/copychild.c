/* SPDX-License-Identifier: GPL-2.0-or-later */
/* copychild - how DBCOPY is started, and what it inherits. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/copychild.h"

extern char **environ;

#define REAP_ROUNDS 200
#define REAP_ROUND_MS 10

int
copychild_sibling(const char *name, char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);

	if (n < 0)
		return err_sys("finding our own program");
	out[n] = '\0';
	char *slash = strrchr(out, '/');
	if (!slash || (size_t)(slash + 1 - out) + strlen(name) >= size)
		return err_set(ERR_LIMIT, "the path of our own program is too long");
	strcpy(slash + 1, name);
	return 0;
}

int
copychild_start(char **words, int output, int report, int lock, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t all, none;
	pid_t pid;
	int err;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, 1);
	posix_spawn_file_actions_adddup2(&actions, output, 2);
	if (report >= 0)
		posix_spawn_file_actions_adddup2(&actions, report, 3);
	if (lock >= 0) /* onto itself: that takes close-on-exec off (posix_spawn_file_actions_adddup2(3)) */
		posix_spawn_file_actions_adddup2(&actions, lock, lock);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	errno = posix_spawn(&pid, words[0], &actions, &attributes, words, environ);
	err = errno ? err_sys("starting DBCOPY %s", words[0]) : 0;
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (err == 0)
		*ret_pid = pid;
	return err;
}

void
copychild_reap(pid_t pid, int *ret_status)
{
	struct timespec round = {.tv_nsec = REAP_ROUND_MS * 1000000};

	kill(-pid, SIGKILL);
	/* One that sleeps in the kernel, on a disk that does not answer, must not keep the collector from ending. */
	for (int i = 0; i < REAP_ROUNDS && waitpid(pid, ret_status, WNOHANG) == 0; i++)
		nanosleep(&round, NULL);
}
