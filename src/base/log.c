/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a line is laid out, and that one line is one write(2): atomic without a lock, so safe across threads and fork. */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"

/* Writes up to PIPE_BUF bytes are never mixed with another's on a pipe. */
#define LINE_MAX_BYTES PIPE_BUF
#define CUT_MARK "..."

static const struct {
	const char *word, *priority;
} levels[] = {
	[LOG_ERROR] = {"error", "<3>"},
	[LOG_WARN] = {"warn ", "<4>"},
	[LOG_INFO] = {"info ", "<6>"},
	[LOG_DEBUG] = {"debug", "<7>"},
};

static _Atomic int max_level = LOG_INFO, least_level = LOG_ERROR;
static _Atomic(const char *) program_name;

/* A line being built; always leaves room for the mark of a cut and the newline. */
struct line {
	char bytes[LINE_MAX_BYTES];
	size_t len;
	bool cut;
};

static void
line_raw(struct line *l, const char *bytes, size_t n)
{
	if (l->cut || n > sizeof l->bytes - sizeof CUT_MARK - l->len) {
		l->cut = true;
		return;
	}
	memcpy(l->bytes + l->len, bytes, n);
	l->len += n;
}

static void
line_str(struct line *l, const char *text)
{
	line_raw(l, text, strlen(text));
}

static void
line_escaped(struct line *l, const char *text)
{
	while (*text && !l->cut) {
		size_t len = utf8_printable(text);
		char escape[sizeof "\\xHH"];

		if (len) {
			line_raw(l, text, len);
			text += len;
			continue;
		}
		snprintf(escape, sizeof escape, "\\x%02x", (uint8_t)*text++);
		line_str(l, escape);
	}
}

static void
line_end(struct line *l)
{
	if (l->cut) {
		memcpy(l->bytes + l->len, CUT_MARK, sizeof CUT_MARK - 1);
		l->len += sizeof CUT_MARK - 1;
	}
	l->bytes[l->len++] = '\n';
}

/* The start of a line that the journal does not already know. */
static void
line_stamp(struct line *l, enum log_level level)
{
	char stamp[64], millis[8];
	struct timespec now;
	struct tm local;

	clock_gettime(CLOCK_REALTIME, &now);
	if (!localtime_r(&now.tv_sec, &local) || !strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", &local))
		stamp[0] = '\0';
	snprintf(millis, sizeof millis, ".%03u ", (unsigned)(now.tv_nsec / 1000000) % 1000u);
	line_str(l, stamp);
	line_str(l, millis);
	line_str(l, levels[level].word);
	line_str(l, " ");
}

/* A variable that is merely inherited is not enough: it must name the file behind our standard error. */
static bool
under_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (!stream || fstat(fd, &st) != 0)
		return false;
	snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, ours) == 0;
}

static void
line_begin(struct line *l, enum log_level level)
{
	const char *name = atomic_load(&program_name);

	l->len = 0;
	l->cut = false;
	if (under_journal(STDERR_FILENO))
		line_str(l, levels[level].priority);
	else
		line_stamp(l, level);
	if (name) {
		line_escaped(l, name);
		line_str(l, ": ");
	}
}

/* A log that cannot be written has nobody to tell; waiting for a full non-blocking pipe would stop the loop. */
static void
line_write(const struct line *l, int fd)
{
	size_t done = 0;

	while (done < l->len) {
		ssize_t n = write(fd, l->bytes + done, l->len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		done += (size_t)n;
	}
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

void
log_set_least(enum log_level level)
{
	atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

void
log_set_name(const char *name)
{
	atomic_store(&program_name, name);
}

void
log_write(enum log_level level, const char *event, const char *fmt, ...)
{
	int saved = errno;
	char message[LINE_MAX_BYTES]; /* cut here, it is longer than a line and so marked as cut there */
	struct line line;
	va_list args;

	if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed) && (int)level > atomic_load_explicit(&least_level, memory_order_relaxed))
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof message, fmt, args);
	va_end(args);
	line_begin(&line, level);
	line_escaped(&line, event);
	if (*message)
		line_str(&line, " ");
	line_escaped(&line, message);
	line_end(&line);
	line_write(&line, STDERR_FILENO);
	errno = saved;
}

void
log_lines(enum log_level level, const char *event, const char *about, const char *text)
{
	do {
		size_t n = strcspn(text, "\n");

		log_write(level, event, "%s%.*s", about, (int)n, text);
		text += n + (text[n] == '\n');
	} while (*text);
}

void
log_end_out_of_memory(const char *event)
{
	log_error(event, "out of memory: ending; the next start goes on where this one was");
	_exit(1);
}
