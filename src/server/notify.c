/* SPDX-License-Identifier: GPL-2.0-or-later */
/* notify - knows which children are notifications: others of this process are not to be waited for here. */
#include "server/notify.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"

#define RUNNING_MAX 16

extern char **environ;

static pid_t running[RUNNING_MAX]; /* 0 = free */

void
notify_reap(void)
{
	for (size_t i = 0; i < RUNNING_MAX; i++) {
		pid_t pid = running[i];
		int status = 0;

		if (!pid || waitpid(pid, &status, WNOHANG) == 0)
			continue;
		running[i] = 0;
		if (WIFSIGNALED(status))
			log_warn("notify.end", "the command of `notify` was ended by signal %d: perhaps nobody was told", WTERMSIG(status));
		else if (WEXITSTATUS(status))
			log_warn("notify.end", "the command of `notify` ended with status %d: perhaps nobody was told", WEXITSTATUS(status));
	}
}

static pid_t *
free_place(void)
{
	notify_reap();
	for (size_t i = 0; i < RUNNING_MAX; i++)
		if (!running[i])
			return &running[i];
	return NULL;
}

/* Our environment and three more; NULL when out of memory.  Free from `*ret_own` on, and the array. */
static char **
environment(const char *profile, const char *event, const char *text, size_t *ret_own)
{
	size_t n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(n + 4, sizeof *env);
	if (!env)
		return NULL;
	memcpy(env, environ, n * sizeof *env);
	*ret_own = n;
	if (asprintf(&env[n], "TIDEMARK_PROFILE=%s", profile) < 0 || asprintf(&env[n + 1], "TIDEMARK_EVENT=%s", event) < 0 ||
	    asprintf(&env[n + 2], "TIDEMARK_TEXT=%s", text) < 0)
		env[n] = NULL;
	return env;
}

static void
say_untold(const char *profile, const char *why, const char *text)
{
	log_error("notify.run", "profile=%s the command of `notify` cannot be started (%s): nobody was told that: %s", profile, why, text);
}

void
notify_run(const char *command, const char *profile, const char *event, const char *text)
{
	char *argv[] = {(char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};
	bool off = strcmp(command, "off") == 0;
	pid_t *place = off ? NULL : free_place();
	posix_spawnattr_t attr;
	sigset_t none, all;
	size_t own = 0;
	char **env = place ? environment(profile, event, text, &own) : NULL;

	if (!env) {
		if (!off)
			say_untold(profile, place ? "out of memory" : "too many earlier ones have not ended", text);
		return;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int rc = env[own] ? posix_spawn(place, "/bin/sh", NULL, &attr, argv, env) : ENOMEM;
	posix_spawnattr_destroy(&attr);
	if (rc) {
		*place = 0;
		say_untold(profile, strerror(rc), text);
	}
	for (size_t i = own; env[i]; i++)
		free(env[i]);
	free(env);
}
