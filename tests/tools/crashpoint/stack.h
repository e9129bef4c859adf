/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stack - from where in its program a stopped call comes.  Its .c is the only file that knows libdw. */
#ifndef CRASHPOINT_STACK_H
#define CRASHPOINT_STACK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STACK_FRAMES 48

/* The return addresses of the thread, innermost first, each from the beginning of the object that it lies in; as many as can be told.
 * The thread stands still for a tracer, who asks. */
size_t stack_of(pid_t pid, pid_t tid, uint64_t frames[STACK_FRAMES]);

/* The process runs another program now, or has ended. */
void stack_forget(pid_t pid);

#endif
