/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a restore makes, refuses and says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "keeper/manifest.h"
#include "keeper/restore.h"
#include "tests/lib/stage.h"
#include "tests/unit/disk_rig.h"

static struct stage st;
static struct set_row set;
static char to[300];

static bool unkept; /* the target says at its files' closing that it could not keep them */

int
close(int fd)
{
	char link[32], path[600];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = unkept ? readlink(link, path, sizeof path - 1) : -1;
	path[n < 0 ? 0 : n] = '\0';
	if (syscall(SYS_close, fd) != 0)
		return -1;
	if (n < 0 || strncmp(path, to, strlen(to)) != 0 || !strstr(path, "/aaa"))
		return 0;
	errno = EDQUOT;
	return -1;
}

struct lines {
	struct task task;
	char text[4096];
};

static void
on_finding(struct task *task, const char *path, const char *what)
{
	struct lines *l = (struct lines *)task;

	snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "%s: %s\n", path, what);
}

static void
put_special(const char *path, struct entry entry)
{
	struct index_node node = {.version = 1, .entry = entry};

	stage_dirs(&st, path);
	stage_apply(&st, INDEX_PUT, path, &node);
}

static int
set_up(void **state)
{
	(void)state;
	stage_open(&st);
	stage_fill(&st);
	put_special("ofuser/evil", (struct entry){.kind = ENTRY_SYMLINK, .mode = 0777, .uid = getuid(), .gid = getgid(), .size = 7,
	    .target = (char *)(uintptr_t)"/tmp/xx"});
	put_special("ofuser/disk", (struct entry){.kind = ENTRY_BLOCK, .mode = 0660, .rdev = 2049});
	put_special("offiles/fd9", (struct entry){.kind = ENTRY_DIR, .mode = 0500, .uid = getuid(), .gid = getgid()});
	set = stage_seal(&st, 20260213);
	snprintf(to, sizeof to, "%s/restored", st.scratch.path);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	set_row_fini(&set);
	stage_close(&st);
	return 0;
}

static int
restore(char *const *paths, size_t n, struct lines *lines)
{
	memset(lines, 0, sizeof *lines);
	lines->task.finding = on_finding;
	return restore_set(st.vault, &set, to, paths, n, &lines->task);
}

static int
target(void)
{
	return open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
the_tree_equals_the_set(void **state)
{
	struct lines lines;
	struct stat file;
	int fd;

	(void)state;
	good(restore(NULL, 0, &lines));
	fd = target();
	assert_string_equal(content(fd, "wphost.db"), "post office database");
	assert_string_equal(content(fd, "ofuser/index/abc.idx"), "index of abc");
	assert_string_equal(content(fd, "offiles/fd0/bbb"), "blob bbb");
	good(fsio_stat(fd, "offiles", &file));
	assert_true(S_ISDIR(file.st_mode)); /* a real directory, not our link */
	assert_int_equal(file.st_mode & 07777, 0751);
	good(fsio_stat(fd, "offiles/fd9", &file));
	assert_int_equal(file.st_mode & 07777, 0500);
	good(fsio_stat(fd, "ofuser/userabc.db", &file));
	assert_int_equal(file.st_mode & 07777, 0640);
	assert_true(file.st_mtim.tv_nsec % 1000 == st.now_ns % 1000);
	good(fsio_stat(fd, "ofuser/evil", &file));
	assert_true(S_ISLNK(file.st_mode));
	assert_false(present(fd, "ofuser/disk"));
	assert_non_null(strstr(lines.text, "ofuser/disk: is a device"));
	close(fd);
}

static void
no_profile_of_the_store_is_a_place_to_restore_to(void **state)
{
	static const char *const places[] = {"other/backups/weeknow", "other", PROFILE "/blobs"};
	struct lines lines;
	struct stat made;

	(void)state;
	close(fsio_make_dirs(st.scratch.fd, "other/state", false));
	close(fsio_make_dirs(st.scratch.fd, "other/backups/weeknow", false));
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		snprintf(to, sizeof to, "%.100s/%s/set", st.scratch.path, places[i]);
		assert_int_equal(restore(NULL, 0, &lines), -ERR_USAGE);
		assert_non_null(strstr(err_text(), "lies in the store"));
		assert_int_equal(stat(to, &made), -1);
	}
}

