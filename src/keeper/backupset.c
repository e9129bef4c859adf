/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backupset - the order of the steps of a seal, which is what makes a set appear whole or not at all.
 *
 * Crash windows, named in the code below where they open; recovery (backupset_recover) closes each:
 *   W1  creating/<set>, a manifest and staged rows may be there, no pending row: all of it is removed.
 *   W2  the pending row is there, the set has not its name: the same.
 *   W3  the set has its name, its blobs are not merged: the merge is done, the set is sealed.
 *   W4  a part is merged: the same; merging twice changes nothing.
 *   W5  the set is sealed, the receiver does not know: it asks again, and gets the same set for the same job.
 */
#include "keeper/backupset.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/planted.h"
#include "keeper/seal.h"

#define NAME_TRIES 1000

/* ---- names ---- */

static int
month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* 0 = Sunday (Sakamoto). */
static int
weekday(int year, int month, int day)
{
	static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};

	year -= month < 3;
	return (year + year / 4 - year / 100 + year / 400 + shift[month - 1] + day) % 7;
}

bool
backupset_day(uint32_t date, char ret_name[16])
{
	int year = (int)(date / 10000), month = (int)(date / 100 % 100), day = (int)(date % 100);

	if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > month_days(year, month))
		return false;
	layout_day_name(weekday(year, month, day), month, day, ret_name);
	return true;
}

static bool
name_taken(struct vault *v, const struct set_row *sets, size_t n, const char *name)
{
	struct stat st;

	for (size_t i = 0; i < n; i++)
		if (strcmp(sets[i].name, name) == 0)
			return true;
	/* Anything but "not there" counts as taken: the rename must not meet it. */
	return fsio_stat(v->weeknow, name, &st) != -ERR_GONE;
}

static int
choose_name(struct seal *s, const struct set_row *sets, size_t n)
{
	char day[16];

	if (!backupset_day(s->order->date, day))
		return err_set(ERR_USAGE, "%u is no date", s->order->date);
	for (int i = 1; i < NAME_TRIES; i++) {
		if (i == 1)
			snprintf(s->set.name, sizeof s->set.name, "%s", day);
		else
			snprintf(s->set.name, sizeof s->set.name, "%s-%d", day, i);
		if (!name_taken(s->vault, sets, n, s->set.name))
			return 0;
	}
	return err_set(ERR_LIMIT, "too many sets of one day");
}

/* ---- what went wrong ---- */

void
doubtful_fini(struct doubtful *doubtful)
{
	for (size_t i = 0; i < doubtful->n; i++)
		free(doubtful->paths[i]);
	free(doubtful->paths);
	*doubtful = (struct doubtful){0};
}

static int
name_doubtful(struct doubtful *d, const char *path)
{
	if (!d->paths)
		d->paths = calloc(ORDER_DOUBTFUL_MAX, sizeof *d->paths);
	if (!d->paths || !(d->paths[d->n] = strdup(path)))
		return err_set(ERR_NOMEM, "out of memory for a list of paths");
	d->n++;
	return 0;
}

int
seal_doubt(struct seal *s, const char *path)
{
	struct doubtful *d = s->doubtful;

	d->fatal = true;
	if (d->n == ORDER_DOUBTFUL_MAX)
		return err_set(ERR_DIFFERS, "more than %u files are not what the index says, first %.200s", ORDER_DOUBTFUL_MAX, d->paths[0]);
	return name_doubtful(d, path);
}

int
seal_doubt_index_file(struct seal *s, const char *path)
{
	return s->doubtful->n < ORDER_DOUBTFUL_MAX ? name_doubtful(s->doubtful, path) : 0;
}

static int
check_doubtful(const struct seal *s)
{
	const struct doubtful *d = s->doubtful;

	return d->fatal ? err_set(ERR_DIFFERS, "%zu staged files are not what the index says, first %.200s", d->n, d->paths[0]) : 0;
}

/* ---- before anything is made ---- */

static int
read_key(struct seal *s)
{
	char *bytes;
	size_t len;
	int err = index_meta_get(s->index, INDEX_META_KEY, &bytes, &len);

	if (err)
		return err < 0 ? err : err_set(ERR_CORRUPT, "the index has no hash key");
	if (len == BLOCK_KEY_BYTES)
		block_key_init(&s->key, (const uint8_t *)bytes);
	else
		err = err_set(ERR_CORRUPT, "the index's hash key has %zu bytes", len);
	free(bytes);
	return err;
}

