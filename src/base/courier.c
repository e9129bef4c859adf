/* SPDX-License-Identifier: GPL-2.0-or-later */
/* courier - how a descriptor travels over a socket (unix(7), SCM_RIGHTS). */
#include "base/courier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

struct courier {
	int fd;
	pthread_mutex_t asking;
};

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr aligned;
};
_Static_assert(sizeof(union control) <= CMSG_LEN(2 * sizeof(int)), "more than two descriptors never fit");

int
courier_pair(int ret_fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) == 0 ? 0 : err_sys("making a pair of sockets");
}

int
courier_new(int fd, struct courier **ret_courier)
{
	struct courier *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(ERR_NOMEM, "opening the way to another process");
	c->fd = fd;
	pthread_mutex_init(&c->asking, NULL);
	*ret_courier = c;
	return 0;
}

void
courier_free(struct courier *c)
{
	if (!c)
		return;
	close(c->fd);
	pthread_mutex_destroy(&c->asking);
	free(c);
}

int
courier_send(int fd, const struct courier_note *note)
{
	struct iovec bytes = {(void *)(uintptr_t)note, sizeof *note};
	struct msghdr m = {.msg_iov = &bytes, .msg_iovlen = 1};
	union control control = {0};
	ssize_t n;

	if (note->fd >= 0) {
		m.msg_control = control.bytes;
		m.msg_controllen = sizeof control.bytes;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof note->fd);
		memcpy(CMSG_DATA(c), &note->fd, sizeof note->fd);
	}
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys("sending a note") : 0;
}

/* The descriptor that came along, -1 without one.  Alignment leaves room for a second one, which nobody of ours sends: then none is
 * believed, and none stays open. */
static int
taken_along(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fds[2] = {-1, -1};

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len > CMSG_LEN(sizeof fds))
		return -1;
	memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	if (fds[1] < 0)
		return fds[0];
	close(fds[0]);
	close(fds[1]);
	return -1;
}

int
courier_receive(int fd, struct courier_note *ret_note)
{
	struct courier_note note;
	struct iovec bytes = {&note, sizeof note};
	union control control = {0};
	struct msghdr m = {.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
	ssize_t n;

	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n == 0 || errno == ECONNRESET ? 1 : err_sys("receiving a note");
	note.fd = taken_along(&m);
	if (n != (ssize_t)sizeof note) {
		if (note.fd >= 0)
			close(note.fd);
		return err_set(ERR_PEER, "a note of %zd bytes", n);
	}
	note.text[sizeof note.text - 1] = '\0';
	*ret_note = note;
	return 0;
}

int
courier_ask(struct courier *c, const struct courier_note *question, struct courier_note *ret_answer)
{
	int err;

	pthread_mutex_lock(&c->asking);
	err = courier_send(c->fd, question);
	if (!err)
		err = courier_receive(c->fd, ret_answer);
	pthread_mutex_unlock(&c->asking);
	if (err)
		return err < 0 ? err : err_set(ERR_UNREACHABLE, "the process that runs as root is gone");
	return ret_answer->number < 0 && *ret_answer->text ? err_set((enum err)-ret_answer->number, "%s", ret_answer->text) : ret_answer->number;
}
