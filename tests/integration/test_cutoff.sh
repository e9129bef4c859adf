#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A scheduled backup that the collector's own end cuts off is made up for, once; one that an operator stops is not.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 71
world_start
check "a first backup is good" backup

mkfifo "$W/began" && exec 9<>"$W/began"
script() { printf '#!/bin/bash\n%s\n' "$1" >"$W/dbcopy.new" && chmod +x "$W/dbcopy.new" && mv "$W/dbcopy.new" "$W/dbcopy"; }
GOOD="exec '$TESTS/tools/fake_dbcopy.sh' good \"\$@\""
HANGS="echo \$\$ >'$W/began'; exec sleep 900"
SCHEDULE="$(date -d '-2 hours' +%H:%M)" PROFILE_KEYS="dbcopy = $W/dbcopy" write_collector_conf collector

# The slot of two hours ago is due: a scheduled job begins, and hangs in DBCOPY.
due() {
	collector_stop
	sed -i "1s/last_slot=[0-9]*/last_slot=$(date -d '-1 day' +%s)/" "$STATE/po1/memo"
	script "$HANGS"
	collector_start
	read -rt 60 old <&9 && STARTED+=("$old")
}
cut_off() { "$@" && script "$GOOD" && collector_start && wait_status 30 'p["connected"]'; }
over() { wait_status 60 'p["job"] is None and p["last_job"] and p["last_job"]["result"] == "good" and p["last_job"]["origin"] == "schedule, again"'; }
scheduled() { tm --json job list | "$PYTHON" -c 'import json, sys; print(sum(j["origin"].startswith("schedule") for j in json.load(sys.stdin)["jobs"]))'; }

for end in kill stop; do
	before=$(sets po1) jobs=$(scheduled)
	check "a scheduled backup begins (collector_$end)" due
	check "it is cut off by the collector's end (collector_$end)" cut_off collector_$end
	check "a run that was cut off is made up for (collector_$end)" over
	same "with a set (collector_$end)" $((before + 1)) "$(sets po1)"
	collector_stop && collector_start && wait_status 30 'p["connected"]' && sync_wait >/dev/null
	kill -HUP "${PID[collector]}" && sync_wait >/dev/null	# a reload looks at the schedule at once
	same "once: the next start makes no further one (collector_$end)" $((jobs + 2)) "$(scheduled)"
	forget_started "$old"
done

before=$(sets po1) jobs=$(scheduled)
check "another scheduled backup begins" due
check "it is stopped by an operator" tm stop po1
check "it is over" wait_status 30 'p["job"] is None'
check "the collector starts again" cut_off collector_stop
kill -HUP "${PID[collector]}" && sync_wait >/dev/null
same "a run that an operator stopped is not made up for" "$((jobs + 1)) $before" "$(scheduled) $(sets po1)"
done_testing
