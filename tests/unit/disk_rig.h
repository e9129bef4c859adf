/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disk_rig - a disk that does not give a name: what opens beneath a directory, and what looks at a name, in the C library's place, for the one
 * test that includes it.
 */
#ifndef TESTS_DISK_RIG_H
#define TESTS_DISK_RIG_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/relpath.h"

static struct {
	const char *unreadable;  /* a name that opens with EIO, */
	int instead;             /* or with this */
	const char *unpassed;    /* a directory on the way to names, for which there is no descriptor left */
	const char *unseen;      /* a path that is looked at with EIO */
	const char *counted;     /* a name of which is counted how often it is opened, */
	unsigned opened;
	atomic_bool *then_stop;  /* and what its opening sets */
} disk;

long
syscall(long number, ...)
{
	static _Thread_local long (*real)(long, ...);
	const char *name;
	va_list ap;
	long a[6];

	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	name = number == SYS_openat2 ? relpath_name((const char *)a[1]) : "";
	if (disk.unreadable && strcmp(name, disk.unreadable) == 0) {
		errno = disk.instead ? disk.instead : EIO;
		return -1;
	}
	if (disk.unpassed && strcmp(name, disk.unpassed) == 0 && ((const struct open_how *)a[2])->flags & O_PATH) {
		errno = EMFILE;
		return -1;
	}
	if (disk.counted && strcmp(name, disk.counted) == 0) {
		disk.opened++;
		if (disk.then_stop)
			atomic_store(disk.then_stop, true);
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int
fstatat(int dirfd, const char *path, struct stat *ret_st, int flags)
{
	if (disk.unseen && strcmp(path, disk.unseen) == 0) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_newfstatat, dirfd, path, ret_st, flags);
}

/* Under ThreadSanitizer files are opened by another way (base/fsio_beneath.c). */
__attribute__((unused)) static void
needs_openat2(void)
{
#ifdef __SANITIZE_THREAD__
	skip();
#endif
}

#endif
