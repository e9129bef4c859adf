/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * office - holds one profile's parts together and decides what its state is.
 *
 * The order in which parts come: journal, block map, history and watcher at once; tree and identity as soon as they are
 * there; then replicator, snapshot and schedule.  A tick every five seconds opens what is missing, pokes the replicator
 * (a lost poke costs one tick) and looks at the schedule (a clock that jumped costs one tick too).
 */
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/workpool.h"
#include "collector/config.h"
#include "collector/memo.h"
#include "collector/office_private.h"
#include "collector/schedule.h"
#include "collector/snapshot.h"
#include "collector/state.h"
#include "collector/watcher_link.h"
#include "journal/blockmap.h"
#include "journal/journal.h"
#include "livetree.h"
#include "wire/identity.h"

static const struct timeval tick_every = {5, 0};

static void
changed(struct office *p)
{
	if (!p->ended)
		p->setup.changed(p->name, p->setup.arg);
}

/* ---- the replicator's and the watcher's news ---- */

static void
on_link(bool up, const char *why, void *arg)
{
	struct office *p = arg;

	if (up)
		log_info("link.up", "profile=%s", p->name);
	else
		log_warn("link.down", "profile=%s: %s: changes are remembered and sent later", p->name, why);
	changed(p);
}

static void
on_stop(uint64_t job, const char *origin, void *arg)
{
	struct office *p = arg;
	const struct job_record *running = p->snapshot ? snapshot_job(p->snapshot) : NULL;
	char who[96];

	snprintf(who, sizeof who, "server (%.80s)", origin);
	if (running && running->id == job)
		snapshot_stop(p->snapshot, who);
}

/* A new set, too: what is due next is then another run. */
static void
on_state(void *arg)
{
	struct office *p = arg;

	if (p->replicator)
		replicator_set_due(p->replicator, office_due_ns(p));
	changed(p);
}

static void
on_poke(void *arg)
{
	struct office *p = arg;

	if (p->replicator)
		replicator_poke(p->replicator);
}

static void
on_watching(void *arg)
{
	struct office *p = arg;

	if (p->replicator)
		replicator_watched(p->replicator);
}

static void
on_watcher(void *arg)
{
	changed(arg);
}

static void
on_job(const struct job_record *record, void *arg)
{
	struct office *p = arg;

	/* DBCOPY has ended well as soon as the job streams. */
	if (record->phase > JOB_COPY && record->result == JOB_RUNNING && memo_facts(p->memo)->last_dbcopy_ns < record->t0_ns) {
		memo_facts(p->memo)->last_dbcopy_ns = clock_wall_ns();
		memo_store(p->memo);
	}
	changed(p);
}

static const struct replicator_events replicator_events = {.link = on_link, .stop = on_stop, .state = on_state};
static const struct watcher_link_events watcher_events = {.poke = on_poke, .up = on_watching, .changed = on_watcher};

/* ---- opening what is missing ---- */

/* Of a job that was to be sealed the server knows more than we do, and WELCOME tells. */
static void
tell_lost(struct office *p)
{
	const struct job_record *r = &p->lost;
	const struct replicator_job_end end = {.job = r->id, .date = r->date, .t0_ns = r->t0_ns, .origin = r->origin, .code = r->code, .text = r->text};

	if (r->id && r->phase < JOB_NOTIFY)
		replicator_job_end(p->replicator, &end);
	p->lost.id = 0;
}

/* As many as shall read and hash, and no more than there are processors for. */
static unsigned
scan_hands(const struct office *p)
{
	unsigned workers = (unsigned)collector_config_main(p->setup.conf)->workers, hands = crew_size();

	return workers < hands ? workers : hands;
}

