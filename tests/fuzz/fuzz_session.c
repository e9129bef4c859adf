/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz_session - a collector with a valid certificate that says anything, in any order, to a whole server.
 *
 * Input: steps of u8 what, u16 length, bytes.  The first byte of all says whether a good HELLO goes before.  What one input
 * left in the store meets the next one, as it would a real server; none may leave a name beside its own profile, and after
 * each the server is idle again.
 */
#include <event2/event.h>
#include <unistd.h>

#include "layout.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/rig.h"
#include "tests/lib/frame.h"
#include "wire/wire.h"
#include "wire/wire_conn.h"

enum step { STEP_CONTROL, STEP_DATA, STEP_RAW, STEP_PACKED, STEP_SETTLE, STEPS };

static struct rig rig;

static struct {
	struct wire_conn *conn;
	bool opened, closed, heard;
} c;

static void
leave(void)
{
	rig_close(&rig);
}

static void
on_opened(struct wire_conn *conn, const char *profile, void *arg)
{
	(void)conn, (void)profile, (void)arg;
	c.opened = true;
}

static void
on_frame(struct wire_conn *conn, struct wire_frame *frame, void *arg)
{
	(void)conn, (void)arg;
	c.heard = true;
	wire_frame_free(frame);
}

static void
on_writable(struct wire_conn *conn, void *arg)
{
	(void)conn, (void)arg;
}

static void
on_closed(struct wire_conn *conn, int err, const char *text, void *arg)
{
	(void)conn, (void)err, (void)text, (void)arg;
	c.closed = true;
}

static const struct wire_conn_events events = {.opened = on_opened, .frame = on_frame, .writable = on_writable, .closed = on_closed};

static void
hello(void)
{
	struct wire_msg m = {.type = WIRE_HELLO};

	m.u.hello.version_min = WIRE_VERSION_MIN;
	m.u.hello.version_max = WIRE_VERSION_MAX;
	m.u.hello.layout = LAYOUT_POST_OFFICE;
	m.u.hello.build = m.u.hello.host = m.u.hello.journal = (char *)(uintptr_t)"fuzz";
	wire_conn_send(c.conn, &m);
}

/* Waits for one frame: what the server has to say first. */
static void
listen_once(void)
{
	c.heard = false;
	for (int i = 0; i < 50 && !c.heard && !c.closed; i++)
		rig_turn(&rig, 10);
}

static void
dial(void)
{
	memset(&c, 0, sizeof c);
	MUST(wire_conn_dial(rig.base, rig_address(&rig), rig.collector, &events, NULL, &c.conn) == 0);
	while (!c.opened && !c.closed)
		rig_turn(&rig, 1000);
	MUST(c.opened);
}

static void
send_frame(enum wire_class class, const uint8_t *data, size_t len, bool compress)
{
	uint8_t *frame;
	size_t n;

	if (len && frame_of(class, data, len, compress, &frame, &n) == 0)
		wire_conn_send_frame(c.conn, class, frame, n);
}

static void
send_raw(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	MUST(copy);
	memcpy(copy, data, len);
	wire_conn_send_frame(c.conn, WIRE_DATA, copy, len);
}

static void
take(struct pack_in *in)
{
	enum step step = unpack_u8(in) % STEPS;
	size_t n = unpack_u16(in), left = in->len - in->pos;
	const uint8_t *bytes = unpack_raw(in, n < left ? n : left);

	if (!bytes)
		return;
	n = n < left ? n : left;
	if (step == STEP_CONTROL || step == STEP_DATA)
		send_frame(step == STEP_DATA ? WIRE_DATA : WIRE_CONTROL, bytes, n, false);
	else if (step == STEP_PACKED)
		send_frame(WIRE_DATA, bytes, n, true);
	else if (step == STEP_RAW && n)
		send_raw(bytes, n);
	else
		listen_once();
}

/* Until the server took everything, and has settled what this connection began. */
static void
hang_up(void)
{
	while (wire_conn_queued(c.conn) && !c.closed)
		rig_turn(&rig, 10);
	for (int i = 0; i < 3 && !c.closed; i++)
		rig_turn(&rig, 2);
	wire_conn_free(c.conn);
	do
		rig_turn(&rig, 10);
	while (!rig_idle(&rig));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const profiles[] = {"po1", NULL};
	struct pack_in in = pack_in(data, len);
	bool greet = unpack_u8(&in) & 1;

	if (!rig.server) {
		rig_open(&rig);
		atexit(leave);
	}
	dial();
	if (greet) {
		hello();
		listen_once();
	}
	while (!in.failed && in.pos < in.len && !c.closed)
		take(&in);
	hang_up();
	rig_only(&rig, profiles);
	return 0;
}
