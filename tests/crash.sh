#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash at every call: each program is killed before, after and, of a write, half-way through every call of every workload.
#
#   tests/crash.sh                         all of them
#   STRIDE=5 SEED=7 tests/crash.sh         every fifth, from a seeded one on
#   ONLY='server backup' tests/crash.sh    one victim, one workload
#
# The last line counts: `crash: N points, N violations`.
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=lib/crash.sh
. "$(dirname "$0")/lib/crash.sh"

STRIDE=${STRIDE:-1}
RANDOM=$SEED
note "seed $SEED, one call of $STRIDE"

crash_in_memory

# Every mode of one call; status 1 when there is no such call.
one_call() {	# one_call WORKLOAD N
	local mode status again
	for mode in before after half; do
		again=
		[ $((RANDOM % 4)) != 0 ] || again=$((RANDOM % 60 + 1))
		crash_point "$1" "$2" $mode $again
		status=$?
		[ $status != 1 ] || return 1
		[ $status != 2 ] || crash_fresh_world "$VICTIM"
		# Only a write has a middle.
		case $mode.$KILLED in
		after.*" write "*|after.*" pwrite "*|after.*" sendto "*|after.*" copy_file_range "*) ;;
		after.*) return 0 ;;
		esac
	done
}

for victim in $CRASH_VICTIMS; do
	for workload in $CRASH_WORKLOADS; do
		crash_has_part "$victim" "$workload" || continue
		case "$victim $workload" in *"${ONLY:-}"*) ;; *) continue ;; esac
		crash_fresh_world "$victim"
		before=$points
		for ((n = 1 + RANDOM % STRIDE; ; n += STRIDE)); do one_call "$workload" $n || break; done
		note "$victim, $workload: $((points - before)) points, of ${ANSWER#calls } calls"
	done
done
echo "crash: $points points, $violations violations"
[ $violations = 0 ]
