/* SPDX-License-Identifier: GPL-2.0-or-later */
/* opened - knows what lies where in a profile's folder, and the order in which it is opened. */
#include "server/opened.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "server/index.h"
#include "server/profile.h"
#include "server/warden.h"

#define META_LAYOUT "layout"

struct opened *
opened_new(void)
{
	struct opened *o = calloc(1, sizeof *o);

	if (o)
		o->fd = o->lock_fd = -1;
	return o;
}

void
opened_free(struct opened *o)
{
	if (!o)
		return;
	staging_free(o->staging);
	index_close(o->index);
	if (o->fd >= 0)
		close(o->fd);
	if (o->lock_fd >= 0)
		close(o->lock_fd);
	free(o);
}

static int
make_folders(struct opened *o, const struct profile_setup *setup, const char *name)
{
	static const char *const folders[] = {"gre_data/sync", "blobs", "state"};
	int err = setup->warden ? warden_make_profile(setup->warden, name) : 0;

	if (err)
		return err;
	o->fd = fsio_make_dirs(setup->store_fd, name, true);
	if (o->fd < 0)
		return o->fd;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		int fd = fsio_make_dirs(o->fd, folders[i], true);

		if (fd < 0)
			return fd;
		close(fd);
	}
	o->lock_fd = fsio_lock(o->fd, "state/lock");
	if (o->lock_fd == -ERR_BUSY)
		return err_set(ERR_BUSY, "another server has %s/%s open", setup->store, name);
	return o->lock_fd < 0 ? o->lock_fd : 0;
}

static int
open_index(struct opened *o, const struct profile_setup *setup, const char *name)
{
	bool rebuilt = false;
	char *state;
	int err;

	if (asprintf(&state, "%s/%s/state", setup->store, name) < 0)
		return err_set(ERR_NOMEM, "opening the index");
	err = index_open(state, name, false, &o->index, &rebuilt);
	if (err == 0 && rebuilt)
		log_error("profile.rebuilt", "profile=%s %s; the collector's agreement fills a new one", name, err_text());
	free(state);
	return err;
}

/* The key of all hashes: made once, and with a new index anew. */
static int
take_key(struct opened *o)
{
	size_t len;
	char *value;
	int err = index_meta_get(o->index, INDEX_META_KEY, &value, &len);

	if (err < 0)
		return err;
	if (err == 0) {
		if (len == sizeof o->key_bytes)
			memcpy(o->key_bytes, value, len);
		else
			err = err_set(ERR_CORRUPT, "the index holds a hash key of %zu bytes", len);
		free(value);
	} else if (getrandom(o->key_bytes, sizeof o->key_bytes, 0) != (ssize_t)sizeof o->key_bytes) {
		err = err_sys("making the hash key");
	} else {
		err = index_meta_put(o->index, INDEX_META_KEY, o->key_bytes, sizeof o->key_bytes);
	}
	if (err == 0)
		block_key_init(&o->key, o->key_bytes);
	return err;
}

/* The type is what the first collector said, for ever. */
static int
take_layout(struct opened *o, const enum layout_type *said)
{
	size_t len;
	char *value;
	int err = index_meta_get(o->index, META_LAYOUT, &value, &len);

	if (err < 0)
		return err;
	if (err == 0) {
		o->has_layout = layout_type_from_name(value, &o->layout);
		free(value);
		return o->has_layout ? 0 : err_set(ERR_CORRUPT, "the index names an unknown type");
	}
	if (!said)
		return 0;
	o->has_layout = true;
	o->layout = *said;
	const char *name = layout_type_name(o->layout);
	return index_meta_put(o->index, META_LAYOUT, name, strlen(name));
}

static int
open_staging(struct opened *o, const struct profile_setup *s)
{
	const struct staging_setup setup = {.pool = s->pool, .lane_write = s->lane_write, .lane_sync = s->lane_sync,
	    .index = o->index, .profile_fd = o->fd, .layout = o->layout, .key = &o->key};

	if (!o->has_layout)
		return 0;
	int err = staging_new(&setup, &o->staging);
	return err ? err : staging_recover(o->staging, time(NULL), &o->recovery);
}

int
opened_open(struct opened *o, const struct profile_setup *setup, const char *name, const enum layout_type *layout)
{
	int err = make_folders(o, setup, name);

	if (err == 0)
		err = open_index(o, setup, name);
	if (err == 0)
		err = take_key(o);
	if (err == 0)
		err = take_layout(o, layout);
	if (err == 0)
		err = open_staging(o, setup);
	return err;
}
