/* SPDX-License-Identifier: GPL-2.0-or-later */
/* work - which report each order ends in, and what the keeper does when nobody asks. */
#include "keeper/work.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/conf.h"
#include "base/crew.h"
#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "keeper/backupset.h"
#include "keeper/listing.h"
#include "keeper/restore.h"
#include "keeper/retention.h"
#include "keeper/verify.h"
#include "server/config.h"

#define BUSY_PATIENCE_S 300
#define KEEP_DAYS_MAX 3650u /* as the configuration's table */

static struct work *
work_of(struct task *task)
{
	return (struct work *)(void *)((char *)task - offsetof(struct work, task));
}

/* ---- reports ---- */

static void
on_progress(struct task *task, const char *phase, uint64_t done, uint64_t total)
{
	struct work *w = work_of(task);
	const struct report r = {.id = w->order.id, .kind = REPORT_PROGRESS, .phase = (char *)(uintptr_t)phase, .done = done, .total = total};

	if (w->kind == WORK_ORDER)
		keeper_outbox_post(w->outbox, &r);
}

static void
on_finding(struct task *task, const char *path, const char *what)
{
	struct work *w = work_of(task);
	const struct report r = {.id = w->order.id, .kind = REPORT_FINDING, .path = (char *)(uintptr_t)path, .text = (char *)(uintptr_t)what};

	keeper_outbox_post(w->outbox, &r);
}

static void
on_gone(void *arg, const struct report_gone *gone, size_t n)
{
	struct work *w = arg;
	struct report r = {.id = w->order.id, .kind = REPORT_GONE};
	size_t bytes = 0;

	/* As many a report as certainly fit. */
	for (size_t i = 0; i < n; i++) {
		if (r.n_gone == 0)
			r.gone = (struct report_gone *)(uintptr_t)&gone[i];
		r.n_gone++;
		bytes += strlen(gone[i].path) + 8;
		if (bytes > ORDER_BYTES_MAX / 2 || i + 1 == n) {
			keeper_outbox_post(w->outbox, &r);
			r.n_gone = bytes = 0;
		}
	}
}

static struct report_set
report_of(const struct work *w, const struct set_row *set)
{
	return (struct report_set){
		.name = (char *)(uintptr_t)set->name,
		.profile = (char *)(uintptr_t)w->profile,
		.started_ns = set->t0_ns,
		.sealed_ns = set->sealed_ns,
		.scrubbed_ns = set->scrubbed_ns,
		.files = set->files + set->blobs.count,
		.bytes = set->bytes + set->blobs.bytes,
		.new_bytes = set->new_bytes,
		.verified = set->verified,
		.warnings = set->warnings,
		.note = set->note,
	};
}

/* `code` 0 or what the exit status should say; `set` and `doubtful` may be NULL. */
static void
report_done(struct work *w, int code, const struct set_row *set, uint64_t fresh_done, const struct doubtful *doubtful)
{
	struct report_set one = set ? report_of(w, set) : (struct report_set){0};
	const struct report r = {.id = w->order.id, .kind = REPORT_DONE, .code = code, .text = code ? (char *)(uintptr_t)err_text() : NULL,
	    .sets = &one, .n_sets = set != NULL, .fresh_done = fresh_done, .doubtful = doubtful ? doubtful->paths : NULL,
	    .n_doubtful = doubtful ? doubtful->n : 0};

	keeper_outbox_post(w->outbox, &r);
}

static void
report_failed(struct work *w, int err, const struct doubtful *doubtful)
{
	const struct report r = {.id = w->order.id, .kind = REPORT_FAILED, .code = err < 0 ? -err : err, .text = (char *)(uintptr_t)err_text(),
	    .doubtful = doubtful ? doubtful->paths : NULL, .n_doubtful = doubtful ? doubtful->n : 0};

	keeper_outbox_post(w->outbox, &r);
}

/* ---- orders ---- */

/* An order may keep sets for longer than the configuration says, not for less: whoever gives orders is not to make sets leave. */
static uint32_t
keep_days(const struct work *w)
{
	struct conf *conf;
	int64_t days;

	if (!w->config)
		return w->order.keep_days;
	if (server_config_load(w->config, &conf) != 0) {
		log_warn("keeper.config", "nothing leaves before it can be read: %s", err_text());
		return KEEP_DAYS_MAX;
	}
	days = server_config_profile(conf, w->profile)->keep_days;
	conf_free(conf);
	return w->order.keep_days > days || PLANTED(order_shortens_keep_days) ? w->order.keep_days : (uint32_t)days;
}

