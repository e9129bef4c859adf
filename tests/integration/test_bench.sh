#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The harness's judgement, tested on figures that are made up: what became slower, how cost grows, who is better.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
BENCH=$TESTS/../bench
W=$(mktemp -d "${TMPDIR:-/tmp}/tm.XXXXXX") || exit 1
WORLDS+=("$W")

host() { printf '{"type":"host","scale":"%s","processors":2,"memory_gib":8,"kernel":"6","filesystem":"ext4","network":"own","rounds":3,"commit":"x"}\n' "${1:-quick}"; }
system() { printf '{"type":"system","system":"%s","available":true,"version":"1","durability":"none"}\n' "$1"; }
line() {	# line SYSTEM METRIC UNIT X VALUE...: one round a value
	local name=$1 metric=$2 unit=$3 x=$4 value round=0
	shift 4
	for value in "$@"; do
		round=$((round + 1))
		printf '{"type":"result","scenario":"%s","system":"%s","metric":"%s","unit":"%s","value":%s,"fs":"ext4","round":%d,"x":%s}\n' \
			"${SCENARIO:-small}" "$name" "$metric" "$unit" "$value" "$round" "$x"
	done
}
old() { host && system tidemark && system rsync && line tidemark small s null 1.00 1.04 0.97 && line rsync small s null 2 2.1 2.2; }
compare() { "$PYTHON" "$BENCH/compare" "$@"; }
report() { "$PYTHON" "$BENCH/report.py" "$W/old" "$BENCH/RESULTS.in.md" "$W/R.md"; }

old >"$W/old"
expect 0 '0 slower' "the same figures are not slower" compare "$W/old" "$W/old"
{ host; line tidemark small s null 1.06 1.09 1.02; line rsync small s null 2 2.1 2.2; } >"$W/new"
expect 0 '0 slower' "what lies within the spread of the rounds is not slower" compare "$W/old" "$W/new"
{ host; line tidemark small s null 1.30 1.35 1.28; line rsync small s null 2 2.1 2.2; } >"$W/new"
expect 1 '^SLOWER   small tidemark small \(ext4\): 1 s -> 1.3 s' "a third more, each round above all old ones, is slower" compare "$W/old" "$W/new"
{ host; line tidemark small s null 0.9 1.35 1.6; } >"$W/new"
expect 0 '0 slower' "a median that is worse among scattered rounds is noise" compare "$W/old" "$W/new"
{ host; line tidemark small s null 0.5 0.51 0.49; } >"$W/new"
expect 0 '1 faster' "half is faster" compare "$W/old" "$W/new"
{ host; SCENARIO=small line rsync small s null 2; } >"$W/new"
expect 2 'no figure of tidemark in common' "without a common figure nothing is said" compare "$W/old" "$W/new"
{ host full; line tidemark small s null 1; } >"$W/new"
expect 2 'different scales' "runs of two scales are not compared" compare "$W/old" "$W/new"
{ host; line tidemark other s null 1; line tidemark small s null 1 1 1; } >"$W/more"
{ host; line tidemark small s null 1 1 1; } >"$W/new"
expect 1 '^MISSING  small tidemark other' "a figure that is lost in a scenario that was run counts" compare "$W/more" "$W/new"
{ old; for s in a b c d; do SCENARIO=$s line rsync first s null 2 2 2; done; } >"$W/calm"
{ host; line tidemark small s null 2 2.1 1.9; line rsync small s null 4 4.2 4.4; for s in a b c d; do SCENARIO=$s line rsync first s null 4 4 4; done; } >"$W/new"
expect 0 '0 slower' "a machine that is half as fast for everybody is no regression" compare "$W/calm" "$W/new"
expect 2 '' "wrong usage is told" compare "$W/old"

SCENARIO=series line tidemark grow_first s 100 1 >>"$W/old"
SCENARIO=series line tidemark grow_first s 1000 100 >>"$W/old"
SCENARIO=series line rsync grow_first s 100 1 >>"$W/old"
SCENARIO=series line rsync grow_first s 1000 10 >>"$W/old"
printf '{"type":"system","system":"borg","available":false}\n{"type":"lost","scenario":"small","system":"borg","what":"first failed"}\n' >>"$W/old"
expect 0 'grow_first \(ext4\) \| tidemark .*\| 2\.00 \| \*\*more than in proportion' "a quadratic shows its exponent" report
expect 0 'grow_first \(ext4\) \| rsync .*\| 1\.00 \| +\|' "what grows in proportion has the exponent 1" report
expect 0 '^- series, grow_first at 1000 \(ext4\): rsync 10 s, tidemark 100 s: 10.0 times' "a loss is told" report
expect 0 'beside rsync -a \| >= 1 x \| 2\.10 x \| kept' "a ratio of medians is held against its goal" report
holds "a system that is not installed is named" -n "$(grep '^| borg | not installed: skipped' "$W/R.md")"
holds "a system that was lost is named" -n "$(grep '^borg was lost here: first failed' "$W/R.md")"
check "the pictures are whole" "$PYTHON" -c 'import sys, xml.dom.minidom as m
for p in sys.argv[1:]: m.parse(p)' "$W"/plots/*.svg
refuse "nothing of the template is left over" grep -E '\{[a-z]+\}' "$W/R.md"
done_testing
