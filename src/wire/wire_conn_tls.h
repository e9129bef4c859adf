/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_conn_tls - one TLS session between two rings of bytes; it knows no socket.  Inside src/wire only.
 *
 * What comes from the socket goes into the in-ring, what is in the out-ring goes to the socket; between them stand the
 * calls for plain bytes.  They answer 0 when they want the rings to be served first: in-ring filled, or out-ring emptied.
 */
#ifndef WIRE_WIRE_CONN_TLS_H
#define WIRE_WIRE_CONN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/identity.h"

#define WIRE_TLS_RING (256u * 1024u)

struct wire_tls;

/* `id` is borrowed until free. */
int wire_tls_new(struct identity *id, bool server, struct wire_tls **ret_tls);
void wire_tls_free(struct wire_tls *t); /* NULL is fine */

/* The free part of the in-ring that lies in one piece (at most `max`), then how much of it was filled. */
uint8_t *wire_tls_room(struct wire_tls *t, size_t max, size_t *ret_room);
void wire_tls_filled(struct wire_tls *t, size_t n);
/* What waits in the out-ring, in one piece; then how much of it is gone. */
const uint8_t *wire_tls_waiting(struct wire_tls *t, size_t *ret_len);
void wire_tls_taken(struct wire_tls *t, size_t n);

/* 1 done, 0 goes on, -ERR_DENIED when one side does not believe the other, -ERR_IO when the server cannot know whether to (its peer:
 * -ERR_UNREACHABLE), -ERR_PEER.  An alert may wait in the out-ring. */
int wire_tls_handshake(struct wire_tls *t);
/* Bytes read or written, 0, or a negative error.  After a 0 of write the same bytes are given again. */
ssize_t wire_tls_read(struct wire_tls *t, void *buf, size_t len);
ssize_t wire_tls_write(struct wire_tls *t, const void *buf, size_t len);
/* Puts the close_notify into the out-ring. */
void wire_tls_shutdown(struct wire_tls *t);

/* The peer's common name, "" without a certificate. */
int wire_tls_peer_name(const struct wire_tls *t, char ret_name[IDENTITY_NAME_MAX + 1]);
int wire_tls_peer_pin(const struct wire_tls *t, uint8_t ret_pin[IDENTITY_PIN_BYTES]);
int wire_tls_exporter(struct wire_tls *t, uint8_t ret_exporter[32]);

#endif
