/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark-server - receives from collectors; composed here, computed elsewhere. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/conf.h"
#include "base/confine.h"
#include "base/err.h"
#include "base/log.h"
#include "control/daemon.h"
#include "control/server_api.h"
#include "server/config.h"
#include "server/server.h"

static struct server *server;

static void
reload(void *arg)
{
	(void)arg;
	if (server_reload(server) != 0)
		log_lines(LOG_ERROR, "server.reload", "nothing was changed: ", err_text());
}

/* Staging keeps directories and files open. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
run(struct event_base *base, const char *file)
{
	struct server_api *api = NULL;
	struct daemon *daemon = NULL;
	struct conf *conf = NULL;
	/* Nothing more: it starts the keeper, which writes where an operator wants a set restored, and the commands of `notify`. */
	int status, err = confine(0, NULL, 0);

	if (err == 0)
		err = server_config_load(file, &conf);
	if (err == 0 && mkdir(server_config_main(conf)->run_dir, 0755) != 0 && errno != EEXIST) {
		err = err_sys("making run-dir %s", server_config_main(conf)->run_dir);
		conf_free(conf);
	} else if (err == 0 && (err = server_new(base, conf, file, &server)) != 0)
		conf_free(conf);
	if (err == 0)
		err = server_api_new(base, server, server_config_main(server_conf(server))->run_dir, &api);
	if (err == 0)
		err = daemon_new(base, reload, NULL, &daemon);
	if (err) {
		log_lines(LOG_ERROR, "server.start", "", err_text());
		status = err_exit_status(err);
	} else {
		daemon_ready(daemon, "receiving");
		status = daemon_run(daemon);
	}
	server_free(server);
	server_api_free(api);
	daemon_free(daemon);
	return status;
}

int
main(int argc, char **argv)
{
	struct daemon_arguments arguments = {.fd = -1};
	struct event_base *base;
	int status;

	log_set_name("server");
	daemon_heap(64);
	daemon_events();
	daemon_arguments(argc, argv, "tidemark-server", "receives from collectors and keeps daily backup sets", SERVER_CONF_DEFAULT, &arguments);
	umask(0027);
	raise_descriptors();
	base = event_base_new();
	if (!base) {
		log_error("server.start", "out of memory");
		return 1;
	}
	status = run(base, arguments.config);
	event_base_free(base);
	return status;
}
