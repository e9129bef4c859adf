#!/bin/bash
# Runs the tests and counts them: tests/run.sh unit|integration|chaos ...
#
# Every test speaks TAP: `ok - sentence` or `not ok - sentence`, unit tests through cmocka, and a plan `1..N`.  A program that dies,
# hangs, or ends before its plan is through is one failure of its own.  The last line counts: `N passed, N failed`.
set -u
cd "$(dirname "$0")/.." || exit 1

FLAVOUR=${FLAVOUR:-release}
BUILD=build/$FLAVOUR
export BIN=${BIN:-$BUILD/bin} FLAVOUR
# Without signal stacks of its own: gcc 12's runtime takes one that a dying thread gives back for an overflow of that thread's stack.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=1:use_sigaltstack=0 UBSAN_OPTIONS=print_stacktrace=1
# What a commit is judged by is the same each time; `make chaos` tries what nobody has tried.
[ "${1:-}" = chaos ] || export SEED=${SEED:-20261128}
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/tests/tsan.supp
UNIT_LIMIT=${UNIT_LIMIT:-300} INTEGRATION_LIMIT=${INTEGRATION_LIMIT:-1800}
ONLY=${ONLY:-} # a part of a test's name

JOBS=${JOBS:-3}  # tests at a time: most wait more than they compute

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
passed=0 failed=0 skipped=0 names=()

# start NAME LIMIT COMMAND...: runs a test program in the background, at most JOBS at a time
start() {
	local name=$1 limit=$2
	shift 2
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
	names+=("$name")
	(
		timeout -k 10 "$limit" "$@" >"$out/$name.log" 2>&1 </dev/null
		echo "$? $limit" >"$out/$name.status"
	) &
}

# Counts one finished test, and shows what it said if anything is wrong.
count() {
	local name=$1 log=$out/$1.log status limit good bad skip said planned
	read -r status limit <"$out/$name.status"
	good=$(grep -cE '^ok ' "$log")
	skip=$(grep -cE '^ok .*# [Ss][Kk][Ii][Pp]' "$log")
	bad=$(grep -E '^not ok ' "$log" | grep -cvE '^not ok [0-9]+ # SKIP') # cmocka's word for a skipped test
	if [ "$status" != 0 ] && [ "$bad" = 0 ]; then
		bad=1
		echo "not ok - $name ended with status $status$([ "$status" = 124 ] && echo " (hung for $limit s)")" >>"$log"
	fi
	if [ "$status" = 0 ] && [ "$good" = 0 ] && [ "$bad" = 0 ]; then
		bad=1
		echo "not ok - $name ran no test" >>"$log"
	fi
	said=$(grep -cE '^(not )?ok ' "$log")
	planned=$(awk '/^1\.\.[0-9]+$/ { n += substr($0, 4) } END { print n + 0 }' "$log")	# of each group of tests
	if [ "$bad" = 0 ] && [ "$said" != "$planned" ]; then
		bad=1
		echo "not ok - $name ended after $said tests, and its plan has $planned" >>"$log"
	fi
	passed=$((passed + good - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
	if [ "$bad" = 0 ]; then
		printf '%-34s %4d ok%s\n' "$name" "$((good - skip))" "$([ "$skip" = 0 ] || echo ", $skip skipped")"
	else
		printf '%-34s %4d FAILED\n' "$name" "$bad"
		grep -E -A 5 '^not ok ' "$log" | sed 's/^/    /'
		tail -n 40 "$log" | sed 's/^/    | /'
	fi
}

unit() {
	make -s -j"$(nproc)" FLAVOUR="$FLAVOUR" units tools || { failed=$((failed + 1)); return; }
	local test
	for test in tests/unit/test_*.c; do
		test=$(basename "$test" .c)
		case $test in *"$ONLY"*) ;; *) continue ;; esac
		CMOCKA_MESSAGE_OUTPUT=TAP start "$test" "$UNIT_LIMIT" "$BUILD/unit/$test"
	done
}

scripts() {
	local test
	for test in "tests/$1"/test_*.sh; do
		case $test in *"$ONLY"*) ;; *) continue ;; esac
		start "$1.$(basename "$test" .sh)" "$INTEGRATION_LIMIT" bash "$test"
	done
}

for part in "$@"; do
	case $part in
	unit) unit ;;
	integration|chaos) scripts "$part" ;;
	*) echo "usage: $0 unit|integration|chaos ..." >&2; exit 2 ;;
	esac
done
wait
for name in "${names[@]}"; do count "$name"; done

echo
if [ "$skipped" = 0 ]; then
	echo "$passed passed, $failed failed"
else
	echo "$passed passed, $failed failed, $skipped skipped"
fi
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
