/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knows how a doubtful environment is looked at without dying of it.
 *
 * LMDB believes its pages: a truncated file ends in SIGBUS, a bad pointer in SIGSEGV, a bad page in abort().  So a child
 * process looks first, and its death is the answer.  It tests what a reader or writer would stumble over: the size of the
 * file, the list of free pages (a wrong one makes the writer overwrite live data), and the beginning and the end of every
 * table: the order of its rows, their checksums, and, of a table that was seen whole, their number, because a page whose head is
 * wrong hides rows without a word.  It does not read gigabytes at each start: of a large table wrong bytes may be found later.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/planted.h"
#include "base/store_internal.h"

#define LOOK_ROWS 200000u        /* of all tables together */
#define LOOK_BYTES (64u << 20)
#define CPU_LIMIT_S 60           /* a tree that leads in circles */
#define PAGE_STEP 4096u
#define KEY_MAX 511

enum verdict { INTACT = 0, DAMAGED = 10, UNKNOWN = 11 };

/* How far to look into one direction of one table. */
struct budget {
	uint64_t rows, bytes;
};

/* What the tables are expected to be. */
struct expected {
	const char *const *tables;
	size_t n_tables;
	uint32_t sealed;
};

static const struct budget everything = {UINT64_MAX, UINT64_MAX};

/* ---- in the child ---- */

static volatile unsigned char seen;
static bool memory_lacked; /* somewhere on the way: then what was found says nothing about the file */

static int
noticed(int rc)
{
	memory_lacked |= rc == ENOMEM;
	return rc;
}

/* Reads one byte of each page, so that one beyond the end of the file is found now. */
static void
touch(const MDB_val *v)
{
	const unsigned char *at = v->mv_data;

	for (size_t i = 0; i < v->mv_size; i += PAGE_STEP)
		seen = at[i];
	if (v->mv_size)
		seen = at[v->mv_size - 1];
}

static int
compare(const MDB_val *a, const MDB_val *b)
{
	int order = memcmp(a->mv_data, b->mv_data, a->mv_size < b->mv_size ? a->mv_size : b->mv_size);

	return order ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

static bool
seal_holds(const MDB_val *key, const MDB_val *value)
{
	struct store_value sealed = {value->mv_data, value->mv_size};

	return store_unseal((struct store_value){key->mv_data, key->mv_size}, &sealed) == 0;
}

/* Walks upward (MDB_NEXT) or downward (MDB_PREV); every key must lie beyond the one before, every checksum hold, and the number of
 * rows be what the table says, if the end is reached. */
static bool
rows_in_order(MDB_cursor *cursor, MDB_cursor_op step, bool sealed, size_t rows, struct budget left)
{
	unsigned char before_bytes[KEY_MAX];
	MDB_val before = {0, before_bytes}, key, value;
	size_t seen_rows = 0;
	int rc = mdb_cursor_get(cursor, &key, &value, step == MDB_NEXT ? MDB_FIRST : MDB_LAST);

	for (bool first = true; rc == 0; first = false) {
		if (key.mv_size == 0 || key.mv_size > KEY_MAX)
			return false;
		if (!first && (step == MDB_NEXT) != (compare(&key, &before) > 0))
			return false;
		touch(&value);
		if (sealed && !seal_holds(&key, &value))
			return false;
		seen_rows++;
		memcpy(before_bytes, key.mv_data, key.mv_size);
		before.mv_size = key.mv_size;
		if (left.rows-- == 0 || left.bytes < value.mv_size)
			return true;
		left.bytes -= value.mv_size;
		rc = mdb_cursor_get(cursor, &key, &value, step);
	}
	return rc == MDB_NOTFOUND && seen_rows == rows;
}

static bool
table_intact(MDB_txn *txn, MDB_dbi dbi, bool sealed, struct budget budget)
{
	MDB_cursor *cursor;
	MDB_stat stat;

	return mdb_stat(txn, dbi, &stat) == 0 && noticed(mdb_cursor_open(txn, dbi, &cursor)) == 0 &&
	       rows_in_order(cursor, MDB_NEXT, sealed, stat.ms_entries, budget) &&
	       rows_in_order(cursor, MDB_PREV, sealed, stat.ms_entries, budget);
}

static bool
is_sealed(const struct expected *expected, const char *table)
{
	for (size_t i = 0; i < expected->n_tables; i++)
		if (strcmp(expected->tables[i], table) == 0)
			return expected->sealed >> i & 1;
	return false;
}

/* A row of the free list: a count, then as many page numbers, falling. */
static bool
free_pages_plausible(const MDB_val *value, size_t last_page)
{
	size_t n, page, before = last_page + 1;
	const unsigned char *at = value->mv_data;

	if (value->mv_size < sizeof(n))
		return false;
	memcpy(&n, at, sizeof(n));
	if (n > value->mv_size / sizeof(page) - 1)
		return false;
	for (size_t i = 1; i <= n; i++) {
		memcpy(&page, at + i * sizeof(page), sizeof(page));
		if (page < 2 || page >= before)
			return false;
		before = page;
	}
	return true;
}

static bool
free_list_intact(MDB_txn *txn, size_t last_page)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = noticed(mdb_cursor_open(txn, 0, &cursor)); /* handle 0 is LMDB's own list of free pages */

	while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if (!free_pages_plausible(&value, last_page))
			return false;
	return rc == MDB_NOTFOUND;
}

