#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Random edits and random deaths, then peace: both trees must be equal.  SEED repeats the edits and the order of deaths, CHURN is
# how many seconds they last; `make chaos` takes longer and many seeds.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
SECONDS_OF_CHURN=${CHURN:-8}
note "seed $SEED"
export OUTSIDE

world_new
po_tiny 31
OUTSIDE=$W
world_start
check "a first backup, so that there is a set to protect" backup
FIRST=$SET
trees sums "$STORE/po1/backups/weeknow/$FIRST" >"$W/first.before"

# By content; what nobody knows of may lie there as well.
index_is_there() {
	local differences
	differences=$(index_differences | grep '^[<>]')
	[ -z "$differences" ] || { echo "$differences"; return 1; }
}

victims=(server keeper collector watcher)
"$PYTHON" "$TESTS/tools/churn.py" "$PO/offiles" "$SEED" "$SECONDS_OF_CHURN" >"$W/churn.out" 2>&1 &
churn=$!
"$PYTHON" "$TESTS/tools/churn.py" "$PO/ofuser/index" "$((SEED + 1))" "$SECONDS_OF_CHURN" >"$W/churn2.out" 2>&1 &
churn2=$!
STARTED+=("$churn" "$churn2")

RANDOM=$((SEED % 32768))
kills=0
while kill -0 $churn 2>/dev/null; do
	victim=${victims[$((RANDOM % ${#victims[@]}))]}
	# Also in the middle of a backup: then its job is lost, and nothing else.
	[ $((RANDOM % 3)) != 0 ] || tm backup po1 >/dev/null 2>&1
	proc gone $churn "0.$((RANDOM % 9))" && break
	case $victim in
	server) server_kill; server_start || not_ok "the server starts after a kill" "$W/server.log" ;;
	keeper) keeper_kill ;;
	collector) collector_kill; collector_start || not_ok "the collector starts after a kill" "$W/collector.log" ;;
	watcher) watcher_kill ;;
	esac
	kills=$((kills + 1))
done
wait $churn; code=$?
wait $churn2; code2=$?
same "the edits went on to their end" "0 0" "$code $code2"
note "$kills kills; $(cat "$W/churn.out")"
check "all are up again" wait_status 60 'p["connected"] and p["watcher"]'
check "and the keeper is" wait_server 60 'o["keeper"]'
tm stop po1 >/dev/null 2>&1
check "no job runs" wait_status 60 'p["job"] is None'
check "every_start_is_a_recovery: after $kills kills at random the journal drains" sync_wait 120
check "every_start_is_a_recovery: the server's copy of the index area is the live one" index_is_there
check "a backup is good" backup
check "its set is restored" restore po1 "$SET" "$W/restored"
check "every_start_is_a_recovery: the set equals the live tree, odd names included" compare_tree "$PO" "$W/restored"
same "the slow scan found nothing that the flow had missed" 0 "$(field drift)"
expect 0 '' "every set that was made is good" tms verify po1
trees sums "$STORE/po1/backups/weeknow/$FIRST" >"$W/first.after"
check "sealed_means_immutable: neither kills nor churn touched the first set" cmp "$W/first.before" "$W/first.after"
check "and it is verified again" tms verify po1 "$FIRST"
same "set_appears_by_one_rename: no kill left half a set" "" "$(half_state)"
made=$(sets)
server_stop
rm -rf "${STORE:?}/po1/state/catalogue"
server_start
same "a catalogue made again from the ledger knows every set" "$made" "$(sets)"
good=yes
for name in $(sealed); do tms verify po1 "$name" >"$W/.verify" 2>&1 || { good=no; head -n 5 "$W/.verify" | sed "s/^/# $name: /"; }; done
same "set_appears_by_one_rename: every set under weeknow is complete" yes $good
done_testing