static void
named_paths_only(void **state)
{
	char *one[] = {(char *)(uintptr_t)"offiles/fd0/aaa"}, *two[] = {(char *)(uintptr_t)"ofuser/index", (char *)(uintptr_t)"offiles/fd1"};
	struct lines lines;
	struct stat file;
	int fd;

	(void)state;
	good(restore(one, 1, &lines));
	fd = target();
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	assert_false(present(fd, "offiles/fd0/bbb"));
	assert_false(present(fd, "ofuser"));
	good(fsio_stat(fd, "offiles/fd0", &file));
	assert_int_equal(file.st_mode & 07777, 0751); /* directories on the way as well */
	close(fd);

	strcat(to, "2");
	good(restore(two, 2, &lines));
	fd = target();
	assert_string_equal(content(fd, "ofuser/index/abc.idx"), "index of abc");
	assert_string_equal(content(fd, "offiles/fd1/ccc"), "blob ccc");
	assert_false(present(fd, "ofuser/userabc.db"));
	assert_false(present(fd, "offiles/fd0"));
	assert_false(present(fd, "wphost.db"));
	close(fd);
}

static void
a_path_that_is_not_in_the_set_is_said(void **state)
{
	char *paths[] = {(char *)(uintptr_t)"offiles/fd0/aaa", (char *)(uintptr_t)"offiles/nothing"};
	struct lines lines;
	int fd;

	(void)state;
	assert_int_equal(restore(paths, 2, &lines), -ERR_NOTFOUND);
	assert_non_null(strstr(lines.text, "offiles/nothing: is not in the set"));
	fd = target();
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa");
	close(fd);
	assert_non_null(strstr(err_text(), "is not in set frifeb13: `tidemark set show` lists what is"));
	paths[0] = (char *)(uintptr_t)"ofuser/"; /* as a shell completes it */
	strcat(to, "2");
	assert_int_equal(restore(paths, 1, &lines), -ERR_USAGE);
	assert_non_null(strstr(err_text(), "without a slash at either end"));
	paths[0] = (char *)(uintptr_t)"../etc";
	strcat(to, "2");
	assert_int_equal(restore(paths, 1, &lines), -ERR_USAGE);
}

static void
of_a_path_that_is_not_in_the_set_nothing_is_made(void **state)
{
	char *paths[] = {(char *)(uintptr_t)"ofuser/nobody.db", (char *)(uintptr_t)"offiles/fd0/aaa"};
	struct lines lines;
	int fd;

	(void)state;
	assert_int_equal(restore(paths, 1, &lines), -ERR_NOTFOUND);
	assert_non_null(strstr(lines.text, "ofuser/nobody.db: is not in the set"));
	assert_int_equal(access(to, F_OK), -1);
	assert_int_equal(restore(paths, 2, &lines), -ERR_NOTFOUND);
	fd = target();
	assert_true(present(fd, "offiles/fd0/aaa"));
	assert_false(present(fd, "ofuser"));
	close(fd);
}

static void
a_target_that_is_in_use_is_refused(void **state)
{
	struct lines lines;
	char file[400];

	(void)state;
	assert_int_equal(mkdir(to, 0700), 0);
	snprintf(file, sizeof file, "%s/x", to);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(restore(NULL, 0, &lines), -ERR_USAGE);
	assert_non_null(strstr(err_text(), "is not empty: name a new directory"));
	unlink(file);
	good(restore(NULL, 0, &lines)); /* empty is fine */

	snprintf(to, sizeof to, "relative");
	assert_int_equal(restore(NULL, 0, &lines), -ERR_USAGE);
	snprintf(to, sizeof to, "%s/link", st.scratch.path);
	assert_int_equal(symlink("/tmp", to), 0);
	assert_int_equal(restore(NULL, 0, &lines), -ERR_USAGE);
	snprintf(to, sizeof to, "%s/" PROFILE "/blobs/here", st.scratch.path);
	assert_int_equal(restore(NULL, 0, &lines), -ERR_USAGE);
	assert_false(present(st.dir, "blobs/here"));
}

static void
a_damaged_file_is_restored_and_named(void **state)
{
	struct lines lines;
	int fd = fsio_open(st.dir, "blobs/offiles/fd0/aaa", O_WRONLY, 0);

	(void)state;
	good(fsio_pwrite(fd, "#", 1, 0));
	close(fd);
	good(fsio_unlink(st.dir, "blobs/offiles/fd0/bbb"));
	assert_int_equal(restore(NULL, 0, &lines), -ERR_DIFFERS);
	assert_non_null(strstr(lines.text, "offiles/fd0/aaa: is not what was sealed"));
	assert_non_null(strstr(lines.text, "offiles/fd0/bbb: is missing"));
	fd = target();
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "#lob aaa");
	assert_string_equal(content(fd, "offiles/fd1/ccc"), "blob ccc");
	close(fd);
}

