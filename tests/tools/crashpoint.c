/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crashpoint - kills a program at its n-th call that changes something outside it, or lets that call fail.
 *
 *   crashpoint [-e] [-p PLACES] CONTROL PROGRAM [N MODE] -- COMMAND...
 *
 * Runs the command and traces it with all its children.  Calls of processes whose executable is named PROGRAM are counted,
 * once it is armed: from the start with N and MODE, or through the pipe CONTROL.in; it talks through CONTROL.out:
 *
 *   arm N MODE    counts from here                                             -> armed
 *   disarm        nothing is done from here on                                 -> calls COUNT FAILED
 *   kill          the command is killed                                        -> killed as told
 *   (by itself)   the command is ready, as it would tell systemd               -> ready OUR-PID
 *                 the killed one is dead                                       -> killed MODE WHAT
 *                 the first call has failed                                    -> failed ERROR WHAT
 *                 with -e: PROGRAM has ended, however                          -> ended status N | ended signal N
 *                 else: the command has ended, and not because of us           -> lost status N | lost signal N
 *
 * MODE is one of
 *   none                  only counts
 *   before, after, half   kills the program (SIGKILL) there; "half": of a write the first half is written, any other call is "before"
 *   EIO, ENOSPC, ...      the call is not carried out and ends with the error; N counts the calls that can end with it (calls.c);
 *                         a sync loses what it was asked to keep (lost.h)
 *   short                 a read or write does half of what it was asked for
 *   EIO+, short+, ...     so do from then on all calls of the same kind on the same sort of target, until disarmed
 *
 * With PLACES an error comes to the first call from a place of the program, by its whole stack, where that error was not tried yet,
 * whatever N; the file remembers them, and serves one program.
 *
 * -e stops the program at calls that only look as well, and is needed for errors.  TERM and INT go to the command.  Once the
 * command has ended the pipe belongs to its successor; this one ends with the last of the children, with the command's status.
 *
 * A filter in the kernel stops the traced ones at these calls only, so that they run at nearly full speed.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/crashpoint/aim.h"
#include "tests/tools/crashpoint/strike.h"
#include "tests/tools/places/places.h"

static pid_t command_pid;
static bool errors; /* -e */

/* ---- the loop ---- */

static void
stopped(pid_t tid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16, go_on = PTRACE_CONT, deliver = 0;

	if (event == PTRACE_EVENT_SECCOMP)
		go_on = strike_call(tid);
	else if (event == PTRACE_EVENT_EXEC)
		strike_exec(tid);
	else if (signal == (SIGTRAP | 0x80))
		strike_end_of_call(tid);
	else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP)
		go_on = PTRACE_LISTEN; /* stopped by somebody's SIGSTOP: stays so */
	else if (event == 0)
		deliver = signal;
	/* One that was killed meanwhile is no longer there to be continued. */
	ptrace(go_on, tid, 0, deliver);
}

/* A leader's end is told after that of its threads.  The pipe is let go before a death is told: the test answers it at once. */
static int
trace(void)
{
	int status, result = 99;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid <= 0)
			continue;
		if (WIFSTOPPED(status)) {
			stopped(tid, status);
			continue;
		}
		if (tid == command_pid) {
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			aim_end();
		}
		strike_dead(tid, status);
	}
	return result;
}

static void
pass_on(int signal)
{
	kill(command_pid, signal);
}

/* ---- the start ---- */

/* Calls that only look are stopped for errors alone. */
static size_t
filter(struct sock_filter *code)
{
	size_t n = 0, at = 1;

	for (size_t i = 0; i < n_calls; i++)
		n += errors || calls[i].kind <= OPENS;
	code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < n_calls; i++)
		if (errors || calls[i].kind <= OPENS) {
			code[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].nr, (uint8_t)(n + 1 - at), 0);
			at++;
		}
	code[n + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[n + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	return n + 3;
}

static void
install_filter(void)
{
	struct sock_filter code[128];
	struct sock_fprog program = {(unsigned short)filter(code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		die("installing the filter");
}

static void
run_command(char **command, int go)
{
	char byte;

	if (read(go, &byte, 1) != 1) /* until it is traced */
		_exit(99);
	close(go);
	install_filter();
	execvp(command[0], command);
	die(command[0]);
}

static void
start_command(char **command)
{
	const long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESECCOMP |
	    PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	int go[2];

	if (pipe(go) != 0 || (command_pid = fork()) < 0)
		die("fork");
	if (command_pid == 0) {
		close(go[1]);
		run_command(command, go[0]);
	}
	close(go[0]);
	if (ptrace(PTRACE_SEIZE, command_pid, 0, options) != 0)
		die("tracing");
	aim_serve(command_pid);
	if (write(go[1], "", 1) != 1)
		die("start");
	close(go[1]);
}

static int
usage(void)
{
	fprintf(stderr, "usage: crashpoint [-e] [-p PLACES] CONTROL PROGRAM [N MODE] -- COMMAND...\n");
	return 2;
}

int
main(int argc, char **argv)
{
	int dashes, option;

	while ((option = getopt(argc, argv, "+ep:")) != -1) {
		errors |= option == 'e';
		if (option == 'p' && !(aim.places = places_open(optarg)))
			die(optarg);
		if (option == '?')
			return usage();
	}
	argc -= optind;
	argv += optind;
	for (dashes = 0; dashes < argc && strcmp(argv[dashes], "--") != 0; dashes++)
		;
	if ((dashes != 2 && dashes != 4) || dashes + 1 >= argc)
		return usage();
	aim.program = argv[1];
	aim.errors = errors;
	aim_open(argv[0]);
	if (dashes == 4)
		aim_arm(strtoul(argv[2], NULL, 10), argv[3]);
	start_command(argv + dashes + 1);
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	return trace();
}
