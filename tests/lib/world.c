/* SPDX-License-Identifier: GPL-2.0-or-later */
/* world - what an edit is, and what "the same" means. */
#include "tests/lib/world.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <assert.h>
#include <dirent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/relpath.h"
#include "livetree.h"
#include "watcher/watcher.h"
#include "wire/identity.h"

#define MUST(x)                                                                                                      \
	do {                                                                                                         \
		if (!(x)) {                                                                                          \
			fprintf(stderr, "%s:%d: %s: %s (seed %llu)\n", __FILE__, __LINE__, #x, err_text(),           \
			    (unsigned long long)world_seed);                                                         \
			abort();                                                                                     \
		}                                                                                                    \
	} while (0)

static uint64_t world_seed; /* for messages */

/* ---- randomness and files ---- */

uint64_t
world_random(struct world *w, uint64_t below)
{
	uint64_t z = w->rng += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return below ? (z ^ z >> 31) % below : 0;
}

static void
absolute(struct world *w, bool staging, const char *path, char out[1024])
{
	snprintf(out, 1024, "%s/%s", staging ? w->staging : w->live, path);
}

static uint8_t *
random_bytes(struct world *w, size_t len)
{
	uint8_t *data = malloc(len + 8);

	MUST(data);
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = world_random(w, UINT64_MAX);

		memcpy(data + i, &v, 8);
	}
	return data;
}

