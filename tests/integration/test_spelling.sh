#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A post office as other systems left it: its directories in capitals, its path a link.  Nothing is lost for the way it is spelt.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 61
mkdir -p "$PO/gwdms/lib1/docs/fd0" && echo one >"$PO/gwdms/lib1/docs/fd0/doc1"
LIVE=$W/volume/PO
mkdir "$W/volume" && mv "$PO" "$LIVE" && ln -s volume/PO "$PO"
mv "$LIVE/wphost.db" "$LIVE/WPHOST.DB"
capitals() {	# capitals DIR: the fixed names in capitals, the deepest first
	local dir parent
	for dir in ofuser/index gwdms/lib1/docs ofuser ofmsg offiles gwdms; do
		[ -d "$1/$dir" ] || continue
		parent=$1/$dir parent=${parent%/*}
		mv "$1/$dir" "$parent/$(basename "$dir" | tr '[:lower:]' '[:upper:]')"
	done
}
equal() {	# equal SET: restored, it is the live tree, but for the case of those names
	rm -rf "$W/r" && restore po1 "$1" "$W/r" && capitals "$W/r" && compare_tree "$LIVE" "$W/r"
}
capitals "$LIVE"

world_start
holds "the tree behind a link is watched" "$(field watched_directories)" -gt 5
check "a backup is good" backup
check "it has every file, directory and mode, whatever the case of its directories" equal "$SET"
holds "and the link to the blobs" "$(find "$STORE/po1/backups/weeknow/$SET" -maxdepth 1 -name offiles -type l | wc -l)" = 1

echo new >"$LIVE/OFFILES/fd1/behind-the-link"
check "a change behind the link is heard of" sync_wait
check "and on the server" cmp "$LIVE/OFFILES/fd1/behind-the-link" "$STORE/po1/blobs/offiles/fd1/behind-the-link"

chmod 750 "$LIVE/OFUSER/INDEX" "$LIVE/OFFILES" "$LIVE/GWDMS"
check "a backup after their modes changed is good" backup
check "and whole" equal "$SET"

collector_stop
watcher_kill
mv "$LIVE/OFUSER/INDEX" "$LIVE/OFUSER/index"
world_restart() { collector_start && wait_status 30 'p["connected"] and p["watcher"]'; }
check "they are spelt otherwise meanwhile" world_restart
check "a backup of that is good" backup
mv "$LIVE/OFUSER/index" "$LIVE/OFUSER/INDEX"
check "and whole" equal "$SET"
done_testing
