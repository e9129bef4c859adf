/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seal on a real staging tree: what a set holds, what it never shares, what stops it, and that a crash at any failpoint
 * leaves the old world or the new one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/fsio.c" /* to arm its failpoints */

#include <sys/syscall.h>
#include <sys/wait.h>

#include "keeper/manifest.h"
#include "keeper/restore.h"
#include "keeper/verify.h"
#include "tests/lib/stage.h"
#include "tests/lib/syncs.h"
#include "tests/lib/writes.h"
#include "tests/unit/disk_rig.h"

static struct stage st;

static int
set_up(void **state)
{
	(void)state;
	stage_open(&st);
	stage_fill(&st);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	stage_close(&st);
	return 0;
}

static int
seal_fails(uint32_t date, struct doubtful *doubtful)
{
	struct task task = {0};
	struct set_row set;
	struct order o;

	stage_t0(&st);
	o = stage_order(&st, date);
	return stage_seal_order(&st, &o, &task, &set, doubtful);
}

static void
assert_nothing_left(void)
{
	assert_int_equal(stage_count(&st, "backups/creating"), 0);
	assert_int_equal(stage_count(&st, "backups/weeknow"), stage_count(&st, "state/manifests"));
}

static uint64_t
differences(const struct set_row *set)
{
	struct set_row row = *set;
	struct task task = {0};
	struct verify_sharers sharers = {0};
	uint64_t n = 99;

	good(verify_set(st.vault, &row, VERIFY_ALL, &task, &n, &sharers));
	catalogue_sets_free(sharers.sets, sharers.n);
	return n;
}

