/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options - what follows the verb on the command line. A mistake prints a sentence and ends with exit code 2. */
#ifndef GWSIM_OPTIONS_H
#define GWSIM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_type {
	OPTION_FLAG,		/* bool */
	OPTION_NUMBER,		/* uint64_t; k, M, G are allowed behind it */
	OPTION_SECONDS,		/* double: 10s, 2m, 500ms, 1h */
	OPTION_FRACTION,	/* double: 1%, 0.01 */
	OPTION_TEXT,		/* const char *, borrowed from argv */
};

struct option_spec {
	const char *name;	/* without the dashes */
	enum option_type type;
	void *ret_value;
	bool *ret_given;	/* may be NULL */
};

/*
 * Fill in the options of `argv` and return its one argument that is no option. `verb` says where to find help.
 * The table ends with a name of NULL.
 */
const char *options_parse(int argc, char **argv, const char *verb, const struct option_spec *specs);

/* Print the sentence, point to `gwsim VERB --help`, exit 2. */
_Noreturn void usage_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
