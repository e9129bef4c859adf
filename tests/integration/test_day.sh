#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The day: continuous flow, a backup while agents are at work, the sealed set, its restore - judged by programs that share no
# code with the product.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
note "seed $SEED"

world_new domain
po_tiny 11
"$GWSIM" make "$W/dom" --type domain --seed 5 >/dev/null
mkdir "$W/kept"
world_start
check "a second profile is enrolled" enrol dom1
check "the domain connects" wait_line "$W/collector.conf" dom1 20 'p["connected"]'
check "the domain's first comparison ends" tm sync dom1 --wait

# --- the flow alone makes no set ----------------------------------------------------------------------------------
check "the replica of the blobs equals the live blobs" compare_replica
"$GWSIM" churn "$PO" --fraction 5% --seed 3 >/dev/null
check "sync --wait returns" sync_wait
check "after a day's changes the replica equals the live blobs" compare_replica
server_stop && server_start
check "the collector comes back to a server that was restarted" wait_status 30 'p["connected"]'
check "sync --wait returns after it" sync_wait
same "only_a_poke_seals: changes, a sync and a restart of the server make no set" "0 0" "$(sets po1) $(sets dom1)"

# --- a backup of an office in use ---------------------------------------------------------------------------------
"$GWSIM" run "$PO" --rate 150 --processes 2 --every 0 --seed "$SEED" --keep-deleted "$W/kept" >"$W/agents.log" 2>&1 &
agents=$!
STARTED+=("$agents")
"$PYTHON" - "$PO" <<'PY'
import os, sys
for i in range(300):
    with open("%s/offiles/fd%X/late%03d" % (sys.argv[1], i % 7, i), "wb") as f:
        f.write(b"written right before the backup %d\n" % i * 50)
for i in range(4000):	# more names than one page of a list holds
    os.mknod("%s/offiles/fd%X/many%04d" % (sys.argv[1], i % 7, i))
PY
check "a backup makes a set while agents are at work" backup_in_use po1
note "set $SET"
same "the set has the day's name" "$(LC_ALL=C date +%a%b%d | tr '[:upper:]' '[:lower:]')" "$SET"
same "it lies under backups/weeknow" "$SET" "$(sealed po1)"
same "only_a_poke_seals: a backup of one profile seals nothing of another" 0 "$(sets dom1)"
tms --json set list po1 >"$W/sets.json"
same "set list names it" "$SET" "$(q sets.-1.name <"$W/sets.json")"
same "set list says how it is" "$STATE" "$(q sets.-1.state <"$W/sets.json")"
holds "set list counts its files" "$(q sets.-1.files <"$W/sets.json")" -ge 600
holds "T0 lies before the seal" "$(q sets.-1.started_at <"$W/sets.json")" '<' "$(q sets.-1.sealed_at <"$W/sets.json")"
same "the collector lists the same set" "$SET" "$(tm --json set list po1 | q sets.-1.name)"
same "the status names it" "$SET" "$(field last_set.name)"
tms set show po1 "$SET" >"$W/show"
holds "set show lists databases, index and blobs" "$(grep -c -E ' (wphost\.db|ofmsg/msg0\.db|ofuser/index/[^ ]+|offiles/fd0/late000)$' "$W/show")" -ge 4
tm set show po1 "$SET" >"$W/show.collector"
check "on the collector it lists the same" cmp "$W/show" "$W/show.collector"
same "every file of the set, once" "$(q sets.-1.files <"$W/sets.json")" "$(grep '^file ' "$W/show" | sort -u | wc -l)"
expect 0 '' "verify finds no difference" tms verify po1 "$SET"
expect 0 '' "the newest set can be verified without its name" tms verify po1

DAY=$STORE/po1/backups/weeknow/$SET
holds "offiles of the set is one link to the shared blobs" -L "$DAY/offiles"
holds "the link leads to the blobs" -d "$DAY/offiles/fd0"
holds "the set holds the INDEX" -n "$(find "$DAY/ofuser/index" -name '*.idx' 2>/dev/null | head -n 1)"
same "agents' queues and logs of DBCOPY are not in the set" "" \
	"$(find "$DAY/" -maxdepth 1 \( -iname 'of[tw]*' -o -iname 'wpcs*' -o -iname '*gwbk*' \))"
