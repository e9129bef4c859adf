/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_inflate - a packed frame whose head fits its length: what zstd is fed, and what our own packing gives back. */
#include "tests/fuzz/fuzz.h"
#include "tests/lib/frame.h"
#include "wire/wire.h"

static void
unpack_foreign(const uint8_t *data, size_t len, uint32_t raw_len)
{
	const struct wire_head head = {.len = (uint32_t)len, .raw_len = raw_len, .class = WIRE_DATA, .packed = true};
	struct pack_in payload;
	uint8_t *buf;

	if (len == 0 || raw_len > WIRE_FRAME_MAX || raw_len <= len || wire_frame_open(&head, data, &payload, &buf) != 0)
		return;
	MUST(payload.len == raw_len);
	/* Every byte was written. */
	for (size_t i = 0; i < payload.len; i++)
		MUST(payload.data[i] <= 255);
	free(buf);
}

static void
pack_own(const uint8_t *data, size_t len)
{
	struct wire_head head;
	struct pack_in payload;
	uint8_t *frame, *buf = NULL;
	size_t n;

	if (len == 0)
		return;
	MUST(frame_of(WIRE_DATA, data, len, true, &frame, &n) == 0);
	MUST(wire_head_unpack(frame, &head) == 0 && head.len == n - WIRE_FRAME_HEAD);
	MUST(wire_frame_open(&head, frame + WIRE_FRAME_HEAD, &payload, &buf) == 0);
	MUST(payload.len == len && memcmp(payload.data, data, len) == 0);
	free(buf);
	free(frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct pack_in in = pack_in(data, len);
	uint32_t raw_len = unpack_u32(&in);

	if (in.failed || len > WIRE_FRAME_MAX)
		return 0;
	unpack_foreign(data + in.pos, len - in.pos, raw_len);
	pack_own(data + in.pos, len - in.pos);
	return 0;
}
