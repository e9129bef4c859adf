/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shellwords - quotes, backslashes and blanks; everything else is itself. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "collector/shellwords.h"

/* Takes one word from `*p` into `out`; NULL when a quote is not closed. */
static const char *
take_word(const char *p, char *out)
{
	char quote = '\0';

	for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
		if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? '\0' : *p;
		else if (*p == '\\' && quote != '\'' && p[1])
			*out++ = *++p;
		else
			*out++ = *p;
	}
	*out = '\0';
	return quote ? NULL : p;
}

int
shellwords_split(const char *line, size_t spare, char ***ret_words, size_t *ret_n)
{
	size_t most = strlen(line) / 2 + 1, n = 0;
	char **words = calloc(most + spare + 1, sizeof *words);
	char *word = malloc(strlen(line) + 1);
	int err = words && word ? 0 : err_set(ERR_NOMEM, "reading a command line");

	for (const char *p = line; err == 0;) {
		while (isspace((unsigned char)*p))
			p++;
		if (!*p)
			break;
		p = take_word(p, word);
		if (!p)
			err = err_set(ERR_CONFIG, "a quote is not closed in the command: %s", line);
		else if (!(words[n++] = strdup(word)))
			err = err_set(ERR_NOMEM, "reading a command line");
	}
	free(word);
	if (err == 0 && n == 0)
		err = err_set(ERR_CONFIG, "the command is empty");
	if (err) {
		shellwords_free(words);
		return err;
	}
	*ret_words = words;
	*ret_n = n;
	return 0;
}

void
shellwords_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}