/* Restores the whole set into a fresh directory and gives it, opened. */
static int
restored(const struct set_row *set)
{
	static int times;
	char to[300];
	struct task task = {0};

	snprintf(to, sizeof to, "%s/restored%d", st.scratch.path, times++);
	good(restore_set(st.vault, set, to, NULL, 0, &task));
	return open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
a_set_holds_what_was_staged(void **state)
{
	struct set_row set = stage_seal(&st, 20260213);
	char target[64] = "";
	int fd = fsio_open_dir(st.dir, "backups/weeknow");
	struct stat file;

	(void)state;
	assert_string_equal(set.name, "frifeb13");
	assert_string_equal(set_content(&st, "frifeb13", "wphost.db"), "post office database");
	assert_string_equal(set_content(&st, "frifeb13", "ofuser/userabc.db"), "user abc");
	assert_string_equal(set_content(&st, "frifeb13", "ofuser/index/abc.idx"), "index of abc");
	assert_true(readlinkat(fd, "frifeb13/offiles", target, sizeof target) > 0);
	assert_string_equal(target, "../../../blobs/offiles");
	assert_int_equal(fstatat(fd, "frifeb13/offiles/fd0/aaa", &file, 0), 0);
	assert_int_equal(fsio_stat(fd, "frifeb13/wphost.db", &file), 0);
	assert_int_equal(file.st_mode & 07777, 0440);
	assert_int_equal(set.blobs.count, 3);
	assert_int_equal(set.files, 6);
	assert_int_equal(differences(&set), 0);
	assert_nothing_left();
	close(fd);
	set_row_fini(&set);
}

static void
staging_never_shares_an_inode_with_a_set(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two = stage_seal(&st, 20260214);
	struct stat a, b, staged;

	(void)state;
	good(fsio_stat(st.dir, "backups/weeknow/frifeb13/ofuser/userabc.db", &a));
	good(fsio_stat(st.dir, "backups/weeknow/satfeb14/ofuser/userabc.db", &b));
	good(fsio_stat(st.dir, "gre_data/sync/ofuser/userabc.db", &staged));
	assert_int_equal(a.st_ino, b.st_ino); /* unchanged: one file in two sets */
	assert_int_not_equal(a.st_ino, staged.st_ino);
	assert_int_equal(staged.st_nlink, 1);
	assert_int_equal(two.new_bytes, 0);
	set_row_fini(&one);
	set_row_fini(&two);
}

/* Its names count in the total that both sides agreed on, and no walk from folder to folder finds them. */
static void
what_no_folder_leads_to_is_not_silently_left_out(void **state)
{
	const struct index_node dir = {.entry = {.kind = ENTRY_DIR, .mode = 0755}, .version = 1};
	struct doubtful doubtful = {0};
	struct set_row set;

	(void)state;
	stage_apply(&st, INDEX_REMOVE, "ofuser", NULL);
	assert_int_equal(seal_fails(20260213, &doubtful), -ERR_DIFFERS);
	assert_non_null(strstr(err_text(), "names in the folder ofuser,"));
	assert_nothing_left();
	doubtful_fini(&doubtful);
	stage_apply(&st, INDEX_PUT, "ofuser", &dir);
	/* An index is kept as well as it can be: the set is made, and says what it lacks. */
	stage_apply(&st, INDEX_REMOVE, "ofuser/index", NULL);
	set = stage_seal(&st, 20260213);
	assert_true(set.warnings);
	assert_non_null(strstr(set.note, "1 index files are not in the set, first ofuser/index"));
	assert_int_equal(differences(&set), 0);
	set_row_fini(&set);
}

/* A copier may give a changed file the size and the time of yesterday's. */
static void
a_file_that_changed_within_its_size_and_its_time_is_copied(void **state)
{
	struct set_row one, two;
	int64_t at;

	(void)state;
	stage_put(&st, "ofuser/usersame.db", "one");
	at = st.now_ns;
	one = stage_seal(&st, 20260213);
	st.now_ns = at - 1000; /* what stage_put adds */
	stage_put(&st, "ofuser/usersame.db", "two");
	two = stage_seal(&st, 20260214);
	assert_string_equal(set_content(&st, "frifeb13", "ofuser/usersame.db"), "one");
	assert_string_equal(set_content(&st, "satfeb14", "ofuser/usersame.db"), "two");
	assert_int_equal(differences(&one) + differences(&two), 0);
	set_row_fini(&one);
	set_row_fini(&two);
}

static void
a_set_is_on_disk_before_it_has_its_name_and_the_name_after(void **state)
{
	struct set_row set;

	(void)state;
	syncs_forget();
	set = stage_seal(&st, 20260213);
	assert_true(syncs_before("frifeb13", st.dir, "state/manifests/frifeb13") >= 1);
	assert_true(syncs_before("frifeb13", st.dir, "state/manifests") >= 1);
	assert_true(syncs_before("frifeb13", st.dir, "backups/weeknow/frifeb13/wphost.db") >= 1);
	assert_true(syncs_before("frifeb13", st.dir, "backups/weeknow/frifeb13/ofuser") >= 1);
	assert_true(syncs_after("frifeb13", st.dir, "backups/weeknow") >= 1);
	set_row_fini(&set);
}

/* Promise 6. */
static void
sealed_means_immutable(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two;
	int fd;

	(void)state;
	stage_put(&st, "ofuser/userabc.db", "user abc, the next day");
	stage_put(&st, "offiles/fd0/aaa", "blob aaa, changed");
	stage_remove(&st, "offiles/fd0/bbb");
	stage_remove(&st, "ofuser/userxyz.db");
	stage_put(&st, "offiles/fd1/ddd", "blob ddd");
	two = stage_seal(&st, 20260214);
	assert_int_equal(differences(&one), 0);
	assert_int_equal(differences(&two), 0);

	fd = restored(&one);
	assert_string_equal(content(fd, "ofuser/userabc.db"), "user abc");
	assert_string_equal(content(fd, "ofuser/userxyz.db"), "user xyz");
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	assert_string_equal(content(fd, "offiles/fd0/bbb"), "blob bbb");
	assert_false(present(fd, "offiles/fd1/ddd"));
	close(fd);
	fd = restored(&two);
	assert_string_equal(content(fd, "ofuser/userabc.db"), "user abc, the next day");
	assert_false(present(fd, "ofuser/userxyz.db"));
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa, changed");
	assert_false(present(fd, "offiles/fd0/bbb"));
	assert_string_equal(content(fd, "offiles/fd1/ddd"), "blob ddd");
	close(fd);
	set_row_fini(&one);
	set_row_fini(&two);
}

static void
a_removal_after_t0_does_not_count(void **state)
{
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row one, two;
	struct order o;
	int fd;

	(void)state;
	stage_put(&st, "offiles/fd2/gone", "came and went before T0");
	stage_remove(&st, "offiles/fd2/gone");
	stage_t0(&st);
	stage_remove(&st, "offiles/fd0/aaa");
	stage_put(&st, "offiles/fd2/late", "after T0, before the seal");
	o = stage_order(&st, 20260213);
	good(stage_seal_order(&st, &o, &task, &one, &doubtful));
	two = stage_seal(&st, 20260214);
	fd = restored(&one);
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	assert_string_equal(content(fd, "offiles/fd2/late"), "after T0, before the seal");
	assert_false(present(fd, "offiles/fd2/gone"));
	close(fd);
	fd = restored(&two);
	assert_false(present(fd, "offiles/fd0/aaa"));
	assert_string_equal(content(fd, "offiles/fd2/late"), "after T0, before the seal");
	close(fd);
	set_row_fini(&one);
	set_row_fini(&two);
}

static void
a_tombstone_does_not_take_the_version_that_came_after_it(void **state)
{
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row one, two;
	struct order o;
	int fd;

	(void)state;
	stage_t0(&st);
	stage_remove(&st, "offiles/fd0/aaa");
	stage_put(&st, "offiles/fd0/aaa", "second version");
	o = stage_order(&st, 20260213);
	good(stage_seal_order(&st, &o, &task, &one, &doubtful));
	two = stage_seal(&st, 20260214); /* now the tombstone counts */
	fd = restored(&two);
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "second version");
	close(fd);
	set_row_fini(&one);
	set_row_fini(&two);
}

/* A folder comes again as it was, so its row stays the same one. */
static void
a_folder_that_was_made_again_while_a_set_was_made_stays(void **state)
{
	struct index_node folder = {.entry = {.kind = ENTRY_DIR, .mode = 0751, .uid = getuid(), .gid = getgid()}, .version = 1};
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row sets[4];
	struct order o;
	struct stat file;

	(void)state;
	stage_apply(&st, INDEX_PUT, "offiles/fd7", &folder);
	sets[0] = stage_seal(&st, 20260213);
	stage_t0(&st);
	stage_apply(&st, INDEX_REMOVE, "offiles/fd7", NULL);
	stage_apply(&st, INDEX_PUT, "offiles/fd7", &folder);
	o = stage_order(&st, 20260214);
	good(stage_seal_order(&st, &o, &task, &sets[1], &doubtful));
	sets[2] = stage_seal(&st, 20260215); /* now the tombstone counts */
	stage_apply(&st, INDEX_REMOVE, "offiles/fd7", NULL);
	sets[3] = stage_seal(&st, 20260216);
	for (int i = 0; i < 4; i++) {
		int fd = restored(&sets[i]);

		assert_int_equal(fsio_stat(fd, "offiles/fd7", &file), i < 3 ? 0 : -ERR_GONE);
		close(fd);
		set_row_fini(&sets[i]);
	}
}

