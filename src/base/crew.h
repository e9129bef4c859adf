/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crew - independent pieces of one work, done by a few threads at once while the caller waits.
 *
 * For work that is already off the loop: the caller is a lane's thread or a program without a loop.  What must stay in order, or is
 * not safe to share, the caller does before and after.
 */
#ifndef BASE_CREW_H
#define BASE_CREW_H

#include <stddef.h>

#define CREW_MAX 16u

/* So many hands are worth having here: the processors this process may use, at most four: beyond that the disk is what is waited for. */
unsigned crew_size(void);

/*
 * Calls piece(arg, hand, i) once for each i below n, begun in this order, on up to `hands` threads: the caller's is hand 0, and two
 * calls with the same hand never overlap.  Threads that cannot be had are done without.  Returns when all have ended: 0, or the first error,
 * with its sentence; pieces not begun by then are left out.
 */
int crew_each(unsigned hands, size_t n, int (*piece)(void *arg, unsigned hand, size_t i), void *arg);

/*
 * The same; and after each piece its hand calls finish(arg, hand, i): one at a time, in the order of i, and not after a piece that failed.
 * For what must be in order about pieces that need not: a running digest, a sum.
 */
int crew_in_order(unsigned hands, size_t n, int (*piece)(void *arg, unsigned hand, size_t i), void (*finish)(void *arg, unsigned hand, size_t i),
    void *arg);

/*
 * Calls work(arg) on a thread of its own that takes only the processor's and the disk's time that nobody else on this host wants, and waits
 * for its end; on the caller's thread, as it is, where no other can be had.  Gives what it returns, 0 or a negative error with its sentence.
 * A thread of its own, because an ordinary user may not take such modesty back.
 */
int crew_quietly(int (*work)(void *arg), void *arg);

#endif
