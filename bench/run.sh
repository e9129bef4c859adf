#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The driver: each scenario with all systems in turn, on one tree, in one run: bench/run.sh [SCENARIO...]; all without.
#
#   SCALE=tiny|quick|full    sizes and rounds (bench/scales.sh); quick is `make bench`
#   SYSTEMS="rsync borg"     only these (bench/systems)
#   DIR=...                  where the trees lie (TMPDIR)
#
# Appends JSON lines to build/bench/results.jsonl; a scenario that is named replaces its former lines.  bench/report.py makes
# bench/RESULTS.md of them.
cd "$(dirname "$0")/.." || exit 1
export SCALE=${SCALE:-quick} TMPDIR=${DIR:-${TMPDIR:-/tmp}}
RESULTS=${RESULTS:-$PWD/build/bench/results.jsonl}
ALL=(first small office pages latency burst outage restart seal series idle sets)

# A network of our own: its loopback carries nothing but what is measured.
if [ -z "${BENCH_NETWORK:-}" ] && unshare -n true 2>/dev/null; then
	BENCH_NETWORK=own exec unshare -n -- "$0" "$@"
fi
[ "${BENCH_NETWORK:-}" != own ] || ip link set lo up || exit 1

. bench/scales.sh
. bench/lib.sh

mkdir -p "${RESULTS%/*}"
for each in "$@"; do
	[ -f "bench/scenarios/$each.sh" ] || { echo "bench: there is no scenario \"$each\"; there are: ${ALL[*]}" >&2; exit 2; }
	[ ! -f "$RESULTS" ] || sed -i "/\"scenario\":\"$each\"/d" "$RESULTS"
done
[ $# -gt 0 ] || { rm -f "$RESULTS"; set -- "${ALL[@]}"; }

printf '{"type":"host","scale":"%s","processors":%d,"memory_gib":%d,"kernel":"%s","filesystem":"%s","network":"%s","rounds":%d,"commit":"%s"}\n' \
	"$SCALE" "$(nproc)" "$(awk '/^MemTotal/ { print int($2 / 1048576 + 0.5) }' /proc/meminfo)" "$(uname -r)" \
	"$(stat -f -c %T "$TMPDIR" | sed 's,ext2/ext3,ext4,')" "${BENCH_NETWORK:-shared}" "$ROUNDS" "$(git rev-parse --short HEAD 2>/dev/null)" >>"$RESULTS"

PRESENT=
W=$TMPDIR
for each in bench/systems/*.sh; do
	each=${each##*/} each=${each%.sh}
	case " ${SYSTEMS:-$each} " in *" $each "*) ;; *) continue ;; esac
	become "$each"
	if sys_available >/dev/null 2>&1; then
		PRESENT="$PRESENT $each"
		printf '{"type":"system","system":"%s","available":true,"version":"%s","durability":"%s"}\n' "$each" \
			"$(sys_version 2>&1 | head -n 1 | tr -d '"\\')" "$(sys_durability)" >>"$RESULTS"
	else
		say "bench: $each is not installed and left out (./install-deps.sh bench)"
		printf '{"type":"system","system":"%s","available":false}\n' "$each" >>"$RESULTS"
	fi
done
[ -n "$PRESENT" ] || { say "bench: there is no system to be measured"; exit 1; }

status=0
for SCENARIO in "$@"; do
	say "$SCENARIO"
	start=$(now)
	(
		trap cleanup EXIT
		trap 'exit 143' TERM INT
		# shellcheck source=/dev/null
		. "bench/scenarios/$SCENARIO.sh"
	) || { say "bench: $SCENARIO did not come to its end"; status=1; }
	say "  ($(since "$start") s)"
done
# Others may fail at what they are given; that our own figures are missing is no success.
! grep -q '"type":"lost".*"system":"tidemark"' "$RESULTS" || { say "bench: tidemark was lost"; status=1; }
"$PYTHON" bench/report.py "$RESULTS" bench/RESULTS.in.md "${REPORT:-bench/RESULTS.md}" || status=1
exit $status