static int
seal(struct work *w, struct vault *v)
{
	const struct retention_events events = {on_gone, w};
	struct doubtful doubtful = {0};
	struct set_row set;
	int err = backupset_seal(v, &w->order, &w->task, &set, &doubtful);

	if (err) {
		report_failed(w, err, &doubtful);
		doubtful_fini(&doubtful);
		return err;
	}
	log_info("keeper.seal", "profile=%s set=%s files=%" PRIu64 " bytes=%" PRIu64 " new=%" PRIu64, w->profile, set.name,
	    set.files + set.blobs.count, set.bytes + set.blobs.bytes, set.new_bytes);
	task_begin(&w->task, "retention", 0);
	err = retention_run(v, keep_days(w), &w->task, &events, NULL);
	/* The set is good whatever happens to old ones; the next seal tries again. */
	if (err && err != -ERR_STOPPED)
		log_warn("keeper.retention", "profile=%s %s", w->profile, err_text());
	report_done(w, 0, &set, set.fresh_removes < set.fresh_puts ? set.fresh_removes : set.fresh_puts, &doubtful);
	w->scrub_due = true;
	set_row_fini(&set);
	doubtful_fini(&doubtful);
	return 0;
}

static int
verdict(const struct set_row *set, uint64_t differences)
{
	return differences ? err_set(ERR_DIFFERS, "%" PRIu64 " difference(s): set %s is not what was sealed; restore from another, back up again, "
	                             "and look at the disk that holds the store", differences, set->name) : 0;
}

/* Told as a scrub's findings are: nobody asked about these sets. */
static void
report_sharers(struct work *w, const struct set_row *set, struct verify_sharers *sharers)
{
	for (size_t i = 0; i < sharers->n; i++) {
		struct report_set one = report_of(w, &sharers->sets[i]);
		const struct report r = {.kind = REPORT_DONE, .code = ERR_DIFFERS, .sets = &one, .n_sets = 1};

		log_error("keeper.shared", "profile=%s set=%s differs, too: it shares what differs in %s", w->profile, one.name, set->name);
		keeper_outbox_post(w->outbox, &r);
	}
	catalogue_sets_free(sharers->sets, sharers->n);
}

static int
verify(struct work *w, struct vault *v)
{
	struct verify_sharers sharers = {0};
	struct set_row set;
	uint64_t differences;
	int err = catalogue_find(v->catalogue, w->order.set, &set);

	if (!err) {
		err = verify_set(v, &set, VERIFY_ALL, &w->task, &differences, &sharers);
		if (!err) {
			report_sharers(w, &set, &sharers);
			report_done(w, verdict(&set, differences), &set, 0, NULL);
		}
		set_row_fini(&set);
	}
	if (err)
		report_failed(w, err, NULL);
	return err;
}

static int
restore(struct work *w, struct vault *v)
{
	struct set_row set;
	int err = catalogue_find(v->catalogue, w->order.set, &set);

	if (err) {
		report_failed(w, err, NULL);
		return err;
	}
	err = restore_set(v, &set, w->order.to, w->order.paths, w->order.n_paths, &w->task);
	if (err && err != -ERR_DIFFERS)
		report_failed(w, err, NULL);
	else
		report_done(w, err, &set, 0, NULL);
	set_row_fini(&set);
	return err;
}

static int
list_sets(struct work *w, struct vault *v)
{
	struct report r = {.id = w->order.id, .kind = REPORT_DONE};
	struct set_row *sets;
	size_t n;
	int err = catalogue_sets(v->catalogue, &sets, &n);

	if (!err) {
		r.sets = calloc(n + 1, sizeof *r.sets);
		for (size_t i = 0; r.sets && i < n; i++)
			if (sets[i].state == SET_SEALED)
				r.sets[r.n_sets++] = report_of(w, &sets[i]);
		if (r.sets)
			keeper_outbox_post(w->outbox, &r);
		else
			err = err_set(ERR_NOMEM, "out of memory for the list of sets");
		free(r.sets);
		catalogue_sets_free(sets, n);
	}
	if (err)
		report_failed(w, err, NULL);
	return err;
}

/* ---- what one set holds ---- */

static void
show_name(const char *path, const struct entry *e, void *arg)
{
	struct work *w = arg;
	const struct report r = {.id = w->order.id, .kind = REPORT_ENTRY, .path = (char *)(uintptr_t)path,
	    .entry = {.kind = e->kind, .mode = e->mode, .size = e->size, .mtime_ns = e->mtime_ns}};

	keeper_outbox_post(w->outbox, &r);
}

static int
show(struct work *w, struct vault *v)
{
	const struct listing listing = {.after = w->order.after, .page = w->order.page, .name = show_name, .arg = w};
	struct report r = {.id = w->order.id, .kind = REPORT_DONE, .n_sets = 1};
	struct report_set one;
	struct set_row set;
	int err = catalogue_find(v->catalogue, w->order.set, &set);

	if (!err) {
		err = listing_page(v, &set, &listing, &w->task, &r.next);
		one = report_of(w, &set);
		r.sets = &one;
		if (!err)
			keeper_outbox_post(w->outbox, &r);
		free(r.next);
		set_row_fini(&set);
	}
	if (err)
		report_failed(w, err, NULL);
	return err;
}

