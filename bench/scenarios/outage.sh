# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The server is away while blobs are made, and comes back.
#
#   outage        s    from the start of the server until both sides are equal (durable: tidemark)
#   outage_wire   B/B  bytes on the loopback in that time for each byte of the new blobs

# shellcheck disable=SC2086 # a list of words
for SYSTEM in $(turns $LIVE_SYSTEMS); do
	scene offiles
	office --users 2 --msgdbs 2 --blobs 2000 --blob-bytes 4k
	prepare "$SYSTEM" && sys_first >>"$S/first.log" 2>&1 || { lost "the first sync failed"; scene_end; continue; }
	sys_come_back() { sys_back && sys_settle; }
	for ROUND in $(seq "$ROUNDS"); do
		! can slow || [ "$ROUND" -le "$SLOW_ROUNDS" ] || continue
		sys_away >>"$S/away.log" 2>&1 || { lost "the server does not go away"; break; }
		new_blobs "outage$ROUND" "$OUTAGE"
		timed outage '' come_back || break
		result outage_wire B/B "$(percent "$WIRE" "$((OUTAGE * 4096))")"
	done
	scene_end
done
