/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobs - the history of backups as both sides keep it: one record a job, the last 400, in one file.
 *
 * Each change of a record is one appended, checksummed, synced line; a torn last line is dropped at the next open, and the
 * file is rewritten (temp, sync, rename) when it holds more than four times what it should.
 *
 * Threads: loop thread only.  Memory changes at once; with a lane the file follows in it (nothing syncs on a loop), without
 * one before the call returns.
 */
#ifndef JOBS_H
#define JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jobs;
struct workpool;

enum job_result { JOB_RUNNING, JOB_GOOD, JOB_WARNED, JOB_FAILED, JOB_STOPPED, JOB_RESULTS };

/* Phases in their order; a job shows the one it is in, and keeps how long each took. */
#define JOB_PHASES(X) X(CHECK, "check") X(COPY, "copy") X(STREAM, "stream") X(BARRIER, "barrier") X(NOTIFY, "notify") X(SEAL, "seal") X(DONE, "done")
enum job_phase {
#define X(name, word) JOB_##name,
	JOB_PHASES(X)
#undef X
	JOB_PHASE_COUNT
};

struct job_record {
	uint64_t id;             /* unix seconds of the start times 1000 plus a counter: rising, and the same on both sides */
	char profile[64];
	char origin[64];         /* "schedule", "user root", "stopped by server: user root" */
	uint32_t date;           /* yyyymmdd the set stands for */
	int64_t t0_ns, started_ns, ended_ns;
	enum job_phase phase;
	enum job_result result;
	int32_t code;            /* enum err of a failure */
	char text[1024];         /* why it failed, or its warnings */
	char set[64];
	int64_t phase_ms[JOB_PHASE_COUNT];
	uint64_t files_copied, bytes_copied;   /* by DBCOPY */
	uint64_t files_sent, bytes_sent, wire_bytes;
	uint64_t set_files, set_bytes;
};

/* Where a running job has got to in its phase; not kept. */
struct job_progress {
	char step[32];           /* of the seal, in the keeper's word ("copy", "blobs", "sync"); else "" */
	uint64_t done, total;    /* bytes; total 0 = not known */
};

/* `pool` (NULL: write at once) is borrowed; `lane` has one thread. */
int jobs_open(const char *file, struct workpool *pool, int lane, struct jobs **ret_jobs);
/* Call before the pool is freed or after: a write that was cancelled is made at once.  NULL is fine. */
void jobs_close(struct jobs *jobs);

/* Stores the record as it is now: a new id is a new job.  With a lane, a failed write is logged by the next one's caller:
 * jobs_trouble. */
int jobs_put(struct jobs *jobs, const struct job_record *record);
/* What the last write in the lane failed with; NULL = all well. */
const char *jobs_trouble(const struct jobs *jobs);
/* Newest first; NULL past the end.  Valid until the next jobs_put. */
const struct job_record *jobs_nth(const struct jobs *jobs, size_t i);
/* 0 = the newest; NULL when there is none. */
const struct job_record *jobs_find(const struct jobs *jobs, uint64_t id);
/* A new id, above all others. */
uint64_t jobs_next_id(const struct jobs *jobs, int64_t now_ns);

/* The log of a job (DBCOPY's output, warnings), a text file beside the history: *gives* its path. */
char *jobs_log_path(const struct jobs *jobs, uint64_t id);
/* The end of that log: whole lines, at most `max` bytes of them, and before them a line that says what was left out and in which file it
 * stands.  *Gives*; NULL when there is no log.  Blocking. */
char *jobs_log_end(const struct jobs *jobs, uint64_t id, size_t max);

const char *job_phase_name(enum job_phase phase);
const char *job_result_name(enum job_result result);

#endif
