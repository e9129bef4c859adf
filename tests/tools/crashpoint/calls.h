/* SPDX-License-Identifier: GPL-2.0-or-later */
/* calls - which system calls are counted, what each of them touches, and how each of them can fail. */
#ifndef CRASHPOINT_CALLS_H
#define CRASHPOINT_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The first four change something outside the process; the others only look, or only make a descriptor. */
enum kind { WRITES, SYNCS, NAMES, OPENS, READS, STATS, MAKES, MAPS };

/* Which argument is its descriptor, path, flags, and count (of bytes, or of pieces); -1 = it has none. */
struct call {
	long nr;
	const char *name;
	enum kind kind;
	int fd, path, flags, count;
};
extern const struct call calls[];
extern const size_t n_calls;

/* NULL: not one of ours. */
const struct call *call_of(uint64_t nr);

/* A stopped call as it is judged and told. */
struct judged {
	const struct call *call;
	const uint64_t *args;
	char target[512]; /* what its descriptor is */
	char path[200];
	uint64_t flags;
	int fd;
};
void judge(pid_t tid, const struct call *call, const uint64_t args[6], struct judged *ret_judged);

/* What a write is asked to write. */
uint64_t bytes_of(pid_t tid, const struct judged *j);

/* Changes something that outlives the process. */
bool changes(const struct judged *j);

/* Could end with this error in a real kernel, or ("short", error 0) do less than it was asked for. */
bool can_fail(const struct judged *j, int error);

/* Socket or file: an error that lasts is one of all calls of a kind on the same sort of target. */
bool on_socket(const struct judged *j);

/* An error by its name: its number, 0 for "short", -1 for a word that is none of ours. */
int error_of(const char *name);

/* What the name `what` below /proc/PID leads to; empty when it is no link. */
void link_of(pid_t pid, const char *what, char out[512]);

#endif
