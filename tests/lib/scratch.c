/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Removes through rm, which shares no code with what is tested. */
#include "tests/lib/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void
need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(99);
}

void
scratch_open(struct scratch *s)
{
	const char *base = getenv("TMPDIR");
	int n = snprintf(s->path, sizeof(s->path), "%s/tidemark-test-XXXXXX", base ? base : "/tmp");

	need(n > 0 && (size_t)n < sizeof(s->path) && mkdtemp(s->path), "scratch directory");
	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	need(s->fd >= 0, s->path);
}

void
scratch_remove(const char *path)
{
	pid_t pid = fork();
	int status;

	need(pid >= 0, "fork");
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", path, (char *)NULL);
		_exit(127);
	}
	need(waitpid(pid, &status, 0) == pid && status == 0, "rm");
}

void
scratch_close(struct scratch *s)
{
	scratch_remove(s->path);
	close(s->fd);
}

const char *
scratch_path(const struct scratch *s, const char *name, char out[256])
{
	int n = snprintf(out, 256, "%s/%s", s->path, name);

	need(n > 0 && n < 256, "scratch path");
	return out;
}
