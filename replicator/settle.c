/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settle - the order of truth: row added, map changed, row forgotten. */
#include <assert.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>

#include "base/relpath.h"
#include "base/workpool.h"
#include "journal/journal.h"
#include "replicator/settle.h"
#include "wire/entry.h"

#define GROUP_MAX 2048

TAILQ_HEAD(note_list, note);

struct settle {
	struct job job;
	struct workpool *pool;
	int lane;
	struct journal *journal;
	struct blockmap *map;
	void (*wake)(void *arg);
	void *arg;
	struct note_list waiting;
	size_t n_waiting, n_patient;
	int64_t since_ms;         /* the flush that first saw those that wait; 0 = none did */
	uint64_t added, over;
	bool running, hurry;

	/* the group being written: the lane's while `running` */
	struct note_list group;
	struct blockmap_op ops[2 * GROUP_MAX];
	uint64_t seqs[GROUP_MAX];
};

static void write_run(struct job *job);
static void write_done(struct job *job, bool cancelled);

int
settle_new(struct workpool *pool, int lane, struct journal *journal, struct blockmap *map, void (*wake)(void *arg), void *arg,
    struct settle **ret_settle)
{
	struct settle *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(ERR_NOMEM, "no memory");
	s->job = (struct job){.run = write_run, .done = write_done};
	s->pool = pool;
	s->lane = lane;
	s->journal = journal;
	s->map = map;
	s->wake = wake;
	s->arg = arg;
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->group);
	*ret_settle = s;
	return 0;
}

void
settle_cancel(struct settle *s)
{
	struct note *n;

	while ((n = TAILQ_FIRST(&s->waiting))) {
		TAILQ_REMOVE(&s->waiting, n, link);
		s->over++;
		if (n->done)
			n->done(n, -ERR_STOPPED);
	}
	s->n_waiting = s->n_patient = 0;
}

void
settle_free(struct settle *s)
{
	assert(!s || !s->running);
	free(s);
}

void
settle_add(struct settle *s, struct note *n)
{
	n->err = 0;
	TAILQ_INSERT_TAIL(&s->waiting, n, link);
	s->n_waiting++;
	s->n_patient += n->patient;
	s->added++;
}

bool
settle_idle(const struct settle *s)
{
	return !s->running && TAILQ_EMPTY(&s->waiting);
}

bool
settle_has_room(const struct settle *s)
{
	return s->n_waiting < GROUP_MAX;
}

uint64_t
settle_added(const struct settle *s)
{
	return s->added;
}

void
settle_hurry(struct settle *s)
{
	s->hurry = true;
}

bool
settle_past(const struct settle *s, uint64_t n)
{
	return s->over >= n;
}

/* Rows that are added come first: what they announce must not be lost to a crash after the map changed. */
static int
write_rows(struct settle *s)
{
	struct note *n;

	TAILQ_FOREACH(n, &s->group, link)
		if (n->append && (n->err = journal_append(s->journal, &n->change, 1)) < 0)
			return n->err;
	return 0;
}

static int
write_map(struct settle *s)
{
	struct note *n;
	size_t n_ops = 0;

	TAILQ_FOREACH(n, &s->group, link)
		for (unsigned i = 0; i < n->n_ops; i++)
			s->ops[n_ops++] = n->ops[i];
	return n_ops ? blockmap_apply(s->map, s->ops, n_ops) : 0;
}

static int
any_row(const char *path, const struct entry *entry, const struct blockmap_stat *stat, void *arg)
{
	(void)path;
	(void)entry;
	(void)stat;
	(void)arg;
	return 1;
}

/* 1 when no directory's row leads to the path. */
static int
lacks_dir(struct settle *s, const char *path)
{
	char *dir = strndup(path, relpath_dir_len(path));
	struct entry entry = {0};
	int err = dir ? blockmap_get(s->map, dir, &entry, NULL) : err_set(ERR_NOMEM, "no memory");

	free(dir);
	if (err == 0 && entry.kind != ENTRY_DIR)
		err = 1;
	entry_fini(&entry);
	return err;
}

