/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * copyrun - lists what DBCOPY copies, hands it to a crew, logs and reports each file as it is finished.
 *
 * Everything the threads print, log or report goes through one mutex.  A failed file
 * does not stop the others: an administrator wants to know all that is wrong, not the first.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/crew.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/pack.h"
#include "base/relpath.h"
#include "collector/copier.h"
#include "collector/copyfinish.h"
#include "collector/copyrun.h"
#include "collector/dbcopy.h"
#include "collector/dblist.h"
#include "livetree.h"

#define LOGS_A_DAY 1000u

static const struct copier_limits limits = {.lock_wait_ms = 60000, .tries = 8};

struct run {
	const struct copyrun_options *options;
	struct livetree *tree;
	int destination;
	FILE *log;
	const struct block_key *key; /* NULL without a report */
	struct copyfinish *finish;
	struct dblist list;

	pthread_mutex_t lock; /* guards all below */
	uint64_t copied, current, bytes_written, failed;
	int first_error;
	bool report_broken;
};

/* ---- what to copy ---- */

/*
 * What is restored from the copy is to have the original's mode and owner.  Best effort: only root gives files away, and a
 * copy with our own rights is still a copy.  `ours`: bits that we need ourselves.
 */
static void
keep_rights(int from, int to, mode_t ours)
{
	struct stat is, has;

	if (from < 0 || fstat(from, &is) != 0 || fstat(to, &has) != 0)
		return;
	if ((is.st_uid != has.st_uid || is.st_gid != has.st_gid) && fchown(to, is.st_uid, is.st_gid) != 0)
		errno = 0;
	if (((is.st_mode | ours) & 07777) != (has.st_mode & 07777) && fchmod(to, (is.st_mode | ours) & 07777) != 0)
		errno = 0;
}

/* Lists the source and makes its directories in the destination. */
static int
list_source(struct run *r)
{
	int err = dblist_read(livetree_type(r->tree), r->tree, -1, &r->list);

	for (size_t i = 0; err == 0 && i < r->list.n_dirs; i++) {
		int fd = fsio_make_dirs(r->destination, r->list.dirs[i], false), from;

		if (fd < 0) {
			err = err_prefix(fd, "making %s in the destination", r->list.dirs[i]);
			break;
		}
		from = livetree_open_dir(r->tree, r->list.dirs[i]);
		keep_rights(from, fd, 0700);
		if (from >= 0)
			close(from);
		close(fd);
	}
	return err;
}

/* ---- what is told ---- */

static void __attribute__((format(printf, 2, 3)))
log_line(struct run *r, const char *fmt, ...)
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	va_list args;

	strftime(stamp, sizeof stamp, "%m-%d-%Y %H:%M:%S", localtime_r(&now, &tm));
	fprintf(r->log, "%s ", stamp);
	va_start(args, fmt);
	vfprintf(r->log, fmt, args);
	va_end(args);
	fputc('\n', r->log);
}

static int
write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys("reporting to the collector");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static void
report(struct run *r, const char *path, const struct copier_result *result)
{
	struct dbcopy_file file = {
	    .path = path,
	    .size = result->size,
	    .changed = result->copied,
	    .hashes = result->hashes,
	    .n_hashes = result->n_hashes,
	    .digest = result->digest,
	};
	struct pack_out o = {0};

	dbcopy_report_pack(&o, &file);
	/* The collector compares what it was not told of. */
	if (o.failed || write_all(r->options->report_fd, o.data, o.len) != 0)
		r->report_broken = true;
	pack_out_fini(&o);
}

static void
file_done(struct run *r, const char *path, const struct copier_result *result)
{
	char *shown = r->options->verbose ? relpath_escape(path) : NULL;

	pthread_mutex_lock(&r->lock);
	if (result->copied)
		r->copied++;
	else
		r->current++;
	r->bytes_written += result->bytes_written;
	if (shown) {
		log_line(r, "%s %s, %llu bytes, %llu written%s", result->copied ? "Copied" : "Current", shown,
		    (unsigned long long)result->size, (unsigned long long)result->bytes_written, result->retries ? ", changed while copying" : "");
		printf("%s %s\n", result->copied ? "copied" : "current", shown);
	}
	if (r->key && !r->report_broken)
		report(r, path, result);
	pthread_mutex_unlock(&r->lock);
	free(shown);
}

static void
file_failed(struct run *r, const char *path, int err)
{
	char *shown = relpath_escape(path);

	pthread_mutex_lock(&r->lock);
	r->failed++;
	if (!r->first_error)
		r->first_error = err;
	log_line(r, "Error: %s: %s", shown ? shown : "?", err_text());
	fprintf(stderr, "tidemark-dbcopy: %s: %s\n", shown ? shown : "?", err_text());
	pthread_mutex_unlock(&r->lock);
	free(shown);
}

/* ---- copying ---- */

static bool
too_old(const struct run *r, int fd)
{
	struct stat st;

	return r->options->since_s && fstat(fd, &st) == 0 && st.st_mtim.tv_sec < r->options->since_s;
}

/* Copies one file, and hands over to the finisher what was written. */
static int
copy_file(struct run *r, const char *path)
{
	struct copier_result result = {0};
	int from = livetree_open_file(r->tree, path, O_RDONLY | O_NONBLOCK), to, err;

	if (from < 0)
		return from;
	if (too_old(r, from)) {
		close(from);
		return 0;
	}
	to = fsio_open(r->destination, path, O_RDWR | O_CREAT, 0600);
	err = to < 0 ? err_prefix(to, "opening the copy") : copier_copy(from, to, r->key, &limits, &result);
	if (err == 0)
		keep_rights(from, to, 0600);
	close(from);
	if (err == 0 && result.copied) {
		copyfinish_add(r->finish, path, to, &result);
		return 0;
	}
	if (err == 0)
		file_done(r, path, &result);
	copier_result_fini(&result);
	if (to >= 0)
		close(to);
	return err;
}

