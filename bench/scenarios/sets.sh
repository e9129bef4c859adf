# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Daily sets of one office, 1 % changed each day, all kept: the disk that the server's side uses, on ext4 and on XFS.
#
#   disk_first   B/B   used after the first set, for each byte of the office
#   disk_all     B/B   used after the last one (X: how many sets)

[ $ROOT = yes ] || { say "  images can be mounted by root only: left out"; return 0; }

used() { sync -f "$1"; df --output=used -B1 "$1" | tail -n 1; }

for fs in ext4 xfs; do
	scene
	office --users 12 --blobs "$DAYS_BLOBS" --blob-bytes 20k --db-share 12%
	bytes=$(du -sb "$OFFICE" | cut -f1)
	FS=$fs
	for SYSTEM in $(turns tidemark nightly restic borg rsnapshot); do
		STORE_DIR=$W/disk-$SYSTEM
		mount_image "$STORE_DIR" $fs "$((bytes / 1048576 * 4 + 600))M" || { say "  no $fs can be mounted: left out"; break 2; }
		before=$(used "$STORE_DIR")
		eval "EMPTY_${SYSTEM//-/_}=$before"
		prepare "$SYSTEM" && { sys_first >>"$S/first.log" 2>&1 || lost "the first sync failed"; }
		[ -n "${LOST[$SYSTEM]:-}" ] || result disk_first B/B "$(percent "$(($(used "$STORE_DIR") - before))" "$bytes")"
	done
	for day in $(seq 2 "$DAYS"); do
		churn 1% "$day"
		for SYSTEM in $(turns tidemark nightly restic borg rsnapshot); do
			become "$SYSTEM"
			STORE_DIR=$W/disk-$SYSTEM
			sys_again >>"$S/again.log" 2>&1 || lost "day $day failed"
		done
	done
	for SYSTEM in $(turns tidemark nightly restic borg rsnapshot); do
		STORE_DIR=$W/disk-$SYSTEM
		before=EMPTY_${SYSTEM//-/_}
		result disk_all B/B "$(percent "$(($(used "$STORE_DIR") - ${!before}))" "$bytes")" "$DAYS"
	done
	for SYSTEM in "${!STANDING[@]}"; do
		STORE_DIR=$W/disk-$SYSTEM
		end_all "$SYSTEM"
		umount "$STORE_DIR"
	done
	scene_end
done
unset STORE_DIR
