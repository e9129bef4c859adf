/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows when a directory may be taken for our store, and what happens to one that may not.
 *
 * Beside the directory lies <dir>.lock.  Who opens a store tries to lock it alone; then nobody else has the store open,
 * and a damaged or foreign one may be moved aside.  Whoever finds others there only joins them, and reports damage instead
 * of pulling the directory from under a running writer.  (LMDB's own lock file must not be touched: POSIX locks vanish
 * when any descriptor of the file is closed.)
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/block.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/pack.h"
#include "base/planted.h"
#include "base/store_internal.h"

#define MAP_START (64u << 20)
#define READERS_MAX 254
#define LOCKS_BYTES (READERS_MAX * 64 + 4096) /* a reader fills a cache line; then what heads them */
#define IDENTITY_TABLE "tidemark"
#define IDENTITY_KEY "identity"
#define WORD_MAX 255 /* of kind and owner */
#define UUID_BYTES 16
#define REASON_BYTES 512
#define QUARANTINE_TRIES 100
#define QUARANTINE_KEPT 3 /* STORE_DERIVED */

/* Where a store lies: the held directory above it, and its name there. */
struct place {
	int parent;
	char *path, *name; /* `name` points into `path` */
	int lock;          /* -1 when read-only */
	bool alone;        /* the lock is ours exclusively */
};

struct request {
	const struct store_identity *who;
	const char *const *tables;
	size_t n_tables;
	unsigned flags;
};

/* ---- the place and its lock ---- */

static void
place_close(struct place *p)
{
	if (p->lock >= 0)
		close(p->lock);
	if (p->parent >= 0)
		close(p->parent);
	free(p->path);
}

static int
place_open(const char *dir, struct place *ret_place)
{
	struct place p = {.parent = -1, .lock = -1};
	size_t len = strlen(dir);
	char *slash;

	while (len > 1 && dir[len - 1] == '/')
		len--;
	p.path = strndup(dir, len);
	if (!p.path)
		return err_set(ERR_NOMEM, "out of memory for a path");
	slash = strrchr(p.path, '/');
	p.name = slash ? slash + 1 : p.path;
	if (slash)
		*slash = '\0';
	p.parent = open(!slash ? "." : *p.path ? p.path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (slash)
		*slash = '/';
	if (p.parent < 0) {
		int err = err_sys("open the directory above");

		place_close(&p);
		return err;
	}
	*ret_place = p;
	return 0;
}

/* Open-file locks: unlike POSIX locks they live and die with this descriptor, unlike flock() they change from exclusive to
 * shared without a gap. */
static int
set_lock(int fd, short type, bool wait)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
	int rc;

	do
		rc = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
	while (rc != 0 && errno == EINTR);
	return rc;
}

static int
place_lock(struct place *p)
{
	char name[256];

	if ((size_t)snprintf(name, sizeof(name), "%s.lock", p->name) >= sizeof(name))
		return err_set(ERR_LIMIT, "its name is too long");
	p->lock = fsio_open(p->parent, name, O_RDWR | O_CREAT, 0600);
	if (p->lock < 0)
		return p->lock;
	p->alone = set_lock(p->lock, F_WRLCK, false) == 0;
	if (p->alone)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return err_sys("lock it");
	/* Somebody has it open, or is just opening it, which ends soon. */
	return set_lock(p->lock, F_RDLCK, true) == 0 ? 0 : err_sys("lock it");
}

/* Opened: let others join. */
static int
place_share(struct place *p)
{
	p->alone = false;
	return set_lock(p->lock, F_RDLCK, false) == 0 ? 0 : err_sys("share its lock");
}

/* ---- identity ---- */

static uint64_t
identity_checksum(const void *data, size_t len)
{
	return block_checksum(0, data, len);
}

static int
put_identity(MDB_txn *txn, MDB_dbi meta, const struct store_identity *who)
{
	MDB_val key = {strlen(IDENTITY_KEY), (void *)(uintptr_t)IDENTITY_KEY}, value;
	uint8_t bytes[1024], uuid[UUID_BYTES];
	struct pack_out o = pack_out_fixed(bytes, sizeof(bytes));
	int rc;

	if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid))
		return err_sys("draw a random identity");
	pack_str(&o, who->kind);
	pack_u32(&o, who->version);
	pack_str(&o, who->owner);
	pack_raw(&o, uuid, sizeof(uuid));
	pack_u64(&o, identity_checksum(bytes, o.len));
	if (o.failed || strlen(who->kind) > WORD_MAX || strlen(who->owner) > WORD_MAX)
		return err_set(ERR_LIMIT, "kind or owner of a store is longer than %d bytes", WORD_MAX);
	value = (MDB_val){o.len, bytes};
	rc = mdb_put(txn, meta, &key, &value, 0);
	return rc ? store_fail(rc, "write the identity") : 0;
}

