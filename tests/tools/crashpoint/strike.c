/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/crashpoint/aim.h"
#include "tests/tools/crashpoint/lost.h"
#include "tests/tools/crashpoint/stack.h"
#include "tests/tools/crashpoint/strike.h"
#include "tests/tools/places/places.h"

/* The traced processes that were begun as the program; their forks bear its name, too, but are not it. */
static pid_t mains[64];
#define N_MAINS (sizeof mains / sizeof *mains)

static bool
is_program(pid_t tid)
{
	char exe[512], *name;

	link_of(tid, "exe", exe);
	name = strrchr(exe, '/');
	return name && strcmp(name + 1, aim.program) == 0;
}

/* A line of /proc/PID/status that holds a process: "Tgid:", "PPid:". */
static pid_t
status_pid(pid_t tid, const char *key)
{
	char path[64], line[128];
	pid_t pid = tid;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			pid = (pid_t)strtol(line + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return pid;
}

static pid_t *
main_of(pid_t pid)
{
	for (size_t i = 0; i < N_MAINS; i++)
		if (mains[i] == pid)
			return &mains[i];
	return NULL;
}

/* Who is killed for a call of this thread: the program, also when a short-lived fork of it made the call. */
static pid_t
program_of(pid_t tid)
{
	pid_t group = status_pid(tid, "Tgid:"), parent = status_pid(tid, "PPid:");

	return !main_of(group) && main_of(parent) ? parent : group;
}

/* ---- the kill ---- */

static void
kill_now(void)
{
	aim.mode = NONE;
	kill(aim.victim, SIGKILL);
}

/* ---- changed calls ---- */

#ifdef __x86_64__
static unsigned long long *
argument(struct user_regs_struct *regs, int n)
{
	unsigned long long *const all[] = {&regs->rdi, &regs->rsi, &regs->rdx, &regs->r10, &regs->r8, &regs->r9};

	return all[n];
}
#endif

/* A socket whose messages the kernel takes, and gives, whole. */
static bool
travels_whole(pid_t tid, int fd)
{
	int type = SOCK_STREAM, pidfd = pidfd_open(status_pid(tid, "Tgid:"), 0), own = pidfd < 0 ? -1 : pidfd_getfd(pidfd, fd, 0);
	socklen_t len = sizeof type;

	if (own >= 0) {
		(void)getsockopt(own, SOL_SOCKET, SO_TYPE, &type, &len);
		close(own);
	}
	if (pidfd >= 0)
		close(pidfd);
	return type != SOCK_STREAM;
}

/* Shortens the read or write that is about to happen to its first half. */
static bool
halve(pid_t tid, const struct judged *j)
{
#ifdef __x86_64__
	const struct call *call = j->call;
	struct user_regs_struct regs;

	if (call->count < 0 || (on_socket(j) && travels_whole(tid, j->fd)))
		return false;
	if (ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0 || *argument(&regs, call->count) < 2)
		return false;
	*argument(&regs, call->count) /= 2;
	return ptrace(PTRACE_SETREGS, tid, 0, &regs) == 0;
#else
	(void)tid, (void)j;
	return false;
#endif
}

/* The call is not carried out and seems to end with an error: the kernel skips a call of number -1. */
static bool
refuse(pid_t tid, int error)
{
#ifdef __x86_64__
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0)
		return false;
	regs.orig_rax = (unsigned long long)-1;
	regs.rax = (unsigned long long)-error;
	return ptrace(PTRACE_SETREGS, tid, 0, &regs) == 0;
#else
	(void)tid, (void)error;
	return false;
#endif
}

/* ---- what happens at a call ---- */

static void
describe(const char *mode, const struct judged *j)
{
	snprintf(aim.what, sizeof aim.what, "%s %s %.250s%s%.200s", mode, j->call->name, j->target, *j->path ? " " : "", j->path);
}

static int
kill_at(pid_t tid, const struct judged *j)
{
	static const char *const names[] = {[BEFORE] = "before", [AFTER] = "after", [HALF] = "half"};

	aim.victim = program_of(tid);
	describe(names[aim.mode], j);
	if (aim.mode == AFTER || (aim.mode == HALF && halve(tid, j)))
		return PTRACE_SYSCALL; /* it is killed where the call ends */
	kill_now();
	return PTRACE_CONT;
}

