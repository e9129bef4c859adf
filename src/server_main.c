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
#include "server/keeper_link.h"
#include "server/separation.h"
#include "server/server.h"
#include "wire/identity.h"

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

/* Before anything of libevent's is open: the warden that is left behind as root has nothing but its socket. */
static int
settle(const char *file, const char *keeper, struct separation *separation, struct conf **ret_conf)
{
	int err = server_config_load(file, ret_conf);

	if (err)
		return err;
	log_set_level((enum log_level)server_config_main(*ret_conf)->log_level);
	err = separation_begin(*ret_conf, file, keeper, separation);
	if (!err && mkdir(server_config_main(*ret_conf)->run_dir, 0755) != 0 && errno != EEXIST)
		err = err_sys("making run-dir %s", server_config_main(*ret_conf)->run_dir);
	/* Nothing more: it starts the keeper, which writes where an operator wants a set restored, and the commands of `notify`. */
	if (!err)
		err = confine(0, NULL, 0);
	if (!err)
		err = identity_begin();
	if (err)
		conf_free(*ret_conf);
	return err;
}

static int
run(const struct separation *separation, struct conf *conf, const char *file)
{
	struct event_base *base = event_base_new();
	struct server_api *api = NULL;
	struct daemon *daemon = NULL;
	int status, err = base ? server_new(base, conf, file, separation, &server) : err_set(ERR_NOMEM, "starting the server");

	if (err)
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
	if (base)
		event_base_free(base);
	return status;
}

int
main(int argc, char **argv)
{
	struct daemon_arguments arguments = {.fd = -1};
	struct separation separation;
	struct conf *conf;
	char *keeper = keeper_link_program(); /* found while we may read the link to ourselves */
	int status, err;

	log_set_name("server");
	daemon_heap(64);
	daemon_events();
	daemon_arguments(argc, argv, "tidemark-server", "receives from collectors and keeps daily backup sets", SERVER_CONF_DEFAULT, &arguments);
	umask(0027);
	raise_descriptors();
	err = keeper ? settle(arguments.config, keeper, &separation, &conf) : err_set(ERR_NOMEM, "starting the server");
	if (err) {
		log_lines(LOG_ERROR, "server.start", "", err_text());
		status = err_exit_status(err);
	} else {
		status = run(&separation, conf, arguments.config);
		separation_end(&separation);
	}
	free(keeper);
	return status;
}
