/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * client - asks a daemon over its Unix socket: one HTTP/1.1 request, the answer line by line.  Blocking; for the command line.
 */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include <jansson.h>

/*
 * Sends the request and calls `line` for every JSON object of the answer (borrowed; return nonzero to stop reading).
 * `tick` (may be NULL) is called about once a second while nothing comes.
 * 0; -ERR_UNREACHABLE: no daemon there; the code of an "error" object; -ERR_INTERRUPTED after client_interrupt().
 */
int client_ask(const char *socket_path, const char *method, const char *path, const json_t *body,
    int (*line)(const json_t *object, void *arg), void (*tick)(void *arg), void *arg);

/* For a handler of SIGINT without SA_RESTART: what is being asked ends. */
void client_interrupt(void);

/* Percent-encodes one component of a path: *gives*. */
char *client_encode(const char *component);

#endif
