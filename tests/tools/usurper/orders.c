/* SPDX-License-Identifier: GPL-2.0-or-later */
/* orders - what may be asked of the keeper and of the warden by who holds the receiver's sockets, and lies. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/courier.h"
#include "keeper/order.h"
#include "tests/tools/usurper/usurper.h"

#define FIRST_ID 1000000000u /* above what the receiver has given out */
#define PATIENCE_MS 30000

/* ---- which socket is whose ---- */

static bool
is_unix(int fd, int type)
{
	int is, domain;
	socklen_t len = sizeof is;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &len) == 0 && is == type && (len = sizeof domain) &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* The orders' socket has no name, as a client's of the control socket has none; but that one's other end was made by somebody else. */
static bool
is_orders(const struct usurper *u, int fd)
{
	struct sockaddr_un name;
	struct ucred peer;
	socklen_t len = sizeof peer, name_len = sizeof name;

	return is_unix(fd, SOCK_STREAM) && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&name, &name_len) == 0 && name_len <= sizeof name.sun_family &&
	    (peer.pid == u->warden || peer.pid == u->receiver || peer.pid == u->keeper);
}

/* ---- the warden ---- */

static void
ask(struct courier *c, uint8_t kind, const char *text, int fd)
{
	struct courier_note note = {.kind = kind, .fd = fd}, answer = {.fd = -1};
	char what[64];

	snprintf(note.text, sizeof note.text, "%s", text);
	snprintf(what, sizeof what, "ask the warden '%c' for", kind);
	attempt(courier_ask(c, &note, &answer) >= 0, what, text);
}

void
lie_to_warden(const struct usurper *u)
{
	static const char *const names[] = {"../elsewhere", "/etc", ".identity", "po1/../../x", "", "."};
	struct courier *c;
	int own;

	for (size_t i = 0; i < u->n_fds; i++) {
		if (!is_unix(u->fds[i], SOCK_SEQPACKET) || courier_new(dup(u->fds[i]), &c) != 0)
			continue;
		for (size_t k = 0; k < sizeof names / sizeof *names; k++)
			ask(c, 'm', names[k], -1);
		for (size_t k = 0; k < u->n_targets; k += 7)
			if ((own = open(u->targets[k], O_RDONLY | O_CLOEXEC)) >= 0) {
				ask(c, 't', u->targets[k], own);
				close(own);
			}
		ask(c, 0xff, "nothing", -1);
		courier_free(c);
	}
}

/* ---- the keeper ---- */

static bool
send_order(int fd, const struct order *order)
{
	struct pack_out o = {0};
	struct pack_out head;
	bool sent;

	pack_u32(&o, 0);
	order_pack(&o, order);
	head = pack_out_fixed(o.data, 4);
	pack_u32(&head, (uint32_t)(o.len - 4));
	sent = !o.failed && send(fd, o.data, o.len, MSG_NOSIGNAL) == (ssize_t)o.len;
	pack_out_fini(&o);
	return sent;
}

static bool
receive_all(int fd, uint8_t *bytes, size_t len)
{
	while (len) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n = poll(&p, 1, PATIENCE_MS) == 1 ? read(fd, bytes, len) : 0;

		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/* Reads whole reports until the one that ends `id`: its code, -1 when there is none. */
static int
end_of(int fd, uint64_t id)
{
	static uint8_t bytes[ORDER_BYTES_MAX];
	struct report r;
	uint8_t head[4];

	while (receive_all(fd, head, sizeof head)) {
		struct pack_in i = pack_in(head, sizeof head);
		uint32_t len = unpack_u32(&i);
		bool last;
		int code;

		if (len > sizeof bytes || !receive_all(fd, bytes, len) || report_unpack(bytes, len, &r) != 0)
			return -1;
		last = r.id == id && (r.kind == REPORT_DONE || r.kind == REPORT_FAILED);
		code = r.code;
		report_fini(&r);
		if (last)
			return code;
	}
	return -1;
}

static void
forge_restores(const struct usurper *u, int fd, uint64_t *id)
{
	static const char *const places[] = {"backups/weeknow/forged", "backups/creating/forged", "blobs/forged", "state/manifests/forged", "state/ledger/forged",
	    "forged"};
	const char *const profiles[] = {u->profile, "po2"};

	for (size_t p = 0; p < 2; p++)
		for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
			char to[PATH_BYTES];
			struct order order = {.id = ++*id, .kind = ORDER_RESTORE, .profile = (char *)(uintptr_t)u->profile, .set = (char[]){"latest"}, .to = to};

			snprintf(to, sizeof to, "%s/%s/%s", u->store, profiles[p], places[i]);
			if (send_order(fd, &order))
				attempt(end_of(fd, order.id) == 0, "restore to", to);
		}
}

static void
forge_seals(const struct usurper *u, int fd, uint64_t *id)
{
	for (int layout = 0; layout < 2; layout++) {
		struct order order = {.id = ++*id, .kind = ORDER_SEAL, .profile = (char *)(uintptr_t)u->profile, .layout = (uint8_t)layout, .job = 77,
		    .date = 20200101, .t0_ns = 1, .fresh_t0 = UINT64_MAX, .fresh_seal = UINT64_MAX, .note = (char[]){""}, .keep_days = 1};

		if (send_order(fd, &order))
			attempt(end_of(fd, order.id) == 0, "seal", u->profile);
	}
}

void
lie_to_keeper(const struct usurper *u)
{
	uint64_t id = FIRST_ID;

	for (size_t i = 0; i < u->n_fds; i++) {
		struct order known = {.id = ++id, .kind = ORDER_SETS, .profile = (char *)(uintptr_t)u->profile};

		if (!is_orders(u, u->fds[i]))
			continue;
		if (!send_order(u->fds[i], &known) || end_of(u->fds[i], known.id) != 0)
			give_up("the keeper answers no order, so that refused ones tell nothing");
		forge_restores(u, u->fds[i], &id);
		forge_seals(u, u->fds[i], &id);
		return;
	}
	give_up("the receiver has no socket to the keeper");
}
