# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Hostile peers: the world in which they are let loose, and the one check that follows every case.
#
# One server keeps two profiles: po1 is honest and never touched by an attack; evil has a certificate, a post office and a sealed set of
# its own, and then its collector is replaced by ours.  Sourced after tests/integration/lib.sh.
cases=0 mutants=0 violations=0 round=0

ATTACK() { "$PYTHON" "$TESTS/hostile/attack.py" "$@"; }

# In memory where there is room: nothing here is about the disk.
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || [ "$(df --output=avail -m /dev/shm | tail -n 1)" -lt 500 ] || export TMPDIR=/dev/shm

tme() { "$BIN/tidemark" --config "$W/evil.conf" "$@"; }

hostile_collector_conf() {	# the second collector, whose profile turns evil
	cat >"$W/evil.conf" <<-CONF
	[collector]
	server  = 127.0.0.1:$PORT
	state   = $W/state-evil
	run-dir = $W/run-evil
	log-level = debug

	[profile "evil"]
	path     = $W/po-evil
	schedule = off
	CONF
}

# A certificate, a replica and a set, by honest work; then only the certificate is used.
hostile_evil_begins() {
	"$GWSIM" make "$W/po-evil" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed 9 >"$W/gwsim-evil.log" 2>&1 &&
		collector_start evil && enrol evil evil && tme sync evil --wait && tme backup evil --wait && collector_stop evil
}

hostile_world() {
	world_new
	po_tiny
	mkdir "$W/elsewhere" "$W/scratch"
	echo "of po1 alone" >"$PO/offiles/fd0/only-po1"
	echo "of po1 alone" >"$PO/ofuser/index/only-po1"
	hostile_collector_conf
	world_start
	backup >"$W/first.log" 2>&1 && hostile_evil_begins >"$W/evil-begins.log" 2>&1 || { not_ok "hostile: the world is good before the first attack" "$W/evil-begins.log"; exit 1; }
	hostile_scrubbed po1 && hostile_scrubbed evil || { not_ok "hostile: the first sets are verified"; exit 1; }
	hostile_baseline
}

hostile_scrubbed() { wait_line "$W/server.conf" "$1" 30 'p["last_set"] and p["last_set"]["verified"]' >/dev/null && sets_scrubbed "$1"; }

# ---- what is where ----

