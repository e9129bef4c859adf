#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tidemark-dbcopy against agents at work: every copy is proved by the simulator's own check.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

world_new
DBCOPY=$BIN/tidemark-dbcopy
DST=$W/copy
mkdir "$DST"
po_tiny || { not_ok "an office is made" "$W/gwsim.log"; done_testing; }
echo "# seed $SEED"


# --- an office at rest ----------------------------------------------------------------------------------------------
expect 0 'files copied, 0 current' "the first run copies everything" "$DBCOPY" "$PO" "$DST"
check "the copy is whole" "$GWSIM" check "$DST" --databases-only --live "$PO"
holds "live areas are left alone" ! -e "$DST/offiles"
holds "the index too" ! -e "$DST/ofuser/index"
check "the log is mmddgwbk.001" test -s "$DST/$(date +%m%d)gwbk.001"
check "it counts the errors" grep -q ' 0 errors' "$DST/$(date +%m%d)gwbk.001"
before=$(cd "$DST" && find . -name '*.db' -printf '%p %i %T@\n' | sort)
expect 0 '^0 files copied, [1-9][0-9]* current, 0 bytes written, 0 errors' "a second run has nothing to do" "$DBCOPY" "$PO" "$DST"
same "and touches nothing" "$before" "$(cd "$DST" && find . -name '*.db' -printf '%p %i %T@\n' | sort)"
check "its log is the next number" test -s "$DST/$(date +%m%d)gwbk.002"

"$GWSIM" churn "$PO" --fraction 2% --seed "$SEED" >"$W/churn"
pages=$(grep -oE '"changed_db_bytes":[0-9]+' "$W/churn" | cut -d: -f2)
expect 0 'files copied' "a third run copies what changed" "$DBCOPY" -v -t 4 "$PO" "$DST"
written=$(grep -oE '[0-9]+ bytes written, 0 errors' "$W/.out" | cut -d' ' -f1)
all=$(find "$DST" -name '*.db' -printf '%s\n' | awk '{ n += $1 } END { print n }')
note "changed ${pages:-?} bytes of $all, written $written"
holds "it writes not much more than the changed pages" "$written" -le $((${pages:-0} + all / 10))
holds "and not less" "$written" -gt 0
check "-v names each file" grep -q '^copied ofmsg/msg' "$W/.out"
check "the log does too" grep -q 'Copied ofmsg/msg' "$DST/$(date +%m%d)gwbk.003"
check "the copy is whole again" "$GWSIM" check "$DST" --databases-only --live "$PO"

rm "$DST/wphost.db" && truncate -s 5000 "$DST/ofmsg/msg0.db" && echo rubbish >>"$DST/ofmsg/msg1.db"
expect 0 'files copied' "a damaged destination is copied over" "$DBCOPY" "$PO" "$DST"
check "and whole" "$GWSIM" check "$DST" --databases-only --live "$PO"

# --- since a day ------------------------------------------------------------------------------------------------------
find "$PO" -name '*.db' -exec touch -d '2020-03-04 12:00' {} +
touch -d '2020-03-06 12:00' "$PO/ofmsg/msg2.db" "$PO/wphost.db"
mkdir "$W/since"
expect 0 '' "-i takes a day" "$DBCOPY" -v -i 03-05-2020 "$PO" "$W/since"
same "and copies what changed since" "./ofmsg/msg2.db ./wphost.db" "$(cd "$W/since" && find . -name '*.db' | sort | tr '\n' ' ' | sed 's/ $//')"
expect 2 'mm-dd-yyyy' "another form of day is refused" "$DBCOPY" -i 2020-03-05 "$PO" "$W/since"

# --- agents at work ---------------------------------------------------------------------------------------------------
"$GWSIM" run "$PO" --processes 3 --every 0 --seed "$SEED" >"$W/agents.log" 2>&1 &
agents=$!
STARTED+=("$agents")
good=0 checked=0
for round in 1 2 3 4 5; do
	"$DBCOPY" -t $((round % 4 + 1)) "$PO" "$DST" >"$W/.out" 2>"$W/.err" && good=$((good + 1)) || sed 's/^/#   /' "$W/.err"
	"$GWSIM" check "$DST" --databases-only --live "$PO" >"$W/.check" && checked=$((checked + 1)) || head -n 5 "$W/.check" | sed 's/^/#   /'
done
same "five runs beside busy agents end well" 5 $good
same "each copy is whole" 5 $checked
kill -TERM "$agents"
wait "$agents"
"$DBCOPY" "$PO" "$DST" >"$W/.out"
check "the last copy equals the office at rest" "$GWSIM" check "$DST" --databases-only --live "$PO"
differ=$(cd "$PO" && find . -name '*.db' | while IFS= read -r f; do cmp -s "$f" "$DST/$f" || echo "$f"; done)
same "byte by byte" "" "$differ"

# --- killed in the middle ----------------------------------------------------------------------------------------------
"$GWSIM" churn "$PO" --fraction 20% --seed 5 >/dev/null
# How many copies one sync is for is the disk's choice: only the first is sure to come.
for point in copier.sync copier.sync.done; do
	expect 137 '' "it is killed at its first $point" bash -c 'exec env TIDEMARK_FAILPOINT="$0:1" "$@"' $point "$DBCOPY" -t 1 "$PO" "$DST"
done
expect 0 '' "after two kills a run ends well" "$DBCOPY" "$PO" "$DST"
check "and the copy is whole" "$GWSIM" check "$DST" --databases-only --live "$PO"
differ=$(cd "$PO" && find . -name '*.db' | while IFS= read -r f; do cmp -s "$f" "$DST/$f" || echo "$f"; done)
same "and equal byte by byte" "" "$differ"

# --- errors -------------------------------------------------------------------------------------------------------------
expect 2 'usage' "no destination is wrong usage" "$DBCOPY" "$PO"
expect 2 '1..16' "too many threads are wrong usage" "$DBCOPY" -t 99 "$PO" "$DST"
expect 2 'neither' "what is no post office is named" "$DBCOPY" "$W/since/ofmsg" "$DST"
expect 1 'destination' "a destination that is not there fails" "$DBCOPY" "$PO" "$W/nowhere"
if [ $ROOT = yes ] && mount_tmpfs "$W/small" 1m; then
	expect 15 'copied' "a full destination is no space" "$DBCOPY" "$PO" "$W/small"
	check "and says which files" grep -q 'of[a-z]*/.*: write at .*: No space' "$W/.err"
else
	skip "a full destination is no space" "not root"
fi
done_testing
