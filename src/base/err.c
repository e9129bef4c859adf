/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What errno means to us, and where a thread's one sentence is kept until somebody reports it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#undef err_set /* wrapped for the analyzers */
#undef err_sys

static _Thread_local char sentence[ERR_TEXT_MAX + 1];

static const struct {
	const char *name, *words;
	int exit_status;
} codes[] = {
	[ERR_OK] = {"OK", "no error", 0},
#define X(code, words, status) [code] = {&#code[sizeof "ERR_" - 1], words, status},
	ERR_TABLE(X)
#undef X
};

/* "<words>: <after>".  The arguments may point into the sentence that is replaced, so the new one is built beside it. */
__attribute__((format(printf, 1, 0))) static void
record(const char *fmt, va_list args, const char *after)
{
	char text[ERR_TEXT_MAX + 1];
	size_t used;

	vsnprintf(text, sizeof text, fmt, args);
	used = strlen(text);
	if (after)
		snprintf(text + used, sizeof text - used, ": %s", after);
	memcpy(sentence, text, strlen(text) + 1);
}

static enum err
code_of_errno(int number)
{
	switch (number) {
	case ENOMEM:
		return ERR_NOMEM;
	case ENOSPC:
	case EDQUOT:
		return ERR_NOSPACE;
	case ENOENT:
	case ESTALE:
		return ERR_GONE;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_ACCESS;
	case ELOOP:
	case EXDEV:
		return ERR_UNSAFE;
	case ECONNREFUSED:
	case ECONNRESET:
	case ECONNABORTED:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case ETIMEDOUT: /* of connect(): nobody answered */
		return ERR_UNREACHABLE;
	default:
		return ERR_IO;
	}
}

int
err_set(enum err code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record(fmt, args, NULL);
	va_end(args);
	return -(int)code;
}

int
err_sys(const char *fmt, ...)
{
	int number = errno;
	char words[128];
	va_list args;

	va_start(args, fmt);
	record(fmt, args, strerror_r(number, words, sizeof words));
	va_end(args);
	errno = number;
	return -(int)code_of_errno(number);
}

bool
err_is_want(int err)
{
	return err == -(int)ERR_NOMEM || (err == -(int)ERR_IO && (errno == EMFILE || errno == ENFILE));
}

int
err_prefix(int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	record(fmt, args, *sentence ? sentence : err_words(err));
	va_end(args);
	return err;
}

const char *
err_text(void)
{
	return sentence;
}

/* The row of a code of either sign; -1 for a number that is no code, such as one from a newer peer. */
static int
row_of(int err)
{
	if (err <= -(int)ERR_COUNT || err >= (int)ERR_COUNT)
		return -1;
	return err < 0 ? -err : err;
}

const char *
err_name(int err)
{
	int row = row_of(err);

	return row < 0 ? "UNKNOWN" : codes[row].name;
}

const char *
err_words(int err)
{
	int row = row_of(err);

	return row < 0 ? "unknown error" : codes[row].words;
}

/* "OK" is no error's name: a peer that reports a failure must not turn it into a success. */
enum err
err_from_name(const char *name)
{
	for (int row = ERR_OK + 1; name && row < ERR_COUNT; row++)
		if (strcmp(codes[row].name, name) == 0)
			return (enum err)row;
	return ERR_IO;
}

int
err_exit_status(int err)
{
	int row = row_of(err);

	return row < 0 ? 1 : codes[row].exit_status;
}
