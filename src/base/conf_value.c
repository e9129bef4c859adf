/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How each type of value is written, what its limits are in words, and which word a mistyped one was meant to be. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_private.h"
#include "base/err.h"
#include "base/utf8.h"

#define NEAREST_BYTES 48u /* longer words are compared by their beginnings */

/* From large to small, ended by one of factor 1. */
struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit size_units[] = {
	{"T", UINT64_C(1) << 40}, {"G", 1u << 30}, {"M", 1u << 20}, {"K", 1u << 10}, {"", 1},
};
static const struct unit duration_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};
static const char *const bool_words[] = {"no", "yes", "off", "on", "false", "true", NULL}; /* odd = true */

/* ---- text for messages ---- */

void
conf_text_shown(const char *text, char out[CONF_SHOWN])
{
	char *at = out, *end = out + CONF_SHOWN - sizeof "\\xHH...";
	size_t len;

	for (; *text && at < end; text += len) {
		len = utf8_printable(text);
		if (len == 0) {
			at += snprintf(at, sizeof "\\xHH", "\\x%02x", (uint8_t)*text);
			len = 1;
			continue;
		}
		memcpy(at, text, len);
		at += len;
	}
	snprintf(at, sizeof "...", "%s", *text ? "..." : "");
}

static bool
needs_quotes(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || strchr("\"# \t", text[0]) || strchr(" \t", text[len - 1]))
		return true;
	return strstr(text, " #") || strstr(text, "\t#");
}

void
conf_text_print(const char *text, bool always, FILE *out)
{
	if (!always && !needs_quotes(text)) {
		fputs(text, out);
		return;
	}
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

/* ---- the nearest word ---- */

/* Levenshtein's distance by one row of his table; case is no difference. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NEAREST_BYTES + 1];
	size_t len = strnlen(b, NEAREST_BYTES);

	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 0; i < NEAREST_BYTES && a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 1; j <= len; j++) {
			bool same = tolower((unsigned char)a[i]) == tolower((unsigned char)b[j - 1]);
			size_t changed = diagonal + !same;
			size_t shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = changed < shifted ? changed : shifted;
		}
	}
	return row[len];
}

void
conf_nearest_offer(struct conf_nearest *n, const char *word)
{
	size_t d = distance(n->wanted, word);

	if (n->best && d >= n->distance)
		return;
	n->best = word;
	n->distance = d;
}

/* ---- limits in words ---- */

__attribute__((format(printf, 3, 4))) static void
append(char *out, size_t size, const char *fmt, ...)
{
	size_t used = strlen(out);
	va_list args;

	va_start(args, fmt);
	vsnprintf(out + used, size - used, fmt, args);
	va_end(args);
}

static const struct unit *
units_of(const struct conf_key *key)
{
	if (key->type == CONF_SIZE)
		return size_units;
	return key->type == CONF_DURATION ? duration_units : NULL;
}

/* A number in the largest unit that loses nothing. */
static void
append_number(const struct conf_key *key, int64_t number, char *out, size_t size)
{
	const struct unit *unit = units_of(key);

	if (!unit || number == 0) {
		append(out, size, "%" PRId64, number);
		return;
	}
	while ((uint64_t)number % unit->factor)
		unit++;
	append(out, size, "%" PRIu64 "%s", (uint64_t)number / unit->factor, unit->suffix);
}

/* ": 1 to 64" behind words that say what kind of number it is; nothing when any will do. */
static void
append_range(const struct conf_key *key, char *out, size_t size)
{
	assert(key->min <= key->max);
	if (key->min == 0 && key->max == 0)
		return;
	append(out, size, ": ");
	if (key->max == INT64_MAX) {
		append_number(key, key->min, out, size);
		append(out, size, " or more");
		return;
	}
	append_number(key, key->min, out, size);
	append(out, size, " to ");
	append_number(key, key->max, out, size);
}

static void
append_words(const char *const *words, char *out, size_t size)
{
	for (size_t i = 0; words[i]; i++)
		append(out, size, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
}

void
conf_value_allowed(const struct conf_key *key, char out[CONF_ALLOWED])
{
	const size_t size = CONF_ALLOWED;

	*out = '\0';
	switch (key->type) {
	case CONF_STRING:
		append(out, size, "text");
		break;
	case CONF_LIST:
		append(out, size, "text; the key may be repeated");
		break;
	case CONF_INT:
		append(out, size, "a whole number");
		append_range(key, out, size);
		break;
	case CONF_SIZE:
		append(out, size, "bytes, or with K, M, G or T%s", key->min == 0 ? ", or unlimited" : "");
		append_range(key, out, size);
		break;
	case CONF_DURATION:
		append(out, size, "a number with ms, s, m, h or d");
		append_range(key, out, size);
		break;
	case CONF_BOOL:
		append(out, size, "yes or no");
		break;
	case CONF_ENUM:
		append_words(key->words, out, size);
		break;
	}
}

/* ---- reading ---- */

static int
refuse(const struct conf_key *key, const char *text, const char *why)
{
	char shown[CONF_SHOWN], allowed[CONF_ALLOWED];

	conf_text_shown(text, shown);
	conf_value_allowed(key, allowed);
	return err_set(ERR_CONFIG, "\"%s\" %s (%s)", shown, why, allowed);
}

/* Digits and a unit; a zero needs none. */
static bool
read_units(const struct unit *units, const char *text, int64_t *ret_number)
{
	const struct unit *unit = units;
	uint64_t count, number;
	char *suffix;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	count = strtoull(text, &suffix, 10);
	if (errno != 0)
		return false;
	if (count == 0 && *suffix == '\0') {
		*ret_number = 0;
		return true;
	}
	while (strcmp(unit->suffix, suffix) != 0)
		if (unit++->factor == 1)
			return false;
	if (__builtin_mul_overflow(count, unit->factor, &number) || number > INT64_MAX)
		return false;
	*ret_number = (int64_t)number;
	return true;
}

static bool
read_int(const char *text, int64_t *ret_number)
{
	char *end;

	if (!isdigit((unsigned char)text[*text == '-']))
		return false;
	errno = 0;
	*ret_number = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0';
}

static int
read_number(const struct conf_key *key, const char *text, int64_t *ret_number)
{
	const struct unit *units = units_of(key);
	int64_t number = 0;

	if (key->type == CONF_SIZE && key->min == 0 && strcmp(text, "unlimited") == 0) {
		*ret_number = 0;
		return 0;
	}
	if (!(units ? read_units(units, text, &number) : read_int(text, &number)))
		return refuse(key, text, !units ? "is not a number" : units == size_units ? "is not a size" : "is not a duration");
	if ((key->min || key->max) && (number < key->min || number > key->max))
		return refuse(key, text, number < key->min ? "is too small" : "is too large");
	*ret_number = number;
	return 0;
}

static int
read_word(const struct conf_key *key, const char *const *words, const char *text, int *ret_index)
{
	struct conf_nearest nearest = {.wanted = text};
	char why[CONF_ALLOWED];

	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0) {
			*ret_index = i;
			return 0;
		}
		conf_nearest_offer(&nearest, words[i]);
	}
	snprintf(why, sizeof why, "is unknown, the nearest is \"%s\"", nearest.best ? nearest.best : "");
	return refuse(key, text, why);
}