/* Blobs go on coming while the order is on its way, and nothing else does: as many names may differ as rows came since. */
static int
explained_by_flow(struct seal *s, uint64_t count, bool *ret_explained)
{
	uint64_t head, want = s->order->total.count, off = count > want ? count - want : want - count;
	int err = index_fresh_head(s->index, &head);

	if (!err)
		*ret_explained = head > s->order->fresh_seal && off <= head - s->order->fresh_seal;
	return err;
}

static int
check_total(struct seal *s)
{
	const struct treemap_sum *want = &s->order->total;
	struct treemap_sum is;
	bool explained = false;
	int err = index_total(s->index, &is);

	if (err || (is.count == want->count && is.bytes == want->bytes && hash128_equal(is.hash, want->hash)))
		return err;
	err = explained_by_flow(s, is.count, &explained);
	if (err || explained)
		return err;
	return err_set(ERR_DIFFERS, "the index holds %llu names and %llu bytes, the set shall hold %llu and %llu%s",
	    (unsigned long long)is.count, (unsigned long long)is.bytes, (unsigned long long)want->count,
	    (unsigned long long)want->bytes, is.count == want->count && is.bytes == want->bytes ? ", with other content" : "");
}

static int
open_index(struct seal *s)
{
	struct vault *v = s->vault;
	int err = index_open(v->state_path, v->profile, true, &s->index, NULL);

	if (err)
		return err < 0 ? err : err_set(ERR_INCOMPLETE, "nothing was ever received for %s", v->profile);
	err = check_total(s);
	return err ? err : read_key(s);
}

/* A set that a scrub found damaged is no source of links; one whose manifest cannot be read neither. */
static void
open_previous(struct seal *s, const struct set_row *sets, size_t n)
{
	const struct set_row *prev = NULL;

	for (size_t i = 0; i < n; i++)
		if (sets[i].state == SET_SEALED && sets[i].verified != SET_DIFFERS && sets[i].layout == s->order->layout)
			prev = &sets[i];
	if (!prev)
		return;
	s->prev = fsio_open_dir(s->vault->weeknow, prev->name);
	if (s->prev >= 0 && manifest_open(s->vault->manifests, prev->name, prev->manifest, &s->prev_manifest) == 0)
		return;
	free(s->warning);
	if (asprintf(&s->warning, "set %s cannot be built upon (%s), all files were copied", prev->name, err_text()) < 0)
		s->warning = NULL;
}

static int
begin(struct seal *s)
{
	const struct order *o = s->order;
	struct set_row *sets;
	size_t n;
	int err;

	if (o->layout >= LAYOUT_TYPES)
		return err_set(ERR_USAGE, "unknown type of profile");
	err = open_index(s);
	if (!err)
		err = catalogue_sets(s->vault->catalogue, &sets, &n);
	if (err)
		return err;
	err = choose_name(s, sets, n);
	if (!err) {
		open_previous(s, sets, n);
		err = catalogue_stage_begin(s->vault->catalogue, &s->set.number);
	}
	catalogue_sets_free(sets, n);
	for (unsigned hands = crew_size(); !err && s->hands < hands; s->hands++) {
		err = copy_new(&s->key, s->task, &s->copies[s->hands]);
		if (!err)
			err = custody_new(s->vault, &s->custodies[s->hands]);
	}
	return err;
}

/* ---- the steps ---- */

static int
check_databases(const struct seal *s)
{
	enum layout_type type = (enum layout_type)s->order->layout;

	if (!s->root_database)
		return err_set(ERR_INCOMPLETE, "%s is missing or empty", layout_root_database(type));
	if (type == LAYOUT_POST_OFFICE && s->databases == 0)
		return err_set(ERR_INCOMPLETE, "there is no database but %s", layout_root_database(type));
	return 0;
}

