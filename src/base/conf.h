/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf - an INI dialect over one typed table: reads, checks, explains.  Pure but for reading the file.
 *
 * `[section]`, `[section "name"]`, `key = value`, # comments at line start or after white space, a repeated key = list.
 * A value in double quotes is taken as it stands, with \" and \\ for the two characters that need it; only so can it be
 * empty.  A statement ends on its own line, so no mistake moves to another line.  Every error is reported, not only the
 * first, as `file:line: key: what is wrong (what is allowed)`; an unknown key or section is an error that names the
 * nearest.  Limits: lines of 64 KiB, files of 1 MiB, 4096 sections.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_STRING,   /* char * */
	CONF_LIST,     /* struct conf_list; the key may repeat; the default "" is the empty list */
	CONF_INT,      /* int64_t, within min..max */
	CONF_SIZE,     /* uint64_t bytes: 64K, 20M, 1G, 512; "unlimited" = 0 where min is 0 */
	CONF_DURATION, /* int64_t milliseconds: 500ms, 30s, 5m, 26h, 7d, 0 */
	CONF_BOOL,     /* bool: yes/no, on/off, true/false */
	CONF_ENUM,     /* int: index into `words` */
};

struct conf_list {
	char **items;
	size_t n;
};

struct conf_key {
	const char *section;     /* "server", "profile" */
	bool named;              /* [section "name"] */
	const char *key;
	enum conf_type type;
	size_t offset;           /* of the field in the section's struct */
	const char *fallback;    /* default, as it would be written; NULL = the key must be given */
	int64_t min, max;        /* CONF_INT, CONF_SIZE, CONF_DURATION; 0,0 = any */
	const char *const *words; /* CONF_ENUM, NULL-terminated */
	const char *help;        /* one line: why one would change it */
	/* A further test of every value given: returns NULL or what is wrong (static text, "is not absolute").  May be NULL. */
	const char *(*check)(const char *value);
	bool reload;             /* obeyed by SIGHUP */
};

struct conf;
struct conf_check;

struct conf_table {
	const struct conf_key *keys;
	size_t n_keys;
	/* How keys must fit together; may be NULL.  Called also when there are other mistakes: a value that was wrong or is missing is
	 * zero, and a section's name may be any. */
	void (*check)(const struct conf *c, struct conf_check *check);
};

/* One parsed section instance. */
struct conf_section {
	const char *section;
	char *name;          /* NULL when the section is not named */
	void *values;        /* zeroed struct of `size` bytes, fields filled */
	char **origins;      /* per table key: "file:line" or NULL = default */
	int line;            /* of its head; 0 = implied */
};

/* Size of the value struct of each section; an array of these is ended by a NULL section. */
struct conf_shape {
	const char *section;
	size_t size;
	bool required; /* implied with all defaults when absent (a section that is not named) */
};

/* Parses `file`.  -ERR_CONFIG: err_text() holds all messages, one a line (those that find no room are counted), or why the
 * file cannot be read.  *Gives* the conf, which *borrows* the table and the shapes until conf_free(). */
int conf_load(const char *file, const struct conf_table *table, const struct conf_shape *shapes, struct conf **ret_conf);
/* The same from memory; `name` stands for the file in messages. */
int conf_parse(const char *name, const char *text, size_t len, const struct conf_table *table,
    const struct conf_shape *shapes, struct conf **ret_conf);

/* In `conf_table.check`: a mistake at this key of the section, or, without a key, at its head: "what is wrong (what is allowed)". */
void conf_wrong(struct conf_check *check, const struct conf_section *s, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The line of a key, or of the section's head when it is not given; 1 when that is not, either. */
int conf_line(const struct conf *c, const struct conf_section *s, const char *key);

size_t conf_count(const struct conf *c, const char *section);
/* The i-th instance of a section, in file order; NULL past the end. */
const struct conf_section *conf_nth(const struct conf *c, const char *section, size_t i);

/* Calls `each` for every key and, of a list, every item: its section, the value as it would be written, and "file:line" or NULL
 * for a default.  A list that is empty is one call with a NULL value.  Strings are borrowed for the call. */
void conf_each(const struct conf *c,
    void (*each)(const struct conf_section *s, const char *key, const char *value, const char *origin, void *arg), void *arg);
/* Prints every key with its value and, as a comment, where it comes from. */
void conf_show(const struct conf *c, FILE *out);
/* Prints a commented file with every key at its default.  Statements nobody can write for the user begin with "#": keys
 * that have no default, and the whole of a named section, which is an example. */
void conf_generate(const struct conf_table *table, const char *title, FILE *out);

void conf_free(struct conf *c); /* NULL is fine */

#endif
