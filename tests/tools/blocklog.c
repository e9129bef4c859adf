/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blocklog - a disk that writes down what reaches it, and whose power fails at a chosen write.
 *
 *   blocklog DIR LOG IMAGE
 *
 * Mounts a file system at DIR with one file, "disk": the image.  A loop device on it is a disk with a volatile cache: the kernel's loop
 * driver turns a flush of the file system above into fsync, a discard into fallocate.  Every write, flush and discard is carried out on
 * the image and then appended to LOG (struct record), in the order in which the disk completed them.
 *
 * Commands come on standard input, one a line; answers go to standard output:
 *
 *   cut N         the power fails when N more records were logged, 0 = now            -> armed
 *   (by itself)   it has failed                                                       -> cut
 *   tell N        nothing fails; when N more records were logged it says so           -> armed, then: told
 *   off           writes and flushes fail with EIO from here on                       -> off
 *   end           (or the end of the input) everything is let go, the mount leaves
 *
 * Between "cut" and "off" writes and flushes wait.  So nobody is told that anything is stable which is not in the log, and who waits
 * can be killed before it learns of an error that a machine without power would not have seen.
 */
#define FUSE_USE_VERSION 34
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK (FUSE_ROOT_ID + 1)
#define HELD_MAX 1024      /* the kernel has fewer requests of one mount under way */
#define UNCHANGED_S 3600.0 /* names and sizes stay what they are */

/* tests/tools/powercut.py reads the same. */
struct record {
	uint32_t kind; /* 'w' write, followed by its bytes; 'f' flush; 'd' discard */
	uint32_t unused;
	uint64_t offset, length;
};

enum power { ON, CUT, OFF };

static struct {
	int image;
	FILE *log;
	enum power power;
	unsigned long records_left; /* until something happens; 0 = nothing will */
	bool only_tell;             /* and that is a word, not the cut */
	fuse_req_t held[HELD_MAX];
	size_t n_held;
} lab;

static void
die(const char *what)
{
	fprintf(stderr, "blocklog: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
answer(const char *word)
{
	printf("%s\n", word);
	fflush(stdout);
}

/* ---- the log, and the moment at which it ends ---- */

static void
reach_moment(void)
{
	if (!lab.only_tell)
		lab.power = CUT;
	answer(lab.only_tell ? "told" : "cut");
}

static void
append(uint32_t kind, off_t offset, size_t length, const void *data)
{
	struct record r = {.kind = kind, .offset = (uint64_t)offset, .length = length};

	if (fwrite(&r, sizeof r, 1, lab.log) != 1 || (data && fwrite(data, length, 1, lab.log) != 1) || fflush(lab.log) != 0)
		die("the log");
}

/* After the answer to the one who asked: that was still in time. */
static void
count(void)
{
	if (lab.records_left > 0 && --lab.records_left == 0)
		reach_moment();
}

/* True when the request was dealt with here: it came too late. */
static bool
without_power(fuse_req_t req)
{
	if (lab.power < CUT)
		return false;
	if (lab.power == CUT && lab.n_held < HELD_MAX)
		lab.held[lab.n_held++] = req;
	else
		fuse_reply_err(req, EIO);
	return true;
}

static void
let_go(void)
{
	for (size_t i = 0; i < lab.n_held; i++)
		fuse_reply_err(lab.held[i], EIO);
	lab.n_held = 0;
	lab.power = OFF;
}

/* ---- the file system ---- */

static bool
attributes(fuse_ino_t ino, struct stat *ret_st)
{
	if (ino == FUSE_ROOT_ID)
		*ret_st = (struct stat){.st_mode = S_IFDIR | 0700, .st_nlink = 2};
	else if (ino != DISK || fstat(lab.image, ret_st) != 0)
		return false;
	ret_st->st_ino = ino;
	return true;
}

static void
on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = {.ino = DISK, .attr_timeout = UNCHANGED_S, .entry_timeout = UNCHANGED_S};

	if (parent != FUSE_ROOT_ID || strcmp(name, "disk") != 0 || !attributes(DISK, &e.attr))
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &e);
}