/* The unnamed table holds the named ones. */
static bool
all_tables_intact(MDB_txn *txn, MDB_dbi names, const struct expected *expected, struct budget budget)
{
	char name[KEY_MAX + 1];
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = noticed(mdb_cursor_open(txn, names, &cursor));

	while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		MDB_dbi dbi;
		int opened;

		if (key.mv_size > KEY_MAX)
			return false;
		memcpy(name, key.mv_data, key.mv_size);
		name[key.mv_size] = '\0';
		opened = noticed(mdb_dbi_open(txn, name, 0, &dbi));
		if (opened == MDB_CORRUPTED || opened == MDB_PAGE_NOTFOUND || opened == MDB_NOTFOUND)
			return false;
		if (opened == 0 && !table_intact(txn, dbi, is_sealed(expected, name), budget)) /* else a stranger's: identity decides */
			return false;
	}
	return rc == MDB_NOTFOUND;
}

static struct budget
share_of(size_t tables)
{
	size_t ways = 2 * (tables ? tables : 1); /* upward and downward */

	return (struct budget){LOOK_ROWS / ways, LOOK_BYTES / ways};
}

static enum verdict
judge_snapshot(MDB_env *env, MDB_txn *txn, const struct expected *expected)
{
	struct budget budget;
	MDB_envinfo info;
	MDB_stat names;
	struct stat st;
	MDB_dbi dbi;
	int fd, rc;

	mdb_env_info(env, &info);
	if (mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &st) != 0)
		return UNKNOWN;
	rc = noticed(mdb_dbi_open(txn, NULL, 0, &dbi));
	if (rc == 0)
		rc = mdb_stat(txn, dbi, &names);
	if (rc != 0)
		return memory_lacked ? UNKNOWN : DAMAGED;
	budget = share_of(names.ms_entries);
	/* Shorter than its last page: truncated, or that page was taken and given back in one transaction and never
	 * written.  Only a look at everything that is in use can tell. */
	if ((uint64_t)st.st_size < ((uint64_t)info.me_last_pgno + 1) * names.ms_psize)
		budget = everything;
	bool intact = free_list_intact(txn, info.me_last_pgno) && all_tables_intact(txn, dbi, expected, budget);

	return memory_lacked ? UNKNOWN : intact ? INTACT : DAMAGED;
}

/* What an error on the way to a snapshot says about the file. */
static enum verdict
verdict_of(int rc)
{
	switch (rc) {
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
	case EINVAL:
	case EOVERFLOW:
		return DAMAGED;
	default:
		return UNKNOWN;
	}
}