static bool
same_word(const uint8_t *bytes, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(bytes, word, len) == 0;
}

/* Ours, or -ERR_CORRUPT with the reason. */
static int
match_identity(const MDB_val *value, const struct store_identity *who, char uuid_hex[33])
{
	struct pack_in i = pack_in(value->mv_data, value->mv_size);
	size_t kind_len, owner_len;
	const uint8_t *kind = unpack_bytes(&i, WORD_MAX, &kind_len);
	uint32_t version = unpack_u32(&i);
	const uint8_t *owner = unpack_bytes(&i, WORD_MAX, &owner_len);
	const uint8_t *uuid = unpack_raw(&i, UUID_BYTES);
	size_t summed = i.pos;
	uint64_t sum = unpack_u64(&i);

	if (!unpack_done(&i) || sum != identity_checksum(value->mv_data, summed))
		return err_set(ERR_CORRUPT, "its identity is damaged");
	if (!same_word(kind, kind_len, who->kind))
		return err_set(ERR_CORRUPT, "it is a %.*s, not a %s", (int)kind_len, (const char *)kind, who->kind);
	if (!same_word(owner, owner_len, who->owner))
		return err_set(ERR_CORRUPT, "it belongs to %.*s, not to %s", (int)owner_len, (const char *)owner, who->owner);
	if (version != who->version)
		return err_set(ERR_CORRUPT, "its version is %u, not %u", version, who->version);
	for (size_t k = 0; k < UUID_BYTES; k++)
		snprintf(uuid_hex + 2 * k, 3, "%02x", uuid[k]);
	return 0;
}

/* True when the unnamed table holds no more than `n` rows. */
static bool
holds_at_most(MDB_txn *txn, size_t n)
{
	MDB_dbi names;
	MDB_stat st;

	return mdb_dbi_open(txn, NULL, 0, &names) == 0 && mdb_stat(txn, names, &st) == 0 && st.ms_entries <= n;
}

/* Reads the identity; writes one when the environment is as empty as a crash during its making leaves it. */
static int
identify(MDB_txn *txn, const struct request *r, char uuid_hex[33], bool *ret_created)
{
	bool readonly = r->flags & STORE_READONLY;
	MDB_val key = {strlen(IDENTITY_KEY), (void *)(uintptr_t)IDENTITY_KEY}, value;
	MDB_dbi meta;
	int err, rc = mdb_dbi_open(txn, IDENTITY_TABLE, readonly ? 0 : MDB_CREATE, &meta);

	if (rc == 0)
		rc = mdb_get(txn, meta, &key, &value);
	if (rc == MDB_NOTFOUND && readonly && holds_at_most(txn, 0))
		return err_set(ERR_GONE, "it is not yet made");
	if (rc == MDB_NOTFOUND && !readonly && holds_at_most(txn, 1)) { /* our own new table */
		err = put_identity(txn, meta, r->who);
		if (err)
			return err;
		*ret_created = true;
		rc = mdb_get(txn, meta, &key, &value);
	}
	if (rc == MDB_NOTFOUND || rc == MDB_INCOMPATIBLE)
		return err_set(ERR_CORRUPT, "it is not one of ours");
	return rc ? store_fail(rc, "read the identity") : match_identity(&value, r->who, uuid_hex);
}

static int
open_tables(struct store *s, MDB_txn *txn, const struct request *r)
{
	for (size_t i = 0; i < r->n_tables; i++) {
		int rc = mdb_dbi_open(txn, r->tables[i], s->readonly ? 0 : MDB_CREATE, &s->tables[i]);

		if (rc == MDB_NOTFOUND)
			return err_set(ERR_CORRUPT, "it has no table %s", r->tables[i]);
		if (rc)
			return store_fail(rc, "open a table");
	}
	s->n_tables = r->n_tables;
	return 0;
}

static int
claim(struct store *s, const struct request *r, bool *ret_created)
{
	bool created = false;
	MDB_txn *txn;
	int err, rc;

	/* A process that grew the map since we opened it. */
	while ((rc = mdb_txn_begin(s->env, NULL, s->readonly ? MDB_RDONLY : 0, &txn)) == MDB_MAP_RESIZED)
		if ((rc = mdb_env_set_mapsize(s->env, 0)) != 0)
			break;
	if (rc)
		return store_fail(rc, "begin");
	err = identify(txn, r, s->uuid, &created);
	if (!err)
		err = open_tables(s, txn, r);
	if (err) {
		mdb_txn_abort(txn);
		return err;
	}
	rc = mdb_txn_commit(txn); /* also when reading: abort would close the handles of the tables */
	if (rc)
		return store_fail(rc, "commit");
	*ret_created = created;
	return 0;
}

