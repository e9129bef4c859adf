/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces meet at a barrier where it matters that they run at once, so nothing here depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/crew.h"
#include "base/err.h"

#define PIECES 1000

static atomic_uint times[PIECES];
static atomic_uint busy[CREW_MAX], overlaps, begun;
static pthread_barrier_t meeting;

static int
count_piece(void *arg, unsigned hand, size_t i)
{
	(void)arg;
	if (atomic_fetch_add(&busy[hand], 1) != 0)
		atomic_fetch_add(&overlaps, 1);
	atomic_fetch_add(&times[i], 1);
	atomic_fetch_sub(&busy[hand], 1);
	return 0;
}

static void
each_piece_is_done_once_and_no_hand_does_two_at_a_time(void **state)
{
	(void)state;
	for (unsigned hands = 0; hands <= CREW_MAX + 1; hands++) {
		for (size_t i = 0; i < PIECES; i++)
			times[i] = 0;
		assert_int_equal(crew_each(hands, PIECES, count_piece, NULL), 0);
		for (size_t i = 0; i < PIECES; i++)
			assert_int_equal(times[i], 1);
		assert_int_equal(overlaps, 0);
	}
	assert_int_equal(crew_each(4, 0, count_piece, NULL), 0);
}

static int
meet(void *arg, unsigned hand, size_t i)
{
	(void)arg, (void)hand, (void)i;
	pthread_barrier_wait(&meeting); /* a crew that works one after the other would wait here for ever */
	return 0;
}

static void
as_many_pieces_run_at_once_as_there_are_hands(void **state)
{
	(void)state;
	pthread_barrier_init(&meeting, NULL, 4);
	assert_int_equal(crew_each(4, 4, meet, NULL), 0);
	pthread_barrier_destroy(&meeting);
}

static int
fail_third(void *arg, unsigned hand, size_t i)
{
	(void)arg, (void)hand;
	atomic_fetch_add(&begun, 1);
	return i == 2 ? err_set(ERR_NOSPACE, "no room for piece %zu", i) : 0;
}

static void
the_first_error_ends_it_and_keeps_its_sentence(void **state)
{
	(void)state;
	begun = 0;
	assert_int_equal(crew_each(1, PIECES, fail_third, NULL), -ERR_NOSPACE);
	assert_string_equal(err_text(), "no room for piece 2");
	assert_int_equal(begun, 3);
	assert_int_equal(crew_each(3, PIECES, fail_third, NULL), -ERR_NOSPACE);
	assert_string_equal(err_text(), "no room for piece 2");
}

/* Each hand keeps the piece it did; what is finished must be that one, and the next. */
static size_t in_hand[CREW_MAX], finished, fails_at;

static int
take(void *arg, unsigned hand, size_t i)
{
	(void)arg;
	in_hand[hand] = i;
	return i == fails_at ? err_set(ERR_NOSPACE, "no room for piece %zu", i) : 0;
}

static void
finish_next(void *arg, unsigned hand, size_t i)
{
	(void)arg;
	if (i == finished && in_hand[hand] == i)
		finished++;
}

static void
pieces_are_finished_one_at_a_time_and_in_order(void **state)
{
	(void)state;
	fails_at = PIECES;
	for (unsigned hands = 0; hands <= CREW_MAX; hands++) {
		finished = 0;
		assert_int_equal(crew_in_order(hands, PIECES, take, finish_next, NULL), 0);
		assert_int_equal(finished, PIECES);
	}
}

static void
nothing_is_finished_after_a_piece_that_failed_and_nobody_waits_for_it(void **state)
{
	(void)state;
	for (fails_at = 0; fails_at < PIECES; fails_at += 97)
		for (unsigned hands = 1; hands <= 4; hands++) {
			finished = 0;
			assert_int_equal(crew_in_order(hands, PIECES, take, finish_next, NULL), -ERR_NOSPACE);
			assert_in_range(finished, 0, fails_at);
		}
}

static void
a_crew_has_a_hand_at_least(void **state)
{
	(void)state;
	assert_in_range(crew_size(), 1, CREW_MAX);
}

struct manners {
	int nice, ioprio;
	bool same_thread;
	pthread_t caller;
};

static struct manners
manners(pthread_t caller)
{
	return (struct manners){
	    .nice = getpriority(PRIO_PROCESS, 0),
	    .ioprio = (int)syscall(SYS_ioprio_get, 1, 0),
	    .same_thread = pthread_equal(caller, pthread_self()) != 0,
	    .caller = caller,
	};
}

static int
look_at_manners(void *arg)
{
	struct manners *m = arg;

	*m = manners(m->caller);
	return 0;
}

static int
fail_quietly(void *arg)
{
	return err_set(ERR_NOSPACE, "no room for %s", (const char *)arg);
}

static void
quiet_work_yields_to_all_else_and_its_caller_stays_as_he_was(void **state)
{
	struct manners within = {.caller = pthread_self()}, before = manners(pthread_self()), after;

	(void)state;
	assert_int_equal(crew_quietly(look_at_manners, &within), 0);
	after = manners(pthread_self());
	assert_false(within.same_thread);
	assert_int_equal(within.nice, 19);
	assert_int_equal(within.ioprio >> 13, 3); /* the idle class */
	assert_int_equal(after.nice, before.nice);
	assert_int_equal(after.ioprio, before.ioprio);
	assert_int_equal(crew_quietly(fail_quietly, (char[]){"it"}), -ERR_NOSPACE);
	assert_string_equal(err_text(), "no room for it");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_piece_is_done_once_and_no_hand_does_two_at_a_time),
		cmocka_unit_test(as_many_pieces_run_at_once_as_there_are_hands),
		cmocka_unit_test(the_first_error_ends_it_and_keeps_its_sentence),
		cmocka_unit_test(pieces_are_finished_one_at_a_time_and_in_order),
		cmocka_unit_test(nothing_is_finished_after_a_piece_that_failed_and_nobody_waits_for_it),
		cmocka_unit_test(quiet_work_yields_to_all_else_and_its_caller_stays_as_he_was),
		cmocka_unit_test(a_crew_has_a_hand_at_least),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
