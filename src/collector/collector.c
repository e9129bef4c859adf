/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector - the list of profiles, the threads they share, and the configuration they obey. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/workpool.h"
#include "collector/collector.h"
#include "collector/config.h"
#include "collector/enrol.h"
#include "collector/office.h"
#include "collector/state.h"
#include "collector/upgrade.h"

struct collector {
	struct event_base *base;
	struct conf *conf;
	char *file;
	struct workpool *pool;
	int lane_hash, lane_work;
	struct office **profiles;
	size_t n;
	void (*changed)(const char *profile, void *arg);
	void *changed_arg;
	void (*broken)(void *arg);
	void *broken_arg;
	void (*restart)(void *arg);
	void *restart_arg;
	struct upgrade *upgrade;
	size_t waiting;   /* operators who wait for a sync or an enrolment */
	bool told_config; /* that no upgrade begins as long as the file is wrong */
};

static const char *const state_names[] = {
    [PROFILE_OK] = "ok", [PROFILE_LATE] = "late", [PROFILE_DEGRADED] = "degraded", [PROFILE_FAILED] = "failed", [PROFILE_PAUSED] = "paused",
};
_Static_assert(sizeof state_names / sizeof *state_names == PROFILE_STATES, "every state has a name");

const char *
profile_state_name(enum profile_state state)
{
	return state_names[state];
}

static void
on_changed(const char *name, void *arg)
{
	struct collector *c = arg;

	if (c->changed)
		c->changed(name, c->changed_arg);
}

static void
on_broken(void *arg)
{
	struct collector *c = arg;

	if (c->broken)
		c->broken(c->broken_arg);
}

/* ---- upgrades ---- */

static struct office *
connected_office(const struct collector *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (office_connected(c->profiles[i]))
			return c->profiles[i];
	return NULL;
}

static bool
is_connected(void *arg)
{
	return connected_office(arg);
}

static bool
ask_release(const char *platform, replicator_bytes_done *done, void *done_arg, void *arg)
{
	struct office *p = connected_office(arg);

	if (p)
		office_release(p, platform, done, done_arg);
	return p;
}

static bool
ask_piece(const uint8_t release[32], uint64_t offset, uint32_t count, replicator_bytes_done *done, void *done_arg, void *arg)
{
	struct office *p = connected_office(arg);

	if (p)
		office_piece(p, release, offset, count, done, done_arg);
	return p;
}

static bool
is_idle(void *arg)
{
	const struct collector *c = arg;

	for (size_t i = 0; i < c->n; i++)
		if (!office_idle(c->profiles[i]))
			return false;
	return c->waiting == 0;
}

/* Whoever begins again reads the configuration, and with one that is wrong nobody starts it: not the former program either. */
static bool
comes_up(void *arg)
{
	struct collector *c = arg;
	struct conf *conf;

	if (collector_config_load(c->file, &conf) == 0) {
		conf_free(conf);
		c->told_config = false;
		return true;
	}
	if (!c->told_config)
		log_lines(LOG_ERROR, "upgrade.config", "no release begins before the configuration is right: ", err_text());
	c->told_config = true;
	return false;
}

static void
on_restart(void *arg)
{
	struct collector *c = arg;

	if (c->restart)
		c->restart(c->restart_arg);
}

static int
open_upgrade(struct collector *c)
{
	const struct collector_config *config = collector_config_main(c->conf);
	const struct upgrade_setup setup = {
	    .base = c->base, .pool = c->pool, .lane = c->lane_work, .state = config->state, .keys = config->upgrade_keys,
	    .host = {.connected = is_connected, .release = ask_release, .piece = ask_piece, .idle = is_idle, .comes_up = comes_up, .restart = on_restart, .arg = c}};

	return upgrade_new(&setup, &c->upgrade);
}

/* ---- life ---- */

static int
open_profiles(struct collector *c)
{
	size_t n = conf_count(c->conf, "profile");

	c->profiles = calloc(n + 1, sizeof(struct office *));
	if (!c->profiles)
		return err_set(ERR_NOMEM, "opening the profiles");
	for (size_t i = 0; i < n; i++) {
		struct office_setup setup = {
		    .base = c->base,
		    .pool = c->pool,
		    .lane_hash = c->lane_hash,
		    .lane_work = c->lane_work,
		    .conf = c->conf,
		    .config_file = c->file,
		    .name = conf_nth(c->conf, "profile", i)->name,
		    .changed = on_changed,
		    .broken = on_broken,
		    .arg = c,
		};
		int err = office_new(&setup, &c->profiles[c->n]);

		if (err)
			return err;
		c->n++;
	}
	return 0;
}

