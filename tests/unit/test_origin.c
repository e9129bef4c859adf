/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What opening a live file does to those who write it through a mapping. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include <linux/magic.h>

#include "replicator/origin.h"
#include "tests/lib/mapped.h"

static struct mapped m;

static struct timespec
time_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_mtim;
}

static bool
later(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

/* Until the clock that files are stamped with has moved on. */
static void
outlive(struct timespec t)
{
	struct timespec now;

	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (!later(now, t));
}

static void
a_store_into_an_index_that_was_opened_moves_its_times(void **state)
{
	struct timespec before;
	struct statfs fs;
	char *view;
	int fd, opened;

	(void)state;
	mapped_open(&m);
	mapped_file(&m, "ofuser/index/a", 1, 4096);
	fd = mapped_path_fd(&m, "ofuser/index/a", O_RDWR);
	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type == TMPFS_MAGIC) { /* only the first store into a page moves them there */
		close(fd);
		mapped_close(&m);
		skip();
	}
	view = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(view, MAP_FAILED);
	view[0] = 1;
	opened = origin_open(&m.live, "ofuser/index/a", O_RDONLY);
	assert_true(opened >= 0);
	before = time_of(opened);
	outlive(before);
	view[0] = 2; /* the page was dirty */
	assert_true(later(time_of(opened), before));
	munmap(view, 4096);
	close(opened);
	close(fd);
	mapped_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_store_into_an_index_that_was_opened_moves_its_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