static int
open_snapshot(const char *dir, size_t bytes, MDB_env **ret_env, MDB_txn **ret_txn)
{
	int rc = mdb_env_create(ret_env);

	if (rc)
		return rc;
	mdb_env_set_maxdbs(*ret_env, STORE_TABLES_MAX + 1);
	mdb_env_set_mapsize(*ret_env, bytes);
	rc = mdb_env_open(*ret_env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
	if (rc == 0) {
		mdb_reader_check(*ret_env, NULL); /* an earlier checker may have died in its transaction */
		while ((rc = mdb_txn_begin(*ret_env, NULL, MDB_RDONLY, ret_txn)) == MDB_MAP_RESIZED)
			if ((rc = mdb_env_set_mapsize(*ret_env, 0)) != 0)
				break;
	}
	if (rc)
		mdb_env_close(*ret_env);
	return rc;
}

/* What LMDB needs of a file that is sound: a map as large as we ask for, and a little more. */
static bool
memory_suffices(size_t bytes)
{
	void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *more = malloc(1u << 20);
	bool both = map != MAP_FAILED && more;

	if (map != MAP_FAILED)
		munmap(map, bytes);
	free(more);
	return both;
}

static enum verdict
judge(const char *dir, const struct expected *expected)
{
	char file[4096];
	struct stat st;
	MDB_env *env;
	MDB_txn *txn;
	int rc;

	if ((size_t)snprintf(file, sizeof(file), "%s/data.mdb", dir) >= sizeof(file) || stat(file, &st) != 0)
		return UNKNOWN;
	size_t bytes = (size_t)st.st_size + (1u << 20);

	rc = open_snapshot(dir, bytes, &env, &txn);
	if (rc == ENOMEM && PLANTED(no_memory_is_damage))
		return DAMAGED;
	/* Memory may have lacked for a moment; a head that claims an absurd size has none at any time. */
	if (rc == ENOMEM && memory_suffices(bytes) && (rc = open_snapshot(dir, bytes, &env, &txn)) == ENOMEM && memory_suffices(bytes))
		return DAMAGED;
	return rc == 0 ? judge_snapshot(env, txn, expected) : verdict_of(rc);
}

/* The child of a process with other threads: nothing here takes a lock that one of them may have held, but malloc's, which
 * the C library hands over whole. */
__attribute__((noreturn)) static void
checker_main(const char *dir, const struct expected *expected)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU};
	struct rlimit cpu = {CPU_LIMIT_S, CPU_LIMIT_S + 5}, no_core = {0, 0};
	sigset_t limits;
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &no_core);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++)
		signal(fatal[i], SIG_DFL);
	sigemptyset(&limits);
	sigaddset(&limits, SIGXCPU);
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
	/* Their allocator hands over no lock: a child that waits for one that another thread held would wait for ever. */
	signal(SIGALRM, SIG_DFL);
	sigaddset(&limits, SIGALRM);
	alarm(10);
#endif
	sigprocmask(SIG_UNBLOCK, &limits, NULL);
	if (null >= 0)
		dup2(null, STDERR_FILENO); /* LMDB's assertions print */
	_exit(judge(dir, expected));
}

/* ---- in the parent ---- */

static int
read_verdict(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == INTACT)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == DAMAGED)
		return err_set(ERR_CORRUPT, "it is damaged");
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return err_set(ERR_CORRUPT, "it is damaged: its check ended with %s", strsignal(WTERMSIG(status)));
	return err_set(ERR_IO, "it could not be checked (status %d)", status);
}

/* How the child ended. */
static int
run_checker(const char *dir, const struct expected *expected, int *ret_status)
{
	sigset_t all, before;
	int saved;
	pid_t pid, got;

	/* The child must not run the parent's handlers: libevent's write into a pipe that both share. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		checker_main(dir, expected);
	saved = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	if (pid < 0)
		return err_sys("start its check");
	while ((got = waitpid(pid, ret_status, 0)) < 0 && errno == EINTR)
		;
	return got == pid ? 0 : err_sys("wait for its check");
}

int
store_check(const char *dir, const char *const *tables, size_t n_tables, uint32_t sealed)
{
	const struct expected expected = {tables, n_tables, sealed};
	int status, err;

	do
		err = run_checker(dir, &expected, &status);
	while (!err && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM); /* only a sanitizer's */
	return err ? err : read_verdict(status);
}
