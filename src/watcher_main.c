/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tidemark-watcher - sees one profile's tree and remembers its changes: kernel queue -> journal, and nothing else.
 *
 * It outlives the collector.  Draining the queue goes before everything, also while a commit waits for the disk.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/confine.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/workpool.h"
#include "collector/config.h"
#include "collector/state.h"
#include "collector/watcher_link.h"
#include "control/daemon.h"
#include "journal/journal.h"
#include "livetree.h"
#include "watcher/handover.h"
#include "watcher/source.h"
#include "watcher/watcher.h"

#define EVENTS_A_TURN 65536u
#define REPLACE_TRIES 200u

static const struct timeval poll_every = {60, 0}, young_every = {0, 250000}, retry_every = {5, 0};
static const struct timespec replace_every = {0, 100000000};

struct program {
	const char *profile;
	const struct profile_config *config;
	const char *run_dir;
	bool replace;
	char *fingerprint;
	struct event_base *base;
	struct daemon *daemon;
	struct livetree *tree;
	struct source *source;
	struct watcher *watcher;
	struct journal *journal;
	struct handover *handover;
	struct event *readable, *poll, *ripen;
	char cookie_dir[4096];
	bool root_was_gone, ending;
	bool lossy; /* a change was lost: nothing that came after it may be remembered, for a cookie would vouch for it */

	struct workpool *pool;
	int lane;
	struct job job;          /* the append under way */
	bool appending;
	struct change *batch;
	size_t n_batch;
	int append_err;
	char append_text[512];
};

/* ---- remembering ---- */

/* On the lane: the journal is its alone, until the lane has ended. */
static void
append_run(struct job *job)
{
	struct program *p = (struct program *)((char *)job - offsetof(struct program, job));

	p->append_err = journal_append(p->journal, p->batch, p->n_batch);
	if (p->append_err)
		snprintf(p->append_text, sizeof p->append_text, "%s", err_text());
}

/* When even that failed the journal holds "rescan everything", or we end: the next start compares all. */
static void
judge_append(struct program *p)
{
	if (p->append_err == -ERR_NOSPACE) {
		log_error("watcher.append", "profile=%s: %s: the tree will be compared as a whole once there is space", p->profile, p->append_text);
	} else if (p->append_err) {
		log_error("watcher.append", "profile=%s: %s: ending; the next start compares the whole tree", p->profile, p->append_text);
		p->lossy = true;
		daemon_end(p->daemon, 1);
	} else {
		handover_poke(p->handover, p->batch[p->n_batch - 1].seq);
	}
	journal_changes_free(p->batch, p->n_batch);
	p->batch = NULL;
	p->appending = false;
}

static void append_ripe(struct program *p);

static void
append_done(struct job *job, bool cancelled)
{
	struct program *p = (struct program *)((char *)job - offsetof(struct program, job));

	if (cancelled)
		append_run(job); /* the lane ends before it began: nobody else is at the journal */
	judge_append(p);
	if (!p->ending)
		append_ripe(p);
}

static void
fail(struct program *p)
{
	log_error("watcher.turn", "profile=%s: %s: ending; the next start compares the whole tree", p->profile, err_text());
	p->lossy = true;
	daemon_end(p->daemon, 1);
}

/*
 * A commit may take longer than a burst needs to fill the kernel's queue.  So one commit is under way on a thread of its
 * own, and what is drained meanwhile waits, folded, for the next.
 */
static void
append_ripe(struct program *p)
{
	if (p->appending || p->lossy)
		return;
	if (watcher_take(p->watcher, clock_wall_ns(), &p->batch, &p->n_batch) != 0) {
		fail(p);
	} else if (p->n_batch) {
		p->appending = true;
		p->job = (struct job){.run = append_run, .done = append_done};
		if (p->ending)
			append_done(&p->job, true);
		else
			workpool_submit(p->pool, p->lane, &p->job);
	} else {
		free(p->batch);
		p->batch = NULL;
	}
	if (!event_pending(p->ripen, EV_TIMEOUT, NULL) && watcher_waits(p->watcher))
		evtimer_add(p->ripen, &young_every);
}

/* ---- seeing ---- */

/* The administrator hears at once that the tree went, and it is looked for more often. */
static void
tell_root(struct program *p)
{
	struct watcher_figures f;

	watcher_figures(p->watcher, &f);
	if (f.root_gone == p->root_was_gone)
		return;
	p->root_was_gone = f.root_gone;
	if (f.root_gone)
		log_error("watcher.root", "profile=%s: %s is gone or not mounted: nothing is taken for deleted; mount it again", p->profile, p->config->path);
	else
		log_info("watcher.root", "profile=%s: %s is back and is compared", p->profile, p->config->path);
	evtimer_add(p->poll, f.root_gone ? &retry_every : &poll_every);
}

