/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watcher - a scripted source plays the kernel: which watches exist is really asked of the tree, which events come is written
 * in the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/lib/scratch.h"
#include "tests/unit/kinds_rig.h"
#include "watcher/watcher.h"

#define S INT64_C(1000000000)
#define EVENTS_MAX 64

/* ---- a kernel of our own ---- */

struct kernel {
	struct source source;
	struct {
		ino_t inode;
		char path[256];     /* as it was added */
		bool living;
	} watches[512];
	int n_watches;
	int limit;              /* living watches allowed */
	const char *refused;    /* path that may not be read */
	int no_memory_at;       /* the n-th watch from here finds no memory; 0 = all do */
	const char *makes_at, *makes; /* when this path is watched, somebody makes that directory */
	struct {
		enum source_what what;
		bool is_dir;
		int watch;
		char name[64];
	} queue[EVENTS_MAX];
	size_t head, tail;
};

static struct scratch scratch;
static struct kernel kernel;
static struct livetree *tree;
static struct watcher *w;
static char po[256], cookies[256];

static int
living(void)
{
	int n = 0;

	for (int i = 0; i < kernel.n_watches; i++)
		n += kernel.watches[i].living;
	return n;
}

static int
kernel_add(struct source *s, const char *directory, enum layout_watch interest)
{
	struct stat st;
	int i;

	(void)s, (void)interest;
	if (lstat(directory, &st) != 0 || !S_ISDIR(st.st_mode))
		return err_set(ERR_GONE, "%s is gone", directory);
	if (kernel.no_memory_at && --kernel.no_memory_at == 0)
		return err_set(ERR_NOMEM, "no memory for a watch");
	if (kernel.refused && strcmp(directory, kernel.refused) == 0)
		return err_set(ERR_ACCESS, "%s is refused", directory);
	for (i = 0; i < kernel.n_watches; i++)
		if (kernel.watches[i].living && kernel.watches[i].inode == st.st_ino)
			break;
	if (i == kernel.n_watches) {
		if (living() >= kernel.limit)
			return err_set(ERR_LIMIT, "no more watches");
		assert_true(kernel.n_watches < 512);
		kernel.watches[kernel.n_watches].inode = st.st_ino;
		kernel.watches[kernel.n_watches++].living = true;
	}
	snprintf(kernel.watches[i].path, sizeof kernel.watches[i].path, "%s", directory);
	if (kernel.makes && strcmp(directory, kernel.makes_at) == 0) {
		assert_int_equal(mkdir(kernel.makes, 0700), 0);
		kernel.makes = NULL;
	}
	return i + 1;
}

static void
event(enum source_what what, bool is_dir, int watch, const char *name)
{
	assert_true(kernel.tail < EVENTS_MAX);
	kernel.queue[kernel.tail].what = what;
	kernel.queue[kernel.tail].is_dir = is_dir;
	kernel.queue[kernel.tail].watch = watch;
	snprintf(kernel.queue[kernel.tail++].name, 64, "%s", name);
}

static void
kernel_remove(struct source *s, int watch)
{
	(void)s;
	assert_true(watch > 0 && watch <= kernel.n_watches);
	if (kernel.watches[watch - 1].living)
		event(SOURCE_FORGOTTEN, false, watch, "");
	kernel.watches[watch - 1].living = false;
}

static int
kernel_next(struct source *s, struct source_event *ret_event)
{
	(void)s;
	if (kernel.head == kernel.tail) {
		kernel.head = kernel.tail = 0;
		return 0;
	}
	*ret_event = (struct source_event){
	    .what = kernel.queue[kernel.head].what,
	    .is_dir = kernel.queue[kernel.head].is_dir,
	    .watch = kernel.queue[kernel.head].watch,
	    .name = kernel.queue[kernel.head].name,
	};
	kernel.head++;
	return 1;
}

/* The number of the living watch on a path beneath the post office; 0 = there is none. */
static int
watch_on(const char *live)
{
	char path[600];
	struct stat st;

	snprintf(path, sizeof path, "%s%s%s", *live == '/' ? "" : po, *live && *live != '/' ? "/" : "", live);
	if (lstat(path, &st) != 0)
		return 0;
	for (int i = 0; i < kernel.n_watches; i++)
		if (kernel.watches[i].living && kernel.watches[i].inode == st.st_ino)
			return i + 1;
	return 0;
}

