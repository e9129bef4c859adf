# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The days of an office that every system has already: nothing changed; a night after 0.1, 1 and 10 % of changes; a backup while
# agents are at work; restore.  All systems stand ready at once; those that watch are held still until it is their turn.
#
#   nothing      s      again, nothing changed
#   churn        s      again after so many percent of changes; tidemark: until the set is sealed, the day's flow included
#   sealed       s      tidemark alone: the Standard backup by itself, the flow being through, from its start to the sealed set
#   phase_*      s      tidemark alone: the phases of that backup, as its job tells them
#   wire         B/B    bytes on the loopback during churn, in both directions, headers and all, for each changed byte
#   live         s      again while agents are at work
#   unsound      count  what gwsim check finds wrong in the tree restored from that: torn databases, missing blobs
#   restore      s      the whole newest set, or one user's database
#   restore_user s

RUN_SYSTEMS="tidemark rsync rsync-fsync rsync-ssh nightly restic borg rsnapshot"

churn_round() {	# churn_round PERCENT SYSTEM...
	local percent=$1 changed phase
	shift
	hold_all "$@"
	churn "$percent%" "$((ROUND * 100 + ${#percent}))"
	changed=$(churned changed_bytes)
	for SYSTEM in $(turns "$@"); do
		become "$SYSTEM"
		[ "$ROUND" -le "$SLOW_ROUNDS" ] || ! can slow || continue
		timed churn "$percent" again || continue
		! can arrives && [ -z "$(wire_of "$SYSTEM")" ] || result wire B/B "$(percent "$WIRE" "$changed")" "$percent"
		[ "$SYSTEM" = tidemark ] || continue
		result sealed s "$SEALED_TOOK" "$percent"
		for phase in check copy stream barrier notify seal; do
			phase_of "$phase" "$percent"
		done
		be_still
	done
}

wire_of() { case $1 in rsync* | nightly) echo yes ;; esac; }	# the others have no network

hold_all() {
	for SYSTEM in $(turns "$@"); do
		become "$SYSTEM"
		be_still
	done
}

live_round() {	# live_round SYSTEM...: the office is in use by the same agents for all of them
	local agents kept=$W/kept
	hold_all "$@"
	for SYSTEM in $(turns "$@"); do
		become "$SYSTEM"
		rm -rf "$kept" && mkdir "$kept"
		"$GWSIM" run "$OFFICE" --rate "$LIVE_RATE" --day 1h --every 0 --seed "$ROUND" --keep-deleted "$kept" >/dev/null 2>&1 &
		agents=$!
		STARTED+=("$agents")
		timed live '' again
		be_still
		kill -TERM "$agents" && wait "$agents" || unmade "agents at work"
		[ -n "${LOST[$SYSTEM]:-}" ] || judge
	done
}

judge() {	# what was backed up while agents were at work
	sys_restore "$W/judged" >>"$S/restore.log" 2>&1 || { lost "restore failed"; return; }
	"$GWSIM" check "$W/judged" --sizes-only >"$W/findings"
	result unsound count "$(grep -q '^check: ' "$W/findings" && grep -vc '^check: ' "$W/findings")"
	rm -rf "$W/judged"
}

office_body() {	# office_body SYSTEM...
	local user percent
	office --users "$OFFICE_USERS" --blobs "$OFFICE_BLOBS" --blob-bytes 20k --db-share 12%
	for SYSTEM in $(turns "$@"); do
		prepare "$SYSTEM" && { sys_first >>"$S/first.log" 2>&1 || lost "the first sync failed"; }
		be_still
	done
	for ROUND in $(seq "$ROUNDS"); do
		for SYSTEM in $(turns "$@"); do
			become "$SYSTEM"
			! can arrives || [ "$SYSTEM" = tidemark ] || continue
				timed nothing '' again
			be_still
		done
		for percent in $FRACTIONS; do churn_round "$percent" "$@"; done
	done
	user=$(cd "$OFFICE" && echo ofuser/user???.db) && user=${user%% *}
	for ROUND in $(seq "$ROUNDS"); do
		# shellcheck disable=SC2046 # a list of words
		live_round $(turns "$@" | grep -vxE 'lsyncd.*|syncthing')
		for SYSTEM in $(turns "$@"); do
			become "$SYSTEM"
			can restore || continue
			! can arrives || [ "$SYSTEM" = tidemark ] || continue
			timed restore '' restore "$W/restored" && timed restore_user '' restore "$W/restored-user" "$user"
			rm -rf "$W/restored" "$W/restored-user"
		done
	done
	end_all "$@"
}

scene
# shellcheck disable=SC2086 # a list of words
office_body $RUN_SYSTEMS $WATCHING
scene_end
FRACTIONS=1
if mount_image "$W/xfs" xfs "$((OFFICE_BLOBS * 20 / 1024 * 8 + 1000))M"; then
	scene_in "$W/xfs"
	office_body tidemark nightly rsync
	scene_end
else
	say "  no XFS can be mounted: left out"
fi
