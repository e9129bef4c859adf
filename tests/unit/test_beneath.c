/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening beneath while somebody renames: another process exchanges folders for links that lead out, and none of our calls
 * ever touches what lies out there.
 *
 * TRIES (40,000) calls a resolver; `TRIES=5000000 ONLY=test_beneath tests/run.sh unit` is 10^7 of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/fsio.c"
#include "src/base/fsio_beneath.c"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/lib/draw.h"
#include "tests/lib/scratch.h"

#define OURS 'i'
#define THEIRS 'o'
#define NAIVE_TRIES_MAX 2000000 /* a plain open is led outside within some hundred */

static struct scratch dir;
static int inside; /* the directory that nothing may leave */
static pid_t renamer;
static uint64_t state; /* of the random numbers */

struct tally {
	uint64_t led_out; /* calls that reached what lies outside */
	uint64_t refused; /* calls that met a link: the race was on */
	uint64_t came;    /* calls that came to what is ours */
	uint64_t done;
};

static void
put(const char *path, char what)
{
	int fd = openat(dir.fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, &what, 1) == 1);
	close(fd);
}

static void
make(const char *path)
{
	assert_int_equal(mkdirat(dir.fd, path, 0700), 0);
}

/*
 * inside/a/b/file and outside/b/file: whoever looks "a/b/file" up below inside must come to the first, also while inside/a or
 * inside/a/b is a link to where the second lies.
 */
static int
set_up(void **unused)
{
	const char *seed = getenv("SEED");

	(void)unused;
	state = seed ? strtoull(seed, NULL, 10) : (uint64_t)getpid();
	print_message("# seed %llu\n", (unsigned long long)state);
	scratch_open(&dir);
	make("inside");
	make("inside/a");
	make("inside/a/b");
	put("inside/a/b/file", OURS);
	make("inside/b");
	put("inside/b/file", OURS);
	make("outside");
	make("outside/b");
	put("outside/file", THEIRS);
	put("outside/b/file", THEIRS);
	assert_int_equal(symlinkat("../outside", dir.fd, "inside/way"), 0);
	assert_int_equal(symlinkat("../../outside/b", dir.fd, "inside/a/way"), 0);
	inside = openat(dir.fd, "inside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(inside >= 0);
	return 0;
}

static int
tear_down(void **unused)
{
	(void)unused;
	close(inside);
	scratch_close(&dir);
	return 0;
}

/* ---- the other process ---- */

static void
exchange(const char *a, const char *b)
{
	if (renameat2(inside, a, inside, b, RENAME_EXCHANGE) != 0)
		_exit(1);
}

static _Noreturn void
rename_for_ever(void)
{
	/* The upper folder is a link, the lower one is, the lower one is another, the file is. */
	static const char *const pairs[][2] = {{"a", "way"}, {"a/b", "a/way"}, {"a/b", "b"}, {"a/b/file", "b/file"}};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		unsigned n = (unsigned)draw(&state, sizeof pairs / sizeof *pairs);

		exchange(pairs[n][0], pairs[n][1]);
		exchange(pairs[n][0], pairs[n][1]);
	}
}

static void
renamer_begins(void)
{
	renamer = fork();
	assert_true(renamer >= 0);
	if (renamer == 0)
		rename_for_ever();
}

static void
renamer_ends(void)
{
	int status;

	kill(renamer, SIGKILL);
	assert_int_equal(waitpid(renamer, &status, 0), renamer);
	assert_true(WIFSIGNALED(status)); /* it went on to the end */
}

/* ---- what is tried, and counted when it came to what lies outside ---- */

static bool
is_theirs(int fd)
{
	char what = OURS;
	bool theirs = pread(fd, &what, 1, 0) == 1 && what == THEIRS;

	close(fd);
	return theirs;
}

static int
tried(struct tally *t, int result)
{
	t->done++;
	t->refused += result == -ERR_UNSAFE;
	t->came += result >= 0;
	return result;
}

static void
read_a_file(struct tally *t)
{
	int fd = tried(t, fsio_open(inside, "a/b/file", O_RDONLY, 0));

	t->led_out += fd >= 0 && is_theirs(fd);
}

