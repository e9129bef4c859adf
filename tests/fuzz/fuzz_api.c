/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_api - a local user who writes anything to the server's control socket.
 *
 * The server holds no set, so that no order of an input can write outside the rig.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/rig.h"

#define INPUT_MAX 65536u /* what a socket takes at once */

static struct rig rig;

static void
leave(void)
{
	rig_close(&rig);
}

static int
dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	MUST(snprintf(address.sun_path, sizeof address.sun_path, "%s/server.sock", rig.scratch.path) < (int)sizeof address.sun_path);
	MUST(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

/* Until it answers, closes, or plainly waits for more; an answer of the keeper's takes a moment. */
static void
listen_for_answer(int fd)
{
	static char bytes[65536];
	ssize_t n = -1;

	for (int i = 0; i < 10 && n < 0; i++) {
		rig_turn(&rig, 1);
		n = read(fd, bytes, sizeof bytes);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int fd;

	if (!rig.server) {
		rig_open(&rig);
		atexit(leave);
	}
	fd = dial();
	if (len)
		MUST(write(fd, data, len > INPUT_MAX ? INPUT_MAX : len) > 0);
	shutdown(fd, SHUT_WR);
	listen_for_answer(fd);
	close(fd);
	rig_turn(&rig, 1);
	return 0;
}
