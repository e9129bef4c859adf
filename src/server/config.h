/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config - the server's configuration: one typed table, and the structs it fills.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "base/conf.h"

#define SERVER_CONF_DEFAULT "/etc/tidemark/server.conf"

struct server_config {
	char *listen;      /* address:port, "[::]:7460" */
	char *store;       /* <store>/<profile>/{gre_data,blobs,backups,state} and <store>/.identity */
	char *run_dir;
	char *user, *keeper_user; /* of receiver and keeper when the server is started as root; "root" = both as root */
	char *web;         /* "off" */
	char *releases;      /* folder of what collectors upgrade themselves to; "off" */
	char *address;     /* host:port that enrolment tokens carry; "auto" = host name and listen's port */
	int log_level;
};

struct server_profile_config {
	int64_t keep_days;
	int64_t late_ms;   /* a newest set older than this makes status "late" */
	char *notify;      /* command told of failed and late sets; "off" */
};

extern const struct conf_table server_conf_table;
extern const struct conf_shape server_conf_shapes[];

int server_config_load(const char *file, struct conf **ret_conf);
/* NULL, or why the address of `web` does nothing and what to do: for the log, doctor and config validate. */
const char *server_config_idle(const struct conf *c);
const struct server_config *server_config_main(const struct conf *c);
/* The section of the profile, or the defaults when the file has none: never NULL. */
const struct server_profile_config *server_config_profile(const struct conf *c, const char *name);

#endif
