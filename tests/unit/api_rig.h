/* SPDX-License-Identifier: GPL-2.0-or-later */
/* api_rig - a control socket in a fresh folder, and a client that reads only when the test does. */
#ifndef TESTS_API_RIG_H
#define TESTS_API_RIG_H

#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/api.h"
#include "tests/lib/scratch.h"

static struct scratch scratch;
static struct event_base *base;
static struct api *api;
static int client; /* -1: the test has closed it */

/* Everything is local: what can happen has happened after some turns. */
static void
turn(void)
{
	for (unsigned i = 0; i < 50; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Makes the folder and the loop. */
static void
rig_open(void)
{
	scratch_open(&scratch);
	base = event_base_new();
}

/* Serves them, and asks for `path`. */
static void
rig_ask(const struct api_route *served, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char socket_path[256], request[256];
	int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);

	scratch_path(&scratch, "s", socket_path);
	assert_true(strlen(socket_path) < sizeof address.sun_path);
	strcpy(address.sun_path, socket_path);
	assert_int_equal(api_new(base, socket_path, served, NULL, &api), 0);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(write(client, request, (size_t)len), len);
	turn();
}

/* The client goes, and the socket; what else is on the loop ends before rig_close(). */
static void
rig_end(void)
{
	if (client >= 0)
		close(client);
	api_free(api);
}

static void
rig_close(void)
{
	event_base_free(base);
	scratch_close(&scratch);
}

#endif
