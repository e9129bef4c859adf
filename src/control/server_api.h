/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server_api - the server's routes.
 */
#ifndef CONTROL_SERVER_API_H
#define CONTROL_SERVER_API_H

struct event_base;
struct server;
struct server_api;

/* Opens <run_dir>/server.sock.  Borrows the server. */
int server_api_new(struct event_base *base, struct server *s, const char *run_dir, struct server_api **ret_api);
/* Free the server first: its callbacks answer what still waits. */
void server_api_free(struct server_api *a);

#endif