static void
a_file_whose_inode_cannot_be_read_is_named_and_all_others_are_restored(void **state)
{
	struct lines lines;
	int err, fd;

	(void)state;
	needs_openat2();
	disk.unreadable = "aaa";
	err = restore(NULL, 0, &lines);
	disk.unreadable = NULL;
	assert_int_equal(err, -ERR_DIFFERS);
	assert_non_null(strstr(lines.text, "offiles/fd0/aaa: "));
	fd = target();
	assert_string_equal(content(fd, "offiles/fd0/bbb"), "blob bbb");
	assert_string_equal(content(fd, "offiles/fd1/ccc"), "blob ccc");
	close(fd);
}

static void
a_set_without_its_manifest_says_where_its_files_lie(void **state)
{
	struct lines lines;
	int fd = fsio_open(st.vault->manifests, "frifeb13", O_WRONLY, 0);

	(void)state;
	good(fsio_pwrite(fd, "#", 1, 40));
	close(fd);
	assert_int_equal(restore(NULL, 0, &lines), -ERR_CORRUPT);
	assert_non_null(strstr(err_text(), "backups/weeknow/frifeb13 below the profile's folder"));
	good(fsio_unlink(st.vault->manifests, "frifeb13"));
	assert_int_equal(restore(NULL, 0, &lines), -ERR_GONE);
	assert_non_null(strstr(err_text(), "backups/weeknow/frifeb13 below the profile's folder"));
}

/* A row of the catalogue is lost: what the disk did not write, or gave back from long ago. */
static void
lose_row(const char *path)
{
	struct blob_row *rows;
	size_t n;

	good(catalogue_blobs(st.vault->catalogue, set.number, path, NULL, 1, &rows, &n));
	assert_int_equal(n, 1);
	assert_string_equal(rows->path, path);
	good(catalogue_forget(st.vault->catalogue, &(struct blob_dead){.row = *rows}, 1));
	blob_rows_free(rows, n);
}

static void
a_blob_that_the_catalogue_has_lost_does_not_go_missing_without_a_word(void **state)
{
	char *paths[] = {(char *)(uintptr_t)"ofuser", (char *)(uintptr_t)"offiles/fd0"};
	struct lines lines;
	int fd;

	(void)state;
	lose_row("offiles/fd0/bbb");
	assert_int_equal(restore(NULL, 0, &lines), -ERR_DIFFERS);
	assert_non_null(strstr(lines.text, "catalogue: the list of blobs is not what was sealed (2 blobs instead of 3)"));
	fd = target();
	assert_string_equal(content(fd, "offiles/fd0/aaa"), "blob aaa"); /* what is known is restored */
	close(fd);
	strcat(to, "2");
	assert_int_equal(restore(paths, 2, &lines), -ERR_DIFFERS);
}

static void
what_the_target_does_not_take_is_no_fault_of_the_set(void **state)
{
	const struct rlimit small = {4, RLIM_INFINITY};
	struct rlimit all;
	struct lines lines;
	int err;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0); /* as a file system whose files end at 4 GiB */
	err = restore(NULL, 0, &lines);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_int_equal(err, -ERR_IO);
	assert_null(strstr(lines.text, "cannot be read"));
	assert_non_null(strstr(err_text(), "the target does not take"));
}

static void
what_the_target_says_it_could_not_keep_is_not_restored(void **state)
{
	struct lines lines;
	int err;

	(void)state;
	unkept = true;
	err = restore(NULL, 0, &lines);
	unkept = false;
	assert_int_equal(err, -ERR_NOSPACE);
	assert_non_null(strstr(err_text(), "offiles/fd0/aaa"));
}

/* Keys of such paths are hashes, and come before all others. */
static void
directories_on_the_way_have_their_mode_beside_paths_of_any_length(void **state)
{
	char *one[] = {(char *)(uintptr_t)"offiles/fd0/aaa"}, path[700] = "offiles/fd0";
	struct lines lines;
	struct stat dir;
	int fd;

	(void)state;
	for (int i = 0; i < 3; i++)
		snprintf(path + strlen(path), sizeof path - strlen(path), "/%0200d", i);
	stage_put(&st, path, "a blob far below");
	set_row_fini(&set);
	set = stage_seal(&st, 20260214);
	good(restore(one, 1, &lines));
	fd = target();
	good(fsio_stat(fd, "offiles", &dir));
	assert_int_equal(dir.st_mode & 07777, 0751);
	good(fsio_stat(fd, "offiles/fd0", &dir));
	assert_int_equal(dir.st_mode & 07777, 0751);
	close(fd);
}