static int
look_astray(struct settle *s, struct note *n)
{
	int err = 0;

	for (unsigned i = 0; i < n->n_ops && !err; i++) {
		if (n->ops[i].kind == BLOCKMAP_PUT && n->in_dir)
			err = lacks_dir(s, n->ops[i].path);
		else if (n->ops[i].kind == BLOCKMAP_REMOVE)
			err = blockmap_children(s->map, n->ops[i].path, NULL, any_row, NULL);
	}
	n->astray = err > 0;
	return err < 0 ? err : 0;
}

/* After the map has all of the group: its rows may belong together. */
static int
look_all_astray(struct settle *s)
{
	struct note *n;
	int err = 0;

	TAILQ_FOREACH(n, &s->group, link)
		if (!err)
			err = look_astray(s, n);
	return err;
}

/* Most notes have one row.  Those that have many may fill the array before the group's end: what is acknowledged by then is true
 * whatever becomes of the rest. */
static int
write_acks(struct settle *s)
{
	struct note *n;
	size_t n_seqs = 0;
	int err = 0;

	TAILQ_FOREACH(n, &s->group, link)
		for (size_t i = 0; i < n->n_acks && !err && !n->astray; i++) {
			s->seqs[n_seqs++] = n->acks[i];
			if (n_seqs == GROUP_MAX) {
				err = journal_ack(s->journal, s->seqs, n_seqs);
				n_seqs = 0;
			}
		}
	return n_seqs && !err ? journal_ack(s->journal, s->seqs, n_seqs) : err;
}

/* Cannot fail the group: a trouble that was not noted is one that is noted at the next try. */
static void
write_troubles(struct settle *s)
{
	struct note *n;

	TAILQ_FOREACH(n, &s->group, link)
		if (n->trouble)
			journal_note_trouble(s->journal, n->path, n->code, n->text, n->attempts, n->now_ns, n->next_ns);
}

static void
write_run(struct job *job)
{
	struct settle *s = (struct settle *)((char *)job - offsetof(struct settle, job));
	struct note *n;
	int err = write_rows(s);

	if (!err)
		err = write_map(s);
	if (!err)
		err = look_all_astray(s);
	if (!err)
		err = write_acks(s);
	write_troubles(s);
	TAILQ_FOREACH(n, &s->group, link)
		n->err = err;
}

static void
write_done(struct job *job, bool cancelled)
{
	struct settle *s = (struct settle *)((char *)job - offsetof(struct settle, job));
	struct note_list group;
	struct note *n;

	TAILQ_INIT(&group);
	TAILQ_CONCAT(&group, &s->group, link);
	s->running = false;
	while ((n = TAILQ_FIRST(&group))) {
		TAILQ_REMOVE(&group, n, link);
		s->over++;
		if (n->done)
			n->done(n, cancelled ? -ERR_STOPPED : n->err);
	}
	s->wake(s->arg);
}

/* How long all that waits may wait, in milliseconds. */
static unsigned
patience(struct settle *s, int64_t now_ms)
{
	int64_t waited_ms;

	if (!s->since_ms)
		s->since_ms = now_ms;
	waited_ms = now_ms - s->since_ms;
	if (s->n_patient < s->n_waiting || s->n_waiting >= GROUP_MAX / 2 || waited_ms >= SETTLE_PATIENCE_MS)
		return 0;
	return (unsigned)(SETTLE_PATIENCE_MS - waited_ms);
}

unsigned
settle_flush(struct settle *s, int64_t now_ms, bool urgent)
{
	size_t n_group = 0;
	struct note *n;
	unsigned wait;

	if (s->running || TAILQ_EMPTY(&s->waiting))
		return 0;
	if (!urgent && !s->hurry && (wait = patience(s, now_ms)))
		return wait;
	while (n_group < GROUP_MAX && (n = TAILQ_FIRST(&s->waiting))) {
		TAILQ_REMOVE(&s->waiting, n, link);
		TAILQ_INSERT_TAIL(&s->group, n, link);
		s->n_patient -= n->patient;
		n_group++;
	}
	s->n_waiting -= n_group;
	s->since_ms = 0;
	s->hurry = false;
	s->running = true;
	workpool_submit(s->pool, s->lane, &s->job);
	return 0;
}
