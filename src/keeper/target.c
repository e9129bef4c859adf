/* SPDX-License-Identifier: GPL-2.0-or-later */
/* target - one component after the other, each opened before it is looked at, so that nobody can exchange what was found good. */
#include "keeper/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define LINKS_MAX 40 /* as the kernel */

struct walk {
	int at;
	char rest[PATH_MAX];
	unsigned links;
};

/* Moves the first component of the rest into `name`: 1, 0 when none is left, or a negative error. */
static int
take_component(struct walk *w, char name[NAME_MAX + 1])
{
	const char *from = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(from, "/");

	if (!n)
		return 0;
	if (n > NAME_MAX)
		return err_set(ERR_LIMIT, "the target's path has a name that is too long");
	memcpy(name, from, n);
	name[n] = '\0';
	memmove(w->rest, from + n, strlen(from + n) + 1);
	return 1;
}

static void
stand_at(struct walk *w, int fd)
{
	if (w->at >= 0)
		close(w->at);
	w->at = fd;
}

static int
stand_at_root(struct walk *w)
{
	stand_at(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
	return w->at < 0 ? err_sys("open /") : 0;
}

/* Goes on where the link leads; `link` is the link itself, held. */
static int
follow(struct walk *w, int link, const struct stat *st, const char *name)
{
	char to[PATH_MAX], joined[PATH_MAX];
	ssize_t n;

	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(ERR_UNSAFE, "the target leads over the link %s of user %u, who could lead it elsewhere: name the directory itself", name,
		    st->st_uid);
	if (++w->links > LINKS_MAX)
		return err_set(ERR_UNSAFE, "the target leads over too many links");
	n = readlinkat(link, "", to, sizeof to - 1);
	if (n < 0)
		return err_sys("read the link %s", name);
	to[n] = '\0';
	if ((size_t)snprintf(joined, sizeof joined, "%s/%s", to, w->rest) >= sizeof joined)
		return err_set(ERR_LIMIT, "the target's path is too long");
	strcpy(w->rest, joined);
	return *to == '/' ? stand_at_root(w) : 0;
}

static int
step(struct walk *w, const char *name)
{
	int err = 0, fd = openat(w->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_sys("open %s on the way to the target", name);
	if (fstat(fd, &st) != 0)
		err = err_sys("look at %s", name);
	else if (S_ISLNK(st.st_mode))
		err = follow(w, fd, &st, name);
	else if (!S_ISDIR(st.st_mode))
		err = err_set(ERR_USAGE, "%s is not a directory", name);
	else {
		stand_at(w, fd);
		return 0;
	}
	close(fd);
	return err;
}

/* Opens the directory above the last component, and gives that one. */
static int
open_parent(const char *path, struct target *t)
{
	struct walk w = {.at = -1};
	char name[NAME_MAX + 1];
	size_t len = strlen(path), head;
	int err;

	while (len > 1 && path[len - 1] == '/')
		len--;
	for (head = len; head > 0 && path[head - 1] != '/'; head--)
		;
	if (len >= sizeof w.rest || len - head > NAME_MAX)
		return err_set(ERR_LIMIT, "the target's path is too long");
	snprintf(t->name, sizeof t->name, "%.*s", len > head ? (int)(len - head) : 1, len > head ? path + head : ".");
	memcpy(w.rest, path, head);
	err = stand_at_root(&w);
	while (!err && (err = take_component(&w, name)) > 0)
		err = step(&w, name);
	if (err == -ERR_GONE)
		err = err_set(ERR_USAGE, "%.*s is not there: make it first; a restore makes only the last directory of its target",
		    (int)(head > 1 ? head - 1 : head), path);
	t->parent = w.at;
	return err;
}

/* The keeper is a user of its own on many servers: whoever asks for the restore can give it the place. */
static int
cannot(const char *what, const char *path)
{
	return errno == EACCES && geteuid() != 0
	    ? err_set(ERR_ACCESS, "the keeper, user %u, cannot %s %s: `install -d -o %u %s` gives it the place, below directories that all may enter",
	          geteuid(), what, path, geteuid(), path)
	    : err_sys("%s %s", what, path);
}

int
target_find(const char *path, struct target *ret_target)
{
	*ret_target = (struct target){.fd = -1, .parent = -1};
	return *path == '/' ? open_parent(path, ret_target) : err_set(ERR_USAGE, "%s is not an absolute path", path);
}

int
target_make(const char *path, struct target *t)
{
	t->made = mkdirat(t->parent, t->name, 0700) == 0;
	if (!t->made && errno != EEXIST)
		return cannot("make", path);
	t->fd = openat(t->parent, t->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (t->fd >= 0)
		return 0;
	return errno == EACCES ? cannot("open", path) : err_set(ERR_USAGE, "%s is not a directory", path);
}

void
target_unmake(struct target *t)
{
	if (t->made)
		(void)unlinkat(t->parent, t->name, AT_REMOVEDIR);
}

void
target_close(struct target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	if (t->parent >= 0)
		close(t->parent);
	t->fd = t->parent = -1;
}
