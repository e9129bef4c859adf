/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * retention_run - the order in which things leave, so that a crash between any two steps only leaves work for the next time:
 *
 *   a set:  row "dropping" -> rename to dropping/ -> tree -> manifest -> row
 *   a blob: file -> sync -> row -> told to the receiver, who may then use the place again
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/pack.h"
#include "base/planted.h"
#include "keeper/retention.h"

#define BATCH 1000u
#define META_MARK "retention-mark"
#define MARK_BYTES (8 + 8 + sizeof(((struct retention_clock *)0)->boot_id) + 1 + 4)

/* ---- the mark ---- */

static int
mark_read(struct vault *v, struct retention_mark *ret_mark)
{
	uint8_t bytes[MARK_BYTES];
	struct retention_mark mark = {0};
	struct pack_in i = pack_in(bytes, sizeof bytes);
	const uint8_t *id;
	int err = catalogue_meta_get(v->catalogue, META_MARK, bytes, sizeof bytes);

	if (!err) {
		mark.clock.wall_ns = unpack_i64(&i);
		mark.clock.boot_ns = unpack_i64(&i);
		id = unpack_raw(&i, sizeof mark.clock.boot_id);
		if (id)
			memcpy(mark.clock.boot_id, id, sizeof mark.clock.boot_id - 1);
		mark.frozen = unpack_u8(&i) != 0;
		mark.frozen_at = unpack_u32(&i);
	}
	if (err >= 0)
		*ret_mark = mark;
	return err < 0 ? err : 0;
}

static int
mark_write(struct vault *v, const struct retention_mark *mark)
{
	uint8_t bytes[MARK_BYTES];
	struct pack_out o = pack_out_fixed(bytes, sizeof bytes);

	pack_i64(&o, mark->clock.wall_ns);
	pack_i64(&o, mark->clock.boot_ns);
	pack_raw(&o, mark->clock.boot_id, sizeof mark->clock.boot_id);
	pack_u8(&o, mark->frozen);
	pack_u32(&o, mark->frozen_at);
	return catalogue_meta_put(v->catalogue, META_MARK, bytes, sizeof bytes);
}

static int
clock_now(struct retention_clock *ret_now)
{
	struct retention_clock now = {.wall_ns = clock_wall_ns()};
	struct timespec boot;
	int err = clock_boot_id(now.boot_id);

	if (err)
		return err;
	clock_gettime(CLOCK_BOOTTIME, &boot);
	now.boot_ns = (int64_t)boot.tv_sec * 1000000000 + boot.tv_nsec;
	*ret_now = now;
	return 0;
}

/* ---- the sets, as the rules see them ---- */

struct sets {
	struct set_row *rows;
	struct retention_set *rules; /* of the sealed ones */
	size_t *of;                  /* rules[i] is rows[of[i]] */
	size_t n_rows, n;
};

static void
sets_free(struct sets *s)
{
	catalogue_sets_free(s->rows, s->n_rows);
	free(s->rules);
	free(s->of);
}

static int
sets_read(struct vault *v, struct sets *ret_sets)
{
	struct sets s = {0};
	int err = catalogue_sets(v->catalogue, &s.rows, &s.n_rows);

	if (err)
		return err;
	s.rules = calloc(s.n_rows + 1, sizeof *s.rules);
	s.of = calloc(s.n_rows + 1, sizeof *s.of);
	if (!s.rules || !s.of) {
		sets_free(&s);
		return err_set(ERR_NOMEM, "out of memory for the list of sets");
	}
	for (size_t i = 0; i < s.n_rows; i++)
		if (s.rows[i].state == SET_SEALED) {
			s.rules[s.n] = (struct retention_set){s.rows[i].number, retention_made(s.rows[i].t0_ns, s.rows[i].sealed_ns),
			    s.rows[i].verified != SET_DIFFERS};
			s.of[s.n++] = i;
		}
	*ret_sets = s;
	return 0;
}

static int
look(struct vault *v, const struct sets *s, struct retention_mark *ret_mark)
{
	struct retention_mark mark, next;
	struct retention_clock now;
	int err = mark_read(v, &mark);

	if (!err)
		err = clock_now(&now);
	if (err)
		return err;
	next = retention_look(&mark, &now, s->rules, s->n);
	if (next.frozen && !mark.frozen)
		log_warn("retention.freeze", "profile=%s the clock moved by more than 25 hours, no set leaves until two more are made", v->profile);
	*ret_mark = next;
	return mark_write(v, &next);
}

int
retention_tick(struct vault *v)
{
	struct retention_mark mark;
	struct sets s;
	int err = sets_read(v, &s);

	if (err)
		return err;
	err = look(v, &s, &mark);
	sets_free(&s);
	return err;
}

/* ---- sets ---- */

static int
drop_set(struct vault *v, struct set_row *set)
{
	struct stat st;
	int err = 0;

	if (set->state != SET_DROPPING) {
		set->state = SET_DROPPING;
		err = catalogue_put_set(v->catalogue, set);
	}
	failpoint("drop.marked");
	/* What cannot be looked at may be there: without its row nobody would know it, and then no blob leaves any more. */
	if (!err) {
		err = fsio_stat(v->weeknow, set->name, &st);
		if (!err)
			err = fsio_publish(v->weeknow, set->name, v->dropping, set->name, true, "drop.publish");
		else if (err == -ERR_GONE || PLANTED(unlooked_is_gone))
			err = 0;
	}
	if (!err)
		err = fsio_remove_tree(v->dropping, set->name);
	failpoint("drop.removed");
	if (!err)
		err = fsio_unlink(v->manifests, set->name);
	if (!err)
		err = catalogue_del_set(v->catalogue, set->number);
	if (!err)
		log_info("retention.drop", "profile=%s set=%s", v->profile, set->name);
	return err;
}

