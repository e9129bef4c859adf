/* SPDX-License-Identifier: GPL-2.0-or-later */
/* restore_files - what may be done by many at once in a restore: a file is a piece, and no two pieces share anything but directories. */
#include "keeper/restore_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/err.h"
#include "base/fsio.h"
#include "base/relpath.h"
#include "keeper/copy.h"

#define BATCH 256u
#define HANDS 8u /* more than there are processors: what is restored lies on the disk, where a scrub has left it, and waits for it */
#define SETID_BITS (S_ISUID | S_ISGID)

struct waiting {
	char *path, *place;
	int dir;
	struct entry entry; /* a file's owns nothing */
	uint8_t sha256[DIGEST_BYTES];
	char finding[512]; /* "" = it is what was sealed */
};

/* Files come in the order of their paths: the last one's directory is mostly the next one's. */
struct hand {
	struct copy *copy;
	char *dir; /* NULL: none yet */
	int fd;
};

struct restore_files {
	struct task *task;
	int target;
	bool root;
	unsigned hands;
	struct hand hand[HANDS];
	struct waiting waiting[BATCH];
	size_t n;
	uint64_t differences;
};

int
restore_files_new(struct task *task, int target, bool root, struct restore_files **ret_files)
{
	struct restore_files *f = calloc(1, sizeof *f);
	int err = 0;

	if (!f)
		return err_set(ERR_NOMEM, "out of memory for a restore");
	*f = (struct restore_files){.task = task, .target = target, .root = root};
	for (; !err && f->hands < HANDS; f->hands++)
		err = copy_new(NULL, task, &f->hand[f->hands].copy);
	if (err) {
		restore_files_free(f);
		return err;
	}
	*ret_files = f;
	return 0;
}

static void
forget_waiting(struct restore_files *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->waiting[i].path);
		free(f->waiting[i].place);
	}
	f->n = 0;
}

void
restore_files_free(struct restore_files *f)
{
	if (!f)
		return;
	forget_waiting(f);
	for (unsigned i = 0; i < f->hands; i++) {
		copy_free(f->hand[i].copy);
		if (f->hand[i].dir)
			close(f->hand[i].fd);
		free(f->hand[i].dir);
	}
	free(f);
}

uint64_t
restore_files_differences(const struct restore_files *f)
{
	return f->differences;
}

/* ---- one file ---- */

mode_t
restore_mode(bool root, uint32_t mode)
{
	return (mode_t)(root ? mode : mode & ~(uint32_t)SETID_BITS);
}

int
restore_open_parent(int target, const char *path)
{
	char *dir = strndup(path, relpath_dir_len(path));
	int fd = dir ? fsio_make_dirs(target, dir, false) : err_set(ERR_NOMEM, "out of memory for a path");

	free(dir);
	return fd;
}

/* The hand's directory becomes that of `path`; it stays the hand's. */
static int
move_to_parent(struct restore_files *f, struct hand *h, const char *path)
{
	size_t len = relpath_dir_len(path);
	char *dir;
	int fd;

	if (h->dir && strlen(h->dir) == len && memcmp(h->dir, path, len) == 0)
		return h->fd;
	fd = restore_open_parent(f->target, path);
	dir = fd < 0 ? NULL : strndup(path, len);
	if (!dir) {
		if (fd < 0)
			return fd;
		close(fd);
		return err_set(ERR_NOMEM, "out of memory for a path");
	}
	if (h->dir)
		close(h->fd);
	free(h->dir);
	h->dir = dir;
	return h->fd = fd;
}

static int
finish_file(const struct restore_files *f, int fd, const struct entry *e)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, clock_timespec(e->mtime_ns)};

	if (f->root && fchown(fd, e->uid, e->gid) != 0)
		return err_sys("owner of a file");
	if (fchmod(fd, restore_mode(f->root, e->mode)) != 0 || futimens(fd, times) != 0)
		return err_sys("mode and time of a file");
	return 0;
}

static int
copy_content(const struct restore_files *f, struct copy *copy, struct waiting *w, int from, int to)
{
	struct copy_sums sums;
	int err = copy_pass(copy, from, to, &sums);

	/* A target that takes no bytes says nothing of the set. */
	if (err && copy_could_not_write(copy))
		return err_prefix(err, "the target does not take %.400s", w->path);
	if (err == -ERR_IO) {
		snprintf(w->finding, sizeof w->finding, "cannot be read whole: %s", err_text());
		err = 0;
	} else if (!err && (sums.size != w->entry.size || memcmp(sums.sha256, w->sha256, DIGEST_BYTES) != 0)) {
		strcpy(w->finding, "is not what was sealed, and was restored as it is");
	}
	return err ? err : finish_file(f, to, &w->entry);
}

static int
make_file(void *arg, unsigned hand, size_t i)
{
	struct restore_files *f = arg;
	struct waiting *w = &f->waiting[i];
	int err = task_check(f->task), from, parent, to;

	if (err)
		return err;
	from = copy_open(w->dir, w->place);
	if (from == -ERR_GONE || from == -ERR_UNSAFE) {
		strcpy(w->finding, "is missing in the set");
		return 0;
	}
	if (from == -ERR_IO) {
		snprintf(w->finding, sizeof w->finding, "cannot be read: %s", err_text());
		return 0;
	}
	if (from < 0)
		return from;
	parent = move_to_parent(f, &f->hand[hand], w->path);
	to = parent < 0 ? parent : fsio_open(parent, relpath_name(w->path), O_WRONLY | O_CREAT | O_EXCL, 0600);
	err = to < 0 ? to : copy_content(f, f->hand[hand].copy, w, from, to);
	/* Some file systems, such as those of a network, say only here that they could not keep it. */
	if (to >= 0 && close(to) != 0 && !err)
		err = err_sys("the target does not keep %.400s", w->path);
	close(from);
	return err;
}

/* ---- the batch ---- */

int
restore_files_flush(struct restore_files *f)
{
	int err = crew_each(f->hands, f->n, make_file, f);

	for (size_t i = 0; i < f->n; i++)
		if (*f->waiting[i].finding) {
			f->differences++;
			task_finding(f->task, f->waiting[i].path, "%s", f->waiting[i].finding);
		}
	forget_waiting(f);
	return err;
}

int
restore_files_add(struct restore_files *f, const char *path, int dir, const char *place, const struct entry *e,
    const uint8_t sha256[DIGEST_BYTES])
{
	struct waiting *w;
	int err = f->n == BATCH ? restore_files_flush(f) : 0;

	if (err)
		return err;
	w = &f->waiting[f->n++];
	*w = (struct waiting){.path = strdup(path), .place = strdup(place), .dir = dir, .entry = *e};
	memcpy(w->sha256, sha256, DIGEST_BYTES);
	return w->path && w->place ? 0 : err_set(ERR_NOMEM, "out of memory for a path");
}
