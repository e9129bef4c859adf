# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A burst of new blobs as fast as they can be made, and the mass expiry of as many, while the system watches.
#
#   burst, expiry              s      from the first blob until both sides are equal (durable: tidemark)
#   burst_after, expiry_after  s      the same from the last one; rsync, which does not watch, begins there
#   overflows                  count  of the kernel's queue of events, as tidemark's watcher counts them
#   left_behind                count  blobs that are missing or too many in the replica at the end

until_safe() {	# until_safe METRIC START: of the present system, counted from START too
	timed "$1_after" '' settle && result "$1" s "$(since "$2")"
}

blobs_differ() {	# blobs_differ DIR DIR: how many
	diff <(cd "$1" && find . -type f | sort) <(cd "$2" && find . -type f | sort) | grep -c '^[<>]'
}

for ROUND in $(seq "$ROUNDS"); do
	# shellcheck disable=SC2086 # a list of words
	for SYSTEM in $(turns $LIVE_SYSTEMS rsync); do
		become "$SYSTEM"
		! can slow || [ "$ROUND" -le "$SLOW_ROUNDS" ] || continue
		scene offiles
		office --users 2 --msgdbs 2 --blobs "$((BURST + BURST / 10))" --blob-bytes 4k --db-share 1%
		prepare "$SYSTEM" && sys_first >>"$S/first.log" 2>&1 || { lost "the first sync failed"; scene_end; continue; }
		can settle || sys_settle() { sys_again; }
		start=$(now)
		new_blobs burst "$BURST"
		until_safe burst "$start"
		! can arrives || [ -n "${LOST[$SYSTEM]:-}" ] || result left_behind count "$(blobs_differ "$SOURCE" "$(sys_arrives)")" 1
		start=$(now)
		"$GWSIM" run "$OFFICE" --mass-expiry "$BURST" --every 0 >/dev/null || unmade "an expiry"
		until_safe expiry "$start"
		if [ "$SYSTEM" = tidemark ]; then
			result overflows count "$(W=$S field queue_overflows)"
		elif can arrives && [ -z "${LOST[$SYSTEM]:-}" ]; then
			result left_behind count "$(blobs_differ "$SOURCE" "$(sys_arrives)")" 2
		fi
		scene_end
	done
done
