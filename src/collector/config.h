/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config - the collector's configuration: one typed table, and the structs it fills.
 */
#ifndef COLLECTOR_CONFIG_H
#define COLLECTOR_CONFIG_H

#include "base/conf.h"
#include "layout.h"

#define COLLECTOR_CONF_DEFAULT "/etc/tidemark/collector.conf"

struct collector_config {
	char *server;        /* host:port */
	char *state;         /* journal, keys, staging */
	char *run_dir;       /* sockets */
	int log_level;
	int64_t workers;     /* threads that read and hash */
	char *upgrade_keys;  /* file of the keys that sign releases; "off" */
};

struct profile_config {
	int type;            /* enum layout_type */
	char *path;          /* of the post office or domain */
	struct conf_list schedule;
	char *timezone;      /* "local" or a zone name */
	char *dbcopy;        /* "builtin" or a command line */
	int64_t dbcopy_timeout_ms;
	uint64_t bandwidth;  /* bytes per second, 0 = unlimited */
	char *purge_stamp;   /* command run after a sealed set with T0 as its argument; "off" */
	int64_t rescan_ms;   /* slow full comparison of names and stat; 0 = never */
	int64_t index_poll_ms; /* stat of INDEX files: mapped writes raise no event */
	char *notify;        /* command told of failed and late backups; "off" */
	int64_t late_ms;     /* a newest set older than this makes status "late" */
};

extern const struct conf_table collector_conf_table;
extern const struct conf_shape collector_conf_shapes[];

/* Loads and checks across keys (paths absolute, state not inside a watched tree, profile names).  *Gives* the conf. */
int collector_config_load(const char *file, struct conf **ret_conf);
const struct collector_config *collector_config_main(const struct conf *c);
/* NULL when there is no such profile. */
const struct profile_config *collector_config_profile(const struct conf *c, const char *name);

/* What the file says and this host does not bear out: a path that is no tree of its type, a DBCOPY that cannot be run, two profiles of
 * one tree.  None is a mistake in the file, for a tree may be mounted later.  Opens the trees: slow, not for a loop. */
typedef void collector_config_found(int line, const char *key, const char *text, void *arg);
void collector_config_look(const struct conf *c, collector_config_found *found, void *arg);

/* A name that may be a directory and a certificate's common name: [A-Za-z0-9][A-Za-z0-9._-]{0,31}. */
bool profile_name_valid(const char *name);

/* <state>/<profile>, *given*. */
char *collector_profile_dir(const struct conf *c, const char *name);

#endif