void
world_write(struct world *w, bool staging, const char *path, const void *data, size_t len)
{
	char full[1024];
	int fd;

	absolute(w, staging, path, full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
	if (fd < 0)
		return; /* its directory went, or something else stands there: edits are random */
	MUST(fsio_pwrite(fd, data, len, 0) == 0);
	close(fd);
}

void
world_write_random(struct world *w, bool staging, const char *path, size_t len)
{
	uint8_t *data = random_bytes(w, len);

	world_write(w, staging, path, data, len);
	free(data);
}

void
world_make_dir(struct world *w, const char *path)
{
	char full[1024];

	absolute(w, false, path, full);
	MUST(mkdir(full, 0750) == 0);
}

void
world_patch(struct world *w, bool staging, const char *path, uint64_t offset, size_t len)
{
	uint8_t *data = random_bytes(w, len);
	char full[1024];
	int fd;

	absolute(w, staging, path, full);
	fd = open(full, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		MUST(fsio_pwrite(fd, data, len, offset) == 0);
		close(fd);
	}
	free(data);
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void
world_remove(struct world *w, const char *path)
{
	char full[1024];

	absolute(w, false, path, full);
	(void)nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- edits ---- */

#define DIRS 6

static void
random_blob(struct world *w, char out[64])
{
	uint64_t dir = world_random(w, DIRS), sub = world_random(w, 4);

	snprintf(out, 64, sub ? "offiles/fd%u/b%u" : "offiles/fd%u/deep/b%u", (unsigned)dir, (unsigned)world_random(w, 30));
}

static size_t
random_size(struct world *w)
{
	switch (world_random(w, 8)) {
	case 0:
		return 0;
	case 1:
		return (size_t)world_random(w, 2u << 20);
	case 2:
		return 250000 + (size_t)world_random(w, 30000);
	default:
		return (size_t)world_random(w, 20000);
	}
}

/* Blobs come by rename, as GroupWise makes them, or are written in their place. */
static void
edit_blob(struct world *w, bool in_place)
{
	char path[64], temp[80], from[1024], to[1024];

	random_blob(w, path);
	if (in_place) {
		world_write_random(w, false, path, random_size(w));
		return;
	}
	snprintf(temp, sizeof temp, "%s.tmp%u", path, w->files++);
	world_write_random(w, false, temp, random_size(w));
	absolute(w, false, temp, from);
	absolute(w, false, path, to);
	if (rename(from, to) < 0)
		(void)unlink(from);
}

static void
edit_sparse(struct world *w)
{
	char path[64], full[1024];

	random_blob(w, path);
	world_write_random(w, false, path, 5000);
	absolute(w, false, path, full);
	if (truncate(full, (off_t)(1u << 20) + (off_t)world_random(w, 1u << 20)) == 0)
		world_patch(w, false, path, 700000, 9000);
}

/* Through a descriptor: the watcher hears of index files when they are closed. */
static void
cut_file(struct world *w, const char *full, const char *path)
{
	int fd = open(full, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		world_write_random(w, false, path, 400000);
		return;
	}
	MUST(ftruncate(fd, (off_t)world_random(w, 3u << 20)) == 0);
	close(fd);
}

/* From small to large and back, of few blocks that come again: what was known of the file before it must not be believed of this one. */
static void
write_recurring(struct world *w, bool staging, const char *path)
{
	size_t len = (size_t)world_random(w, 12 * BLOCK_BYTES);
	uint8_t *data = malloc(len + 1);

	for (size_t at = 0; at < len; at += BLOCK_BYTES)
		memset(data + at, (int)world_random(w, 3), len - at < BLOCK_BYTES ? len - at : BLOCK_BYTES);
	world_write(w, staging, path, data, len);
	free(data);
}

static void
edit_index(struct world *w)
{
	char path[64], full[1024];

	snprintf(path, sizeof path, "ofuser/index/i%u.idx", (unsigned)world_random(w, 5));
	absolute(w, false, path, full);
	switch (world_random(w, 6)) {
	case 0:
		world_write_random(w, false, path, 300000 + (size_t)world_random(w, 5u << 20));
		break;
	case 1:
		cut_file(w, full, path);
		break;
	case 2:
		write_recurring(w, false, path);
		break;
	default:
		for (unsigned i = 0; i < 4; i++)
			world_patch(w, false, path, world_random(w, 2u << 20), 1 + (size_t)world_random(w, 9000));
	}
}

static void
edit_directory(struct world *w)
{
	char a[64], b[64], from[1024], to[1024];

	snprintf(a, sizeof a, "offiles/fd%u%s", (unsigned)world_random(w, DIRS), world_random(w, 2) ? "" : "/deep");
	snprintf(b, sizeof b, "offiles/fd%u%s", (unsigned)world_random(w, DIRS), world_random(w, 2) ? "" : "/deep");
	absolute(w, false, a, from);
	absolute(w, false, b, to);
	switch (world_random(w, 4)) {
	case 0:
		world_remove(w, a);
		break;
	case 1:
		(void)rename(from, to);
		break;
	default:
		(void)mkdir(from, 0750);
	}
}

static void
edit_other(struct world *w)
{
	char path[64], full[1024];

	random_blob(w, path);
	absolute(w, false, path, full);
	switch (world_random(w, 5)) {
	case 0:
		(void)chmod(full, 0600 + (mode_t)world_random(w, 0200));
		break;
	case 1:
		(void)unlink(full);
		if (symlink("nowhere", full) < 0)
			break;
		break;
	case 2:
		(void)unlink(full);
		(void)mkfifo(full, 0600);
		break;
	case 3:
		world_remove(w, path);
		(void)mkdir(full, 0700);
		break;
	default:
		world_remove(w, path);
	}
}

void
world_edit(struct world *w)
{
	switch (world_random(w, 10)) {
	case 0:
		edit_directory(w);
		break;
	case 1:
	case 2:
		edit_index(w);
		break;
	case 3:
	case 4:
		edit_other(w);
		break;
	case 5:
		edit_sparse(w);
		break;
	default:
		edit_blob(w, world_random(w, 2));
	}
}

void
world_edit_staging(struct world *w)
{
	char path[64], full[1024];

	snprintf(path, sizeof path, "%s/u%u.db", world_random(w, 2) ? "ofuser" : "ofmsg", (unsigned)world_random(w, 6));
	absolute(w, true, path, full);
	switch (world_random(w, 6)) {
	case 0:
		world_write_random(w, true, path, (size_t)world_random(w, 6u << 20));
		break;
	case 1:
		(void)unlink(full);
		break;
	case 2:
		write_recurring(w, true, path);
		break;
	default:
		world_patch(w, true, path, world_random(w, 4u << 20) & ~4095ull, 4096 * (1 + (size_t)world_random(w, 5)));
	}
}

/* ---- the halves ---- */

static struct identity *
enrol(struct identity *server, const char *dir, const char *profile)
{
	uint8_t exporter[32] = {0}, proof[32], *cert, *authority;
	size_t csr_len, cert_len, authority_len;
	struct identity_request *req;
	struct identity_token token;
	struct identity *id;
	const uint8_t *csr;
	char *text;

	MUST(identity_token_create(server, profile, "localhost:1", 0, 1, &text) == 0);
	MUST(identity_token_parse(text, &token) == 0);
	MUST(identity_enrol_begin(profile, &req) == 0);
	identity_request_csr(req, &csr, &csr_len);
	MUST(identity_proof(token.secret, exporter, csr, csr_len, proof) == 0);
	MUST(identity_enrol_accept(server, profile, 0, exporter, csr, csr_len, proof, &cert, &cert_len, &authority, &authority_len) == 0);
	MUST(identity_enrol_finish(req, dir, cert, cert_len, authority, authority_len) == 0);
	MUST(identity_open_collector(dir, profile, &id) == 0);
	identity_request_free(req);
	free(cert);
	free(authority);
	free(text);
	return id;
}

static void
make_tree(struct world *w)
{
	static const char *const live[] = {"ofuser", "ofuser/index", "ofmsg", "offiles"};
	static const char *const staged[] = {"ofuser", "ofmsg", "offiles"};
	char full[1024];

	for (size_t i = 0; i < sizeof live / sizeof *live; i++) {
		absolute(w, false, live[i], full);
		MUST(mkdir(full, 0700) == 0);
	}
	for (size_t i = 0; i < sizeof staged / sizeof *staged; i++) {
		absolute(w, true, staged[i], full);
		MUST(mkdir(full, 0700) == 0);
	}
	for (unsigned i = 0; i < DIRS; i++) {
		char dir[64];

		snprintf(dir, sizeof dir, "offiles/fd%u", i);
		absolute(w, false, dir, full);
		MUST(mkdir(full, 0750) == 0);
	}
	world_write_random(w, false, "wphost.db", 5000);
	world_write_random(w, true, "wphost.db", 5000);
}

/* A second of waiting in the collector is ten milliseconds here. */
static int64_t
fast_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000) * 100;
}

static void
on_pulse(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;

	(void)fd;
	(void)what;
	if (w->replicator)
		replicator_poke(w->replicator);
}

void
world_open(struct world *w, uint64_t seed)
{
	char path[256];
	struct timeval pulse = {.tv_usec = 20000};

	*w = (struct world){.seed = seed, .rng = seed};
	world_seed = seed;
	scratch_open(&w->scratch);
	scratch_path(&w->scratch, "live", w->live);
	scratch_path(&w->scratch, "staging", w->staging);
	scratch_path(&w->scratch, "cookies", w->cookies);
	scratch_path(&w->scratch, "state", w->state);
	scratch_path(&w->scratch, "server", w->server);
	MUST(mkdir(w->live, 0700) == 0 && mkdir(w->staging, 0700) == 0 && mkdir(w->cookies, 0700) == 0 && mkdir(w->state, 0700) == 0);
	make_tree(w);
	w->base = event_base_new();
	MUST(w->base);
	MUST(identity_open_server(scratch_path(&w->scratch, "server-id", path), &w->server_id) == 0);
	w->collector_id = enrol(w->server_id, scratch_path(&w->scratch, "collector-id", path), "po1");
	w->watching = true;
	MUST(workpool_new(w->base, &w->pool) == 0);
	w->pulse = event_new(w->base, -1, EV_PERSIST, on_pulse, w);
	event_add(w->pulse, &pulse);
	w->clock_ms = fast_clock;
	log_set_level(getenv("WORLD_DEBUG") ? LOG_DEBUG : LOG_ERROR);
}

void
world_serve(struct world *w)
{
	peer_open(&w->peer, w->base, w->pool, w->server_id, w->server);
	w->peer_up = true;
}

/* ---- the watcher's half: its own process in life, a job in the journal's lane here ---- */

struct appending {
	struct job job;
	struct world *w;
	struct change *changes;
	size_t n;
};

static void
append_run(struct job *job)
{
	struct appending *a = (struct appending *)job;

	int err = journal_append(a->w->journal, a->changes, a->n);

	MUST(err == 0 || err == -ERR_NOSPACE); /* the journal's flag then says the same */
}

static void
append_done(struct job *job, bool cancelled)
{
	struct appending *a = (struct appending *)job;

	if (!cancelled)
		replicator_poke(a->w->replicator);
	journal_changes_free(a->changes, a->n);
	free(a);
}

static void
append(struct world *w, struct change *changes, size_t n)
{
	struct appending *a = calloc(1, sizeof *a);

	MUST(a);
	*a = (struct appending){.job = {.run = append_run, .done = append_done}, .w = w, .changes = changes, .n = n};
	workpool_submit(w->lanes, w->lane_journal, &a->job);
}

static int64_t
wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	bool more = true;

	MUST(watcher_poll(w->watcher, wall()) == 0);
	(void)fd;
	(void)what;
	while (more) {
		struct change *changes;
		size_t n;

		MUST(watcher_turn(w->watcher, 4096, wall(), &changes, &n, &more) == 0);
		if (n)
			append(w, changes, n);
		else
			journal_changes_free(changes, n);
	}
}

