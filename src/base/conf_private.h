/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_private - what the three files of conf share: the parsed file (conf.c), typed values (conf_value.c) and the text
 * that becomes both (conf_parse.c).
 */
#ifndef BASE_CONF_PRIVATE_H
#define BASE_CONF_PRIVATE_H

#include "base/conf.h"

#define CONF_LINE_MAX (64u * 1024u)
#define CONF_FILE_MAX (1024u * 1024u)
#define CONF_SECTIONS_MAX 4096u
#define CONF_ALLOWED 512 /* room for what is allowed, in words */
#define CONF_SHOWN 72    /* room for a piece of the user's text in a message */

struct conf {
	const struct conf_table *table;
	const struct conf_shape *shapes;
	struct conf_section **sections; /* in file order, implied ones last */
	size_t n;
};

/* ---- conf.c ---- */

/* NULL when out of memory. */
struct conf *conf_new(const struct conf_table *table, const struct conf_shape *shapes);
/* Appends an instance with no value set; `name` is copied and may be NULL.  NULL when out of memory. */
struct conf_section *conf_add(struct conf *c, const struct conf_shape *shape, const char *name, int line);
/* True if instances of the section carry a name. */
bool conf_is_named(const struct conf_table *table, const char *section);

static inline void *
conf_field(const struct conf_section *s, const struct conf_key *key)
{
	return (char *)s->values + key->offset;
}

/* ---- conf_value.c ---- */

/* Reads `text` into the field, or appends to a list.  -ERR_CONFIG: err_text() is `what is wrong (what is allowed)`. */
int conf_value_set(const struct conf_key *key, const char *text, void *field);
/* Sets the default, which must exist. */
int conf_value_fallback(const struct conf_key *key, void *field);
/* Values in the field: 1, or the length of a list. */
size_t conf_value_count(const struct conf_key *key, const void *field);
/* Writes the i-th value so that it would be read back as it is. */
void conf_value_print(const struct conf_key *key, const void *field, size_t i, FILE *out);
/* What a user may write, in words. */
void conf_value_allowed(const struct conf_key *key, char out[CONF_ALLOWED]);
void conf_value_clear(const struct conf_key *key, void *field);

/* Writes text, in quotes if it needs them or if `always`. */
void conf_text_print(const char *text, bool always, FILE *out);
/* The beginning of `text` fit for a message. */
void conf_text_shown(const char *text, char out[CONF_SHOWN]);

/* The nearest of the words that are offered to it, by edit distance. */
struct conf_nearest {
	const char *wanted;
	const char *best; /* NULL until one was offered */
	size_t distance;
};
void conf_nearest_offer(struct conf_nearest *n, const char *word);

#endif
