/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A growing list of lines. */
#include "bench/gwsim/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/gwsim/die.h"

void
findings_add(struct findings *findings, const char *format, ...)
{
	va_list ap;
	int n;

	if (findings->count == findings->room) {
		findings->room = findings->room ? 2 * findings->room : 16;
		findings->lines = realloc(findings->lines, findings->room * sizeof *findings->lines);
		if (!findings->lines)
			die("out of memory");
	}
	va_start(ap, format);
	n = vasprintf(&findings->lines[findings->count], format, ap);
	va_end(ap);
	if (n < 0)
		die("out of memory");
	findings->count++;
}

void
findings_print(const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		puts(findings->lines[i]);
}

void
findings_fini(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free(findings->lines[i]);
	free(findings->lines);
}
