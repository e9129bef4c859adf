/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * versions - what a collector remembers of releases: which one was proved, which is on trial, which failed.
 *
 * One small text file, "versions", in <state>/upgrade; written by the launcher before it begins a release, and by a collector that runs.
 * Both hold collector.lock.  They write and sync: not for a loop.
 */
#ifndef COLLECTOR_VERSIONS_H
#define COLLECTOR_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "release/release.h"

struct versions {
	/* 0.0.0 = none */
	struct release_version current; /* proved itself: runs in place of the installed program, when it is newer */
	struct release_version trial;   /* to prove itself */
	uint32_t starts;                /* of the trial so far */
	struct release_version failed;  /* did not: it is not tried again by itself */
	struct release_version seen;    /* the highest that was ever believed: none below it is taken */
	int64_t fresh_s;                /* when a statement that is in its time was last seen; 0 = never */
};

bool version_is_none(const struct release_version *v);

/* <state>/upgrade, made when it is not there: the descriptor, or a negative error. */
int versions_open_dir(const char *state);
/* Absent: none of all.  -ERR_CORRUPT when it is damaged, and none of all: then the installed program runs. */
int versions_load(int dir, struct versions *ret_versions);
/* Durable on return (failpoint versions.store). */
int versions_store(int dir, const struct versions *v);

#endif