static int
open_lanes(struct collector *c)
{
	int err = workpool_new(c->base, &c->pool);

	if (err)
		return err;
	c->lane_hash = workpool_add_lane(c->pool, "hash", (unsigned)collector_config_main(c->conf)->workers);
	c->lane_work = workpool_add_lane(c->pool, "work", 1);
	return c->lane_hash < 0 ? c->lane_hash : c->lane_work < 0 ? c->lane_work : 0;
}

int
collector_new(struct event_base *base, struct conf *conf, const char *file, struct collector **ret_collector)
{
	struct collector *c = calloc(1, sizeof *c);
	int err, fd;

	if (!c)
		return err_set(ERR_NOMEM, "starting");
	c->base = base;
	c->conf = conf;
	c->file = strdup(file);
	fd = state_open_dir(collector_config_main(conf)->state);
	err = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
	if (err == 0)
		err = c->file ? open_lanes(c) : err_set(ERR_NOMEM, "starting");
	if (err == 0)
		err = open_profiles(c);
	if (err == 0)
		err = open_upgrade(c);
	if (err) {
		c->conf = NULL; /* not taken */
		collector_free(c);
		return err;
	}
	*ret_collector = c;
	return 0;
}

void
collector_free(struct collector *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		office_end(c->profiles[i]);
	/* Jobs that ran have told their owners by now; those own nothing of a profile's that is still open. */
	workpool_free(c->pool);
	for (size_t i = 0; i < c->n; i++)
		office_free(c->profiles[i]);
	upgrade_free(c->upgrade);
	free(c->profiles);
	conf_free(c->conf);
	free(c->file);
	free(c);
}

/* ---- reload ---- */

static bool
same_place(const struct conf *was, const struct conf *is)
{
	const struct collector_config *a = collector_config_main(was), *b = collector_config_main(is);

	if (strcmp(a->server, b->server) != 0 || strcmp(a->state, b->state) != 0 || strcmp(a->run_dir, b->run_dir) != 0 ||
	    strcmp(a->upgrade_keys, b->upgrade_keys) != 0 || a->workers != b->workers ||
	    conf_count(was, "profile") != conf_count(is, "profile"))
		return false;
	for (size_t i = 0; conf_nth(was, "profile", i); i++) {
		const struct profile_config *p = conf_nth(was, "profile", i)->values;
		const struct profile_config *q = collector_config_profile(is, conf_nth(was, "profile", i)->name);

		if (!q || p->type != q->type || strcmp(p->path, q->path) != 0 || p->rescan_ms != q->rescan_ms || p->index_poll_ms != q->index_poll_ms)
			return false;
	}
	return true;
}

int
collector_reload(struct collector *c)
{
	struct conf *conf;
	int err = collector_config_load(c->file, &conf);

	if (err)
		return err;
	if (!same_place(c->conf, conf)) {
		conf_free(conf);
		return err_set(ERR_CONFIG, "%s: server, state, run-dir, workers, upgrade-keys, profiles and their type, path, rescan and index-poll need a restart", c->file);
	}
	for (size_t i = 0; err == 0 && i < c->n; i++)
		err = office_reload(c->profiles[i], conf);
	if (err) {
		/* All or nothing: what read the new file reads the old one again. */
		for (size_t i = 0; i < c->n; i++)
			office_reload(c->profiles[i], c->conf);
		conf_free(conf);
		return err;
	}
	conf_free(c->conf);
	c->conf = conf;
	log_set_level((enum log_level)collector_config_main(conf)->log_level);
	return 0;
}

/* ---- questions and orders ---- */

const char *
collector_state_dir(const struct collector *c)
{
	return collector_config_main(c->conf)->state;
}

size_t
collector_count(const struct collector *c)
{
	return c->n;
}

bool
collector_status(struct collector *c, size_t i, struct collector_profile_status *ret_status)
{
	if (i >= c->n)
		return false;
	office_status(c->profiles[i], ret_status);
	return true;
}

int
collector_find(const struct collector *c, const char *profile)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(office_name(c->profiles[i]), profile) == 0)
			return (int)i;
	return err_set(ERR_NOTFOUND, "there is no profile \"%s\" in %s", profile, c->file);
}

static struct office *
find(const struct collector *c, const char *profile)
{
	int i = collector_find(c, profile);

	return i < 0 ? NULL : c->profiles[i];
}

struct syncing {
	struct collector *collector;
	collector_done *done;
	void *arg;
};

static void
synced(int err, const char *text, void *arg)
{
	struct syncing *s = arg;

	s->collector->waiting--;
	s->done(err, text, s->arg);
	free(s);
}

