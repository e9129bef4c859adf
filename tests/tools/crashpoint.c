/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crashpoint - kills a program before, after or half-way through its n-th call that changes something outside it.
 *
 *   crashpoint CONTROL PROGRAM [N MODE] -- COMMAND...
 *
 * Runs the command and traces it with all its children.  Calls of processes whose executable is named PROGRAM are counted,
 * once it is armed: from the start with N and MODE, or through the pipe CONTROL.in; it talks through CONTROL.out:
 *
 *   arm N MODE    mode before, after, half; counts from here                   -> armed
 *   disarm        nothing is killed from here on                               -> calls COUNT
 *   (by itself)   when the killed one is dead                                  -> killed MODE WHAT
 *
 * "half": of a write the first half is written; any other call is "before".  A killed process gets SIGKILL as from anybody
 * else.  TERM and INT go to the command.  Once the command has ended the pipe belongs to its successor; this one ends with the
 * last of the children, with the command's status.
 *
 * A filter in the kernel stops the traced ones at these calls only, so that they run at nearly full speed.  Writes to
 * pipes, event counters, terminals and the log (descriptors 1 and 2) change nothing that outlives the process: not counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { WRITES, SYNCS, NAMES, OPENS };

/* How each call is judged and told: which argument is its descriptor, path, flags, and count; -1 = it has none. */
struct call {
	long nr;
	const char *name;
	enum kind kind;
	int fd, path, flags, count;
};
static const struct call calls[] = {
	{SYS_write, "write", WRITES, 0, -1, -1, 2}, {SYS_pwrite64, "pwrite", WRITES, 0, -1, -1, 2},
	{SYS_sendto, "sendto", WRITES, 0, -1, -1, 2}, {SYS_copy_file_range, "copy_file_range", WRITES, 2, -1, -1, 4},
	{SYS_sendfile, "sendfile", WRITES, 0, -1, -1, 3}, {SYS_writev, "writev", WRITES, 0, -1, -1, -1},
	{SYS_pwritev, "pwritev", WRITES, 0, -1, -1, -1}, {SYS_pwritev2, "pwritev2", WRITES, 0, -1, -1, -1},
	{SYS_sendmsg, "sendmsg", WRITES, 0, -1, -1, -1}, {SYS_ftruncate, "ftruncate", SYNCS, 0, -1, -1, -1},
	{SYS_fallocate, "fallocate", SYNCS, 0, -1, -1, -1}, {SYS_ioctl, "ioctl", SYNCS, 0, -1, 1, -1},
	{SYS_fsync, "fsync", SYNCS, 0, -1, -1, -1}, {SYS_fdatasync, "fdatasync", SYNCS, 0, -1, -1, -1},
	{SYS_syncfs, "syncfs", SYNCS, 0, -1, -1, -1}, {SYS_sync_file_range, "sync_file_range", SYNCS, 0, -1, -1, -1},
	{SYS_msync, "msync", SYNCS, -1, -1, -1, -1}, {SYS_fchmod, "fchmod", SYNCS, 0, -1, -1, -1},
	{SYS_fchown, "fchown", SYNCS, 0, -1, -1, -1}, {SYS_fchownat, "fchownat", NAMES, 0, 1, -1, -1},
	{SYS_fchmodat, "fchmodat", NAMES, 0, 1, -1, -1}, {SYS_utimensat, "utimensat", NAMES, 0, 1, -1, -1},
	{SYS_mkdirat, "mkdirat", NAMES, 0, 1, -1, -1}, {SYS_unlinkat, "unlinkat", NAMES, 0, 1, -1, -1},
	{SYS_linkat, "linkat", NAMES, 2, 3, -1, -1}, {SYS_symlinkat, "symlinkat", NAMES, 1, 2, -1, -1},
	{SYS_renameat, "renameat", NAMES, 2, 3, -1, -1}, {SYS_renameat2, "renameat2", NAMES, 2, 3, -1, -1},
#ifdef __x86_64__
	{SYS_rename, "rename", NAMES, -1, 1, -1, -1}, {SYS_unlink, "unlink", NAMES, -1, 0, -1, -1},
	{SYS_mkdir, "mkdir", NAMES, -1, 0, -1, -1}, {SYS_rmdir, "rmdir", NAMES, -1, 0, -1, -1},
	{SYS_link, "link", NAMES, -1, 1, -1, -1}, {SYS_symlink, "symlink", NAMES, -1, 1, -1, -1},
	{SYS_chmod, "chmod", NAMES, -1, 0, -1, -1}, {SYS_open, "open", OPENS, -1, 0, 1, -1},
#endif
	{SYS_openat, "openat", OPENS, 0, 1, 2, -1}, {SYS_openat2, "openat2", OPENS, 0, 1, -1, -1},
};
#define N_CALLS (sizeof calls / sizeof *calls)
#define FICLONE_NR 0x40049409u

