/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pathkey - a path of any length as a key of the store.  Pure.
 *
 * A short path is its own key, so that neighbours stay neighbours.  The head of a long one is followed by a checksum, which
 * two paths may share: whoever stores under such a key keeps the path in the value too, and compares it.
 */
#ifndef JOURNAL_PATHKEY_H
#define JOURNAL_PATHKEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/store.h"

struct pathkey {
	size_t len;
	uint8_t bytes[STORE_KEY_MAX];
};

/* `kind` (below 0x80) keeps apart what shares a table; `room` bytes of the key stay free for what the caller appends. */
void pathkey_init(struct pathkey *key, uint8_t kind, const char *path, size_t room);

#endif
