/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crew - threads are made for each call: they cost some 30 microseconds, and a piece milliseconds. */
#include "base/crew.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

#define WORTH 4
#define NICE_LAST 19
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE (3 << 13)

struct crew {
	int (*piece)(void *arg, unsigned hand, size_t i);
	void (*finish)(void *arg, unsigned hand, size_t i); /* NULL: none */
	void *arg;
	size_t n;
	atomic_size_t next;
	atomic_int err;
	char text[ERR_TEXT_MAX + 1]; /* by the one who set err; read after the joins */

	pthread_mutex_t lock;        /* guards all below */
	pthread_cond_t changed;
	size_t turn;                 /* the piece that may be finished */
	bool failed;
};

struct hand {
	struct crew *crew;
	unsigned number;
	pthread_t thread;
};

unsigned
crew_size(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n < WORTH ? (unsigned)n : WORTH;
}

static void
pass_on(struct crew *c, bool failed)
{
	pthread_mutex_lock(&c->lock);
	c->failed |= failed;
	c->turn++;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

/* Pieces are begun in order, so whoever waits here waits for one that is under way. */
static bool
await_turn(struct crew *c, size_t i)
{
	bool ours;

	pthread_mutex_lock(&c->lock);
	while (c->turn != i && !c->failed)
		pthread_cond_wait(&c->changed, &c->lock);
	ours = !c->failed;
	pthread_mutex_unlock(&c->lock);
	return ours;
}

static void
do_piece(struct crew *c, unsigned hand, size_t i)
{
	int err = c->piece(c->arg, hand, i), none = 0;

	if (err && atomic_compare_exchange_strong(&c->err, &none, err))
		snprintf(c->text, sizeof c->text, "%s", err_text());
	if (err) {
		pass_on(c, true);
	} else if (c->finish && await_turn(c, i)) {
		c->finish(c->arg, hand, i);
		pass_on(c, false);
	}
}

static void *
hand_main(void *arg)
{
	const struct hand *hand = arg;
	struct crew *c = hand->crew;
	size_t i;

	while (atomic_load(&c->err) == 0 && (i = atomic_fetch_add(&c->next, 1)) < c->n)
		do_piece(c, hand->number, i);
	return NULL;
}

int
crew_each(unsigned hands, size_t n, int (*piece)(void *arg, unsigned hand, size_t i), void *arg)
{
	return crew_in_order(hands, n, piece, NULL, arg);
}

int
crew_in_order(unsigned hands, size_t n, int (*piece)(void *arg, unsigned hand, size_t i), void (*finish)(void *arg, unsigned hand, size_t i),
    void *arg)
{
	struct crew crew = {
	    .piece = piece, .finish = finish, .arg = arg, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	struct hand hand[CREW_MAX];
	unsigned started = 1;
	int err;

	if (hands > CREW_MAX)
		hands = CREW_MAX;
	for (unsigned i = 0; i < CREW_MAX; i++)
		hand[i] = (struct hand){.crew = &crew, .number = i};
	while (started < hands && started < n && pthread_create(&hand[started].thread, NULL, hand_main, &hand[started]) == 0)
		started++;
	(void)hand_main(&hand[0]);
	for (unsigned i = 1; i < started; i++)
		pthread_join(hand[i].thread, NULL);
	err = atomic_load(&crew.err);
	return err ? err_set((enum err)-err, "%s", crew.text) : 0;
}

struct quiet {
	int (*work)(void *arg);
	void *arg;
	int err;
	char text[ERR_TEXT_MAX + 1];
};

static void *
quiet_main(void *arg)
{
	struct quiet *q = arg;

	/* Of this thread and those it makes, not of the process: that is how Linux counts niceness. */
	(void)setpriority(PRIO_PROCESS, 0, NICE_LAST);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE);
	q->err = q->work(q->arg);
	if (q->err)
		snprintf(q->text, sizeof q->text, "%s", err_text());
	return NULL;
}

int
crew_quietly(int (*work)(void *arg), void *arg)
{
	struct quiet q = {.work = work, .arg = arg};
	pthread_t thread;

	if (pthread_create(&thread, NULL, quiet_main, &q) != 0)
		return work(arg);
	pthread_join(thread, NULL);
	return q.err ? err_set((enum err)-q.err, "%s", q.text) : 0;
}
