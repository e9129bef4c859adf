#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The barrier: a set waits for what was changed before it and what the watcher has not even read.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 41
world_start

watcher_sleeps
for i in $(seq 200); do echo "unread $i" >"$PO/offiles/fd$((i % 6))/unread$i"; done
tm backup po1 --wait >"$W/set" 2>"$W/job.err" &
job=$!
check "barrier_before_seal: a backup waits for a watcher that has not read everything" wait_status 20 'j.get("phase") == "barrier"'
same "and makes no set meanwhile" "" "$(sealed)"
check "status says that the watcher does not answer" wait_status 40 'not p["watcher"] and p["state"] == "degraded" and "watcher" in p["reason"]'
check "and the log how to go on without it" grep -q 'watcher.silent.*end it with kill -KILL' "$W/collector.log"
watcher_wakes
check "it ends well" wait $job
check "the watcher answers again" wait_status 20 'p["watcher"]'
check "its set is restored" restore po1 "$(cat "$W/set")" "$W/r"
same "barrier_before_seal: what the watcher had not read is in the set" 200 "$(find "$W/r/offiles" -name 'unread*' | wc -l)"
done_testing
