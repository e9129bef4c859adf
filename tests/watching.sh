#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Attacks on seeing: races, overflows, watch limits, and what raises no event.
#
#   tests/watching.sh                              all of them
#   ONLY=races tests/watching.sh                   one part: races, overflows, minute, limits, silent, names, mounts
#   SEED=4711 ONLY=races tests/watching.sh         one seed of the races alone; SEEDS=10: and the nine after it
#
# The last line counts: `watching: N cases, N overflows, N race seeds, N violations`.
SEEDS=${SEEDS:-$([ -n "${SEED:-}" ] && echo 1 || echo 10000)}
OVERFLOWS=${OVERFLOWS:-500}
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=lib/crash.sh
. "$(dirname "$0")/lib/crash.sh"
# shellcheck source=lib/watching.sh
. "$(dirname "$0")/lib/watching.sh"
note "seed $SEED"
crash_in_memory

part() {	# part NAME [ARGUMENT...]
	local name=$1
	shift
	case $name in *"${ONLY:-}"*) ;; *) return ;; esac
	note "--- $name"
	"watching_$name" "$@"
	watching_end
}
part races "$SEED" "$SEEDS"
part overflows "$SEED" "$OVERFLOWS"
part minute "${MINUTE:-60}"
part limits "$SEED"
part silent
part names "$SEED"
part mounts "$SEED" "${MOUNTS_TRIED:-6}"
echo "watching: $tests cases, $overflows overflows, $seeds race seeds, $failures violations"
[ $failures = 0 ] && [ $tests -gt 0 ]
