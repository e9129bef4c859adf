/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flag - "everything must be looked at again", remembered when the disk has no room for anything else.
 *
 * A file of one page, written when the journal is opened, in which two numbers are overwritten in place: how often the flag
 * was raised, and up to which of these it was lowered.  So one that is raised again while somebody answers the first
 * stays up.
 *
 * Threads: one at a time; processes are kept apart by a lock on the file.
 */
#ifndef JOURNAL_FLAG_H
#define JOURNAL_FLAG_H

#include <stdbool.h>
#include <stdint.h>

struct flag {
	int fd;
};

struct flag_state {
	bool up;
	uint64_t generation; /* give it to flag_lower */
	int64_t since_ns;
};

/* Opens <dirfd>/journal.full, made when absent. */
int flag_open(int dirfd, struct flag *ret_flag);
void flag_close(struct flag *f);

/* Durable on return, without needing space.  Failpoints journal.flag, journal.flag.done. */
int flag_raise(struct flag *f, int64_t now_ns);
int flag_look(const struct flag *f, struct flag_state *ret_state);
/* Answers everything up to `generation`; less than was answered before changes nothing. */
int flag_lower(struct flag *f, uint64_t generation);

#endif
