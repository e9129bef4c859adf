# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 of each of tidemark's processes in turn, then: how long until everything is durable and answered again.
#
#   restart_collector, restart_watcher, restart_server   s    from the kill to the answer of a sync; blobs were made in between
#   restart_keeper                                       s    from the kill to the next keeper's being there

[ -n "$(turns tidemark)" ] || return 0
scene offiles
office --users 2 --msgdbs 2 --blobs "$SMALL_FILES" --blob-bytes 4k --db-share 1%
prepare tidemark && sys_first >>"$S/first.log" 2>&1 || { lost "the first sync failed"; return 1; }

sys_restart_collector() { local W=$S; collector_kill; new_blobs "c$ROUND" 100; collector_start && sys_settle; }
sys_restart_watcher() { local W=$S; watcher_kill; new_blobs "w$ROUND" 100; sys_settle; }
sys_restart_server() { local W=$S; server_kill; new_blobs "s$ROUND" 100; server_start && sys_settle; }
sys_restart_keeper() { local W=$S; keeper_kill && keeper_pid; }

for ROUND in $(seq "$ROUNDS"); do
	for who in collector watcher server keeper; do
		timed "restart_$who" '' "restart_$who" || break 2
	done
done
scene_end
