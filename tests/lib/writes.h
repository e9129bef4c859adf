/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * writes - a disk that refuses: it stands before the C library's pwrite and writev, by which LMDB writes in this program.
 *
 * Threads: set while nobody writes.
 */
#ifndef TESTS_WRITES_H
#define TESTS_WRITES_H

#include <stdbool.h>

/* What these calls answer instead of reaching the kernel, as long as it is not 0. */
extern int writes_errno;
/* Only LMDB's head pages are refused, of which it writes less than a page. */
extern bool writes_heads_only;

#endif
