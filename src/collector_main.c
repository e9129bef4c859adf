/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark-collector - joins configuration, profiles and control socket; everything else is theirs. */
#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "collector/collector.h"
#include "collector/config.h"
#include "collector/launch.h"
#include "collector/launched.h"
#include "collector/state.h"
#include "control/collector_api.h"
#include "control/daemon.h"
#include "wire/identity.h"

struct program {
	struct event_base *base;
	struct daemon *daemon;
	struct collector *collector;
	struct collector_api *api;
};

static void
on_reload(void *arg)
{
	struct program *p = arg;

	if (collector_reload(p->collector) == 0)
		log_info("collector.reload", "the new configuration is in force");
	else
		log_lines(LOG_ERROR, "collector.reload", "the old configuration stays in force: ", err_text());
}

static void
on_broken(void *arg)
{
	struct program *p = arg;

	daemon_end(p->daemon, 1);
}

static void
on_restart(void *arg)
{
	struct program *p = arg;

	daemon_end_to_begin_again(p->daemon);
}

/* One collector a state folder: the lock lives as long as we do. */
static int
lock_state(const char *dir)
{
	int fd = state_open_dir(dir), lock;

	if (fd < 0)
		return fd;
	lock = fsio_lock(fd, "collector.lock");
	close(fd);
	return lock < 0 ? err_prefix(lock, "another collector uses %s", dir) : 0;
}

static int
start(struct program *p, struct conf *conf, const char *file)
{
	const struct collector_config *config = collector_config_main(conf);
	int run_dir, err = confine(0, NULL, 0); /* nothing more: dbcopy and the hooks are other people's programs */

	if (!err)
		err = identity_begin();
	if (!err)
		err = lock_state(config->state);
	if (err)
		return err;
	if ((run_dir = state_open_dir(config->run_dir)) < 0)
		return run_dir;
	close(run_dir);
	if ((err = daemon_new(p->base, on_reload, p, &p->daemon)) != 0)
		return err;
	if ((err = collector_new(p->base, conf, file, &p->collector)) != 0)
		return err;
	collector_on_broken(p->collector, on_broken, p);
	collector_on_restart(p->collector, on_restart, p);
	return collector_api_new(p->base, p->collector, config->run_dir, &p->api);
}

/* Returns only when it could not. */
static int
begin_again(char **argv, int status)
{
	(void)launch_again(argv);
	log_error("collector.again", "%s", err_text());
	return status ? status : 1;
}

int
main(int argc, char **argv)
{
	struct daemon_arguments arguments = {.fd = -1};
	struct program p = {0};
	struct conf *conf;
	bool again = false;
	int status = 1, err;

	log_set_name("collector");
	daemon_heap(16);
	daemon_events();
	daemon_arguments(argc, argv, "tidemark-collector", "replicates post offices and domains to a tidemark server", COLLECTOR_CONF_DEFAULT,
	    &arguments);
	if ((err = collector_config_load(arguments.config, &conf)) != 0) {
		log_lines(LOG_ERROR, "collector.start", "", err_text());
		status = err == -ERR_NOMEM ? 1 : 2; /* after 2 nobody starts it again */
		return launched_on_trial() ? begin_again(argv, status) : status;
	}
	log_set_level((enum log_level)collector_config_main(conf)->log_level);
	launch(argv, collector_config_main(conf));
	p.base = event_base_new();
	if (!p.base || event_base_priority_init(p.base, 3) != 0) {
		fprintf(stderr, "tidemark-collector: the event loop cannot be made\n");
		return 1;
	}
	err = start(&p, conf, arguments.config);
	if (err) {
		log_error("collector.start", "%s", err_text());
		status = err_exit_status(err);
		again = launched_on_trial();
		if (!p.collector)
			conf_free(conf);
	} else {
		log_info("collector.ready", "profiles=%zu", collector_count(p.collector));
		daemon_ready(p.daemon, "replicating");
		status = daemon_run(p.daemon);
		again = daemon_begins_again(p.daemon);
	}
	collector_free(p.collector);
	collector_api_free(p.api);
	daemon_free(p.daemon);
	event_base_free(p.base);
	return again ? begin_again(argv, status) : status;
}
