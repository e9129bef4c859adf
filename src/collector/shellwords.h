/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shellwords - splits a command line from the configuration into words as a shell would, with quotes and backslashes; no
 * shell ever runs, so nothing else is special.  Pure.
 */
#ifndef COLLECTOR_SHELLWORDS_H
#define COLLECTOR_SHELLWORDS_H

#include <stddef.h>

/* *Gives* the NULL-terminated words, with room for `spare` more.  -ERR_CONFIG: empty, or a quote is not closed. */
int shellwords_split(const char *line, size_t spare, char ***ret_words, size_t *ret_n);
void shellwords_free(char **words); /* NULL is fine */

#endif