static void
a_folder_takes_the_place_of_a_file_whatever_their_versions(void **state)
{
	struct index_node folder = {.entry = {.kind = ENTRY_DIR, .mode = 0751, .uid = getuid(), .gid = getgid()}, .version = 1};
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row set;
	struct order o;
	struct stat file;
	int fd;

	(void)state;
	stage_put(&st, "offiles/fd0/both", "first");
	stage_put(&st, "offiles/fd0/both", "second");
	stage_t0(&st);
	stage_apply(&st, INDEX_REMOVE, "offiles/fd0/both", NULL); /* does not count, so only what follows says that it is no file */
	stage_apply(&st, INDEX_PUT, "offiles/fd0/both", &folder);
	o = stage_order(&st, 20260213);
	good(stage_seal_order(&st, &o, &task, &set, &doubtful));
	fd = restored(&set);
	good(fsio_stat(fd, "offiles/fd0/both", &file));
	assert_true(S_ISDIR(file.st_mode));
	close(fd);
	assert_int_equal(differences(&set), 0);
	set_row_fini(&set);
}

static void
a_second_set_of_a_day_has_a_number(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two = stage_seal(&st, 20260213), three = stage_seal(&st, 20260213);

	(void)state;
	assert_string_equal(one.name, "frifeb13");
	assert_string_equal(two.name, "frifeb13-2");
	assert_string_equal(three.name, "frifeb13-3");
	set_row_fini(&one);
	set_row_fini(&two);
	set_row_fini(&three);
}

static void
the_same_job_gets_the_same_set(void **state)
{
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row one = stage_seal(&st, 20260213), again;
	struct order o = stage_order(&st, 20260213);

	(void)state;
	o.job = one.job;
	good(stage_seal_order(&st, &o, &task, &again, &doubtful));
	assert_int_equal(again.number, one.number);
	assert_int_equal(stage_count(&st, "backups/weeknow"), 1);
	set_row_fini(&one);
	set_row_fini(&again);
}

static void
bytes_that_differ_are_named_and_nothing_is_left(void **state)
{
	struct doubtful doubtful = {0};
	struct entry e;

	(void)state;
	e = stage_write(&st, "ofuser/userabc.db", 1, "user abX", 8);
	e = stage_write(&st, "offiles/fd0/bbb", 1, "blob bbX", 8);
	(void)e;
	assert_int_equal(seal_fails(20260213, &doubtful), -ERR_DIFFERS);
	assert_int_equal(doubtful.n, 2);
	assert_string_equal(doubtful.paths[0], "ofuser/userabc.db");
	assert_string_equal(doubtful.paths[1], "offiles/fd0/bbb");
	assert_nothing_left();
	assert_int_equal(stage_count(&st, "backups/weeknow"), 0);
	doubtful_fini(&doubtful);
}

/* What is being changed will be right soon, and says so by its mark; of what nobody changes, nobody would ever know. */
static void
a_lost_index_file_is_in_no_set_and_named_so_that_it_is_sent_again(void **state)
{
	struct doubtful doubtful = {0};
	struct task task = {0};
	struct set_row set;
	struct order o;

	(void)state;
	stage_put(&st, "ofuser/index/a.idx", "index aa");
	stage_put(&st, "ofuser/index/b.idx", "index bb");
	stage_write(&st, "ofuser/index/a.idx", 1, "index aX", 8);
	stage_write(&st, "ofuser/index/b.idx", 1, "index bX", 8);
	stage_apply(&st, INDEX_MARK, "ofuser/index/b.idx", NULL);
	stage_t0(&st);
	o = stage_order(&st, 20260213);
	good(stage_seal_order(&st, &o, &task, &set, &doubtful));
	assert_true(set.warnings);
	assert_non_null(strstr(set.note, "2 index files are not in the set, first ofuser/index/a.idx"));
	assert_int_equal(doubtful.n, 1);
	assert_string_equal(doubtful.paths[0], "ofuser/index/a.idx");
	doubtful_fini(&doubtful);
	set_row_fini(&set);
}

static void
a_better_version_ends_the_doubt_about_a_bad_one(void **state)
{
	struct doubtful doubtful = {0};
	struct set_row set;
	int fd;

	(void)state;
	stage_write(&st, "offiles/fd0/bbb", 1, "blob bbX", 8);
	assert_int_equal(seal_fails(20260213, &doubtful), -ERR_DIFFERS);
	doubtful_fini(&doubtful);
	stage_put(&st, "offiles/fd0/bbb", "blob bbb");
	set = stage_seal(&st, 20260213);
	fd = restored(&set);
	assert_string_equal(content(fd, "offiles/fd0/bbb"), "blob bbb");
	close(fd);
	set_row_fini(&set);
}

static void
another_total_is_refused(void **state)
{
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row set;
	struct order o;

	(void)state;
	stage_t0(&st);
	o = stage_order(&st, 20260213);
	o.total.hash.lo ^= 1;
	assert_int_equal(stage_seal_order(&st, &o, &task, &set, &doubtful), -ERR_DIFFERS);
	assert_nothing_left();
}

