/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keeper - who waits for whom: the queue of each profile, and what an order may overtake. */
#include "keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/err.h"
#include "base/log.h"
#include "base/relpath.h"
#include "keeper/work.h"

#define READ_BYTES 65536
#define HEAD_BYTES 4u
#define WAITING_MAX 64u        /* orders of a profile */
#define SHELVES_MAX 4096u
#define LANES_MAX 48u          /* profiles above that share lanes */
#define TICK_S 3600

/* A profile. */
struct shelf {
	struct shelf *next;
	struct keeper *keeper;
	char *profile;
	int lane;
	struct vault *vault;       /* its lane's */
	struct work *running;      /* NULL: idle */
	struct work *waiting;      /* in the order in which they will run */
	size_t n_waiting;
	bool scrub_due;
};

struct keeper {
	struct keeper_setup setup;
	int fd;
	bool over;                 /* no new work */
	struct event_base *base;
	struct workpool *pool;
	struct keeper_outbox *outbox;
	struct event *reading, *tick;
	struct evbuffer *in;
	struct shelf *shelves;
	size_t n_shelves;
	int lanes[LANES_MAX];
	size_t n_lanes;
};

/* ---- work ---- */

static void shelf_next(struct shelf *s);

static void
work_free(struct work *w)
{
	order_fini(&w->order);
	free(w);
}

static void
on_run(struct job *job)
{
	work_run((struct work *)(void *)((char *)job - offsetof(struct work, job)));
}

static void
on_done(struct job *job, bool cancelled)
{
	struct work *w = (struct work *)(void *)((char *)job - offsetof(struct work, job));
	struct shelf *s = w->shelf;

	s->running = NULL;
	if (!cancelled && w->kind == WORK_SCRUB)
		s->scrub_due = w->scrub_due;
	else if (!cancelled && w->scrub_due)
		s->scrub_due = true;
	work_free(w);
	shelf_next(s);
}

static struct work *
work_new(struct shelf *s, enum work_kind kind)
{
	struct work *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->job.run = on_run;
	w->job.done = on_done;
	w->kind = kind;
	w->store = s->keeper->setup.store;
	w->config = s->keeper->setup.config;
	w->warden = s->keeper->setup.warden;
	w->profile = s->profile;
	w->vault = &s->vault;
	w->outbox = s->keeper->outbox;
	w->shelf = s;
	return w;
}

static void
start(struct shelf *s, struct work *w)
{
	s->running = w;
	workpool_submit(s->keeper->pool, s->lane, &w->job);
}

/* What comes next; the scrub only when nothing else does. */
static void
shelf_next(struct shelf *s)
{
	struct work *w = s->waiting;

	if (s->keeper->over || s->running)
		return;
	if (w) {
		s->waiting = w->next;
		s->n_waiting--;
		start(s, w);
	} else if (s->scrub_due && (w = work_new(s, WORK_SCRUB)) != NULL) {
		start(s, w);
	}
}

/* Behind its like: seals before all else. */
static void
enqueue(struct shelf *s, struct work *w)
{
	bool first = w->kind == WORK_ORDER && w->order.kind == ORDER_SEAL;
	struct work **at = &s->waiting;

	while (*at && (!first || ((*at)->kind == WORK_ORDER && (*at)->order.kind == ORDER_SEAL)))
		at = &(*at)->next;
	w->next = *at;
	*at = w;
	s->n_waiting++;
	if (s->running && s->running->kind == WORK_SCRUB)
		atomic_store(&s->running->task.stop, true);
	shelf_next(s);
}

/* ---- profiles ---- */

static struct shelf *
shelf_find(struct keeper *k, const char *profile)
{
	for (struct shelf *s = k->shelves; s; s = s->next)
		if (strcmp(s->profile, profile) == 0)
			return s;
	return NULL;
}

static int
lane_for(struct keeper *k)
{
	if (k->n_lanes < LANES_MAX) {
		int lane = workpool_add_lane(k->pool, "keeper", 1);

		if (lane < 0 && k->n_lanes == 0)
			return lane;
		if (lane >= 0)
			return k->lanes[k->n_lanes++] = lane;
	}
	return k->lanes[k->n_shelves % k->n_lanes];
}

static bool
is_profile(struct keeper *k, const char *name)
{
	char *path = *name == '.' || strchr(name, '/') || !relpath_valid(name) ? NULL : relpath_join(k->setup.store, name);
	struct stat st;
	bool is = path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode);

	free(path);
	return is;
}

