#!/bin/bash
# Runs the libFuzzer harnesses one after the other: tests/fuzz/run.sh [SECONDS [PART-OF-NAME]]
#
# What they discover stays in build/fuzz/found/<target>, so that the next run goes on from there; an input that breaks
# something is copied to build/fuzz/broken/<target>-*, and is what belongs into tests/fuzz/corpus/<target> once it is
# mended.  The last line counts the inputs tried and the findings.
set -u
cd "$(dirname "$0")/../.." || exit 1

seconds=${1:-60} only=${2:-}
BUILD=build/fuzz
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
export BIN=${BIN:-build/bin}                    # the keeper of the harnesses that talk to a whole server
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" tidemark-fuzz.XXXXXX) || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
inputs=0 findings=0

mkdir -p $BUILD/broken
for program in $BUILD/fuzz/*; do
	name=$(basename "$program")
	case $name in *"$only"*) ;; *) continue ;; esac
	mkdir -p "$BUILD/found/$name"
	timeout -k 10 $((seconds + 120)) "$program" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=3000 -max_len=65536 \
		-print_final_stats=1 -artifact_prefix="$BUILD/broken/$name-" "$BUILD/found/$name" "tests/fuzz/corpus/$name" \
		>"$BUILD/$name.log" 2>&1
	status=$?
	tried=$(sed -n 's/^stat::number_of_executed_units: *//p' "$BUILD/$name.log")
	inputs=$((inputs + ${tried:-0}))
	if [ $status = 0 ]; then
		printf '%-12s %9d inputs, nothing found\n' "$name" "${tried:-0}"
	else
		findings=$((findings + 1))
		printf '%-12s %9d inputs, BROKEN (status %d)\n' "$name" "${tried:-0}" $status
		grep -E -A 12 'ERROR:|runtime error|not so:|SUMMARY' "$BUILD/$name.log" | head -n 30 | sed 's/^/    /'
	fi
done
echo "fuzz: $inputs inputs, $findings findings"
[ $findings = 0 ]
