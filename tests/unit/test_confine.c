/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each test confines a child, in which another program's worst wishes are tried one by one; it tells by its exit status which one came true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/confine.h"
#include "tests/lib/scratch.h"

static struct scratch scratch; /* holds ours/ and theirs/, each with a file "a" */
static int listening;          /* a server of the test's */
static struct sockaddr_in address;

static const char *
at(const char *name)
{
	static char paths[4][256];
	static unsigned next;

	return scratch_path(&scratch, name, paths[next++ % 4]);
}

static void
put(const char *name)
{
	int fd = open(at(name), O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "bytes", 5), 5);
	close(fd);
}

static int
set_up(void **state)
{
	socklen_t len = sizeof address;

	(void)state;
	scratch_open(&scratch);
	mkdir(at("ours"), 0700);
	mkdir(at("theirs"), 0700);
	put("ours/a");
	put("theirs/a");
	listening = socket(AF_INET, SOCK_STREAM, 0);
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	return listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address) != 0 || listen(listening, 9) != 0 ||
	    getsockname(listening, (struct sockaddr *)&address, &len) != 0;
}

static int
tear_down(void **state)
{
	(void)state;
	close(listening);
	scratch_close(&scratch);
	return 0;
}

/* ---- wishes: 0 when it came true ---- */

static int
opened(const char *name, int flags)
{
	int fd = open(at(name), flags, 0600);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int write_theirs(void) { return opened("theirs/a", O_WRONLY); }
static int create_theirs(void) { return opened("theirs/new", O_WRONLY | O_CREAT); }
static int unlink_theirs(void) { return unlink(at("theirs/a")); }
static int mkdir_theirs(void) { return mkdir(at("theirs/d"), 0700); }
static int symlink_theirs(void) { return symlink("a", at("theirs/s")); }
static int rename_out(void) { return rename(at("ours/a"), at("theirs/b")); }
static int rename_in(void) { return rename(at("theirs/a"), at("ours/b")); }
static int link_in(void) { return link(at("theirs/a"), at("ours/l")); }
static int node_theirs(void) { return mknod(at("theirs/p"), S_IFIFO | 0600, 0); }

static int
run_program(void)
{
	char *const argv[] = {(char[]){"true"}, NULL};

	execv("/bin/true", argv);
	return 1; /* it would end with status 0 otherwise */
}

static int
reach_network(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0;
}

static int local_socket(void) { return socket(AF_UNIX, SOCK_STREAM, 0) < 0; }
static int mount_theirs(void) { return mount("none", at("theirs"), "tmpfs", 0, NULL); }
static int new_namespace(void) { return unshare(CLONE_NEWUSER); }
static int look_into_parent(void) { return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) != 0; }
static int make_ring(void) { char params[120] = {0}; return (int)syscall(SYS_io_uring_setup, 4, params) < 0; }

/* What the work needs goes on. */
static int read_theirs(void) { return opened("theirs/a", O_RDONLY); }
static int write_ours(void) { return opened("ours/a", O_WRONLY | O_TRUNC); }

static int
move_ours(void)
{
	return mkdir(at("ours/d"), 0700) || rename(at("ours/a"), at("ours/d/a")) || rename(at("ours/d/a"), at("ours/a")) || rmdir(at("ours/d"));
}

/* ---- asking ---- */

static bool
comes_true(int (*wish)(void), unsigned flags, bool limited)
{
	const char *const ours[] = {at("ours")};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (confine(flags, ours, limited ? 1 : 0) != 0)
			_exit(99);
		_exit(wish() != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 99);
	return WEXITSTATUS(status) == 0;
}

static bool
has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 1;
}

static void
nothing_is_written_but_below_own_directories(void **state)
{
	static int (*const wishes[])(void) = {write_theirs, create_theirs, unlink_theirs, mkdir_theirs, symlink_theirs, rename_out, rename_in,
	    link_in, node_theirs};

	(void)state;
	if (!has_landlock())
		skip();
	for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
		assert_false(comes_true(wishes[i], 0, true));
	assert_int_equal(access(at("theirs/a"), F_OK), 0);
	assert_true(comes_true(read_theirs, 0, true));
	assert_true(comes_true(write_ours, 0, true));
	assert_true(comes_true(move_ours, 0, true));
	assert_true(comes_true(write_theirs, 0, false));
	assert_true(comes_true(rename_out, CONFINE_NO_NETWORK | CONFINE_NO_PROGRAM, false));
	assert_int_equal(rename(at("theirs/b"), at("ours/a")), 0);
}

static void
no_other_program_is_started(void **state)
{
	(void)state;
	assert_true(comes_true(run_program, 0, true));
	assert_false(comes_true(run_program, CONFINE_NO_PROGRAM, false));
	assert_false(comes_true(run_program, CONFINE_NO_PROGRAM, true));
}

static void
the_network_is_out_of_reach(void **state)
{
	(void)state;
	assert_true(comes_true(reach_network, 0, false));
	assert_false(comes_true(reach_network, CONFINE_NO_NETWORK, false));
	assert_false(comes_true(reach_network, CONFINE_NO_SOCKET, false));
	assert_true(comes_true(local_socket, CONFINE_NO_NETWORK, false));
	assert_false(comes_true(local_socket, CONFINE_NO_SOCKET, false));
}

static void
doors_of_the_kernel_stay_shut(void **state)
{
	static int (*const wishes[])(void) = {mount_theirs, new_namespace, make_ring};

	(void)state;
	for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
		assert_false(comes_true(wishes[i], 0, false));
#ifndef __SANITIZE_ADDRESS__
	assert_false(comes_true(look_into_parent, 0, false));
#else
	(void)look_into_parent;
#endif
}

static void
a_directory_that_is_not_there_is_an_error(void **state)
{
	const char *const none[] = {at("nowhere")};
	int status;
	pid_t pid;

	(void)state;
	if (!has_landlock())
		skip();
	if ((pid = fork()) == 0)
		_exit(confine(0, none, 1) != 0);
	waitpid(pid, &status, 0);
	assert_int_equal(WEXITSTATUS(status), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_written_but_below_own_directories),
		cmocka_unit_test(no_other_program_is_started),
		cmocka_unit_test(the_network_is_out_of_reach),
		cmocka_unit_test(doors_of_the_kernel_stay_shut),
		cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
