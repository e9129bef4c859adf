/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening beneath, with the kernel's resolver and with the walking one; removal of trees; the steps of durability up to
 * each failpoint.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/fsio.c"
#include "src/base/fsio_beneath.c"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/lib/scratch.h"
#include "tests/lib/syncs.h"

static struct scratch dir;

static int
set_up(void **state)
{
	(void)state;
	scratch_open(&dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	scratch_close(&dir);
	return 0;
}

static void
write_file(const char *path, const char *text)
{
	int fd = fsio_open(dir.fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fsio_pwrite(fd, text, strlen(text), 0), 0);
	close(fd);
}

static void
make_dirs(const char *path)
{
	int fd = fsio_make_dirs(dir.fd, path, false);

	assert_true(fd >= 0);
	close(fd);
}

static void
assert_content(const char *path, const char *want)
{
	char *data;
	size_t len;

	assert_int_equal(fsio_read_file(dir.fd, path, 1 << 20, &data, &len), 0);
	assert_string_equal(data, want);
	assert_int_equal(len, strlen(want));
	free(data);
}

/* ---- resolving ---- */

/* What must hold for either resolver. */
static void
paths_stay_beneath(void)
{
	static const char *const climbing[] = {"..", "../x", "a/../../x", "/etc/passwd", "a/../b", ".", "a/./b", "", "a//b"};
	static const char *const linked[] = {"link", "link/file", "a/up/file", "a/up", "dangling"};
	struct stat st;

	make_dirs("a/b");
	write_file("a/b/file", "x");
	assert_int_equal(symlinkat("a/b", dir.fd, "link"), 0);
	assert_int_equal(symlinkat("..", dir.fd, "a/up"), 0);
	assert_int_equal(symlinkat("nowhere", dir.fd, "dangling"), 0);

	for (size_t i = 0; i < sizeof(climbing) / sizeof(*climbing); i++) {
		assert_int_equal(fsio_open(dir.fd, climbing[i], O_RDONLY, 0), -ERR_UNSAFE);
		assert_int_equal(fsio_stat(dir.fd, climbing[i], &st), -ERR_UNSAFE);
		assert_int_equal(fsio_unlink(dir.fd, climbing[i]), -ERR_UNSAFE);
		assert_int_equal(fsio_remove_tree(dir.fd, climbing[i]), -ERR_UNSAFE);
	}
	for (size_t i = 0; i < sizeof(linked) / sizeof(*linked); i++) {
		assert_int_equal(fsio_open(dir.fd, linked[i], O_RDONLY, 0), -ERR_UNSAFE);
		assert_int_equal(fsio_open(dir.fd, linked[i], O_WRONLY | O_CREAT, 0600), -ERR_UNSAFE);
		assert_int_equal(fsio_open_dir(dir.fd, linked[i]), -ERR_UNSAFE);
		assert_int_equal(fsio_make_dirs(dir.fd, linked[i], false), -ERR_UNSAFE);
	}
	assert_int_equal(fsio_stat(dir.fd, "nowhere", &st), -ERR_GONE);
	assert_int_equal(fsio_stat(dir.fd, "link", &st), 0); /* the link itself */
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(fsio_open(dir.fd, "a/b/file/x", O_RDONLY, 0), -ERR_GONE);
	assert_int_equal(fsio_open(dir.fd, "a/none/x", O_RDONLY, 0), -ERR_GONE);
	assert_int_equal(fsio_open(dir.fd, "a/b/file", O_WRONLY | O_CREAT | O_EXCL, 0600), -ERR_BUSY);
	assert_content("a/b/file", "x");
}

static void
no_path_climbs_or_crosses_a_link(void **state)
{
	(void)state;
	if (!can_openat2())
		skip();
	paths_stay_beneath();
}

static void
the_same_holds_on_a_kernel_without_openat2(void **state)
{
	(void)state;
	kernel_resolves = 0;
	paths_stay_beneath();
	kernel_resolves = -1;
}

/* "dddd.../dddd.../..." of `n` components of 200 bytes. */
static char *
long_path(size_t n)
{
	char *path = malloc(n * 201), *at = path;

	for (size_t i = 0; i < n; i++, at += 201) {
		memset(at, 'd', 200);
		at[200] = '/';
	}
	at[-1] = '\0';
	return path;
}

static void
open_at_great_length(void)
{
	char *path = long_path(70); /* 14,069 bytes, more than three times PATH_MAX */
	struct stat st;
	int fd = fsio_make_dirs(dir.fd, path, false);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fsio_stat(dir.fd, path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	path[strlen(path) - 1] = 'e';
	assert_int_equal(fsio_stat(dir.fd, path, &st), -ERR_GONE);
	write_file(path, "deep");
	assert_content(path, "deep");
	assert_int_equal(fsio_remove_tree(dir.fd, "none"), 0);
	path[200] = '\0';
	assert_int_equal(fsio_remove_tree(dir.fd, path), 0);
	assert_int_equal(fsio_stat(dir.fd, path, &st), -ERR_GONE);
	free(path);
}

static void
paths_longer_than_the_kernel_takes_work(void **state)
{
	(void)state;
	open_at_great_length();
	kernel_resolves = 0;
	open_at_great_length();
	kernel_resolves = -1;
}

static void
a_link_in_the_middle_of_a_long_path_is_found(void **state)
{
	char *path = long_path(70);
	size_t cut = 25 * 201 + 200; /* a component in the second group */
	int parent;

	(void)state;
	make_dirs(path);
	path[cut] = '\0';
	char *name = strrchr(path, '/');
	*name = '\0';
	parent = fsio_open_dir(dir.fd, path);
	assert_true(parent >= 0);
	assert_int_equal(renameat(parent, name + 1, parent, "real"), 0);
	assert_int_equal(symlinkat("real", parent, name + 1), 0);
	close(parent);
	*name = '/';
	path[cut] = '/';
	assert_int_equal(fsio_open_dir(dir.fd, path), -ERR_UNSAFE);
	free(path);
}

static void
no_descriptor_leaks_on_any_way_out(void **state)
{
	char *path = long_path(70);
	struct stat st;
	int before, after;

	(void)state;
	make_dirs(path);
	path[strlen(path) - 1] = 'e';
	before = dup(dir.fd);
	close(before);
	for (int i = 0; i < 2; i++, kernel_resolves = 0) {
		fsio_stat(dir.fd, path, &st);
		fsio_open_dir(dir.fd, path);
		fsio_publish(dir.fd, path, dir.fd, "none/x", true, "t");
		fsio_rename(dir.fd, path, dir.fd, path);
		fsio_remove_tree(dir.fd, path);
	}
	kernel_resolves = -1;
	after = dup(dir.fd);
	close(after);
	assert_int_equal(before, after);
	free(path);
}

/* ---- removing ---- */

static void
a_tree_is_removed_whole_and_what_its_links_point_to_stays(void **state)
{
	struct stat st;
	char name[64];

	(void)state;
	make_dirs("keep");
	write_file("keep/file", "precious");
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "tree/d%d/e%d", i % 17, i);
		make_dirs(name);
		snprintf(name, sizeof(name), "tree/d%d/e%d/f", i % 17, i);
		write_file(name, "x");
	}
	assert_int_equal(symlinkat("../keep", dir.fd, "tree/out"), 0);
	assert_int_equal(linkat(dir.fd, "keep/file", dir.fd, "tree/hard", 0), 0);
	assert_int_equal(fsio_rmdir(dir.fd, "tree"), -ERR_BUSY);
	assert_int_equal(fsio_remove_tree(dir.fd, "tree"), 0);
	assert_int_equal(fsio_stat(dir.fd, "tree", &st), -ERR_GONE);
	assert_content("keep/file", "precious");
	assert_int_equal(fsio_remove_tree(dir.fd, "keep/file"), 0); /* a file is a tree too */
	assert_int_equal(fsio_remove_tree(dir.fd, "keep/file"), 0);
	assert_int_equal(fsio_rmdir(dir.fd, "keep"), 0);
	assert_int_equal(fsio_rmdir(dir.fd, "keep"), 0);
}

