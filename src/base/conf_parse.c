/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The grammar, line by line, and how every mistake in a file is told at once and in the user's terms. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_private.h"
#include "base/err.h"
#include "base/utf8.h"

#define NAME_BYTES_MAX 255
#define BLANKS " \t"
#define WORD_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
#define MORE_BYTES 64 /* room for the count of the mistakes that found no room */
#define BOM "\xef\xbb\xbf"

/* ---- one line ---- */

enum statement_kind { NOTHING, HEAD, SETTING, BROKEN };

/* The strings point into the line, which is taken apart in place. */
struct statement {
	enum statement_kind kind;
	char *word;        /* section or key; for a broken one, what to call it */
	char *value;       /* of the key; the section's name or NULL */
	const char *wrong; /* of a broken one: "what is wrong (what is allowed)" */
};

static char *
skip_blanks(char *at)
{
	return at + strspn(at, BLANKS);
}

/* True when nothing but blanks and a comment follows. */
static bool
ends_here(char *at)
{
	at = skip_blanks(at);
	return *at == '\0' || *at == '#';
}

static struct statement
broken(char *word, const char *wrong)
{
	return (struct statement){.kind = BROKEN, .word = word, .wrong = wrong};
}

/* The quote that ends the string whose opening quote is at `open`; NULL when there is none. */
static char *
closing_quote(char *open)
{
	for (char *at = open + 1; *at; at++) {
		if (*at == '"')
			return at;
		if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
			at++;
	}
	return NULL;
}

