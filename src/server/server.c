/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server - puts the parts together: which profiles are served, who is told what, and in which order it all begins and ends. */
#include "base/verified.h"
#include "server/server.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/workpool.h"
#include "server/config.h"
#include "server/notify.h"
#include "server/sealing.h"
#include "server/separation.h"
#include "server/server_own.h"
#include "server/staging.h"
#include "wire/identity.h"

#define TICK_S 2 /* a revoked certificate's session ends within this */
#define WRITE_THREADS 4
#define SYNC_THREADS 8 /* they wait for the disk */
#define READ_THREADS 2

/* ---- tenants ---- */

struct tenant *
server_tenant(const struct server *s, const char *profile)
{
	for (size_t i = 0; i < s->n_seats; i++)
		if (strcmp(tenant_name(s->seats[i].t), profile) == 0)
			return s->seats[i].t;
	return NULL;
}

static int64_t
keep_days_of(struct tenant *t)
{
	const struct server *s = t->arg;

	return server_config_profile(s->conf, tenant_name(t))->keep_days;
}

static void
tenant_changed(struct tenant *t)
{
	struct server *s = t->arg;

	if (s->changed && !s->ending)
		s->changed(tenant_name(t), s->changed_arg);
}

static void
tenant_trouble(struct tenant *t, const char *event, const char *text)
{
	struct server *s = t->arg;

	notify_run(server_config_profile(s->conf, tenant_name(t))->notify, tenant_name(t), event, text);
}

static void
tenant_opened(int err, const char *text, void *arg)
{
	struct tenant *t = arg;

	if (err)
		log_error("server.profile", "profile=%s %s", tenant_name(t), text);
	else
		sealing_load(t->sealing);
	/* The keeper knows nothing of a profile before its folder is made. */
	if (!err && !t->sets_known && keeper_link_up(t->keeper))
		tenant_learn_sets(t, NULL, NULL);
	tenant_changed(t);
}

static int
grow_seats(struct server *s)
{
	size_t cap = s->cap_seats ? 2 * s->cap_seats : 16;
	struct seat *seats = realloc(s->seats, cap * sizeof *seats);

	if (!seats)
		return err_set(ERR_NOMEM, "adding a profile");
	s->seats = seats;
	s->cap_seats = cap;
	return 0;
}

static void
seat_tenant(struct server *s, struct tenant *t)
{
	size_t at = 0;

	while (at < s->n_seats && strcmp(tenant_name(s->seats[at].t), tenant_name(t)) < 0)
		at++;
	memmove(s->seats + at + 1, s->seats + at, (s->n_seats - at) * sizeof *s->seats);
	s->seats[at] = (struct seat){.t = t};
	s->n_seats++;
}

int
server_add_tenant(struct server *s, const char *name)
{
	struct tenant *t;
	int err;

	if (server_tenant(s, name))
		return 0;
	err = s->n_seats == s->cap_seats ? grow_seats(s) : 0;
	if (err == 0)
		err = tenant_new(&s->profile_setup, s->keeper, name, &t);
	if (err)
		return err;
	t->keep_days = keep_days_of;
	t->changed = tenant_changed;
	t->trouble = tenant_trouble;
	t->arg = s;
	seat_tenant(s, t);
	profile_open(t->profile, tenant_opened, t);
	if (keeper_link_up(s->keeper))
		tenant_learn_sets(t, NULL, NULL);
	return 0;
}

/* Every name in a directory of the store that could be a profile's. */
static int
add_from(struct server *s, const char *place)
{
	int err = 0, fd = fsio_open_dir(s->store_fd, place);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (fd == -ERR_GONE)
		return 0;
	if (!dir)
		return fd < 0 ? fd : err_sys("listing the store");
	while (err == 0 && (errno = 0, d = readdir(dir)))
		if (identity_name_valid(d->d_name) && strcmp(d->d_name, "lost+found") != 0)
			err = server_add_tenant(s, d->d_name);
	if (err == 0 && errno)
		err = err_sys("listing the store");
	closedir(dir);
	return err;
}

static int
add_configured(struct server *s)
{
	const struct conf_section *section;
	int err = 0;

	for (size_t i = 0; err == 0 && (section = conf_nth(s->conf, "profile", i)); i++)
		err = server_add_tenant(s, section->name);
	return err;
}

static int
add_known(struct server *s)
{
	int err = add_from(s, "");

	if (err == 0)
		err = add_from(s, ".identity/pins");
	return err ? err : add_configured(s);
}

/* ---- keeper ---- */