static void
blobs_that_come_after_the_order_are_the_next_sets(void **state)
{
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct set_row one, two;
	struct order o;
	int fd;

	(void)state;
	two = stage_seal(&st, 20260212); /* the first seal walks all of the index */
	set_row_fini(&two);
	stage_t0(&st);
	o = stage_order(&st, 20260213);
	stage_put(&st, "offiles/fd2/late", "after the order");
	stage_remove(&st, "offiles/fd0/aaa");
	good(stage_seal_order(&st, &o, &task, &one, &doubtful));
	two = stage_seal(&st, 20260214);
	fd = restored(&one);
	assert_false(present(fd, "offiles/fd2/late"));
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	close(fd);
	fd = restored(&two);
	assert_string_equal(content(fd, "offiles/fd2/late"), "after the order");
	assert_false(present(fd, "offiles/fd0/aaa"));
	close(fd);
	set_row_fini(&one);
	set_row_fini(&two);
}

static void
no_databases_are_no_set(void **state)
{
	struct doubtful doubtful = {0};

	(void)state;
	stage_remove(&st, "ofuser/userabc.db");
	stage_remove(&st, "ofuser/userxyz.db");
	stage_remove(&st, "ofmsg/msg0.db");
	assert_int_equal(seal_fails(20260213, &doubtful), -ERR_INCOMPLETE);
	stage_put(&st, "ofmsg/msg0.db", "messages 0");
	stage_put(&st, "wphost.db", "");
	assert_int_equal(seal_fails(20260213, &doubtful), -ERR_INCOMPLETE);
	stage_remove(&st, "wphost.db");
	assert_int_equal(seal_fails(20260213, &doubtful), -ERR_INCOMPLETE);
	assert_nothing_left();
	assert_int_equal(stage_count(&st, "backups/weeknow"), 0);
}

static void
index_trouble_is_a_warning(void **state)
{
	struct set_row set;

	(void)state;
	stage_put(&st, "ofuser/index/xyz.idx", "index of xyz");
	stage_write(&st, "ofuser/index/abc.idx", 1, "being written", 13);
	stage_apply(&st, INDEX_MARK, "ofuser/index/abc.idx", NULL);
	set = stage_seal(&st, 20260213);
	assert_true(set.warnings);
	assert_non_null(strstr(set.note, "ofuser/index/abc.idx"));
	assert_false(present(st.dir, "backups/weeknow/frifeb13/ofuser/index/abc.idx"));
	assert_string_equal(set_content(&st, "frifeb13", "ofuser/index/xyz.idx"), "index of xyz");
	assert_int_equal(differences(&set), 0);
	set_row_fini(&set);
}

static void
holes_and_specials_are_kept(void **state)
{
	struct index_node link = {.version = 1, .entry = {.kind = ENTRY_SYMLINK, .mode = 0777, .uid = getuid(), .gid = getgid(),
	    .size = 9, .target = (char *)(uintptr_t)"../wphost"}};
	struct index_node fifo = {.version = 1, .entry = {.kind = ENTRY_FIFO, .mode = 0620, .uid = getuid(), .gid = getgid()}};
	size_t len = 5 << 20;
	char *data = calloc(1, len), target[64] = "";
	struct set_row set;
	struct stat file;
	int fd;

	(void)state;
	memcpy(data + (3 << 20), "middle", 6);
	stage_put_bytes(&st, "ofmsg/msg1.db", data, len);
	fd = fsio_open(st.dir, "gre_data/sync/ofmsg/msg1.db", O_WRONLY, 0);
	good(fsio_punch(fd, 0, 3 << 20));
	close(fd);
	/* punching changed the staged mtime, not the entry */
	stage_apply(&st, INDEX_PUT, "ofuser/link", &link);
	stage_apply(&st, INDEX_PUT, "ofuser/fifo", &fifo);
	set = stage_seal(&st, 20260213);
	good(fsio_stat(st.dir, "backups/weeknow/frifeb13/ofmsg/msg1.db", &file));
	assert_int_equal(file.st_size, len);
	assert_true((uint64_t)file.st_blocks * 512 < len);
	assert_false(present(st.dir, "backups/weeknow/frifeb13/ofuser/link"));
	assert_int_equal(differences(&set), 0);
	fd = restored(&set);
	assert_true(readlinkat(fd, "ofuser/link", target, sizeof target) == 9);
	assert_string_equal(target, "../wphost");
	good(fsio_stat(fd, "ofuser/fifo", &file));
	assert_true(S_ISFIFO(file.st_mode));
	assert_int_equal(file.st_mode & 07777, 0620);
	good(fsio_stat(fd, "ofmsg/msg1.db", &file));
	assert_true((uint64_t)file.st_blocks * 512 < len);
	close(fd);
	free(data);
	set_row_fini(&set);
}

static void
a_damaged_set_is_not_built_upon(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two;
	struct stat a, b;

	(void)state;
	one.verified = SET_DIFFERS;
	good(catalogue_put_set(st.vault->catalogue, &one));
	two = stage_seal(&st, 20260214);
	good(fsio_stat(st.dir, "backups/weeknow/frifeb13/ofuser/userabc.db", &a));
	good(fsio_stat(st.dir, "backups/weeknow/satfeb14/ofuser/userabc.db", &b));
	assert_int_not_equal(a.st_ino, b.st_ino);
	set_row_fini(&one);
	set_row_fini(&two);
}

/* Promise 9: a stop at every place where a seal looks leaves nothing. */
struct stopper {
	struct task task;
	unsigned after;
};

static void
stop_in_time(struct task *task, const char *phase, uint64_t done, uint64_t total)
{
	struct stopper *s = (struct stopper *)task;

	(void)phase;
	(void)done;
	(void)total;
	if (s->after-- == 0)
		atomic_store(&task->stop, true);
}

