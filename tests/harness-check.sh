#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The harness is tested: every planted bug (src/base/planted.h) is tried with the test that tests/harness/planted.txt names
# for it.  The test must pass without the bug, and with it fail by its assertion: a hang, or a death by a signal, is not seen.
#
#   tests/harness-check.sh               all of them
#   ONLY=sync tests/harness-check.sh     those with that part in their name
#
# The last line counts: `harness: N of N planted bugs caught`.
set -u
cd "$(dirname "$0")/.." || exit 1

export FLAVOUR=planted BIN=build/planted/bin CMOCKA_MESSAGE_OUTPUT=TAP
TABLE=tests/harness/planted.txt
UNIT_LIMIT=120 INTEGRATION_LIMIT=600 # seconds, on a busy machine
JOBS=${JOBS:-2}
ONLY=${ONLY:-}

out=$(mktemp -d)
export TMPDIR=$out
# A test that fails leaves what it had mounted.
end() {
	local mount
	for mount in $(cut -d' ' -f2 /proc/mounts | grep "^$out/"); do umount -l "$mount"; done
	rm -rf "$out"
}
trap end EXIT
wrong=0

complain() { printf 'harness: %s\n' "$*"; wrong=$((wrong + 1)); }

# name | what it breaks | kind test | sentence
rows() { sed -e 's/#.*//' -e 's/[[:space:]]*|[[:space:]]*/|/g' -e 's/[[:space:]]*$//' "$TABLE" | grep '|'; }

build() {
	make -s -j"$(nproc)" FLAVOUR=planted programs units || { echo "harness: the flavour planted does not build"; exit 1; }
}

check_names() {
	local differences
	differences=$(diff <(grep -oE '^	X\([a-z0-9_]+\)' src/base/planted.h | tr -d '\tX()' | sort) <(rows | cut -d'|' -f1 | sort)) ||
		complain "the list and the table differ: $differences"
	for name in $(rows | cut -d'|' -f1); do
		grep -rqF "PLANTED($name)" --include='*.c' src watcher journal replicator || complain "$name is planted nowhere"
	done
}

check_flavours() {
	local program
	for program in build/bin/*; do
		! grep -qF TIDEMARK_PLANTED "$program" || complain "$program could be given a bug"
	done
	TIDEMARK_PLANTED=no_such_bug ONLY_TEST=none build/planted/unit/test_relpath >"$out/unknown" 2>&1
	if [ $? != 2 ] || ! grep -q no_such_bug "$out/unknown"; then complain "a name that is no bug's is not refused"; fi
}

# run LOG BUG KIND TEST SENTENCE: BUG "" is the right code; the status is the test's.
run() {
	case $3 in
	unit)
		TIDEMARK_PLANTED=$2 ONLY_TEST=$5 timeout -k 5 $UNIT_LIMIT "build/planted/unit/$4" ;;
	integration)
		BAIL=1 TIDEMARK_PLANTED=$2 timeout -k 20 $INTEGRATION_LIMIT bash "tests/integration/$4.sh" ;;
	*)
		echo "no such kind of test" && false ;;
	esac >"$1" 2>&1 </dev/null
}

# Without a bug: once for each sentence of a unit test, once for a whole script.
clean() {	# clean KIND TEST SENTENCE
	local of=$1.$2
	[ "$1" = integration ] || of=$of.$3
	(
		flock 9
		[ -e "$out/$of.status" ] && exit
		run "$out/$of.clean" "" "$@"
		echo $? >"$out/$of.status"
	) 9>"$out/$of.lock"
	[ "$(cat "$out/$of.status")" = 0 ] && grep -qE '^ok ' "$out/$of.clean" && grep -qE -- '- '"$(quoted "$3")"'$' "$out/$of.clean"
}

quoted() { printf '%s' "$1" | sed 's/[][().*+?^${}|\\]/\\&/g'; }

# How it went: `caught`, or why not.
try() {	# try BUG KIND TEST SENTENCE
	local bug=$1 log=$out/$1.log status
	shift
	if ! clean "$@"; then
		echo "the test does not pass without it"
		return
	fi
	run "$log" "$bug" "$@"
	status=$?
	if [ $status = 0 ]; then
		echo "SURVIVED"
	elif [ $status = 124 ] || [ $status = 137 ]; then
		echo "the test hangs"
	elif [ $status -gt 127 ] || grep -q 'failed with exception' "$log"; then
		echo "the test dies of it"
	elif ! grep -qE '^not ok ([0-9]+ )?- '"$(quoted "$3")"'$' "$log"; then
		echo "something else fails"
	else
		echo "caught"
	fi
}

# One line of the report, and the end of what the test said when it is not as it should be.
report() {	# report BUG KIND TEST SENTENCE
	local verdict
	verdict=$(try "$@")
	echo "$verdict" >"$out/$1.verdict"
	printf '%-32s %s: %s %s: %s\n' "$1" "$verdict" "$2" "$3" "$4"
	[ "$verdict" = caught ] || [ ! -s "$out/$1.log" ] || tail -n 15 "$out/$1.log" | cut -c -300 | sed 's/^/    | /'
}

build
check_names
check_flavours
total=0
while IFS='|' read -r name _ test sentence; do
	case $name in *"$ONLY"*) ;; *) continue ;; esac
	total=$((total + 1))
	while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
	# shellcheck disable=SC2086 # kind and test are two words
	report "$name" $test "$sentence" &
done < <(rows)
wait

caught=$(cat "$out"/*.verdict | grep -cx caught)
echo
echo "harness: $caught of $total planted bugs caught"
[ "$caught" = $total ] && [ $total -gt 0 ] && [ $wrong = 0 ]