enum mode { NONE, BEFORE, AFTER, HALF, MODES };
static const char *const mode_names[] = {"none", "before", "after", "half"};

/* Shared with the thread that reads the control pipe. */
static struct {
	pthread_mutex_t lock;
	const char *program;
	enum mode mode;
	unsigned long at, count;
	pid_t victim; /* to be dead soon, 0 = nobody */
	pthread_cond_t dead;
	char what[512];
	FILE *out;
} aim = {.lock = PTHREAD_MUTEX_INITIALIZER, .dead = PTHREAD_COND_INITIALIZER};

static pid_t command_pid;

static void
die(const char *what)
{
	fprintf(stderr, "crashpoint: %s: %s\n", what, strerror(errno));
	exit(99);
}

/* ---- the control pipe ---- */

static enum mode
mode_of(const char *name)
{
	for (enum mode m = 0; m < MODES; m++)
		if (strcmp(mode_names[m], name) == 0)
			return m;
	return NONE;
}

static void
arm(unsigned long n, enum mode mode)
{
	aim.at = n;
	aim.mode = mode;
	aim.count = 0;
}

static void
obey(const char *line)
{
	char mode[16];
	unsigned long n;

	pthread_mutex_lock(&aim.lock);
	if (sscanf(line, "arm %lu %15s", &n, mode) == 2) {
		arm(n, mode_of(mode));
		fprintf(aim.out, "armed\n");
	} else {
		aim.mode = NONE;
		while (aim.victim) /* its death is told first */
			pthread_cond_wait(&aim.dead, &aim.lock);
		fprintf(aim.out, "calls %lu\n", aim.count);
	}
	fflush(aim.out);
	pthread_mutex_unlock(&aim.lock);
}

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

static void *
serve(void *arg)
{
	char line[256];
	int state;

	while (fgets(line, sizeof line, arg)) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		obey(line);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	}
	return NULL;
}

/* ---- looking at a stopped process ---- */

static void
link_of(pid_t pid, const char *what, char out[512])
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
	n = readlink(path, out, 511);
	out[n > 0 ? n : 0] = '\0';
}

static bool
is_program(pid_t tid)
{
	char exe[512], *name;

	link_of(tid, "exe", exe);
	name = strrchr(exe, '/');
	return name && strcmp(name + 1, aim.program) == 0;
}

static pid_t
group_of(pid_t tid)
{
	char path[64], line[128];
	pid_t group = tid;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f) && sscanf(line, "Tgid: %d", &group) != 1)
		;
	if (f)
		fclose(f);
	return group;
}

static void
peek(pid_t tid, uint64_t at, void *out, size_t len)
{
	struct iovec local = {out, len}, remote = {(void *)(uintptr_t)at, len};

	memset(out, 0, len);
	/* A string may end before a page that is not there. */
	while (len && process_vm_readv(tid, &local, 1, &remote, 1, 0) < 0)
		local.iov_len = remote.iov_len = len /= 2;
}

static const struct call *
call_of(uint64_t nr)
{
	for (size_t i = 0; i < N_CALLS; i++)
		if (calls[i].nr == (long)nr)
			return &calls[i];
	return NULL;
}

/* Tells the call in words; false when it changes nothing that outlives the process. */
static bool
counts(pid_t tid, const struct call *call, const uint64_t args[6], char what[512])
{
	char target[512] = "", path[200] = "", name[32];
	uint64_t flags = call->flags >= 0 ? args[call->flags] : 0;
	int fd = call->fd >= 0 ? (int)args[call->fd] : -1;

	snprintf(name, sizeof name, "fd/%d", fd);
	if (fd >= 0)
		link_of(tid, name, target);
	if (call->path >= 0 && args[call->path])
		peek(tid, args[call->path], path, sizeof path - 1);
	snprintf(what, 512, "%s %.250s%s%.200s", call->name, target, *path ? " " : "", path);
	if (call->nr == SYS_openat2)
		peek(tid, args[2], &flags, sizeof flags);
	if (call->kind == OPENS)
		return flags & (O_CREAT | O_TRUNC);
	if (call->nr == SYS_ioctl)
		return flags == FICLONE_NR;
	if (call->kind != WRITES)
		return true;
	return fd != 1 && fd != 2 && strncmp(target, "pipe:", 5) != 0 && strncmp(target, "anon_inode:", 11) != 0 &&
	    strncmp(target, "/dev/", 5) != 0;
}

/* ---- the kill ---- */