/* ---- the tree ---- */

static void
sh(const char *fmt, ...)
{
	char command[2048];
	va_list args;
	int n = snprintf(command, sizeof command, "cd '%s' && ", po);

	va_start(args, fmt);
	vsnprintf(command + n, sizeof command - (size_t)n, fmt, args);
	va_end(args);
	assert_int_equal(system(command), 0);
}

static int
setup(void **state)
{
	(void)state;
	scratch_open(&scratch);
	scratch_path(&scratch, "po", po);
	scratch_path(&scratch, "cookies", cookies);
	kernel = (struct kernel){.source = {.add = kernel_add, .remove = kernel_remove, .next = kernel_next}, .limit = 1000};
	if (mkdir(po, 0700) != 0 || mkdir(cookies, 0700) != 0)
		return -1;
	sh("mkdir -p ofuser/index ofmsg OFFILES/fd1 OFFILES/fd2 ofviews/win && touch wphost.db");
	return livetree_open(po, LAYOUT_POST_OFFICE, &tree) || watcher_new(tree, &kernel.source, cookies, &w);
}

static int
teardown(void **state)
{
	(void)state;
	watcher_free(w);
	livetree_close(tree);
	w = NULL;
	tree = NULL;
	sh("chmod -R u+rwx . 2>/dev/null || true");
	scratch_close(&scratch);
	return 0;
}

static const char *
text_of(struct change *changes, size_t n)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++) {
		len += (size_t)snprintf(text + len, sizeof text - len, "%s%c %s", i ? ", " : "", "?TRCDB"[changes[i].kind], changes[i].path);
		assert_true(len < sizeof text);
		assert_true(changes[i].seen_ns > 0);
		free(changes[i].path);
	}
	free(changes);
	return text;
}

static const char *
turn(int64_t now_ns)
{
	struct change *changes;
	size_t n;
	bool more;

	assert_int_equal(watcher_drain(w, 1000, now_ns, &more), 0);
	assert_false(more);
	assert_int_equal(watcher_take(w, now_ns, &changes, &n), 0);
	return text_of(changes, n);
}

static const char *
poll_now(int64_t now_ns)
{
	struct change *changes;
	size_t n;

	assert_int_equal(watcher_poll(w, now_ns), 0);
	assert_int_equal(watcher_take(w, now_ns, &changes, &n), 0);
	return text_of(changes, n);
}

static struct watcher_figures
figures(void)
{
	struct watcher_figures f;

	watcher_figures(w, &f);
	return f;
}

static void
start(void)
{
	assert_int_equal(watcher_start(w, S), 0);
	assert_string_equal(turn(S), "R ");
}

/* ---- tests ---- */

static void
the_start_watches_what_the_layout_wants_and_asks_for_a_rescan(void **state)
{
	(void)state;
	start();
	assert_true(watch_on("") && watch_on("OFFILES") && watch_on("OFFILES/fd1") && watch_on("OFFILES/fd2"));
	assert_true(watch_on("ofuser") && watch_on("ofuser/index") && watch_on(cookies));
	assert_false(watch_on("ofmsg") || watch_on("ofviews") || watch_on("ofviews/win"));
	assert_int_equal(figures().directories, 6);
	assert_int_equal(figures().rescans, 1);
}

static void
a_file_is_named_by_its_set_path_whatever_the_case_on_disk(void **state)
{
	(void)state;
	start();
	event(SOURCE_CREATED, false, watch_on("OFFILES/fd1"), "Blob");
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd1"), "Blob");
	event(SOURCE_WRITTEN, false, watch_on("ofuser/index"), "abc.idx");
	event(SOURCE_WRITTEN, false, watch_on("ofuser/index"), "1124gwbk.001");
	assert_string_equal(turn(2 * S), "T offiles/fd1/Blob, T ofuser/index/abc.idx");
}

static void
files_beside_the_watched_areas_are_nobodys_business(void **state)
{
	(void)state;
	start();
	event(SOURCE_CREATED, false, watch_on(""), "wphost.db");
	event(SOURCE_DELETED, false, watch_on("ofuser"), "user123.db");
	event(SOURCE_CREATED, true, watch_on(""), "ofwork");
	assert_string_equal(turn(2 * S), "");
}

