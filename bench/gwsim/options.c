/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how values are spelled on the command line. */
#include "bench/gwsim/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void
usage_error(const char *verb, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "gwsim %s: ", verb);
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\nTry: gwsim help %s\n", verb);
	va_end(ap);
	exit(2);
}

static bool
parse_number(const char *text, uint64_t *ret_value)
{
	char *end;
	unsigned shift = 0;

	errno = 0;
	*ret_value = strtoull(text, &end, 0);
	switch (*end) {
	case 'k': case 'K': shift = 10; break;
	case 'm': case 'M': shift = 20; break;
	case 'g': case 'G': shift = 30; break;
	default: break;
	}
	if (shift)
		end++;
	if (errno || end == text || *end || *text == '-' || *ret_value >> (63 - shift))
		return false;
	*ret_value <<= shift;
	return true;
}

static bool
parse_seconds(const char *text, double *ret_value)
{
	char *end;
	double value = strtod(text, &end);

	if (strcmp(end, "ms") == 0)
		value /= 1000;
	else if (strcmp(end, "m") == 0)
		value *= 60;
	else if (strcmp(end, "h") == 0)
		value *= 3600;
	else if (*end && strcmp(end, "s") != 0)
		return false;
	*ret_value = value;
	return end != text && value >= 0 && value < 1e9;
}

static bool
parse_fraction(const char *text, double *ret_value)
{
	char *end;
	double value = strtod(text, &end);

	if (strcmp(end, "%") == 0)
		value /= 100;
	else if (*end)
		return false;
	*ret_value = value;
	return end != text && value >= 0 && value <= 1;
}

static void
set_option(const char *verb, const struct option_spec *spec, const char *value)
{
	bool good = true;

	switch (spec->type) {
	case OPTION_FLAG:     *(bool *)spec->ret_value = true; break;
	case OPTION_NUMBER:   good = parse_number(value, spec->ret_value); break;
	case OPTION_SECONDS:  good = parse_seconds(value, spec->ret_value); break;
	case OPTION_FRACTION: good = parse_fraction(value, spec->ret_value); break;
	case OPTION_TEXT:     *(const char **)spec->ret_value = value; break;
	}
	if (!good)
		usage_error(verb, "--%s cannot be \"%s\"", spec->name, value);
	if (spec->ret_given)
		*spec->ret_given = true;
}

static const struct option_spec *
find_option(const struct option_spec *specs, const char *name, size_t length)
{
	for (; specs->name; specs++)
		if (strlen(specs->name) == length && memcmp(specs->name, name, length) == 0)
			return specs;
	return NULL;
}

const char *
options_parse(int argc, char **argv, const char *verb, const struct option_spec *specs)
{
	const char *argument = NULL;

	for (int i = 0; i < argc; i++) {
		const char *text = argv[i], *value = NULL;
		const struct option_spec *spec;
		size_t length;

		if (strncmp(text, "--", 2) != 0) {
			if (argument)
				usage_error(verb, "one directory, please: \"%s\" is too much", text);
			argument = text;
			continue;
		}
		text += 2;
		length = strcspn(text, "=");
		spec = find_option(specs, text, length);
		if (!spec)
			usage_error(verb, "there is no option --%s", text);
		if (text[length])
			value = text + length + 1;
		if (spec->type == OPTION_FLAG ? value != NULL : !value && ++i == argc)
			usage_error(verb, "--%s %s a value", spec->name, value ? "does not take" : "needs");
		set_option(verb, spec, value || spec->type == OPTION_FLAG ? value : argv[i]);
	}
	if (!argument)
		usage_error(verb, "which directory?");
	return argument;
}
