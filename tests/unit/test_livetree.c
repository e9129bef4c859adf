/* SPDX-License-Identifier: GPL-2.0-or-later */
/* livetree - any spelling is found, no link is followed, and a root that is not ours is never taken for an empty one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "collector/shadow.h"
#include "livetree.h"
#include "tests/lib/scratch.h"
#include "tests/unit/kinds_rig.h"

static struct scratch scratch;
static char root[256];
static struct livetree *tree;

/* printf and system(), in the scratch directory. */
static void
shell(const char *command)
{
	char line[1024];

	snprintf(line, sizeof line, "cd '%s' && { %s; }", scratch.path, command);
	assert_int_equal(system(line), 0);
}

static int
setup(void **state)
{
	(void)state;
	untold = false;
	unseen = NULL;
	scratch_open(&scratch);
	scratch_path(&scratch, "po", root);
	tree = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	livetree_close(tree);
	scratch_close(&scratch);
	return 0;
}

static int
open_po(void)
{
	livetree_close(tree);
	tree = NULL;
	return livetree_open(root, LAYOUT_POST_OFFICE, &tree);
}

static void
make_tree(void)
{
	shell("mkdir -p po/ofuser/index po/ofmsg po/offiles/fd1 && touch po/wphost.db po/offiles/fd1/blob");
	assert_int_equal(open_po(), 0);
}

static void
assert_live(const char *path, const char *want)
{
	char *live = livetree_live_path(tree, path);

	assert_string_equal(live, want);
	free(live);
}

static void
a_lower_case_tree_is_itself(void **state)
{
	(void)state;
	make_tree();
	assert_string_equal(livetree_root(tree), root);
	assert_int_equal(livetree_type(tree), LAYOUT_POST_OFFICE);
	assert_live("", "");
	assert_live("offiles", "offiles");
	assert_live("offiles/fd1/blob", "offiles/fd1/blob");
	assert_live("ofuser/index/x.idx", "ofuser/index/x.idx");
	assert_live("wphost.db", "wphost.db");
}

