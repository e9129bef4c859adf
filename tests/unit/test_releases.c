/* SPDX-License-Identifier: GPL-2.0-or-later */
/* releases - which of the files in a folder a server hands out, whatever else lies there. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "server/answers.h"
#include "server/releases.h"
#include "tests/lib/signers.h"
#include "wire/wire.h"

#define NOW 1800000000
#define BOTH (1u << ANN | 1u << BEN)

static struct scratch scratch;
static struct signers who;
static const uint8_t programs[] = "collector, watcher, copier";

static bool bad_folder; /* it is not listed to its end */

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);
struct dirent *
__wrap_readdir(DIR *dir)
{
	if (!bad_folder)
		return __real_readdir(dir);
	errno = EIO;
	return NULL;
}

static int
setup(void **state)
{
	(void)state;
	bad_folder = false;
	scratch_open(&scratch);
	signers_make(&who, &scratch);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	scratch_close(&scratch);
	return 0;
}

static void
put(const char *name, const void *data, size_t len)
{
	int fd = openat(scratch.fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

/* A release in a file, signed by those of the bits; what a head of it is. */
static struct pack_out
offer_signed(const char *name, const struct release *r, unsigned signers)
{
	struct pack_out head = signers_head(&who, r, signers), file = {0};

	pack_raw(&file, head.data, head.len);
	pack_raw(&file, programs, sizeof programs);
	put(name, file.data, file.len);
	pack_out_fini(&file);
	return head;
}

static struct pack_out
offer(const char *name, const struct release *r)
{
	return offer_signed(name, r, BOTH);
}

static void
forget(struct pack_out head)
{
	pack_out_fini(&head);
}

static struct release
version(uint32_t major, uint32_t minor)
{
	struct release r = signers_release(NOW, programs, sizeof programs);

	r.version = (struct release_version){{major, minor, 0}};
	return r;
}

static void
assert_newest(const char *platform, const struct pack_out *head)
{
	uint8_t *data;
	size_t len;

	assert_int_equal(releases_newest(scratch.path, platform, &data, &len), 0);
	assert_int_equal(len, head->len);
	assert_memory_equal(data, head->data, len);
	free(data);
}

static void
the_newest_of_a_platform_is_handed_out(void **state)
{
	struct release r = version(1, 10), other = version(3, 0);
	struct pack_out head, vax;
	uint8_t *data;
	size_t len;

	(void)state;
	assert_int_equal(releases_newest(scratch.path, release_platform_here(), &data, &len), -ERR_NOTFOUND);
	head = offer("b.release", &r);
	r = version(1, 9);
	forget(offer("a.release", &r));
	forget(offer("z.release", &r));
	snprintf(other.platform, sizeof other.platform, "linux-vax");
	vax = offer("c.release", &other);
	assert_newest(release_platform_here(), &head);
	assert_newest("linux-vax", &vax);
	assert_int_equal(releases_newest(scratch.path, "linux-pdp11", &data, &len), -ERR_NOTFOUND);
	pack_out_fini(&head);
	pack_out_fini(&vax);
}

static void
a_folder_that_cannot_be_listed_is_not_one_without_releases(void **state)
{
	struct release r = version(2, 0);
	struct pack_out head = offer("a.release", &r);
	uint8_t *data, digest[DIGEST_BYTES];
	size_t len;

	(void)state;
	digest_once(head.data, head.len, digest);
	bad_folder = true;
	assert_int_equal(releases_newest(scratch.path, release_platform_here(), &data, &len), -ERR_IO);
	assert_int_equal(releases_piece(scratch.path, digest, 0, 9, &data, &len), -ERR_IO);
	bad_folder = false;
	assert_newest(release_platform_here(), &head);
	pack_out_fini(&head);
}

static void
of_one_version_that_which_holds_longer_is_handed_out(void **state)
{
	struct release r = version(2, 0);
	struct pack_out longer, shorter;

	(void)state;
	shorter = offer("a.release", &r);
	r.expires_s += 86400;
	longer = offer("b.release", &r);
	r.expires_s -= 2 * 86400;
	pack_out_fini(&shorter);
	shorter = offer("c.release", &r);
	assert_newest(release_platform_here(), &longer);
	pack_out_fini(&longer);
	pack_out_fini(&shorter);
}

/* Packed, and not signed yet: a collector would refuse it, and be told of no other. */
static void
one_that_too_few_signed_hides_no_older_one(void **state)
{
	struct release r = version(1, 0), newer = version(2, 0), newest = version(3, 0);
	struct pack_out head;

	(void)state;
	forget(offer_signed("b.release", &newer, 1u << ANN));
	head = offer_signed("c.release", &newest, 0);
	assert_newest(release_platform_here(), &head); /* whoever waits for it hears why it is refused */
	forget(head);
	head = offer("a.release", &r);
	assert_newest(release_platform_here(), &head);
	forget(head);
}

static void
what_is_no_release_is_passed_over(void **state)
{
	struct release r = version(1, 0), newer = version(9, 0);
	struct pack_out head = offer("a.release", &r), hidden;

	(void)state;
	hidden = offer("elsewhere", &newer);
	put("empty.release", "", 0);
	put("words.release", "tidemark release 1\nnot really", 29);
	put("cut.release", hidden.data, hidden.len - 10);
	put(".hidden.release", hidden.data, hidden.len);
	assert_int_equal(mkdirat(scratch.fd, "folder.release", 0700), 0);
	assert_int_equal(mkfifoat(scratch.fd, "pipe.release", 0600), 0);
	assert_int_equal(symlinkat("elsewhere", scratch.fd, "link.release"), 0);
	assert_newest(release_platform_here(), &head);
	pack_out_fini(&head);
	pack_out_fini(&hidden);
}

static void
pieces_are_of_the_release_whose_head_was_told(void **state)
{
	struct release r = version(1, 0), other = version(2, 0);
	struct pack_out head = offer("a.release", &r);
	uint8_t digest[DIGEST_BYTES], *data;
	size_t len;

	(void)state;
	forget(offer("b.release", &other));
	digest_once(head.data, head.len, digest);
	assert_int_equal(releases_piece(scratch.path, digest, 3, 5, &data, &len), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(data, programs + 3, 5);
	free(data);
	assert_int_equal(releases_piece(scratch.path, digest, sizeof programs - 2, 100, &data, &len), 0);
	assert_int_equal(len, 2);
	free(data);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(releases_piece(scratch.path, digest, i ? UINT64_MAX : sizeof programs, 100, &data, &len), 0);
		assert_int_equal(len, 0);
		free(data);
	}
	digest[0] ^= 1;
	assert_int_equal(releases_piece(scratch.path, digest, 0, 5, &data, &len), -ERR_NOTFOUND);
	pack_out_fini(&head);
}

static void
assert_refused(int err, uint8_t *frame, size_t len, enum wire_type question)
{
	struct wire_head head;
	struct pack_in payload;
	struct wire_msg m;
	uint8_t *buf;

	assert_int_equal(err, 0);
	assert_int_equal(wire_head_unpack(frame, &head), 0);
	assert_int_equal(len, WIRE_FRAME_HEAD + head.len);
	assert_int_equal(wire_frame_open(&head, frame + WIRE_FRAME_HEAD, &payload, &buf), 0);
	assert_int_equal(wire_unpack(&payload, WIRE_CONTROL, &m), 1);
	assert_int_equal(m.type, WIRE_REFUSED);
	assert_int_equal(m.u.refused.type, question);
	assert_int_equal(m.u.refused.code, ERR_NOTFOUND);
	wire_msg_fini(&m);
	free(buf);
	free(frame);
}

static void
a_server_that_hands_out_none_says_so(void **state)
{
	const char *const folders[] = {"off", NULL, scratch.path};
	static const uint8_t nothing[32];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const struct answers a = {.releases = folders[i]};
		uint8_t *frame;
		size_t len;
		int err = answers_release(&a, "linux-x86_64", &frame, &len);

		assert_refused(err, frame, len, WIRE_RELEASE_REQ);
		err = answers_piece(&a, nothing, 0, 9, &frame, &len);
		assert_refused(err, frame, len, WIRE_PIECE_REQ);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_newest_of_a_platform_is_handed_out),
	    TEST(a_folder_that_cannot_be_listed_is_not_one_without_releases),
	    TEST(of_one_version_that_which_holds_longer_is_handed_out),
	    TEST(one_that_too_few_signed_hides_no_older_one),
	    TEST(what_is_no_release_is_passed_over),
	    TEST(pieces_are_of_the_release_whose_head_was_told),
	    TEST(a_server_that_hands_out_none_says_so),
	};

	return cmocka_run_group_tests_name("releases", tests, NULL, NULL);
}