/* Drains, remembers; comes again when the budget ended first: the library may hold events that the descriptor no longer
 * tells of. */
static void
turn(struct program *p)
{
	bool more;

	if (watcher_drain(p->watcher, EVENTS_A_TURN, clock_wall_ns(), &more) != 0) {
		fail(p);
		return;
	}
	tell_root(p);
	append_ripe(p);
	if (more && !p->ending)
		event_active(p->readable, EV_READ, 0);
}

/* Drains to the end and waits until all of it is in the journal. */
static void
turn_last(struct program *p)
{
	p->ending = true;
	workpool_free(p->pool);
	p->pool = NULL;
	if (p->readable && !p->lossy)
		turn(p);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	turn(arg);
}

static void
on_ripen(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	turn(arg);
}

static void
on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct program *p = arg;

	(void)fd, (void)what;
	turn(p);
	if (watcher_poll(p->watcher, clock_wall_ns()) != 0)
		log_warn("watcher.poll", "profile=%s: %s", p->profile, err_text());
	tell_root(p);
	append_ripe(p);
	evtimer_add(p->poll, p->root_was_gone ? &retry_every : &poll_every);
}

static void
on_figures(struct watcher_figures *ret_figures, void *arg)
{
	struct program *p = arg;

	if (p->watcher)
		watcher_figures(p->watcher, ret_figures);
	else
		*ret_figures = (struct watcher_figures){.root_gone = true};
}

static void
on_quit(void *arg)
{
	daemon_end(((struct program *)arg)->daemon, 0);
}

static const struct handover_events handover_events = {.figures = on_figures, .quit = on_quit};

/* ---- the start ---- */

static char *
socket_path(const struct program *p, char *path, size_t size)
{
	snprintf(path, size, "%s/watcher-%s.sock", p->run_dir, p->profile);
	return path;
}

/*
 * A service manager's watcher takes over from the one that a collector had started meanwhile.  That one ends when all it saw is in the
 * journal, and its lock goes with its process, of which no descriptor of ours tells.
 */
static int
take_lock(struct program *p, int dir)
{
	int lock = fsio_lock(dir, "watcher.lock");
	char path[4096];

	for (unsigned tries = 0; lock == -ERR_BUSY && p->replace && tries < REPLACE_TRIES; tries++) {
		handover_ask_quit(socket_path(p, path, sizeof path));
		nanosleep(&replace_every, NULL);
		lock = fsio_lock(dir, "watcher.lock");
	}
	return lock;
}

/* The profile's folder, locked; the lock lives as long as we do. */
static int
open_state(struct program *p, const char *dir)
{
	int fd = state_open_dir(dir), lock;

	if (fd < 0)
		return fd;
	lock = take_lock(p, fd);
	if (lock < 0) {
		close(fd);
		return err_prefix(lock, "profile %s has a watcher already", p->profile);
	}
	int cookies = fsio_make_dirs(fd, "cookies", true);
	close(fd);
	if (cookies < 0)
		return err_prefix(cookies, "making the cookie folder");
	close(cookies);
	snprintf(p->cookie_dir, sizeof p->cookie_dir, "%s/cookies", dir);
	return 0;
}

static int
open_handover(struct program *p)
{
	char path[4096];

	if (p->handover)
		return 0;
	return handover_new(p->base, socket_path(p, path, sizeof path), p->fingerprint, &handover_events, p, &p->handover);
}

/* A post office may be mounted after us: wait for it, seeing SIGTERM meanwhile, and a collector that wants another path: it
 * could not have its own watcher while we hold the profile's lock.  A service manager has us up already: else it would end us for being
 * slow, again and again, and meanwhile hold back the collector, which is who tells what is missing. */
static int
open_tree(struct program *p)
{
	bool told = false;
	int err;

	while (livetree_open(p->config->path, (enum layout_type)p->config->type, &p->tree) != 0) {
		if (!told)
			log_error("watcher.open", "profile=%s: %s: trying again every 5 s", p->profile, err_text());
		if ((err = open_handover(p)) != 0)
			return err;
		if (!told)
			daemon_ready(p->daemon, "waiting for the tree");
		told = true;
		event_base_loopexit(p->base, &retry_every);
		if (daemon_run(p->daemon) != 0 || daemon_ended(p->daemon))
			return -ERR_STOPPED;
	}
	return 0;
}