static void
stop_leaves_nothing(void **state)
{
	unsigned stopped = 0;

	(void)state;
	for (unsigned after = 0; after < 8; after++) {
		struct stopper s = {.task = {.progress = stop_in_time}, .after = after};
		struct doubtful doubtful = {0};
		struct set_row set;
		struct order o;
		int err;

		stage_t0(&st);
		o = stage_order(&st, 20260213);
		err = stage_seal_order(&st, &o, &s.task, &set, &doubtful);
		if (err == 0) {
			set_row_fini(&set);
			break;
		}
		assert_int_equal(err, -ERR_STOPPED);
		assert_int_equal(stage_count(&st, "backups/weeknow"), 0);
		assert_nothing_left();
		stopped++;
	}
	assert_true(stopped >= 4); /* check, copy, blobs, sync */
	assert_int_equal(stage_count(&st, "backups/weeknow"), 1);
}

/* ---- crashes ---- */

/* Seals in a child that dies at `point`; false when it got to the end. */
static bool
crash_at(const char *point, const struct order *order)
{
	pid_t pid;
	int status;

	stage_index(&st, false);
	stage_vault(&st, false);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct task task = {0};
		struct doubtful doubtful = {0};
		struct set_row set;

		failpoint_arm(point);
		if (vault_open(st.scratch.path, PROFILE, NULL, &st.vault) != 0)
			_exit(3);
		_exit(backupset_seal(st.vault, order, &task, &set, &doubtful) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* Everything one may ask after a crash and a restart. */
static void
assert_old_or_new(const char *point, bool *ret_new)
{
	struct set_row *sets;
	size_t n;

	stage_vault(&st, true);
	good(backupset_recover(st.vault));
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	*ret_new = n == 2;
	if (n < 1 || n > 2)
		print_error("%s: %zu sets\n", point, n);
	assert_true(n == 1 || n == 2);
	assert_int_equal(stage_count(&st, "backups/weeknow"), n);
	assert_nothing_left();
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sets[i].state, SET_SEALED);
		if (differences(&sets[i]) != 0)
			print_error("%s: set %s differs\n", point, sets[i].name);
		assert_int_equal(differences(&sets[i]), 0);
	}
	catalogue_sets_free(sets, n);
}

/* A blob that is doubtful leaves the index, and is sent again. */
static void
a_lack_of_descriptors_makes_no_blob_doubtful(void **state)
{
	struct doubtful doubtful = {0};
	int err;

	(void)state;
	needs_openat2();
	disk.unreadable = "aaa";
	disk.instead = EMFILE;
	err = seal_fails(20260213, &doubtful);
	disk.unreadable = NULL;
	disk.instead = 0;
	assert_int_equal(err, -ERR_IO);
	assert_int_equal(doubtful.n, 0);
	doubtful_fini(&doubtful);
	assert_nothing_left();
}

static void
refuse_copies(struct task *task, const char *phase, uint64_t done, uint64_t total)
{
	(void)task;
	(void)done;
	(void)total;
	writes_errno = strcmp(phase, "copy") == 0 ? EIO : 0;
}

/* Nor is what lies in staging, when the disk does not take its copy. */
static void
a_set_that_cannot_be_written_makes_no_staged_file_doubtful(void **state)
{
	struct task task = {.progress = refuse_copies};
	struct doubtful doubtful = {0};
	struct set_row set;
	struct order o;
	int err;

	(void)state;
	stage_t0(&st);
	o = stage_order(&st, 20260213);
	err = stage_seal_order(&st, &o, &task, &set, &doubtful);
	writes_errno = 0;
	assert_int_equal(err, -ERR_IO);
	assert_int_equal(doubtful.n, 0);
	doubtful_fini(&doubtful);
	assert_nothing_left();
}

/* The disk breaks between the rename and its sync, and takes the name back no more. */
static void
a_set_that_cannot_be_taken_back_keeps_its_manifest_and_its_row(void **state)
{
	struct doubtful doubtful = {0};
	struct set_row set;
	char why[1024];
	int err, fd;

	(void)state;
	syncs_last_rename = "frifeb13";
	err = seal_fails(20260213, &doubtful);
	syncs_last_rename = NULL;
	syncs_errno = 0;
	snprintf(why, sizeof why, "%s", err_text());
	assert_int_equal(err, -ERR_IO);
	doubtful_fini(&doubtful);
	stage_vault(&st, false);
	stage_vault(&st, true);
	good(backupset_recover(st.vault));
	good(catalogue_find(st.vault->catalogue, "frifeb13", &set));
	assert_int_equal(differences(&set), 0);
	fd = restored(&set);
	assert_string_equal(content(fd, "wphost.db"), "post office database");
	close(fd);
	assert_non_null(strstr(why, "frifeb13 could not be taken back"));
	set_row_fini(&set);
	assert_nothing_left();
}

