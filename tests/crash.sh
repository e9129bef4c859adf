#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash at every call: each program is killed before, after and, of a write, half-way through every call of every workload, and
# again on its way back.
#
#   tests/crash.sh                         all of them
#   STRIDE=5 SEED=7 tests/crash.sh         every fifth, from a seeded one on
#   STRIDE=5 FROM=2 tests/crash.sh         every fifth, from the second on: five such runs are all of them
#   AGAIN=10 tests/crash.sh                so many second kills for each call (2), each at a seeded call of the way back
#   ONLY='server backup' tests/crash.sh    one victim, one workload
#   JOBS=1 tests/crash.sh                  so many worlds at a time (3): most of them wait more than they compute
#
# The last line counts: `crash: N points, N violations`.
export STRIDE=${STRIDE:-1} AGAIN=${AGAIN:-2} SEED=${SEED:-$(date +%s)} JOBS=${JOBS:-3}
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=lib/crash.sh
. "$(dirname "$0")/lib/crash.sh"

# Every mode of one call, then the second kills; status 1 when there is no such call.
one_call() {	# one_call WORKLOAD N
	local mode modes=(before after half) i
	for mode in "${modes[@]}"; do
		one_point "$1" "$2" "$mode" || return
		# Only a write has a middle.
		case $KILLED in
		"after "*write*|"after sendto "*|"after copy_file_range "*) ;;
		"after "*) break ;;
		esac
	done
	for ((i = 0; i < AGAIN && CALLS_BACK > 0; i++)); do
		one_point "$1" "$2" "${modes[RANDOM % 3]}" $((RANDOM % CALLS_BACK + 1)) || return
	done
}

one_point() {
	[ $violations -lt 20 ] || return 1	# more of them would tell no more
	crash_point "$@"
	case $? in
	1) return 1 ;;
	2) crash_fresh_world "$VICTIM" ;;
	esac
	return 0
}

one_part() {	# one_part VICTIM WORKLOAD
	local n since=0
	RANDOM=$SEED
	crash_in_memory
	crash_fresh_world "$1"
	for ((n = ${FROM:-$((1 + RANDOM % STRIDE))}; ; n += STRIDE)); do
		# The first rounds of a world have less to remove, and a busy machine folds more into one write: what has no such call may have it next.
		one_call "$2" $n || one_call "$2" $n || one_call "$2" $n || break
		[ $((points - since)) -lt $WORLD_LASTS ] || { since=$points; crash_last_look; crash_fresh_world "$1"; }
		[ $((n / STRIDE % 10)) != 0 ] || note "$1 $2 is at call $n after $SECONDS s: $points points"
	done
	[ $points != 0 ] || one_point "$2" 1 before	# a large stride may have met no call
	crash_last_look
	crash_counted "$1" "$2" $points points ", of $((n - 1)) calls"
}

case ${1:-} in
part) one_part "$2" "$3" ;;
*)
	note "seed $SEED, one call of $STRIDE, $AGAIN second kills each"
	crash_run_parts crash points
	;;
esac
