# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tidemark: server, keeper, collector and watcher on loopback, TLS 1.3; one enrolled profile.
# STORE_DIR (else S): where the server keeps its store.

sys_available() { [ -x "$BIN/tidemark-collector" ]; }
sys_version() { "$BIN/tidemark" version; }
sys_durability() { echo "all of it on stable storage before the answer, sets too"; }

# Enrolled while the live areas are empty, then everything of the post office's host is ended: nothing travels before the clock runs,
# and the first sync is one look at the whole tree, as after an installation.
sys_prepare() {
	local W=$S area
	PORT=$(proc port) PO=$OFFICE STORE=${STORE_DIR:-$S}/store STATE=$S/state
	WORLDS+=("$S")
	write_server_conf
	write_collector_conf collector
	sed -i 's/^log-level = debug/log-level = info/; s/^index-poll = 1s/index-poll = 5m/' "$S"/*.conf
	for area in offiles ofuser/index; do mkdir -p "$OFFICE.away/$area" && mv "$OFFICE/$area"/* "$OFFICE.away/$area/" || return; done
	world_start
	collector_away
	for area in offiles ofuser/index; do mv "$OFFICE.away/$area"/* "$OFFICE/$area/" || return; done
	rm -rf "$OFFICE.away"
}

collector_away() {	# collector and watcher, as when their host is down
	local W=$S pid
	collector_stop
	pid=$(watcher_pid) && kill -KILL "$pid" && proc gone "$pid" 10
}

sys_hold() { local W=$S; tm pause po1; }
sys_go() { local W=$S; tm resume po1; }
sys_settle() { local W=$S; tm sync po1 --wait; }

sys_first() { local W=$S; collector_start && echo "${PID[collector]}" >"$S/collector.pid" && sys_again; }
sys_again() {	# the flow durable; the databases too means: a sealed set
	local W=$S start
	start=$(now)
	sys_settle || return
	[ -z "$PART" ] || return 0
	FLOW_TOOK=$(since "$start")
	start=$(now)
	tm backup po1 --wait || return
	SEALED_TOOK=$(since "$start")
}

sys_restore() {	# sys_restore DIR [PATH]
	local W=$S to=$1
	shift
	tms restore po1 latest --to "$to" "$@"
}

sys_arrives() { echo "$S/store/po1/blobs/offiles"; }
sys_disk() { echo "${STORE_DIR:-$S}/store"; }
sys_pids() { local W=$S; cat "$S/collector.pid" && watcher_pid; }	# of the post office's host
sys_all_pids() { local W=$S; sys_pids && echo "${PID[server]}" && keeper_pid; }

sys_away() { local W=$S; server_stop; }
sys_back() { local W=$S; server_start; }

sys_stop() {
	local W=$S
	collector_away
	server_stop
}