/* The shelf of a profile, made when the store has such a one; recovery is then its first work. */
static int
shelf_get(struct keeper *k, const char *profile, struct shelf **ret_shelf)
{
	struct shelf *s = shelf_find(k, profile);
	struct work *recovery;

	if (s) {
		*ret_shelf = s;
		return 0;
	}
	if (!is_profile(k, profile))
		return err_set(ERR_NOTFOUND, "there is no profile %.100s", profile);
	if (k->n_shelves == SHELVES_MAX)
		return err_set(ERR_LIMIT, "more than %u profiles", SHELVES_MAX);
	s = calloc(1, sizeof *s);
	if (!s || !(s->profile = strdup(profile))) {
		free(s);
		return err_set(ERR_NOMEM, "out of memory for profile %s", profile);
	}
	s->keeper = k;
	s->lane = lane_for(k);
	recovery = s->lane < 0 ? NULL : work_new(s, WORK_RECOVER);
	if (!recovery) {
		free(s->profile);
		free(s);
		return err_set(ERR_NOMEM, "out of memory for profile %s", profile);
	}
	s->next = k->shelves;
	k->shelves = s;
	k->n_shelves++;
	enqueue(s, recovery);
	*ret_shelf = s;
	return 0;
}

/* What else lies in the store, such as a restored tree or lost+found, is nobody's to make folders in.  An order may name a profile that is new. */
static bool
has_state(struct keeper *k, const char *name)
{
	struct stat st;
	char *path;
	bool has = asprintf(&path, "%s/%s/state", k->setup.store, name) >= 0;

	if (!has)
		return false;
	has = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
	free(path);
	return has;
}

static int
find_profiles(struct keeper *k)
{
	DIR *dir = opendir(k->setup.store);
	struct dirent *d;
	int err;

	if (!dir)
		return err_sys("list store %s", k->setup.store);
	while ((errno = 0, d = readdir(dir)) != NULL) {
		struct shelf *s;

		if (is_profile(k, d->d_name) && has_state(k, d->d_name) && shelf_get(k, d->d_name, &s) != 0)
			log_warn("keeper.profile", "profile=%s %s", d->d_name, err_text());
	}
	err = errno ? err_sys("list store %s", k->setup.store) : 0;
	closedir(dir);
	return err;
}

/* ---- orders ---- */

static void
refuse(struct keeper *k, uint64_t id, int err)
{
	const struct report r = {.id = id, .kind = REPORT_FAILED, .code = -err, .text = (char *)(uintptr_t)err_text()};

	keeper_outbox_put(k->outbox, &r);
}

/* Takes the waiting work with this id out of its queue; NULL when it is not there. */
static struct work *
take_waiting(struct shelf *s, uint64_t id)
{
	for (struct work **at = &s->waiting; *at; at = &(*at)->next)
		if ((*at)->kind == WORK_ORDER && (*at)->order.id == id) {
			struct work *w = *at;

			*at = w->next;
			s->n_waiting--;
			return w;
		}
	return NULL;
}

static void
obey_stop(struct keeper *k, const struct order *order)
{
	const struct report done = {.id = order->id, .kind = REPORT_DONE};

	for (struct shelf *s = k->shelves; s; s = s->next) {
		struct work *w = take_waiting(s, order->target);

		if (w) {
			refuse(k, order->target, err_set(ERR_STOPPED, "stopped before it began"));
			work_free(w);
		} else if (s->running && s->running->kind == WORK_ORDER && s->running->order.id == order->target) {
			atomic_store(&s->running->task.stop, true);
		} else {
			continue;
		}
		keeper_outbox_put(k->outbox, &done);
		return;
	}
	refuse(k, order->id, err_set(ERR_NOTFOUND, "nothing of that id runs"));
}

/* *Takes* the order. */
static void
obey(struct keeper *k, struct order *order)
{
	struct shelf *s;
	struct work *w = NULL;
	int err;

	if (order->kind == ORDER_STOP) {
		obey_stop(k, order);
		order_fini(order);
		return;
	}
	err = shelf_get(k, order->profile, &s);
	if (!err && s->n_waiting >= WAITING_MAX)
		err = err_set(ERR_BUSY, "too many orders wait for %s", order->profile);
	if (!err && !(w = work_new(s, WORK_ORDER)))
		err = err_set(ERR_NOMEM, "out of memory for an order");
	if (err) {
		refuse(k, order->id, err);
		order_fini(order);
		return;
	}
	w->order = *order;
	enqueue(s, w);
}