void
world_watch(struct world *w)
{
	struct timeval soon = {.tv_usec = 100000}; /* for files that were young at the last turn */

	MUST(source_inotify_open(&w->source) == 0);
	MUST(watcher_new(w->tree, w->source, w->cookies, &w->watcher) == 0);
	MUST(watcher_start(w->watcher, wall()) == 0);
	w->watching = true;
	w->watch_event = event_new(w->base, w->source->fd(w->source), EV_READ | EV_PERSIST, on_watch, w);
	event_add(w->watch_event, &soon);
	event_active(w->watch_event, EV_READ, 0); /* the RESCAN of the start */
}

static void
unwatch(struct world *w)
{
	event_free(w->watch_event);
	watcher_free(w->watcher);
	w->source->close(w->source);
}

/* ---- the collector's half ---- */

static void
on_link(bool up, const char *why, void *arg)
{
	struct world *w = arg;

	(void)why;
	w->link_up = up;
	w->links += up;
}

static const struct replicator_events replicator_events = {.link = on_link};

void
world_start(struct world *w)
{
	bool rebuilt;

	MUST(workpool_new(w->base, &w->lanes) == 0);
	w->lane_journal = workpool_add_lane(w->lanes, "journal", 1);
	w->lane_hash = workpool_add_lane(w->lanes, "hash", 2);
	MUST(livetree_open(w->live, LAYOUT_POST_OFFICE, &w->tree) == 0);
	MUST(journal_open(w->state, "po1", &w->journal, &rebuilt) == 0);
	MUST(blockmap_open(w->state, "po1", &w->map, &rebuilt) == 0);
	w->setup = (struct replicator_setup){.base = w->base, .pool = w->lanes, .lane_journal = w->lane_journal,
	    .lane_hash = w->lane_hash, .tree = w->tree, .journal = w->journal, .map = w->map, .identity = w->collector_id,
	    .profile = "po1", .server = w->peer.address, .cookie_dir = w->cookies, .seed = w->seed + 1, .clock_ms = w->clock_ms,
	    .rescan_ms = w->rescan_ms};
	MUST(replicator_new(&w->setup, &replicator_events, w, &w->replicator) == 0);
	if (w->watching)
		world_watch(w);
}