static void
young_files_are_given_before_the_cookie(void **state)
{
	(void)state;
	start();
	event(SOURCE_CREATED, false, watch_on("OFFILES/fd1"), "young");
	assert_string_equal(turn(2 * S), "");
	assert_true(watcher_waits(w));
	event(SOURCE_CREATED, false, watch_on(cookies), "cookie-1");
	event(SOURCE_WRITTEN, false, watch_on(cookies), "cookie-1");
	event(SOURCE_DELETED, false, watch_on(cookies), "cookie-1");
	assert_string_equal(turn(2 * S), "T offiles/fd1/young, C cookie-1");
	assert_false(watcher_waits(w));
}

static void
overflow_becomes_one_rescan_and_a_rewalk(void **state)
{
	(void)state;
	start();
	sh("mkdir -p OFFILES/fd3/deep ofuser/unwatched"); /* their events are among the lost */
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd1"), "a");
	event(SOURCE_OVERFLOW, false, -1, "");
	assert_string_equal(turn(2 * S), "T offiles/fd1/a, R ");
	assert_true(watch_on("OFFILES/fd3") && watch_on("OFFILES/fd3/deep") && watch_on("OFFILES/fd1") && watch_on(cookies));
	assert_false(watch_on("ofuser/unwatched"));
	assert_int_equal(figures().overflows, 1);
	assert_int_equal(figures().directories, 8);
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd3/deep"), "b");
	assert_string_equal(turn(3 * S), "T offiles/fd3/deep/b");
}

static void
two_overflows_in_a_batch_are_one_rescan(void **state)
{
	(void)state;
	start();
	event(SOURCE_OVERFLOW, false, -1, "");
	event(SOURCE_OVERFLOW, false, -1, "");
	assert_string_equal(turn(2 * S), "R ");
}

static void
many_lost_queues_leave_a_working_watcher(void **state)
{
	(void)state;
	start();
	for (int i = 0; i < 40; i++) {
		event(SOURCE_OVERFLOW, false, -1, "");
		assert_string_equal(turn((2 + i) * S), "R ");
		kernel.head = kernel.tail = 0; /* the kernel's FORGOTTENs are lost too */
	}
	assert_int_equal(figures().directories, 6);
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd2"), "x");
	assert_string_equal(turn(99 * S), "T offiles/fd2/x");
}

static void
a_new_directory_is_watched_with_all_below_and_compared(void **state)
{
	(void)state;
	start();
	/* The race: its files and sub-directory were made before anybody could watch. */
	sh("mkdir -p OFFILES/fd9/sub && touch OFFILES/fd9/early OFFILES/fd9/sub/early");
	event(SOURCE_CREATED, true, watch_on("OFFILES"), "fd9");
	assert_string_equal(turn(2 * S), "R offiles/fd9");
	assert_true(watch_on("OFFILES/fd9") && watch_on("OFFILES/fd9/sub"));
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd9/sub"), "late");
	assert_string_equal(turn(2 * S), "T offiles/fd9/sub/late");
}

static void
a_new_directory_that_has_vanished_already_is_no_error(void **state)
{
	(void)state;
	start();
	event(SOURCE_CREATED, true, watch_on("OFFILES"), "fd9");
	event(SOURCE_DELETED, true, watch_on("OFFILES"), "fd9");
	assert_string_equal(turn(2 * S), "R offiles/fd9");
	assert_int_equal(figures().directories, 6);
}

static void
a_directory_renamed_within_is_compared_at_both_ends(void **state)
{
	int fd1, forgotten;

	(void)state;
	start();
	sh("mkdir OFFILES/fd1/sub");
	event(SOURCE_CREATED, true, fd1 = watch_on("OFFILES/fd1"), "sub");
	assert_string_equal(turn(2 * S), "R offiles/fd1/sub");
	forgotten = watch_on("OFFILES/fd1/sub");
	sh("mv OFFILES/fd1 OFFILES/fd7");
	event(SOURCE_WRITTEN, false, fd1, "before");
	event(SOURCE_MOVED_FROM, true, watch_on("OFFILES"), "fd1");
	event(SOURCE_MOVED_TO, true, watch_on("OFFILES"), "fd7");
	event(SOURCE_DIR_GONE, true, fd1, "");
	event(SOURCE_WRITTEN, false, forgotten, "stale"); /* queued before the watch was removed: covered by the rescan */
	assert_string_equal(turn(3 * S), "T offiles/fd1/before, R offiles/fd1, R offiles/fd7");
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd7"), "x");
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd7/sub"), "y");
	assert_string_equal(turn(4 * S), "T offiles/fd7/x, T offiles/fd7/sub/y");
	assert_int_equal(figures().directories, 7);
}

