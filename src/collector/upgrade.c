/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * upgrade - one step at a time: callbacks and jobs record what came, and the pump decides what is next.
 *
 * Crash windows: before versions_store of a trial nothing has changed but files that nobody runs; after it the launcher tries the
 * release at the next start, whoever caused that.
 */
#include "collector/upgrade.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "base/version.h"
#include "base/workpool.h"
#include "collector/versions.h"
#include "release/installed.h"
#include "wire/wire.h"

#define TICK_MS 2000
#define ASK_FIRST_S 20                /* after the start: the backup comes first */
#define ASK_EVERY_S 3600
#define NOTE_EVERY_S 60              /* what became of a trial, until it stands on the disk */
#define TRIAL_S 600                   /* until the server's welcome; it was connected a moment before */
#define QUIET_TICKS 2u
#define FROZEN_S (14ll * 86400)

enum step {
	STEP_OFF,
	STEP_OPENING,   /* job: versions are read, leftovers removed */
	STEP_TRIAL,     /* this program is the one on trial */
	STEP_IDLE,
	STEP_ASKED,     /* the server, for a head */
	STEP_JUDGING,   /* job: is the head to be believed */
	STEP_BEGINNING, /* job: the folder */
	STEP_PIECE,     /* the server, for bytes */
	STEP_WRITING,   /* job: those bytes */
	STEP_FINISHING, /* job: durable, under its name */
	STEP_READY,     /* waits until nothing is going on */
	STEP_NOTING,    /* job: versions are written, and then the program is begun again when `restart` says so */
	STEP_ENDED      /* it is about to end */
};

static const char *const phases[] = {"off", "noting", "trial", "idle", "asking", "asking", "fetching", "fetching", "fetching", "fetching", "ready",
    "noting", "ending"};
_Static_assert(sizeof phases / sizeof *phases == STEP_ENDED + 1, "every step has its phase");

struct upgrade {
	struct upgrade_setup setup;
	char *state, *keys;
	struct event *tick;
	enum step step;
	struct release_version here;
	struct versions versions;      /* changed by the loop alone, and not while the lane writes them down */
	struct release_version offered;
	int64_t started_s, next_ask_s, next_note_s; /* steady */
	bool restart;                  /* after STEP_NOTING */
	bool retry;                    /* an operator wants what has failed tried again */
	bool in_flight;                /* a question to the server is not answered yet */
	unsigned quiet;                /* ticks in a row that nothing was going on: an answer to a client is still leaving in the first */
	char why[512];                 /* what the last question came to; "" = good */

	/* what the lane works on, and what it says */
	struct job job;
	int dir;                       /* <state>/upgrade; -1 = not open */
	struct versions stored;        /* as they stand there, once they were read */
	uint8_t head[RELEASE_HEAD_MAX], digest[DIGEST_BYTES];
	size_t head_len;
	struct release release;
	struct installing *installing;
	uint64_t offset;               /* bytes behind the head that were written */
	uint8_t *data;
	size_t len;
	int err;
	char text[512];
};

static void pump(struct upgrade *u);

static int64_t
wall_s(const struct upgrade *u)
{
	return u->setup.wall_s ? u->setup.wall_s() : clock_wall_ns() / 1000000000;
}

static int64_t
steady_s(const struct upgrade *u)
{
	return u->setup.steady_s ? u->setup.steady_s() : clock_steady_ms() / 1000;
}

/* ---- what the lane does ---- */

/* What runs stays, named or not: it starts its watcher and its DBCOPY from its folder. */
static int
sweep(struct upgrade *u, const struct versions *v)
{
	const struct release_version keep[] = {v->current, v->trial, u->here};

	return installed_sweep(u->dir, keep, sizeof keep / sizeof *keep);
}

static int
open_folder(struct upgrade *u)
{
	int err = u->dir = versions_open_dir(u->state);

	if (err < 0)
		return err;
	err = versions_load(u->dir, &u->stored);
	if (err == -ERR_CORRUPT)
		log_warn("upgrade.state", "%s: it begins anew", err_text());
	else if (err)
		return err;
	return sweep(u, &u->stored);
}

