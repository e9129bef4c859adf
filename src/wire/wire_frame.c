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
#define WORTH(len) ((len) - (len) * 3 / 100 - 1) /* what does not become 3 % smaller is sent as it is */

/* Most of a mail system is encrypted or packed already.  From so much on, samples from all over the payload are packed first. */
#define SAMPLED_FROM (128u * 1024u)
#define SAMPLES 16u
#define SAMPLE_BYTES 1024u

static bool
seems_worth_it(const uint8_t *payload, size_t len)
{
	uint8_t sample[SAMPLES * SAMPLE_BYTES], packed[sizeof sample];
	size_t step = (len - SAMPLE_BYTES) / (SAMPLES - 1);

	if (len < SAMPLED_FROM)
		return true;
	for (size_t i = 0; i < SAMPLES; i++)
		memcpy(sample + i * SAMPLE_BYTES, payload + i * step, SAMPLE_BYTES);
	return !ZSTD_isError(ZSTD_compress(packed, WORTH(sizeof sample), sample, sizeof sample, PACK_LEVEL));
}

/* A frame with its payload packed, without its head; NULL when that is not worth it. */
static uint8_t *
pack_payload(const uint8_t *payload, size_t len, size_t *ret_packed)
{
	uint8_t *data;
	size_t n;

	if (len < PACK_LEAST || !seems_worth_it(payload, len) || !(data = malloc(WIRE_FRAME_HEAD + len)))
		return NULL;
	n = ZSTD_compress(data + WIRE_FRAME_HEAD, WORTH(len), payload, len, PACK_LEVEL);
	if (ZSTD_isError(n)) {
		free(data);
		return NULL;
	}
	*ret_packed = n;
	return data;
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

void
wire_frame_begin(struct pack_out *o, size_t expected)
{
	*o = (struct pack_out){.data = malloc(WIRE_FRAME_HEAD + expected)};
	if (o->data)
		o->cap = WIRE_FRAME_HEAD + expected;
	pack_reserve(o, WIRE_FRAME_HEAD);
}

int
wire_frame_end(struct pack_out *o, enum wire_class class, bool compress, uint8_t **ret_data, size_t *ret_len)
{
	size_t len = o->failed ? 0 : o->len - WIRE_FRAME_HEAD, packed = len;
	uint8_t *data;

	if (len == 0 || len > WIRE_FRAME_MAX) {
		int err = o->failed ? err_set(ERR_LIMIT, "a message does not fit a frame, or no memory for one") :
		                      err_set(ERR_LIMIT, "a frame of %zu bytes", len);

		pack_out_fini(o);
		return err;
	}
	data = compress ? pack_payload(o->data + WIRE_FRAME_HEAD, len, &packed) : NULL;
	if (data)
		free(o->data);
	pack_head(data ? data : o->data, class, packed, len, data != NULL);
	data = data ? data : o->data;
	*o = (struct pack_out){0};
	*ret_data = data;
	*ret_len = WIRE_FRAME_HEAD + packed;
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