static void
on_keeper_up(void *arg)
{
	struct server *s = arg;

	for (size_t i = 0; i < s->n_seats; i++)
		tenant_learn_sets(s->seats[i].t, NULL, NULL);
}

void
server_note_verified(struct server *s, const char *profile, const struct report_set *set)
{
	struct tenant *t = server_tenant(s, profile);

	if (!t)
		return;
	if (set->verified == SET_DIFFERS)
		tenant_trouble(t, "failed", "a set differs from its manifest");
	tenant_note_set(t, set);
}

static void
on_scrub(const struct report *report, void *arg)
{
	struct server *s = arg;

	if (report->kind == REPORT_FINDING)
		log_error("server.scrub", "%s: %s", report->path ? report->path : "", report->text ? report->text : "");
	for (size_t i = 0; report->kind == REPORT_DONE && i < report->n_sets; i++) {
		const struct report_set *set = &report->sets[i];

		if (set->profile)
			server_note_verified(s, set->profile, set);
	}
}

static const struct keeper_events keeper_events = {.up = on_keeper_up, .scrub = on_scrub};

/* ---- the tick ---- */

static void
check_late(struct server *s, size_t i)
{
	char reason[512];
	bool late = server_is_late(s, s->seats[i].t, reason, sizeof reason);

	if (late && !s->seats[i].told_late) {
		log_warn("server.late", "profile=%s %s", tenant_name(s->seats[i].t), reason);
		tenant_trouble(s->seats[i].t, "late", reason);
	}
	s->seats[i].told_late = late;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	server_guests_check(s);
	for (size_t i = 0; i < s->n_seats; i++) {
		tenant_learn_again(s->seats[i].t);
		check_late(s, i);
	}
	notify_reap();
}

/* ---- life ---- */

static int
open_store(struct server *s)
{
	const char *store = server_config_main(s->conf)->store;
	char *identity;
	int err;

	if (mkdir(store, 0750) != 0 && errno != EEXIST)
		return err_sys("making the store %s", store);
	s->store_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->store_fd < 0)
		return err_sys("opening the store %s", store);
	if (asprintf(&identity, "%s/.identity", store) < 0)
		return err_set(ERR_NOMEM, "opening the store");
	err = identity_open_server(identity, &s->identity);
	free(identity);
	return err;
}

/* What every token carries the beginning of, for whoever wants to compare. */
static void
tell_authority(const struct server *s)
{
	uint8_t pin[IDENTITY_PIN_BYTES];
	char hex[DIGEST_HEX];

	if (identity_authority_pin(s->identity, pin) != 0)
		return;
	digest_hex(pin, hex);
	log_info("server.authority", "sha256=%s", hex);
}

static int
open_lanes(struct server *s)
{
	struct profile_setup *p = &s->profile_setup;
	int err = workpool_new(s->base, &s->pool);

	if (err)
		return err;
	*p = (struct profile_setup){.base = s->base, .pool = s->pool, .store_fd = s->store_fd, .store = s->store,
	    .warden = s->separation ? s->separation->warden : NULL};
	server_guests_host(s);
	p->lane_write = workpool_add_lane(s->pool, "write", WRITE_THREADS);
	p->lane_sync = workpool_add_lane(s->pool, "sync", SYNC_THREADS);
	p->lane_jobs = workpool_add_lane(s->pool, "jobs", 1);
	s->host.lane_read = workpool_add_lane(s->pool, "read", READ_THREADS);
	s->host.lane_enrol = workpool_add_lane(s->pool, "enrol", 1);
	return p->lane_write < 0 || p->lane_sync < 0 || p->lane_jobs < 0 || s->host.lane_read < 0 || s->host.lane_enrol < 0
	    ? err_set(ERR_NOMEM, "starting threads") : 0;
}

static int
open_rest(struct server *s)
{
	int err = open_store(s);

	if (err == 0)
		err = open_lanes(s);
	if (err == 0)
		err = keeper_link_new(s->base, NULL, s->file, s->separation ? s->separation->warden : NULL, &keeper_events, s, &s->keeper);
	if (err == 0)
		err = add_known(s);
	if (err == 0)
		err = server_guests_listen(s);
	if (err == 0 && (!(s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s)) || event_add(s->tick, &(struct timeval){.tv_sec = TICK_S}) != 0))
		err = err_set(ERR_NOMEM, "starting the server");
	return err;
}

static void
warn_of_idle(const struct server *s)
{
	const char *idle = server_config_idle(s->conf);

	if (idle)
		log_warn("server.config", "%s", idle);
}