static void
on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (attributes(ino, &st))
		fuse_reply_attr(req, &st, UNCHANGED_S);
	else
		fuse_reply_err(req, ENOENT);
}

static void
on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != DISK)
		fuse_reply_err(req, EISDIR);
	else
		fuse_reply_open(req, fi);
}

static void
on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct fuse_bufvec piece = FUSE_BUFVEC_INIT(size);

	(void)ino, (void)fi;
	piece.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	piece.buf[0].fd = lab.image;
	piece.buf[0].pos = offset;
	fuse_reply_data(req, &piece, 0);
}

static void
on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	if (without_power(req))
		return;
	if (pwrite(lab.image, data, size, offset) != (ssize_t)size)
		die("write the image");
	append('w', offset, size, data);
	fuse_reply_write(req, size);
	count();
}

static void
on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino, (void)datasync, (void)fi;
	if (without_power(req))
		return;
	append('f', 0, 0, NULL);
	fuse_reply_err(req, 0);
	count();
}

static void
on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	if (without_power(req))
		return;
	if (fallocate(lab.image, mode, offset, length) != 0) {
		fuse_reply_err(req, errno);
		return;
	}
	append('d', offset, (size_t)length, NULL);
	fuse_reply_err(req, 0);
	count();
}

static const struct fuse_lowlevel_ops ops = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
    .fallocate = on_fallocate,
};

/* ---- commands ---- */

/* False at the end. */
static bool
obey(const char *line)
{
	if (strncmp(line, "cut ", 4) == 0 || strncmp(line, "tell ", 5) == 0) {
		lab.only_tell = line[0] == 't';
		lab.records_left = strtoul(strchr(line, ' '), NULL, 10);
		answer("armed");
		if (lab.records_left == 0)
			reach_moment();
	} else if (strcmp(line, "off") == 0) {
		let_go();
		answer("off");
	} else {
		return false;
	}
	return true;
}

/* What has arrived of the commands; false at the end. */
static bool
listen_once(void)
{
	static char text[256];
	static size_t len;
	ssize_t n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
	char *end;

	if (n <= 0)
		return false;
	len += (size_t)n;
	text[len] = '\0';
	while ((end = strchr(text, '\n'))) {
		*end++ = '\0';
		if (!obey(text))
			return false;
		len -= (size_t)(end - text);
		memmove(text, end, len + 1);
	}
	return true;
}

static void
serve(struct fuse_session *session)
{
	struct pollfd watched[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fuse_session_fd(session), .events = POLLIN}};
	struct fuse_buf buffer = {.mem = NULL};

	answer("up");
	while (!fuse_session_exited(session)) {
		if (poll(watched, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (watched[0].revents && !listen_once())
			break;
		if (watched[1].revents) {
			int got = fuse_session_receive_buf(session, &buffer);

			if (got > 0)
				fuse_session_process_buf(session, &buffer);
			else if (got != -EINTR)
				break;
		}
	}
	let_go();
	free(buffer.mem);
}

int
main(int argc, char **argv)
{
	char *words[] = {argv[0], NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, words);
	struct fuse_session *session;

	if (argc != 4) {
		fprintf(stderr, "usage: blocklog DIR LOG IMAGE\n");
		return 2;
	}
	lab.log = fopen(argv[2], "we");
	lab.image = open(argv[3], O_RDWR | O_CLOEXEC);
	if (!lab.log || lab.image < 0)
		die("the log and the image");
	session = fuse_session_new(&args, &ops, sizeof ops, NULL);
	if (!session || fuse_session_mount(session, argv[1]) != 0)
		return 1;
	serve(session);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	return fclose(lab.log) == 0 ? 0 : 1;
}
