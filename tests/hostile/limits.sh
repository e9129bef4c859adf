# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What any number of strangers may cost: an honest collector beside them is served, and the server stays within its bounds.
[ -n "${KEPT:-}" ] || hostile_world

STRANGERS=64	# connections that are no session, at a time

# Starts a flood; FLOODED is how many connections the kernel took.
flood_begin() {	# flood_begin KIND COUNT
	coproc FLOOD { exec "$PYTHON" "$TESTS/hostile/flood.py" "$1" "$PORT" "$2"; }
	STARTED+=("$FLOOD_PID")
	read -r -t 300 -u "${FLOOD[0]}" _ FLOODED
}
flood_end() {
	local pid=$FLOOD_PID to=${FLOOD[1]}
	exec {to}>&-
	read -r -t 60 -u "${FLOOD[0]}" _ _
	wait "$pid" 2>/dev/null
}

limits_within_bounds() {
	[ "$(hostile_sockets)" -le $((SOCKETS + STRANGERS + 1)) ] || { echo "the server holds $(hostile_sockets) sockets, and held $SOCKETS"; return 1; }
	[ "${FLAVOUR:-release}" != release ] || [ "$(hostile_memory)" -le $((MEMORY + MEMORY_GROWS)) ] || { echo "the server holds $(hostile_memory) bytes"; return 1; }
}

limits_under_flood() {	# limits_under_flood KIND COUNT
	local _ good=yes
	flood_begin "$@" || { echo "the flood does not begin"; return 1; }
	[ "$FLOODED" -ge $(($2 * 9 / 10)) ] || { echo "only $FLOODED connections were made"; good=no; }
	for _ in 1 2 3; do hostile_honest_work && limits_within_bounds || good=no; done
	flood_end
	[ $good = yes ] && hostile_descriptors_come_back && hostile_server_stands
}

# Strangers that hold every place are sent away in time: who comes then is let in.
limits_place_is_made() {
	local good=yes
	flood_begin slow 200 || return 1
	collector_stop && collector_start && wait_status 60 'p["connected"]' || { echo "the collector does not get in beside strangers"; good=no; }
	flood_end
	[ $good = yes ] && hostile_honest_work
}

case "D.6 limits" in *"${ONLY:-}"*)
	hostile_verdict "D.6 10,000 idle connections harm nobody, and cost the server no more than its few places for strangers" limits_under_flood idle 10000
	hostile_verdict "D.6 1,000 connections that send a byte a second neither" limits_under_flood slow 1000
	hostile_verdict "D.6 a collector that dials while strangers hold every place is let in within a minute" limits_place_is_made
esac
