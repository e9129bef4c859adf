# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# First sync of a whole office, blobs and databases, to an empty other side; each system alone, the others not there, on a new
# file system (root only: others share that of the office).
#
#   first        s    until the system says it is done; tidemark: until the first set is sealed
#   first_flow   s    tidemark alone: until every blob and index is durable
#   first_replica s   tidemark alone: until the databases are, too: the whole replica, which is where rsync ends

SYSTEMS_HERE="tidemark rsync rsync-fsync rsync-ssh nightly tar lsyncd-0 syncthing restic borg rsnapshot"

first_parts() {
	result first_flow s "$FLOW_TOOK"
	result first_replica s "$(awk "BEGIN { print $FLOW_TOOK + $(phases copy stream barrier) }")"
}

first_body() {	# first_body SYSTEM...
	for ROUND in $(seq "$ROUNDS"); do
		for SYSTEM in $(turns "$@"); do
			[ "$ROUND" = 1 ] || { become "$SYSTEM"; ! can slow; } || continue
			fresh "$SYSTEM" "$OFFICE_BLOBS" "$((OFFICE_BLOBS * 20 / 1024 * 5 + 1000))" || { say "  no $FS can be mounted: left out"; return; }
			prepare "$SYSTEM" && timed first '' first && [ "$SYSTEM" = tidemark ] && first_parts
			end_all "$SYSTEM"
		done
	done
}

scene
office --users "$OFFICE_USERS" --blobs "$OFFICE_BLOBS" --blob-bytes 20k --db-share 12%
# shellcheck disable=SC2086 # a list of words
first_body $SYSTEMS_HERE
if [ $ROOT = yes ]; then
	FS=xfs
	first_body tidemark rsync
fi
scene_end
