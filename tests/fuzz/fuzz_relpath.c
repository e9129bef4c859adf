/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_relpath - the path rule against the kernel's own verdict.
 *
 * What the rule takes never leads the kernel out of the folder, and can be made in it; what the kernel refuses as an escape
 * the rule refuses as well.  The printable form gives every name back.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fsio.h"
#include "base/relpath.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;

static void
leave(void)
{
	scratch_close(&scratch);
}

static int
kernel_opens(const char *path)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

	return (int)syscall(SYS_openat2, scratch.fd, path, &how, sizeof how);
}

static void
printable(const char *path)
{
	char *shown = relpath_escape(path), *back = relpath_unescape(shown);

	MUST(back && strcmp(back, path) == 0);
	free(back);
	free(shown);
}

/* Made in the folder, found there by the kernel, and gone again with its first component. */
static void
make(const char *path)
{
	char first[RELNAME_MAX + 1];
	int fd = fsio_make_dirs(scratch.fd, path, false);

	MUST(fd >= 0);
	close(fd);
	fd = kernel_opens(path);
	MUST(fd >= 0 || (errno == ENAMETOOLONG && strlen(path) >= PATH_MAX));
	if (fd >= 0)
		close(fd);
	snprintf(first, sizeof first, "%.*s", (int)strcspn(path, "/"), path);
	MUST(fsio_remove_tree(scratch.fd, first) == 0);
}

static void
judge(const char *path)
{
	bool valid = relpath_valid(path);
	int fd = kernel_opens(path);

	if (fd < 0 && errno == EXDEV)
		MUST(!valid);
	if (fd >= 0) /* the folder is empty: it was itself that was named */
		MUST(!valid);
	if (fd >= 0)
		close(fd);
	if (valid)
		make(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);
	char *text = fuzz_text(&in), *bytes;

	if (!scratch.path[0]) {
		scratch_open(&scratch);
		atexit(leave);
	}
	judge(text);
	printable(text);
	bytes = relpath_unescape(text);
	if (bytes)
		printable(bytes);
	free(bytes);
	free(text);
	return 0;
}
