/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/lib/writes.h"

int writes_errno;
bool writes_heads_only;

ssize_t
pwrite(int fd, const void *buf, size_t n, off_t offset)
{
	static _Thread_local ssize_t (*real)(int, const void *, size_t, off_t);

	if (writes_errno && (!writes_heads_only || n < 4096)) {
		errno = writes_errno;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	return real(fd, buf, n, offset);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
	static _Thread_local ssize_t (*real)(int, const struct iovec *, int);

	if (writes_errno && !writes_heads_only) {
		errno = writes_errno;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "writev");
	return real(fd, iov, n);
}