/* ---- the receiver's socket ---- */

static void
stop_all(struct keeper *k)
{
	k->over = true;
	for (struct shelf *s = k->shelves; s; s = s->next)
		if (s->running)
			atomic_store(&s->running->task.stop, true);
}

static void
end(struct keeper *k)
{
	event_del(k->reading);
	stop_all(k);
	k->setup.ended(k->setup.arg);
}

/* One whole order out of the buffer: 0, 1 when more bytes are needed, or an error. */
static int
next_order(struct keeper *k, struct order *ret_order)
{
	uint8_t head[HEAD_BYTES];
	struct pack_in i = pack_in(head, sizeof head);
	uint32_t len;
	int err;

	if (evbuffer_copyout(k->in, head, sizeof head) < (ev_ssize_t)sizeof head)
		return 1;
	len = unpack_u32(&i);
	if (len > ORDER_BYTES_MAX)
		return err_set(ERR_PEER, "an order of %u bytes", len);
	if (evbuffer_get_length(k->in) < HEAD_BYTES + len)
		return 1;
	evbuffer_drain(k->in, HEAD_BYTES);
	err = order_unpack(len ? evbuffer_pullup(k->in, len) : head, len, ret_order);
	evbuffer_drain(k->in, len);
	return err;
}

static void
on_reading(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	struct order order;
	int n = evbuffer_read(k->in, fd, READ_BYTES), err;

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(k);
		return;
	}
	while ((err = next_order(k, &order)) == 0)
		obey(k, &order);
	if (err < 0) {
		log_error("keeper.order", "%s", err_text());
		end(k);
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	(void)fd;
	(void)what;
	for (struct shelf *s = k->shelves; s; s = s->next) {
		struct work *w = s->n_waiting ? NULL : work_new(s, WORK_TICK);

		if (w)
			enqueue(s, w);
	}
}

/* ---- life ---- */

static int
make_parts(struct keeper *k)
{
	const struct timeval every = {.tv_sec = TICK_S};
	int err = workpool_new(k->base, &k->pool);

	if (!err)
		err = keeper_outbox_new(k->base, k->fd, &k->outbox);
	if (err)
		return err;
	k->in = evbuffer_new();
	k->reading = event_new(k->base, k->fd, EV_READ | EV_PERSIST, on_reading, k);
	k->tick = event_new(k->base, -1, EV_PERSIST, on_tick, k);
	if (!k->in || !k->reading || !k->tick || event_add(k->reading, NULL) != 0 || event_add(k->tick, &every) != 0)
		return err_set(ERR_NOMEM, "out of memory for the keeper");
	return find_profiles(k);
}

int
keeper_new(struct event_base *base, const struct keeper_setup *setup, struct keeper **ret_keeper)
{
	struct keeper *k = calloc(1, sizeof *k);
	int err, fd = setup->fd;

	if (!k)
		return err_set(ERR_NOMEM, "out of memory for the keeper");
	k->setup = *setup;
	k->base = base;
	k->fd = -1;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
		err = err_sys("the receiver's socket");
	} else {
		k->fd = fd;
		err = make_parts(k);
	}
	if (err) {
		k->fd = -1; /* still the caller's */
		keeper_free(k);
		return err;
	}
	*ret_keeper = k;
	return 0;
}

static void
shelf_free(struct shelf *s)
{
	while (s->waiting) {
		struct work *w = s->waiting;

		s->waiting = w->next;
		work_free(w);
	}
	vault_close(s->vault);
	free(s->profile);
	free(s);
}

void
keeper_free(struct keeper *k)
{
	if (!k)
		return;
	stop_all(k);
	/* Work that waits to report would never end. */
	if (k->outbox)
		keeper_outbox_shut(k->outbox);
	workpool_free(k->pool);
	while (k->shelves) {
		struct shelf *s = k->shelves;

		k->shelves = s->next;
		shelf_free(s);
	}
	if (k->reading)
		event_free(k->reading);
	if (k->tick)
		event_free(k->tick);
	keeper_outbox_free(k->outbox);
	if (k->in)
		evbuffer_free(k->in);
	if (k->fd >= 0)
		close(k->fd);
	free(k);
}
