/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tidemark-keeper - does everything final to a backup set; started by tidemark-server, whose orders come on the descriptor --fd. */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>

#include "base/conf.h"
#include "base/confine.h"
#include "base/courier.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/log.h"
#include "control/daemon.h"
#include "keeper/keeper.h"
#include "server/config.h"

static void
receiver_gone(void *daemon)
{
	daemon_end(daemon, 0);
}

static int
run(struct event_base *base, const struct conf *conf, const struct daemon_arguments *arguments, struct courier *warden)
{
	struct daemon *daemon;
	struct keeper *keeper;
	/* It writes where an operator wants a set restored, so that paths are not limited. */
	int status, err = confine(CONFINE_NO_NETWORK | CONFINE_NO_PROGRAM, NULL, 0);

	if (!err)
		err = digest_begin();
	if (!err)
		err = daemon_new(base, NULL, NULL, &daemon);
	if (err)
		return err;
	const struct keeper_setup setup = {.store = server_config_main(conf)->store, .config = arguments->config, .warden = warden,
	    .fd = arguments->fd, .ended = receiver_gone, .arg = daemon};
	err = keeper_new(base, &setup, &keeper);
	if (!err) {
		daemon_ready(daemon, "keeping");
		status = daemon_run(daemon);
		keeper_free(keeper);
		daemon_free(daemon);
		return status;
	}
	daemon_free(daemon);
	return err;
}

/* A lease that somebody breaks sends a signal, which would end us: custody asks about it when it wants to know. */
static int
meet_warden(int fd, struct courier **ret_warden)
{
	(void)signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return err_sys("the way to the warden");
	return courier_new(fd, ret_warden);
}

int
main(int argc, char **argv)
{
	struct daemon_arguments arguments = {.fd = 3, .warden = 4}; /* are wanted; --profile is not */
	struct courier *warden = NULL;
	struct event_base *base;
	struct conf *conf;
	int status, err;

	daemon_arguments(argc, argv, "tidemark-keeper", "seals, verifies, retains and restores backup sets", SERVER_CONF_DEFAULT, &arguments);
	log_set_name("keeper");
	daemon_events();
	err = server_config_load(arguments.config, &conf);
	if (err) {
		log_lines(LOG_ERROR, "keeper.config", "", err_text());
		return err_exit_status(err);
	}
	log_set_level((enum log_level)server_config_main(conf)->log_level);
	base = event_base_new();
	err = arguments.warden >= 0 ? meet_warden(arguments.warden, &warden) : 0;
	if (err)
		status = err;
	else
		status = base ? run(base, conf, &arguments, warden) : err_set(ERR_NOMEM, "no event loop");
	if (status < 0) {
		log_error("keeper.start", "%s", err_text());
		status = err_exit_status(status);
	}
	if (base)
		event_base_free(base);
	courier_free(warden);
	conf_free(conf);
	return status;
}