static int
open_replicator(struct office *p)
{
	struct replicator_setup setup = {
	    .base = p->setup.base,
	    .pool = p->setup.pool,
	    .lane_journal = p->lane_journal,
	    .lane_hash = p->setup.lane_hash,
	    .hands = scan_hands(p),
	    .tree = p->tree,
	    .journal = p->journal,
	    .map = p->map,
	    .identity = p->identity,
	    .profile = p->name,
	    .server = collector_config_main(p->setup.conf)->server,
	    .cookie_dir = p->cookie_dir,
	    .bandwidth = p->config->bandwidth,
	    .rescan_ms = p->config->rescan_ms,
	    .index_poll_ms = p->config->index_poll_ms,
	};
	struct snapshot_setup day = {
	    .base = p->setup.base,
	    .pool = p->setup.pool,
	    .lane = p->setup.lane_work,
	    .tree = p->tree,
	    .jobs = p->jobs,
	    .config = p->config,
	    .zone = p->zone,
	    .profile = p->name,
	    .profile_dir = p->dir,
	};
	int err = replicator_new(&setup, &replicator_events, p, &p->replicator);

	if (err)
		return err;
	day.replicator = p->replicator;
	err = snapshot_new(&day, &p->snapshot);
	if (err)
		return err;
	snapshot_on_change(p->snapshot, on_job, p);
	office_begin_schedule(p);
	replicator_pause(p->replicator, memo_facts(p->memo)->paused);
	tell_lost(p);
	return 0;
}

void
office_try(struct office *p)
{
	if (p->ended || p->replicator)
		return;
	if (!p->tree)
		office_open_tree(p);
	if (!p->identity && identity_open_collector(p->identity_dir, p->name, &p->identity) != 0)
		p->identity = NULL;
	if (p->tree && p->identity && !p->other_root && open_replicator(p) != 0)
		log_error("profile.start", "profile=%s: %s", p->name, err_text());
	changed(p);
}

void
office_enrolled(struct office *p)
{
	struct identity *fresh;

	if (!p->replicator) {
		identity_close(p->identity);
		p->identity = NULL;
		office_try(p);
	} else if (identity_open_collector(p->identity_dir, p->name, &fresh) != 0) {
		log_error("profile.enrolled", "profile=%s: %s", p->name, err_text());
	} else {
		replicator_set_identity(p->replicator, fresh);
		identity_close(p->old_identity); /* of the enrolment before: no connection has it any more */
		p->old_identity = p->identity;
		p->identity = fresh;
	}
}

static uint32_t
today(const struct office *p)
{
	struct civil c;

	zone_civil(p->zone, clock_wall_ns() / 1000000000, &c);
	return civil_date(&c);
}

/* Nothing that the flow does from now on would be remembered, and every sync would wait for ever. */
static bool
stores_broke(struct office *p)
{
	if (!(p->journal && journal_is_broken(p->journal)) && !(p->map && blockmap_is_broken(p->map)))
		return false;
	log_error("profile.broken", "profile=%s: its %s could not be written to disk and takes no more changes: the collector ends, and the next start "
	    "compares what is in doubt; look at the disk that holds %s", p->name, p->map && blockmap_is_broken(p->map) ? "block map" : "journal", p->dir);
	return true;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct office *p = arg;

	(void)fd, (void)what;
	if (p->ended)
		return;
	if (stores_broke(p)) {
		p->setup.broken(p->setup.arg);
		return;
	}
	office_try(p);
	if (p->replicator) {
		office_learn_volumes(p);
		replicator_poke(p->replicator);
		replicator_set_due(p->replicator, office_due_ns(p));
	}
	office_keep_schedule(p);
	evtimer_add(p->tick, &tick_every);
}

/* ---- life ---- */

static int
read_policies(struct office *p, const struct profile_config *config)
{
	struct schedule *schedule = NULL;
	struct zone *zone = NULL;
	int err = schedule_parse(&config->schedule, &schedule);

	if (err == 0)
		err = zone_load(config->timezone, &zone);
	if (err) {
		schedule_free(schedule);
		return err;
	}
	schedule_free(p->schedule);
	zone_free(p->zone);
	p->schedule = schedule;
	p->zone = zone;
	p->config = config;
	return 0;
}