static void
look_at_a_file(struct tally *t, ino_t theirs)
{
	struct stat st;

	t->led_out += tried(t, fsio_stat(inside, "a/b/file", &st)) == 0 && st.st_ino == theirs;
}

static void
open_a_folder(struct tally *t)
{
	int file, fd = tried(t, fsio_open_dir(inside, "a/b"));

	if (fd < 0)
		return;
	file = openat(fd, "file", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	close(fd);
	t->led_out += file >= 0 && is_theirs(file);
}

/* What these make outside, or take from there, shows at the end. */
static void
change_something(struct tally *t)
{
	int fd;

	switch (draw(&state, 6)) {
	case 0:
		fd = tried(t, fsio_open(inside, "a/b/new", O_WRONLY | O_CREAT, 0600));
		break;
	case 1:
		fd = tried(t, fsio_make_dirs(inside, "a/b/tree/deep", false));
		break;
	case 2:
		tried(t, fsio_unlink(inside, "a/b/new"));
		return;
	case 3:
		tried(t, fsio_remove_tree(inside, "a/b/tree"));
		return;
	case 4:
		tried(t, fsio_rename(inside, "a/b/new", inside, "a/b/moved"));
		return;
	default:
		tried(t, fsio_rmdir(inside, "a/b/tree/deep"));
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void
assert_only(const char *path, const char *first, const char *second)
{
	int fd = openat(dir.fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fdopendir(fd);
	struct dirent *e;

	assert_non_null(list);
	while ((e = readdir(list)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, first) != 0 && strcmp(e->d_name, second) != 0)
			fail_msg("%s/%s was made from inside", path, e->d_name);
	closedir(list);
}

static void
outside_is_as_it_was(void)
{
	struct stat st;

	assert_only("outside", "file", "b");
	assert_only("outside/b", "file", "file");
	assert_int_equal(fstatat(dir.fd, "outside/file", &st, 0), 0);
	assert_int_equal(fstatat(dir.fd, "outside/b/file", &st, 0), 0);
	assert_int_equal(st.st_size, 1);
}

static void
nothing_leads_out(void)
{
	const char *tries = getenv("TRIES");
	uint64_t n = tries ? strtoull(tries, NULL, 10) : 40000;
	struct tally t = {0};
	struct stat theirs;

	assert_int_equal(fstatat(dir.fd, "outside/b/file", &theirs, 0), 0);
	renamer_begins();
	while (t.done < n) {
		read_a_file(&t);
		look_at_a_file(&t, theirs.st_ino);
		open_a_folder(&t);
		change_something(&t);
	}
	renamer_ends();
	print_message("# %llu tries, %llu met a link, %llu led outside\n", (unsigned long long)t.done, (unsigned long long)t.refused, (unsigned long long)t.led_out);
	assert_int_equal(t.led_out, 0);
	assert_true(t.refused > 0 && t.came > 0);
	outside_is_as_it_was();
}

static void
no_renamer_leads_a_call_outside(void **unused)
{
	(void)unused;
	if (!can_openat2())
		skip();
	nothing_leads_out();
}

static void
nor_on_a_kernel_without_openat2(void **unused)
{
	(void)unused;
	kernel_resolves = 0;
	nothing_leads_out();
	kernel_resolves = -1;
}

/* That the two above can fail at all: a call that trusts what it looked at before is led out. */
static void
a_plain_open_after_a_look_is_led_outside(void **unused)
{
	bool led_out = false;

	(void)unused;
	renamer_begins();
	for (unsigned i = 0; !led_out && i < NAIVE_TRIES_MAX; i++) {
		struct stat st;
		int fd;

		if (fstatat(inside, "a", &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
			continue;
		fd = openat(inside, "a/b/file", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		led_out = fd >= 0 && is_theirs(fd);
	}
	renamer_ends();
	assert_true(led_out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_renamer_leads_a_call_outside, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nor_on_a_kernel_without_openat2, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_plain_open_after_a_look_is_led_outside, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