static void
kill_now(void)
{
	aim.mode = NONE;
	kill(aim.victim, SIGKILL);
}

static void
tell_death(void)
{
	pthread_mutex_lock(&aim.lock);
	fprintf(aim.out, "killed %s\n", aim.what);
	fflush(aim.out);
	aim.victim = 0;
	pthread_cond_signal(&aim.dead);
	pthread_mutex_unlock(&aim.lock);
}

/* Shortens the write that is about to happen to its first half. */
static bool
halve(pid_t tid, const struct call *call)
{
#ifdef __x86_64__
	struct user_regs_struct regs;

	if (call->count < 0 || ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0)
		return false;
	unsigned long long *count = call->count == 2 ? &regs.rdx : call->count == 3 ? &regs.r10 : &regs.r8;
	if (*count < 2)
		return false;
	*count /= 2;
	return ptrace(PTRACE_SETREGS, tid, 0, &regs) == 0;
#else
	(void)tid, (void)call;
	return false;
#endif
}

/* At a call of the filter's list, before it is carried out.  Gives how the process goes on. */
static int
at_call(pid_t tid)
{
	struct __ptrace_syscall_info info;
	int go_on = PTRACE_CONT;
	const struct call *call;
	char what[512];

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0 || !(call = call_of(info.seccomp.nr)) || !is_program(tid) ||
	    !counts(tid, call, info.seccomp.args, what))
		return go_on;
	pthread_mutex_lock(&aim.lock);
	aim.count++;
	if (aim.mode != NONE && aim.count == aim.at) {
		aim.victim = group_of(tid);
		snprintf(aim.what, sizeof aim.what, "%s %.480s", mode_names[aim.mode], what);
		if (aim.mode == AFTER || (aim.mode == HALF && halve(tid, call)))
			go_on = PTRACE_SYSCALL; /* it is killed where the call ends */
		else
			kill_now();
	}
	pthread_mutex_unlock(&aim.lock);
	return go_on;
}

static void
at_end_of_call(pid_t tid)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) <= 0 || info.op != PTRACE_SYSCALL_INFO_EXIT)
		return;
	pthread_mutex_lock(&aim.lock);
	kill_now();
	pthread_mutex_unlock(&aim.lock);
}

/* ---- the loop ---- */

static void
stopped(pid_t tid, int status)
{
	int signal = WSTOPSIG(status), event = status >> 16, go_on = PTRACE_CONT, deliver = 0;

	if (event == PTRACE_EVENT_SECCOMP)
		go_on = at_call(tid);
	else if (signal == (SIGTRAP | 0x80))
		at_end_of_call(tid);
	else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP)
		go_on = PTRACE_LISTEN; /* stopped by somebody's SIGSTOP: stays so */
	else if (event == 0)
		deliver = signal;
	/* One that was killed meanwhile is no longer there to be continued. */
	ptrace(go_on, tid, 0, deliver);
}

/* A leader's end is told after that of its threads. */
static int
trace(pthread_t control)
{
	int status, result = 99;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid <= 0)
			continue;
		if (WIFSTOPPED(status))
			stopped(tid, status);
		else if (tid == command_pid) {
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			pthread_cancel(control);
			if (tid == aim.victim)
				tell_death();
			pthread_join(control, NULL);
		} else if (tid == aim.victim)
			tell_death();
	}
	return result;
}

static void
pass_on(int signal)
{
	kill(command_pid, signal);
}

/* ---- the start ---- */

static void
install_filter(void)
{
	struct sock_filter code[N_CALLS + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
	struct sock_fprog program = {N_CALLS + 3, code};

	for (size_t i = 0; i < N_CALLS; i++)
		code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].nr, (uint8_t)(N_CALLS - i), 0);
	code[N_CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[N_CALLS + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
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
	if (write(go[1], "", 1) != 1)
		die("start");
	close(go[1]);
}

int
main(int argc, char **argv)
{
	int dashes = 1;
	pthread_t thread;
	FILE *in;

	while (dashes < argc && strcmp(argv[dashes], "--") != 0)
		dashes++;
	if ((dashes != 3 && dashes != 5) || dashes + 1 >= argc) {
		fprintf(stderr, "usage: crashpoint CONTROL PROGRAM [N MODE] -- COMMAND...\n");
		return 2;
	}
	aim.program = argv[2];
	in = open_pipe(argv[1], "in", "r");
	aim.out = open_pipe(argv[1], "out", "w");
	if (dashes == 5)
		arm(strtoul(argv[3], NULL, 10), mode_of(argv[4]));
	start_command(argv + dashes + 1);
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	if (pthread_create(&thread, NULL, serve, in) != 0)
		die("control");
	return trace(thread);
}
