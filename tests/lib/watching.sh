# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Attacks on seeing: the world they run in, and the one check that follows each: after a sync the replica is the live tree.
#
# Sourced after tests/integration/lib.sh.  One world serves many attacks: each ends where everything is known to be good.

TOOLDIR=$(realpath "build/${FLAVOUR:-release}/tools")
overflows=0 seeds=0
for part in "$TESTS"/watching/*.sh; do
	# shellcheck source=/dev/null
	. "$part"
done

# A small office.  The index is not polled: what the watcher loses is not found by accident.  OFFICE_ON=ext4: it lies on a disk of
# its own, which nobody syncs for other reasons.  OFFILES_ON=volume: its blobs lie in $W/volume/offiles, mounted there.
watching_world() {	# watching_world [gwsim's OPTION...]
	world_new
	sed -i "s/^index-poll = .*/index-poll = ${INDEX_POLL:-0s}/" "$W/collector.conf"
	[ -z "${OFFICE_ON:-}" ] || { mount_image "$PO" "$OFFICE_ON" 300M && rm -rf "$PO/lost+found"; } || return
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed 7 "$@" >"$W/gwsim.log" 2>&1
	BLOBS=$PO/offiles/watching INDEX=$PO/ofuser/index/watching OUTSIDE=$W/outside
	mkdir "$BLOBS" "$INDEX" "$OUTSIDE"
	[ -z "${OFFILES_ON:-}" ] || watching_volume
	watching_begin
}

watching_volume() {
	mount_tmpfs "$W/volume" 200m && mv "$PO/offiles" "$W/volume/offiles" && mkdir "$PO/offiles" &&
		mount --bind "$W/volume/offiles" "$PO/offiles" && MOUNTS=("$PO/offiles" "${MOUNTS[@]}")
}

# What a part does to a tree that is mounted, or under a limit, is there before this.
watching_begin() {
	world_start
	backup >"$W/.first" 2>&1 || { not_ok "watching: the world is good before the first attack" "$W/.first"; exit 1; }
}

# The present world and all that runs in it is ended; what was counted stays.
watching_end() {
	cleanup
	declare -gA PID=()
	STARTED=() WORLDS=() MOUNTS=()
	trap 'exit 143' TERM INT
}
watching_fresh_world() {
	watching_end
	watching_world
}

# The whole replica: the index area as it lies in staging, by rsync; then a set, and what is restored from it, by SHA-256.
watching_compare() {
	local differences
	differences=$(index_differences)
	[ -z "$differences" ] || { echo "staging differs from the index area:"; head -n 15 <<<"$differences"; return 1; }
	rm -rf "$W/restored"
	backup || return
	restore po1 latest "$W/restored" >"$W/.restore" 2>&1 || { cat "$W/.restore"; return 1; }
	trees compare "$PO" "$W/restored"
}

# The one question, asked after every attack.
watching_check() {
	sync_wait 300 || { echo "sync does not end well"; return 1; }	# on a busy machine; whoever hangs is found all the same
	watching_compare
}

# One word of the watcher's own figures; nothing while it does not answer.
watching_figure() {
	"$PYTHON" "$TESTS/tools/watcher_talk.py" status "$W/run-collector/watcher-po1.sock" 2>/dev/null | grep -oE "$1=[^ ]+" | cut -d= -f2
}