/* Where the bytes come from does not matter, who signed them does. */
static int
judge(struct upgrade *u)
{
	struct release_keys keys;
	int err = release_keys_load(u->keys, &keys);

	if (!err)
		err = release_read(u->head, u->head_len, &u->release);
	if (!err && u->release.head_len != u->head_len)
		err = err_set(ERR_CORRUPT, "something lies behind its head");
	if (!err)
		err = release_trust(u->head, &u->release, &keys, release_platform_here());
	if (!err)
		err = release_in_time(&u->release, wall_s(u));
	digest_once(u->head, u->head_len, u->digest);
	return err;
}

static int
finish(struct upgrade *u)
{
	struct installing *in = u->installing;

	u->installing = NULL;
	return installing_finish(in);
}

static int
note(struct upgrade *u)
{
	int err;

	installing_abandon(u->installing);
	u->installing = NULL;
	err = versions_store(u->dir, &u->versions);
	if (!err && sweep(u, &u->versions) < 0)
		log_warn("upgrade.sweep", "a release that is not wanted any more stays: %s", err_text()); /* until the next is noted */
	return err;
}

static int
work(struct upgrade *u)
{
	switch (u->step) {
	case STEP_OPENING:
		return open_folder(u);
	case STEP_JUDGING:
		return judge(u);
	case STEP_BEGINNING:
		return installing_begin(u->dir, u->head, &u->release, &u->installing);
	case STEP_WRITING:
		return installing_write(u->installing, u->data, u->len);
	case STEP_FINISHING:
		return finish(u);
	case STEP_NOTING:
		return note(u);
	default:
		return 0;
	}
}

static void
job_run(struct job *job)
{
	struct upgrade *u = (struct upgrade *)((char *)job - offsetof(struct upgrade, job));

	u->err = work(u);
	snprintf(u->text, sizeof u->text, "%s", u->err ? err_text() : "");
}

static void job_done(struct job *job, bool cancelled);

static void
submit(struct upgrade *u, enum step step)
{
	u->step = step;
	u->job = (struct job){.run = job_run, .done = job_done};
	workpool_submit(u->setup.pool, u->setup.lane, &u->job);
}

/* ---- what comes of it ---- */

static void
note_versions(struct upgrade *u, bool restart)
{
	u->restart = restart;
	submit(u, STEP_NOTING);
}

/* Nothing is installed, what was begun is removed; the next hour asks anew. */
static void
give_up(struct upgrade *u, const char *text)
{
	char why[sizeof u->why];

	snprintf(why, sizeof why, "%s", text);
	if (strcmp(why, u->why) != 0)
		log_warn("upgrade.refused", "%s", why);
	snprintf(u->why, sizeof u->why, "%s", why);
	u->next_ask_s = steady_s(u) + ASK_EVERY_S;
	u->step = STEP_IDLE;
	if (u->installing)
		note_versions(u, false);
}

static void
give_up_release(struct upgrade *u, const char *text)
{
	char version[RELEASE_VERSION_TEXT], why[sizeof u->why];

	release_version_text(&u->release.version, version);
	snprintf(why, sizeof why, "release %s of the server is not taken: %.400s", version_is_none(&u->release.version) ? "?" : version, text);
	give_up(u, why);
}

/* A head that is believed. */
static void
on_offer(struct upgrade *u)
{
	const struct release_version *v = &u->release.version;
	char version[RELEASE_VERSION_TEXT];

	u->offered = *v;
	if (!PLANTED(older_release_taken) && (release_version_compare(v, &u->here) < 0 || release_version_compare(v, &u->versions.seen) < 0)) {
		give_up_release(u, "it is older than what runs here, or than what was offered before: the server, or its folder of releases, went back; what shall be "
		    "withdrawn is replaced by a newer release");
		return;
	}
	u->versions.fresh_s = wall_s(u);
	u->versions.seen = *v;
	u->why[0] = '\0';
	u->next_ask_s = steady_s(u) + ASK_EVERY_S;
	release_version_text(v, version);
	if (release_version_compare(v, &u->here) == 0) {
		note_versions(u, false);
	} else if (release_version_compare(v, &u->versions.failed) == 0) {
		note_versions(u, false);
		snprintf(u->why, sizeof u->why, "release %s was tried and did not come up here; what ran before goes on. `tidemark upgrade now` tries it again", version);
	} else {
		log_info("upgrade.found", "release %s (%llu bytes) is fetched", version, (unsigned long long)release_bytes(&u->release));
		u->offset = 0;
		submit(u, STEP_BEGINNING);
	}
}

/* ---- what the server says ---- */

