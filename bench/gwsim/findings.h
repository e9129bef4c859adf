/* SPDX-License-Identifier: GPL-2.0-or-later */
/* findings - sentences about what is wrong, collected by one thread and printed later in order. */
#ifndef GWSIM_FINDINGS_H
#define GWSIM_FINDINGS_H

#include <stddef.h>

struct findings {
	char **lines;
	size_t count, room;
};

void findings_add(struct findings *findings, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print all, one a line, to stdout. */
void findings_print(const struct findings *findings);
void findings_fini(struct findings *findings);

#endif