static void
a_directory_moved_out_is_compared_and_no_longer_watched(void **state)
{
	int fd1;

	(void)state;
	start();
	fd1 = watch_on("OFFILES/fd1");
	sh("mv OFFILES/fd1 ../elsewhere");
	event(SOURCE_MOVED_FROM, true, watch_on("OFFILES"), "fd1");
	event(SOURCE_DIR_GONE, true, fd1, "");
	assert_string_equal(turn(2 * S), "R offiles/fd1");
	assert_false(kernel.watches[fd1 - 1].living);
	assert_int_equal(figures().directories, 5);
	assert_int_equal(figures().rescans, 2);
}

static void
a_directory_moved_in_is_watched_and_compared(void **state)
{
	(void)state;
	sh("mkdir -p ../elsewhere/sub && touch ../elsewhere/sub/file");
	start();
	sh("mv ../elsewhere OFFILES/fd8");
	event(SOURCE_MOVED_TO, true, watch_on("OFFILES"), "fd8");
	assert_string_equal(turn(2 * S), "R offiles/fd8");
	assert_true(watch_on("OFFILES/fd8") && watch_on("OFFILES/fd8/sub"));
}

static void
a_moved_directory_met_by_a_walk_before_its_event_keeps_its_watch(void **state)
{
	int fd1;

	(void)state;
	start();
	fd1 = watch_on("OFFILES/fd1");
	/* fd3 is new, fd1 was moved into it before we look: the walk meets fd1's inode, whose watch still says offiles/fd1. */
	sh("mkdir OFFILES/fd3 && mv OFFILES/fd1 OFFILES/fd3/inner");
	event(SOURCE_CREATED, true, watch_on("OFFILES"), "fd3");
	event(SOURCE_MOVED_FROM, true, watch_on("OFFILES"), "fd1");
	event(SOURCE_DIR_GONE, true, fd1, "");
	assert_string_equal(turn(2 * S), "R offiles/fd3, R offiles/fd1, R offiles/fd3/inner");
	assert_true(watch_on("OFFILES/fd3/inner"));
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd3/inner"), "x");
	assert_string_equal(turn(3 * S), "T offiles/fd3/inner/x");
}

static void
directories_beyond_the_watch_limit_are_polled_until_they_can_be_watched(void **state)
{
	(void)state;
	kernel.limit = 5; /* cookies, root and three of five */
	start();
	assert_int_equal(figures().unwatched, 2);
	assert_int_equal(figures().directories, 4);
	const char *first = poll_now(60 * S);
	assert_int_equal(strncmp(first, "B ", 2), 0);
	assert_non_null(strstr(first, ", B "));
	assert_int_equal(figures().unwatched, 2);
	kernel.limit = 1000;
	assert_non_null(strstr(poll_now(120 * S), ", B "));
	assert_int_equal(figures().unwatched, 0);
	assert_int_equal(figures().directories, 6);
	assert_string_equal(poll_now(180 * S), "");
}

/* No event of a directory that is not watched comes before the cookie, so the comparison must. */
static void
a_cookie_has_what_is_not_watched_compared_before_it(void **state)
{
	char refused[300];

	(void)state;
	snprintf(refused, sizeof refused, "%s/OFFILES/fd1", po);
	kernel.refused = refused;
	start();
	event(SOURCE_WRITTEN, false, watch_on(cookies), "c1");
	assert_string_equal(turn(2 * S), "B offiles/fd1, C c1");
	sh("cd OFFILES/fd2 && for i in $(seq 70); do mkdir d$i; done");
	kernel.limit = living();
	event(SOURCE_CREATED, true, watch_on("OFFILES"), "fd2");
	assert_string_equal(turn(3 * S), "R offiles/fd2");
	event(SOURCE_WRITTEN, false, watch_on(cookies), "c2");
	assert_string_equal(turn(4 * S), "B , C c2"); /* more than it would be worth to name */
}

