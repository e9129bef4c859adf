/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quickfinder - everything an agent does that is not mail: indexes, queues, and looking after the guardian. */
#ifndef GWSIM_QUICKFINDER_H
#define GWSIM_QUICKFINDER_H

#include <signal.h>
#include <stdint.h>

#include "bench/gwsim/office.h"

/* By day: append to the incremental index of one user in `dir` (NULL: nothing happens). */
void quickfinder_day(const char *dir, struct rng *rng);

/* At night: combine each .inc into its .idx, until *stop is raised. */
void quickfinder_night(const char *dir, struct rng *rng, const volatile sig_atomic_t *stop);

/* Write `fraction` of the .idx anew, at least one, a day's increment larger; tells how many and their bytes. */
void quickfinder_churn(const char *dir, struct rng *rng, double fraction, uint64_t *ret_files, uint64_t *ret_bytes);

/* A message passes through the queue directory `dir`: its file appears and is gone again. */
void queue_pass(const char *dir, struct rng *rng);

/* Change the guardian database and append to its roll-forward log; now and then renew the fall-back copy. */
void guardian_upkeep(struct office *office, struct rng *rng, const volatile sig_atomic_t *stop);

/* Add one entry to the guardian's roll-forward log, where there is one. Returns its bytes. */
uint64_t guardian_log(struct office *office, struct rng *rng);

#endif