static int
carry_out(struct work *w, struct vault *v)
{
	int err = task_check(&w->task);

	if (err) {
		report_failed(w, err, NULL);
		return err;
	}
	switch (w->order.kind) {
	case ORDER_SEAL:
		return seal(w, v);
	case ORDER_VERIFY:
		return verify(w, v);
	case ORDER_RESTORE:
		return restore(w, v);
	case ORDER_SETS:
		return list_sets(w, v);
	case ORDER_SHOW:
		return show(w, v);
	case ORDER_STOP:
		break; /* the loop's */
	}
	err = err_set(ERR_UNSUPPORTED, "no such order");
	report_failed(w, err, NULL);
	return err;
}

/* ---- by itself ---- */

/* The newest set that was not yet re-read; 1 when all were. */
static int
find_unread(struct vault *v, struct set_row *ret_set)
{
	struct set_row *sets;
	size_t n;
	int err = catalogue_sets(v->catalogue, &sets, &n);

	if (err)
		return err;
	err = 1;
	for (size_t i = n; err && i-- > 0;)
		if (sets[i].state == SET_SEALED && !sets[i].scrubbed_ns) {
			*ret_set = sets[i];
			sets[i].note = NULL;
			err = 0;
		}
	catalogue_sets_free(sets, n);
	return err;
}

struct scrub {
	struct work *work;
	struct vault *vault;
	struct set_row set;
	uint64_t differences;
	struct verify_sharers sharers;
};

static int
reread(void *arg)
{
	struct scrub *s = arg;

	return verify_set(s->vault, &s->set, VERIFY_NEW, &s->work->task, &s->differences, &s->sharers);
}

static int
scrub(struct work *w, struct vault *v)
{
	struct scrub s = {.work = w, .vault = v};
	int err = find_unread(v, &s.set);

	if (err)
		return err < 0 ? err : 0;
	err = crew_quietly(reread, &s);
	w->scrub_due = err == 0 || err == -ERR_STOPPED;
	if (!err && s.differences)
		log_error("keeper.scrub", "profile=%s set=%s %" PRIu64 " files are not what was sealed", w->profile, s.set.name, s.differences);
	if (!err) {
		report_sharers(w, &s.set, &s.sharers);
		report_done(w, verdict(&s.set, s.differences), &s.set, 0, NULL);
	}
	set_row_fini(&s.set);
	return err;
}

static int
recover(struct work *w, struct vault *v)
{
	int err = backupset_recover(v);

	if (!err)
		err = retention_recover(v);
	if (!err)
		err = retention_tick(v);
	if (*v->remade.text)
		log_error("keeper.catalogue", "profile=%s the catalogue was damaged or gone, and the ledger gave %zu sets of it again (%s): what the "
		    "others hold of the blobs is not known, and no blob leaves the disk; a damaged one lies beside it", w->profile,
		    v->remade.sets, v->remade.text);
	else if (v->rebuilt || v->remade.sets)
		log_warn("keeper.catalogue", "profile=%s the catalogue was damaged or gone, and was made again from the ledger with %zu sets; a "
		    "damaged one lies beside it", w->profile, v->remade.sets);
	w->scrub_due = !err;
	return err;
}

/* ---- all of it ---- */

/* After such an error the store is opened, and with that checked, anew. */
static bool
needs_reopening(int err)
{
	return err == -ERR_IO || err == -ERR_CORRUPT || err == -ERR_GONE;
}

static int
run_on(struct work *w, struct vault *v)
{
	switch (w->kind) {
	case WORK_ORDER:
		return carry_out(w, v);
	case WORK_RECOVER:
		return recover(w, v);
	case WORK_SCRUB:
		return scrub(w, v);
	case WORK_TICK:
		return retention_tick(v);
	}
	return 0;
}

/* A keeper whose receiver died ends soon, but not before what it has begun. */
static int
open_vault(struct work *w)
{
	const struct timespec step = {.tv_nsec = 100000000};
	int err = vault_open(w->store, w->profile, w->warden, w->vault);

	for (int i = 0; err == -ERR_BUSY && i < BUSY_PATIENCE_S * 10 && task_check(&w->task) == 0; i++) {
		nanosleep(&step, NULL);
		err = vault_open(w->store, w->profile, w->warden, w->vault);
	}
	return err;
}

void
work_run(struct work *w)
{
	int err = 0;

	w->task.progress = on_progress;
	w->task.finding = on_finding;
	w->scrub_due = false;
	if (!*w->vault) {
		err = open_vault(w);
		if (err && w->kind == WORK_ORDER)
			report_failed(w, err, NULL);
	}
	if (!err)
		err = run_on(w, *w->vault);
	if (err && w->kind != WORK_ORDER && err != -ERR_STOPPED)
		log_warn("keeper.work", "profile=%s %s", w->profile, err_text());
	if (needs_reopening(err)) {
		vault_close(*w->vault);
		*w->vault = NULL;
	}
}