static void
on_finished(const char *path, const struct copier_result *result, int err, void *arg)
{
	if (err)
		file_failed(arg, path, err);
	else
		file_done(arg, path, result);
}

static int
copy_listed(void *arg, unsigned hand, size_t i)
{
	struct run *r = arg;
	const char *path = r->list.files[i].path;
	int err = copy_file(r, path);

	(void)hand;
	/* A mailbox deleted since we listed it is not an error. */
	if (err < 0 && err != -ERR_GONE)
		file_failed(r, path, err);
	return 0; /* one failed file ends no run */
}

/* ---- the run ---- */

/* mmddgwbk.nnn, the first number that is free. */
static int
open_log(struct run *r)
{
	char name[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	for (unsigned n = 1; n < LOGS_A_DAY; n++) {
		int fd;

		snprintf(name, sizeof name, "%02d%02dgwbk.%03u", tm.tm_mon + 1, tm.tm_mday, n);
		fd = openat(r->destination, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0) {
			r->log = fdopen(fd, "w");
			if (!r->log)
				close(fd);
			return r->log ? 0 : err_set(ERR_NOMEM, "opening the log");
		}
		if (errno != EEXIST)
			return err_sys("making the log %s in the destination", name);
	}
	return err_set(ERR_LIMIT, "there are %u DBCOPY logs of today in the destination; remove some", LOGS_A_DAY - 1);
}

static int
open_source(struct run *r)
{
	enum layout_type type = LAYOUT_POST_OFFICE;

	for (; type < LAYOUT_TYPES; type++) {
		int err = livetree_open(r->options->source, type, &r->tree);

		if (err != -ERR_CONFIG)
			return err;
	}
	return err_set(ERR_CONFIG, "%s is neither a post office nor a domain", r->options->source);
}

static int
read_key(int fd, struct block_key *key)
{
	uint8_t bytes[BLOCK_KEY_BYTES];
	size_t have = 0;

	while (have < sizeof bytes) {
		ssize_t n = read(fd, bytes + have, sizeof bytes - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(ERR_PEER, "the collector gave no hash key");
		have += (size_t)n;
	}
	block_key_init(key, bytes);
	return 0;
}

/*
 * When the collector is gone, the next one starts a copy of its own: two of them in one destination could leave a database of pages of
 * both.  What is half copied lacks its source's time and is copied again.
 */
static void *
end_with_collector(void *arg)
{
	struct pollfd channel = {.fd = (int)(intptr_t)arg, .events = POLLRDHUP};

	while (poll(&channel, 1, -1) < 0 && errno == EINTR)
		;
	_exit(1);
}

/* From here on all reading from the channel is over. */
static int
follow_collector(int fd)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, end_with_collector, (void *)(intptr_t)fd) != 0)
		return err_set(ERR_LIMIT, "no thread to watch the collector");
	pthread_detach(thread);
	return 0;
}

static int
finish(struct run *r)
{
	log_line(r, "%llu files copied, %llu current, %llu bytes written, %llu errors", (unsigned long long)r->copied,
	    (unsigned long long)r->current, (unsigned long long)r->bytes_written, (unsigned long long)r->failed);
	printf("%llu files copied, %llu current, %llu bytes written, %llu errors\n", (unsigned long long)r->copied,
	    (unsigned long long)r->current, (unsigned long long)r->bytes_written, (unsigned long long)r->failed);
	bool logged = fflush(r->log) == 0;
	if (r->failed)
		return err_set((enum err)-r->first_error, "%llu files could not be copied; %s", (unsigned long long)r->failed,
		    logged ? "the log names them" : "not even the log could be written");
	if (!logged)
		return err_sys("writing the log");
	return r->list.n ? 0 : err_set(ERR_INCOMPLETE, "no database was found to copy");
}

int
copyrun(const struct copyrun_options *options)
{
	struct block_key key;
	struct run r = {.options = options, .destination = -1};
	int err;

	pthread_mutex_init(&r.lock, NULL);
	if ((err = open_source(&r)) != 0)
		goto out;
	r.destination = open(options->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.destination < 0) {
		err = err_sys("opening the destination %s", options->destination);
		goto out;
	}
	/* DBCOPY must not be able to harm what it copies. */
	if ((err = confine(CONFINE_NO_SOCKET | CONFINE_NO_PROGRAM, &options->destination, 1)) != 0)
		goto out;
	if (options->report_fd >= 0) {
		if ((err = read_key(options->report_fd, &key)) != 0 || (err = follow_collector(options->report_fd)) != 0)
			goto out;
		r.key = &key;
	}
	if ((err = open_log(&r)) != 0 || (err = list_source(&r)) != 0 || (err = copyfinish_new(on_finished, &r, &r.finish)) != 0)
		goto out;
	(void)crew_each(options->threads, r.list.n, copy_listed, &r);
	copyfinish_end(r.finish);
	err = finish(&r);
out:
	if (r.log)
		fclose(r.log);
	if (r.destination >= 0)
		close(r.destination);
	livetree_close(r.tree);
	dblist_fini(&r.list);
	pthread_mutex_destroy(&r.lock);
	return err;
}
