/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source_inotify - the kernel's events, through libinotifytools.  The only file that knows that library, which is GPL-2
 * only: the watcher is a program of its own so that nothing under another licence is linked with it (ARCHITECTURE.md).
 *
 * What the library (3.22.6) imposes; tests/unit/test_source_inotify.c holds each fact:
 * - all state is static: one source a process, one thread.
 * - its descriptor is hidden and not close-on-exec: a DBCOPY forked from here would inherit the instance.  We find it in
 *   /proc/self/fd right after the start.
 * - inotifytools_next_events(0, 1) does not block, inotifytools_next_event(0) blocks for ever.
 * - it buffers privately: poll() may say "not readable" while events wait, so we drain until NULL.  The buffer even
 *   survives its cleanup.
 * - when the kernel forgets a watch (directory deleted) the library keeps its record under the old name, and removing it
 *   fails.  A directory made again under that name would be looked up as the dead watch.  So every watch is added under a
 *   spelling of its path that was never used before, and looked up by that.
 * - a directory added twice has one number and two records, of which one is lost: some hundred bytes.
 * - its recursive walk loses directories and its fanotify mode swallows overflows: neither is used.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <inotifytools/inotifytools.h>

#include "base/err.h"
#include "watcher/source.h"

#define MASK_ALWAYS (IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_DELETE_SELF | IN_MOVE_SELF)
#define MASK_NAMES (IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE)
#define FDS_MAX 1024 /* the library waits with select(): it must be opened before descriptors reach this */

#ifdef __SANITIZE_ADDRESS__
/* A directory that is added twice (a poll, a race) leaves a record of some hundred bytes that its cleanup does not find. */
const char *__lsan_default_suppressions(void);

const char *
__lsan_default_suppressions(void)
{
	return "leak:create_watch";
}
#endif

struct inotify_source {
	struct source source;
	int fd;
	unsigned long long spelling; /* number of watches ever added */
};

static const uint32_t masks[] = {
    [LAYOUT_WATCH_NAMES] = MASK_NAMES,
    /* Mapped writes raise no event and IN_MODIFY of hot files floods the queue: the index is polled beside this. */
    [LAYOUT_WATCH_INDEX] = MASK_NAMES | IN_CLOSE_WRITE | IN_ATTRIB,
    [LAYOUT_WATCH_BLOB] = MASK_NAMES | IN_CLOSE_WRITE | IN_ATTRIB,
};

/*
 * The number in binary, "/" for 0 and "./" for 1, then the directory's absolute path: the same directory, a new name.  In
 * front, because a slash at the end would make the kernel follow a link that took the directory's place.
 */
static int
spell(const char *directory, unsigned long long number, char *out, size_t size)
{
	size_t len = 0, tail = strlen(directory);

	if (tail + 2 * sizeof number * CHAR_BIT + 3 > size)
		return err_set(ERR_LIMIT, "the path is too long to be watched");
	out[len++] = '/';
	for (; number; number >>= 1) {
		if (number & 1)
			out[len++] = '.';
		out[len++] = '/';
	}
	while (tail > 1 && directory[tail - 1] == '/')
		tail--;
	memcpy(out + len, directory, tail);
	out[len + tail] = '\0';
	return 0;
}

/* The library files what it takes for a directory under its name and a slash. */
static int
number_of(char *name)
{
	int watch = inotifytools_wd_from_filename(name);

	return watch >= 0 ? watch : inotifytools_wd_from_filename(strcat(name, "/"));
}

static int
add_error(const char *directory)
{
	switch (errno) {
	case ENOSPC:
		return err_set(ERR_LIMIT, "the kernel allows no more watches (fs.inotify.max_user_watches)");
	case ENOMEM:
		return err_set(ERR_LIMIT, "the kernel has no memory for another watch");
	case ENOTDIR:
		return err_set(ERR_GONE, "%s is no longer a directory", directory);
	default:
		return err_sys("watching %s", directory);
	}
}

static int
inotify_add(struct source *s, const char *directory, enum layout_watch interest)
{
	struct inotify_source *self = (struct inotify_source *)s;
	char name[PATH_MAX];
	int err = spell(directory, ++self->spelling, name, sizeof name - 1), watch;

	if (err)
		return err;
	errno = 0;
	if (!inotifytools_watch_file(name, (int)(masks[interest] | MASK_ALWAYS)))
		return add_error(directory);
	watch = number_of(name);
	return watch >= 0 ? watch : err_set(ERR_IO, "libinotifytools lost the watch on %s", directory);
}