int
collector_sync(struct collector *c, const char *profile, collector_done *done, void *arg)
{
	struct office *p = find(c, profile);
	struct syncing *s = p ? malloc(sizeof *s) : NULL;
	int err;

	if (!s)
		return p ? err_set(ERR_NOMEM, "waiting for a sync") : -ERR_NOTFOUND;
	*s = (struct syncing){c, done, arg};
	err = office_sync(p, synced, s);
	if (err)
		free(s);
	else
		c->waiting++;
	return err;
}

int
collector_backup(struct collector *c, const char *profile, const char *origin, void (*done)(const struct job_record *record, void *arg), void *arg,
    uint64_t *ret_id)
{
	struct office *p = find(c, profile);

	return p ? office_backup(p, origin, done, arg, ret_id) : -ERR_NOTFOUND;
}

int
collector_stop(struct collector *c, const char *profile, const char *who)
{
	struct office *p = find(c, profile);

	return p ? office_stop(p, who) : -ERR_NOTFOUND;
}

int
collector_pause(struct collector *c, const char *profile, bool paused)
{
	struct office *p = find(c, profile);

	return p ? office_pause(p, paused) : -ERR_NOTFOUND;
}

int
collector_set_bandwidth(struct collector *c, const char *profile, uint64_t bytes_per_s)
{
	struct office *p = find(c, profile);

	return p ? office_bandwidth(p, bytes_per_s) : -ERR_NOTFOUND;
}

int
collector_sets(struct collector *c, const char *profile, replicator_sets_done *done, void *arg)
{
	struct office *p = find(c, profile);

	return p ? office_sets(p, done, arg) : -ERR_NOTFOUND;
}

int
collector_names(struct collector *c, const char *profile, const char *set, const char *after, replicator_names_done *done, void *arg)
{
	struct office *p = find(c, profile);

	return p ? office_names(p, set, after, done, arg) : -ERR_NOTFOUND;
}

const struct jobs *
collector_jobs(const struct collector *c, const char *profile)
{
	struct office *p = find(c, profile);

	return p ? office_jobs(p) : NULL;
}

int
collector_troubles(struct collector *c, const char *profile, void (*done)(int err, struct journal_trouble *troubles, size_t n, void *arg), void *arg)
{
	struct office *p = find(c, profile);

	return p ? office_troubles(p, done, arg) : -ERR_NOTFOUND;
}

void
collector_on_broken(struct collector *c, void (*broken)(void *arg), void *arg)
{
	c->broken = broken;
	c->broken_arg = arg;
}

void
collector_on_restart(struct collector *c, void (*restart)(void *arg), void *arg)
{
	c->restart = restart;
	c->restart_arg = arg;
}

void
collector_upgrade_status(const struct collector *c, struct upgrade_status *ret_status)
{
	upgrade_status(c->upgrade, ret_status);
}

int
collector_upgrade_now(struct collector *c)
{
	struct upgrade_status s;

	upgrade_status(c->upgrade, &s);
	if (!s.on)
		return err_set(ERR_UNSUPPORTED, "upgrades are off: upgrade-keys in %s names no file of keys that sign releases", c->file);
	upgrade_now(c->upgrade);
	return 0;
}

void
collector_on_change(struct collector *c, void (*changed)(const char *profile, void *arg), void *arg)
{
	c->changed = changed;
	c->changed_arg = arg;
}

/* ---- enrolment ---- */

struct enrolling {
	struct collector *collector;
	char profile[64];
	collector_done *done;
	void *arg;
};

static void
enrolled(int err, const char *text, void *arg)
{
	struct enrolling *e = arg;
	struct office *p = find(e->collector, e->profile);

	if (err == 0) {
		log_info("enrol.done", "profile=%s", e->profile);
		if (p)
			office_enrolled(p);
	}
	e->collector->waiting--;
	e->done(err, text, e->arg);
	free(e);
}

int
collector_enrol(struct collector *c, const char *profile, const char *token, collector_done *done, void *arg)
{
	struct enrolling *e;
	char *dir = NULL;
	int err;

	if (!find(c, profile))
		return err_set(ERR_NOTFOUND, "there is no profile \"%s\" in %s: write its section first, then reload or restart", profile, c->file);
	e = calloc(1, sizeof *e);
	if (!e || asprintf(&dir, "%s/identity", collector_state_dir(c)) < 0) {
		free(e);
		return err_set(ERR_NOMEM, "enrolling");
	}
	e->collector = c;
	e->done = done;
	e->arg = arg;
	snprintf(e->profile, sizeof e->profile, "%s", profile);
	c->waiting++;
	err = enrol_start(c->base, c->pool, c->lane_work, dir, profile, token, enrolled, e);
	if (err) {
		c->waiting--;
		free(e);
	}
	free(dir);
	return err;
}
