# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One large database of which 1 % of the pages change, here and there.
#
#   pages        s     again; tidemark: until the set is sealed, that is with the database's copies on both sides
#   pages_sent   s     tidemark alone: the phases in which the changed pages are found, sent and made durable (copy to barrier)
#   phase_*      s     its phases
#   pages_wire   B/B   bytes on the loopback, in both directions, for each changed byte

scene
# The message database gets 0.6 of nine tenths of the bytes; of ten blobs 1 % is none, so that pages are all that changes.
office --users 1 --msgdbs 1 --blobs 10 --blob-bytes "$((PAGES_MIB * 1048576 / 54))" --same-size --db-share 90%
for SYSTEM in $(turns tidemark rsync rsync-fsync rsync-ssh nightly restic borg rsnapshot); do
	prepare "$SYSTEM" && { sys_first >>"$S/first.log" 2>&1 || lost "the first sync failed"; }
	be_still
done
for ROUND in $(seq "$ROUNDS"); do
	churn 1% "$ROUND" --only ofmsg/msg0.db
	for SYSTEM in $(turns tidemark rsync rsync-fsync rsync-ssh nightly restic borg rsnapshot); do
		become "$SYSTEM"
		timed pages '' again || continue
		case $SYSTEM in tidemark | rsync* | nightly) result pages_wire B/B "$(percent "$WIRE" "$(churned changed_bytes)")" ;; esac
		[ "$SYSTEM" = tidemark ] || continue
		result pages_sent s "$(phases copy stream barrier)"
		for phase in copy stream barrier seal; do phase_of "$phase"; done
		be_still
	done
done
end_all tidemark rsync rsync-fsync rsync-ssh nightly restic borg rsnapshot
scene_end