void
world_stop(struct world *w)
{
	if (!w->replicator)
		return;
	if (w->watching)
		unwatch(w);
	workpool_free(w->lanes); /* all at once, as the collector does: what ends in one may still give work to the other */
	replicator_free(w->replicator);
	w->replicator = NULL;
	blockmap_close(w->map);
	journal_close(w->journal);
	livetree_close(w->tree);
}

void
world_close(struct world *w)
{
	world_stop(w);
	if (w->peer_up)
		peer_close(&w->peer);
	workpool_free(w->pool);
	identity_close(w->collector_id);
	identity_close(w->server_id);
	event_free(w->pulse);
	event_base_free(w->base);
	scratch_close(&w->scratch);
}

/* ---- waiting ---- */

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct world *w = arg;
	struct replicator_status s;

	(void)fd;
	(void)what;
	replicator_status(w->replicator, &s);
	fprintf(stderr, "world: nothing more happens (seed %llu): connected=%d why=%s pending=%llu rescans=%llu troubled=%llu naks=%llu %s\n",
	    (unsigned long long)w->seed, s.connected, s.why, (unsigned long long)s.pending_changes, (unsigned long long)s.rescans_open,
	    (unsigned long long)s.troubled, (unsigned long long)w->peer.naks, w->peer.last_nak);
	abort();
}

