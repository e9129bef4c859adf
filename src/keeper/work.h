/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * work - one piece of work on a profile, as its lane carries it out: an order, or what the keeper does by itself.
 *
 * Between submit and done it is the lane's; only task.stop may be touched from outside.
 */
#ifndef KEEPER_WORK_H
#define KEEPER_WORK_H

#include "base/workpool.h"
#include "keeper/order.h"
#include "keeper/outbox.h"
#include "keeper/task.h"
#include "keeper/vault.h"

enum work_kind {
	WORK_ORDER,
	WORK_RECOVER,   /* after the start */
	WORK_SCRUB,     /* re-reads what is new in a set that has not been re-read */
	WORK_TICK,      /* the clock's mark */
};

struct courier;
struct shelf;

struct work {
	struct job job;
	struct task task;
	enum work_kind kind;
	struct order order;          /* WORK_ORDER */
	const char *store, *profile; /* borrowed, as the next two */
	const char *config;          /* the file that says how long sets are kept; NULL: the order alone does */
	struct courier *warden;      /* NULL: one user */
	struct vault **vault;        /* the profile's; opened by the first work, used by its lane only */
	struct keeper_outbox *outbox;
	struct shelf *shelf;         /* the owner's */
	struct work *next;           /* the owner's */
	bool scrub_due;              /* out: a set waits to be re-read */
};

/* Carries it out and reports.  A lane's thread. */
void work_run(struct work *w);

#endif
