# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# First sync of many files of exactly 4 KiB in 247 folders, random bytes; each system alone.
#
#   small    s    until the system says it is done; tidemark: until each is durable

scene offiles
office --users 2 --msgdbs 2 --blobs "$SMALL_FILES" --blob-bytes 4k --same-size --db-share 1%
for ROUND in $(seq "$ROUNDS"); do
	for SYSTEM in $(turns tidemark rsync rsync-fsync rsync-ssh tar lsyncd-0 syncthing restic borg rsnapshot); do
		become "$SYSTEM"
		[ "$ROUND" -le "$SLOW_ROUNDS" ] || ! can slow || continue
		fresh "$SYSTEM" "$SMALL_FILES" "$((SMALL_FILES / 256 * 3 + 1000))" && prepare "$SYSTEM" && timed small '' first
		end_all "$SYSTEM"
	done
done
scene_end
