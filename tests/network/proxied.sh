# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A world whose two ends meet in a proxy, and what that does to their connections.
#
# Sourced after tests/integration/lib.sh and disk/full.sh (its edits).

violations=0 cases=0 struck=0

net_world() { net_world_new && net_world_start; }

net_world_new() {	# a proxy stands between the two ends
	local far
	world_new
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	far=$PORT PORT=$(proc port)
	mkfifo "$W/orders"
	exec {ORDERS}<>"$W/orders"
	"$PYTHON" "$TESTS/tools/proxy.py" "$PORT" "$far" --count "$W/bytes" --orders "$W/orders" >"$W/proxy.log" 2>&1 &
	PROXY=$!
	STARTED+=("$PROXY")
	until grep -q listening "$W/proxy.log"; do sleep 0.02; done
	write_collector_conf collector
	sed -i "s/^address .*/address = 127.0.0.1:$PORT/" "$W/server.conf"
}

net_world_start() {	# all is up, and a first set is sealed
	world_start
	backup >"$W/.first" || { not_ok "network: a first backup is good" "$W/.first"; exit 1; }
}

order() { echo "$*" >&"$ORDERS"; }

# What is sent once all is well again must be everything, and a set be what is there.
net_converge() {
	order flow
	wait_status 60 'p["connected"] and p["watcher"]' || { echo "not everything is up again"; return; }
	sync_wait 60 || { echo "sync does not end"; return; }
	compare_replica
	[ "$1" = flow ] || net_set
}

net_set() {
	backup || backup || { echo "no set can be made"; return; }
	rm -rf "$W/restored"
	restore po1 "$SET" "$W/restored" >"$W/.restore" 2>&1 || cat "$W/.restore"
	compare_tree "$PO" "$W/restored"
	[ -z "$(half_state)" ] || echo "half a set is left: $(half_state)"
}

net_judge() {	# net_judge SENTENCE: the lines of .after that are a violation
	cases=$((cases + 1))
	grep -v ' 0 differences$' "$W/.after" >"$W/.verdict"
	[ -z "${VERBOSE:-}" ] || note "case $cases: $1"
	[ ! -s "$W/.verdict" ] || { violations=$((violations + 1)); not_ok "network: $1" "$W/.verdict"; return 1; }
}

# net_fault WORK ORDER...: the order is given, the work is done, the network is well again, and everything arrives.
net_fault() {
	local work=$1 before
	shift
	before=$(wc -l <"$W/proxy.log")
	order "$*"
	full_round=$((full_round + 1))
	full_edit
	if [ "$work" = backup ]; then
		full_churn
		timeout 60 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait
	else
		sync_wait 60
	fi >"$W/.work" 2>&1
	[ "$(wc -l <"$W/proxy.log")" = "$before" ] || struck=$((struck + 1))
	net_converge "$work" >"$W/.after" 2>&1
	net_judge "$work, $*"
}

# From the first bytes of a handshake to whole files: small numbers are as frequent as large ones.
net_bytes() { "$PYTHON" -c "import random; print(int(10 ** random.Random('$SEED.$cases').uniform(0, 6)))"; }

net_faults() {	# net_faults COUNT: cuts above all
	local i works=(flow flow backup) before=$violations orders=(
		"cut %d 1" "cut %d 2" "cut %d 3" "flip %d" "cut %d 1" "half %d" "cut %d 2")
	net_world
	for ((i = 0; i < $1; i++)); do
		# shellcheck disable=SC2059 # the order is the format
		net_fault "${works[RANDOM % 3]}" "$(printf "${orders[i % 7]}" "$(net_bytes)")" || net_world
	done
	[ $((struck * 2)) -ge "$1" ] || { violations=$((violations + 1)) && not_ok "network: of $1 faults most strike, and not $struck"; }
	net_fault flow delay 60
	net_fault backup delay 20
	net_fault flow rate 300000
	[ $violations != "$before" ] || ok "a connection that is cut, flipped, half-closed, slow: everything arrives once ($1 faults, $struck struck)"
}
