/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shellwords - compared with what a shell makes of the same line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "collector/shellwords.h"

/* The words with "|" after each. */
static const char *
words(const char *line)
{
	static char text[512];
	char **w;
	size_t n, len = 0;

	if (shellwords_split(line, 2, &w, &n) != 0)
		return "error";
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof text - len, "%s|", w[i]);
	assert_null(w[n]);
	w[n] = strdup("spare");
	w[n + 1] = strdup("spare");
	assert_null(w[n + 2]);
	shellwords_free(w);
	return text;
}

static void
blanks_divide_words(void **state)
{
	(void)state;
	assert_string_equal(words("/bin/dbcopy -v  -t\t4 "), "/bin/dbcopy|-v|-t|4|");
	assert_string_equal(words(" a b c"), "a|b|c|");
	assert_string_equal(words("a"), "a|");
}

static void
quotes_keep_blanks_and_may_stand_within_a_word(void **state)
{
	(void)state;
	assert_string_equal(words("a 'b c' \"d e\""), "a|b c|d e|");
	assert_string_equal(words("--x='b c'd"), "--x=b cd|");
	assert_string_equal(words("\"it's\" 'say \"x\"'"), "it's|say \"x\"|");
	assert_string_equal(words("'' \"\" x"), "||x|");
	assert_string_equal(words("''''"), "|");
}

static void
a_backslash_takes_the_next_as_it_is(void **state)
{
	(void)state;
	assert_string_equal(words("a\\ b \\'c \"q\\\"q\""), "a b|'c|q\"q|");
	assert_string_equal(words("'a\\b'"), "a\\b|");
	assert_string_equal(words("end\\"), "end\\|");
}

static void
nothing_else_is_special(void **state)
{
	(void)state;
	assert_string_equal(words("a $HOME * ; | `x` > y"), "a|$HOME|*|;|||`x`|>|y|");
}

static void
an_empty_line_or_an_open_quote_is_refused(void **state)
{
	char **w;
	size_t n;

	(void)state;
	assert_int_equal(shellwords_split("", 0, &w, &n), -ERR_CONFIG);
	assert_int_equal(shellwords_split(" \t ", 0, &w, &n), -ERR_CONFIG);
	assert_int_equal(shellwords_split("a 'b", 0, &w, &n), -ERR_CONFIG);
	assert_non_null(strstr(err_text(), "quote"));
	assert_int_equal(shellwords_split("a \"b\\\"", 0, &w, &n), -ERR_CONFIG);
	shellwords_free(NULL);
}

static void
random_lines_never_write_beyond_their_words(void **state)
{
	static const char alphabet[] = "a '\"\\\t$";
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 5;

	(void)state;
	printf("# seed %u\n", seed);
	for (int i = 0; i < 50000; i++) {
		char line[24];
		size_t len = (size_t)(rand_r(&seed) % 23);

		for (size_t k = 0; k < len; k++)
			line[k] = alphabet[rand_r(&seed) % 7];
		line[len] = '\0';
		words(line);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blanks_divide_words),
	    cmocka_unit_test(quotes_keep_blanks_and_may_stand_within_a_word),
	    cmocka_unit_test(a_backslash_takes_the_next_as_it_is),
	    cmocka_unit_test(nothing_else_is_special),
	    cmocka_unit_test(an_empty_line_or_an_open_quote_is_refused),
	    cmocka_unit_test(random_lines_never_write_beyond_their_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