/* Promise 7: before the rename the set is not there, after it it is whole. */
static void
set_appears_by_one_rename(void **state)
{
	static const char *const points[] = {
		"seal.file", "seal.file:5", "seal.tree", "seal.blobs", "seal.manifest", "seal.manifest.done", "seal.manifests",
		"seal.manifests.done", "seal.sync", "seal.sync.done", "seal.pending", "seal.publish", "seal.publish.renamed",
		"seal.publish.done", "seal.merged", "store.commit", "store.commit:2", "store.commit:3", "store.commit:4", "store.commit:5",
		"store.commit:6", "store.commit:7", "store.commit:8", "store.commit.done:1", "store.commit.done:2", "store.commit.done:3",
		"store.commit.done:4", "store.commit.done:5", "store.commit.done:6", "store.commit.done:7",
	};

	(void)state;
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		struct set_row one, again;
		struct task task = {0};
		struct doubtful doubtful = {0};
		struct order o;
		bool crashed, new;

		stage_close(&st);
		stage_open(&st);
		stage_fill(&st);
		one = stage_seal(&st, 20260213);
		stage_put(&st, "ofuser/userabc.db", "user abc, changed");
		stage_put(&st, "offiles/fd0/aaa", "blob aaa, changed");
		stage_remove(&st, "offiles/fd0/bbb");
		stage_put(&st, "offiles/fd3/eee", "blob eee");
		stage_t0(&st);
		o = stage_order(&st, 20260214);
		crashed = crash_at(points[i], &o);
		assert_old_or_new(points[i], &new);
		assert_true(new || crashed);
		if (strncmp(points[i], "seal.publish.", 13) == 0 || strcmp(points[i], "seal.merged") == 0)
			assert_true(crashed && new);
		else if (strncmp(points[i], "seal.", 5) == 0)
			assert_true(crashed && !new);
		/* W5: asked again, the same job ends in one set. */
		good(stage_seal_order(&st, &o, &task, &again, &doubtful));
		assert_int_equal(stage_count(&st, "backups/weeknow"), 2);
		assert_int_equal(differences(&again), 0);
		set_row_fini(&one);
		set_row_fini(&again);
	}
}

/* W3, and the disk does not answer the one question that is asked then. */
static void
a_set_that_has_its_name_is_not_dropped_by_a_recovery_that_cannot_see_it(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), *sets;
	struct order o;
	size_t n;
	int err;

	(void)state;
	stage_t0(&st);
	o = stage_order(&st, 20260214);
	assert_true(crash_at("seal.publish.done", &o));
	stage_vault(&st, true);
	disk.unseen = "satfeb14";
	err = backupset_recover(st.vault);
	disk.unseen = NULL;
	assert_int_equal(err, -ERR_IO);
	good(backupset_recover(st.vault));
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	assert_int_equal(n, 2);
	assert_int_equal(differences(&sets[1]), 0);
	catalogue_sets_free(sets, n);
	order_fini(&o);
	set_row_fini(&one);
}

/* A keeper whose receiver died, and that is held up in a sync, say; and the one that the next receiver has started. */
struct held_up {
	struct task task;
	int here, on; /* pipes: it is there; it may go on */
};

static void
hold_up(struct task *task, const char *phase, uint64_t done, uint64_t total)
{
	struct held_up *h = (struct held_up *)task;
	char byte = 0;

	(void)done;
	(void)total;
	if (strcmp(phase, "sync") != 0)
		return;
	if (write(h->here, &byte, 1) != 1 || read(h->on, &byte, 1) != 1)
		_exit(4);
	atomic_store(&task->stop, true); /* it sees that its receiver is gone */
}