void
world_run_until(struct world *w, const bool *flag)
{
	struct event *guard = evtimer_new(w->base, on_timeout, w);
	struct timeval minute = {.tv_sec = 60};

	evtimer_add(guard, &minute);
	while (!*flag && !w->peer.failed)
		event_base_loop(w->base, EVLOOP_ONCE);
	event_free(guard);
	MUST(!w->peer.failed);
}

void
world_turns(struct world *w, unsigned n)
{
	while (n--)
		event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static void
on_done(int err, const char *text, void *arg)
{
	struct world *w = arg;

	w->done = true;
	w->err = err;
	snprintf(w->text, sizeof w->text, "%s", text);
}

int
world_barrier(struct world *w)
{
	uint64_t id;

	w->done = false;
	if (replicator_barrier(w->replicator, on_done, w, &id) != 0)
		fail_msg("%s", err_text());
	world_run_until(w, &w->done);
	return w->err;
}

static void
announce_file(struct world *w, const char *path)
{
	char full[1024];
	struct hash128 *hashes, digest;
	uint8_t *data;
	struct stat st;
	int fd;

	absolute(w, true, path, full);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	MUST(fstat(fd, &st) == 0);
	data = malloc((size_t)st.st_size + 1);
	MUST(data && fsio_pread(fd, data, (size_t)st.st_size, 0) == st.st_size);
	hashes = calloc(block_count((uint64_t)st.st_size) + 1, sizeof *hashes);
	block_hash_many(&w->peer.key, data, (size_t)st.st_size, hashes);
	digest = block_hash(&w->peer.key, data, (size_t)st.st_size);
	replicator_snapshot_file(w->replicator, path, hashes, block_count((uint64_t)st.st_size), &digest);
	free(data);
	close(fd);
}

int
world_snapshot(struct world *w, bool announce)
{
	int fd = open(w->staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(fd >= 0);
	replicator_snapshot_begin(w->replicator, fd);
	for (unsigned i = 0; announce && i < 6; i++) {
		char path[64];

		snprintf(path, sizeof path, "ofuser/u%u.db", i);
		announce_file(w, path);
	}
	w->done = false;
	replicator_snapshot_end(w->replicator, on_done, w);
	world_run_until(w, &w->done);
	close(fd);
	w->snapshotted |= w->err == 0;
	return w->err;
}

/* ---- comparing ---- */

static struct {
	struct world *w;
	const char *root;
	bool staging;
	uint64_t n;
} comparing;

static void
complain(const char *path, const char *what)
{
	fail_msg("%s: %s (seed %llu)", path, what, (unsigned long long)world_seed);
}

static void
compare_content(const char *path, const char *full, const struct index_node *node)
{
	int ours = open(full, O_RDONLY | O_CLOEXEC), theirs;
	struct index_node again;
	static uint8_t a[65536], b[65536];
	ssize_t n, m;

	theirs = peer_open_file(&comparing.w->peer, path, &again);
	if (theirs < 0)
		complain(path, "the server has no such file on disk");
	for (uint64_t at = 0;; at += (uint64_t)n) {
		n = fsio_pread(ours, a, sizeof a, at);
		m = fsio_pread(theirs, b, sizeof b, at);
		if (n != m || (n > 0 && memcmp(a, b, (size_t)n) != 0))
			complain(path, "content differs");
		if (n <= 0)
			break;
	}
	(void)node;
	entry_fini(&again.entry);
	close(ours);
	close(theirs);
}

static int
compare_one(const char *full, const struct stat *st, int flag, struct FTW *ftw)
{
	const char *path = full + strlen(comparing.root) + (full[strlen(comparing.root)] == '/');
	const struct layout_row *row = layout_of(LAYOUT_POST_OFFICE, path, S_ISDIR(st->st_mode));
	struct index_node node;
	struct entry e = {0};

	(void)flag;
	(void)ftw;
	if (!row || (row->class == LAYOUT_SNAPSHOT) != comparing.staging)
		return 0;
	comparing.n++;
	if (index_get(comparing.w->peer.index, path, &node) != 0)
		complain(path, "the server does not have it");
	entry_from_stat(&e, st);
	if (e.kind != node.entry.kind || e.mode != node.entry.mode || e.mtime_ns != node.entry.mtime_ns || e.uid != node.entry.uid)
		complain(path, "kind, rights or time differ");
	if (S_ISREG(st->st_mode) && e.size != node.entry.size)
		complain(path, "size differs");
	if (S_ISREG(st->st_mode))
		compare_content(path, full, &node);
	entry_fini(&node.entry);
	return 0;
}

static uint64_t
compare_tree(struct world *w, bool staging)
{
	comparing.w = w;
	comparing.root = staging ? w->staging : w->live;
	comparing.staging = staging;
	comparing.n = 0;
	MUST(nftw(comparing.root, compare_one, 16, FTW_PHYS) == 0);
	return comparing.n;
}

static int
count_staged(const char *dir, const struct treemap_sum *sum, void *arg)
{
	uint64_t *n = arg;

	(void)dir;
	*n += sum->count;
	return 0;
}

static int
show_extra(const char *path, const struct index_node *node, void *arg)
{
	struct world *w = arg;
	const struct layout_row *row = layout_of(LAYOUT_POST_OFFICE, path, node->entry.kind == ENTRY_DIR);
	char full[1024];
	struct stat st;

	absolute(w, row && row->class == LAYOUT_SNAPSHOT, path, full);
	if (lstat(full, &st) < 0)
		fprintf(stderr, "world: the server has %s and we do not\n", path);
	return 0;
}

static int
show_extras(const char *dir, const struct treemap_sum *sum, void *arg)
{
	struct world *w = arg;

	(void)sum;
	return index_children(w->peer.index, dir, NULL, show_extra, w);
}

/* A barrier passes when the server has all; the map may be told of it a moment later. */
static bool
map_agrees(struct world *w)
{
	struct treemap_sum map_total, index_sum;

	MUST(blockmap_total(w->map, &map_total) == 0 && index_total(w->peer.index, &index_sum) == 0);
	return map_total.count == index_sum.count && hash128_equal(map_total.hash, index_sum.hash);
}

void
world_compare(struct world *w)
{
	uint64_t n, theirs = 0;
	int64_t last = wall() + 60000000000;

	peer_settle(&w->peer);
	n = compare_tree(w, false) + (w->snapshotted ? compare_tree(w, true) : 0);
	MUST(index_dirs(w->peer.index, count_staged, &theirs) == 0);
	if (n != theirs) {
		(void)index_dirs(w->peer.index, show_extras, w);
		fail_msg("%llu here, %llu there (seed %llu)", (unsigned long long)n, (unsigned long long)theirs, (unsigned long long)w->seed);
	}
	while (!map_agrees(w)) {
		if (wall() > last)
			complain("(total)", "map and index do not agree");
		event_base_loop(w->base, EVLOOP_ONCE);
	}
}
