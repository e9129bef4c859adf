# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Overflows: the watcher sleeps while more happens than the kernel's queue holds.  What came before the flood is still queued,
# what came after it is lost; every one must be a rescan that finds all of it.

# One part of what happens lies before the flood and one after it.
overflows_flood() {	# overflows_flood SEED
	local watcher
	watcher=$(watcher_pid) || { echo "there is no watcher"; return 1; }
	kill -STOP "$watcher"
	"$TOOLDIR/racer" -n 60 "$OUTSIDE" "$1" "$BLOBS" && "$TOOLDIR/racer" -n 60 "$OUTSIDE" "$1" "$INDEX" &&
		"$PYTHON" "$TESTS/tools/flood.py" "$INDEX" &&
		"$TOOLDIR/racer" -n 100 "$OUTSIDE" $(($1 + 1)) "$BLOBS" && "$TOOLDIR/racer" -n 100 "$OUTSIDE" $(($1 + 1)) "$INDEX" || return 1
	rm -rf "$BLOBS/s$1" "$INDEX/s$(($1 - 3))"
	kill -CONT "$watcher"
}

# The ways in which it may come: alone; to a collector that slept as well; twice; into a sync that waits; into a job.
overflows_one() {	# overflows_one SEED WAY
	local before waiting=''
	before=$(watching_figure overflows)
	case $2 in
	asleep) kill -STOP "${PID[collector]}" ;;
	sync) sync_wait 60 >/dev/null & waiting=$! ;;
	job) tm backup po1 >/dev/null || return 1 ;;
	esac
	overflows_flood "$1" || return 1
	[ "$2" != twice ] || overflows_flood $(($1 + 2)) || return 1
	kill -CONT "${PID[collector]}"
	[ -z "$waiting" ] || wait $waiting || { echo "a sync that waited during the overflow did not end"; return 1; }
	wait_status 60 'p["job"] is None' || return 1
	watching_check || return 1
	[ "$(watching_figure overflows)" -gt "$before" ] || { echo "the queue did not overflow"; return 1; }
}

watching_overflows() {	# watching_overflows FIRST COUNT
	local seed=$1 i way ways=(alone alone asleep twice alone alone asleep alone sync job) bad=0
	[ -z "${WAY:-}" ] || ways=("$WAY")
	watching_world
	for ((i = 0; i < $2; i++, seed += 4)); do
		way=${ways[i % ${#ways[@]}]}
		if ! overflows_one "$seed" "$way" >"$W/.round" 2>&1; then
			bad=$((bad + 1))
			not_ok "overflow_is_a_rescan: overflow $i, $way (again: SEED=$seed OVERFLOWS=1 WAY=$way ONLY=overflows make watching)" "$W/.round"
			watching_fresh_world
		fi
		overflows=$((overflows + 1))
		[ $((i % 20)) != 19 ] || { rm -rf "$OUTSIDE" "${BLOBS:?}"/* "${INDEX:?}"/*; mkdir "$OUTSIDE"; }
		[ $((overflows % 50)) != 0 ] || note "$overflows overflows, $bad violations"
	done
	[ $bad != 0 ] || ok "overflow_is_a_rescan: nothing was lost in $2 overflows of the kernel's queue"
}
