/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err - what can go wrong, in one table: code, words, and the exit status a program gives.
 *
 * A function that fails returns -code.  Where the failure is discovered it also records one sentence
 * (thread-local), which the one who finally reports it reads with err_text().  A code exists only where
 * some caller acts differently on it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#define ERR_TABLE(X)                                                                        \
	X(ERR_NOMEM,       "out of memory", 1)                                              \
	X(ERR_IO,          "input/output error", 1)                                         \
	X(ERR_NOSPACE,     "no space left", 15)                                             \
	X(ERR_GONE,        "vanished", 1)             /* file or directory no longer there */ \
	X(ERR_TORN,        "changed while being read", 1)                                   \
	X(ERR_ACCESS,      "permission denied by the system", 1)                            \
	X(ERR_UNSAFE,      "path leaves its directory or crosses a link", 1)                \
	X(ERR_CORRUPT,     "stored bytes fail their check", 14)                             \
	X(ERR_DIFFERS,     "data differs", 14)                                              \
	X(ERR_PEER,        "peer broke the protocol", 1)                                    \
	X(ERR_LIMIT,       "limit exceeded", 1)                                             \
	X(ERR_CONFIG,      "configuration error", 2)                                        \
	X(ERR_USAGE,       "usage error", 2)                                                \
	X(ERR_NOTFOUND,    "no such set or profile", 10)                                    \
	X(ERR_BUSY,        "busy", 11)                                                      \
	X(ERR_DENIED,      "not authorised", 12)                                            \
	X(ERR_UNREACHABLE, "unreachable", 13)                                               \
	X(ERR_STOPPED,     "stopped", 1)                                                    \
	X(ERR_TIMEOUT,     "timed out", 1)                                                  \
	X(ERR_UNSUPPORTED, "not supported", 1)                                              \
	X(ERR_INCOMPLETE,  "incomplete", 1)           /* databases missing, rescan open */  \
	X(ERR_INTERRUPTED, "interrupted", 130)

enum err {
	ERR_OK = 0,
#define X(code, words, status) code,
	ERR_TABLE(X)
#undef X
	ERR_COUNT
};

/* Longest sentence in bytes: room for all the mistakes of a configuration file.  What is longer is cut. */
#define ERR_TEXT_MAX 8191

/* Records the sentence and returns -code.  The arguments may include err_text(). */
int err_set(enum err code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Records the sentence followed by ": " and strerror(errno); returns the negative code errno translates to
 * (ENOSPC/EDQUOT -> NOSPACE, ENOENT/ESTALE -> GONE, EACCES/EPERM/EROFS -> ACCESS, ELOOP/EXDEV -> UNSAFE, ENOMEM -> NOMEM,
 * ECONNREFUSED and friends -> UNREACHABLE, the rest -> IO).  Keeps errno. */
int err_sys(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Whether the error that was just recorded says only that memory, or descriptors, had run out, and nothing of what was looked at.  Reads errno:
 * ask at once. */
bool err_is_want(int err);

/* Puts words in front of the recorded sentence ("words: sentence") and returns `err` unchanged. */
int err_prefix(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The sentence last recorded by this thread; "" if none.  Valid until the thread records the next. */
const char *err_text(void);

/* Name ("NOSPACE") and words of a code; accept either sign. */
const char *err_name(int err);
const char *err_words(int err);

/* The code of a name as it travels in JSON and on the wire ("NOSPACE"); ERR_IO for an unknown one. */
enum err err_from_name(const char *name);

/* What a program exits with: 0 for 0, else the table's status. */
int err_exit_status(int err);

/* The analyzers cannot see that a recorded error is never 0, which every caller relies on. */
#ifdef __clang_analyzer__
#define ERR_KNOWN_NEGATIVE(call)                \
	({                                      \
		int known_ = (call);            \
		if (known_ >= 0)                \
			__builtin_unreachable(); \
		known_;                         \
	})
#define err_set(...) ERR_KNOWN_NEGATIVE(err_set(__VA_ARGS__))
#define err_sys(...) ERR_KNOWN_NEGATIVE(err_sys(__VA_ARGS__))
#endif

#endif