static int
build(struct seal *s)
{
	struct vault *v = s->vault;
	int err;

	s->dir = fsio_make_dirs(v->creating, s->set.name, false);
	if (s->dir < 0)
		return s->dir;
	if (fchmod(s->dir, 0750) != 0)
		return err_sys("mode of the set");
	err = manifest_create(v->manifests, s->set.name, v->profile, &s->manifest);
	/* W1 is open */
	if (!err)
		err = seal_tree(s);
	if (!err)
		err = check_databases(s);
	failpoint("seal.tree");
	if (!err)
		err = seal_blobs(s);
	failpoint("seal.blobs");
	return err ? err : check_doubtful(s);
}

/* One sync for all files and directories of the set; the manifest may be on another file system. */
static int
make_durable(struct seal *s)
{
	int err;

	task_begin(s->task, "sync", 0);
	err = manifest_finish(s->manifest, s->set.manifest);
	if (!err)
		err = fsio_sync_dir(s->vault->manifests, "seal.manifests");
	if (!err && !PLANTED(set_not_synced))
		err = fsio_sync_fs(s->dir, "seal.sync");
	return err || PLANTED(late_stop_ignored) ? err : task_check(s->task);
}

/* The order's note, what was left out, what else was met. */
static char *
note_text(const struct seal *s)
{
	const char *told = s->order->note ? s->order->note : "", *warning = s->warning ? s->warning : "";
	char left[512] = "";
	char *note;

	if (s->left_out)
		snprintf(left, sizeof left, "%llu index files are not in the set, first %.300s", (unsigned long long)s->left_out,
		    s->left_first ? s->left_first : "");
	return asprintf(&note, "%s%s%s%s%s", told, *told && (*left || *warning) ? "; " : "", left, *left && *warning ? "; " : "",
	    warning) < 0 ? NULL : note;
}

static int
put_pending(struct seal *s)
{
	const struct order *o = s->order;
	struct set_row *set = &s->set;
	int err;

	set->state = SET_PENDING;
	/* Every new and changed file was compared with the collector's digest in the pass that copied it, the others when they
	 * were new.  The scrub, or a verify, reads from disk and may find otherwise. */
	set->verified = SET_GOOD;
	set->layout = o->layout;
	set->job = o->job;
	set->date = o->date;
	set->t0_ns = o->t0_ns;
	set->note = note_text(s);
	if (!set->note)
		return err_set(ERR_NOMEM, "out of memory for a set");
	set->warnings = *set->note != '\0';
	err = catalogue_put_set(s->vault->catalogue, set);
	failpoint("seal.pending");
	return err;
}

/*
 * After a rename whose sync failed nobody knows what a crash would leave: it is taken back.  Where that fails, too, the set has its name, and is
 * not to lose its manifest and its row: what recovery finds is W3.
 */
static int
take_back(struct seal *s, int err)
{
	struct vault *v = s->vault;
	char why[1024];
	int back;

	snprintf(why, sizeof why, "%s", err_text());
	back = fsio_rename(v->weeknow, s->set.name, v->creating, s->set.name);
	s->named = back && back != -ERR_GONE;
	if (s->named)
		return err_set((enum err)-err, "%s; set %s could not be taken back (%s): the keeper looks again what became of it before the next backup",
		    why, s->set.name, err_text());
	return err_set((enum err)-err, "%s", why);
}

static int
publish(struct seal *s)
{
	struct vault *v = s->vault;
	int err = put_pending(s);

	/* W2 is open */
	if (!err)
		err = PLANTED(late_stop_ignored) ? 0 : task_check(s->task); /* the last moment at which a stop leaves nothing */
	if (err)
		return err;
	task_begin(s->task, "rename", 0);
	err = fsio_publish(v->creating, s->set.name, v->weeknow, s->set.name, true, "seal.publish");
	return err && err != -ERR_BUSY ? take_back(s, err) : err;
}

static void
spot_close(struct spot *spot)
{
	if (!spot->dir)
		return;
	close(spot->made);
	if (spot->prev >= 0)
		close(spot->prev);
	free(spot->dir);
	spot->dir = NULL;
}

static void
seal_close(struct seal *s)
{
	spot_close(&s->spot);
	manifest_abandon(s->manifest);
	manifest_close(s->prev_manifest);
	for (unsigned i = 0; i < CREW_MAX; i++) {
		copy_free(s->copies[i]);
		custody_free(s->custodies[i]);
	}
	index_close(s->index);
	if (s->prev >= 0)
		close(s->prev);
	if (s->dir >= 0)
		close(s->dir);
	set_row_fini(&s->set);
	free(s->left_first);
	free(s->warning);
}

