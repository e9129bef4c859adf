#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Networks that cut, stall, flip and lie about time, and ends that come back from another past.
#
#   tests/network.sh                                   all of it
#   FAULTS=20 ROLLBACKS=3 SEED=7 tests/network.sh      less of it
#   ONLY=faults|halfopen|rollbacks|twins|outage        one part
#
# Loss and reordering of packets (netem) need a kernel that has them; the proxy works above TCP.
# The last line counts: `network: N cases, N violations`.
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=disk/full.sh
. "$(dirname "$0")/disk/full.sh"
# shellcheck source=network/proxied.sh
. "$(dirname "$0")/network/proxied.sh"
# shellcheck source=network/history.sh
. "$(dirname "$0")/network/history.sh"

FAULTS=${FAULTS:-150} ROLLBACKS=${ROLLBACKS:-25} TURNS=${TURNS:-8}
STATES=${STATES:-accept tls hello flow snapshot seal}
RANDOM=$SEED
note "seed $SEED"
modprobe sch_netem 2>/dev/null || zgrep -q 'CONFIG_NET_SCH_NETEM=[ym]' /proc/config.gz 2>/dev/null ||
	note "this kernel has no netem: no packets are lost below TCP"
part() { case $1 in *"${ONLY:-}"*) ;; *) return 1 ;; esac; }

# They wait more than they work: all at once.
halfopen() {
	local state taps pids=()
	taps=$(mktemp -d "${TMPDIR:-/tmp}/tm.XXXXXX") && WORLDS+=("$taps")
	for state in $STATES; do
		bash "$TESTS/network/halfopen.sh" "$state" >"$taps/$state.tap" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
	for state in $STATES; do
		cases=$((cases + 1))
		grep -E '^(ok|not ok|#  )' "$taps/$state.tap"
		grep -q '^1\.\.' "$taps/$state.tap" && ! grep -q '^not ok' "$taps/$state.tap" || violations=$((violations + 1))
	done
}

part faults && net_faults "$FAULTS"
part halfopen && halfopen
part rollbacks && net_rollbacks "$ROLLBACKS"
part twins && net_twins "$TURNS"
part outage && net_outage
echo "network: $cases cases, $violations violations"
[ $((violations + failures)) = 0 ] && [ $cases -gt 0 ]