static void
on_head(int err, const char *text, const uint8_t *data, size_t len, void *arg)
{
	struct upgrade *u = arg;

	u->in_flight = false;
	if (u->step != STEP_ASKED)
		return;
	if (err == -ERR_UNREACHABLE && !u->setup.host.connected(u->setup.host.arg)) {
		u->step = STEP_IDLE; /* asked again when it is back */
	} else if (err || len > sizeof u->head) {
		give_up(u, err ? text : "the server sends a head that is too long");
	} else {
		memcpy(u->head, data, len);
		u->head_len = len;
		submit(u, STEP_JUDGING);
	}
}

static void
on_piece(int err, const char *text, const uint8_t *data, size_t len, void *arg)
{
	struct upgrade *u = arg;
	uint64_t left = release_bytes(&u->release) - u->offset;

	u->in_flight = false;
	if (u->step != STEP_PIECE)
		return;
	if (err == -ERR_UNREACHABLE && !u->setup.host.connected(u->setup.host.arg))
		return; /* the next tick asks for the same bytes */
	if (err || len != (left < WIRE_PIECE_MAX ? left : WIRE_PIECE_MAX)) {
		give_up_release(u, err ? text : "the server sends not what was asked for");
		return;
	}
	u->data = malloc(len);
	if (!u->data) {
		give_up_release(u, "out of memory");
		return;
	}
	memcpy(u->data, data, len);
	u->len = len;
	submit(u, STEP_WRITING);
}

static void
ask_piece(struct upgrade *u)
{
	uint64_t left = release_bytes(&u->release) - u->offset;

	u->step = STEP_PIECE;
	u->in_flight = true;
	/* Where nobody is connected, the next tick asks. */
	if (!u->setup.host.piece(u->digest, u->offset, left < WIRE_PIECE_MAX ? (uint32_t)left : WIRE_PIECE_MAX, on_piece, u, u->setup.host.arg))
		u->in_flight = false;
}

static void
on_opened(struct upgrade *u)
{
	if (u->err) {
		u->step = STEP_OFF;
		snprintf(u->why, sizeof u->why, "this collector cannot upgrade itself: %.400s", u->text);
		log_error("upgrade.state", "%s", u->why);
		return;
	}
	u->versions = u->stored;
	u->step = release_version_compare(&u->versions.trial, &u->here) == 0 ? STEP_TRIAL : STEP_IDLE;
	if (!u->versions.fresh_s) /* the fourteen days begin now */
		u->versions.fresh_s = wall_s(u);
}

static void
on_noted(struct upgrade *u)
{
	if (u->err) {
		log_error("upgrade.state", "what is known of releases cannot be written down (%s): it is tried again", u->text);
		u->next_ask_s = steady_s(u) + ASK_EVERY_S;
		u->step = STEP_IDLE;
		/* What became of a trial counts from when it is written: else one that failed would run on. */
		if (release_version_compare(&u->stored.trial, &u->here) == 0) {
			u->versions = u->stored;
			u->next_note_s = steady_s(u) + NOTE_EVERY_S;
			u->step = STEP_TRIAL;
		}
		return;
	}
	u->stored = u->versions;
	u->step = u->restart ? STEP_ENDED : STEP_IDLE;
	if (u->restart)
		u->setup.host.restart(u->setup.host.arg);
}

static void
job_done(struct job *job, bool cancelled)
{
	struct upgrade *u = (struct upgrade *)((char *)job - offsetof(struct upgrade, job));

	free(u->data);
	u->data = NULL;
	if (cancelled)
		return;
	if (u->step == STEP_OPENING)
		on_opened(u);
	else if (u->step == STEP_NOTING)
		on_noted(u);
	else if (u->err)
		give_up_release(u, u->text);
	else if (u->step == STEP_JUDGING)
		on_offer(u);
	else if (u->step == STEP_FINISHING)
		u->step = STEP_READY;
	else {
		u->offset += u->step == STEP_WRITING ? u->len : 0;
		if (u->offset < release_bytes(&u->release))
			ask_piece(u);
		else
			submit(u, STEP_FINISHING);
	}
	pump(u);
}

/* ---- the pump ---- */

