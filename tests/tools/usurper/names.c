/* SPDX-License-Identifier: GPL-2.0-or-later */
/* names - what can be done to a file or a folder by who knows its name, from the mildest on. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/tools/usurper/usurper.h"

static bool
opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, 0666);

	if (fd < 0)
		return false;
	(void)!pwrite(fd, "X", 1, 0);
	close(fd);
	return true;
}

/* Through a descriptor for reading. */
static void
attack_reading(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char again[64];
	void *map;

	if (fd < 0)
		return;
	snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
	attempt(opens(again, O_RDWR), "open again for writing", path);
	map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	attempt(map != MAP_FAILED, "map for writing", path);
	attempt(pwrite(fd, "X", 1, 0) == 1, "write through a descriptor for reading", path);
	attempt(fchmod(fd, 0666) == 0, "fchmod", path);
	attempt(fchown(fd, geteuid(), (gid_t)-1) == 0, "fchown", path);
	attempt(futimens(fd, NULL) == 0, "futimens", path);
	attempt(fsetxattr(fd, "user.usurper", "1", 1, 0) == 0, "fsetxattr", path);
	attempt(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1) == 0, "punch a hole into", path);
	close(fd);
}

static void
attack_file(const char *path)
{
	attack_reading(path);
	attempt(opens(path, O_WRONLY), "open for writing", path);
	attempt(opens(path, O_RDWR | O_APPEND), "open for appending", path);
	attempt(truncate(path, 1) == 0, "truncate", path);
	attempt(opens(path, O_WRONLY | O_TRUNC), "open and empty", path);
	attempt(opens(path, O_WRONLY | O_CREAT | O_TRUNC), "make anew", path);
}

/* Fresh ones of our own each time; where they cannot be made nothing is attacked. */
static void
attack_place(const struct usurper *u, const char *path, bool dir)
{
	char own[PATH_BYTES + 32], gone[PATH_BYTES + 32];

	snprintf(own, sizeof own, "%s/gre_data/own", u->folder);
	snprintf(gone, sizeof gone, "%s/gre_data/gone", u->folder);
	if (dir ? mkdir(own, 0777) == 0 : mknod(own, S_IFREG | 0666, 0) == 0)
		attempt(renameat2(AT_FDCWD, own, AT_FDCWD, path, RENAME_EXCHANGE) == 0, "exchange", path);
	attempt(rename(own, path) == 0, "replace", path);
	(void)(dir ? rmdir(own) : unlink(own));
	attempt(rename(path, gone) == 0, "rename", path);
	attempt(rmdir(path) == 0 || unlink(path) == 0, "remove", path);
	attempt(symlink("/etc/passwd", path) == 0, "put a link in the place of", path);
	(void)unlink(gone);
	(void)rmdir(gone);
}

/* Names may be made where blobs lie; what lies there already is attacked by its own name. */
static bool
is_shared(const struct usurper *u, const char *path)
{
	size_t len = strlen(u->folder);

	return strncmp(path + len, "/blobs", 6) == 0;
}

void
attack_name(const struct usurper *u, const char *path)
{
	char second[PATH_BYTES + 32], inside[PATH_BYTES + 32];
	struct stat st;
	bool dir = lstat(path, &st) == 0 ? S_ISDIR(st.st_mode) : false;

	if (!dir)
		attack_file(path);
	attempt(chmod(path, 0777) == 0, "chmod", path);
	attempt(lchown(path, geteuid(), (gid_t)-1) == 0, "chown", path);
	if (!dir || !is_shared(u, path)) /* whoever makes names in a folder moves its time */
		attempt(utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0, "utimensat", path);
	attempt(lsetxattr(path, "user.usurper", "1", 1, 0) == 0, "setxattr", path);
	snprintf(second, sizeof second, "%s/gre_data/link", u->folder);
	if (!dir && link(path, second) == 0) {
		attempt(opens(second, O_WRONLY), "open a second name of", path);
		(void)unlink(second);
	}
	snprintf(inside, sizeof inside, "%s/usurped", path);
	if (dir && !is_shared(u, path))
		attempt(mkdir(inside, 0777) == 0, "make a name in", path);
	attack_place(u, path, dir);
}
