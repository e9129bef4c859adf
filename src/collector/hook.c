/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hook - one child a call, reaped by its own events, killed when it takes too long. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "collector/hook.h"
#include "collector/shellwords.h"
#include "jobs.h"

long hook_limit_s = 60;

struct hook {
	char what[32];
	pid_t pid;
	struct event *child, *limit;
};

static void
hook_free(struct hook *h)
{
	if (h->child)
		event_free(h->child);
	if (h->limit)
		event_free(h->limit);
	free(h);
}

static void
on_child(evutil_socket_t fd, short what, void *arg)
{
	struct hook *h = arg;
	int status;

	(void)fd, (void)what;
	if (waitpid(h->pid, &status, WNOHANG) != h->pid)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_info("hook.done", "what=%s", h->what);
	else
		log_warn("hook.failed", "what=%s status=%d: the backup's result stands, but the command was not carried out; run it by hand", h->what,
		    WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	hook_free(h);
}

static void
on_limit(evutil_socket_t fd, short what, void *arg)
{
	struct hook *h = arg;

	(void)fd, (void)what;
	kill(-h->pid, SIGKILL);
}

/* Our facts as TIDEMARK_* variables, then the environment we have; the first `*ret_own` strings are to be freed. */
static char **
make_environment(const struct job_record *job, size_t *ret_own)
{
	struct {
		const char *name, *word;
		uint64_t number;
	} const facts[] = {
	    {"PROFILE", job->profile, 0},
	    {"JOB", NULL, job->id},
	    {"RESULT", job_result_name(job->result), 0},
	    {"SET", job->set, 0},
	    {"T0", NULL, (uint64_t)(job->t0_ns / 1000000000)},
	    {"DATE", NULL, job->date},
	    {"TEXT", job->text, 0},
	    {"ORIGIN", job->origin, 0},
	    {"FILES", NULL, job->set_files},
	    {"BYTES", NULL, job->set_bytes},
	};
	size_t own = 0, n = 0;
	char **env;

	while (environ[n])
		n++;
	env = calloc(sizeof facts / sizeof *facts + n + 1, sizeof *env);
	for (; env && own < sizeof facts / sizeof *facts; own++) {
		int len = facts[own].word ? asprintf(&env[own], "TIDEMARK_%s=%s", facts[own].name, facts[own].word)
		                          : asprintf(&env[own], "TIDEMARK_%s=%llu", facts[own].name, (unsigned long long)facts[own].number);
		if (len < 0)
			break;
	}
	if (env)
		memcpy(env + own, environ, n * sizeof *env);
	*ret_own = own;
	return env;
}

static void
free_environment(char **env, size_t own)
{
	for (size_t i = 0; env && i < own; i++)
		free(env[i]);
	free(env);
}

static int
spawn(struct hook *h, char **words, char **env)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t pipe;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, 2, 1);
	posix_spawnattr_setpgroup(&attributes, 0);
	/* We ignore SIGPIPE; a script in a pipe would not expect to inherit that. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &pipe);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	errno = posix_spawnp(&h->pid, words[0], &actions, &attributes, words, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return errno ? err_sys("starting %s", words[0]) : 0;
}

void
hook_run(struct event_base *base, const char *what, const char *command, const char *argument, const struct job_record *job)
{
	struct timeval limit = {hook_limit_s, 0};
	struct hook *h;
	char **words, **env;
	size_t n, own;

	if (strcmp(command, "off") == 0)
		return;
	h = calloc(1, sizeof *h);
	env = make_environment(job, &own);
	if (!h || !env || shellwords_split(command, 1, &words, &n) != 0) {
		log_warn("hook.failed", "what=%s: %s", what, h && env ? err_text() : "out of memory");
		free_environment(env, own);
		free(h);
		return;
	}
	snprintf(h->what, sizeof h->what, "%s", what);
	h->child = evsignal_new(base, SIGCHLD, on_child, h);
	h->limit = evtimer_new(base, on_limit, h);
	words[n] = argument ? strdup(argument) : NULL;
	if (!h->child || !h->limit || event_add(h->child, NULL) != 0 || spawn(h, words, env) != 0) {
		log_warn("hook.failed", "what=%s: %s", what, err_text());
		hook_free(h);
	} else {
		evtimer_add(h->limit, &limit);
	}
	shellwords_free(words);
	free_environment(env, own);
}
