/* SPDX-License-Identifier: GPL-2.0-or-later */
/* die - the simulator's answer to an operating system that does not cooperate: a sentence and exit 1. */
#ifndef GWSIM_DIE_H
#define GWSIM_DIE_H

#include <stddef.h>

/* Print "gwsim: sentence" to stderr and end the process with code 1. Any thread. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, followed by the words for errno. */
_Noreturn void die_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Zeroed memory that is there or the process is not. Gives. */
void *must_calloc(size_t count, size_t size);

/* Like asprintf(). Gives. */
char *must_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
