/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the receiver makes of the warden's answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/server/warden.c"

#include "disk_rig.h"
#include "tests/lib/scratch.h"

/* As when the receiver has no descriptor left to take one: the kernel drops it, and the note arrives without. */
static void
a_keeper_without_its_socket_was_not_started(void **state)
{
	struct warden w = {0};
	int pair[2], pid = 0, fd = -1;

	(void)state;
	assert_int_equal(courier_pair(pair), 0);
	assert_int_equal(courier_new(pair[0], &w.courier), 0);
	assert_int_equal(courier_send(pair[1], &(struct courier_note){.number = 4711, .fd = -1}), 0);
	assert_true(warden_start_keeper(&w, &pid, &fd) < 0);
	courier_free(w.courier);
	close(pair[1]);
}

/* For the first time all that lies there is given away; afterwards nothing of the receiver's becomes the keeper's. */
static void
owners_that_cannot_be_read_are_not_set_for_the_first_time(void **state)
{
	const struct owners owners = {.receiver = {.uid = 1001, .gid = 1001}, .keeper = {.uid = 1002, .gid = 1002}};
	struct scratch scratch;
	struct stat st;
	char file[256];
	int store, fd;

	(void)state;
	needs_openat2();
	if (geteuid() != 0)
		skip();
	scratch_open(&scratch);
	store = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ownership_of_profile(store, "po1", &owners), 0);
	scratch_path(&scratch, "po1/state/ledger.new", file);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(fchown(fd, owners.receiver.uid, owners.receiver.gid), 0);
	disk.unreadable = ".owners";
	assert_int_equal(ownership_of_profile(store, "po1", &owners), -ERR_IO);
	disk.unreadable = NULL;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, owners.receiver.uid);
	assert_int_equal(ownership_of_profile(store, "po1", &owners), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, owners.receiver.uid);
	close(fd);
	close(store);
	scratch_close(&scratch);
}

/* Lost, or put back from a backup by root: the receiver, who must read it, could neither make it nor take it over. */
static void
an_identity_that_was_put_back_is_the_receivers(void **state)
{
	const struct owners owners = {.receiver = {.uid = 1001, .gid = 1001}, .keeper = {.uid = 1002, .gid = 1002}};
	struct scratch scratch;
	struct stat st;
	char dir[256], key[256];

	(void)state;
	needs_openat2();
	if (geteuid() != 0)
		skip();
	scratch_open(&scratch);
	scratch_path(&scratch, ".identity", dir);
	scratch_path(&scratch, ".identity/authority.key", key);
	assert_int_equal(ownership_of_store(scratch.path, &owners), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(ownership_of_store(scratch.path, &owners), 0);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_uid, owners.receiver.uid);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	close(open(key, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(ownership_of_store(scratch.path, &owners), 0);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_uid, owners.receiver.uid);
	/* What the receiver has in a folder of its own stays whose it is. */
	assert_int_equal(chown(key, owners.keeper.uid, owners.keeper.gid), 0);
	assert_int_equal(ownership_of_store(scratch.path, &owners), 0);
	assert_int_equal(stat(key, &st), 0);
	assert_int_equal(st.st_uid, owners.keeper.uid);
	scratch_close(&scratch);
}

/* As by a copy that keeps no owners, of which the mark is part. */
static void
a_store_whose_owners_were_lost_gets_them_again(void **state)
{
	const struct owners owners = {.receiver = {.uid = 1001, .gid = 1001}, .keeper = {.uid = 1002, .gid = 1002}};
	static const char *const names[] = {"po1/backups", "po1/gre_data", "po1/gre_data/wphost.db", "po1/state/lock", "po1/blobs"};
	const uid_t whose[] = {1002, 1001, 1001, 1001, 1002};
	struct scratch scratch;
	struct stat st;
	char path[256];
	int store;

	(void)state;
	needs_openat2();
	if (geteuid() != 0)
		skip();
	scratch_open(&scratch);
	store = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ownership_of_profile(store, "po1", &owners), 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		scratch_path(&scratch, names[i], path);
		if (stat(path, &st) != 0)
			close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_int_equal(ownership_of_profile(store, "po1", &owners), 0);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		scratch_path(&scratch, names[i], path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_uid, whose[i]);
	}
	close(store);
	scratch_close(&scratch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_keeper_without_its_socket_was_not_started),
		cmocka_unit_test(owners_that_cannot_be_read_are_not_set_for_the_first_time),
		cmocka_unit_test(an_identity_that_was_put_back_is_the_receivers),
		cmocka_unit_test(a_store_whose_owners_were_lost_gets_them_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