/* Where the call comes from, and how it is to fail; 0 where its stack cannot be told: without it all calls of a kind would be one place. */
static uint64_t
place(pid_t tid, const struct judged *j)
{
	uint64_t words[3 + STACK_FRAMES] = {(uint64_t)j->call->nr, (uint64_t)aim.error, aim.lasts};
	size_t frames = stack_of(status_pid(tid, "Tgid:"), tid, words + 3);

	return frames ? places_key(words, 3 + frames) : 0;
}

/* Whether the first call to fail is this one. */
static bool
is_the_first(pid_t tid, const struct judged *j, uint64_t *ret_place)
{
	if (!aim.places)
		return ++aim.count >= aim.at;
	*ret_place = place(tid, j);
	return *ret_place && !places_has(aim.places, *ret_place);
}

/* The first one is told; all are counted.  Says whether the call fails. */
static bool
fail_at(pid_t tid, const struct judged *j)
{
	uint64_t where = 0;

	if (aim.hits ? !aim.lasts || j->call->kind != aim.kind || on_socket(j) != aim.socket : !is_the_first(tid, j, &where))
		return false;
	if (aim.error ? !refuse(tid, aim.error) : !halve(tid, j))
		return false;
	if (where)
		(void)places_add(aim.places, where);
	aim.kind = j->call->kind;
	aim.socket = on_socket(j);
	if (aim.hits++ == 0) {
		describe(aim.error ? strerrorname_np(aim.error) : "short", j);
		aim_tell("failed %s", aim.what);
	}
	return aim.error;
}

static bool
fails(pid_t tid, const struct judged *j)
{
	return aim.mode == FAIL && can_fail(j, aim.error) && fail_at(tid, j);
}

static int
decide(pid_t tid, const struct judged *j)
{
	if (fails(tid, j)) {
		lost_fail(tid, j);
		return PTRACE_CONT;
	}
	if (aim.errors)
		lost_note(tid, j);
	if (aim.mode == FAIL || !changes(j))
		return PTRACE_CONT;
	aim.count++;
	return aim.mode != NONE && aim.count == aim.at ? kill_at(tid, j) : PTRACE_CONT;
}

int
strike_call(pid_t tid)
{
	struct __ptrace_syscall_info info;
	const struct call *call;
	struct judged j;
	uint64_t args[6];
	int go_on;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0 || !(call = call_of(info.seccomp.nr)) || !is_program(tid))
		return PTRACE_CONT;
	memcpy(args, info.seccomp.args, sizeof args);
	judge(tid, call, args, &j);
	pthread_mutex_lock(&aim.lock);
	go_on = decide(tid, &j);
	pthread_mutex_unlock(&aim.lock);
	return go_on;
}

void
strike_end_of_call(pid_t tid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_EXIT)
		return;
	pthread_mutex_lock(&aim.lock);
	kill_now();
	pthread_mutex_unlock(&aim.lock);
}

/* ---- beginnings and ends ---- */

void
strike_exec(pid_t tid)
{
	pid_t *slot = main_of(tid);

	stack_forget(tid);
	if (!is_program(tid))
		return;
	if (!slot)
		slot = main_of(0);
	if (slot)
		*slot = tid;
}

static void
tell_end(const char *how, int status)
{
	if (WIFSIGNALED(status))
		aim_tell("%s signal %d", how, WTERMSIG(status));
	else
		aim_tell("%s status %d", how, WEXITSTATUS(status));
}

void
strike_dead(pid_t tid, int status)
{
	pid_t *slot = main_of(tid);

	pthread_mutex_lock(&aim.lock);
	if (slot && aim.errors)
		tell_end("ended", status);
	else if (tid == aim.command && tid != aim.victim)
		tell_end("lost", status);
	if (tid == aim.victim) {
		aim_tell("killed %s", aim.what);
		aim.victim = 0;
		pthread_cond_signal(&aim.dead);
	}
	pthread_mutex_unlock(&aim.lock);
	if (slot)
		*slot = 0;
	stack_forget(tid);
}
