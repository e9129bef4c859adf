/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * collector_api - the collector's routes.
 */
#ifndef CONTROL_COLLECTOR_API_H
#define CONTROL_COLLECTOR_API_H

struct collector;
struct collector_api;
struct event_base;

/* Opens <run_dir>/collector.sock.  Borrows the collector. */
int collector_api_new(struct event_base *base, struct collector *c, const char *run_dir, struct collector_api **ret_api);
/* Free the collector first: its callbacks answer what still waits. */
void collector_api_free(struct collector_api *a);

#endif
