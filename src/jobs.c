/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobs - the file of job records: lines of hex, each a packed record and its checksum.
 *
 * Happy path: jobs_put appends one line and syncs it; the newest line of an id wins.  Killed in the middle of an append:
 * the torn line fails its checksum and is dropped at the next open.  Killed while rewriting: the old file stands until the
 * one rename (fsio_replace_file).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/pack.h"
#include "base/workpool.h"
#include "jobs.h"

#define JOBS_KEEP 400u
#define JOBS_FILE_MAX (16u * 1024u * 1024u)
#define JOBS_RECORD_VERSION 1
#define JOBS_CHECK_BYTES 8

struct jobs {
	char *file;
	struct workpool *pool;
	int lane;
	size_t writing;  /* writes in the lane */
	bool closed;     /* the last of them frees us */
	char trouble[256];
	struct job_record *records; /* newest first */
	size_t n;
	size_t lines; /* in the file */
};

static const char *const phase_names[] = {
#define X(name, word) [JOB_##name] = (word),
	JOB_PHASES(X)
#undef X
};
_Static_assert(sizeof phase_names / sizeof *phase_names == JOB_PHASE_COUNT, "every phase has a name");

static const char *const result_names[] = {
	[JOB_RUNNING] = "running", [JOB_GOOD] = "good", [JOB_WARNED] = "warnings",
	[JOB_FAILED] = "failed", [JOB_STOPPED] = "stopped",
};
_Static_assert(sizeof result_names / sizeof *result_names == JOB_RESULTS, "every result has a name");

const char *
job_phase_name(enum job_phase phase)
{
	return phase < JOB_PHASE_COUNT ? phase_names[phase] : "unknown";
}

const char *
job_result_name(enum job_result result)
{
	return result < JOB_RESULTS ? result_names[result] : "unknown";
}

/* ---- the bytes of a record ---- */

static void
record_pack(struct pack_out *o, const struct job_record *r)
{
	pack_u8(o, JOBS_RECORD_VERSION);
	pack_u64(o, r->id);
	pack_str(o, r->profile);
	pack_str(o, r->origin);
	pack_u32(o, r->date);
	pack_i64(o, r->t0_ns);
	pack_i64(o, r->started_ns);
	pack_i64(o, r->ended_ns);
	pack_u8(o, (uint8_t)r->phase);
	pack_u8(o, (uint8_t)r->result);
	pack_u32(o, (uint32_t)r->code);
	pack_str(o, r->text);
	pack_str(o, r->set);
	for (size_t i = 0; i < JOB_PHASE_COUNT; i++)
		pack_i64(o, r->phase_ms[i]);
	const uint64_t figures[] = {r->files_copied, r->bytes_copied, r->files_sent, r->bytes_sent, r->wire_bytes, r->set_files, r->set_bytes};
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
		pack_u64(o, figures[i]);
}

static void
unpack_text(struct pack_in *in, char *out, size_t size)
{
	size_t n;
	const uint8_t *at = unpack_bytes(in, size - 1, &n);

	if (at)
		memcpy(out, at, n);
}

static int
record_unpack(const uint8_t *data, size_t len, struct job_record *ret_record)
{
	struct pack_in in = pack_in(data, len);
	struct job_record r = {0};

	if (unpack_u8(&in) != JOBS_RECORD_VERSION)
		return -ERR_CORRUPT;
	r.id = unpack_u64(&in);
	unpack_text(&in, r.profile, sizeof r.profile);
	unpack_text(&in, r.origin, sizeof r.origin);
	r.date = unpack_u32(&in);
	r.t0_ns = unpack_i64(&in);
	r.started_ns = unpack_i64(&in);
	r.ended_ns = unpack_i64(&in);
	r.phase = unpack_u8(&in);
	r.result = unpack_u8(&in);
	r.code = (int32_t)unpack_u32(&in);
	unpack_text(&in, r.text, sizeof r.text);
	unpack_text(&in, r.set, sizeof r.set);
	for (size_t i = 0; i < JOB_PHASE_COUNT; i++)
		r.phase_ms[i] = unpack_i64(&in);
	uint64_t *const figures[] = {&r.files_copied, &r.bytes_copied, &r.files_sent, &r.bytes_sent, &r.wire_bytes, &r.set_files, &r.set_bytes};
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
		*figures[i] = unpack_u64(&in);
	if (!unpack_done(&in) || r.phase >= JOB_PHASE_COUNT || r.result >= JOB_RESULTS)
		return -ERR_CORRUPT;
	*ret_record = r;
	return 0;
}

/* Unkeyed: the checksum finds torn and rotten lines, nobody forges them. */
static uint64_t
checksum(const void *data, size_t len)
{
	static const uint8_t zeros[BLOCK_KEY_BYTES];
	struct block_key key;

	block_key_init(&key, zeros);
	return block_hash(&key, data, len).lo;
}

/* ---- lines ---- */

