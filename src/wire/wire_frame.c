/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wire_frame - a frame's head, and when its payload is packed.  The only file that knows zstd.h.
 *
 * A packed payload is exactly one zstd frame that declares its size, so the room it unpacks to is known, and bounded by
 * WIRE_FRAME_MAX, before a byte of it is looked at.
 */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/err.h"
#include "base/planted.h"
#include "wire/wire.h"

#define FLAG_PACKED 1u

/* Below this a head saves nothing worth a context: 16 KiB of tables for a message of 40 bytes. */
#define PACK_LEAST 256

#define PACK_LEVEL 1

/* Compresses into `room`, which is 3 % smaller than the payload: what does not fit is not worth it.  0 = not packed. */
static size_t
pack_payload(const void *payload, size_t len, uint8_t *to, size_t room)
{
	size_t n;

	if (len < PACK_LEAST)
		return 0;
	n = ZSTD_compress(to, room, payload, len, PACK_LEVEL);
	return ZSTD_isError(n) ? 0 : n;
}

static void
pack_head(uint8_t *to, enum wire_class class, size_t len, size_t raw_len, bool packed)
{
	struct pack_out o = pack_out_fixed(to, WIRE_FRAME_HEAD);

	pack_u32(&o, (uint32_t)len);
	pack_u8(&o, (uint8_t)class);
	pack_u8(&o, packed ? FLAG_PACKED : 0);
	pack_u16(&o, 0);
	pack_u32(&o, (uint32_t)raw_len);
}

int
wire_frame_build(enum wire_class class, const void *payload, size_t len, bool compress, uint8_t **ret_data, size_t *ret_len)
{
	size_t packed = 0;
	uint8_t *data;

	if (len == 0 || len > WIRE_FRAME_MAX)
		return err_set(ERR_LIMIT, "a frame of %zu bytes", len);
	data = malloc(WIRE_FRAME_HEAD + len);
	if (!data)
		return err_set(ERR_NOMEM, "a frame of %zu bytes", len);
	if (compress)
		packed = pack_payload(payload, len, data + WIRE_FRAME_HEAD, len - len * 3 / 100 - 1);
	if (!packed)
		memcpy(data + WIRE_FRAME_HEAD, payload, len);
	pack_head(data, class, packed ? packed : len, len, packed);
	*ret_data = data;
	*ret_len = WIRE_FRAME_HEAD + (packed ? packed : len);
	return 0;
}

int
wire_head_unpack(const uint8_t head[WIRE_FRAME_HEAD], struct wire_head *ret_head)
{
	const uint32_t max = PLANTED(frame_length_unbounded) ? UINT32_MAX : WIRE_FRAME_MAX;
	struct pack_in i = pack_in(head, WIRE_FRAME_HEAD);
	struct wire_head h;
	uint32_t zero;
	uint8_t flags;

	h.len = unpack_u32(&i);
	h.class = unpack_u8(&i);
	flags = unpack_u8(&i);
	zero = unpack_u16(&i);
	h.raw_len = unpack_u32(&i);
	h.packed = flags & FLAG_PACKED;
	if (h.class > WIRE_DATA || flags & ~FLAG_PACKED || zero)
		return err_set(ERR_PEER, "unknown bits in a frame's head");
	if (h.len == 0 || h.len > max || h.raw_len > max)
		return err_set(ERR_PEER, "a frame of %u bytes, unpacked %u", h.len, h.raw_len);
	if (h.packed ? h.raw_len <= h.len : h.raw_len != h.len)
		return err_set(ERR_PEER, "a frame of %u bytes says it is %u unpacked", h.len, h.raw_len);
	*ret_head = h;
	return 0;
}

int
wire_frame_open(const struct wire_head *head, const uint8_t *body, struct pack_in *ret_payload, uint8_t **ret_buf)
{
	uint8_t *buf;

	if (!head->packed) {
		*ret_payload = pack_in(body, head->len);
		*ret_buf = NULL;
		return 0;
	}
	if (ZSTD_getFrameContentSize(body, head->len) != head->raw_len ||
	    ZSTD_findFrameCompressedSize(body, head->len) != head->len)
		return err_set(ERR_PEER, "a packed frame is not what its head says");
	buf = malloc(head->raw_len);
	if (!buf)
		return err_set(ERR_NOMEM, "unpacking %u bytes", head->raw_len);
	if (ZSTD_decompress(buf, head->raw_len, body, head->len) != head->raw_len) {
		free(buf);
		return err_set(ERR_PEER, "a packed frame does not unpack");
	}
	*ret_payload = pack_in(buf, head->raw_len);
	*ret_buf = buf;
	return 0;
}