static int
drop_old(struct vault *v, struct sets *s, uint32_t keep_days, struct task *task, size_t *dropped)
{
	bool *drop = calloc(s->n + 1, sizeof *drop);
	int err = 0;

	if (!drop)
		return err_set(ERR_NOMEM, "out of memory for the list of sets");
	retention_pick(s->rules, s->n, keep_days, clock_wall_ns(), drop);
	for (size_t i = 0; !err && i < s->n; i++) {
		if (!drop[i])
			continue;
		err = task_check(task);
		if (!err)
			err = drop_set(v, &s->rows[s->of[i]]);
		*dropped += !err;
	}
	free(drop);
	return err;
}

static int
remove_dropping(const char *name, void *arg)
{
	struct vault *v = arg;

	return fsio_remove_tree(v->dropping, name);
}

int
retention_recover(struct vault *v)
{
	struct set_row *sets;
	size_t n;
	int err = catalogue_sets(v->catalogue, &sets, &n);

	if (err)
		return err;
	for (size_t i = 0; !err && i < n; i++)
		if (sets[i].state == SET_DROPPING)
			err = drop_set(v, &sets[i]);
	catalogue_sets_free(sets, n);
	return err ? err : vault_names(v->dropping, remove_dropping, v);
}

/* ---- blobs ---- */

struct sweep {
	struct vault *v;
	struct task *task;
	const struct retention_events *events;
	enum layout_type layout;
	uint32_t *kept;
	size_t n_kept;
};

static int
remove_files(const struct sweep *w, const struct blob_dead *dead, size_t n)
{
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		char *place;

		if (!dead[i].file)
			continue;
		place = index_place(w->layout, dead[i].row.path, dead[i].row.version);
		if (!place)
			return err_set(ERR_NOMEM, "out of memory for a path");
		err = fsio_unlink(w->v->dir, place);
		free(place);
	}
	failpoint("sweep.unlinked");
	return err ? err : fsio_sync_fs(w->v->dir, "sweep.sync");
}

/* Only now may the receiver forget: the files are durably gone, and so are the rows that would remove them again. */
static void
tell_gone(const struct sweep *w, const struct blob_dead *dead, size_t n)
{
	struct report_gone gone[BATCH];
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (dead[i].path)
			gone[k++] = (struct report_gone){dead[i].row.path, dead[i].row.version};
	if (k && w->events)
		w->events->gone(w->events->arg, gone, k);
}

static int
sweep_batch(const struct sweep *w, size_t *ret_n)
{
	struct blob_dead *dead;
	int err = catalogue_dead(w->v->catalogue, w->kept, w->n_kept, BATCH, &dead, ret_n);

	if (err)
		return err;
	if (*ret_n)
		err = remove_files(w, dead, *ret_n);
	if (!err)
		err = catalogue_forget(w->v->catalogue, dead, *ret_n);
	if (!err)
		tell_gone(w, dead, *ret_n);
	blob_dead_free(dead, *ret_n);
	return err;
}

static int
is_known(const char *name, void *arg)
{
	const struct sets *s = arg;

	for (size_t i = 0; i < s->n_rows; i++)
		if (strcmp(s->rows[i].name, name) == 0)
			return 0;
	return 1;
}

/* Removes blob files that no set holds.  A set that the catalogue does not know may hold any of them: then none leaves. */
static int
sweep(struct vault *v, const struct sets *s, struct task *task, const struct retention_events *events)
{
	struct sweep w = {.v = v, .task = task, .events = events};
	size_t n = 1;
	int err = PLANTED(unknown_set_ignored) ? 0 : vault_names(v->weeknow, is_known, (void *)(uintptr_t)s);

	if (err == 1)
		log_warn("retention.unknown", "profile=%s a set is not in the catalogue, so no blob leaves the disk", v->profile);
	if (err || !s->n_rows)
		return err < 0 ? err : 0;
	w.layout = (enum layout_type)s->rows[s->n_rows - 1].layout;
	w.kept = calloc(s->n + 1, sizeof *w.kept);
	if (!w.kept)
		return err_set(ERR_NOMEM, "out of memory for the list of sets");
	for (size_t i = 0; i < s->n; i++)
		w.kept[w.n_kept++] = s->rules[i].number;
	while (!err && n) {
		err = task_check(task);
		if (!err)
			err = sweep_batch(&w, &n);
	}
	free(w.kept);
	return err;
}

int
retention_run(struct vault *v, uint32_t keep_days, struct task *task, const struct retention_events *events, size_t *ret_dropped)
{
	struct retention_mark mark;
	struct sets s;
	size_t dropped = 0;
	int err;

	/* What an earlier run could not finish; others leave all the same. */
	if (retention_recover(v) < 0)
		log_warn("retention.recover", "profile=%s %s", v->profile, err_text());
	err = sets_read(v, &s);
	if (err)
		return err;
	err = look(v, &s, &mark);
	if (!err && !mark.frozen)
		err = drop_old(v, &s, keep_days, task, &dropped);
	sets_free(&s);
	/* Read again: what was dropped holds nothing any more. */
	if (!err)
		err = sets_read(v, &s);
	if (err)
		return err;
	err = sweep(v, &s, task, events);
	sets_free(&s);
	if (ret_dropped)
		*ret_dropped = dropped;
	return err;
}
