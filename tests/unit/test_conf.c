/* SPDX-License-Identifier: GPL-2.0-or-later */
/* conf - a right file gives its values, a wrong one all of its mistakes, and no file at all can crash us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "tests/lib/scratch.h"

#define SEED 20260213u
#define MUTATIONS 20000

/* ---- a table of every type ---- */

struct main_values {
	char *listen;
	char *store;
	int64_t workers;
	uint64_t memory;
	int64_t wait_ms;
	bool verbose;
	int level;
	struct conf_list extra;
};

struct profile_values {
	char *path;
	struct conf_list schedule;
	uint64_t bandwidth;
};

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};

static const char *
check_absolute(const char *value)
{
	return value[0] == '/' ? NULL : "is not an absolute path";
}

#define MAIN(field) .section = "server", .key = #field, .offset = offsetof(struct main_values, field)
#define PROFILE(field) .section = "profile", .named = true, .key = #field, .offset = offsetof(struct profile_values, field)
static const struct conf_key keys[] = {
	{MAIN(listen), .type = CONF_STRING, .fallback = "[::]:7460", .help = "where collectors call"},
	{MAIN(store), .type = CONF_STRING, .fallback = "/var/lib/a \"b\" #c", .check = check_absolute},
	{MAIN(workers), .type = CONF_INT, .fallback = "4", .min = 1, .max = 64, .reload = true},
	{MAIN(memory), .type = CONF_SIZE, .fallback = "64M", .min = 1 << 20, .max = INT64_MAX},
	{MAIN(wait_ms), .type = CONF_DURATION, .fallback = "90s", .min = 500, .max = 86400000},
	{MAIN(verbose), .type = CONF_BOOL, .fallback = "off"},
	{MAIN(level), .type = CONF_ENUM, .fallback = "info", .words = levels},
	{MAIN(extra), .type = CONF_LIST, .fallback = ""},
	{PROFILE(path), .type = CONF_STRING, .check = check_absolute},
	{PROFILE(schedule), .type = CONF_LIST, .fallback = "22:00"},
	{PROFILE(bandwidth), .type = CONF_SIZE, .fallback = "unlimited"},
};
static const struct conf_table table = {.keys = keys, .n_keys = sizeof keys / sizeof *keys};
static const struct conf_shape shapes[] = {
	{"server", sizeof(struct main_values), true},
	{"profile", sizeof(struct profile_values), false},
	{0},
};

static int
parse(const char *text, struct conf **ret_conf)
{
	return conf_parse("t.conf", text, strlen(text), &table, shapes, ret_conf);
}

static struct conf *
parsed(const char *text)
{
	struct conf *c = NULL;

	if (parse(text, &c) != 0)
		fail_msg("refused: %s", err_text());
	return c;
}

static const struct main_values *
main_of(const struct conf *c)
{
	assert_int_equal(conf_count(c, "server"), 1);
	return conf_nth(c, "server", 0)->values;
}

/* The whole of what the user is told. */
static void
assert_mistakes(const char *text, const char *told)
{
	struct conf *c = NULL;

	assert_int_equal(parse(text, &c), -ERR_CONFIG);
	assert_null(c);
	assert_string_equal(err_text(), told);
}

/* One line of [server], one mistake. */
static void
assert_mistake(const char *line, const char *told)
{
	char text[512], expected[1024];

	snprintf(text, sizeof text, "[server]\n%s\n", line);
	snprintf(expected, sizeof expected, "t.conf:2: %s", told);
	assert_mistakes(text, expected);
}

/* ---- right files ---- */

static void
every_type_reaches_its_field(void **state)
{
	struct conf *c = parsed("[server]\n"
	                        "listen = 10.0.0.1:99\n"
	                        "store=/srv/gw\n"
	                        "  workers\t=  7  \n"
	                        "memory = 3G\n"
	                        "wait_ms = 5m\n"
	                        "verbose = true\n"
	                        "level = debug\n"
	                        "extra = one\n"
	                        "extra = two\n");
	const struct main_values *v = main_of(c);

	(void)state;
	assert_string_equal(v->listen, "10.0.0.1:99");
	assert_string_equal(v->store, "/srv/gw");
	assert_int_equal(v->workers, 7);
	assert_int_equal(v->memory, UINT64_C(3) << 30);
	assert_int_equal(v->wait_ms, 300000);
	assert_true(v->verbose);
	assert_int_equal(v->level, 3);
	assert_int_equal(v->extra.n, 2);
	assert_string_equal(v->extra.items[0], "one");
	assert_string_equal(v->extra.items[1], "two");
	conf_free(c);
}

