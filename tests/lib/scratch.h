/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scratch - a fresh directory for one test.  Ends the program when it cannot have one.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

struct scratch {
	char path[128];
	int fd;
};

void scratch_open(struct scratch *s);
void scratch_close(struct scratch *s); /* removes everything */
void scratch_remove(const char *path); /* one that another struct knew, or process */

/* path/name in a buffer of the caller. */
const char *scratch_path(const struct scratch *s, const char *name, char out[256]);

#endif
