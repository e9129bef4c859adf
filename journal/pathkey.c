/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pathkey - long paths: kind | 0x80, head, checksum of the whole. */
#include <assert.h>
#include <string.h>

#include "base/block.h"
#include "journal/pathkey.h"

#define SUM_BYTES 8

void
pathkey_init(struct pathkey *key, uint8_t kind, const char *path, size_t room)
{
	size_t len = strlen(path), max = STORE_KEY_MAX - 1 - room, head = len;

	assert(kind < 0x80 && room < STORE_KEY_MAX / 2);
	key->bytes[0] = kind;
	if (len > max) {
		head = max - SUM_BYTES;
		key->bytes[0] = kind | 0x80;
	}
	memcpy(key->bytes + 1, path, head);
	key->len = 1 + head;
	if (len > max) {
		store_key_u64(block_checksum(0, path, len), key->bytes + key->len);
		key->len += SUM_BYTES;
	}
}