static void
an_empty_file_is_all_defaults(void **state)
{
	struct conf *c = parsed("");
	const struct main_values *v = main_of(c);

	(void)state;
	assert_string_equal(v->listen, "[::]:7460");
	assert_int_equal(v->workers, 4);
	assert_int_equal(v->memory, 64u << 20);
	assert_int_equal(v->wait_ms, 90000);
	assert_false(v->verbose);
	assert_int_equal(v->level, 2);
	assert_int_equal(v->extra.n, 0);
	assert_int_equal(conf_nth(c, "server", 0)->line, 0);
	assert_int_equal(conf_count(c, "profile"), 0);
	assert_null(conf_nth(c, "profile", 0));
	conf_free(c);
}

static void
named_sections_keep_their_order_names_and_lines(void **state)
{
	struct conf *c = parsed("[profile \"po2\"]\npath = /b\n\n[server]\n[ profile  \"po 1\" ]  # the old one\npath = /a\nschedule = 01:00\n");
	const struct conf_section *first = conf_nth(c, "profile", 0), *second = conf_nth(c, "profile", 1);

	(void)state;
	assert_int_equal(conf_count(c, "profile"), 2);
	assert_null(conf_nth(c, "profile", 2));
	assert_string_equal(first->name, "po2");
	assert_int_equal(first->line, 1);
	assert_string_equal(((struct profile_values *)first->values)->path, "/b");
	assert_string_equal(((struct profile_values *)first->values)->schedule.items[0], "22:00");
	assert_string_equal(second->name, "po 1");
	assert_int_equal(second->line, 5);
	assert_int_equal(((struct profile_values *)second->values)->schedule.n, 1);
	assert_string_equal(((struct profile_values *)second->values)->schedule.items[0], "01:00");
	conf_free(c);
}

static void
the_origin_of_a_value_is_its_line_or_nothing(void **state)
{
	struct conf *c = parsed("# head\n[server]\n\nworkers = 2\nextra = a\nextra = b\n");
	const struct conf_section *s = conf_nth(c, "server", 0);

	(void)state;
	assert_null(s->origins[0]);
	assert_string_equal(s->origins[2], "t.conf:4");
	assert_string_equal(s->origins[7], "t.conf:5");
	conf_free(c);
}