static int
watch(struct program *p)
{
	int err = source_inotify_open(&p->source);

	if (err == 0)
		err = watcher_new(p->tree, p->source, p->cookie_dir, &p->watcher);
	if (err == 0)
		err = watcher_start(p->watcher, clock_wall_ns());
	if (err == 0)
		err = open_handover(p);
	if (err == 0)
		err = workpool_new(p->base, &p->pool);
	if (err == 0 && (p->lane = workpool_add_lane(p->pool, "journal", 1)) < 0)
		err = p->lane;
	if (err)
		return err;
	p->readable = event_new(p->base, p->source->fd(p->source), EV_READ | EV_PERSIST, on_readable, p);
	p->poll = evtimer_new(p->base, on_poll, p);
	p->ripen = evtimer_new(p->base, on_ripen, p);
	if (!p->readable || !p->poll || !p->ripen || event_add(p->readable, NULL) != 0 || evtimer_add(p->poll, &poll_every) != 0)
		return err_set(ERR_NOMEM, "starting the watcher's loop");
	return 0;
}

static void
end(struct program *p)
{
	struct event *const events[] = {p->readable, p->poll, p->ripen};

	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i])
			event_free(events[i]);
	workpool_free(p->pool);
	handover_free(p->handover);
	watcher_free(p->watcher);
	if (p->source)
		p->source->close(p->source);
	journal_close(p->journal);
	livetree_close(p->tree);
	daemon_free(p->daemon);
	event_base_free(p->base);
}

static int
run(struct program *p, const struct conf *conf)
{
	char *dir = collector_profile_dir(conf, p->profile);
	struct watcher_figures f;
	bool rebuilt;
	int status = 1, err;

	p->run_dir = collector_config_main(conf)->run_dir;
	p->fingerprint = watcher_fingerprint(conf, p->profile);
	err = dir && p->fingerprint ? open_state(p, dir) : err_set(ERR_NOMEM, "starting");
	if (err == 0) {
		/* Who looks at the live tree all day cannot write there. */
		const char *const ours[] = {dir, p->run_dir};

		err = confine(CONFINE_NO_NETWORK | CONFINE_NO_PROGRAM, ours, 2);
	}
	if (err == 0)
		err = journal_open(dir, p->profile, &p->journal, &rebuilt);
	if (err == 0)
		err = open_tree(p);
	if (err == 0)
		err = watch(p);
	if (err == 0) {
		turn(p);
		watcher_figures(p->watcher, &f);
		log_info("watcher.ready", "profile=%s path=%s directories=%llu unwatched=%llu", p->profile, p->config->path,
		    (unsigned long long)f.directories, (unsigned long long)f.unwatched);
		daemon_ready(p->daemon, "watching");
		status = daemon_run(p->daemon);
		turn_last(p);
	} else if (err == -ERR_STOPPED) {
		status = 0;
	} else {
		log_error("watcher.start", "profile=%s: %s", p->profile, err_text());
		status = err_exit_status(err);
	}
	end(p);
	free(dir);
	free(p->fingerprint);
	return status;
}

int
main(int argc, char **argv)
{
	struct daemon_arguments arguments = {.profile = "", .fd = -1};
	struct program p = {0};
	struct conf *conf;
	int status;

	log_set_name("watcher");
	daemon_events();
	daemon_arguments(argc, argv, "tidemark-watcher", "sees the changes of one profile's tree and remembers them", COLLECTOR_CONF_DEFAULT,
	    &arguments);
	if (collector_config_load(arguments.config, &conf) != 0) {
		log_lines(LOG_ERROR, "watcher.start", "", err_text());
		return 2;
	}
	log_set_level((enum log_level)collector_config_main(conf)->log_level);
	p.profile = arguments.profile;
	p.replace = arguments.replace;
	p.config = collector_config_profile(conf, p.profile);
	if (!p.config) {
		fprintf(stderr, "tidemark-watcher: %s has no profile \"%s\"\n", arguments.config, p.profile);
		conf_free(conf);
		return 10;
	}
	p.base = event_base_new();
	if (!p.base || daemon_new(p.base, NULL, NULL, &p.daemon) != 0) {
		fprintf(stderr, "tidemark-watcher: out of memory\n");
		return 1;
	}
	status = run(&p, conf);
	conf_free(conf);
	return status;
}
