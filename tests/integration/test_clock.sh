#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The clock jumps, on both hosts or on one: one set for each civil day, none twice, and none deleted early.
#
# libfaketime moves the wall clock of the real daemons; monotonic time and file times stay the kernel's.
. "$(dirname "$0")/lib.sh"

FAKETIME=$(find /usr/lib -name 'libfaketimeMT.so.1' -print -quit 2>/dev/null)
if [ -z "$FAKETIME" ] || [ "${FLAVOUR:-release}" != release ]; then
	skip "clocks that jump" "needs libfaketime, and a program without a sanitizer"
	done_testing
fi
ZONE=Europe/Berlin

# clock SIDE WHEN: of the side server or collector; WHEN as date(1) reads it, in ZONE.
clock() {
	printf '%+d\n' $(($(TZ=$ZONE date -d "$2" +%s) - $(date +%s))) >"$W/$1.clock.new" && mv "$W/$1.clock.new" "$W/$1.clock"
}
clocks() { clock server "$1" && clock collector "$1"; }

with_clock() {	# with_clock SIDE COMMAND...
	local side=$1
	shift
	WITH="env LD_PRELOAD=$FAKETIME FAKETIME_TIMESTAMP_FILE=$W/$side.clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1" "$@"
}

world() {	# world WHEN: everything up at that moment
	world_new
	po_tiny 5
	clocks "$1"
	with_clock server server_start || { not_ok "the server starts" "$W/server.log"; exit 1; }
	with_clock collector collector_start || { not_ok "the collector starts" "$W/collector.log"; exit 1; }
	enrol po1 >"$W/enrol.log" 2>&1 || { not_ok "the collector is enrolled" "$W/enrol.log"; exit 1; }
	check "$1: a first comparison" sync_wait
	look	# the profile's first start, before which nothing was missed
}

names() { sealed | tr '\n' ' '; }
look() { kill -HUP "${PID[collector]}" && tm sync po1 --wait >/dev/null; }	# at the schedule, which a reload does at once

run_of() {	# run_of NAME: that set comes by itself
	check "the schedule makes $1" wait_status 60 "p[\"last_set\"] and p[\"last_set\"][\"name\"] == \"$1\" and not p[\"job\"]"
}

# --- the days of spring and autumn -----------------------------------------------------------------------------------------
SERVER_KEYS='keep-days = 400' SCHEDULE='Mon..Sun 02:30' PROFILE_KEYS="timezone = $ZONE" world '2026-03-28 02:00:00'
clocks '2026-03-28 02:29:59'
run_of satmar28
clocks '2026-03-29 03:29:59'	# 02:30 does not exist on this day
run_of sunmar29
clocks '2026-03-30 02:29:59'
run_of monmar30
clocks '2026-10-25 02:29:59 CEST'
run_of sunoct25
clocks '2026-10-25 02:29:59 CET'	# 02:30 comes a second time
look
clocks '2026-10-26 02:29:59'
run_of monoct26
same "one set for each day that had a run" "monmar30 monoct26 satmar28 sunmar29 sunoct25 " "$(names)"

# --- back, and forth again -------------------------------------------------------------------------------------------------
clocks '2026-10-24 02:29:59'
look
clocks '2026-10-26 02:29:50'
look
clocks '2026-10-27 02:29:59'
run_of tueoct27
same "a clock set back makes no day twice" "monmar30 monoct26 satmar28 sunmar29 sunoct25 tueoct27 " "$(names)"

# --- a clock that was a year ahead when a backup was due ---------------------------------------------------------------------
server_stop
clock server '2026-10-28 02:20:00'
with_clock server server_start || not_ok "the server starts again" "$W/server.log"
check "whoever connects hears the server's time" sync_wait
clock collector '2027-11-30 02:29:59'
run_of tuenov30
clock collector '2026-10-28 02:29:50'
run_of wedoct28
clocks '2026-10-29 02:29:59'
run_of thuoct29
server_stop
collector_stop

# --- any jump, on either side, under living daemons --------------------------------------------------------------------------
SERVER_KEYS='keep-days = 2' PROFILE_KEYS="timezone = $ZONE" world '2026-06-10 12:00:00'
made=0
for side in collector server both; do
	for jump in '2026-06-10 12:00:01' '2026-06-10 11:00:00' '2026-06-12 13:30:00' '2025-06-10 12:00:00' '2036-06-10 12:00:00' \
		'1970-01-02 12:00:00' '2038-01-20 12:00:00' '2106-02-08 12:00:00'; do
		echo "$side $jump" >"$PO/offiles/fd3/clock$made"
		case $side in both) clocks "$jump" ;; *) clock "$side" "$jump" ;; esac
		check "$side at $jump: a backup" backup
		made=$((made + 1))
		holds "$side at $jump: no set is gone" "$(sealed | wc -l)" = $made
	done
	clocks '2026-06-10 12:30:00'
done
check "the right time again: a backup" backup
check "the newest set is whole" tms verify po1 "$SET"
restore po1 "$SET" "$W/back" >"$W/restore.log" 2>&1
check "and is the live tree" compare_tree "$PO" "$W/back"
done_testing
