/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_wire - arbitrary bytes as a stream of frames: head, unpacking, every message in it.
 *
 * Besides not crashing, a message that was taken must pack again, and to bytes that are taken again.
 */
#include "tests/fuzz/fuzz.h"
#include "wire/wire.h"

static void
repack(const struct wire_msg *msg)
{
	struct pack_out o = {0}, p = {0};
	struct wire_msg again;
	struct pack_in i;

	wire_pack(&o, msg);
	MUST(!o.failed);
	i = pack_in(o.data, o.len);
	MUST(wire_unpack(&i, wire_type_class(msg->type), &again) == 1 && unpack_done(&i));
	wire_pack(&p, &again);
	wire_msg_fini(&again);
	fuzz_same(&o, &p);
}

static void
each_message(struct pack_in *payload, enum wire_class class)
{
	struct wire_msg msg;

	while (wire_unpack(payload, class, &msg) == 1) {
		repack(&msg);
		wire_msg_fini(&msg);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct wire_head head;
	struct pack_in payload;
	uint8_t *buf;

	while (len > WIRE_FRAME_HEAD && wire_head_unpack(data, &head) == 0) {
		data += WIRE_FRAME_HEAD;
		len -= WIRE_FRAME_HEAD;
		if (head.len > len)
			break;
		if (wire_frame_open(&head, data, &payload, &buf) == 0) {
			each_message(&payload, head.class);
			free(buf);
		}
		data += head.len;
		len -= head.len;
	}
	return 0;
}