static void
an_old_keeper_does_not_work_beside_a_new_one(void **state)
{
	int here[2], on[2], status, err;
	struct set_row again = {0};
	struct task task = {0};
	struct doubtful doubtful = {0};
	struct order o;
	char byte = 0;
	pid_t pid;

	(void)state;
	stage_t0(&st);
	o = stage_order(&st, 20260214);
	stage_index(&st, false);
	stage_vault(&st, false);
	assert_int_equal(pipe(here) | pipe(on), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct held_up h = {.task = {.progress = hold_up}, .here = here[1], .on = on[0]};

		if (vault_open(st.scratch.path, PROFILE, NULL, &st.vault) != 0)
			_exit(3);
		_exit(backupset_seal(st.vault, &o, &h.task, &again, &doubtful) == -ERR_STOPPED ? 0 : 2);
	}
	assert_int_equal(read(here[0], &byte, 1), 1);
	err = vault_open(st.scratch.path, PROFILE, NULL, &st.vault);
	if (!err)
		good(backupset_seal(st.vault, &o, &task, &again, &doubtful));
	assert_int_equal(write(on[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	if (!err) { /* both were let in: is the set still what was sealed? */
		assert_int_equal(differences(&again), 0);
		fail_msg("two keepers");
	}
	assert_int_equal(err, -ERR_BUSY);
	good(stage_seal_order(&st, &o, &task, &again, &doubtful));
	assert_int_equal(differences(&again), 0);
	set_row_fini(&again);
	for (int i = 0; i < 2; i++) {
		close(here[i]);
		close(on[i]);
	}
}

static void
a_rebuilt_index_loses_no_blob(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two;
	struct index_node nodes[3];
	static const char *const paths[] = {"offiles/fd0/aaa", "offiles/fd1/ccc", "wphost.db"};
	int fd;

	(void)state;
	stage_index(&st, true);
	for (size_t i = 0; i < 3; i++)
		good(index_get(st.index, paths[i], &nodes[i]));
	stage_index(&st, false);
	good(fsio_remove_tree(st.dir, "state/index"));
	stage_index(&st, true);
	uint8_t bytes[BLOCK_KEY_BYTES] = {7};
	good(index_meta_put(st.index, INDEX_META_KEY, bytes, sizeof bytes));
	for (size_t i = 0; i < 3; i++) {
		stage_dirs(&st, paths[i]);
		stage_apply(&st, INDEX_PUT, paths[i], &nodes[i]);
	}
	stage_put(&st, "ofmsg/msg0.db", "messages 0");
	two = stage_seal(&st, 20260214);
	assert_int_equal(differences(&one), 0);
	assert_int_equal(differences(&two), 0);
	fd = restored(&two);
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	assert_string_equal(content(fd, "offiles/fd1/ccc"), "blob ccc");
	assert_false(present(fd, "offiles/fd0/bbb"));
	close(fd);
	fd = restored(&one);
	assert_string_equal(content(fd, "offiles/fd0/bbb"), "blob bbb");
	close(fd);
	set_row_fini(&one);
	set_row_fini(&two);
}

/* The numbers of a new index begin low: they must not be held against those that the old one gave out. */
static void
what_left_a_rebuilt_index_is_in_no_set(void **state)
{
	static const char gone[] = "offiles/fd0/zzz";
	uint8_t bytes[BLOCK_KEY_BYTES] = {7};
	struct set_row one, two;
	struct index_node node;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		char path[32];

		snprintf(path, sizeof path, "offiles/fd5/x%02u", i);
		stage_put(&st, path, "one of many");
	}
	stage_put(&st, gone, "blob zzz");
	one = stage_seal(&st, 20260213);
	stage_index(&st, true);
	good(index_get(st.index, gone, &node));
	stage_index(&st, false);
	good(fsio_remove_tree(st.dir, "state/index"));
	stage_index(&st, true);
	good(index_meta_put(st.index, INDEX_META_KEY, bytes, sizeof bytes));
	stage_dirs(&st, gone);
	stage_apply(&st, INDEX_PUT, gone, &node);
	stage_remove(&st, gone);
	stage_put(&st, "wphost.db", "post office database");
	stage_put(&st, "ofmsg/msg0.db", "messages 0");
	two = stage_seal(&st, 20260214);
	assert_int_equal(differences(&two), 0);
	fd = restored(&two);
	assert_false(present(fd, gone));
	close(fd);
	fd = restored(&one);
	assert_string_equal(content(fd, gone), "blob zzz");
	close(fd);
	entry_fini(&node.entry);
	set_row_fini(&one);
	set_row_fini(&two);
}

static void
lose_catalogue(void)
{
	stage_vault(&st, false);
	good(fsio_remove_tree(st.dir, "state/catalogue"));
	stage_vault(&st, true);
}

static void
a_lost_catalogue_is_made_again_from_the_ledger(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two, three;
	struct set_row *sets;
	size_t n;
	int fd;

	(void)state;
	stage_remove(&st, "offiles/fd0/bbb");
	stage_put(&st, "offiles/fd0/aaa", "second");
	two = stage_seal(&st, 20260214);
	lose_catalogue();
	assert_true(st.vault->remade.whole);
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	assert_int_equal(n, 2);
	assert_true(blob_sum_equal(&sets[0].blobs, &one.blobs) && blob_sum_equal(&sets[1].blobs, &two.blobs));
	catalogue_sets_free(sets, n);
	fd = restored(&one);
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	assert_string_equal(content(fd, "offiles/fd0/bbb"), "blob bbb");
	close(fd);
	stage_put(&st, "offiles/fd0/ddd", "blob ddd");
	three = stage_seal(&st, 20260215);
	assert_true(three.number > two.number);
	assert_int_equal(three.blobs.count, two.blobs.count + 1);
	assert_int_equal(differences(&one) + differences(&two) + differences(&three), 0);
	set_row_fini(&one);
	set_row_fini(&two);
	set_row_fini(&three);
}

/* A new catalogue is there, and nobody has noted yet that it is new: killed then, or its disk was full. */
static void
a_catalogue_that_was_only_just_made_is_made_again_from_the_ledger(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two = stage_seal(&st, 20260214), *sets;
	size_t n;
	pid_t pid;
	int status;

	(void)state;
	stage_index(&st, false);
	stage_vault(&st, false);
	good(fsio_remove_tree(st.dir, "state/catalogue"));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		failpoint_arm("store.create.done");
		_exit(vault_open(st.scratch.path, PROFILE, NULL, &st.vault) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	stage_vault(&st, true);
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	assert_int_equal(n, 2);
	catalogue_sets_free(sets, n);
	set_row_fini(&one);
	set_row_fini(&two);
}

/* state/index alone was set back: the same index, and numbers that the catalogue has seen already. */
static void
what_comes_into_an_older_copy_of_the_index_is_in_the_next_set(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two, three;
	char cmd[900];
	int fd;

	(void)state;
	stage_index(&st, false);
	snprintf(cmd, sizeof cmd, "cp -a %s/index %s/index.old", st.state, st.state);
	assert_int_equal(system(cmd), 0);
	for (unsigned i = 0; i < 20; i++) {
		char path[32];

		snprintf(path, sizeof path, "offiles/fd5/x%02u", i);
		stage_put(&st, path, "one of many");
	}
	two = stage_seal(&st, 20260214);
	stage_index(&st, false);
	snprintf(cmd, sizeof cmd, "rm -rf %s/index && mv %s/index.old %s/index", st.state, st.state, st.state);
	assert_int_equal(system(cmd), 0);
	stage_put(&st, "offiles/fd6/new", "a new one");
	three = stage_seal(&st, 20260215);
	fd = restored(&three);
	assert_string_equal(content(fd, "offiles/fd6/new"), "a new one");
	close(fd);
	set_row_fini(&one);
	set_row_fini(&two);
	set_row_fini(&three);
}

/* Flips a byte of the file that the set's seal wrote. */
static void
damage_ledger(uint32_t number, const char *kind)
{
	char name[64];
	uint8_t byte;
	int fd;

	snprintf(name, sizeof name, "state/ledger/%010u-%s", number, kind);
	fd = fsio_open(st.dir, name, O_RDWR, 0);
	good(fd);
	assert_int_equal(fsio_pread(fd, &byte, 1, 40), 1);
	byte ^= 1;
	good(fsio_pwrite(fd, &byte, 1, 40));
	close(fd);
}

/* The keeper had no descriptor left for it: the next opening has. */
static void
a_ledger_for_which_there_is_no_descriptor_is_not_damaged(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two, *sets;
	size_t n;
	int err;

	(void)state;
	needs_openat2();
	stage_put(&st, "offiles/fd0/ddd", "blob ddd");
	two = stage_seal(&st, 20260214);
	stage_vault(&st, false);
	good(fsio_remove_tree(st.dir, "state/catalogue"));
	disk.unreadable = "0000000002-day";
	disk.instead = EMFILE;
	err = vault_open(st.scratch.path, PROFILE, NULL, &st.vault);
	disk.unreadable = NULL;
	disk.instead = 0;
	assert_true(err < 0);
	stage_vault(&st, true);
	assert_true(st.vault->remade.whole);
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	assert_int_equal(n, 2);
	catalogue_sets_free(sets, n);
	assert_int_equal(differences(&two), 0);
	set_row_fini(&one);
	set_row_fini(&two);
}

static void
a_ledger_that_ends_early_hides_no_change(void **state)
{
	struct set_row one = stage_seal(&st, 20260213), two, three, four;
	struct set_row *sets;
	size_t n;
	int fd;

	(void)state;
	stage_put(&st, "offiles/fd0/ddd", "blob ddd");
	stage_remove(&st, "offiles/fd0/bbb");
	two = stage_seal(&st, 20260214);
	stage_index(&st, true);
	good(index_fresh_trim(st.index, two.fresh_removes)); /* the list tells of the second day no more */
	damage_ledger(two.number, "day");
	lose_catalogue();
	assert_false(st.vault->remade.whole);
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	assert_int_equal(n, 1);
	catalogue_sets_free(sets, n);
	three = stage_seal(&st, 20260215);
	assert_int_equal(three.blobs.count, two.blobs.count);
	fd = restored(&three);
	assert_string_equal(content(fd, "offiles/fd0/ddd"), "blob ddd");
	assert_false(present(fd, "offiles/fd0/bbb"));
	close(fd);
	assert_int_equal(differences(&one) + differences(&three), 0);
	/* The whole is written again, so that the next loss costs nothing more. */
	four = stage_seal(&st, 20260216);
	lose_catalogue();
	good(catalogue_sets(st.vault->catalogue, &sets, &n));
	assert_int_equal(n, 3);
	catalogue_sets_free(sets, n);
	assert_int_equal(differences(&one) + differences(&three) + differences(&four), 0);
	set_row_fini(&one);
	set_row_fini(&two);
	set_row_fini(&three);
	set_row_fini(&four);
}

static void
dates_become_names(void **state)
{
	char name[16];

	(void)state;
	assert_true(backupset_day(20260213, name));
	assert_string_equal(name, "frifeb13");
	assert_true(backupset_day(20240229, name));
	assert_string_equal(name, "thufeb29");
	assert_true(backupset_day(19991231, name));
	assert_string_equal(name, "fridec31");
	assert_false(backupset_day(20260229, name));
	assert_false(backupset_day(20261301, name));
	assert_false(backupset_day(20260100, name));
	assert_false(backupset_day(0, name));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_set_holds_what_was_staged),
		T(staging_never_shares_an_inode_with_a_set),
		T(what_no_folder_leads_to_is_not_silently_left_out),
		T(a_file_that_changed_within_its_size_and_its_time_is_copied),
		T(a_set_is_on_disk_before_it_has_its_name_and_the_name_after),
		T(sealed_means_immutable),
		T(a_removal_after_t0_does_not_count),
		T(a_tombstone_does_not_take_the_version_that_came_after_it),
		T(a_folder_that_was_made_again_while_a_set_was_made_stays),
		T(a_folder_takes_the_place_of_a_file_whatever_their_versions),
		T(a_second_set_of_a_day_has_a_number),
		T(the_same_job_gets_the_same_set),
		T(bytes_that_differ_are_named_and_nothing_is_left),
		T(a_lost_index_file_is_in_no_set_and_named_so_that_it_is_sent_again),
		T(a_better_version_ends_the_doubt_about_a_bad_one),
		T(another_total_is_refused),
		T(blobs_that_come_after_the_order_are_the_next_sets),
		T(no_databases_are_no_set),
		T(index_trouble_is_a_warning),
		T(holes_and_specials_are_kept),
		T(a_damaged_set_is_not_built_upon),
		T(stop_leaves_nothing),
		T(set_appears_by_one_rename),
		T(a_lack_of_descriptors_makes_no_blob_doubtful),
		T(a_set_that_cannot_be_written_makes_no_staged_file_doubtful),
		T(a_set_that_cannot_be_taken_back_keeps_its_manifest_and_its_row),
		T(a_set_that_has_its_name_is_not_dropped_by_a_recovery_that_cannot_see_it),
		T(an_old_keeper_does_not_work_beside_a_new_one),
		T(a_catalogue_that_was_only_just_made_is_made_again_from_the_ledger),
		T(what_comes_into_an_older_copy_of_the_index_is_in_the_next_set),
		T(a_rebuilt_index_loses_no_blob),
		T(what_left_a_rebuilt_index_is_in_no_set),
		T(a_lost_catalogue_is_made_again_from_the_ledger),
		T(a_ledger_for_which_there_is_no_descriptor_is_not_damaged),
		T(a_ledger_that_ends_early_hides_no_change),
		cmocka_unit_test(dates_become_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
