# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Suites S1-S5: a server that means harm, with the real server's key, and the real collector and watcher on a living office.
#
# After each case the real server comes back to the same collector.

RELEASE() { "$BIN/tidemark-release" "$@"; }
LIAR() { BIN=$BIN "$PYTHON" "$TESTS/hostile/liar.py" "$@"; }

# The live tree, but for the one folder in which the liar itself makes files.
liar_live_tree() { trees sums "$PO" | grep -vE ' offiles(/liar.*)?$'; }
liar_peak() { awk '/^VmHWM/ { print $2 }' "/proc/$COLLECTOR/status"; }	# KiB, the most there ever was

# What S1 shows: releases of programs that only tell a version, signed by two whom the collector trusts but for what the name says; of
# several pieces, so that one can be right and the next a lie.
liar_releases() {
	local dir=$W/scratch/releases name program
	mkdir -p "$dir/programs" && for name in ann ben stranger; do RELEASE key "$dir/$name.key" >"$dir/$name.pub" || return; done
	cat "$dir/ann.pub" "$dir/ben.pub" >"$W/scratch/keys"
	for program in tidemark-collector tidemark-watcher tidemark-dbcopy; do { cat "$BIN/../tools/stillborn" && head -c 300000 /dev/urandom; } >"$dir/programs/$program"; done
	chmod +x "$dir/programs/"* && echo 0.0.1 >"$dir/programs/version" && RELEASE pack "$dir/programs" "$dir/older.release" || return
	echo 999.0.0 >"$dir/programs/version" && RELEASE pack "$dir/programs" "$dir/unsigned.release" || return
	faketime -f -400d "$BIN/tidemark-release" pack "$dir/programs" "$dir/expired.release" || return
	for name in good one stranger elsewhere; do cp "$dir/unsigned.release" "$dir/$name.release"; done
	sed -i '1,/linux-/s/linux-x86_64/linux-vax_64/; 1,/linux-/s/linux-aarch64/linux-vaxch64/' "$dir/elsewhere.release"
	for name in good older expired elsewhere; do RELEASE sign "$dir/$name.release" "$dir/ann.key" "$dir/ben.key" || return; done
	RELEASE sign "$dir/one.release" "$dir/ann.key" && cp "$dir/one.release" "$dir/stranger.release" && RELEASE sign "$dir/stranger.release" "$dir/stranger.key"
}

liar_world() {
	[ -n "${KEPT:-}" ] || hostile_world
	liar_releases >"$W/releases.log" 2>&1 || { not_ok "hostile: the releases are made" "$W/releases.log"; exit 1; }
	sed -i "/^state /a upgrade-keys = $W/scratch/keys" "$W/collector.conf"
	mkdir -p "$PO/ofwork" "$PO/wpcsout"
	echo CANARY >"$PO/ofwork/canary" && echo CANARY >"$PO/wpcsout/canary" && echo CANARY >"$W/scratch/canary"
	ln -s "$W/scratch/canary" "$PO/offiles/fd1/link"
	sync_wait && collector_stop && LIAR learn "$W" "$PORT" && collector_start && sync_wait || { not_ok "hostile: the world is good before the first lie"; exit 1; }
	COLLECTOR=${PID[collector]} LIVE=$(liar_live_tree) PEAK=$(liar_peak)
	[ -n "$LIVE" ] || { not_ok "hostile: there is a live tree that may not change"; exit 1; }
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
	LIAR list >"$W/.list" || { not_ok "hostile: there is a list of lies"; exit 1; }
	while IFS=$'\t' read -r name suite sentence <&3; do
		case "$suite $name" in *"$1"*) ;; *) continue ;; esac
		hostile_verdict "$suite $name: $sentence" liar_case "$name"
	done 3<"$W/.list"
}

liar_backup_after_all() { backup && restore po1 latest "$W/restored-po1" && compare_tree "$PO" "$W/restored-po1"; }

liar_world
liar_suites "${ONLY:-}"
hostile_verdict "S3 after all lies a set of the honest server is the live tree" liar_backup_after_all
