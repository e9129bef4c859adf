/* SPDX-License-Identifier: GPL-2.0-or-later */
/* quickfinder - everything an agent does that is not mail: indexes, queues, and looking after the guardian. */
#ifndef GWSIM_QUICKFINDER_H
#define GWSIM_QUICKFINDER_H

#include <signal.h>
#include <stdbool.h>

#include "bench/gwsim/office.h"

/* Append to an incremental index in `dir` or, rarely and only when `rebuild`, combine one into its .idx. */
void quickfinder_event(const char *dir, struct rng *rng, bool rebuild);

/* A message passes through the queue directory `dir`: its file appears and is gone again. */
void queue_pass(const char *dir, struct rng *rng);

/* Change the guardian database and append to its roll-forward log; now and then renew the fall-back copy. */
void guardian_upkeep(struct office *office, struct rng *rng, const volatile sig_atomic_t *stop);

#endif
