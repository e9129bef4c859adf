#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Power loss: the server's disk, the collector's, or both lose power at a seeded write, and every start on what they may then hold is a
# recovery that keeps each promise.
#
#   tests/power.sh                              a thousand states on ext4 and XFS
#   STATES=100 SEED=7 ONLY=xfs tests/power.sh   fewer, from a seed, of one file system or case
#   POWER_END=shutdown tests/power.sh           file systems that end themselves, without recorded choices
#   LIAR=1 tests/power.sh                       disks that acknowledge flushes and do nothing: it fails unless that is found
#
# The last line counts: `power: N states, N violations`.
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=lib/crash.sh
. "$(dirname "$0")/lib/crash.sh"
# shellcheck source=lib/power.sh
. "$(dirname "$0")/lib/power.sh"

STATES=${STATES:-1000}
MOMENTS_PER_WORLD=8
RANDOM=$((SEED % 32768))
note "seed $SEED, $STATES states"
power_can || { echo "power: cannot mount recorded disks here (root, /dev/fuse, loop devices, libfuse3)"; exit 77; }
crash_in_memory

# Disks of a world, which of them lose power, what the other side does, and how many states are made of a moment at most: only one at
# which all died can be gone back to.
CASES=(
	"server collector: server: alive: 1"
	"server collector: collector: alive: 1"
	"server collector: server: dead: 4"
	"server collector: collector: dead: 4"
	"server collector: server collector: dead: 4"
	"server collector live: collector live: dead: 4"
	"server collector live: server collector live: dead: 4"
)
[ "$POWER_END" = cut ] || CASES=("${CASES[@]/%4/1}")	# what that leaves is one state

# Those of this file system that ONLY names.
cases_of() {	# cases_of FS
	local case
	for case in "${CASES[@]}"; do
		case "$1: $case" in *"${ONLY:-}"*) echo "$case" ;; esac
	done
}

tell_violation() {	# tell_violation WHAT
	not_ok "power: $FS, $1: $CHOICE" "$W/.verdict"
	[ -n "${LIAR:-}" ] || power_keep_evidence
	! power_disk_is_broken || note "and the file system itself is broken, says its checker: $(tail -n 3 "$W/fsck")"
}

# Fails when the world is of no more use.
one_moment() {	# one_moment VICTIMS REST STATES
	local n seed status=1
	power_moment "$1" "$2"
	for ((n = 0; n < $3; n++)); do
		[ $n = 0 ] || { [ $n -le "$(power_unflushed)" ] || break; power_clear; }
		seed=$((RANDOM * 32768 + RANDOM))
		power_state "$1" $seed
		status=$?
		[ $status != 1 ] || tell_violation "$1, the other side $2, choice $seed"
		[ $((states % 50)) != 0 ] || note "$states states, $violations violations"
	done
	return $status
}

attack() {	# attack FS STATES
	local cases disks victims rest n left=0 end=$((states + $2))
	FS=$1
	mapfile -t cases < <(cases_of "$FS")
	[ ${#cases[@]} != 0 ] || return
	while [ "$states" -lt $end ]; do
		IFS=: read -r disks victims rest n <<<"${cases[RANDOM % ${#cases[@]}]//: /:}"
		if [ $left = 0 ]; then
			DISKS=$disks left=$MOMENTS_PER_WORLD
			power_fresh_world
		fi
		[ "$disks" = "$DISKS" ] || continue
		left=$((left - 1))
		one_moment "$victims" "$rest" "$n" || left=0
	done
}

attack ext4 $(((STATES + 1) / 2))
attack xfs $((STATES / 2))
power_clear
note "$moments moments; states on ext4: ${tried[ext4]:-0}, on XFS: ${tried[xfs]:-0}; $lost disks that could not be mounted"
echo "power: $states states, $violations violations"
if [ -n "${LIAR:-}" ]; then [ "$violations" -gt 0 ]; else [ $((violations + failures)) = 0 ] && [ "$states" -gt 0 ]; fi