/* Makes the string between two quotes begin where its opening quote was.  Only now: a broken line is shown unchanged. */
static void
unquote(char *open, const char *close)
{
	char *to = open;

	for (const char *from = open + 1; from < close; from++) {
		if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	*to = '\0';
}

static void
cut_comment_and_blanks(char *text)
{
	char *end;

	for (char *hash = strchr(text, '#'); hash; hash = strchr(hash + 1, '#')) {
		if (hash == text || strchr(BLANKS, hash[-1])) {
			*hash = '\0';
			break;
		}
	}
	end = text + strlen(text);
	while (end > text && strchr(BLANKS, end[-1]))
		end--;
	*end = '\0';
}

static struct statement
read_head(char *bracket)
{
	char *word = skip_blanks(bracket + 1), *end = word + strspn(word, WORD_BYTES), *name = NULL, *quote = NULL;
	char *close = skip_blanks(end);

	if (*close == '"') {
		name = close;
		quote = closing_quote(name);
		if (!quote)
			return broken(bracket, "the name has no closing quote ([section] or [section \"name\"])");
		close = skip_blanks(quote + 1);
	}
	if (end == word || name == end || *close != ']' || !ends_here(close + 1))
		return broken(bracket, "not the head of a section ([section] or [section \"name\"])");
	if (name)
		unquote(name, quote);
	*end = '\0';
	return (struct statement){.kind = HEAD, .word = word, .value = name};
}

/* The value in place of the text behind the equals sign.  Returns NULL or what is wrong with it. */
static const char *
read_value(char *value)
{
	char *quote;

	if (*value != '"') {
		cut_comment_and_blanks(value);
		return *value ? NULL : "no value (an empty one is written \"\")";
	}
	quote = closing_quote(value);
	if (!quote)
		return "the value has no closing quote (key = \"value\")";
	if (!ends_here(quote + 1))
		return "text after the closing quote (inside quotes, a quote is written \\\")";
	unquote(value, quote);
	return NULL;
}

static struct statement
read_setting(char *word)
{
	char *end = word + strspn(word, WORD_BYTES), *equals = skip_blanks(end), *value;
	const char *wrong;

	if (end == word)
		return broken(word, "neither a section nor a key ([section] or key = value)");
	if (*equals != '=')
		return broken(word, "no \"=\" after the key (key = value)");
	value = skip_blanks(equals + 1);
	*end = '\0';
	wrong = read_value(value);
	return wrong ? broken(word, wrong) : (struct statement){.kind = SETTING, .word = word, .value = value};
}

static struct statement
read_line(char *line)
{
	char *at = skip_blanks(line);

	if (*at == '\0' || *at == '#')
		return (struct statement){.kind = NOTHING};
	return *at == '[' ? read_head(at) : read_setting(at);
}

/* ---- mistakes ---- */

/* All of them as one text; the ones that find no room are counted. */
struct mistakes {
	char text[ERR_TEXT_MAX + 1];
	size_t len, n, unsaid;
};

struct parser {
	const char *file;
	int line;
	struct conf *conf;
	struct conf_section *current; /* NULL before the first head and below an unknown one */
	bool below_head;
	bool nomem;
	struct mistakes mistakes;
};

/* Adds "file:line: about: what is wrong".  What it is about is the user's text and is made fit to be shown. */
__attribute__((format(printf, 4, 5))) static void
mistake(struct parser *p, int line, const char *about, const char *fmt, ...)
{
	struct mistakes *m = &p->mistakes;
	size_t room = sizeof m->text - MORE_BYTES - m->len;
	char what[1024], shown[CONF_SHOWN];
	va_list args;
	int n;

	va_start(args, fmt);
	vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	conf_text_shown(about, shown);
	n = snprintf(m->text + m->len, room, "%s%s:%d: %s: %s", m->n ? "\n" : "", p->file, line, shown, what);
	m->n++;
	if (n >= 0 && (size_t)n < room) {
		m->len += (size_t)n;
	} else {
		m->text[m->len] = '\0';
		m->unsaid++;
	}
}

struct conf_check {
	struct parser *p;
};

void
conf_wrong(struct conf_check *check, const struct conf_section *s, const char *key, const char *fmt, ...)
{
	char what[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof what, fmt, args);
	va_end(args);
	mistake(check->p, conf_line(check->p->conf, s, key), key ? key : s->name ? s->name : s->section, "%s", what);
}

static int
mistakes_result(struct mistakes *m)
{
	if (m->unsaid)
		snprintf(m->text + m->len, MORE_BYTES, "%s%zu more", m->len ? "\nand " : "mistakes: ", m->unsaid);
	return err_set(ERR_CONFIG, "%s", m->text);
}

/* ---- statements ---- */

static const struct conf_shape *
shape_of(const struct parser *p, const char *section)
{
	const struct conf_shape *shape = p->conf->shapes;

	while (shape->section && strcmp(shape->section, section) != 0)
		shape++;
	return shape->section ? shape : NULL;
}

static const struct conf_key *
key_of(const struct parser *p, const char *section, const char *word)
{
	const struct conf_table *table = p->conf->table;

	for (size_t i = 0; i < table->n_keys; i++) {
		const struct conf_key *key = &table->keys[i];

		if ((!section || strcmp(key->section, section) == 0) && strcmp(key->key, word) == 0)
			return key;
	}
	return NULL;
}

static const struct conf_section *
same_section(const struct parser *p, const char *section, const char *name)
{
	for (size_t i = 0; i < p->conf->n; i++) {
		const struct conf_section *s = p->conf->sections[i];

		if (strcmp(s->section, section) == 0 && strcmp(s->name ? s->name : "", name ? name : "") == 0)
			return s;
	}
	return NULL;
}

static void
unknown_section(struct parser *p, const char *word)
{
	struct conf_nearest nearest = {.wanted = word};

	for (const struct conf_shape *shape = p->conf->shapes; shape->section; shape++)
		conf_nearest_offer(&nearest, shape->section);
	mistake(p, p->line, word, "unknown section (the nearest is \"%s\")", nearest.best ? nearest.best : "");
}

static void
unknown_key(struct parser *p, const char *word)
{
	const char *section = p->current->section;
	const struct conf_key *elsewhere = key_of(p, NULL, word);
	struct conf_nearest nearest = {.wanted = word};

	if (elsewhere) {
		mistake(p, p->line, word, "not a key of [%s] (it belongs to [%s%s])", section, elsewhere->section,
		    elsewhere->named ? " \"name\"" : "");
		return;
	}
	for (size_t i = 0; i < p->conf->table->n_keys; i++)
		if (strcmp(p->conf->table->keys[i].section, section) == 0)
			conf_nearest_offer(&nearest, p->conf->table->keys[i].key);
	mistake(p, p->line, word, "unknown key in [%s] (the nearest is \"%s\")", section, nearest.best ? nearest.best : "");
}

static bool
name_printable(const char *name)
{
	size_t len;

	for (; *name; name += len) {
		len = utf8_printable(name);
		if (len == 0)
			return false;
	}
	return true;
}

static void
check_name(struct parser *p, const struct statement *s)
{
	bool named = conf_is_named(p->conf->table, s->word);

	if (named && (!s->value || !*s->value))
		mistake(p, p->line, s->word, "the section has no name ([%s \"name\"])", s->word);
	else if (!named && s->value)
		mistake(p, p->line, s->word, "the section takes no name ([%s])", s->word);
	else if (s->value && (strlen(s->value) > NAME_BYTES_MAX || !name_printable(s->value)))
		mistake(p, p->line, s->word, "the name is not usable (printable, at most %d bytes)", NAME_BYTES_MAX);
}

/* A head with a mistake still opens its section: the keys below it are checked as well. */
static void
take_head(struct parser *p, const struct statement *s)
{
	const struct conf_shape *shape = shape_of(p, s->word);
	const struct conf_section *earlier;

	p->current = NULL;
	p->below_head = true;
	if (!shape) {
		unknown_section(p, s->word);
		return;
	}
	if (p->conf->n >= CONF_SECTIONS_MAX) {
		mistake(p, p->line, s->word, "too many sections (at most %u)", CONF_SECTIONS_MAX);
		return;
	}
	check_name(p, s);
	earlier = same_section(p, s->word, s->value);
	if (earlier)
		mistake(p, p->line, s->value ? s->value : s->word, "the section [%s] is given twice (first at %s:%d)", s->word,
		    p->file, earlier->line);
	p->current = conf_add(p->conf, shape, s->value, p->line);
	if (!p->current)
		p->nomem = true;
}

static void
take_value(struct parser *p, const struct conf_key *key, const char *text)
{
	char **origin = &p->current->origins[key - p->conf->table->keys];
	int err;

	if (*origin && key->type != CONF_LIST) {
		mistake(p, p->line, key->key, "given twice (only once in a section, first at %s)", *origin);
		return;
	}
	err = conf_value_set(key, text, conf_field(p->current, key));
	if (err == -ERR_CONFIG)
		mistake(p, p->line, key->key, "%s", err_text());
	else if (err)
		p->nomem = true;
	if (!*origin && asprintf(origin, "%s:%d", p->file, p->line) < 0) {
		*origin = NULL;
		p->nomem = true;
	}
}

static void
take_setting(struct parser *p, const struct statement *s)
{
	const struct conf_key *key;

	if (!p->current) {
		if (!p->below_head)
			mistake(p, p->line, s->word, "stands before the first section ([%s])", p->conf->shapes[0].section);
		return;
	}
	key = key_of(p, p->current->section, s->word);
	if (key)
		take_value(p, key, s->value);
	else
		unknown_key(p, s->word);
}

static void
take_line(struct parser *p, char *line)
{
	struct statement s = read_line(line);

	switch (s.kind) {
	case NOTHING:
		break;
	case HEAD:
		take_head(p, &s);
		break;
	case SETTING:
		take_setting(p, &s);
		break;
	case BROKEN:
		mistake(p, p->line, s.word, "%s", s.wrong);
		break;
	}
}

/* ---- the whole file ---- */

static bool
has_control(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
			return true;
	return false;
}

/* `buffer` gets the line, which is taken apart there and needs an end. */
static void
take_bytes(struct parser *p, const char *text, size_t n, char *buffer)
{
	if (n > 0 && text[n - 1] == '\r')
		n--;
	if (n > CONF_LINE_MAX) {
		mistake(p, p->line, "line", "too long (at most %u bytes)", CONF_LINE_MAX);
		return;
	}
	if (has_control(text, n)) {
		mistake(p, p->line, "line", "holds a control byte (text and tabs)");
		return;
	}
	memcpy(buffer, text, n);
	buffer[n] = '\0';
	take_line(p, buffer);
}

static void
take_text(struct parser *p, const char *text, size_t len, char *buffer)
{
	if (len >= sizeof BOM - 1 && memcmp(text, BOM, sizeof BOM - 1) == 0) {
		text += sizeof BOM - 1;
		len -= sizeof BOM - 1;
	}
	while (len > 0 && !p->nomem) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;

		p->line++;
		take_bytes(p, text, n, buffer);
		n += newline != NULL;
		text += n;
		len -= n;
	}
}