static void
line_pack(struct pack_out *line, const struct job_record *r)
{
	static const char digits[] = "0123456789abcdef";
	struct pack_out o = {0};

	record_pack(&o, r);
	if (!o.failed)
		pack_u64(&o, checksum(o.data, o.len));
	line->failed |= o.failed;
	for (size_t i = 0; i < o.len; i++)
		pack_raw(line, (char[]){digits[o.data[i] >> 4], digits[o.data[i] & 15]}, 2);
	pack_u8(line, '\n');
	pack_out_fini(&o);
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
line_unpack(const char *line, size_t len, struct job_record *ret_record)
{
	uint8_t bytes[8192];
	size_t n = len / 2;

	if (len % 2 || n <= JOBS_CHECK_BYTES || n > sizeof bytes)
		return -ERR_CORRUPT;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(line[2 * i]), low = hex_digit(line[2 * i + 1]);

		if (high < 0 || low < 0)
			return -ERR_CORRUPT;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	struct pack_in tail = pack_in(bytes + n - JOBS_CHECK_BYTES, JOBS_CHECK_BYTES);
	if (unpack_u64(&tail) != checksum(bytes, n - JOBS_CHECK_BYTES))
		return -ERR_CORRUPT;
	return record_unpack(bytes, n - JOBS_CHECK_BYTES, ret_record);
}

/* ---- the list ---- */

static struct job_record *
find(const struct jobs *jobs, uint64_t id)
{
	for (size_t i = 0; i < jobs->n; i++)
		if (jobs->records[i].id == id)
			return &jobs->records[i];
	return NULL;
}

static void
remember(struct jobs *jobs, const struct job_record *record)
{
	struct job_record *known = find(jobs, record->id);

	if (known) {
		*known = *record;
		return;
	}
	if (jobs->n == JOBS_KEEP)
		jobs->n--;
	memmove(jobs->records + 1, jobs->records, jobs->n * sizeof *jobs->records);
	jobs->records[0] = *record;
	jobs->n++;
}

static void
read_lines(struct jobs *jobs, const char *text, size_t len)
{
	struct job_record record;

	for (const char *p = text, *end = text + len; p < end;) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		const char *stop = newline ? newline : end;

		if (newline && line_unpack(p, (size_t)(stop - p), &record) == 0)
			remember(jobs, &record);
		jobs->lines++;
		p = stop + 1;
	}
}

/* ---- writing ---- */

/* One write: lines to append, or the whole file anew. */
struct writing {
	struct job job;
	struct jobs *jobs;
	const char *file; /* the jobs', which outlive this */
	struct pack_out bytes;
	bool whole;
	int err;
	char text[256];
};

/* The folder of the history, as a held directory: fsio wants names beneath one. */
static int
open_folder(const char *file, const char **ret_name)
{
	const char *slash = strrchr(file, '/');
	char *folder = slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	free(folder);
	if (fd < 0)
		return err_sys("opening the folder of the job history %s", file);
	*ret_name = slash ? slash + 1 : file;
	return fd;
}

static int
replace_bytes(const char *file, const struct pack_out *bytes)
{
	const char *name;
	int err, folder = open_folder(file, &name);

	if (folder < 0)
		return folder;
	err = fsio_replace_file(folder, name, bytes->data, bytes->len, 0600, "jobs.rewrite");
	close(folder);
	return err;
}

/* -ERR_GONE: there is none yet. */
static int
read_bytes(const char *file, char **ret_text, size_t *ret_len)
{
	const char *name;
	int err, folder = open_folder(file, &name);

	if (folder < 0)
		return folder;
	err = fsio_read_file(folder, name, JOBS_FILE_MAX, ret_text, ret_len);
	close(folder);
	return err;
}

static int
append_bytes(const char *file, const struct pack_out *bytes)
{
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return err_sys("opening the job history %s", file);
	ssize_t n = write(fd, bytes->data, bytes->len);
	if (n < 0)
		err = err_sys("writing the job history %s", file);
	else if ((size_t)n != bytes->len)
		err = err_set(ERR_NOSPACE, "writing the job history %s: short write", file);
	else
		err = fsio_sync_file(fd, "jobs.append");
	close(fd);
	return err;
}

static void
write_run(struct job *job)
{
	struct writing *w = (struct writing *)job;

	if (w->bytes.failed)
		w->err = err_set(ERR_NOMEM, "writing the job history %s", w->file);
	else if (w->whole)
		w->err = replace_bytes(w->file, &w->bytes);
	else
		w->err = append_bytes(w->file, &w->bytes);
	if (w->err)
		snprintf(w->text, sizeof w->text, "%s", err_text());
}

static void
destroy(struct jobs *jobs)
{
	free(jobs->records);
	free(jobs->file);
	free(jobs);
}

static void
write_done(struct job *job, bool cancelled)
{
	struct writing *w = (struct writing *)job;
	struct jobs *jobs = w->jobs;

	if (cancelled)
		write_run(job);
	snprintf(jobs->trouble, sizeof jobs->trouble, "%s", w->text);
	/* The file may end in half a line, which would swallow the next one. */
	if (w->err)
		jobs->lines = 4u * JOBS_KEEP;
	pack_out_fini(&w->bytes);
	free(w);
	if (--jobs->writing == 0 && jobs->closed)
		destroy(jobs);
}