static int
copy_text(const char *text, char **ret_copy)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(ERR_NOMEM, "out of memory");
	free(*ret_copy);
	*ret_copy = copy;
	return 0;
}

static int
list_append(struct conf_list *list, const char *text)
{
	char **grown = realloc(list->items, (list->n + 1) * sizeof *grown);

	if (!grown)
		return err_set(ERR_NOMEM, "out of memory");
	list->items = grown;
	grown[list->n] = strdup(text);
	if (!grown[list->n])
		return err_set(ERR_NOMEM, "out of memory");
	list->n++;
	return 0;
}

static int
set_number(const struct conf_key *key, const char *text, void *field)
{
	int64_t number = 0;
	int err = read_number(key, text, &number);

	if (err)
		return err;
	if (key->type == CONF_SIZE)
		*(uint64_t *)field = (uint64_t)number;
	else
		*(int64_t *)field = number;
	return 0;
}

static int
set_word(const struct conf_key *key, const char *text, void *field)
{
	int index = 0;
	int err = read_word(key, key->type == CONF_BOOL ? bool_words : key->words, text, &index);

	if (err)
		return err;
	if (key->type == CONF_BOOL)
		*(bool *)field = index % 2;
	else
		*(int *)field = index;
	return 0;
}

static int
set_typed(const struct conf_key *key, const char *text, void *field)
{
	switch (key->type) {
	case CONF_STRING:
		return copy_text(text, field);
	case CONF_LIST:
		return list_append(field, text);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_DURATION:
		return set_number(key, text, field);
	case CONF_BOOL:
	case CONF_ENUM:
		return set_word(key, text, field);
	}
	assert(!"a type of the table");
	return -ERR_CONFIG;
}

int
conf_value_set(const struct conf_key *key, const char *text, void *field)
{
	const char *wrong;
	int err = set_typed(key, text, field);

	if (err)
		return err;
	wrong = key->check ? key->check(text) : NULL;
	return wrong ? refuse(key, text, wrong) : 0;
}

int
conf_value_fallback(const struct conf_key *key, void *field)
{
	int err;

	assert(key->fallback);
	if (key->type == CONF_LIST && *key->fallback == '\0')
		return 0;
	err = set_typed(key, key->fallback, field);
	assert(err != -ERR_CONFIG); /* our own table */
	return err;
}

/* ---- writing ---- */

size_t
conf_value_count(const struct conf_key *key, const void *field)
{
	return key->type == CONF_LIST ? ((const struct conf_list *)field)->n : 1;
}

static void
print_number(const struct conf_key *key, int64_t number, FILE *out)
{
	char text[32] = "";

	if (key->type == CONF_SIZE && key->min == 0 && number == 0)
		append(text, sizeof text, "unlimited");
	else
		append_number(key, number, text, sizeof text);
	fputs(text, out);
}

void
conf_value_print(const struct conf_key *key, const void *field, size_t i, FILE *out)
{
	switch (key->type) {
	case CONF_STRING:
		conf_text_print(*(char *const *)field, false, out);
		break;
	case CONF_LIST:
		conf_text_print(((const struct conf_list *)field)->items[i], false, out);
		break;
	case CONF_INT:
	case CONF_DURATION:
		print_number(key, *(const int64_t *)field, out);
		break;
	case CONF_SIZE:
		print_number(key, (int64_t) * (const uint64_t *)field, out);
		break;
	case CONF_BOOL:
		fputs(bool_words[*(const bool *)field], out);
		break;
	case CONF_ENUM:
		fputs(key->words[*(const int *)field], out);
		break;
	}
}

void
conf_value_clear(const struct conf_key *key, void *field)
{
	struct conf_list *list = field;

	if (key->type == CONF_STRING) {
		free(*(char **)field);
		*(char **)field = NULL;
	}
	if (key->type != CONF_LIST)
		return;
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct conf_list){0};
}