/* This program is the release on trial: it has proved itself when the server has welcomed it. */
static void
pump_trial(struct upgrade *u)
{
	char version[RELEASE_VERSION_TEXT];
	bool proved = u->setup.host.connected(u->setup.host.arg);

	if ((!proved && steady_s(u) - u->started_s < TRIAL_S) || steady_s(u) < u->next_note_s)
		return;
	release_version_text(&u->here, version);
	if (proved) {
		log_info("upgrade.proved", "release %s runs from now on", version);
		u->versions.current = u->here;
	} else {
		log_error("upgrade.failed", "release %s has not been welcomed by the server within %d minutes: what ran before comes back", version, TRIAL_S / 60);
		u->versions.failed = u->here;
	}
	u->versions.trial = (struct release_version){{0}};
	u->versions.starts = 0;
	note_versions(u, !proved);
}

static void
pump(struct upgrade *u)
{
	const struct upgrade_host *h = &u->setup.host;

	if (u->step == STEP_TRIAL) {
		pump_trial(u);
	} else if (u->step == STEP_READY && u->quiet >= QUIET_TICKS && h->comes_up(h->arg)) {
		char version[RELEASE_VERSION_TEXT];

		release_version_text(&u->release.version, version);
		log_info("upgrade.begin", "release %s is begun, on trial", version);
		u->versions.trial = u->release.version;
		u->versions.starts = 0;
		note_versions(u, true);
	} else if (u->step == STEP_IDLE && (u->retry || steady_s(u) >= u->next_ask_s) && h->connected(h->arg)) {
		if (u->retry)
			u->versions.failed = (struct release_version){{0}};
		u->retry = false;
		u->step = STEP_ASKED;
		u->in_flight = true;
		if (!h->release(release_platform_here(), on_head, u, h->arg)) {
			u->in_flight = false;
			u->step = STEP_IDLE;
		}
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;

	(void)fd, (void)what;
	u->quiet = u->setup.host.idle(u->setup.host.arg) ? u->quiet + 1 : 0;
	if (u->step == STEP_PIECE && !u->in_flight)
		ask_piece(u);
	else
		pump(u);
}

/* ---- life ---- */

static bool
is_off(const struct upgrade *u)
{
	return strcmp(u->keys, "off") == 0;
}

int
upgrade_new(const struct upgrade_setup *setup, struct upgrade **ret_upgrade)
{
	struct upgrade *u = calloc(1, sizeof *u);
	int tick_ms = setup->tick_ms ? setup->tick_ms : TICK_MS;

	if (!u)
		return err_set(ERR_NOMEM, "preparing upgrades");
	u->setup = *setup;
	u->dir = -1;
	u->state = strdup(setup->state);
	u->keys = strdup(setup->keys);
	u->tick = event_new(setup->base, -1, EV_PERSIST, on_tick, u);
	if (!u->state || !u->keys || !u->tick) {
		upgrade_free(u);
		return err_set(ERR_NOMEM, "preparing upgrades");
	}
	u->here = release_version_here();
	u->started_s = steady_s(u);
	u->next_ask_s = u->started_s + ASK_FIRST_S;
	if (!is_off(u)) {
		event_add(u->tick, &(struct timeval){.tv_sec = tick_ms / 1000, .tv_usec = tick_ms % 1000 * 1000});
		submit(u, STEP_OPENING);
	}
	*ret_upgrade = u;
	return 0;
}

void
upgrade_free(struct upgrade *u)
{
	if (!u)
		return;
	if (u->tick)
		event_free(u->tick);
	installing_abandon(u->installing);
	free(u->data);
	if (u->dir >= 0)
		close(u->dir);
	free(u->state);
	free(u->keys);
	free(u);
}

void
upgrade_now(struct upgrade *u)
{
	u->retry = true;
	pump(u);
}

void
upgrade_status(const struct upgrade *u, struct upgrade_status *ret_status)
{
	struct upgrade_status s = {.on = !is_off(u), .phase = phases[u->step], .fresh_s = u->versions.fresh_s};
	bool frozen = s.on && u->versions.fresh_s && wall_s(u) - u->versions.fresh_s > FROZEN_S;

	snprintf(s.running, sizeof s.running, "%s", tidemark_version);
	if (!version_is_none(&u->offered))
		release_version_text(&u->offered, s.offered);
	if (frozen)
		snprintf(s.why, sizeof s.why, "for fourteen days the server has shown no release that is signed and in its time: it holds them back, or nobody "
		    "has put one there; the backup goes on%s%.256s", *u->why ? "; last: " : "", u->why);
	else
		snprintf(s.why, sizeof s.why, "%s", u->why);
	s.alarm = *s.why;
	*ret_status = s;
}