static void
a_directory_whose_inode_cannot_be_read_is_told_as_not_watched(void **state)
{
	char refused[300];

	(void)state;
	snprintf(refused, sizeof refused, "%s/OFFILES/fd1", po);
	kernel.refused = refused;
	untold = true;
	unseen = "fd1";
	start();
	untold = false;
	unseen = NULL;
	assert_int_equal(figures().unwatched, 1);
	assert_true(watch_on("OFFILES/fd2")); /* of the others the list tells as little */
}

static void
an_unreadable_directory_is_polled_until_it_can_be_read(void **state)
{
	char refused[300];

	(void)state;
	snprintf(refused, sizeof refused, "%s/OFFILES", po);
	kernel.refused = refused;
	start();
	assert_int_equal(figures().unwatched, 1);
	assert_true(watch_on("OFFILES/fd1")); /* what lies below could be watched all the same */
	assert_string_equal(poll_now(60 * S), "B offiles");
	assert_string_equal(poll_now(120 * S), "B offiles");
	sh("mkdir OFFILES/fd5");
	kernel.refused = NULL;
	assert_string_equal(poll_now(180 * S), "B offiles");
	assert_true(watch_on("OFFILES") && watch_on("OFFILES/fd5"));
	assert_string_equal(poll_now(240 * S), "");
}

static void
a_file_whose_rights_change_is_a_change(void **state)
{
	(void)state;
	start();
	event(SOURCE_ATTRIBUTES, false, watch_on("OFFILES/fd1"), "x");
	assert_string_equal(turn(2 * S), "T offiles/fd1/x");
}

/* A barrier may pass only over what came through our own folder. */
static void
a_file_with_the_name_of_a_cookie_is_a_file(void **state)
{
	(void)state;
	start();
	event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd1"), "cookie-1-1");
	assert_string_equal(turn(2 * S), "T offiles/fd1/cookie-1-1");
	event(SOURCE_WRITTEN, false, watch_on(cookies), "cookie-1-1");
	assert_string_equal(turn(3 * S), "C cookie-1-1");
}

/* In whichever moment it is made: before its parent is watched it is listed, and afterwards there is an event. */
static void
a_directory_made_right_after_its_parent_was_watched_is_met_by_the_walk(void **state)
{
	char parent[300], child[300];

	(void)state;
	sh("mkdir OFFILES/fd9");
	snprintf(parent, sizeof parent, "%s/OFFILES/fd9", po);
	snprintf(child, sizeof child, "%s/OFFILES/fd9/sub", po);
	kernel.makes_at = parent;
	kernel.makes = child;
	start();
	assert_null(kernel.makes);
	assert_true(watch_on("OFFILES/fd9/sub"));
}

static void
an_event_of_an_unknown_watch_is_a_rescan_of_everything(void **state)
{
	(void)state;
	start();
	event(SOURCE_WRITTEN, false, 500, "x");
	event(SOURCE_FORGOTTEN, false, 501, "");
	assert_string_equal(turn(2 * S), "R ");
}

static void
a_deleted_directory_is_compared_and_made_again_it_is_watched_again(void **state)
{
	int fd1;

	(void)state;
	start();
	fd1 = watch_on("OFFILES/fd1");
	sh("rmdir OFFILES/fd1");
	event(SOURCE_DIR_GONE, false, fd1, "");
	kernel.watches[fd1 - 1].living = false;
	event(SOURCE_FORGOTTEN, false, fd1, "");
	event(SOURCE_DELETED, true, watch_on("OFFILES"), "fd1");
	assert_string_equal(turn(2 * S), "R offiles/fd1");
	assert_int_equal(figures().directories, 5);
	sh("mkdir OFFILES/fd1");
	event(SOURCE_CREATED, true, watch_on("OFFILES"), "fd1");
	assert_string_equal(turn(3 * S), "R offiles/fd1");
	assert_true(watch_on("OFFILES/fd1") > fd1);
}

static void
a_root_that_went_is_no_deletion_and_is_compared_when_it_is_back(void **state)
{
	int root;

	(void)state;
	start();
	root = watch_on("");
	sh("mv '%s' '%s.away'; mkdir '%s'", po, po, po);
	event(SOURCE_DIR_GONE, true, root, "");
	event(SOURCE_WRITTEN, false, root + 1, "late"); /* of a watch that is dead by now */
	assert_string_equal(turn(2 * S), "");
	assert_true(figures().root_gone);
	assert_int_equal(figures().directories, 0);
	assert_string_equal(poll_now(7 * S), "");
	event(SOURCE_OVERFLOW, false, -1, "");
	assert_string_equal(turn(8 * S), "");
	sh("rmdir '%s' && mv '%s.away' '%s'", po, po, po);
	assert_string_equal(poll_now(12 * S), "R ");
	assert_false(figures().root_gone);
	assert_int_equal(figures().directories, 6);
	assert_true(watch_on("OFFILES/fd1"));
}

