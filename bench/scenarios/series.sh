# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How cost grows with the number of files: offices of blobs of exactly 4 KiB.
#
#   grow_first       s    first sync; tidemark: until each is durable
#   grow_nothing     s    again, nothing changed; tidemark: collector and watcher were ended; from their start to the answer of a
#                         sync, which holds a scan of every folder (they cannot know what they missed)
#   grow_nothing_old s    tidemark alone: the same when every file is older than ten minutes, as nearly all of an office's are: a
#                         younger one may still be open for writing, so its folder is not believed (full scale only: it waits)
#   grow_memory      B    the greatest private memory on the post office's host during the first sync (collector and watcher)
#   grow_journal     B    the journal afterwards

OLD_SECONDS=610
for ROUND in $(seq "$SERIES_ROUNDS"); do
	for files in $SERIES; do
		scene offiles
		office --users 2 --msgdbs 20 --blobs "$files" --blob-bytes 4k --same-size --db-share 1%
		made=$(date +%s)
		for SYSTEM in $(turns tidemark rsync); do
			fresh "$SYSTEM" "$files" "$((files / 256 * 2 + 1000))" && prepare "$SYSTEM" || continue
			[ "$SYSTEM" != tidemark ] || sampling
			timed grow_first "$files" first
			[ "$SYSTEM" != tidemark ] || { sampled; result grow_memory B "$MEMORY" "$files"; }
			if [ "$SYSTEM" = tidemark ]; then
				result grow_journal B "$(W=$S field journal_bytes)" "$files"
				collector_away >>"$S/away.log" 2>&1
				sys_scan() { local W=$S; collector_start && sys_settle; }
				sys_look_again() { { collector_away && sys_scan && collector_away; } >>"$S/again.log" 2>&1; }
			else
				sys_scan() { sys_again; }
			fi
			[ -n "${LOST[$SYSTEM]:-}" ] || timed grow_nothing "$files" scan
			if [ "$SYSTEM" = tidemark ] && [ "$SERIES_OLD" = yes ] && [ -z "${LOST[$SYSTEM]:-}" ]; then
				while [ "$(date +%s)" -le $((made + OLD_SECONDS)) ]; do sleep 1; done	# only time makes a file old
				sys_look_again && timed grow_nothing_old "$files" scan
			fi
			end_all "$SYSTEM"
		done
		scene_end
	done
done