static void
imply_sections(struct parser *p)
{
	for (const struct conf_shape *shape = p->conf->shapes; shape->section; shape++) {
		if (!shape->required || conf_is_named(p->conf->table, shape->section) || conf_count(p->conf, shape->section))
			continue;
		if (!conf_add(p->conf, shape, NULL, 0))
			p->nomem = true;
	}
}

static void
missing_key(struct parser *p, const struct conf_section *s, const struct conf_key *key)
{
	char allowed[CONF_ALLOWED], name[CONF_SHOWN];

	conf_value_allowed(key, allowed);
	conf_text_shown(s->name ? s->name : "", name);
	if (s->line == 0) /* the file has no line for it */
		mistake(p, 1, key->key, "missing, and so is its section [%s] (%s)", s->section, allowed);
	else if (s->name)
		mistake(p, s->line, key->key, "missing in [%s \"%s\"] (%s)", s->section, name, allowed);
	else
		mistake(p, s->line, key->key, "missing in [%s] (%s)", s->section, allowed);
}

static void
complete(struct parser *p, const struct conf_section *s)
{
	const struct conf_table *table = p->conf->table;

	for (size_t i = 0; i < table->n_keys; i++) {
		const struct conf_key *key = &table->keys[i];

		if (s->origins[i] || strcmp(key->section, s->section) != 0)
			continue;
		if (!key->fallback)
			missing_key(p, s, key);
		else if (conf_value_fallback(key, conf_field(s, key)) != 0)
			p->nomem = true;
	}
}