# Everything in the store that is not evil's: names, bytes, times, links.  LMDB's lock file is written by readers.
hostile_others() {
	local part
	for part in po1 .identity; do trees sums "$STORE/$part" | sed "s/^/$part /"; done | grep -v ' [^ ]*/lock\.mdb$'
	find "$STORE" -name evil -prune -o -type l -printf '%P -> %l\n'
	find "$STORE" -mindepth 1 -maxdepth 1
}
# What evil sealed, and the blobs that its first set names.
hostile_sealed_files() {
	local part
	for part in backups/weeknow state/manifests blobs; do trees sums "$STORE/evil/$part" | awk '$1 != "-"' | sed "s|^|$part |"; done
}
hostile_world_names() { find "$W" -mindepth 1 -maxdepth 1 -not -name '.*' -not -name '*.log' -printf '%f\n' | sort; find "$W/elsewhere" -mindepth 1; }
hostile_fds() { find "/proc/${PID[server]}/fd" -mindepth 1 "$@" 2>/dev/null | wc -l; }	# hostile_fds [TEST of find]
hostile_sockets() { hostile_fds -lname 'socket:*'; }
hostile_memory() { proc memory "${PID[server]}"; }
hostile_all_sets() { sealed po1; sealed evil; find "$STORE"/*/backups/creating -mindepth 1 -maxdepth 1; }

hostile_baseline() {
	local part
	for part in evil/backups/weeknow evil/state/manifests evil/blobs po1 .identity; do
		[ -n "$(trees sums "$STORE/$part")" ] || { not_ok "hostile: there is something that may not change in $part"; exit 1; }
	done
	KEPT=$(hostile_sealed_files)
	KEEPER=$(keeper_pid)
	FDS=$(hostile_fds) SOCKETS=$(hostile_sockets) MEMORY=$(hostile_memory)
	hostile_mark
}
# What may change by honest work between two cases.
hostile_mark() {
	OTHERS=$(hostile_others)
	SETS=$(hostile_all_sets | wc -l)
	NAMES=$(hostile_world_names)
}

# ---- the check ----

MEMORY_GROWS=$((160 << 20))	# queue of 40 MiB, answers of 8 MiB, and what the allocator keeps of both

FDS_GROW=$((2 * 2 * 256 + 16))	# of two profiles' staging, which keeps folders open

hostile_descriptors_come_back() {
	local _
	for _ in $(seq 100); do
		[ "$(hostile_sockets)" -gt "$SOCKETS" ] || break
		sleep 0.1	# nothing tells from outside when the last connection is closed
	done
	[ "$(hostile_sockets)" -le "$SOCKETS" ] || { echo "the server holds $(hostile_sockets) sockets, and held $SOCKETS"; return 1; }
	[ "$(hostile_fds)" -le $((FDS + FDS_GROW)) ] || { echo "the server holds $(hostile_fds) descriptors, and held $FDS"; return 1; }
}

hostile_server_stands() {
	kill -0 "${PID[server]}" 2>/dev/null || { echo "the server is dead"; return 1; }
	[ "$(keeper_pid)" = "$KEEPER" ] || { echo "the keeper is another one"; return 1; }
	hostile_descriptors_come_back || return 1
	[ "${FLAVOUR:-release}" != release ] || [ "$(hostile_memory)" -le $((MEMORY + MEMORY_GROWS)) ] ||
		{ echo "the server holds $(hostile_memory) bytes, and held $MEMORY"; return 1; }
	! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$W/server.log" || { echo "control characters in the log"; return 1; }
}

hostile_nothing_elsewhere() {	# hostile_nothing_elsewhere SETS: how many more there may be
	local found
	found=$(diff <(echo "$OTHERS") <(hostile_others)) || { echo "another's files changed:"; echo "$found" | head -n 8; return 1; }
	found=$(comm -23 <(echo "$KEPT" | sort) <(hostile_sealed_files | sort)) && [ -z "$found" ] || { echo "sealed files changed:"; echo "$found" | head -n 8; return 1; }
	found=$(diff <(echo "$NAMES") <(hostile_world_names)) || { echo "names outside the store changed:"; echo "$found"; return 1; }
	found=$(find "$STORE"/*/{gre_data,blobs,state} -not -type f -not -type d 2>/dev/null) && [ -z "$found" ] || { echo "neither file nor folder: $found"; return 1; }
	found=$(hostile_all_sets | wc -l)
	[ "$found" = $((SETS + $1)) ] || { echo "there are $found sets, half ones counted, and should be $((SETS + $1))"; return 1; }
}

# The honest collector beside it is served as ever.
hostile_honest_work() {
	round=$((round + 1))
	echo "round $round" >"$PO/offiles/fd1/honest$round" && sync_wait 60 || { echo "the honest collector's sync does not end"; return 1; }
	compare_replica
}

hostile_check() { hostile_server_stands && hostile_nothing_elsewhere "$1" && hostile_honest_work && hostile_server_stands; }

# ---- one case ----

# hostile_verdict SENTENCE COMMAND...: counts a case; a violation is told with what the command said
hostile_verdict() {
	local sentence=$1 began=$SECONDS
	shift
	cases=$((cases + 1))
	if "$@" >"$W/.verdict" 2>&1; then
		ok "hostile $sentence"
	else
		violations=$((violations + 1))
		not_ok "hostile $sentence" "$W/.verdict"
	fi
	[ $((SECONDS - began)) -lt 20 ] || note "took $((SECONDS - began)) s"
}

hostile_attack() {	# hostile_attack NAME SETS
	local tried
	tried=$(ATTACK run "$1" "$W" "$PORT" "$SEED") || return 1
	mutants=$((mutants + tried))
	hostile_check "$2"
}

# Every case whose suite or name holds the part; fails when there is none.
hostile_suites() {	# hostile_suites PART
	local name suite sets sentence before=$cases
	ATTACK list >"$W/.list" || { not_ok "hostile: there is a list of cases"; exit 1; }
	while IFS=$'\t' read -r name suite sets sentence <&3; do
		case "$suite $name" in *"$1"*) ;; *) continue ;; esac
		hostile_verdict "$suite $name: $sentence" hostile_attack "$name" "$sets"
		hostile_mark
	done 3<"$W/.list"
	[ $cases != "$before" ]
}
