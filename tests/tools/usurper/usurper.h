/* SPDX-License-Identifier: GPL-2.0-or-later */
/* usurper - what its parts share: who is attacked, and how an attempt is counted. */
#ifndef TESTS_USURPER_H
#define TESTS_USURPER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define PATH_BYTES 2048
#define FDS_MAX 512
#define HELD_MAX 4096

struct usurper {
	pid_t receiver, keeper, warden;
	const char *store, *profile;
	char folder[PATH_BYTES]; /* of the profile */
	int fds[FDS_MAX];        /* the receiver's */
	size_t n_fds;
	char **targets;          /* absolute names of what is sealed */
	size_t n_targets;
};

/* A blob that was its own before the seal. */
struct held {
	char path[PATH_BYTES];
	int fd;
	char *map; /* MAP_FAILED without */
};

void attempt(bool through, const char *what, const char *name);
_Noreturn void give_up(const char *what);

/* names.c: one file or folder, by name. */
void attack_name(const struct usurper *u, const char *path);

/* process.c */
pid_t parent_of(pid_t pid);
bool attack_memory(pid_t pid);

/* race.c: never returns. */
_Noreturn void race_for_ever(const struct usurper *u, const struct held *held, size_t n, uint64_t seed);

/* orders.c: over the sockets among the descriptors. */
void lie_to_warden(const struct usurper *u);
void lie_to_keeper(const struct usurper *u);

#endif
