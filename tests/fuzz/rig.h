/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rig - one whole server in this process, with the real keeper beside it and the profile po1 enrolled, for the harnesses
 * that talk to it.  Ends the program when it cannot be made.
 */
#ifndef TESTS_FUZZ_RIG_H
#define TESTS_FUZZ_RIG_H

#include <stdbool.h>

#include "tests/lib/scratch.h"

struct event_base;
struct identity;
struct server;
struct server_api;

struct rig {
	struct scratch scratch;
	struct event_base *base;
	struct server *server;
	struct server_api *api;     /* on server.sock in the scratch folder */
	struct identity *collector; /* po1's */
};

/* Makes it at the first call; nothing happens at later ones. */
void rig_open(struct rig *r);
void rig_close(struct rig *r);

/* One turn of the loop, which waits for events at most `ms`. */
void rig_turn(struct rig *r, int ms);
/* Where the server listens. */
const char *rig_address(const struct rig *r);
/* No session and no connection is left. */
bool rig_idle(const struct rig *r);
/* Nothing lies in the store but the profiles named here (ended by NULL) and the server's own. */
void rig_only(const struct rig *r, const char *const *profiles);

#endif
