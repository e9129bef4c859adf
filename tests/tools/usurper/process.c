/* SPDX-License-Identifier: GPL-2.0-or-later */
/* process - another process's memory and descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/tools/usurper/usurper.h"

pid_t
parent_of(pid_t pid)
{
	char path[64], line[512], *after;
	FILE *f;
	int parent = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && fgets(line, sizeof line, f) && (after = strrchr(line, ')')))
		(void)sscanf(after + 1, " %*c %d", &parent);
	if (f)
		fclose(f);
	return parent;
}

static bool
writes_remotely(pid_t pid)
{
	char byte = 'X';
	struct iovec from = {&byte, 1}, to = {(void *)4096, 1};

	/* A bad address is only looked at by who may write. */
	return process_vm_writev(pid, &from, 1, &to, 1, 0) == 1 || errno == EFAULT;
}

static bool
traces(pid_t pid)
{
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) != 0)
		return false;
	waitpid(pid, NULL, __WALL);
	(void)ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return true;
}

static bool
takes_a_descriptor(pid_t pid)
{
	int process = pidfd_open(pid, 0), fd = process < 0 ? -1 : pidfd_getfd(process, 3, 0);

	if (process >= 0)
		close(process);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

bool
attack_memory(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0 || writes_remotely(pid) || traces(pid) || takes_a_descriptor(pid);
}