static void
a_hash_is_a_comment_only_at_the_start_or_after_white_space(void **state)
{
	static const struct {
		const char *written, *value;
	} rows[] = {
		{"a#b", "a#b"},
		{"a #b", "a"},
		{"a\t# b", "a"},
		{"a#b # c", "a#b"},
		{"\"a #b\"", "a #b"},
		{"\"a #b\" # c", "a #b"},
		{"\" a \"", " a "},
		{"\"\"", ""},
		{"\"say \\\"x\\\" and \\\\ \\n\"", "say \"x\" and \\ \\n"},
		{"sh -c \"x\"", "sh -c \"x\""},
		{"C:\\dir\\", "C:\\dir\\"},
		{"a = b", "a = b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[128];
		struct conf *c;

		snprintf(text, sizeof text, "  # comment = 1\n[server] # c\nlisten = %s\n", rows[i].written);
		c = parsed(text);
		assert_string_equal(main_of(c)->listen, rows[i].value);
		conf_free(c);
	}
}

static void
lines_may_end_as_windows_ends_them_and_the_last_not_at_all(void **state)
{
	struct conf *c = parsed("\xef\xbb\xbf[server]\r\nlisten = a\r\n\r\nstore = \"/b\"\r\nworkers = 9");

	(void)state;
	assert_string_equal(main_of(c)->listen, "a");
	assert_string_equal(main_of(c)->store, "/b");
	assert_int_equal(main_of(c)->workers, 9);
	conf_free(c);
}

static void
sizes_and_durations_know_their_units(void **state)
{
	static const struct {
		const char *memory;
		uint64_t bytes;
		const char *wait;
		int64_t ms;
	} rows[] = {
		{"1048576", 1048576, "500ms", 500},
		{"1024K", 1048576, "1s", 1000},
		{"20M", 20u << 20, "10m", 600000},
		{"1G", 1u << 30, "24h", 86400000},
		{"2T", UINT64_C(2) << 40, "1d", 86400000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char text[128];
		struct conf *c;

		snprintf(text, sizeof text, "[server]\nmemory = %s\nwait_ms = %s\n", rows[i].memory, rows[i].wait);
		c = parsed(text);
		assert_int_equal(main_of(c)->memory, rows[i].bytes);
		assert_int_equal(main_of(c)->wait_ms, rows[i].ms);
		conf_free(c);
	}
}

static void
unlimited_is_zero_where_zero_is_allowed(void **state)
{
	struct conf *c = parsed("[profile \"a\"]\npath = /a\nbandwidth = 5K\n[profile \"b\"]\npath = /b\nbandwidth = unlimited\n");

	(void)state;
	assert_int_equal(((struct profile_values *)conf_nth(c, "profile", 0)->values)->bandwidth, 5120);
	assert_int_equal(((struct profile_values *)conf_nth(c, "profile", 1)->values)->bandwidth, 0);
	conf_free(c);
	assert_mistake("memory = unlimited", "memory: \"unlimited\" is not a size (bytes, or with K, M, G or T: 1M or more)");
}

static void
the_longest_line_and_the_largest_file_are_exact(void **state)
{
	static char text[1024 * 1024 + 2];
	const size_t start = sizeof "[server]\n" - 1;
	struct conf *c;

	(void)state;
	strcpy(text, "[server]\nlisten = ");
	memset(text + strlen(text), 'x', 64 * 1024 - (sizeof "listen = " - 1));
	assert_int_equal(strlen(text), start + 64 * 1024);
	c = parsed(text);
	assert_int_equal(strlen(main_of(c)->listen), 64 * 1024 - (sizeof "listen = " - 1));
	conf_free(c);
	strcat(text, "x");
	assert_mistakes(text, "t.conf:2: line: too long (at most 65536 bytes)");

	memset(text, '\n', sizeof text);
	assert_int_equal(conf_parse("t.conf", text, 1024 * 1024, &table, shapes, &c), 0);
	conf_free(c);
	assert_int_equal(conf_parse("t.conf", text, 1024 * 1024 + 1, &table, shapes, &c), -ERR_CONFIG);
	assert_string_equal(err_text(), "t.conf: too large (at most 1048576 bytes)");
}

/* ---- wrong files ---- */

static void
a_value_of_the_wrong_kind_is_told_with_what_is_allowed(void **state)
{
	(void)state;
	assert_mistake("workers = 0", "workers: \"0\" is too small (a whole number: 1 to 64)");
	assert_mistake("workers = 65", "workers: \"65\" is too large (a whole number: 1 to 64)");
	assert_mistake("workers = -1", "workers: \"-1\" is too small (a whole number: 1 to 64)");
	assert_mistake("workers = 4x", "workers: \"4x\" is not a number (a whole number: 1 to 64)");
	assert_mistake("workers = 99999999999999999999", "workers: \"99999999999999999999\" is not a number (a whole number: 1 to 64)");
	assert_mistake("memory = 64", "memory: \"64\" is too small (bytes, or with K, M, G or T: 1M or more)");
	assert_mistake("memory = 1KB", "memory: \"1KB\" is not a size (bytes, or with K, M, G or T: 1M or more)");
	assert_mistake("memory = -1M", "memory: \"-1M\" is not a size (bytes, or with K, M, G or T: 1M or more)");
	assert_mistake("memory = 99999999T", "memory: \"99999999T\" is not a size (bytes, or with K, M, G or T: 1M or more)");
	assert_mistake("wait_ms = 30", "wait_ms: \"30\" is not a duration (a number with ms, s, m, h or d: 500ms to 1d)");
	assert_mistake("wait_ms = 2d", "wait_ms: \"2d\" is too large (a number with ms, s, m, h or d: 500ms to 1d)");
	assert_mistake("wait_ms = 0", "wait_ms: \"0\" is too small (a number with ms, s, m, h or d: 500ms to 1d)");
	assert_mistake("verbose = yse", "verbose: \"yse\" is unknown, the nearest is \"yes\" (yes or no)");
	assert_mistake("level = inof", "level: \"inof\" is unknown, the nearest is \"info\" (error, warn, info or debug)");
	assert_mistake("store = rel", "store: \"rel\" is not an absolute path (text)");
}

static void
an_unknown_key_names_the_nearest_or_where_it_belongs(void **state)
{
	(void)state;
	assert_mistake("lsiten = a", "lsiten: unknown key in [server] (the nearest is \"listen\")");
	assert_mistake("Workers = 3", "Workers: unknown key in [server] (the nearest is \"workers\")");
	assert_mistake("path = /a", "path: not a key of [server] (it belongs to [profile \"name\"])");
}

static void
an_unknown_section_names_the_nearest_and_its_keys_are_not_blamed(void **state)
{
	(void)state;
	assert_mistakes("[profiel \"a\"]\npath = /a\nnonsense = 1\n", "t.conf:1: profiel: unknown section (the nearest is \"profile\")");
}

static void
a_line_that_is_no_statement_says_what_one_looks_like(void **state)
{
	(void)state;
	assert_mistake("listen", "listen: no \"=\" after the key (key = value)");
	assert_mistake("listen 5", "listen 5: no \"=\" after the key (key = value)");
	assert_mistake("listen =", "listen: no value (an empty one is written \"\")");
	assert_mistake("listen = # x", "listen: no value (an empty one is written \"\")");
	assert_mistake("listen = \"a", "listen: the value has no closing quote (key = \"value\")");
	assert_mistake("listen = \"a\\\"", "listen: the value has no closing quote (key = \"value\")");
	assert_mistake("listen = \"a\" b", "listen: text after the closing quote (inside quotes, a quote is written \\\")");
	assert_mistake("!?", "!?: neither a section nor a key ([section] or key = value)");
	assert_mistake("= a", "= a: neither a section nor a key ([section] or key = value)");
	assert_mistake("[profile \"a]", "[profile \"a]: the name has no closing quote ([section] or [section \"name\"])");
	assert_mistake("[profile a]", "[profile a]: not the head of a section ([section] or [section \"name\"])");
	assert_mistake("[profile\"a\"]", "[profile\"a\"]: not the head of a section ([section] or [section \"name\"])");
	assert_mistake("[profile \"a\"", "[profile \"a\": not the head of a section ([section] or [section \"name\"])");
	assert_mistake("[]", "[]: not the head of a section ([section] or [section \"name\"])");
	assert_mistake("listen = a\x01", "line: holds a control byte (text and tabs)");
}

static void
a_name_is_given_exactly_where_it_is_wanted(void **state)
{
	(void)state;
	assert_mistakes("[server \"x\"]\n", "t.conf:1: server: the section takes no name ([server])");
	assert_mistakes("[profile]\npath = /a\n", "t.conf:1: profile: the section has no name ([profile \"name\"])");
	assert_mistakes("[profile \"\"]\npath = /a\n", "t.conf:1: profile: the section has no name ([profile \"name\"])");
	assert_mistakes("[profile \"\xff\"]\npath = /a\n", "t.conf:1: profile: the name is not usable (printable, at most 255 bytes)");
}

static void
a_key_before_the_first_section_is_a_mistake(void **state)
{
	(void)state;
	assert_mistakes("listen = a\n[server]\n", "t.conf:1: listen: stands before the first section ([server])");
}

static void
what_is_given_twice_is_told_with_both_lines(void **state)
{
	(void)state;
	assert_mistakes("[server]\nlisten = a\n\nlisten = b\n",
	    "t.conf:4: listen: given twice (only once in a section, first at t.conf:2)");
	assert_mistakes("[profile \"a\"]\npath = /a\n[server]\n[profile \"a\"]\npath = /a\n",
	    "t.conf:4: a: the section [profile] is given twice (first at t.conf:1)");
	assert_mistakes("[server]\n[server]\n", "t.conf:2: server: the section [server] is given twice (first at t.conf:1)");
}

static void
a_missing_key_is_told_at_the_head_of_its_section(void **state)
{
	static const struct conf_key needed = {MAIN(listen), .type = CONF_STRING};
	static const struct conf_table small = {.keys = &needed, .n_keys = 1};
	struct conf *c;

	(void)state;
	assert_mistakes("\n\n[profile \"a\"]\nbandwidth = 1M\n", "t.conf:3: path: missing in [profile \"a\"] (text)");
	assert_int_equal(conf_parse("t.conf", "", 0, &small, shapes, &c), -ERR_CONFIG);
	assert_string_equal(err_text(), "t.conf:1: listen: missing, and so is its section [server] (text)");
}

static void
a_wrong_value_is_not_missing_as_well(void **state)
{
	(void)state;
	assert_mistakes("[profile \"a\"]\npath = a\n", "t.conf:2: path: \"a\" is not an absolute path (text)");
}

static void
all_mistakes_are_told_at_once(void **state)
{
	(void)state;
	assert_mistakes("[server]\n"
	                "workers = many\n"
	                "lisen = x\n"
	                "[profile \"a\"]\n"
	                "[profile \"a\"]\n"
	                "path = /a\n"
	                "[nothing]\n"
	                "key = 1\n"
	                "???\n",
	    "t.conf:2: workers: \"many\" is not a number (a whole number: 1 to 64)\n"
	    "t.conf:3: lisen: unknown key in [server] (the nearest is \"listen\")\n"
	    "t.conf:5: a: the section [profile] is given twice (first at t.conf:4)\n"
	    "t.conf:7: nothing: unknown section (the nearest is \"profile\")\n"
	    "t.conf:9: ???: neither a section nor a key ([section] or key = value)\n"
	    "t.conf:4: path: missing in [profile \"a\"] (text)");
}

static void
mistakes_that_find_no_room_are_counted(void **state)
{
	static char text[64 * 1024] = "[server]\n";
	struct conf *c;
	size_t told = 1, more = 0;

	(void)state;
	for (int i = 0; i < 2000; i++)
		strcat(text, "nonsense = 1\n");
	assert_int_equal(parse(text, &c), -ERR_CONFIG);
	for (const char *at = err_text(); (at = strchr(at, '\n')); at++)
		told++;
	assert_int_equal(sscanf(strrchr(err_text(), '\n'), "\nand %zu more", &more), 1);
	assert_int_equal(told - 1 + more, 2000);
	assert_true(told > 50);
}

static void
the_users_text_cannot_forge_a_message(void **state)
{
	(void)state;
	assert_mistake("level = \xff\xe2\x80\xae", "level: \"\\xff\\xe2\\x80\\xae\" is unknown, the nearest is \"warn\" "
	                                           "(error, warn, info or debug)");
	assert_mistake("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: no \"=\" after the key (key = value)");
}

static void
sections_without_end_are_refused(void **state)
{
	static char text[256 * 1024];
	size_t len = 0;
	struct conf *c;

	(void)state;
	for (int i = 0; i < 4097; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "[profile \"%d\"]\npath = /\n", i);
	assert_mistakes(text, "t.conf:8193: profile: too many sections (at most 4096)");
	*strstr(text, "[profile \"4096\"]") = '\0';
	c = parsed(text);
	assert_int_equal(conf_count(c, "profile"), 4096);
	conf_free(c);
}

/* ---- showing and generating ---- */

static char *
shown(const struct conf *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	conf_show(c, out);
	fclose(out);
	return text;
}

static char *
generated(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	conf_generate(&table, "The server of a test", out);
	fclose(out);
	return text;
}

static void
showing_tells_every_value_and_where_it_comes_from(void **state)
{
	struct conf *c = parsed("[server]\nmemory = 1536K\nextra = \" x\"\nextra = y\nverbose = on\n[profile \"a \\\"b\\\"\"]\npath = /p\n");
	char *text = shown(c);

	(void)state;
	assert_string_equal(text, "[server]\n"
	                          "listen = [::]:7460  # default\n"
	                          "store = \"/var/lib/a \\\"b\\\" #c\"  # default\n"
	                          "workers = 4  # default\n"
	                          "memory = 1536K  # t.conf:2\n"
	                          "wait_ms = 90s  # default\n"
	                          "verbose = yes  # t.conf:5\n"
	                          "level = info  # default\n"
	                          "extra = \" x\"  # t.conf:3\n"
	                          "extra = y  # t.conf:3\n"
	                          "\n"
	                          "[profile \"a \\\"b\\\"\"]\n"
	                          "path = /p  # t.conf:7\n"
	                          "schedule = 22:00  # default\n"
	                          "bandwidth = unlimited  # default\n");
	free(text);
	conf_free(c);
}

/* What conf_show prints, without the comment that ends every line and tells the origin. */
static char *
values_of(const struct conf *c)
{
	char *text = shown(c), *to = text;

	for (char *line = text; *line;) {
		size_t len = strcspn(line, "\n"), keep = len;

		for (size_t i = 0; i + 4 <= len; i++)
			if (strncmp(line + i, "  # ", 4) == 0)
				keep = i;
		memmove(to, line, keep);
		to += keep;
		*to++ = '\n';
		line += len + 1;
	}
	*to = '\0';
	return text;
}

static void
the_generated_file_gives_all_defaults(void **state)
{
	char *text = generated();
	struct conf *empty = parsed(""), *c = parsed(text);
	char *expected = values_of(empty), *values = values_of(c);
	const struct conf_section *s = conf_nth(c, "server", 0);

	(void)state;
	assert_string_equal(values, expected);
	for (size_t i = 0; i < table.n_keys; i++) /* by being written, not by being left out */
		assert_int_equal(s->origins[i] != NULL, strcmp(keys[i].section, "server") == 0 && *keys[i].fallback);
	free(expected);
	free(values);
	free(text);
	conf_free(empty);
	conf_free(c);
}

static void
the_generated_file_becomes_whole_by_taking_hashes_away(void **state)
{
	char *text = generated(), *to = text;
	struct conf *c;

	(void)state;
	for (char *at = text; *at;) {
		if (*at == '#' && at[1] != ' ' && at[1] != '\n' && (at == text || at[-1] == '\n'))
			at++;
		*to++ = *at++;
	}
	*to = '\0';
	assert_non_null(strstr(text, "\npath =\n"));
	memcpy(strstr(text, "\npath =\n") + 1, "path=/\n", 7);
	assert_non_null(strstr(text, "\nextra =\n"));
	memcpy(strstr(text, "\nextra =\n") + 1, "extra=e\n", 8);
	c = parsed(text);
	assert_int_equal(conf_count(c, "profile"), 1);
	assert_string_equal(conf_nth(c, "profile", 0)->name, "name");
	assert_string_equal(((struct profile_values *)conf_nth(c, "profile", 0)->values)->schedule.items[0], "22:00");
	free(text);
	conf_free(c);
}

static void
the_generated_file_explains_itself(void **state)
{
	char *text = generated();

	(void)state;
	assert_ptr_equal(strstr(text, "# The server of a test\n"), text);
	assert_non_null(strstr(text, "\n# where collectors call\n# (text)\nlisten = [::]:7460\n"));
	assert_non_null(strstr(text, "\n# (a whole number: 1 to 64; obeyed on reload)\nworkers = 4\n"));
	assert_non_null(strstr(text, "\n# (text; must be given)\n#path =\n"));
	free(text);
}

/* ---- from disk ---- */

static void
a_file_is_read_and_named_in_its_messages(void **state)
{
	char file[256], expected[1024];
	struct scratch scratch;
	struct conf *c;
	int fd;

	(void)state;
	scratch_open(&scratch);
	fd = open(scratch_path(&scratch, "t.conf", file), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "[server]\nworkers = 3\n", 21), 21);
	assert_int_equal(conf_load(file, &table, shapes, &c), 0);
	assert_int_equal(main_of(c)->workers, 3);
	conf_free(c);
	assert_int_equal(write(fd, "workers = 3\n", 12), 12);
	assert_int_equal(conf_load(file, &table, shapes, &c), -ERR_CONFIG);
	snprintf(expected, sizeof expected, "%s:3: workers: given twice (only once in a section, first at %s:2)", file, file);
	assert_string_equal(err_text(), expected);
	assert_int_equal(ftruncate(fd, 1024 * 1024 + 1), 0);
	assert_int_equal(conf_load(file, &table, shapes, &c), -ERR_CONFIG);
	assert_non_null(strstr(err_text(), "too large"));
	close(fd);
	scratch_close(&scratch);
}

static void
a_file_that_cannot_be_read_says_why(void **state)
{
	struct conf *c;

	(void)state;
	assert_int_equal(conf_load("/nowhere/t.conf", &table, shapes, &c), -ERR_CONFIG);
	assert_string_equal(err_text(), "/nowhere/t.conf: cannot be read: No such file or directory");
	assert_int_equal(conf_load("/", &table, shapes, &c), -ERR_CONFIG);
	assert_string_equal(err_text(), "/: cannot be read: Is a directory");
}

/* ---- mutations ---- */

static const char original[] =
    "# a file\n[server]\nlisten = \"[::]:1 # x\"\nstore = /srv\nworkers = 7\nmemory = 20M\nwait_ms = 30s\nverbose = yes\n"
    "level = warn # c\nextra = a\nextra = \"b \\\" \\\\\"\n\n[profile \"po1\"]\npath = /po1\nschedule = 22:00\nbandwidth = 1M\n"
    "[profile \"po2\"]\r\npath = /po2\r\n";

struct text {
	char bytes[2048];
	size_t len;
};

/* One change: a byte replaced, a piece removed, or a piece written over another. */
static void
mutate(struct text *t, unsigned *seed)
{
	static const char favourites[] = "\n\r\"\\#=[] \t0K9-\xff";
	size_t at = (size_t)rand_r(seed) % t->len, from = (size_t)rand_r(seed) % t->len;
	size_t n = (size_t)rand_r(seed) % 40;

	n = n > t->len - at ? t->len - at : n;
	n = n > t->len - from ? t->len - from : n;
	switch (rand_r(seed) % 4) {
	case 0:
		t->bytes[at] = (char)rand_r(seed);
		break;
	case 1:
		t->bytes[at] = favourites[(size_t)rand_r(seed) % sizeof favourites];
		break;
	case 2:
		if (n < t->len) {
			memmove(t->bytes + at, t->bytes + at + n, t->len - at - n);
			t->len -= n;
		}
		break;
	default:
		memmove(t->bytes + at, t->bytes + from, n);
		break;
	}
}

/* What was accepted must mean the same after it was shown. */
static void
assert_stable(const struct conf *c)
{
	char *once = values_of(c), *twice;
	struct conf *again = parsed(once);

	twice = values_of(again);
	assert_string_equal(once, twice);
	free(once);
	free(twice);
	conf_free(again);
}

static void
mutated_files_are_refused_or_mean_what_they_show(void **state)
{
	unsigned seed = SEED;
	int accepted = 0;

	(void)state;
	print_message("# seed %u\n", seed);
	for (int round = 0; round < MUTATIONS; round++) {
		struct text t = {.len = sizeof original - 1};
		char *exact;
		struct conf *c = NULL;
		int err;

		memcpy(t.bytes, original, t.len);
		for (int i = rand_r(&seed) % 3; i >= 0; i--)
			mutate(&t, &seed);
		exact = malloc(t.len); /* so that a sanitizer sees a byte too many */
		assert_non_null(exact);
		memcpy(exact, t.bytes, t.len);
		err = conf_parse("t.conf", exact, t.len, &table, shapes, &c);
		free(exact);
		assert_true(err == 0 || (err == -ERR_CONFIG && *err_text()));
		if (err == 0) {
			accepted++;
			assert_stable(c);
			conf_free(c);
		}
	}
	assert_in_range(accepted, MUTATIONS / 20, MUTATIONS - MUTATIONS / 20); /* both ends are exercised */
}

int
main(void)
{
#define T(test) cmocka_unit_test(test)
	const struct CMUnitTest tests[] = {
		T(every_type_reaches_its_field),
		T(an_empty_file_is_all_defaults),
		T(named_sections_keep_their_order_names_and_lines),
		T(the_origin_of_a_value_is_its_line_or_nothing),
		T(a_hash_is_a_comment_only_at_the_start_or_after_white_space),
		T(lines_may_end_as_windows_ends_them_and_the_last_not_at_all),
		T(sizes_and_durations_know_their_units),
		T(unlimited_is_zero_where_zero_is_allowed),
		T(the_longest_line_and_the_largest_file_are_exact),
		T(a_value_of_the_wrong_kind_is_told_with_what_is_allowed),
		T(an_unknown_key_names_the_nearest_or_where_it_belongs),
		T(an_unknown_section_names_the_nearest_and_its_keys_are_not_blamed),
		T(a_line_that_is_no_statement_says_what_one_looks_like),
		T(a_name_is_given_exactly_where_it_is_wanted),
		T(a_key_before_the_first_section_is_a_mistake),
		T(what_is_given_twice_is_told_with_both_lines),
		T(a_missing_key_is_told_at_the_head_of_its_section),
		T(a_wrong_value_is_not_missing_as_well),
		T(all_mistakes_are_told_at_once),
		T(mistakes_that_find_no_room_are_counted),
		T(the_users_text_cannot_forge_a_message),
		T(sections_without_end_are_refused),
		T(showing_tells_every_value_and_where_it_comes_from),
		T(the_generated_file_gives_all_defaults),
		T(the_generated_file_becomes_whole_by_taking_hashes_away),
		T(the_generated_file_explains_itself),
		T(a_file_is_read_and_named_in_its_messages),
		T(a_file_that_cannot_be_read_says_why),
		T(mutated_files_are_refused_or_mean_what_they_show),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
