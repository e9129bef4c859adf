/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sealing_own - what the files of a job share; nobody else includes it. */
#ifndef SERVER_SEALING_OWN_H
#define SERVER_SEALING_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobs.h"
#include "server/index.h"
#include "server/sealing.h"
#include "server/staging.h"

struct report;

enum sealing_state {
	NONE,
	BEGINNING, /* T0 is being written */
	BEGUN,
	CHECKING,  /* totals are being compared */
	SEALING,   /* the keeper works */
	FORGETTING,/* rows of doubtful files are being dropped */
};

struct sealing {
	struct tenant *t;
	enum sealing_state state;
	uint64_t job;
	uint32_t date;
	int64_t t0_ns;
	uint64_t fresh_t0;
	char *note;
	struct treemap_sum total;

	uint64_t order;
	bool frozen;
	bool ending;           /* JOB_END or STOP came: it is over when the running step is */
	enum job_result over;  /* how it ends then, with code and text */
	int32_t over_code;
	char over_text[1024];
	uint64_t origin_job;   /* the job that `origin` tells of */
	char origin[64];
	int64_t due_ns;
	uint64_t done, all;
	int64_t phase_began_ns;
	struct job_record record;
	struct index_found *gone;
	size_t n_gone, cap_gone;
};

/* One piece of work in staging's quiet. */
struct sealing_chore {
	struct staging_task task;
	struct sealing *s;
	struct index *index;
	const struct block_key *key;
	enum layout_type layout;
	int err;
	char *text;

	const char *meta;          /* put: the name in the index under which job_text is kept */
	char job_text[96];         /* begin, put */
	uint64_t fresh;            /* begin, check: head; trim: up to */
	struct treemap_sum total;  /* check */
	size_t marks;
	struct index_found *gone;  /* trim */
	size_t n_gone;
	char **doubtful;           /* forget */
	size_t n_doubtful;
	int32_t code;              /* of the failure that names them */
	char *why;
};

/* ---- chores ---- */

/* NULL: out of memory, or the profile is not open. */
struct sealing_chore *sealing_chore(struct sealing *s, void (*run)(struct staging_task *), void (*done)(struct staging_task *, bool));
void sealing_chore_submit(struct sealing_chore *c);
/* In `run`: how it went, with err_text() when it failed. */
void sealing_chore_result(struct sealing_chore *c, int err);
void sealing_chore_free(struct sealing_chore *c);
/* A `done` for those whose failure costs nothing but a line in the log. */
void sealing_chore_forgotten(struct staging_task *task, bool cancelled);

/* ---- the job ---- */

void sealing_enter_phase(struct sealing *s, enum job_phase phase);
void sealing_end_record(struct sealing *s, enum job_result result, int code, const char *text);
void sealing_tell_progress(struct sealing *s, const char *phase, uint64_t done, uint64_t total);

/* Staging may go on. */
void sealing_release(struct sealing *s);
void sealing_forget_job(struct sealing *s);
/* The step that ran failed, or was stopped.  A job that nobody ended may be sealed again. */
void sealing_fail(struct sealing *s, int code, const char *text);
void sealing_drop_gone(struct sealing *s);

/* For keeper_link_order(); `arg` is the sealing. */
void sealing_on_report(const struct report *report, void *arg);

#endif
