/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server_enrol - who may come in: what an operator gives and takes.  Tokens and pins are small files that are synced, so they
 * are written in the lane in which enrolments are accepted, one after the other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/workpool.h"
#include "server/config.h"
#include "server/server_own.h"
#include "wire/identity.h"

struct granting {
	struct job job;
	struct server *s;
	char profile[IDENTITY_NAME_MAX + 1], address[256];
	int64_t now_s, ttl_s; /* of a token; 0 = a revocation */
	char *token, *text;
	int err;
	server_granted *done;
	void *arg;
};

static void
granting_run(struct job *job)
{
	struct granting *g = (struct granting *)job;

	if (g->ttl_s)
		g->err = identity_token_create(g->s->identity, g->profile, g->address, g->now_s, g->ttl_s, &g->token);
	else
		g->err = identity_pin_remove(g->s->identity, g->profile);
	if (g->err)
		g->text = strdup(err_text());
}

/* A certificate that is no longer allowed has a session that ends now. */
static void
carry_out(struct granting *g)
{
	struct tenant *t = server_tenant(g->s, g->profile);

	if (g->ttl_s) {
		log_info("server.token", "profile=%s ttl=%llds", g->profile, (long long)g->ttl_s);
		return;
	}
	log_info("server.revoke", "profile=%s", g->profile);
	if (!t || g->s->ending)
		return;
	if (t->session)
		session_check_pin(t->session);
	t->changed(t);
}

static void
granting_done(struct job *job, bool cancelled)
{
	struct granting *g = (struct granting *)job;

	if (cancelled) {
		g->done(-ERR_STOPPED, "the server is ending", NULL, g->arg);
	} else {
		if (g->err == 0)
			carry_out(g);
		g->done(g->err, g->text ? g->text : "", g->token, g->arg);
	}
	free(g->token);
	free(g->text);
	free(g);
}

static int
start(struct server *s, const char *profile, const struct granting *what)
{
	struct granting *g = malloc(sizeof *g);

	if (!g)
		return err_set(ERR_NOMEM, "changing who may come in");
	*g = *what;
	g->s = s;
	g->job = (struct job){.run = granting_run, .done = granting_done};
	snprintf(g->profile, sizeof g->profile, "%s", profile);
	workpool_submit(s->pool, s->host.lane_enrol, &g->job);
	return 0;
}

static int
reached_address(const struct server *s, char *out, size_t size)
{
	const char *address = server_config_main(s->conf)->address;
	char host[200];

	if (strcmp(address, "auto") != 0) {
		snprintf(out, size, "%s", address);
		return 0;
	}
	if (gethostname(host, sizeof host) != 0)
		return err_sys("asking for the host's name");
	host[sizeof host - 1] = '\0';
	snprintf(out, size, "%s:%u", host, s->port);
	return 0;
}

int
server_token_create(struct server *s, const char *profile, int64_t ttl_s, server_granted *done, void *arg)
{
	struct granting g = {.now_s = clock_wall_ns() / 1000000000, .ttl_s = ttl_s, .done = done, .arg = arg};
	int err;

	if (!identity_name_valid(profile))
		return err_set(ERR_USAGE, "%s is not a profile's name (letters, digits, . _ -, at most %u, beginning with a letter or digit)", profile,
		    IDENTITY_NAME_MAX);
	if (ttl_s < 1 || ttl_s > SERVER_TTL_MAX_S)
		return err_set(ERR_USAGE, "a token is good for 1 second to %d days", SERVER_TTL_MAX_S / 86400);
	err = reached_address(s, g.address, sizeof g.address);
	if (err == 0)
		err = server_add_tenant(s, profile);
	return err ? err : start(s, profile, &g);
}

int
server_revoke(struct server *s, const char *profile, server_granted *done, void *arg)
{
	const struct granting g = {.done = done, .arg = arg};
	int i = server_find(s, profile), err;
	int64_t since;

	if (i < 0)
		return i;
	err = server_enrolled(s, profile, &since);
	if (err)
		return err_prefix(err, "nothing was revoked; try again");
	return since ? start(s, profile, &g) : err_set(ERR_NOTFOUND, "no collector is enrolled as %s: there is nothing to revoke", profile);
}