static int
parse(struct parser *p, const char *text, size_t len)
{
	char *buffer = malloc(CONF_LINE_MAX + 1);

	if (!buffer)
		return err_set(ERR_NOMEM, "%s: out of memory", p->file);
	take_text(p, text, len, buffer);
	free(buffer);
	imply_sections(p);
	for (size_t i = 0; i < p->conf->n; i++)
		complete(p, p->conf->sections[i]);
	if (!p->nomem && p->conf->table->check)
		p->conf->table->check(p->conf, &(struct conf_check){p});
	if (p->nomem)
		return err_set(ERR_NOMEM, "%s: out of memory", p->file);
	return p->mistakes.n ? mistakes_result(&p->mistakes) : 0;
}

int
conf_parse(const char *name, const char *text, size_t len, const struct conf_table *table, const struct conf_shape *shapes,
    struct conf **ret_conf)
{
	struct parser p = {.file = name};
	int err;

	if (len > CONF_FILE_MAX)
		return err_set(ERR_CONFIG, "%s: too large (at most %u bytes)", name, CONF_FILE_MAX);
	p.conf = conf_new(table, shapes);
	if (!p.conf)
		return err_set(ERR_NOMEM, "%s: out of memory", name);
	err = parse(&p, text, len);
	if (err)
		conf_free(p.conf);
	else
		*ret_conf = p.conf;
	return err;
}
