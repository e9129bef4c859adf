/* SPDX-License-Identifier: GPL-2.0-or-later */
/* frame - a frame around bytes that need be no messages. */
#ifndef TESTS_FRAME_H
#define TESTS_FRAME_H

#include "base/pack.h"
#include "wire/wire.h"

/* As wire_frame_end. */
static inline int
frame_of(enum wire_class class, const void *payload, size_t len, bool compress, uint8_t **ret_data, size_t *ret_len)
{
	struct pack_out o;

	wire_frame_begin(&o, len);
	pack_raw(&o, payload, len);
	return wire_frame_end(&o, class, compress, ret_data, ret_len);
}

#endif