static void
a_target_below_a_name_that_is_too_long_is_nowhere(void **state)
{
	struct task task = {0};
	char far[700];

	(void)state;
	snprintf(far, sizeof far, "%.200s/%0300d/elsewhere", st.scratch.path, 7);
	assert_int_equal(restore_set(st.vault, &set, far, NULL, 0, &task), -ERR_LIMIT);
	assert_false(present(st.scratch.fd, "elsewhere"));
}

/* The set's manifest once more, whole and with its sum in the catalogue, as nobody writes it: a folder that holds a file is a link. */
static void
forge_link(const char *folder, char *target)
{
	const struct manifest_row *row;
	struct manifest_reader *r;
	struct manifest_writer *w;
	int err;

	good(manifest_open(st.vault->manifests, set.name, set.manifest, &r));
	good(manifest_create(st.vault->manifests, "forged", PROFILE, &w));
	while ((err = manifest_next(r, &row)) == 0) {
		struct manifest_row forged = *row;

		if (strcmp(row->path, folder) == 0)
			forged.entry = (struct entry){.kind = ENTRY_SYMLINK, .mode = 0777, .uid = getuid(), .gid = getgid(), .size = strlen(target), .target = target};
		good(manifest_add(w, &forged));
	}
	assert_int_equal(err, 1);
	manifest_close(r);
	good(manifest_finish(w, set.manifest));
	manifest_abandon(w); /* what is finished stays */
	good(fsio_publish(st.vault->manifests, "forged", st.vault->manifests, set.name, false, "test"));
	good(catalogue_put_set(st.vault->catalogue, &set));
}

static void
nothing_is_written_through_a_link(void **state)
{
	struct lines lines;
	char outside[300];

	(void)state;
	snprintf(outside, sizeof outside, "%s/outside", st.scratch.path);
	assert_int_equal(mkdir(outside, 0700), 0);
	stage_put(&st, "ofmsg/evil/file.db", "x");
	set_row_fini(&set);
	set = stage_seal(&st, 20260214);
	forge_link("ofmsg/evil", outside);
	assert_int_not_equal(restore(NULL, 0, &lines), 0);
	assert_int_equal(fsio_stat(st.scratch.fd, "outside/file.db", &(struct stat){0}), -ERR_GONE);
}

/* Whoever owns a link on the way to the target leads the restore, which may write where he may not. */
static void
a_target_is_reached_over_our_own_links_only(void **state)
{
	struct lines lines;
	char outside[300], link[300];

	(void)state;
	snprintf(outside, sizeof outside, "%s/outside", st.scratch.path);
	snprintf(link, sizeof link, "%s/way", st.scratch.path);
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(symlink("outside", link), 0);
	snprintf(to, sizeof to, "%s/way/ours/", st.scratch.path);
	good(restore(NULL, 0, &lines));
	assert_int_equal(fsio_stat(st.scratch.fd, "outside/ours/wphost.db", &(struct stat){0}), 0);
	if (geteuid() != 0)
		return; /* nobody else's link can be made */
	assert_int_equal(lchown(link, 12345, 12345), 0);
	snprintf(to, sizeof to, "%s/way/theirs", st.scratch.path);
	assert_int_equal(restore(NULL, 0, &lines), -ERR_UNSAFE);
	assert_int_equal(fsio_stat(st.scratch.fd, "outside/theirs", &(struct stat){0}), -ERR_GONE);
	unlink(link);
	assert_int_equal(symlink("way", link), 0); /* to itself */
	assert_int_equal(restore(NULL, 0, &lines), -ERR_UNSAFE);
}

static void
a_stop_ends_it(void **state)
{
	struct task task = {.stop = true};

	(void)state;
	assert_int_equal(restore_set(st.vault, &set, to, NULL, 0, &task), -ERR_STOPPED);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(the_tree_equals_the_set),
		T(no_profile_of_the_store_is_a_place_to_restore_to),
		T(named_paths_only),
		T(a_path_that_is_not_in_the_set_is_said),
		T(of_a_path_that_is_not_in_the_set_nothing_is_made),
		T(a_target_that_is_in_use_is_refused),
		T(a_damaged_file_is_restored_and_named),
		T(a_file_whose_inode_cannot_be_read_is_named_and_all_others_are_restored),
		T(a_set_without_its_manifest_says_where_its_files_lie),
		T(a_blob_that_the_catalogue_has_lost_does_not_go_missing_without_a_word),
		T(what_the_target_does_not_take_is_no_fault_of_the_set),
		T(what_the_target_says_it_could_not_keep_is_not_restored),
		T(directories_on_the_way_have_their_mode_beside_paths_of_any_length),
		T(a_target_below_a_name_that_is_too_long_is_nowhere),
		T(nothing_is_written_through_a_link),
		T(a_target_is_reached_over_our_own_links_only),
		T(a_stop_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
