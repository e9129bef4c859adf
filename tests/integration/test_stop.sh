#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A job can be stopped from both sides in every phase, and then there is nothing of it.
#
# Each phase is held open from outside: a DBCOPY that hangs, a bandwidth that crawls, a watcher or keeper that is asleep.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 21
world_start
check "a first backup is good" backup

mkfifo "$W/reached" && exec 9<>"$W/reached"
blob=0
new_blob() { blob=$((blob + 1)); echo "blob $blob" >"$PO/offiles/fd1/stop$blob"; }

# stop_in PHASE SIDE HOLD RELEASE [CATCH]: HOLD before the backup begins, CATCH when the phase is reached, RELEASE after the stop
stop_in() {
	local phase=$1 side=$2 hold=$3 release=$4 catch=${5:-true} code before label
	[ "$side" = tm ] && label="stopped from the collector in phase $1" || label="stopped from the server in phase $1"
	before=$(sealed)
	"$GWSIM" churn "$PO" --fraction 10% --seed $((blob + 100)) >/dev/null
	new_blob
	$hold
	# The job's own stream tells each phase as it begins; the status is told a few times a second only.
	{ tm --json backup po1 --wait 2>"$W/job.err"; echo $? >"$W/job.code"; } | q --when "o.get('phase') == '$phase'" "$W/reached" &
	local job=$!
	if ! read -rt 60 _ <&9 || ! $catch; then
		not_ok "stop_leaves_nothing: phase $phase is reached" "$W/job.err"
		note "  the job: $(tm --json job show | q phase)"
		note "  the collector: $(tm --json status po1)"
		note "  the server: $(tms --json status po1)"
		tm stop po1
		$release
		wait $job
		return
	fi
	expect 0 '' "$label: the stop is taken" "$side" stop po1
	$release
	wait $job
	code=$(cat "$W/job.code")
	if [ "$phase:$code" = seal:0 ]; then
		TOO_LATE=yes
		same "$label, but too late: one set more" 1 "$(comm -13 <(echo "$before") <(sealed) | wc -l)"
		same "$label, but too late: the history says good" good "$(tm --json job show | q result)"
		return
	fi
	same "$label: the backup does not call itself good" 1 "$code"
	check "$label: no job is left" wait_status 30 'p["job"] is None'
	check "$label: no job is left on the server" wait_server 30 'p["job"] is None'
	same "stop_leaves_nothing: $label: no set" "$before" "$(sealed)"
	same "stop_leaves_nothing: $label: no half state" "" "$(half_state)"
	same "$label: the history says so" "stopped" "$(tm --json job show | q result)"
	new_blob
	check "stop_leaves_nothing: $label: the flow still runs" sync_wait
	check "$label: what the flow sent is right" compare_replica
}

hold_nothing() { :; }
slow() { tm bandwidth po1 8K; }
fast() { tm bandwidth po1 unlimited; }
# New blobs are read once in the seal: with this many it takes long enough to be caught in it.
big_blobs() {
	rm -f "$PO"/offiles/fd2/big*
	"$PYTHON" - "$PO/offiles/fd2" $blob <<'PY'
import os, sys
for i in range(60):
    with open("%s/big%s-%d" % (sys.argv[1], sys.argv[2], i), "wb") as f:
        f.write(os.urandom(5 << 20))
PY
	sync_wait 60
}
keeper_sleeps() { kill -STOP "$KEEPER"; }
keeper_wakes() { kill -CONT "$KEEPER"; }
KEEPER=$(keeper_pid)

for side in tm tms; do
	stop_in barrier $side watcher_sleeps watcher_wakes
	stop_in notify $side keeper_sleeps keeper_wakes
	# The set may have its name before the stop arrives: then job, history and disk must all call it good.
	for try in 1 2 3 4; do
		TOO_LATE=no
		stop_in seal $side big_blobs keeper_wakes keeper_sleeps
		[ $TOO_LATE = yes ] || break
		note "the stop came after the rename, once more"
	done
	same "a stop in phase seal was early enough once" no $TOO_LATE
done
rm -f "$PO"/offiles/fd2/big*
PROFILE_KEYS="bandwidth = 8K" && write_collector_conf collector && collector_stop && collector_start
check "the collector comes back with a limit" wait_status 20 'p["connected"]'
slow_phase() { "$GWSIM" churn "$PO" --fraction 50% --seed 77 >/dev/null; }
stop_in stream tm slow_phase fast
tm bandwidth po1 8K
stop_in stream tms slow_phase fast
PROFILE_KEYS="dbcopy = $TESTS/tools/fake_dbcopy.sh hangs" && write_collector_conf collector && collector_stop && collector_start
check "the collector comes back with a DBCOPY that hangs" wait_status 20 'p["connected"]'
stop_in copy tm hold_nothing hold_nothing
stop_in copy tms hold_nothing hold_nothing
check "no DBCOPY survives a stop" proc gone "$(cat "$STATE/po1/backups/hanging")" 10

# --- nothing to stop; two at once ----------------------------------------------------------------------------------
expect 10 'no job' "with no job running a stop says so on the collector" tm stop po1
expect 10 'no job' "and on the server" tms stop po1
tm backup po1 >"$W/job.out" 2>&1
check "a job hangs in copy" wait_status 20 "j.get('phase') == 'copy'"
expect 11 'running' "a second backup is refused while one runs" tm backup po1
check "the hanging job is stopped" tm stop po1

PROFILE_KEYS='' && write_collector_conf collector && collector_stop && collector_start && wait_status 20 'p["connected"]'
check "the next backup is good" backup
check "its set is restored" restore po1 latest "$W/restored"
check "restored and live tree are the same" compare_tree "$PO" "$W/restored"
expect 0 '' "and verified" tms verify po1
done_testing