static void
fixed_directories_are_found_in_any_case(void **state)
{
	struct stat st;
	int fd;
	(void)state;

	shell("mkdir -p po/OFUSER/Index po/OfMsg po/OFFILES/FD1 po/GWDMS/Lib1/DOCS/x po/GWDMS/lib2/archive && touch po/WPHOST.DB po/OFFILES/FD1/Blob");
	assert_int_equal(open_po(), 0);
	assert_live("offiles/FD1/Blob", "OFFILES/FD1/Blob");
	assert_live("ofuser", "OFUSER");
	assert_live("ofuser/index/x", "OFUSER/Index/x");
	assert_live("ofuser/indexes/x", "OFUSER/indexes/x");
	assert_live("ofmsg/msg1.db", "OfMsg/msg1.db");
	assert_live("gwdms/Lib1/docs/x/y", "GWDMS/Lib1/DOCS/x/y");
	assert_live("gwdms/lib2/archive", "GWDMS/lib2/archive");
	assert_live("gwdms/lib3/docs/a", "GWDMS/lib3/docs/a");
	assert_live("of", "of");
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(livetree_stat(tree, "offiles/FD1/Blob", &st), 0);
	assert_int_equal(livetree_stat(tree, "offiles/fd1/Blob", &st), -ERR_GONE); /* below, case matters */
	fd = livetree_open_file(tree, "offiles/FD1/Blob", O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
}

static void
of_two_spellings_the_lower_case_wins(void **state)
{
	(void)state;
	shell("mkdir -p po/ofuser po/OFUSER po/OFMSG po/OfMsg po/ofmsG po/offiles && touch po/wphost.db po/WPHOST.DB");
	assert_int_equal(open_po(), 0);
	assert_live("ofuser/x", "ofuser/x");
	assert_live("ofmsg/x", "OFMSG/x"); /* none exact: the first in byte order, not of the listing */
}

static void
a_tree_of_another_type_is_refused_with_all_that_is_missing(void **state)
{
	(void)state;
	shell("mkdir -p po/ofuser po/offiles && touch po/wpdomain.db po/ofmsg");
	assert_int_equal(open_po(), -ERR_CONFIG);
	assert_non_null(strstr(err_text(), "wphost.db"));
	assert_non_null(strstr(err_text(), "ofmsg")); /* a file of this name is no directory */
	assert_null(strstr(err_text(), "directory ofuser"));
	assert_int_equal(livetree_open(root, LAYOUT_DOMAIN, &tree), 0);
	assert_int_equal(livetree_check(tree), 0);
}

static void
a_root_that_is_not_there_is_gone(void **state)
{
	(void)state;
	assert_int_equal(open_po(), -ERR_GONE);
	shell("touch po");
	assert_int_equal(open_po(), -ERR_GONE);
}

static void
a_link_is_no_fixed_directory_and_leads_nowhere(void **state)
{
	struct stat st;
	(void)state;

	make_tree();
	shell("mkdir elsewhere && touch elsewhere/secret && ln -s ../elsewhere po/GWDMS && ln -s ../../elsewhere/secret po/offiles/link");
	assert_int_equal(livetree_refresh(tree), 0);
	assert_live("gwdms/x", "gwdms/x");
	assert_int_equal(livetree_open_file(tree, "GWDMS/secret", O_RDONLY), -ERR_UNSAFE);
	assert_int_equal(livetree_open_file(tree, "offiles/link", O_RDONLY), -ERR_UNSAFE);
	assert_true(livetree_open_file(tree, "offiles/../../elsewhere/secret", O_RDONLY) < 0);
	assert_int_equal(livetree_stat(tree, "offiles/link", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	shell("rm -rf po/offiles && ln -s ../elsewhere po/offiles");
	assert_int_equal(open_po(), -ERR_CONFIG);
}

/* Taken for absent, all that lies in it would be taken for deleted. */
static void
a_directory_that_cannot_be_looked_at_is_not_absent(void **state)
{
	(void)state;
	make_tree();
	shell("mkdir -p po/GWDMS/lib0001/docs/f0");
	untold = true;
	assert_int_equal(livetree_refresh(tree), 1);
	assert_live("gwdms/lib0001/docs/f0", "GWDMS/lib0001/docs/f0");
	unseen = "GWDMS";
	assert_int_equal(livetree_refresh(tree), -ERR_IO);
	assert_live("gwdms/lib0001/docs/f0", "GWDMS/lib0001/docs/f0");
	assert_int_equal(open_po(), -ERR_IO);
}

/* What an external DBCOPY is shown. */
static void
the_shadow_has_the_directories_of_a_file_system_that_tells_no_kinds(void **state)
{
	char path[300];

	(void)state;
	make_tree();
	untold = true;
	scratch_path(&scratch, "shadow", path);
	assert_int_equal(shadow_make(path, tree), 0);
	shell("test -e shadow/wphost.db && test -d shadow/ofuser && test -d shadow/ofmsg && test ! -L shadow/offiles");
}

static void
directories_can_be_listed(void **state)
{
	struct dirent *entry;
	bool found = false;
	struct stat st;
	(void)state;

	make_tree();
	DIR *list = fdopendir(livetree_open_dir(tree, ""));
	assert_non_null(list);
	while ((entry = readdir(list)))
		found |= strcmp(entry->d_name, "wphost.db") == 0;
	closedir(list);
	assert_true(found);
	int fd = livetree_open_dir(tree, "offiles/fd1");
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(livetree_open_dir(tree, "offiles/fd2"), -ERR_GONE);
	assert_int_equal(livetree_stat(tree, "", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_ino, livetree_id(tree).inode);
}

static void
a_fixed_directory_that_comes_later_is_found_by_refresh(void **state)
{
	(void)state;
	make_tree();
	shell("mkdir -p po/GWDMS/lib/Docs");
	assert_live("gwdms/lib/docs/a", "gwdms/lib/docs/a");
	assert_int_equal(livetree_refresh(tree), 1);
	assert_live("gwdms/lib/docs/a", "GWDMS/lib/Docs/a");
	assert_int_equal(livetree_refresh(tree), 0);
	shell("rm -r po/GWDMS");
	assert_int_equal(livetree_refresh(tree), 1);
	assert_live("gwdms/lib/docs/a", "gwdms/lib/docs/a");
}

static void
assert_gone_until(const char *damage, const char *repair)
{
	shell(damage);
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_int_equal(livetree_refresh(tree), -ERR_GONE);
	shell(repair);
	assert_true(livetree_refresh(tree) >= 0);
	assert_int_equal(livetree_check(tree), 0);
}

static void
a_root_that_is_moved_emptied_or_replaced_is_gone(void **state)
{
	(void)state;
	make_tree();
	assert_gone_until("mv po away", "mv away po");
	assert_gone_until("mv po away && cp -r away po", "rm -r po && mv away po");
	assert_gone_until("mkdir away && mv po/* away", "mv away/* po && rmdir away");
	assert_gone_until("mv po/wphost.db po/wphost.bak", "mv po/wphost.bak po/WPHOST.DB");
	assert_gone_until("mv po/offiles po/offiles.old", "mv po/offiles.old po/offiles");
	assert_gone_until("rm po/WPHOST.DB && mkdir po/WPHOST.DB", "rmdir po/WPHOST.DB && touch po/wphost.db");
}

static void
a_directory_spelled_anew_is_found_by_the_next_look(void **state)
{
	struct stat st;
	(void)state;

	make_tree();
	shell("touch po/ofmsg/a.db po/ofuser/index/i.idx && mv po/ofmsg po/OFMSG && mv po/ofuser/index po/ofuser/INDEX");
	/* Under the old spelling everything in it would look deleted. */
	assert_int_equal(livetree_stat(tree, "ofuser/index/i.idx", &st), 0);
	assert_int_equal(livetree_check(tree), 0);
	assert_live("ofmsg/x", "OFMSG/x");
	shell("mv po/OFMSG po/OfMsg");
	int fd = livetree_open_file(tree, "ofmsg/a.db", O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(livetree_stat(tree, "ofmsg/b.db", &st), -ERR_GONE);
}

static void
a_fixed_directory_that_comes_later_is_found_by_the_next_look(void **state)
{
	struct stat st;
	(void)state;

	make_tree();
	assert_int_equal(livetree_stat(tree, "gwdms/lib/docs/a", &st), -ERR_GONE);
	shell("mkdir -p po/GWDMS/lib/Docs && touch po/GWDMS/lib/Docs/a");
	assert_int_equal(livetree_stat(tree, "gwdms/lib/docs/a", &st), 0);
	assert_live("gwdms/lib/docs/a", "GWDMS/lib/Docs/a");
}

static void
the_identity_survives_opening_again(void **state)
{
	struct livetree_id first;
	(void)state;

	make_tree();
	first = livetree_id(tree);
	assert_int_equal(open_po(), 0);
	assert_int_equal(livetree_id(tree).fsid, first.fsid);
	assert_int_equal(livetree_id(tree).inode, first.inode);
	shell("mv po old && cp -r old po");
	assert_int_equal(open_po(), 0);
	assert_true(livetree_id(tree).inode != first.inode);
}

/* ---- volumes, as root ---- */

static bool
mount_at(const char *dir)
{
	return mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") == 0;
}

static int statfs_errno; /* what the next question for a file system is answered */

int
fstatfs(int fd, struct statfs *ret)
{
	static int (*real)(int, struct statfs *);

	if (statfs_errno) {
		errno = statfs_errno;
		return -1;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fstatfs");
	return real(fd, ret);
}

/* No identity would be another one: the tree would be held until an operator says that it is right. */
static void
an_identity_that_cannot_be_told_is_an_error_and_not_another_tree(void **state)
{
	struct livetree_id id;

	(void)state;
	make_tree();
	id = livetree_id(tree);
	statfs_errno = EIO;
	assert_int_equal(livetree_check(tree), -ERR_IO);
	assert_int_equal(open_po(), -ERR_IO);
	statfs_errno = 0;
	assert_int_equal(open_po(), 0);
	assert_int_equal(livetree_id(tree).fsid, id.fsid);
	assert_int_equal(livetree_check(tree), 0);
}

static void
an_unmounted_volume_below_the_root_is_not_an_empty_directory(void **state)
{
	char offiles[300];
	(void)state;

	shell("mkdir -p po/ofuser po/ofmsg po/offiles && touch po/wphost.db");
	snprintf(offiles, sizeof offiles, "%s/offiles", root);
	if (!mount_at(offiles))
		skip();
	shell("touch po/offiles/blob");
	assert_int_equal(open_po(), 0);
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(umount(offiles), 0);
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_int_equal(livetree_refresh(tree), -ERR_GONE);
}

/* A library need not be there; but one that had a disk of its own was not deleted when the disk is missing. */
static void
an_unmounted_library_is_not_a_deleted_one(void **state)
{
	struct livetree_volume volumes[4];
	char gwdms[300];
	(void)state;

	make_tree();
	shell("mkdir -p po/GWDMS");
	assert_int_equal(open_po(), 0);
	snprintf(gwdms, sizeof gwdms, "%s/GWDMS", root);
	if (!mount_at(gwdms))
		skip();
	shell("mkdir -p po/GWDMS/lib/docs && touch po/GWDMS/lib/docs/a");
	/* Mounted while the tree is open, and known from the next check on. */
	assert_int_equal(livetree_volumes(tree, volumes, 4), 0);
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(livetree_volumes(tree, volumes, 4), 1);
	assert_string_equal(volumes[0].dir, "gwdms");
	assert_int_equal(umount(gwdms), 0);
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_non_null(strstr(err_text(), "GWDMS"));
	assert_int_equal(livetree_refresh(tree), -ERR_GONE);
	shell("rmdir po/GWDMS");
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_int_equal(open_po(), 0); /* anew, nothing is known of it */
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(livetree_volumes(tree, volumes, 4), 0);
}

/* As an empty directory it would be many deleted blobs. */
static void
what_was_mounted_below_an_area_is_missed(void **state)
{
	struct livetree_volume volumes[4];
	char deep[300];
	(void)state;

	make_tree();
	shell("mkdir -p 'po/OFFILES/fd1/a b' && rm -rf po/offiles");
	assert_int_equal(open_po(), 0);
	snprintf(deep, sizeof deep, "%s/OFFILES/fd1/a b", root);
	if (!mount_at(deep))
		skip();
	assert_int_equal(livetree_refresh(tree), 1);
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(livetree_volumes(tree, volumes, 4), 1);
	assert_string_equal(volumes[0].dir, "offiles/fd1/a b");
	assert_int_equal(umount(deep), 0);
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_non_null(strstr(err_text(), "a b"));
	assert_int_equal(livetree_refresh(tree), -ERR_GONE);
}

/* The same directory of the same disk, and yet other files. */
static void
so_is_a_directory_of_the_same_disk_that_was_bound_there(void **state)
{
	struct livetree_volume volumes[4];
	char bound[300], from[300];
	(void)state;

	make_tree();
	shell("mkdir -p po/offiles/fd1 elsewhere");
	snprintf(bound, sizeof bound, "%s/offiles/fd1", root);
	scratch_path(&scratch, "elsewhere", from);
	if (mount(from, bound, NULL, MS_BIND, NULL) != 0)
		skip();
	assert_int_equal(open_po(), 0);
	assert_int_equal(livetree_volumes(tree, volumes, 4), 1);
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(umount(bound), 0);
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_int_equal(livetree_refresh(tree), -ERR_GONE);
	assert_int_equal(mount(from, bound, NULL, MS_BIND, NULL), 0);
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(umount(bound), 0);
}

static void
what_is_mounted_where_nothing_is_backed_up_may_come_and_go(void **state)
{
	struct livetree_volume volumes[4];
	char queue[300];
	(void)state;

	make_tree();
	shell("mkdir -p po/wpcsout");
	snprintf(queue, sizeof queue, "%s/wpcsout", root);
	if (!mount_at(queue))
		skip();
	assert_int_equal(open_po(), 0);
	assert_int_equal(livetree_volumes(tree, volumes, 4), 0);
	assert_int_equal(umount(queue), 0);
	assert_int_equal(livetree_check(tree), 0);
}

static void
a_library_on_the_disk_of_the_post_office_may_be_deleted(void **state)
{
	(void)state;
	make_tree();
	shell("mkdir -p po/gwdms/lib/docs");
	assert_int_equal(livetree_refresh(tree), 1);
	shell("rm -r po/gwdms");
	assert_int_equal(livetree_check(tree), 0);
}

static void
a_root_that_is_mounted_again_is_back(void **state)
{
	char volume[300];
	(void)state;

	shell("mkdir volume po");
	scratch_path(&scratch, "volume", volume);
	if (!mount_at(volume))
		skip();
	shell("mkdir volume/ofuser volume/ofmsg volume/offiles && touch volume/wphost.db");
	assert_int_equal(mount(volume, root, NULL, MS_BIND, NULL), 0);
	assert_int_equal(open_po(), 0);
	assert_int_equal(umount2(root, MNT_DETACH), 0);
	assert_int_equal(livetree_check(tree), -ERR_GONE);
	assert_int_equal(mount(volume, root, NULL, MS_BIND, NULL), 0);
	assert_int_equal(livetree_check(tree), 0);
	assert_int_equal(livetree_refresh(tree), 0);
	shell("touch po/offiles/new");
	struct stat st;
	assert_int_equal(livetree_stat(tree, "offiles/new", &st), 0);
	livetree_close(tree);
	tree = NULL;
	assert_int_equal(umount(root), 0);
	assert_int_equal(umount(volume), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lower_case_tree_is_itself),
		TEST(fixed_directories_are_found_in_any_case),
		TEST(of_two_spellings_the_lower_case_wins),
		TEST(a_tree_of_another_type_is_refused_with_all_that_is_missing),
		TEST(a_root_that_is_not_there_is_gone),
		TEST(a_link_is_no_fixed_directory_and_leads_nowhere),
		TEST(a_directory_that_cannot_be_looked_at_is_not_absent),
		TEST(the_shadow_has_the_directories_of_a_file_system_that_tells_no_kinds),
		TEST(directories_can_be_listed),
		TEST(a_fixed_directory_that_comes_later_is_found_by_refresh),
		TEST(a_root_that_is_moved_emptied_or_replaced_is_gone),
		TEST(a_directory_spelled_anew_is_found_by_the_next_look),
		TEST(a_fixed_directory_that_comes_later_is_found_by_the_next_look),
		TEST(the_identity_survives_opening_again),
		TEST(an_identity_that_cannot_be_told_is_an_error_and_not_another_tree),
		TEST(an_unmounted_volume_below_the_root_is_not_an_empty_directory),
		TEST(an_unmounted_library_is_not_a_deleted_one),
		TEST(what_was_mounted_below_an_area_is_missed),
		TEST(so_is_a_directory_of_the_same_disk_that_was_bound_there),
		TEST(what_is_mounted_where_nothing_is_backed_up_may_come_and_go),
		TEST(a_library_on_the_disk_of_the_post_office_may_be_deleted),
		TEST(a_root_that_is_mounted_again_is_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
