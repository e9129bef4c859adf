/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_dial - from "host:port" to a connected socket, never waiting on the loop.  Inside src/wire only.
 *
 * Threads: loop thread only.
 */
#ifndef WIRE_WIRE_DIAL_H
#define WIRE_WIRE_DIAL_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct wire_dial;

/* Called once, from the loop: *gives* the descriptor, or fd < 0 and the error. */
typedef void wire_dial_done(int fd, int err, void *arg);

/* "host:port" or "[v6]:port"; -ERR_USAGE when it is neither.  Tries the addresses of a name one after the other, each for at
 * most `try_ms`. */
int wire_dial_new(struct event_base *base, const char *address, int try_ms, wire_dial_done *done, void *arg,
    struct wire_dial **ret_dial);
/* Cancels what runs; also allowed inside `done`.  NULL is fine. */
void wire_dial_free(struct wire_dial *d);

/* Splits into host and port (both of at least `room` bytes). */
bool wire_dial_split(const char *address, size_t room, char *ret_host, char *ret_port);

#endif