/* Removes what a set that is not to be has left; the error that led here is kept with its sentence. */
static int
undo(struct vault *v, const char *name)
{
	int err = fsio_remove_tree(v->creating, name);

	if (!err)
		err = fsio_unlink(v->manifests, name);
	return err ? err : catalogue_drop_pending(v->catalogue);
}

static int
fail(struct seal *s, int err)
{
	char why[1024];

	snprintf(why, sizeof why, "%s", err_text());
	if (s->set.number && !s->named)
		(void)undo(s->vault, s->set.name); /* else the next recovery does */
	return err_set((enum err)-err, "%s", why);
}

static int
seal_new(struct vault *v, const struct order *order, struct task *task, struct set_row *ret_set, struct doubtful *doubtful)
{
	struct seal s = {.vault = v, .order = order, .task = task, .doubtful = doubtful, .prev = -1, .dir = -1};
	int err;

	task_begin(task, "check", 0);
	err = begin(&s);
	if (!err) {
		task_begin(task, "copy", 0);
		err = build(&s);
	}
	if (!err && !PLANTED(name_before_sync))
		err = make_durable(&s);
	if (!err)
		err = publish(&s);
	if (!err && PLANTED(name_before_sync))
		err = make_durable(&s);
	if (err) {
		err = fail(&s, err);
	} else {
		/* W3 is open; within, W4 */
		err = catalogue_merge(v->catalogue, clock_wall_ns(), ret_set);
		failpoint("seal.merged");
		/* W5 is open */
	}
	seal_close(&s);
	return err;
}

/* The set of a job that was sealed before the receiver heard of it; 1 when there is none. */
static int
find_job(struct vault *v, uint64_t job, struct set_row *ret_set)
{
	struct set_row *sets;
	size_t n;
	int err = catalogue_sets(v->catalogue, &sets, &n);

	if (err)
		return err;
	err = 1;
	for (size_t i = 0; err && job && i < n; i++)
		if (sets[i].job == job && sets[i].state == SET_SEALED) {
			*ret_set = sets[i];
			sets[i].note = NULL;
			err = 0;
		}
	catalogue_sets_free(sets, n);
	return err;
}

int
backupset_seal(struct vault *v, const struct order *order, struct task *task, struct set_row *ret_set, struct doubtful *doubtful)
{
	int err = backupset_recover(v);

	if (!err)
		err = find_job(v, order->job, ret_set);
	if (err == 1)
		err = seal_new(v, order, task, ret_set, doubtful);
	return err;
}

/* ---- recovery ---- */

static int
remove_creating(const char *name, void *arg)
{
	struct vault *v = arg;

	return fsio_remove_tree(v->creating, name);
}

/* The manifest of a set that did not come to be.  One whose set is there stays, whatever the catalogue knows. */
static int
remove_orphan(const char *name, void *arg)
{
	struct vault *v = arg;
	struct stat st;

	if (fsio_stat(v->weeknow, name, &st) != -ERR_GONE || fsio_stat(v->dropping, name, &st) != -ERR_GONE)
		return 0;
	return fsio_unlink(v->manifests, name);
}

int
backupset_recover(struct vault *v)
{
	struct set_row set = {0}, sealed;
	struct stat st;
	int err = catalogue_pending(v->catalogue, &set), there;

	if (err < 0)
		return err;
	there = err ? -ERR_GONE : fsio_stat(v->weeknow, set.name, &st);
	if (there == 0) {
		/* The rename may not have reached the disk before the crash that brings us here. */
		err = fsio_sync_dir(v->weeknow, "recover.weeknow");
		if (!err)
			err = fsio_sync_dir(v->creating, "recover.creating");
		if (!err)
			err = catalogue_merge(v->catalogue, clock_wall_ns(), &sealed);
		if (!err)
			set_row_fini(&sealed);
	} else {
		/* One that cannot be looked at may have its name: it is asked about again. */
		err = there == -ERR_GONE ? catalogue_drop_pending(v->catalogue) : there;
	}
	set_row_fini(&set);
	if (!err)
		err = vault_names(v->creating, remove_creating, v);
	return err ? err : vault_names(v->manifests, remove_orphan, v);
}
