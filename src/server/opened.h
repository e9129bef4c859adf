/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * opened - what a profile has open at a time: folder, lock, index, hash key and staging, opened in this order.
 *
 * Threads: made and freed on the loop; opened_open runs in a lane, and nobody else touches it meanwhile.
 */
#ifndef SERVER_OPENED_H
#define SERVER_OPENED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/block.h"
#include "layout.h"
#include "server/staging.h"

struct index;
struct profile_setup;

struct opened {
	int fd, lock_fd;
	struct index *index;
	struct staging *staging;          /* NULL until the profile's type is known */
	bool has_layout;
	enum layout_type layout;
	uint8_t key_bytes[BLOCK_KEY_BYTES];
	struct block_key key;             /* staging borrows it, hence the heap */
	struct staging_recovery recovery; /* what opening staging found */
};

/* Gives an empty one; NULL: out of memory. */
struct opened *opened_new(void);
/* Opens the profile `name`, makes what is missing and recovers staging.  `layout`: what a collector says the profile is, believed of
 * the first one that comes; NULL: nobody said.  After an error `o` holds what was open by then, to be freed.
 * -ERR_BUSY: another server has it. */
int opened_open(struct opened *o, const struct profile_setup *setup, const char *name, const enum layout_type *layout);
void opened_free(struct opened *o); /* NULL is fine */

#endif