/* ---- the environment ---- */

static int
open_env(struct store *s, const char *path)
{
	MDB_envinfo info;
	int rc = mdb_env_create(&s->env);

	if (rc) {
		s->env = NULL;
		return store_fail(rc, "create");
	}
	mdb_env_set_maxdbs(s->env, STORE_TABLES_MAX + 1);
	mdb_env_set_maxreaders(s->env, READERS_MAX);
	if (!s->readonly)
		mdb_env_set_mapsize(s->env, MAP_START);
	rc = mdb_env_open(s->env, path, MDB_NOTLS | (s->readonly ? MDB_RDONLY : 0), 0600);
	if (rc)
		return store_fail(rc, "open");
	/* LMDB takes the smaller size that we ask for, even when the file remembers a larger one.  A change of size that fails leaves nothing
	 * mapped, and then LMDB does not survive being asked about itself. */
	rc = mdb_env_set_mapsize(s->env, 0);
	if (rc)
		return store_fail(rc, "map");
	mdb_env_info(s->env, &info);
	if (info.me_mapsize < MAP_START && !s->readonly && (rc = mdb_env_set_mapsize(s->env, MAP_START)) != 0)
		return store_fail(rc, "map");
	mdb_reader_check(s->env, NULL);
	return 0;
}

static void
close_env(struct store *s)
{
	if (s->env)
		mdb_env_close(s->env);
	s->env = NULL;
}

/* True when there is a data file with anything in it; an empty one is left by a crash before LMDB's first write. */
static bool
has_data(int dir)
{
	struct stat st;

	return fsio_stat(dir, "data.mdb", &st) == 0 && st.st_size > 0;
}

/* LMDB writes its locks through a mapping: where the file has no blocks yet and the disk is full, that ends a process by SIGBUS,
 * and the check of a good store as well.  So they are taken first.  The size stays LMDB's to choose; what else is wrong with the
 * file LMDB says itself, and a file system that cannot give blocks beforehand is as before. */
static int
reserve_locks(int dir)
{
	int fd = fsio_open(dir, "lock.mdb", O_RDWR | O_CREAT, 0600), err = 0;

	if (fd < 0)
		return fd == -ERR_NOSPACE ? err_prefix(fd, "its locks") : 0;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCKS_BYTES) != 0 && (errno == ENOSPC || errno == EDQUOT))
		err = err_sys("take room for its locks");
	close(fd);
	return err;
}

/* Opens what is there, or makes it.  -ERR_CORRUPT: damaged or foreign. */
static int
open_once(struct store *s, const struct place *p, const struct request *r, bool *ret_created)
{
	int err = 0, dir = s->readonly ? fsio_open_dir(p->parent, p->name) : fsio_make_dirs(p->parent, p->name, true);
	bool data, created = false;

	if (dir < 0)
		return dir;
	data = has_data(dir);
	if (!data && s->readonly)
		err = err_set(ERR_GONE, "it is not yet made");
	if (!err)
		err = reserve_locks(dir);
	if (!err && data && !(r->flags & STORE_NO_CHECK))
		err = store_check(p->path, r->tables, r->n_tables, r->who->sealed);
	if (!err)
		err = open_env(s, p->path);
	if (!err)
		err = claim(s, r, &created);
	if (!err && r->flags & STORE_GROUP_READS && !s->readonly &&
	    (fchmod(dir, 0750) != 0 || fchmodat(dir, "data.mdb", 0640, 0) != 0 || fchmodat(dir, "lock.mdb", 0660, 0) != 0))
		err = err_sys("let the group read it");
	if (!err && created)
		err = fsio_sync_dir(dir, "store.create"); /* the names of LMDB's files */
	close(dir);
	if (err)
		close_env(s);
	else
		*ret_created = created;
	return err;
}

/* ---- quarantine ---- */

/* Moves the directory to <dir>.quarantine-<UTC>, with a number when there is already one of this second. */
static int
quarantine(const struct place *p, char moved[256])
{
	char stamp[32];
	time_t now = time(NULL);
	struct tm tm;
	int err = -ERR_BUSY;

	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (int i = 1; err == -ERR_BUSY && i <= QUARANTINE_TRIES; i++) {
		int n = i == 1 ? snprintf(moved, 256, "%s.quarantine-%s", p->name, stamp)
		               : snprintf(moved, 256, "%s.quarantine-%s-%d", p->name, stamp, i);

		if (n >= 256)
			return err_set(ERR_LIMIT, "its name is too long");
		err = fsio_publish(p->parent, p->name, p->parent, moved, true, "store.quarantine");
	}
	return err;
}