static void
a_cookie_is_answered_only_when_a_root_that_was_lost_is_watched_again(void **state)
{
	(void)state;
	start();
	event(SOURCE_UNMOUNTED, false, watch_on(""), "");
	assert_string_equal(turn(2 * S), "");
	assert_true(figures().root_gone);
	/* It is there for whoever looks now, and the next poll is far. */
	event(SOURCE_WRITTEN, false, watch_on(cookies), "c1");
	assert_string_equal(turn(3 * S), "R , C c1");
	assert_false(figures().root_gone);
	sh("mv wphost.db ../hidden");
	event(SOURCE_UNMOUNTED, false, watch_on(""), "");
	event(SOURCE_WRITTEN, false, watch_on(cookies), "c2");
	assert_string_equal(turn(4 * S), "");
	sh("mv ../hidden wphost.db");
	event(SOURCE_WRITTEN, false, watch_on(cookies), "c3");
	assert_string_equal(turn(5 * S), "R , C c3");
}

static void
an_unmounted_root_is_found_by_the_event_or_by_the_poll(void **state)
{
	(void)state;
	start();
	event(SOURCE_UNMOUNTED, false, watch_on(""), "");
	assert_string_equal(turn(2 * S), "");
	assert_true(figures().root_gone);
	assert_string_equal(poll_now(3 * S), "R ");
	sh("mv wphost.db ../hidden");
	assert_string_equal(poll_now(60 * S), "");
	assert_true(figures().root_gone);
	sh("mv ../hidden wphost.db");
	assert_string_equal(poll_now(65 * S), "R ");
}

static void
offiles_that_went_is_a_lost_root_and_may_come_back_under_another_case(void **state)
{
	(void)state;
	start();
	sh("mv OFFILES ../hidden");
	event(SOURCE_MOVED_FROM, true, watch_on(""), "OFFILES");
	assert_string_equal(turn(2 * S), "");
	assert_true(figures().root_gone);
	sh("mv ../hidden OfFiles");
	assert_string_equal(poll_now(7 * S), "R ");
	event(SOURCE_WRITTEN, false, watch_on("OfFiles/fd2"), "x");
	assert_string_equal(turn(8 * S), "T offiles/fd2/x");
}

static void
a_fixed_directory_that_changes_its_case_is_watched_under_the_new_one(void **state)
{
	(void)state;
	start();
	sh("mv OFFILES offiles");
	event(SOURCE_MOVED_FROM, true, watch_on(""), "OFFILES");
	event(SOURCE_MOVED_TO, true, watch_on(""), "offiles");
	assert_string_equal(turn(2 * S), "R offiles");
	assert_false(figures().root_gone);
	assert_true(watch_on("offiles/fd1"));
	event(SOURCE_WRITTEN, false, watch_on("offiles/fd1"), "x");
	assert_string_equal(turn(3 * S), "T offiles/fd1/x");
}

static void
a_library_that_appears_later_is_watched_in_its_documents_only(void **state)
{
	(void)state;
	start();
	sh("mkdir -p GWDMS/Lib1/DOCS/0 GWDMS/Lib1/store && touch GWDMS/Lib1/DOCS/0/doc");
	event(SOURCE_CREATED, true, watch_on(""), "GWDMS");
	assert_string_equal(turn(2 * S), "R gwdms");
	assert_true(watch_on("GWDMS/Lib1/DOCS/0") && watch_on("GWDMS/Lib1"));
	assert_false(watch_on("GWDMS/Lib1/store"));
	event(SOURCE_WRITTEN, false, watch_on("GWDMS/Lib1/DOCS/0"), "doc2");
	assert_string_equal(turn(3 * S), "T gwdms/Lib1/docs/0/doc2");
}

