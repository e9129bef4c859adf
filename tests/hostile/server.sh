# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Suites S2-S5: a server that means harm, with the real server's key, and the real collector and watcher on a living office.
#
# After each case the real server comes back to the same collector.

LIAR() { "$PYTHON" "$TESTS/hostile/liar.py" "$@"; }

# The live tree, but for the one folder in which the liar itself makes files.
liar_live_tree() { trees sums "$PO" | grep -vE ' offiles(/liar.*)?$'; }
liar_peak() { awk '/^VmHWM/ { print $2 }' "/proc/$COLLECTOR/status"; }	# KiB, the most there ever was

liar_world() {
	[ -n "${KEPT:-}" ] || hostile_world
	mkdir -p "$PO/ofwork" "$PO/wpcsout"
	echo CANARY >"$PO/ofwork/canary" && echo CANARY >"$PO/wpcsout/canary" && echo CANARY >"$W/scratch/canary"
	ln -s "$W/scratch/canary" "$PO/offiles/fd1/link"
	sync_wait && collector_stop && LIAR learn "$W" "$PORT" && collector_start && sync_wait || { not_ok "hostile: the world is good before the first lie"; exit 1; }
	COLLECTOR=${PID[collector]} LIVE=$(liar_live_tree) PEAK=$(liar_peak)
}

liar_collector_stands() {
	local found
	kill -0 "$COLLECTOR" 2>/dev/null || { echo "the collector is dead"; return 1; }
	! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' "$W/collector.log" || { echo "control characters in the log"; return 1; }
	found=$({ tm status; tm job list; tm --json status; tm set list po1; } 2>&1 | grep $'[\x01-\x08\x0b-\x1f\x7f]') && { echo "control characters: $found" | cat -v; return 1; }
	found=$(diff <(echo "$LIVE") <(liar_live_tree)) || { echo "the live tree changed:"; echo "$found" | head -n 5; return 1; }
	[ "${FLAVOUR:-release}" != release ] || [ "$(liar_peak)" -le $((PEAK + 200 * 1024)) ] || { echo "the collector took $(liar_peak) KiB, and $PEAK before"; return 1; }
}

liar_honest_again() {
	server_start || { echo "the server does not start"; return 1; }
	# Something to be sent: a session in which anything became durable is what makes the next dial quick.
	mkdir -p "$PO/offiles/liar" && echo "honest $cases" >"$PO/offiles/liar/honest$cases"
	sync_wait 120 || { echo "against the honest server no sync ends"; return 1; }
	compare_replica
}

liar_case() {	# liar_case NAME
	local tried
	server_stop
	tried=$(LIAR run "$1" "$W" "$PORT" "$SEED") || { server_start; return 1; }
	mutants=$((mutants + tried))
	liar_collector_stands || { server_start; return 1; }
	liar_honest_again && liar_collector_stands
}

liar_suites() {	# liar_suites PART
	local name suite sentence
	while IFS=$'\t' read -r name suite sentence <&3; do
		case "$suite $name" in *"$1"*) ;; *) continue ;; esac
		hostile_verdict "$suite $name: $sentence" liar_case "$name"
	done 3< <(LIAR list)
}

liar_backup_after_all() { backup && restore po1 latest "$W/restored-po1" && compare_tree "$PO" "$W/restored-po1"; }

liar_world
liar_suites "${ONLY:-}"
hostile_verdict "S3 after all lies a set of the honest server is the live tree" liar_backup_after_all