static int
open_stores(struct office *p)
{
	char *history = NULL;
	bool rebuilt_journal = false, rebuilt_map = false;
	int fd = state_open_dir(p->dir), err = fd < 0 ? fd : 0;

	if (fd >= 0) {
		int cookies = fsio_make_dirs(fd, "cookies", true);

		if (cookies >= 0)
			close(cookies);
		err = cookies < 0 ? cookies : 0;
		close(fd);
	}
	if (err == 0 && asprintf(&history, "%s/jobs", p->dir) < 0)
		err = err_set(ERR_NOMEM, "opening profile %s", p->name);
	if (err == 0)
		err = memo_open(p->dir, p->setup.pool, p->setup.lane_work, &p->memo);
	if (err == 0)
		err = jobs_open(history, p->setup.pool, p->setup.lane_work, &p->jobs);
	if (err == 0)
		err = journal_open(p->dir, p->name, &p->journal, &rebuilt_journal);
	if (err == 0)
		err = blockmap_open(p->dir, p->name, &p->map, &rebuilt_map);
	if (err == 0)
		err = office_doubt_after_boot(p);
	if (rebuilt_journal || rebuilt_map)
		log_warn("profile.rebuilt", "profile=%s: the %s was damaged and has been set aside; the server is compared and only differences are sent",
		    p->name, rebuilt_journal ? "journal" : "block map");
	free(history);
	return err;
}

static int
name_paths(struct office *p)
{
	const char *state = collector_config_main(p->setup.conf)->state;

	p->name = strdup(p->setup.name);
	p->config_file = strdup(p->setup.config_file);
	p->dir = collector_profile_dir(p->setup.conf, p->setup.name);
	if (asprintf(&p->identity_dir, "%s/identity", state) < 0)
		p->identity_dir = NULL;
	if (!p->dir || asprintf(&p->cookie_dir, "%s/cookies", p->dir) < 0)
		p->cookie_dir = NULL;
	return p->name && p->config_file && p->dir && p->identity_dir && p->cookie_dir ? 0 : err_set(ERR_NOMEM, "opening profile %s", p->setup.name);
}

int
office_new(const struct office_setup *setup, struct office **ret_office)
{
	struct office *p = calloc(1, sizeof *p);
	int err;

	if (!p)
		return err_set(ERR_NOMEM, "opening profile %s", setup->name);
	p->setup = *setup;
	p->started_ns = clock_wall_ns();
	p->lane_journal = -1;
	err = name_paths(p);
	if (err == 0)
		err = read_policies(p, collector_config_profile(setup->conf, setup->name));
	if (err == 0 && (p->lane_journal = workpool_add_lane(setup->pool, "journal", 1)) < 0)
		err = p->lane_journal;
	if (err == 0)
		err = open_stores(p);
	if (err == 0) {
		office_close_lost_jobs(p);
		err = watcher_link_new(setup->base, setup->conf, p->config_file, p->name, &watcher_events, p, &p->watcher);
	}
	if (err == 0 && !(p->tick = evtimer_new(setup->base, on_tick, p)))
		err = err_set(ERR_NOMEM, "opening profile %s", p->name);
	if (err) {
		office_end(p); /* no replicator yet: nothing of ours is in the pool but what frees itself */
		office_free(p);
		return err;
	}
	event_active(p->tick, EV_TIMEOUT, 0);
	*ret_office = p;
	return 0;
}

void
office_end(struct office *p)
{
	p->ended = true;
	if (p->tick)
		event_free(p->tick);
	p->tick = NULL;
	snapshot_free(p->snapshot);
	p->snapshot = NULL;
	watcher_link_free(p->watcher);
	p->watcher = NULL;
}

void
office_free(struct office *p)
{
	if (!p)
		return;
	replicator_free(p->replicator);
	memo_close(p->memo);
	jobs_close(p->jobs);
	journal_close(p->journal);
	blockmap_close(p->map);
	livetree_close(p->tree);
	identity_close(p->identity);
	identity_close(p->old_identity);
	schedule_free(p->schedule);
	zone_free(p->zone);
	free(p->name);
	free(p->dir);
	free(p->identity_dir);
	free(p->cookie_dir);
	free(p->config_file);
	free(p);
}

const char *
office_name(const struct office *p)
{
	return p->name;
}

int
office_reload(struct office *p, const struct conf *conf)
{
	const struct profile_config *config = collector_config_profile(conf, p->name);
	int err = read_policies(p, config);

	if (err)
		return err;
	p->setup.conf = conf;
	if (p->replicator)
		replicator_set_bandwidth(p->replicator, config->bandwidth);
	if (p->snapshot)
		snapshot_set_config(p->snapshot, config, p->zone);
	event_active(p->tick, EV_TIMEOUT, 0); /* a schedule that is new may be due */
	return 0;
}

/* ---- orders ---- */