check "the set is restored" restore po1 "$SET" "$W/r1"
expect 0 clean "databases_are_one_snapshot: the restored set is a sound office, every blob it names is there" "$GWSIM" check "$W/r1" --live "$PO"
same "barrier_before_seal: 300 blobs written right before the backup are in the set" 300 "$(find "$W/r1/offiles" -name 'late*' | wc -l)"
same "barrier_before_seal: and whole" 300 "$(find "$W/r1/offiles" -name 'late*' -size +1500c | wc -l)"
trees sums "$DAY" >"$W/day.before"

# --- while agents go on: again and again ---------------------------------------------------------------------------
sound=yes
for round in 1 2; do
	backup_in_use po1 && restore po1 latest "$W/round" >/dev/null 2>&1 && "$GWSIM" check "$W/round" >"$W/.check" || { sound=no; head -n 5 "$W/.check" | sed "s/^/# round $round: /"; }
	rm -rf "$W/round"
done
same "databases_are_one_snapshot: sets made in quick succession are sound too" yes $sound
kill -TERM $agents && wait $agents
same "the agents stop" 0 $?

# --- the next day, at rest: the copy must be equal -----------------------------------------------------------------
first=$(cd "$PO" && find offiles -name 'late0*' | sort | head -n 40)
changed=$(cd "$PO" && find offiles -name 'late1*' | sort | head -n 1)
(cd "$PO" && echo "$first" | xargs rm) && echo "a write-once blob that changed after all" >>"$PO/$changed"
"$GWSIM" churn "$PO" --fraction 3% --seed 4 >/dev/null
"$PYTHON" "$TESTS/tools/watchdir.py" "$STORE/po1/backups/weeknow" >"$W/renames" &
STARTED+=("$!")
until grep -q watching "$W/renames"; do sleep 0.02; done
check "the last changes are on the server" sync_wait # what is deleted only after T0 is still in the set
check "a backup of the office at rest is good" backup po1
check "its restore goes well" restore po1 "$SET" "$W/r2"
check "restored and live tree are the same" compare_tree "$PO" "$W/r2"
wait_file "$W/renames" moved_to
same "set_appears_by_one_rename: weeknow sees one rename into it and nothing else" "watching moved_to $SET" "$(tr '\n' ' ' <"$W/renames" | sed 's/ $//')"
same "the second set of one date gets a number" "-" "$(echo "$SET" | tr -dc -)"
trees sums "$DAY" >"$W/day.after"
check "sealed_means_immutable: later changes, deletions and sets leave an older set as it was" cmp "$W/day.before" "$W/day.after"
OLD=$(basename "$DAY")
check "the older set is restored again" restore po1 "$OLD" "$W/r1again"
check "sealed_means_immutable: it still restores the same, blobs deleted or changed since included" trees compare --plain "$W/r1" "$W/r1again"
check "a part is restored" restore po1 "$OLD" "$W/part" "$changed" ofmsg
same "the part is what was asked for" "$changed" "$(cd "$W/part" && find offiles -type f)"
check "the older version of a changed blob" cmp "$W/r1/$changed" "$W/part/$changed"
expect 10 '' "an unknown set is told so" restore po1 monjan01 "$W/never"
refuse "a folder in use is not restored into" restore po1 latest "$W/r2"

# --- a domain ------------------------------------------------------------------------------------------------------
check "a domain is backed up" backup dom1
check "and restored" restore dom1 latest "$W/rdom"
expect 0 clean "the restored domain is sound" "$GWSIM" check "$W/rdom"
check "the restored domain equals the live one" trees compare "$W/dom" "$W/rdom"

# --- damage is found ------------------------------------------------------------------------------------------------
victim=$STORE/po1/backups/weeknow/$OLD/ofmsg/msg2.db
chmod u+w "$victim" 2>/dev/null
printf 'X' | dd of="$victim" bs=1 seek=9000 conv=notrunc status=none
expect 14 'ofmsg/msg2\.db' "verify names a file that was damaged" tms verify po1 "$OLD"

done_testing
