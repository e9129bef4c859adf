/* SPDX-License-Identifier: GPL-2.0-or-later */
/* race - what is done to blobs, and to the folders they lie in, while a seal takes them over. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/draw.h"
#include "tests/tools/usurper/usurper.h"

/* Wrong for a moment, then right again: whoever read it in between and believes it is wrong for ever, and the other way about. */
static void
flicker(int fd)
{
	char was, other;

	if (fd < 0 || pread(fd, &was, 1, 0) != 1)
		return;
	other = (char)(was ^ 1);
	(void)!pwrite(fd, &other, 1, 0);
	(void)!pwrite(fd, &was, 1, 0);
}

static void
open_anew(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	flicker(fd);
	if (fd >= 0)
		close(fd);
}

/* Another file under its name, and back. */
static void
exchange(const char *path, const char *own)
{
	int fd = open(own, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0)
		return;
	(void)!write(fd, "another", 7);
	close(fd);
	if (renameat2(AT_FDCWD, own, AT_FDCWD, path, RENAME_EXCHANGE) == 0)
		(void)renameat2(AT_FDCWD, own, AT_FDCWD, path, RENAME_EXCHANGE);
}

static void
exchange_folder(const char *path, const char *own)
{
	char folder[PATH_BYTES], *slash;

	snprintf(folder, sizeof folder, "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || strstr(folder, "/blobs/") == NULL)
		return;
	*slash = '\0';
	(void)!symlink("/tmp", own);
	if (renameat2(AT_FDCWD, own, AT_FDCWD, folder, RENAME_EXCHANGE) == 0)
		(void)renameat2(AT_FDCWD, own, AT_FDCWD, folder, RENAME_EXCHANGE);
	(void)unlink(own);
}

_Noreturn void
race_for_ever(const struct usurper *u, const struct held *held, size_t n, uint64_t seed)
{
	char own[PATH_BYTES + 32];

	snprintf(own, sizeof own, "%s/gre_data/racer", u->folder);
	while (n == 0)
		pause();
	for (;;) {
		const struct held *h = &held[draw(&seed, n)];

		switch (draw(&seed, 5)) {
		case 0:
			flicker(h->fd);
			break;
		case 1:
			if (h->map != MAP_FAILED) {
				h->map[0] ^= 1;
				h->map[0] ^= 1;
			}
			break;
		case 2:
			open_anew(h->path);
			break;
		case 3:
			exchange(h->path, own);
			break;
		default:
			exchange_folder(h->path, own);
		}
	}
}
