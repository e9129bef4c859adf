/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * confine - what a process gives up for the rest of its life, so that a flaw in it reaches no further than its work does.
 *
 * Two means of the kernel's, each used as far as it is there: Landlock (paths, TCP; Linux 5.19 and later) and seccomp (system calls; by
 * libseccomp).  Children inherit what was given up.  Neither needs a privilege; the process can gain none afterwards (no_new_privs).
 * Sources: Documentation/userspace-api/landlock.rst, seccomp_rule_add(3).
 */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

enum confine {
	CONFINE_NO_NETWORK = 1, /* no socket but local ones */
	CONFINE_NO_SOCKET = 2,  /* not even those: what is open stays usable */
	CONFINE_NO_PROGRAM = 4, /* no other program is started */
};

/*
 * From now on, whatever `flags` say: no system call that changes the machine, looks into other processes or opens doors of the
 * kernel that no daemon of ours needs.  With `n_writable` > 0 files and directories are made, changed and removed beneath these directories
 * only, which exist; reading goes on as before.
 *
 * 0, and what is in force as a line of the log (debug).  A kernel without one of the two is no error: the line says so.  Else an error:
 * the caller ends, it would believe itself confined.  Called before the process has a second thread.
 */
int confine(unsigned flags, const char *const *writable, size_t n_writable);

/* What this process's kernel had to offer: Landlock's version (0 = none, or one that is too old) and whether there is seccomp. */
void confine_means(int *ret_landlock, bool *ret_seccomp);

#endif