static void
inotify_remove(struct source *s, int watch)
{
	(void)s;
	inotifytools_remove_watch_by_wd(watch);
}

static enum source_what
what_of(uint32_t mask)
{
	static const struct {
		uint32_t bit;
		enum source_what what;
	} table[] = {
	    {IN_Q_OVERFLOW, SOURCE_OVERFLOW}, {IN_UNMOUNT, SOURCE_UNMOUNTED},
	    {IN_IGNORED, SOURCE_FORGOTTEN}, {IN_DELETE_SELF, SOURCE_DIR_GONE}, {IN_MOVE_SELF, SOURCE_DIR_GONE},
	    {IN_CREATE, SOURCE_CREATED}, {IN_CLOSE_WRITE, SOURCE_WRITTEN}, {IN_MOVED_FROM, SOURCE_MOVED_FROM},
	    {IN_MOVED_TO, SOURCE_MOVED_TO}, {IN_DELETE, SOURCE_DELETED}, {IN_ATTRIB, SOURCE_ATTRIBUTES},
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (mask & table[i].bit)
			return table[i].what;
	return SOURCE_ATTRIBUTES;
}

static int
inotify_next(struct source *s, struct source_event *ret_event)
{
	struct inotify_event *event;

	(void)s;
	do
		event = inotifytools_next_events(0, 1);
	while (!event && inotifytools_error() == EINTR); /* its select() is never begun anew by itself */
	if (!event)
		return inotifytools_error() ? err_set(ERR_IO, "reading inotify: %s", strerror(inotifytools_error())) : 0;
	*ret_event = (struct source_event){
	    .what = what_of(event->mask),
	    .is_dir = event->mask & IN_ISDIR,
	    .watch = event->wd,
	    .cookie = event->cookie,
	    .name = event->len ? event->name : "",
	};
	return 1;
}

static int
inotify_fd(struct source *s)
{
	return ((struct inotify_source *)s)->fd;
}

static void
inotify_close(struct source *s)
{
	struct source_event event;

	while (inotify_next(s, &event) == 1)
		; /* the next instance would be given what is left in the buffer */
	inotifytools_cleanup();
	free(s);
}

/* Marks which of our descriptors are inotify instances. */
static int
list_instances(bool found[FDS_MAX])
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	char target[64];

	if (!dir)
		return err_sys("listing our descriptors");
	memset(found, 0, FDS_MAX * sizeof *found);
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);

		target[n < 0 ? 0 : n] = '\0';
		if (fd >= 0 && fd < FDS_MAX && strcmp(target, "anon_inode:inotify") == 0)
			found[fd] = true;
	}
	closedir(dir);
	return 0;
}

/* The instance that was not there before: ours.  Made close-on-exec and non-blocking. */
static int
find_descriptor(const bool before[FDS_MAX])
{
	bool after[FDS_MAX];
	int err = list_instances(after);

	for (int fd = 0; err == 0 && fd < FDS_MAX; fd++) {
		if (!after[fd] || before[fd])
			continue;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
			return err_sys("preparing inotify's descriptor");
		return fd;
	}
	return err ? err : err_set(ERR_IO, "libinotifytools' descriptor was not found among the first %d", FDS_MAX);
}

int
source_inotify_open(struct source **ret_source)
{
	bool before[FDS_MAX];
	struct inotify_source *self = calloc(1, sizeof *self);
	int err = self ? list_instances(before) : err_set(ERR_NOMEM, "opening inotify");

	if (err == 0 && !inotifytools_initialize())
		err = errno == EMFILE ? err_set(ERR_LIMIT, "the kernel allows no more inotify instances (fs.inotify.max_user_instances)")
		                      : err_sys("opening inotify");
	else if (err == 0 && (self->fd = find_descriptor(before)) < 0) {
		err = self->fd;
		inotifytools_cleanup();
	}
	if (err) {
		free(self);
		return err;
	}
	self->source = (struct source){inotify_add, inotify_remove, inotify_next, inotify_fd, inotify_close};
	*ret_source = &self->source;
	return 0;
}
