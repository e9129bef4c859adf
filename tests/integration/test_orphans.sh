#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What outlives its parent: a DBCOPY whose collector was killed, and what a DBCOPY leaves running.  Never do two copy into one staging.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 61
world_start
check "a first backup is good" backup

mkfifo "$W/began" "$W/locked" && exec 8<>"$W/locked" 9<>"$W/began"
adopt() { STARTED+=("$@"); }	# not ours by birth, but ours to end
disown_all() { local pid; for pid in "$@"; do proc gone "$pid" 0 && forget_started "$pid"; done; }

# ---- the built-in one, which waits for an agent's lock ----

"$GWSIM" churn "$PO" --fraction 30% --seed 62 >/dev/null
touch -d '+10 seconds' "$PO/ofmsg/msg1.db"
"$PYTHON" -c 'import fcntl, os, signal, sys
f = open(sys.argv[1], "r+b")
fcntl.lockf(f, fcntl.LOCK_EX)
os.write(8, b"locked\n")
signal.pause()' "$PO/ofmsg/msg1.db" &
agent=$!
adopt $agent
read -rt 60 _ <&8 || not_ok "an agent holds a database"
dbcopy_pid() {	# the built-in one, a child of the collector
	local child i
	for i in $(seq 200); do
		for child in $(proc children "${PID[collector]}" 2>/dev/null); do
			[ "$(cat "/proc/$child/comm" 2>/dev/null)" != tidemark-dbcopy ] || { echo "$child"; return; }
		done
		[ "$i" = 200 ] || sleep 0.05	# nothing tells of a fork from outside
	done
	return 1
}
check "a backup begins" tm backup po1
old=$(dbcopy_pid) || not_ok "DBCOPY runs"
adopt "$old"
collector_kill
check "the built-in DBCOPY ends with a collector that is killed" proc gone "$old" 10
disown_all "$old"
kill -KILL $agent && wait $agent 2>/dev/null
disown_all $agent
collector_start && wait_status 30 'p["connected"]' || not_ok "the collector comes back"
check "the next backup is good" backup

# ---- somebody else's ----

script() {	# script BODY: what DBCOPY does from now on
	printf '#!/bin/bash\n%s\n' "$1" >"$W/dbcopy.new" && chmod +x "$W/dbcopy.new" && mv "$W/dbcopy.new" "$W/dbcopy"
}
GOOD="exec '$TESTS/tools/fake_dbcopy.sh' good \"\$@\""
PROFILE_KEYS="dbcopy = $W/dbcopy" write_collector_conf collector
script "$GOOD"
restarted() { collector_start && wait_status 30 'p["connected"]'; }
collector_stop
check "the collector comes back with another DBCOPY" restarted
check "which works" backup

# What leaves DBCOPY's session tells of itself once it has left; the collector knows of the session by then.
LEAVES="setsid bash -c 'echo \$\$ >$W/began; exec sleep 900' &"
left_session() { read -rt 60 left <&9 && adopt "$left" && until grep -qs '[1-9]' "$STATE/po1/dbcopy.lock"; do sleep 0.02; done; }

# A command that timeout(1) began has a process group of its own.
script "sleep 900 & timeout 900 sleep 900 & echo \$\$ \$! >'$W/began'; wait"
check "a backup begins that hangs in DBCOPY" tm backup po1
read -rt 60 -a old <&9 || not_ok "DBCOPY runs"
adopt "${old[@]}"
collector_kill
check "another's DBCOPY outlives a collector that is killed" kill -0 "${old[@]}"
# (where nobody takes in orphans the dead ones stay as zombies)
script "for old in ${old[*]}; do ! grep -qs '^State:.[^ZX]' /proc/\$old/status || exit 7; done
$GOOD"
check "the collector comes back beside it" restarted
check "no second DBCOPY begins before the first was ended, with all it started" backup
check "nothing of the first is left" proc gone "${old[*]}" 1
disown_all "${old[@]}"

script "$LEAVES wait"
check "a backup begins whose DBCOPY starts what leaves its session" tm backup po1
left_session || not_ok "DBCOPY runs"
collector_kill
script "$GOOD"
check "the collector comes back" restarted
expect 11 "no backup was made.*process $left \(sleep\)" "what left the session of an unfinished DBCOPY is named, and no backup is made beside it" \
	tm backup po1 --wait
check "it is not ended: it may be a daemon" kill -0 "$left"
kill "$left" && proc gone "$left" 10
disown_all "$left"
check "without it the backup is good" backup

# ---- an end that is no end of its output ----

script "$LEAVES $GOOD"
expect 0 '' "a DBCOPY that leaves a daemon behind, which holds its output, ends all the same" timeout 60 "$BIN/tidemark" --config "$W/collector.conf" \
	backup po1 --wait
read -rt 60 left <&9 || not_ok "DBCOPY ran"
adopt "$left"
check "what left its session is not ended" kill -0 "$left"
script "$GOOD"
check "nor does it hold up the next backup: its DBCOPY had ended well" backup
kill "$left" && proc gone "$left" 10
disown_all "$left"

script "sleep 900 & echo \$! >'$W/began'; $GOOD"
check "a DBCOPY that leaves a process in its session makes a good set" backup
read -rt 60 left <&9 || not_ok "DBCOPY ran"
check "and the process was ended before the set was made" proc gone "$left" 0
expect 0 'left 1 processes running' "which the job's log tells" tm job show

script "$LEAVES wait"
check "a backup begins whose output will be held open" tm backup po1
left_session || not_ok "DBCOPY runs"
expect 0 '' "it is stopped" tm stop po1
check "and ends, whoever holds its output" wait_status 20 'p["job"] is None'
kill "$left" && proc gone "$left" 10
disown_all "$left"
script "$GOOD"
check "the last backup is good" backup
check "it is restored" restore po1 latest "$W/restored"
check "and equals the live tree" compare_tree "$PO" "$W/restored"
done_testing
