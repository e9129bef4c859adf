#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Somebody else's DBCOPY: its word is not believed; what arrived, its log and its status are; and blobs that went while it copied.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 51
world_start
check "a first backup is good" backup

FAKE=$TESTS/tools/fake_dbcopy.sh
with_dbcopy() {	# with_dbcopy VARIANT [MORE KEYS]
	PROFILE_KEYS="dbcopy = $FAKE $1 -v
	${2:-}"
	write_collector_conf collector
	collector_stop && collector_start && wait_status 30 'p["connected"]'
}
before=$(sets po1)
day=10
for case in "exit1|1|ended with status 1" "logs-error|1|log says: Error .C04F." "skips-database|1|msg1\.db" "empties-database|1|msg1\.db"; do
	IFS='|' read -r variant code words <<<"$case"
	with_dbcopy "$variant"
	day=$((day + 1))
	"$GWSIM" churn "$PO" --fraction 30% --seed $day >/dev/null
	touch -d "+$day seconds" "$PO/ofmsg/msg1.db"	# newer than every copy, whatever the clock's grain
	expect "$code" "$words" "an external DBCOPY that $variant fails the backup and says why" tm backup po1 --wait
done
with_dbcopy hangs "dbcopy-timeout = 1s"
expect 1 'time limit' "an external DBCOPY that hangs is ended at its time limit" tm backup po1 --wait
same "none of these made a set" "$before" "$(sets po1)"
same "nor half a set" "" "$(half_state po1)"
with_dbcopy good
check "an external DBCOPY that works makes a good set" backup po1
check "that is restored" restore po1 latest "$W/r3"
check "and equals the live tree" compare_tree "$PO" "$W/r3"
expect 0 'blobs seen: 0' "its output is in the job's log, and it saw no blobs to copy" tm job show
with_dbcopy talks
check "an external DBCOPY that talks much makes a good set" backup po1
expect 0 '^copied file 4999 of many' "job show has the end of its output" tm job show
expect 0 '^\[[0-9]+ bytes before this are left out; the whole log is .*\.log\]$' "and says where the rest is" tm job show
copies=$STATE/po1/backups/copies
with_dbcopy brief-blob-once
check "a blob that is deleted before it is sent, while the databases are copied, does no harm" backup po1
same "the databases are copied once more" 2 "$(wc -l <"$copies")"
rm "$copies" && with_dbcopy brief-blob-always
expect 3 '' "a set is made with a warning when that happens in every copy" tm backup po1 --wait
same "the databases are copied a bounded number of times" 3 "$(wc -l <"$copies")"
same "its own logs are not in the set" "" "$(find "$STORE/po1/backups/weeknow/" "$PO" -iname '*gwbk*')"
done_testing
