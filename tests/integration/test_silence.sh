#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# silence_is_failure: what is green on either side, and what is not: failures told across, damage told back, nobody enrolled, weekends.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 64
printf '#!/bin/sh\necho "$TIDEMARK_PROFILE $TIDEMARK_EVENT $TIDEMARK_TEXT" >>%s/notified\n' "$W" >"$W/notify.sh"
chmod +x "$W/notify.sh"
SERVER_KEYS="notify = $W/notify.sh" write_server_conf
world_start
last_job() { tms --json job show "$(tms --json job list | q jobs.0.id)" | q "$1"; }

# --- a failure on the collector is one on the server --------------------------------------------------------------------------
check "a first set" backup
same "the server's history tells who wanted the job" "user $(id -un)" "$(last_job origin)"
PROFILE_KEYS='dbcopy = /bin/false' write_collector_conf collector
kill -HUP "${PID[collector]}"
check "the collector takes another DBCOPY" wait_log collector 'collector.reload'
expect 1 '' "a backup whose DBCOPY fails fails" tm backup po1 --wait
check "silence_is_failure: the server's status is red, too" wait_server 10 'p["state"] == "failed"'
expect 1 'last backup failed: DBCOPY ended with status 1' "and says why" tms status po1
same "its history says failed" failed "$(last_job result)"
same "and has the collector's words" "$(tm --json job show | q text)" "$(last_job text)"
check "and its operator was told" wait_file "$W/notified" '^po1 failed '
sed -i 's|^dbcopy .*|dbcopy = /nowhere/dbcopy|' "$W/collector.conf"
kill -HUP "${PID[collector]}"
until_refused() { for _ in 1 2 3 4 5 6 7 8 9 10; do tm backup po1 --wait 2>&1 | grep -q '/nowhere/dbcopy' && return; done; return 1; }
check "a backup that cannot begin fails" until_refused
check "silence_is_failure: the server hears of a backup that never came to it" wait_server 10 'p["last_job"] and "/nowhere/dbcopy" in p["last_job"]["text"]'
expect 1 '/nowhere/dbcopy' "and is red for it" tms status po1
printf '#!/bin/sh\necho $$ >%s/copying\nexec sleep 60\n' "$W" >"$W/slow.sh"
chmod +x "$W/slow.sh"
sed -i "s|^dbcopy .*|dbcopy = $W/slow.sh|" "$W/collector.conf"
collector_stop; collector_start
check "the collector is back" wait_status 20 'p["connected"]'
cut=$(tm backup po1)
check "a backup copies" wait_file "$W/copying" '[0-9]'
STARTED+=("$(cat "$W/copying")")
check "the server knows of it" wait_server 10 'p["job"]'
collector_kill
kill -KILL "$(cat "$W/copying")"
forget_started "$(cat "$W/copying")"
collector_start
check "silence_is_failure: the server hears of a backup that died with its collector" wait_server 20 'p["job"] is None and p["state"] == "failed"'
same "its history has the job" "$cut failed" "$(last_job id) $(last_job result)"
PROFILE_KEYS='' write_collector_conf collector
kill -HUP "${PID[collector]}"
good_again() { for _ in 1 2 3 4 5 6 7 8 9 10; do backup && return; done; return 1; }
check "with the right DBCOPY again a backup is good" good_again
check "and the server is green" wait_server 10 'p["state"] == "ok"'

# --- what the server finds of a set is known on the collector ----------------------------------------------------------------
check "a set that was re-read is verified on the collector" wait_status 20 'p["last_set"]["verified"]'
collector_stop; collector_start
check "also after a restart" wait_status 20 'p["connected"] and p["last_set"] and p["last_set"]["verified"]'
chmod u+w "$STORE/po1/backups/weeknow/$SET/wphost.db"
printf 'X' | dd of="$STORE/po1/backups/weeknow/$SET/wphost.db" bs=1 seek=9000 conv=notrunc status=none
expect 14 '' "verify finds a damaged set" tms verify po1
check "silence_is_failure: the collector is red for it, too" wait_status 10 'p["state"] == "failed"'
expect 1 "$SET, damaged" "and names the set" tm status po1
check "the next good set" backup
check "makes it green again" wait_status 20 'p["state"] == "ok"'

older=$SET
check "another set, which shares what did not change" backup
chmod u+w "$STORE/po1/backups/weeknow/$older/wphost.db"
printf 'Y' | dd of="$STORE/po1/backups/weeknow/$older/wphost.db" bs=1 seek=9000 conv=notrunc status=none
expect 14 '' "verify finds the older one damaged" tms verify po1 "$older"
check "the newest shares the damage: the server is red" wait_server 10 'p["state"] == "failed"'
expect 1 "$SET, differs from its manifest" "and names the newest" tms status po1
check "and so is the collector" wait_status 10 'p["state"] == "failed"'
check "the next set is good" backup
check "and both are green" wait_status 20 'p["state"] == "ok"'

# --- nobody may come in -----------------------------------------------------------------------------------------------------------
expect 0 '' "a token for a name that is a mistake" tms token create p01
check "the keeper knows of it" wait_line "$W/server.conf" p01 20 '"remove" in p["reason"]'
expect 4 'no collector is enrolled.*remove .*/p01' "silence_is_failure: is not green, and the status says how to be rid of it" tms status p01
expect 0 '' "revoke" tms revoke po1
expect 4 'no collector is enrolled' "silence_is_failure: a profile that nobody may feed is not green" tms status po1
collector_stop
server_stop

# --- weekends ---------------------------------------------------------------------------------------------------------------------
FAKE=$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -n 1)
if [ -n "$FAKE" ] && ! [[ ${FLAVOUR:-release} =~ asan|tsan ]]; then
	SERVER_KEYS='' world_new
	po_tiny 65
	export TZ=UTC
	SCHEDULE='Mon..Fri 22:30' PROFILE_KEYS='timezone = UTC' write_collector_conf collector
	clock() { echo "+$(($(date -d "$FRIDAY $1" +%s) - $(date +%s)))" >"$W/clock.new" && mv "$W/clock.new" "$W/clock"; }
	FRIDAY=$(date -d 'next friday + 7 days' +%F)
	clock '21:00'
	WITH="env LD_PRELOAD=$FAKE FAKETIME_TIMESTAMP_FILE=$W/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1"
	world_start
	clock '22:29:59'
	kill -HUP "${PID[collector]}"	# a reload looks at the schedule at once
	check "weekend: Friday's run makes its set" wait_status 60 'p["last_set"] and not p["job"]'
	check "weekend: both are green" wait_server 20 'p["state"] == "ok"'
	clock '01:00 UTC + 2 days'
	check "weekend: on Sunday the flow goes on" sync_wait
	check "weekend: on Sunday nothing is late on the collector" wait_status 20 'p["state"] == "ok"'
	check "weekend: nor on the server" wait_server 20 'p["state"] == "ok"'
	collector_stop
	server_stop; server_start
	clock '00:25 UTC + 4 days'
	check "weekend: a server that was started without its collector remembers when a set is due" wait_server 20 'p["last_set"] and p["state"] != "late"'
	clock '00:35 UTC + 4 days'
	check "silence_is_failure: Monday's set that was not made is late in the same night" wait_server 20 'p["state"] == "late"'
	refuse "weekend: nobody was told of anything late on Sunday" grep -q 'server.late.* [23][0-9] hours' "$W/server.log"
else
	skip "weekends" "no faketime for this flavour"
fi
done_testing