/* The oldest of those moved aside, and how many there are; their names begin with the time. */
static unsigned
oldest_aside(const struct place *p, char ret_oldest[NAME_MAX + 1])
{
	int fd = fsio_open_dir(p->parent, "");
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	char head[NAME_MAX + 16];
	struct dirent *e;
	unsigned n = 0;

	snprintf(head, sizeof head, "%s.quarantine-", p->name);
	while (list && (e = readdir(list)))
		if (strncmp(e->d_name, head, strlen(head)) == 0 && (n++ == 0 || strcmp(e->d_name, ret_oldest) < 0))
			snprintf(ret_oldest, NAME_MAX + 1, "%s", e->d_name);
	if (list)
		closedir(list);
	else if (fd >= 0)
		close(fd);
	return n;
}

/* A disk that damages one after the other must not be filled by them.  What cannot be removed stays. */
static void
thin_out(const struct place *p)
{
	char oldest[NAME_MAX + 1];

	while (oldest_aside(p, oldest) > QUARANTINE_KEPT && fsio_remove_tree(p->parent, oldest) == 0)
		;
}

static int
rebuild(struct store *s, const struct place *p, const struct request *r, char reason[REASON_BYTES])
{
	char moved[256];
	bool created;
	int err;

	snprintf(reason, REASON_BYTES, "%s", err_text());
	err = quarantine(p, moved);
	if (err)
		return err_prefix(err, "%s; and it cannot be moved aside", reason);
	if (r->flags & STORE_DERIVED)
		thin_out(p);
	err = open_once(s, p, r, &created);
	if (!err)
		snprintf(reason + strlen(reason), REASON_BYTES - strlen(reason), "; moved to %s", moved);
	return err;
}

/* ---- the public face ---- */

static struct store *
store_new(bool readonly)
{
	struct store *s = calloc(1, sizeof(*s));
	pthread_mutexattr_t checked;
	pthread_condattr_t monotonic;

	if (!s)
		return NULL;
	s->readonly = readonly;
	s->lock = -1;
	store_resident_begin(s);
	pthread_mutexattr_init(&checked);
	pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK); /* a write within a write shows at once */
	pthread_mutex_init(&s->writer, &checked);
	pthread_mutexattr_destroy(&checked);
	pthread_mutex_init(&s->guard, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return s;
}

static int
open_or_rebuild(struct store *s, struct place *p, const struct request *r, enum store_found *ret_found)
{
	char reason[REASON_BYTES];
	bool created;
	int err = s->readonly ? 0 : place_lock(p);

	if (err)
		return err;
	err = open_once(s, p, r, &created);
	if (!err)
		*ret_found = created ? STORE_CREATED : STORE_OPENED;
	if (err == -ERR_CORRUPT && p->alone && !PLANTED(damaged_store_kept)) {
		err = rebuild(s, p, r, reason);
		if (!err) {
			*ret_found = STORE_REBUILT;
			err_set(ERR_CORRUPT, "%s", reason); /* what the caller reports */
		}
	}
	if (!err && p->alone)
		err = place_share(p);
	return err;
}

int
store_open(const char *dir, const struct store_identity *who, const char *const *tables, size_t n_tables, unsigned flags,
    struct store **ret_store, enum store_found *ret_found)
{
	struct request r = {who, tables, n_tables, flags};
	enum store_found found = STORE_OPENED;
	struct store *s = store_new(flags & STORE_READONLY);
	struct place p;
	int err;

	assert(n_tables <= STORE_TABLES_MAX);
	if (!s)
		return err_set(ERR_NOMEM, "out of memory for a store");
	err = place_open(dir, &p);
	if (!err) {
		err = open_or_rebuild(s, &p, &r, &found);
		s->lock = p.lock;
		p.lock = -1;
		place_close(&p);
	}
	if (err) {
		store_close(s);
		return err_prefix(err, "store %s", dir);
	}
	*ret_store = s;
	if (ret_found)
		*ret_found = found;
	return 0;
}

void
store_close(struct store *s)
{
	if (!s)
		return;
	assert(s->readers == 0);
	close_env(s);
	if (s->lock >= 0)
		close(s->lock);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->guard);
	pthread_mutex_destroy(&s->writer);
	free(s);
}
