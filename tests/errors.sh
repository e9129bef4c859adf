#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Error at every call: each call of each program in every workload that can fail fails, with every error it can have, once and for
# a while; each allocation, too.
#
#   tests/errors.sh                           all of them
#   STRIDE=20 SEED=7 tests/errors.sh          every twentieth, from a seeded one on
#   PLACES=dir tests/errors.sh                one call from each place of the program, by its whole stack, with each error: the folder
#                                             remembers them, so that a run goes on where another has ended
#   ONLY='server backup' tests/errors.sh      one victim, one workload
#   ERRORS='EIO short+ malloc' tests/errors.sh
#   JOBS=1 tests/errors.sh                    so many worlds at a time (3): most of them wait more than they compute
#
# The last line counts: `errors: N injected, N violations`.
export STRIDE=${STRIDE:-1} PLACES=${PLACES:+$(mkdir -p "$PLACES" && realpath "$PLACES")} SEED=${SEED:-$(date +%s)} JOBS=${JOBS:-3}
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=lib/crash.sh
. "$(dirname "$0")/lib/crash.sh"
# shellcheck source=lib/errors.sh
. "$(dirname "$0")/lib/errors.sh"
export ERRORS=${ERRORS:-$ERRORS_ONCE $ERRORS_LASTING}

# Every N-th call that can fail so; the world goes on until it is spoilt.
one_error() {	# one_error VICTIM WORKLOAD ERROR
	local n before=$injected status
	for ((n = 1 + RANDOM % STRIDE; ; n += STRIDE)); do	# with PLACES it is always the first call from a new one
		errors_point "$2" $n "$3"
		status=$?
		[ $status != 1 ] || { errors_point "$2" $n "$3"; status=$?; }	# one round has calls that another has not
		case $status in
		1) break ;;
		2) errors_world "$1" "$3" ;;
		esac
		[ $((injected - WORLD_BEGAN)) -lt $WORLD_LASTS ] || next_world "$1" "$3"
	done
	note "$1 $2 $3: $((injected - before)) injected after $SECONDS s"
}

next_world() { crash_last_look; errors_world "$@"; }

# A large stride may have met no allocation, but that the first one cannot fail is not to be believed.
one_allocation() {	# one_allocation VICTIM WORKLOAD BEFORE
	[ -z "$PLACES" ] && [ $injected = "$3" ] || return 0
	errors_point "$2" 1 malloc
	[ $injected != "$3" ] || { violations=$((violations + 1)) && not_ok "errors: $1, $2: no allocation can fail"; }
}

one_part() {	# one_part VICTIM WORKLOAD
	local error before
	RANDOM=$SEED
	crash_in_memory
	errors_world "$1" -
	for error in $ERRORS; do
		before=$injected
		[ "$error" != malloc ] || next_world "$1" malloc
		one_error "$1" "$2" "$error"
		[ "$error" != malloc ] || { one_allocation "$1" "$2" "$before"; next_world "$1" -; }
	done
	rm -f "${ORDERS:-}"
	crash_last_look
	crash_counted "$1" "$2" $injected injected
}

case ${1:-} in
part) one_part "$2" "$3" ;;
*)
	note "seed $SEED, one call of ${PLACES:+each place; they are kept in }${PLACES:-$STRIDE}"
	crash_run_parts errors injected
	;;
esac