static void
a_library_that_is_mounted_without_an_event_is_found_by_the_poll(void **state)
{
	char gwdms[300];

	(void)state;
	sh("mkdir gwdms");
	start();
	snprintf(gwdms, sizeof gwdms, "%s/gwdms", po);
	if (mount("tmpfs", gwdms, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") != 0)
		skip();
	sh("mkdir -p gwdms/lib1/docs");
	assert_string_equal(poll_now(60 * S), "R ");
	assert_true(watch_on("gwdms/lib1/docs"));
	assert_string_equal(poll_now(120 * S), "");
	assert_int_equal(umount(gwdms), 0);
	poll_now(180 * S);
	assert_true(figures().root_gone);
}

static void
a_link_to_a_directory_is_not_followed(void **state)
{
	(void)state;
	start();
	sh("mkdir ../outside && ln -s ../../outside OFFILES/link");
	event(SOURCE_CREATED, false, watch_on("OFFILES"), "link");
	event(SOURCE_OVERFLOW, false, -1, "");
	assert_string_equal(turn(3 * S), "R ");
	assert_string_equal(turn(4 * S), "T offiles/link");
	assert_int_equal(figures().directories, 6);
}

static void
the_cookie_folder_is_watched_again_when_it_was_made_anew(void **state)
{
	int old;

	(void)state;
	start();
	old = watch_on(cookies);
	sh("mv '%s' ../old && mkdir '%s'", cookies, cookies);
	event(SOURCE_DIR_GONE, true, old, "");
	assert_string_equal(turn(2 * S), "");
	assert_string_equal(poll_now(60 * S), "");
	assert_true(watch_on(cookies) > old);
	event(SOURCE_WRITTEN, false, watch_on(cookies), "cookie-2");
	assert_string_equal(turn(61 * S), "C cookie-2");
}

static void
what_is_drained_while_an_append_is_under_way_folds(void **state)
{
	bool more;

	(void)state;
	start();
	for (int i = 0; i < 10; i++) {
		event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd1"), "a");
		event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd1"), "b");
		assert_int_equal(watcher_drain(w, 1000, (2 + i) * S, &more), 0);
	}
	assert_string_equal(turn(20 * S), "T offiles/fd1/a, T offiles/fd1/b");
}

static void
a_budget_that_ends_first_says_that_there_is_more(void **state)
{
	struct change *changes;
	size_t n;
	bool more;

	(void)state;
	start();
	for (int i = 0; i < 5; i++)
		event(SOURCE_WRITTEN, false, watch_on("OFFILES/fd1"), i % 2 ? "a" : "b");
	assert_int_equal(watcher_drain(w, 3, 2 * S, &more), 0);
	assert_true(more);
	assert_int_equal(watcher_take(w, 2 * S, &changes, &n), 0);
	assert_string_equal(text_of(changes, n), "T offiles/fd1/b, T offiles/fd1/a");
	assert_string_equal(turn(2 * S), "T offiles/fd1/a, T offiles/fd1/b");
	assert_int_equal(figures().events, 5);
}

/* ---- what a poll that fails leaves ---- */

static void
a_root_that_is_back_and_found_no_memory_is_compared_by_the_next_poll(void **state)
{
	(void)state;
	start();
	sh("mv wphost.db ../hidden");
	assert_string_equal(poll_now(60 * S), "");
	assert_true(figures().root_gone);
	sh("mkdir OFFILES/fd3 && touch OFFILES/fd1/meanwhile && mv ../hidden wphost.db");
	kernel.no_memory_at = 3;
	assert_int_equal(watcher_poll(w, 65 * S), -ERR_NOMEM);
	assert_string_equal(poll_now(70 * S), "R ");
	assert_true(watch_on("OFFILES/fd1") && watch_on("OFFILES/fd2") && watch_on("OFFILES/fd3") && watch_on("ofuser/index"));
}

static void
what_is_not_watched_is_compared_also_after_a_poll_without_memory(void **state)
{
	(void)state;
	kernel.limit = 3; /* cookies, root and one */
	start();
	assert_true(figures().unwatched >= 2);
	kernel.no_memory_at = 1;
	assert_int_equal(watcher_poll(w, 60 * S), -ERR_NOMEM);
	event(SOURCE_WRITTEN, false, watch_on(cookies), "c1");
	assert_non_null(strstr(turn(61 * S), "B "));
}

static void
a_mount_that_an_event_hides_is_found_by_the_poll(void **state)
{
	const char *polled;
	char gwdms[300];
	bool watched;

	(void)state;
	sh("mkdir gwdms");
	start();
	snprintf(gwdms, sizeof gwdms, "%s/gwdms", po);
	if (mount("tmpfs", gwdms, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") != 0)
		skip();
	sh("mkdir -p gwdms/lib1/docs && touch gwdms/lib1/docs/doc");
	/* Before the next poll some other directory comes, for which the names are read again. */
	sh("rmdir ofuser/index && mkdir ofuser/index");
	event(SOURCE_CREATED, true, watch_on("ofuser"), "index");
	assert_string_equal(turn(30 * S), "R ofuser/index");
	polled = poll_now(60 * S);
	watched = watch_on("gwdms/lib1/docs") != 0;
	assert_int_equal(umount(gwdms), 0);
	assert_string_equal(polled, "R ");
	assert_true(watched);
}

static void
a_directory_that_was_moved_out_is_not_taken_for_the_next_of_its_name(void **state)
{
	char refused[300];
	int fd1;

	(void)state;
	snprintf(refused, sizeof refused, "%s/OFFILES", po);
	kernel.refused = refused;
	start();
	fd1 = watch_on("OFFILES/fd1");
	sh("mv OFFILES/fd1 ../elsewhere && mkdir OFFILES/fd1");
	event(SOURCE_DIR_GONE, true, fd1, "");
	assert_string_equal(turn(2 * S), "R offiles/fd1");
	kernel.refused = NULL;
	assert_string_equal(poll_now(60 * S), "B offiles");
	assert_int_equal(figures().unwatched, 0);
	assert_true(watch_on("OFFILES/fd1"));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(the_start_watches_what_the_layout_wants_and_asks_for_a_rescan),
	    T(a_file_is_named_by_its_set_path_whatever_the_case_on_disk),
	    T(files_beside_the_watched_areas_are_nobodys_business),
	    T(young_files_are_given_before_the_cookie),
	    T(overflow_becomes_one_rescan_and_a_rewalk),
	    T(two_overflows_in_a_batch_are_one_rescan),
	    T(many_lost_queues_leave_a_working_watcher),
	    T(a_new_directory_is_watched_with_all_below_and_compared),
	    T(a_new_directory_that_has_vanished_already_is_no_error),
	    T(a_directory_renamed_within_is_compared_at_both_ends),
	    T(a_directory_moved_out_is_compared_and_no_longer_watched),
	    T(a_directory_moved_in_is_watched_and_compared),
	    T(a_moved_directory_met_by_a_walk_before_its_event_keeps_its_watch),
	    T(directories_beyond_the_watch_limit_are_polled_until_they_can_be_watched),
	    T(a_cookie_has_what_is_not_watched_compared_before_it),
	    T(a_directory_whose_inode_cannot_be_read_is_told_as_not_watched),
	    T(an_unreadable_directory_is_polled_until_it_can_be_read),
	    T(a_file_whose_rights_change_is_a_change),
	    T(a_file_with_the_name_of_a_cookie_is_a_file),
	    T(a_directory_made_right_after_its_parent_was_watched_is_met_by_the_walk),
	    T(an_event_of_an_unknown_watch_is_a_rescan_of_everything),
	    T(a_deleted_directory_is_compared_and_made_again_it_is_watched_again),
	    T(a_root_that_went_is_no_deletion_and_is_compared_when_it_is_back),
	    T(a_cookie_is_answered_only_when_a_root_that_was_lost_is_watched_again),
	    T(an_unmounted_root_is_found_by_the_event_or_by_the_poll),
	    T(offiles_that_went_is_a_lost_root_and_may_come_back_under_another_case),
	    T(a_fixed_directory_that_changes_its_case_is_watched_under_the_new_one),
	    T(a_library_that_appears_later_is_watched_in_its_documents_only),
	    T(a_library_that_is_mounted_without_an_event_is_found_by_the_poll),
	    T(a_link_to_a_directory_is_not_followed),
	    T(the_cookie_folder_is_watched_again_when_it_was_made_anew),
	    T(what_is_drained_while_an_append_is_under_way_folds),
	    T(a_budget_that_ends_first_says_that_there_is_more),
	    T(a_root_that_is_back_and_found_no_memory_is_compared_by_the_next_poll),
	    T(what_is_not_watched_is_compared_also_after_a_poll_without_memory),
	    T(a_mount_that_an_event_hides_is_found_by_the_poll),
	    T(a_directory_that_was_moved_out_is_not_taken_for_the_next_of_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
