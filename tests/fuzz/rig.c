/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rig - the keeper is the program of the build under test: beside BIN, or in build/bin. */
#include "tests/fuzz/rig.h"

#include <dirent.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/log.h"
#include "control/server_api.h"
#include "server/config.h"
#include "server/server.h"
#include "tests/fuzz/fuzz.h"
#include "wire/identity.h"

static void
on_token(int err, const char *text, const char *token, void *arg)
{
	(void)text;
	MUST(err == 0);
	*(char **)arg = strdup(token);
}

/* po1's certificate, signed as for any collector, without a conversation. */
static void
enrol(struct rig *r, const char *identity_dir)
{
	static const uint8_t exporter[32];
	struct identity_request *request;
	struct identity_token token;
	struct identity *authority;
	uint8_t proof[32], *cert, *root;
	size_t csr_len, cert_len, root_len;
	const uint8_t *csr;
	char dir[256], *text = NULL;

	MUST(server_token_create(r->server, "po1", 60, on_token, &text) == 0);
	while (!text)
		rig_turn(r, 100);
	MUST(identity_token_parse(text, &token) == 0);
	free(text);
	MUST(identity_open_server(identity_dir, &authority) == 0);
	MUST(identity_enrol_begin("po1", &request) == 0);
	identity_request_csr(request, &csr, &csr_len);
	MUST(identity_proof(token.secret, exporter, csr, csr_len, proof) == 0);
	MUST(identity_enrol_accept(authority, "po1", 1, exporter, csr, csr_len, proof, &cert, &cert_len, &root, &root_len) == 0);
	scratch_path(&r->scratch, "collector", dir);
	MUST(identity_enrol_finish(request, dir, cert, cert_len, root, root_len) == 0);
	MUST(identity_open_collector(dir, "po1", &r->collector) == 0);
	identity_request_free(request);
	identity_close(authority);
	free(cert);
	free(root);
}

static void
write_conf(const struct rig *r, const char *file)
{
	FILE *f = fopen(file, "w");

	MUST(f);
	fprintf(f, "[server]\nlisten = 127.0.0.1:0\nstore = %s/store\nrun-dir = %s\naddress = 127.0.0.1:1\nlog-level = error\n",
	    r->scratch.path, r->scratch.path);
	MUST(fclose(f) == 0);
}

static void
find_keeper(void)
{
	const char *bin = getenv("BIN");
	char path[4096];

	snprintf(path, sizeof path, "%s:%s", bin ? bin : "build/bin", getenv("PATH"));
	setenv("PATH", path, 1);
}

void
rig_open(struct rig *r)
{
	char file[256], identity_dir[256];
	struct server_facts facts;
	struct conf *conf;

	if (r->server)
		return;
	(void)signal(SIGPIPE, SIG_IGN); /* as the daemons do */
	find_keeper();
	log_set_level(LOG_ERROR);
	scratch_open(&r->scratch);
	scratch_path(&r->scratch, "server.conf", file);
	scratch_path(&r->scratch, "store/.identity", identity_dir);
	write_conf(r, file);
	r->base = event_base_new();
	MUST(server_config_load(file, &conf) == 0);
	MUST(server_new(r->base, conf, file, NULL, &r->server) == 0);
	MUST(server_api_new(r->base, r->server, r->scratch.path, &r->api) == 0);
	do {
		rig_turn(r, 100);
		server_facts(r->server, &facts);
	} while (!facts.keeper_up);
	enrol(r, identity_dir);
}

void
rig_close(struct rig *r)
{
	server_free(r->server);
	server_api_free(r->api);
	identity_close(r->collector);
	event_base_free(r->base);
	scratch_close(&r->scratch);
	*r = (struct rig){0};
}

void
rig_turn(struct rig *r, int ms)
{
	const struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_base_loopexit(r->base, &limit);
	event_base_loop(r->base, EVLOOP_ONCE);
}

const char *
rig_address(const struct rig *r)
{
	struct server_facts facts;

	server_facts(r->server, &facts);
	return facts.listen;
}

bool
rig_idle(const struct rig *r)
{
	struct server_facts facts;

	server_facts(r->server, &facts);
	return facts.sessions == 0 && facts.connecting == 0;
}

void
rig_only(const struct rig *r, const char *const *profiles)
{
	char path[256];
	DIR *dir = opendir(scratch_path(&r->scratch, "store", path));
	struct dirent *d;

	MUST(dir);
	while ((d = readdir(dir))) {
		bool known = d->d_name[0] == '.';

		for (size_t i = 0; profiles[i]; i++)
			known |= strcmp(d->d_name, profiles[i]) == 0;
		MUST(known);
	}
	closedir(dir);
}
