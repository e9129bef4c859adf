#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A seeded handful of what `make crash` tries in full: a program is killed at one of its calls, and everything converges.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../lib/crash.sh
. "$(dirname "$0")/../lib/crash.sh"
note "seed $SEED"
RANDOM=$SEED
crash_in_memory

# some_points VICTIM WORKLOAD CALLS MODE...: one point a mode, at one of the first CALLS calls
some_points() {
	local victim=$1 workload=$2 calls=$3 mode n status before=$violations
	shift 3
	crash_fresh_world "$victim"
	for mode in "$@"; do
		n=$((RANDOM % calls + 1))
		until crash_point "$workload" $n "$mode"; status=$?; [ $status != 1 ] || [ $n = 1 ]; do n=$((n / 2 + n % 2)); done
		[ $status != 1 ] || not_ok "crash: $victim has a call in $workload"
		[ $status = 0 ] || return
	done
	[ "$violations" != "$before" ] || ok "every_start_is_a_recovery: $victim killed at any call of $workload ($*)"
}
some_points collector edit 14 before half
some_points server edit 25 after half
some_points keeper backup 100 before after
some_points dbcopy backup 70 before
holds "crash: points were tried indeed ($points)" "$points" -ge 7
done_testing
