# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Pasts that come back: a server put back to an earlier copy, a collector that exists twice, a week without a network.
#
# Sourced after tests/integration/lib.sh, disk/full.sh (its edits) and network/proxied.sh.

net_step() { full_round=$((full_round + 1)); full_edit; }

# ---- the server is put back ----

# As a snapshot of its disk would: nobody writes in between.
net_keep() {
	local keeper
	keeper=$(keeper_pid)
	kill -STOP "$keeper" "${PID[server]}"
	kept=$((kept + 1))
	mkdir "$W/kept.$kept" && cp -a "$STORE/." "$W/kept.$kept/"
	kill -CONT "$keeper" "${PID[server]}"
	sealed >"$W/kept.$kept.sets"
}

# A server that is dead meanwhile, with a backlog in the collector or without.
net_put_back() {	# net_put_back NUMBER
	local set
	server_kill
	[ $((RANDOM % 2)) = 0 ] || net_step
	rm -rf "${STORE:?}" && mkdir "$STORE" && cp -a "$W/kept.$1/." "$STORE/"
	server_start || { echo "the server does not start"; return; }
	net_converge backup
	while read -r set; do
		tms verify po1 "$set" >"$W/.verify" 2>&1 || { echo "set $set of that copy is no longer good"; cat "$W/.verify"; }
	done <"$W/kept.$1.sets"
}

net_rollbacks() {	# net_rollbacks COUNT
	local i kept=0 before=$violations
	net_world
	net_keep
	for ((i = 0; i < $1; i++)); do
		net_step
		case $((RANDOM % 3)) in
		0) sync_wait ;;
		1) full_churn; backup ;;
		2) ;;	# in the middle of it
		esac >"$W/.work" 2>&1
		[ $kept -ge 12 ] || net_keep
		set -- "$1" $((RANDOM % kept + 1))
		net_put_back "$2" >"$W/.after" 2>&1
		net_judge "the server is put back to copy $2 of $kept" || return
	done
	[ $violations != "$before" ] || ok "a server put back to any earlier copy: everything arrives, what was sealed is good ($1 times)"
}

# ---- two collectors with one key ----

# A machine that was cloned: another tree at the same time, which went its own way, and an operator who says that it is the right one.
twin_start() {
	cp -a "$STATE" "$W/state2" && cp -a "$PO" "$W/po2"
	sed "s|$STATE|$W/state2|; s|run-collector|run-second|; s|$PO$|$W/po2|" "$W/collector.conf" >"$W/second.conf"
	echo "only in the clone" >"$W/po2/offiles/fd0/clone"
	daemon_start second tidemark-collector
	wait_line "$W/second.conf" po1 30 '"tidemark resume" in p["reason"]' || echo "the clone is not told that its tree is another one"
	"$BIN/tidemark" --config "$W/second.conf" resume po1 >/dev/null
}

# Whose tree a set is, if it is one of them as a whole.
twin_owner() {	# twin_owner SET
	rm -rf "$W/restored"
	restore po1 "$1" "$W/restored" >"$W/.restore" 2>&1 || { cat "$W/.restore"; return; }
	compare_tree "$PO" "$W/restored" >"$W/.first" || compare_tree "$W/po2" "$W/restored" >"$W/.second" ||
		{ echo "set $1 is neither of the two trees:"; head -n 5 "$W/.first" "$W/.second"; }
}

# One of them is not heard for as long as the server waits for it; the other takes its place, and makes a set.
twin_turn() {	# twin_turn SLEEPER OTHER
	local set
	net_step
	kill -STOP "${PID[$1]}"
	wait_line "$W/$2.conf" po1 60 'p["connected"]' || echo "the $2 does not take over"
	# What its tree lacks leaves the replica first: what goes after a backup began stays in its set.
	timeout 60 "$BIN/tidemark" --config "$W/$2.conf" sync po1 --wait >"$W/.work" 2>&1 || cat "$W/.work"
	set=$(timeout 60 "$BIN/tidemark" --config "$W/$2.conf" backup po1 --wait 2>"$W/.work") || cat "$W/.work"
	kill -CONT "${PID[$1]}"
	[ -z "$set" ] || twin_owner "$set"
}

net_twins() {	# net_twins TURNS
	local i before=$violations watcher
	net_world
	twin_start >"$W/.after" 2>&1
	for ((i = 0; i < $1; i++)); do
		if [ $((i % 2)) = 0 ]; then twin_turn collector second; else twin_turn second collector; fi >>"$W/.after" 2>&1
		net_judge "two collectors with one key, turn $i" || break
		: >"$W/.after"
	done
	watcher=$(watcher_pid po1 second)
	daemon_end second TERM
	[ -z "$watcher" ] || kill -TERM "$watcher"
	net_converge backup >"$W/.after" 2>&1
	net_judge "two collectors with one key: the clone is gone"
	[ $violations != "$before" ] || ok "two collectors with one key: one at a time, no set is a mixture ($1 turns)"
}

# ---- a week without a network ----

net_clock() { printf '%+d\n' $(($1 * 86400)) >"$W/clock.new" && mv "$W/clock.new" "$W/clock"; }

net_outage() {
	local day before changed sent first faketime
	faketime=$(find /usr/lib -name 'libfaketimeMT.so.1' -print -quit 2>/dev/null)
	[ -n "$faketime" ] && [ "${FLAVOUR:-release}" = release ] || { skip "a week without a network" "needs libfaketime"; return; }
	net_world_new
	net_clock 0
	WITH="env LD_PRELOAD=$faketime FAKETIME_TIMESTAMP_FILE=$W/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1"
	net_world_start
	first=$SET
	kill -USR2 "$PROXY"	# packets go nowhere: each end finds out by itself
	: >"$W/away"
	for day in 1 2 3 4 5 6 7; do
		net_clock $day
		"$GWSIM" churn "$PO" --fraction 3% --seed "$SEED$day" >/dev/null
		net_step
	done
	changed=$(find "$PO/offiles" "$PO/ofuser/index" -newer "$W/away" -type f -printf '%s\n' | awk '{ n += $1 } END { print n + 0 }')
	before=$(cat "$W/bytes")
	kill -HUP "$PROXY"
	net_converge flow >"$W/.after" 2>&1
	sent=$(($(cat "$W/bytes") - before))
	[ $sent -le $((changed * 11 / 10 + 200000)) ] || echo "$sent bytes for $changed that changed, of $(du -sb "$PO" | cut -f 1)" >>"$W/.after"
	[ $sent -ge $((changed / 2)) ] || echo "$sent bytes are too few for $changed that changed: they are not counted" >>"$W/.after"
	net_set >>"$W/.after" 2>&1
	tms verify po1 "$first" >"$W/.verify" 2>&1 || { echo "the set of a week ago is not good any more"; cat "$W/.verify"; } >>"$W/.after"
	WITH=
	net_judge "a week without a network" && ok "a week without a network: what changed is sent, and nothing else ($sent bytes for $changed)"
}
