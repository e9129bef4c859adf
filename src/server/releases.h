/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * releases - the releases of the collector that this server hands out: the files *.release of one folder, read anew for each
 * question, so that a file that is put there is offered at once.
 *
 * Nothing of them is believed here: whoever is offered one looks at its signatures.  They read files: any thread but the loop's.
 */
#ifndef SERVER_RELEASES_H
#define SERVER_RELEASES_H

#include <stddef.h>
#include <stdint.h>

/* The head of the newest for a platform, of two of one version that which holds longer, and of what too few have signed only where there is no
 * other: *gives*.  -ERR_NOTFOUND when there is none. */
int releases_newest(const char *dir, const char *platform, uint8_t **ret_head, size_t *ret_len);
/* Bytes of the one whose head has this SHA-256, from `offset` behind the head on: *gives* up to `count`, fewer at the end only. */
int releases_piece(const char *dir, const uint8_t digest[32], uint64_t offset, uint32_t count, uint8_t **ret_data, size_t *ret_len);

#endif
