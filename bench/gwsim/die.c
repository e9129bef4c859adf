/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens when the simulator itself cannot go on. */
#include "bench/gwsim/die.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void
die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("gwsim: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

_Noreturn void
die_errno(const char *format, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, format);
	fputs("gwsim: ", stderr);
	vfprintf(stderr, format, ap);
	fprintf(stderr, ": %s\n", strerror(saved));
	va_end(ap);
	exit(1);
}

void *
must_calloc(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size ? size : 1);

	if (!memory)
		die("out of memory (%zu times %zu bytes)", count, size);
	return memory;
}

char *
must_printf(const char *format, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		die("out of memory");
	return text;
}
