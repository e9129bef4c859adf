/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log - one line per fact on standard error; safe from any thread.
 *
 * Under systemd (JOURNAL_STREAM names our standard error) a line starts with the journal's priority "<3>".."<7>",
 * elsewhere with a local time stamp and a level word.  Form: `event key=value ...`; the event is named like the function.
 * What is not printable in the message is escaped as \xHH, so that a file name can never forge a line.  A line too long
 * for one atomic write to a pipe (4096 bytes) is cut and ends in "...".  Keeps errno.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped; default LOG_INFO. */
void log_set_level(enum log_level level);

/* Lines up to this level are kept whatever level is set, before or after: what was asked for on the command line goes before a configuration. */
void log_set_least(enum log_level level);

/* Word put in front of every line, e.g. "collector"; borrowed for ever. */
void log_set_name(const char *name);

void log_write(enum log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* One line for each line of `text`, each with `about` in front: for a list of mistakes. */
void log_lines(enum log_level level, const char *event, const char *about, const char *text);

/* For where nobody could go on: says so and ends the process with status 1, whose next start is a recovery. */
_Noreturn void log_end_out_of_memory(const char *event);

#define log_error(event, ...) log_write(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_DEBUG, event, __VA_ARGS__)

#endif
