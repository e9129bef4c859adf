/* SPDX-License-Identifier: GPL-2.0-or-later */
/* aim - what the test wants to happen at which call, and what it is told: the two control pipes. */
#ifndef CRASHPOINT_AIM_H
#define CRASHPOINT_AIM_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "tests/tools/crashpoint/calls.h"

/* NONE only counts.  The next three kill; FAIL and SHORT go on. */
enum mode { NONE, BEFORE, AFTER, HALF, FAIL };

/* Shared between the tracing thread and the one that reads the pipe: under the lock. */
struct aim {
	pthread_mutex_t lock;
	const char *program;
	pid_t command;
	enum mode mode;
	int error;             /* FAIL: which; 0 = do less than was asked for */
	bool errors;           /* a sync that fails loses what was written (lost.h), and ends are told */
	struct places *places; /* FAIL: where each error was tried already; NULL: calls are counted */
	bool lasts;            /* FAIL: from the n-th call on, all calls of its kind on its sort of target */
	unsigned long at, count;
	unsigned long hits;    /* calls that failed so */
	enum kind kind;        /* of the first of them */
	bool socket;
	pid_t victim;          /* to be dead soon, 0 = nobody */
	pthread_cond_t dead;
	char what[512];
};
extern struct aim aim;

/* Makes the pipes CONTROL.in and CONTROL.out, and the socket CONTROL.notify on which the command says that it is ready. */
void aim_open(const char *control);
/* MODE as in the usage; exits when it is none. */
void aim_arm(unsigned long n, const char *mode);
/* Obeys from now on; `command` is whose readiness is told. */
void aim_serve(pid_t command);
/* The command has ended: its successor has the pipe. */
void aim_end(void);
/* One line to the test. */
void aim_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says why on standard error and exits. */
void die(const char *what) __attribute__((noreturn));

#endif