static int
not_running(const struct office *p)
{
	if (!p->identity)
		return err_set(ERR_DENIED, "profile %s is not enrolled: `tidemark token create %s` on the server, then `tidemark enrol %s TOKEN` here", p->name,
		    p->name, p->name);
	return err_set(ERR_BUSY, "profile %s is not running: %s", p->name, *p->trouble ? p->trouble : "see the collector's log");
}

int
office_sync(struct office *p, collector_done *done, void *arg)
{
	uint64_t barrier;

	if (!p->replicator)
		return not_running(p);
	if (memo_facts(p->memo)->paused)
		return err_set(ERR_BUSY, "profile %s is paused: nothing is sent until `tidemark resume %s`", p->name, p->name);
	return replicator_barrier(p->replicator, done, arg, &barrier);
}

int
office_backup(struct office *p, const char *origin, void (*done)(const struct job_record *record, void *arg), void *arg, uint64_t *ret_id)
{
	if (!p->snapshot)
		return not_running(p);
	if (memo_facts(p->memo)->paused)
		return err_set(ERR_BUSY, "profile %s is paused: no backup can be made until `tidemark resume %s`", p->name, p->name);
	return snapshot_start(p->snapshot, origin, today(p), done, arg, ret_id);
}

int
office_stop(struct office *p, const char *who)
{
	return p->snapshot ? snapshot_stop(p->snapshot, who) : not_running(p);
}

int
office_pause(struct office *p, bool paused)
{
	struct memo_facts *memo = memo_facts(p->memo);

	/* A pause that ends says nothing about the tree. */
	if (!paused && !memo->paused)
		office_accept_tree(p);
	memo->paused = paused;
	memo_store(p->memo);
	if (p->replicator)
		replicator_pause(p->replicator, paused);
	office_try(p);
	changed(p);
	return 0;
}

int
office_bandwidth(struct office *p, uint64_t bytes_per_s)
{
	if (!p->replicator)
		return not_running(p);
	replicator_set_bandwidth(p->replicator, bytes_per_s);
	return 0;
}

int
office_sets(struct office *p, replicator_sets_done *done, void *arg)
{
	if (!p->replicator)
		return not_running(p);
	replicator_sets(p->replicator, done, arg);
	return 0;
}

int
office_names(struct office *p, const char *set, const char *after, replicator_names_done *done, void *arg)
{
	if (!p->replicator)
		return not_running(p);
	replicator_names(p->replicator, set, after, done, arg);
	return 0;
}

const struct jobs *
office_jobs(const struct office *p)
{
	return p->jobs;
}

struct trouble_job {
	struct job job;
	struct office *profile;
	struct journal_trouble *troubles;
	size_t n;
	int err;
	void (*done)(int err, struct journal_trouble *troubles, size_t n, void *arg);
	void *arg;
};

static void
troubles_run(struct job *job)
{
	struct trouble_job *t = (struct trouble_job *)job;

	t->err = journal_troubles(t->profile->journal, 1000, &t->troubles, &t->n);
}

static void
troubles_done(struct job *job, bool cancelled)
{
	struct trouble_job *t = (struct trouble_job *)job;

	t->done(cancelled ? -ERR_STOPPED : t->err, t->troubles, t->n, t->arg);
	journal_troubles_free(t->troubles, t->n);
	free(t);
}

bool
office_connected(const struct office *p)
{
	struct replicator_status s;

	if (p->ended || !p->replicator)
		return false;
	replicator_status(p->replicator, &s);
	return s.connected;
}

bool
office_idle(const struct office *p)
{
	return !p->snapshot || !snapshot_job(p->snapshot);
}

void
office_release(struct office *p, const char *platform, replicator_bytes_done *done, void *arg)
{
	replicator_release(p->replicator, platform, done, arg);
}

void
office_piece(struct office *p, const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *arg)
{
	replicator_piece(p->replicator, release, offset, count, done, arg);
}

int
office_troubles(struct office *p, void (*done)(int err, struct journal_trouble *troubles, size_t n, void *arg), void *arg)
{
	struct trouble_job *t = calloc(1, sizeof *t);

	if (!t)
		return err_set(ERR_NOMEM, "asking for troubles");
	*t = (struct trouble_job){.job = {.run = troubles_run, .done = troubles_done}, .profile = p, .done = done, .arg = arg};
	workpool_submit(p->setup.pool, p->lane_journal, &t->job);
	return 0;
}
