/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parsed file as a thing to hold: its instances of sections, and how it is read from disk, shown and generated. */
#include <stdlib.h>
#include <string.h>

#include "base/conf_private.h"
#include "base/err.h"

bool
conf_is_named(const struct conf_table *table, const char *section)
{
	for (size_t i = 0; i < table->n_keys; i++)
		if (strcmp(table->keys[i].section, section) == 0)
			return table->keys[i].named;
	return false;
}

/* ---- the parsed file ---- */

struct conf *
conf_new(const struct conf_table *table, const struct conf_shape *shapes)
{
	struct conf *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->table = table;
	c->shapes = shapes;
	return c;
}

static void
section_free(const struct conf_table *table, struct conf_section *s)
{
	for (size_t i = 0; s->values && i < table->n_keys; i++)
		if (strcmp(table->keys[i].section, s->section) == 0)
			conf_value_clear(&table->keys[i], conf_field(s, &table->keys[i]));
	for (size_t i = 0; s->origins && i < table->n_keys; i++)
		free(s->origins[i]);
	free(s->origins);
	free(s->values);
	free(s->name);
	free(s);
}

static struct conf_section *
section_new(const struct conf_table *table, const struct conf_shape *shape, const char *name, int line)
{
	struct conf_section *s = calloc(1, sizeof *s);

	if (!s)
		return NULL;
	s->section = shape->section;
	s->line = line;
	s->values = calloc(1, shape->size);
	s->origins = calloc(table->n_keys, sizeof *s->origins);
	s->name = name ? strdup(name) : NULL;
	if (!s->values || !s->origins || (name && !s->name)) {
		section_free(table, s);
		return NULL;
	}
	return s;
}

struct conf_section *
conf_add(struct conf *c, const struct conf_shape *shape, const char *name, int line)
{
	struct conf_section **grown = realloc(c->sections, (c->n + 1) * sizeof(struct conf_section *));
	struct conf_section *s;

	if (!grown)
		return NULL;
	c->sections = grown;
	s = section_new(c->table, shape, name, line);
	if (s)
		c->sections[c->n++] = s;
	return s;
}

void
conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		section_free(c->table, c->sections[i]);
	free(c->sections);
	free(c);
}

size_t
conf_count(const struct conf *c, const char *section)
{
	size_t count = 0;

	for (size_t i = 0; i < c->n; i++)
		count += strcmp(c->sections[i]->section, section) == 0;
	return count;
}

const struct conf_section *
conf_nth(const struct conf *c, const char *section, size_t i)
{
	for (size_t at = 0; at < c->n; at++)
		if (strcmp(c->sections[at]->section, section) == 0 && i-- == 0)
			return c->sections[at];
	return NULL;
}

int
conf_line(const struct conf *c, const struct conf_section *s, const char *key)
{
	const char *origin = NULL, *colon;

	for (size_t i = 0; key && i < c->table->n_keys; i++)
		if (strcmp(c->table->keys[i].section, s->section) == 0 && strcmp(c->table->keys[i].key, key) == 0)
			origin = s->origins[i];
	colon = origin ? strrchr(origin, ':') : NULL;
	return colon ? atoi(colon + 1) : s->line ? s->line : 1;
}

/* ---- from disk ---- */

/* One byte more than is allowed, so that a file that is too large is seen to be. */
static int
read_whole(const char *file, char *buffer, size_t *ret_len)
{
	FILE *in = fopen(file, "re");
	size_t len;
	int err = 0;

	if (!in) {
		err_sys("%s: cannot be read", file);
		return -ERR_CONFIG; /* to the caller it is a file to be put right, whatever the system says of it */
	}
	len = fread(buffer, 1, CONF_FILE_MAX + 1, in);
	if (ferror(in)) {
		err_sys("%s: cannot be read", file);
		err = -ERR_CONFIG;
	} else {
		*ret_len = len;
	}
	fclose(in);
	return err;
}

int
conf_load(const char *file, const struct conf_table *table, const struct conf_shape *shapes, struct conf **ret_conf)
{
	char *buffer = malloc(CONF_FILE_MAX + 1);
	size_t len = 0;
	int err;

	if (!buffer)
		return err_set(ERR_NOMEM, "%s: out of memory", file);
	err = read_whole(file, buffer, &len);
	if (err == 0)
		err = conf_parse(file, buffer, len, table, shapes, ret_conf);
	free(buffer);
	return err;
}