static void
a_tree_deeper_than_descriptors_and_stack_is_removed(void **state)
{
	const int depth = 5000; /* beyond the usual 1,024 descriptors, and beyond any path */
	struct stat st;
	int at = fsio_make_dirs(dir.fd, "deep", false);

	(void)state;
	for (int i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	close(at);
	assert_int_equal(fsio_remove_tree(dir.fd, "deep"), 0);
	assert_int_equal(fsio_stat(dir.fd, "deep", &st), -ERR_GONE);
}

static void
a_directory_moved_away_during_its_removal_ends_the_removal(void **state)
{
	struct tree_walk w = {0};
	struct stat st;

	(void)state;
	make_dirs("tree/sub/low");
	make_dirs("other");
	write_file("other/file", "precious");
	write_file("tree/sub/low/f", "x");
	assert_int_equal(move_to(&w, fsio_open_dir(dir.fd, "tree")), 0);
	assert_int_equal(remove_step(&w), 0); /* down to sub */
	assert_int_equal(w.depth, 1);
	assert_int_equal(renameat(dir.fd, "tree/sub", dir.fd, "other/sub"), 0);
	assert_int_equal(remove_step(&w), 0); /* to low */
	assert_int_equal(remove_step(&w), 0); /* back to sub */
	assert_int_equal(remove_step(&w), -ERR_UNSAFE);
	closedir(w.dir);
	free(w.above);
	assert_int_equal(fsio_stat(dir.fd, "other/file", &st), 0);
}

/* ---- reading and writing ---- */

static void
a_small_file_is_read_whole_or_refused(void **state)
{
	char *data = NULL, big[5001];
	size_t len = 7;

	(void)state;
	memset(big, 'b', 5000);
	big[5000] = '\0';
	write_file("f", big);
	assert_content("f", big);
	assert_int_equal(fsio_read_file(dir.fd, "f", 5000, &data, &len), 0);
	assert_int_equal(len, 5000);
	free(data);
	data = NULL;
	len = 7;
	assert_int_equal(fsio_read_file(dir.fd, "f", 4999, &data, &len), -ERR_LIMIT);
	assert_null(data);
	assert_int_equal(len, 7);
	write_file("empty", "");
	assert_content("empty", "");
	assert_int_equal(fsio_read_file(dir.fd, "none", 10, &data, &len), -ERR_GONE);
}

static void
a_file_that_claims_to_be_empty_is_still_read(void **state)
{
	int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *data;
	size_t len;

	(void)state;
	assert_int_equal(fsio_read_file(proc, "status", 1 << 16, &data, &len), 0);
	assert_non_null(strstr(data, "Pid:"));
	free(data);
	assert_int_equal(fsio_read_file(proc, "status", 10, &data, &len), -ERR_LIMIT);
	close(proc);
}

static void
a_read_is_short_only_at_the_end(void **state)
{
	char buf[8];
	int fd;

	(void)state;
	write_file("f", "0123456789");
	fd = fsio_open(dir.fd, "f", O_RDWR, 0);
	assert_int_equal(fsio_pread(fd, buf, 8, 0), 8);
	assert_int_equal(fsio_pread(fd, buf, 8, 8), 2);
	assert_memory_equal(buf, "89", 2);
	assert_int_equal(fsio_pread(fd, buf, 8, 10), 0);
	close(fd);
	fd = fsio_open(dir.fd, "f", O_WRONLY, 0);
	assert_int_equal(fsio_pread(fd, buf, 8, 0), -ERR_IO);
	close(fd);
}

static void
a_full_disk_is_told_apart_from_a_broken_one(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(fsio_pwrite(full, "x", 1, 0), -ERR_NOSPACE);
	close(full);
}

/* /proc answers with a page at a time, whatever it is asked for. */
static void
a_read_that_the_kernel_answers_in_parts_is_whole(void **state)
{
	static char whole[1 << 20], part[1 << 20];
	void *areas[64];
	ssize_t n;
	int fd;

	(void)state;
	for (size_t i = 0; i < 64; i++) /* a line each: every second one has other rights than its neighbour */
		areas[i] = mmap(NULL, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	n = pread(fd, part, sizeof part, 0);
	assert_true(n > 0 && fsio_pread(fd, whole, sizeof whole, 0) > n);
	assert_memory_equal(whole, part, (size_t)n);
	close(fd);
	for (size_t i = 0; i < 64; i++)
		munmap(areas[i], 4096);
}

/* A limit on the size of files lets the kernel take a part of what it is given, as a disk does that is nearly full. */
static void
a_write_of_which_the_kernel_takes_a_part_is_no_success(void **state)
{
	struct rlimit old, low;
	char data[300];
	int fd, err;

	(void)state;
	memset(data, 'x', sizeof data);
	write_file("f", "");
	fd = fsio_open(dir.fd, "f", O_WRONLY, 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = (struct rlimit){.rlim_cur = 100, .rlim_max = old.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	err = fsio_pwrite(fd, data, sizeof data, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	close(fd);
	data[100] = '\0';
	assert_content("f", data);
	assert_true(err < 0);
}

/* ---- durability ---- */

static void
each_sync_reaches_what_it_is_asked_for(void **state)
{
	int fd;

	(void)state;
	write_file("f", "x");
	write_file("other", "x");
	fd = fsio_open(dir.fd, "f", O_RDONLY, 0);
	syncs_forget();
	assert_int_equal(fsio_sync_file(fd, "t"), 0);
	assert_int_equal(syncs_of(dir.fd, "f"), 1);
	assert_int_equal(syncs_of(dir.fd, "other"), 0);
	assert_int_equal(syncs_of(dir.fd, ""), 0);
	assert_int_equal(fsio_sync_dir(dir.fd, "t"), 0);
	assert_int_equal(syncs_of(dir.fd, ""), 1);
	assert_int_equal(fsio_sync_fs(fd, "t"), 0);
	assert_int_equal(syncs_of(dir.fd, "other"), 1);
	close(fd);
}

static void
a_replaced_file_is_synced_before_it_has_its_name_and_its_directory_after(void **state)
{
	(void)state;
	make_dirs("a");
	write_file("a/f", "old");
	syncs_forget();
	assert_int_equal(fsio_replace_file(dir.fd, "a/f", "new", 3, 0600, "t"), 0);
	assert_int_equal(syncs_before("f", dir.fd, "a/f"), 1);
	assert_int_equal(syncs_after("f", dir.fd, "a"), 1);
}

static void
a_published_name_is_synced_in_both_directories(void **state)
{
	(void)state;
	make_dirs("from");
	make_dirs("to");
	write_file("from/x", "x");
	syncs_forget();
	assert_int_equal(fsio_publish(dir.fd, "from/x", dir.fd, "to/y", true, "t"), 0);
	assert_int_equal(syncs_after("y", dir.fd, "to"), 1);
	assert_int_equal(syncs_after("y", dir.fd, "from"), 1);
	syncs_forget();
	close(fsio_make_dirs(dir.fd, "to/deep/deeper", true));
	assert_int_equal(syncs_of(dir.fd, ""), 1);
	assert_int_equal(syncs_of(dir.fd, "to"), 1);
	assert_int_equal(syncs_of(dir.fd, "to/deep"), 1);
}

static void
publishing_exclusively_never_replaces(void **state)
{
	struct stat st;

	(void)state;
	make_dirs("from");
	make_dirs("to/sub");
	write_file("from/a", "new");
	write_file("to/sub/a", "old");
	assert_int_equal(fsio_publish(dir.fd, "from/a", dir.fd, "to/sub/a", true, "t"), -ERR_BUSY);
	assert_content("to/sub/a", "old");
	assert_int_equal(fsio_publish(dir.fd, "from/a", dir.fd, "to/sub/b", true, "t"), 0);
	assert_content("to/sub/b", "new");
	assert_int_equal(fsio_publish(dir.fd, "to/sub/b", dir.fd, "to/sub/a", false, "t"), 0);
	assert_content("to/sub/a", "new");
	assert_int_equal(fsio_stat(dir.fd, "to/sub/b", &st), -ERR_GONE);
	assert_int_equal(fsio_rename(dir.fd, "to/sub/a", dir.fd, "c"), 0);
	assert_content("c", "new");
	assert_int_equal(fsio_rename(dir.fd, "to/sub/a", dir.fd, "c"), -ERR_GONE);
}

static void
a_replaced_file_has_the_new_rights_and_leaves_nothing_beside_it(void **state)
{
	struct stat st;

	(void)state;
	write_file("f", "old");
	write_file(".f.new", "left by a crash");
	assert_int_equal(fchmodat(dir.fd, ".f.new", 0444, 0), 0);
	assert_int_equal(fsio_replace_file(dir.fd, "f", "new", 3, 0600, "t"), 0);
	assert_content("f", "new");
	assert_int_equal(fsio_stat(dir.fd, "f", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fsio_stat(dir.fd, ".f.new", &st), -ERR_GONE);
}

/* Runs `step` in a child with a failpoint armed; true when it was killed there. */
static bool
dies_at(const char *point, int (*step)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		failpoint_arm(point);
		_exit(step() == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		assert_int_equal(WTERMSIG(status), SIGKILL);
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static int
replace_with_new(void)
{
	return fsio_replace_file(dir.fd, "f", "new", 3, 0600, "point");
}

static void
a_kill_anywhere_in_a_replacement_leaves_the_old_file_or_the_new(void **state)
{
	static const struct {
		const char *point, *left;
		bool dies;
	} cases[] = {
		{"point", "old", true},         {"point.synced", "old", true}, {"point.renamed", "new", true},
		{"point.done", "new", true},    {"point:2", "new", false},     {"other", "new", false},
		{"point.done:0", "new", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		write_file("f", "old");
		assert_int_equal(dies_at(cases[i].point, replace_with_new), cases[i].dies);
		assert_content("f", cases[i].left);
	}
}

static int
sync_three_times(void)
{
	int fd = fsio_open(dir.fd, "f", O_RDWR, 0), err = fd < 0 ? fd : 0;

	for (int i = 0; !err && i < 3; i++) {
		char digit = (char)('1' + i);

		err = fsio_pwrite(fd, &digit, 1, 0);
		err = err ? err : fsio_sync_file(fd, "group");
		err = err ? err : fsio_sync_fs(fd, "fs");
		err = err ? err : fsio_sync_dir(dir.fd, "dir");
	}
	return err;
}

static void
a_failpoint_counts_its_passes(void **state)
{
	(void)state;
	write_file("f", "0");
	assert_true(dies_at("group:2", sync_three_times));
	assert_content("f", "2");
	assert_true(dies_at("fs.done:1", sync_three_times));
	assert_content("f", "1");
	assert_true(dies_at("dir:3", sync_three_times));
	assert_content("f", "3");
	assert_false(dies_at("group:4", sync_three_times));
}

static int
publish_set(void)
{
	return fsio_publish(dir.fd, "creating/set", dir.fd, "week/set", true, "seal");
}

static void
a_kill_during_publishing_leaves_exactly_one_name(void **state)
{
	static const char *const points[] = {"seal", "seal.renamed", "seal.done"};
	struct stat st;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		make_dirs("creating/set");
		make_dirs("week");
		assert_true(dies_at(points[i], publish_set));
		assert_int_equal(fsio_stat(dir.fd, "creating/set", &st), i == 0 ? 0 : -ERR_GONE);
		assert_int_equal(fsio_stat(dir.fd, "week/set", &st), i == 0 ? -ERR_GONE : 0);
		assert_int_equal(fsio_remove_tree(dir.fd, "week"), 0);
	}
}

static void
directories_made_with_sync_pass_their_failpoint(void **state)
{
	struct stat st;
	int fd = fsio_make_dirs(dir.fd, "a/b/c", true);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fsio_stat(dir.fd, "a/b/c", &st), 0);
	assert_int_equal(st.st_mode & 0077, 0);
	fd = fsio_make_dirs(dir.fd, "a/b/c", true);
	assert_true(fd >= 0);
	close(fd);
	fd = fsio_make_dirs(dir.fd, "", true);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(fsio_make_dirs(dir.fd, "a/../b", true), -ERR_UNSAFE);
}

/* ---- copying ---- */

static void
a_clone_is_equal_or_honestly_unsupported(void **state)
{
	int from, to, err;

	(void)state;
	write_file("from", "content");
	write_file("to", "");
	from = fsio_open(dir.fd, "from", O_RDONLY, 0);
	to = fsio_open(dir.fd, "to", O_RDWR, 0);
	err = fsio_clone(from, to);
	close(from);
	close(to);
	if (err == 0)
		assert_content("to", "content");
	else
		assert_int_equal(err, -ERR_UNSUPPORTED);
}

static void
a_punched_hole_reads_as_zeros_and_the_size_stays(void **state)
{
	char *data = malloc(256 * 1024), *back = malloc(256 * 1024);
	struct stat st;
	int fd;

	(void)state;
	memset(data, 'x', 256 * 1024);
	write_file("f", "");
	fd = fsio_open(dir.fd, "f", O_RDWR, 0);
	assert_int_equal(fsio_pwrite(fd, data, 256 * 1024, 0), 0);
	assert_int_equal(fsio_punch(fd, 65536, 65536), 0);
	assert_int_equal(fsio_punch(fd, 0, 0), 0);
	assert_int_equal(fsio_punch(fd, 250000, 1 << 20), 0); /* beyond the end */
	assert_int_equal(fsio_punch(fd, 1 << 20, 10), 0);
	memset(data + 65536, 0, 65536);
	memset(data + 250000, 0, 256 * 1024 - 250000);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 256 * 1024);
	assert_int_equal(fsio_pread(fd, back, 256 * 1024, 0), 256 * 1024);
	assert_memory_equal(back, data, 256 * 1024);
	assert_int_equal(write_zeros(fd, 1000, 100000), 0); /* what the fallback does */
	memset(data + 1000, 0, 100000);
	assert_int_equal(fsio_pread(fd, back, 256 * 1024, 0), 256 * 1024);
	assert_memory_equal(back, data, 256 * 1024);
	close(fd);
	free(data);
	free(back);
}

static void
a_size_is_set_only_where_it_is_another(void **state)
{
	const struct timespec then[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct stat st;
	int fd;

	(void)state;
	write_file("sized", "content");
	fd = fsio_open(dir.fd, "sized", O_RDWR, 0);
	assert_int_equal(futimens(fd, then), 0);
	assert_int_equal(fsio_set_size(fd, 7), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 1000); /* what sets a size moves the time */
	assert_int_equal(fsio_set_size(fd, 4), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_not_equal(st.st_mtim.tv_sec, 1000);
	assert_int_equal(fsio_set_size(fd, 4096), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4096);
	close(fd);
	assert_int_equal(fsio_set_size(-1, 1), -ERR_IO);
}

static void
pieces_of_data_cover_every_byte_that_is_not_zero(void **state)
{
	const uint64_t size = 8 << 20;
	uint64_t at = 0, start, end;
	bool first = false, second = false;
	int fd;

	(void)state;
	write_file("f", "");
	fd = fsio_open(dir.fd, "f", O_RDWR, 0);
	assert_int_equal(fsio_pwrite(fd, "a", 1, 1 << 20), 0);
	assert_int_equal(fsio_pwrite(fd, "b", 1, 5 << 20), 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	while (at < size) {
		assert_int_equal(fsio_next_data(fd, at, size, &start, &end), 0);
		assert_true(start >= at && (end > start || start == size) && end <= size);
		first |= start <= 1 << 20 && 1 << 20 < end;
		second |= start <= 5 << 20 && 5 << 20 < end;
		at = end;
	}
	assert_true(first && second);
	assert_int_equal(fsio_next_data(fd, size, size, &start, &end), 0);
	assert_true(start == size && end == size);
	assert_int_equal(fsio_next_data(fd, 1 << 20, (1 << 20) + 1, &start, &end), 0);
	assert_true(start == 1 << 20 && end == (1 << 20) + 1);
	close(fd);
}

static void
free_space_is_never_more_than_the_total(void **state)
{
	uint64_t free_bytes = 1, total = 0, inodes = 0;

	(void)state;
	assert_int_equal(fsio_space(dir.fd, &free_bytes, &total, &inodes), 0);
	assert_true(total > 0 && free_bytes <= total && inodes > 0);
}

static int
lock_once(void)
{
	int fd = fsio_lock(dir.fd, "lock");

	return fd < 0 ? fd : 0;
}

static void
a_lock_is_held_by_one_and_freed_with_its_descriptor(void **state)
{
	int fd = fsio_lock(dir.fd, "lock"), status;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fsio_lock(dir.fd, "lock"), -ERR_BUSY);
	pid = fork();
	if (pid == 0)
		_exit(lock_once() == -ERR_BUSY ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
	assert_int_equal(lock_once(), 0);
}

/* Where links are not counted nothing is said: no file system may tell less than the truth. */
static void
a_directory_that_holds_a_directory_is_never_said_to_have_none(void **state)
{
	struct statfs fs;
	int fd;

	(void)state;
	make_dirs("d");
	write_file("d/file", "x");
	fd = fsio_open_dir(dir.fd, "d");
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC)
		assert_true(fsio_has_no_subdirs(fd));
	make_dirs("d/sub");
	assert_false(fsio_has_no_subdirs(fd));
	close(fd);
	fd = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* a file system that is not known to count them */
	assert_false(fsio_has_no_subdirs(fd));
	close(fd);
}

#define with_dir(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		with_dir(no_path_climbs_or_crosses_a_link),
		with_dir(the_same_holds_on_a_kernel_without_openat2),
		with_dir(paths_longer_than_the_kernel_takes_work),
		with_dir(a_link_in_the_middle_of_a_long_path_is_found),
		with_dir(no_descriptor_leaks_on_any_way_out),
		with_dir(a_tree_is_removed_whole_and_what_its_links_point_to_stays),
		with_dir(a_tree_deeper_than_descriptors_and_stack_is_removed),
		with_dir(a_directory_moved_away_during_its_removal_ends_the_removal),
		with_dir(a_small_file_is_read_whole_or_refused),
		with_dir(a_file_that_claims_to_be_empty_is_still_read),
		with_dir(a_read_is_short_only_at_the_end),
		with_dir(a_full_disk_is_told_apart_from_a_broken_one),
		with_dir(a_read_that_the_kernel_answers_in_parts_is_whole),
		with_dir(a_write_of_which_the_kernel_takes_a_part_is_no_success),
		with_dir(each_sync_reaches_what_it_is_asked_for),
		with_dir(a_replaced_file_is_synced_before_it_has_its_name_and_its_directory_after),
		with_dir(a_published_name_is_synced_in_both_directories),
		with_dir(publishing_exclusively_never_replaces),
		with_dir(a_replaced_file_has_the_new_rights_and_leaves_nothing_beside_it),
		with_dir(a_kill_anywhere_in_a_replacement_leaves_the_old_file_or_the_new),
		with_dir(a_failpoint_counts_its_passes),
		with_dir(a_kill_during_publishing_leaves_exactly_one_name),
		with_dir(directories_made_with_sync_pass_their_failpoint),
		with_dir(a_clone_is_equal_or_honestly_unsupported),
		with_dir(a_punched_hole_reads_as_zeros_and_the_size_stays),
		with_dir(a_size_is_set_only_where_it_is_another),
		with_dir(pieces_of_data_cover_every_byte_that_is_not_zero),
		with_dir(free_space_is_never_more_than_the_total),
		with_dir(a_directory_that_holds_a_directory_is_never_said_to_have_none),
		with_dir(a_lock_is_held_by_one_and_freed_with_its_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