int
server_new(struct event_base *base, struct conf *conf, const char *file, const struct separation *separation, struct server **ret_server)
{
	struct server *s = calloc(1, sizeof *s);
	int err;

	if (!s)
		return err_set(ERR_NOMEM, "starting the server");
	TAILQ_INIT(&s->asked);
	s->base = base;
	s->conf = conf;
	s->store_fd = -1;
	s->separation = separation;
	s->started_ns = clock_wall_ns();
	s->file = strdup(file);
	s->releases = strdup(server_config_main(conf)->releases);
	s->store = strdup(server_config_main(conf)->store); /* lanes read it, and a reload frees the configuration */
	log_set_level((enum log_level)server_config_main(conf)->log_level);
	err = s->file && s->releases && s->store ? open_rest(s) : err_set(ERR_NOMEM, "starting the server");
	if (err) {
		s->conf = NULL; /* the caller's still */
		server_free(s);
		return err;
	}
	tell_authority(s);
	log_info("server.new", "listen=%s profiles=%zu", s->listen, s->n_seats);
	warn_of_idle(s);
	*ret_server = s;
	return 0;
}

/* Sessions first, so that nobody is told; then the keeper, whose last words settle jobs; then the lanes, whose last words may ask whether the
 * keeper is up; then what they used. */
void
server_free(struct server *s)
{
	if (!s)
		return;
	s->ending = true;
	if (s->tick)
		event_free(s->tick);
	server_guests_end(s);
	keeper_link_end(s->keeper);
	workpool_free(s->pool);
	keeper_link_free(s->keeper);
	for (size_t i = 0; i < s->n_seats; i++)
		tenant_free(s->seats[i].t);
	free(s->seats);
	identity_close(s->identity);
	if (s->store_fd >= 0)
		close(s->store_fd);
	conf_free(s->conf);
	free(s->file);
	free(s->releases);
	free(s->store);
	free(s);
}

/* ---- reload ---- */

static int
may_replace(const struct server_config *old, const struct server_config *new)
{
	if (strcmp(old->listen, new->listen) != 0)
		return err_set(ERR_CONFIG, "listen: changes at a restart only");
	if (strcmp(old->store, new->store) != 0)
		return err_set(ERR_CONFIG, "store: changes at a restart only");
	if (strcmp(old->run_dir, new->run_dir) != 0)
		return err_set(ERR_CONFIG, "run-dir: changes at a restart only");
	if (strcmp(old->user, new->user) != 0 || strcmp(old->keeper_user, new->keeper_user) != 0)
		return err_set(ERR_CONFIG, "user, keeper-user: change at a restart only");
	if (strcmp(old->web, new->web) != 0)
		return err_set(ERR_CONFIG, "web: changes at a restart only");
	if (strcmp(old->releases, new->releases) != 0)
		return err_set(ERR_CONFIG, "releases: changes at a restart only");
	return 0;
}

int
server_reload(struct server *s)
{
	struct conf *conf;
	int err = server_config_load(s->file, &conf);

	if (err)
		return err;
	err = may_replace(server_config_main(s->conf), server_config_main(conf));
	if (err) {
		conf_free(conf);
		return err;
	}
	conf_free(s->conf);
	s->conf = conf;
	log_set_level((enum log_level)server_config_main(conf)->log_level);
	log_info("server.reload", "profiles=%zu", conf_count(conf, "profile"));
	warn_of_idle(s);
	return add_configured(s);
}

const struct conf *
server_conf(const struct server *s)
{
	return s->conf;
}

/* ---- what an operator does ---- */

int
server_find(const struct server *s, const char *profile)
{
	for (size_t i = 0; i < s->n_seats; i++)
		if (strcmp(tenant_name(s->seats[i].t), profile) == 0)
			return (int)i;
	return err_set(ERR_NOTFOUND, "there is no profile %s; `tidemark status` lists them", profile);
}

int
server_stop(struct server *s, const char *profile, const char *who)
{
	struct tenant *t = server_tenant(s, profile);

	return t ? sealing_stop_here(t->sealing, who) : err_set(ERR_NOTFOUND, "there is no profile %s; `tidemark status` lists them", profile);
}

const struct jobs *
server_jobs(const struct server *s, const char *profile)
{
	const struct tenant *t = server_tenant(s, profile);

	return t ? profile_jobs(t->profile) : NULL;
}

void
server_on_change(struct server *s, void (*changed)(const char *profile, void *arg), void *arg)
{
	s->changed = changed;
	s->changed_arg = arg;
}