/* Appends the record's line, or rewrites the file with the newest line of each job, oldest first; so it is made, too: an appended line
 * is only as durable as the file's name. */
static int
store(struct jobs *jobs, const struct job_record *record)
{
	struct writing *w = calloc(1, sizeof *w);
	int err;

	if (!w)
		return err_set(ERR_NOMEM, "writing the job history %s", jobs->file);
	w->job = (struct job){.run = write_run, .done = write_done};
	w->jobs = jobs;
	w->file = jobs->file;
	w->whole = !record || jobs->lines == 0 || jobs->lines >= 4u * JOBS_KEEP;
	if (w->whole)
		for (size_t i = jobs->n; i-- > 0;)
			line_pack(&w->bytes, &jobs->records[i]);
	else
		line_pack(&w->bytes, record);
	jobs->lines = w->whole ? jobs->n : jobs->lines + 1;
	jobs->writing++;
	if (jobs->pool) {
		workpool_submit(jobs->pool, jobs->lane, &w->job);
		return 0;
	}
	write_run(&w->job);
	err = w->err;
	write_done(&w->job, false);
	return err;
}

int
jobs_open(const char *file, struct workpool *pool, int lane, struct jobs **ret_jobs)
{
	struct jobs *jobs = calloc(1, sizeof *jobs);
	char *text = NULL;
	size_t len = 0;
	int err = 0;

	if (jobs) {
		jobs->file = strdup(file);
		jobs->records = calloc(JOBS_KEEP, sizeof *jobs->records);
	}
	if (!jobs || !jobs->file || !jobs->records) {
		jobs_close(jobs);
		return err_set(ERR_NOMEM, "opening the job history %s", file);
	}
	err = read_bytes(file, &text, &len);
	if (err == -ERR_GONE)
		err = 0;
	if (err == 0) {
		read_lines(jobs, text ? text : "", len);
		/* A torn last line must not swallow the next one: rewriting gets rid of it.  On a full disk that has to wait for the
		 * next record; a history that cannot be written is no reason to back nothing up. */
		if (jobs->lines > jobs->n)
			(void)store(jobs, NULL);
	}
	free(text);
	if (err) {
		jobs_close(jobs);
		return err;
	}
	jobs->pool = pool;
	jobs->lane = lane;
	*ret_jobs = jobs;
	return 0;
}

void
jobs_close(struct jobs *jobs)
{
	if (!jobs)
		return;
	jobs->closed = true;
	if (jobs->writing == 0)
		destroy(jobs);
}

int
jobs_put(struct jobs *jobs, const struct job_record *record)
{
	remember(jobs, record);
	return store(jobs, record);
}

const char *
jobs_trouble(const struct jobs *jobs)
{
	return *jobs->trouble ? jobs->trouble : NULL;
}

const struct job_record *
jobs_nth(const struct jobs *jobs, size_t i)
{
	return i < jobs->n ? &jobs->records[i] : NULL;
}

const struct job_record *
jobs_find(const struct jobs *jobs, uint64_t id)
{
	return id == 0 ? jobs_nth(jobs, 0) : find(jobs, id);
}

uint64_t
jobs_next_id(const struct jobs *jobs, int64_t now_ns)
{
	uint64_t id = (uint64_t)(now_ns / 1000000000) * 1000;

	/* The clock may have gone back: ids rise all the same. */
	for (size_t i = 0; i < jobs->n; i++)
		if (jobs->records[i].id >= id)
			id = jobs->records[i].id + 1;
	return id;
}

char *
jobs_log_path(const struct jobs *jobs, uint64_t id)
{
	char *path;

	return asprintf(&path, "%s.%llu.log", jobs->file, (unsigned long long)id) < 0 ? NULL : path;
}

/* The line that stands for the first `cut` bytes of the log. */
static char *
tell_cut(const char *path, uint64_t cut, const char *rest)
{
	char *text;

	return asprintf(&text, "[%llu bytes before this are left out; the whole log is %s]\n%s", (unsigned long long)cut, path, rest) < 0 ? NULL : text;
}

static char *
read_end(int fd, const char *path, size_t max)
{
	struct stat st;
	char *data = NULL, *text = NULL, *line;
	uint64_t cut;
	ssize_t n;

	if (fstat(fd, &st) != 0 || !(data = malloc(max + 1)))
		return NULL;
	cut = (uint64_t)st.st_size > max ? (uint64_t)st.st_size - max : 0;
	n = fsio_pread(fd, data, max, cut);
	if (n < 0) {
		free(data);
		return NULL;
	}
	data[n] = '\0';
	if (cut == 0)
		return data;
	/* The first line is but the rest of one, and may begin inside a character. */
	line = memchr(data, '\n', (size_t)n);
	line = line ? line + 1 : data;
	text = tell_cut(path, cut + (uint64_t)(line - data), line);
	free(data);
	return text;
}

char *
jobs_log_end(const struct jobs *jobs, uint64_t id, size_t max)
{
	char *path = jobs_log_path(jobs, id), *text = NULL;
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;

	if (fd >= 0) {
		text = read_end(fd, path, max);
		close(fd);
	}
	free(path);
	return text;
}