/* ---- showing ---- */

static void
print_head(const char *section, const char *name, FILE *out)
{
	fprintf(out, "[%s", section);
	if (name) {
		fputc(' ', out);
		conf_text_print(name, true, out);
	}
	fputs("]\n", out);
}

static void
show_key(const struct conf_section *s, const struct conf_key *key, const char *origin, FILE *out)
{
	const void *field = conf_field(s, key);
	size_t n = conf_value_count(key, field);

	if (n == 0)
		fprintf(out, "#%s =  # default\n", key->key);
	for (size_t i = 0; i < n; i++) {
		fprintf(out, "%s = ", key->key);
		conf_value_print(key, field, i, out);
		fprintf(out, "  # %s\n", origin ? origin : "default");
	}
}

static void
tell_key(const struct conf_section *s, const struct conf_key *key, const char *origin,
    void (*each)(const struct conf_section *s, const char *key, const char *value, const char *origin, void *arg), void *arg)
{
	const void *field = conf_field(s, key);
	size_t n = conf_value_count(key, field);

	if (n == 0)
		each(s, key->key, NULL, origin, arg);
	for (size_t i = 0; i < n; i++) {
		char *value = NULL;
		size_t len;
		FILE *out = open_memstream(&value, &len);

		if (out) {
			conf_value_print(key, field, i, out);
			fclose(out);
		}
		each(s, key->key, value, origin, arg);
		free(value);
	}
}

void
conf_each(const struct conf *c,
    void (*each)(const struct conf_section *s, const char *key, const char *value, const char *origin, void *arg), void *arg)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; k < c->table->n_keys; k++)
			if (strcmp(c->table->keys[k].section, c->sections[i]->section) == 0)
				tell_key(c->sections[i], &c->table->keys[k], c->sections[i]->origins[k], each, arg);
}

void
conf_show(const struct conf *c, FILE *out)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct conf_section *s = c->sections[i];

		if (i > 0)
			fputc('\n', out);
		print_head(s->section, s->name, out);
		for (size_t k = 0; k < c->table->n_keys; k++)
			if (strcmp(c->table->keys[k].section, s->section) == 0)
				show_key(s, &c->table->keys[k], s->origins[k], out);
	}
}

/* ---- generating ---- */

static bool
has_default(const struct conf_key *key)
{
	return key->fallback && !(key->type == CONF_LIST && *key->fallback == '\0');
}

static void
generate_key(const struct conf_key *key, FILE *out)
{
	char allowed[CONF_ALLOWED];

	conf_value_allowed(key, allowed);
	fprintf(out, "\n");
	if (key->help)
		fprintf(out, "# %s\n", key->help);
	fprintf(out, "# (%s%s%s)\n", allowed, key->fallback ? "" : "; must be given", key->reload ? "; obeyed on reload" : "");
	fprintf(out, "%s%s =", key->named || !has_default(key) ? "#" : "", key->key);
	if (has_default(key)) {
		fputc(' ', out);
		conf_text_print(key->fallback, false, out);
	}
	fputc('\n', out);
}

static void
generate_section(const struct conf_table *table, const struct conf_key *first, FILE *out)
{
	if (first->named)
		fprintf(out, "\n#[%s \"name\"]\n", first->section);
	else
		fprintf(out, "\n[%s]\n", first->section);
	for (const struct conf_key *key = first; key < table->keys + table->n_keys; key++)
		if (strcmp(key->section, first->section) == 0)
			generate_key(key, out);
}

static bool
begins_section(const struct conf_table *table, size_t i)
{
	for (size_t earlier = 0; earlier < i; earlier++)
		if (strcmp(table->keys[earlier].section, table->keys[i].section) == 0)
			return false;
	return true;
}

void
conf_generate(const struct conf_table *table, const char *title, FILE *out)
{
	fprintf(out, "# %s\n", title);
	fprintf(out, "#\n# Every key stands at its default.  A \"#\" directly before a key or a section marks what only you\n"
	             "# can fill in.\n");
	for (size_t i = 0; i < table->n_keys; i++)
		if (begins_section(table, i))
			generate_section(table, &table->keys[i], out);
}
