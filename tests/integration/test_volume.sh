#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A library on a disk of its own: when the disk is not mounted the library was not deleted, whoever started before or after.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
note "seed $SEED"

if [ "$ROOT" != yes ]; then
	W=$(mktemp -d "${TMPDIR:-/tmp}/tm.XXXXXX") && WORLDS+=("$W")
	skip "a library on a disk of its own" "needs mounts"
	done_testing
fi

world_new
po_tiny 71
rm -rf "$PO/gwdms" && mkdir "$PO/gwdms"
mount_tmpfs "$W/disk" 16m || { skip "a library on a disk of its own" "cannot mount"; done_testing; }
mount_library() { mount --bind "$W/disk" "$PO/gwdms" && MOUNTS+=("$PO/gwdms"); }
mkdir -p "$W/disk/lib1/docs/fd0" && echo one >"$W/disk/lib1/docs/fd0/doc1"
mount_library
held() { wait_status 90 "p['state'] == 'failed' and 'mount' in p['reason']"; }
DOCS=$STORE/po1/blobs/gwdms/lib1/docs/fd0
kept() { cmp "$W/disk/lib1/docs/fd0/doc1" "$DOCS/doc1"; }
in_set() { backup && restore po1 "$SET" "$W/set-$1" && test -f "$W/set-$1/gwdms/lib1/docs/fd0/doc1"; }

world_start
check "its documents are replicated" kept
check "and are in the set" in_set first

umount "$PO/gwdms"
check "unmounted beneath us: status is red and says to mount it" held
refuse "unmounted: no backup is made" tm backup po1 --wait
mount_library
check "mounted again: it goes on by itself" wait_status 90 'p["connected"] and "gone or not mounted" not in p["reason"] and p["rescans_open"] == 0'
check "mounted again: nothing was taken for deleted" in_set second

collector_stop
watcher_kill
umount "$PO/gwdms"
collector_start
check "not mounted at the start: status is red, names it, and tells the way out" wait_status 30 'p["state"] == "failed" and "/gwdms was a file system" in p["reason"] and "resume" in p["reason"]'
expect 0 '' "a pause there" tm pause po1
expect 0 '' "that ends" tm resume po1
check "does not accept the loss" wait_status 20 'p["state"] == "failed" and "/gwdms was a file system" in p["reason"]'
refuse "no backup is made of the rest" tm backup po1 --wait
mount_library
check "mounted later: it goes on by itself" wait_status 30 'p["connected"] and p["watcher"]'
check "mounted later: nothing was taken for deleted" in_set third
echo two >"$PO/gwdms/lib1/docs/fd0/doc2"
check "mounted later: it is watched" sync_wait
check "so that a new document arrives" cmp "$PO/gwdms/lib1/docs/fd0/doc2" "$DOCS/doc2"

collector_stop
umount "$PO/gwdms"
collector_start
check "removed for good: status is red" wait_status 30 'p["state"] == "failed"'
expect 0 '' "an operator accepts it" tm resume po1
check "accepted: it goes on" wait_status 30 'p["connected"] and p["watcher"] and p["state"] != "failed"'
check "accepted: sync ends" sync_wait
refuse "accepted: the library is not in the next set" in_set fourth
same "which is a good one" ok "$(field state)"
collector_stop && collector_start
check "and stays accepted" wait_status 30 'p["connected"] and p["state"] == "ok"'

# --- below an area: blobs on a disk of their own, and a directory of the same disk that is bound there -----------------------------
mounted_below() {	# mounted_below FROM DIR WORDS
	local live=$PO/offiles/$2 kept=$STORE/po1/blobs/offiles/$2/blob
	mkdir -p "$1" "$live" && echo "$2" >"$1/blob"
	mount --bind "$1" "$live" && MOUNTS+=("$live")
	check "$3, mounted below an area while all runs: it is noticed" wait_log collector "profile.mount.*offiles/$2:"
	watcher_kill # its next life compares everything, so that nobody waits for its minute
	check "$3: is replicated" sync_wait
	check "$3: with its blob" cmp "$1/blob" "$kept"
	umount "$live"
	check "$3, unmounted beneath us: status is red and says to mount it" held
	refuse "$3: no backup is made" tm backup po1 --wait
	check "$3: nothing was taken for deleted" cmp "$1/blob" "$kept"
	collector_stop
	watcher_kill
	collector_start
	check "$3, not mounted at the start: status names it" wait_status 30 "p['state'] == 'failed' and '/offiles/$2 was a file system' in p['reason']"
	mount --bind "$1" "$live"
	check "$3, mounted again: it goes on by itself" wait_status 90 'p["connected"] and p["watcher"] and "gone or not mounted" not in p["reason"] and p["rescans_open"] == 0'
	check "$3: its blob is in the next set" blob_in_set "$2"
}
blob_in_set() { backup && restore po1 "$SET" "$W/set-$1" "offiles/$1" && cmp "$PO/offiles/$1/blob" "$W/set-$1/offiles/$1/blob"; }
mounted_below "$W/disk/fd70" fd70 "a disk"
mounted_below "$W/same" fd71 "a directory of the same disk"
collector_stop
server_stop

# --- a disk that bears another number after a reboot -------------------------------------------------------------------
moved_disk() {	# moved_disk TYPE: the office's disk comes back as another device
	local type=$1 first second
	world_new
	mkdir "$PO" && truncate -s 400M "$W/disk" && "mkfs.$type" -q "$W/disk" >/dev/null 2>&1
	first=$(losetup -f --show "$W/disk") && LOOPS+=("$first") && mount "$first" "$PO" 2>/dev/null || { skip "moved_disk: $type" "cannot mount"; return; }
	MOUNTS+=("$PO")
	rmdir "$PO/lost+found" 2>/dev/null
	po_tiny 72
	world_start
	collector_stop
	watcher_kill
	umount "$PO"
	second=$(losetup -f --show "$W/disk") && LOOPS+=("$second") && mount "$second" "$PO"
	collector_start
	check "$type on another device number is the same tree" wait_status 30 'p["connected"] and p["watcher"] and p["state"] == "ok"'
	collector_stop
	server_stop
}
moved_disk ext4
moved_disk xfs
done_testing
