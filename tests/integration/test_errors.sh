#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A seeded handful of what `make errors` tries in full: a call of a program fails, the program goes on or says why not, and
# everything converges.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../lib/crash.sh
. "$(dirname "$0")/../lib/crash.sh"
# shellcheck source=../lib/errors.sh
. "$(dirname "$0")/../lib/errors.sh"
note "seed $SEED"
RANDOM=$SEED
crash_in_memory

# some_errors VICTIM WORKLOAD CALLS ERROR...: one point an error, at one of the first CALLS calls that can have it
some_errors() {
	local victim=$1 workload=$2 calls=$3 error n status before=$violations
	shift 3
	errors_world "$victim" "${*##* }"
	for error in "$@"; do
		n=$((RANDOM % calls + 1))
		until errors_point "$workload" $n "$error"; status=$?; [ $status != 1 ] || [ $n = 1 ]; do n=$((n / 2 + n % 2)); done
		[ $status != 1 ] || not_ok "errors: $victim has a call in $workload that can fail with $error"
		[ $status = 0 ] || return
	done
	[ "$violations" != "$before" ] || ok "acknowledged_means_durable: $victim, whose calls fail in $workload ($*)"
}
some_errors server edit 20 EIO ENOSPC short+
some_errors collector edit 12 EIO EMFILE short+
some_errors keeper backup 30 EIO
[ "${FLAVOUR:-release}" != release ] || some_errors server edit 200 malloc

# With PLACES each place of the program has its turn, and not a second one when the program lies elsewhere in memory.
every_place() {	# every_place VICTIM WORKLOAD ERROR: how many were new, in PLACED
	local before=$injected
	errors_world "$1" -
	while errors_point "$2" 1 "$3"; do :; done
	PLACED=$((injected - before))
}
PLACES=$(mktemp -d "${TMPDIR:-/tmp}/tm-places.XXXXXX")	# of no world: each has its end
every_place server edit EINTR
placed=$PLACED
every_place server edit EINTR
holds "errors: calls of $placed places failed, and in another process $PLACED are new" "$placed" -ge 5 -a "$PLACED" -le $((placed / 2))
rm -rf "$PLACES"

holds "errors: some were injected indeed ($injected)" "$injected" -ge 7
done_testing
