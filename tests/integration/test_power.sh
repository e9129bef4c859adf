#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A seeded handful of what `make power` tries in full: disks lose power at some write, and no promise is broken.  That this oracle sees a
# broken one, on disks that lie about flushes, is shown by `make power LIAR=1`.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../lib/crash.sh
. "$(dirname "$0")/../lib/crash.sh"
# shellcheck source=../lib/power.sh
. "$(dirname "$0")/../lib/power.sh"
note "seed $SEED"
RANDOM=$((SEED % 32768))
if ! power_can; then
	skip "power loss keeps every promise" "recorded disks need root, /dev/fuse, loop devices and libfuse3"
	done_testing
fi
crash_in_memory

# some_states SENTENCE VICTIMS REST STATES: of one moment
some_states() {
	local sentence=$1 n
	power_moment "$2" "$3"
	for ((n = 0; n < $4; n++)); do
		[ $n = 0 ] || power_clear
		if ! power_state "$2" $RANDOM; then
			not_ok "$sentence: $CHOICE" "$W/.verdict"
			return
		fi
	done
	ok "$sentence"
}

# The same world on disks that acknowledge flushes and do nothing; promises were made, so some of its states must have broken one.
# A file that was written in place, and a power failure that takes the bytes back and leaves the times they brought.
what_stat_does_not_show() {
	local index live bytes block
	world_new
	mount_image "$W/live" ext4 64M || { skip "what stat does not show" "cannot mount"; return; }
	PO=$W/live/po
	write_collector_conf collector
	po_tiny 5
	index=$PO/ofuser/index/patched.idx live=$STORE/po1/gre_data/ofuser/index/patched.idx
	head -c 40000 /dev/urandom | tee "$W/before" >"$index"
	bytes=$(stat -f -c %S "$index")
	sync -f "$PO"
	world_start
	printf 'written in place' | dd of="$index" bs=4096 seek=2 conv=notrunc 2>/dev/null
	check "a patch in place is replicated" sync_wait
	echo other >"$PO/offiles/other" && sync "$PO/offiles/other"	# the journal brings the times of both files, and the bytes of this one
	collector_kill
	watcher_kill
	"$PYTHON" -ES "$TESTS/tools/powercut.py" --shutdown "$W/live" && umount "$W/live"
	# Whether the bytes reached the medium is the kernel's choice: they are taken back by hand, the inode is not touched.
	block=$(debugfs -R "bmap /po/ofuser/index/patched.idx $((8192 / bytes))" "$W/live.img" 2>/dev/null)
	dd if="$W/before" of="$W/live.img" bs=16 count=1 skip=512 seek=$((block * bytes / 16)) conv=notrunc 2>/dev/null
	mount -o loop "$W/live.img" "$W/live"
	check "the power failure takes the patch back" cmp "$index" "$W/before"
	power_reboot
	collector_start
	crash_all_up
	check "every_start_is_a_recovery: after it sync ends" sync_wait
	check "every_start_is_a_recovery: a file whose bytes went back, and whose times did not, is the replica's" cmp "$index" "$live"
	collector_stop
	server_stop
}

what_stat_does_not_show
FS=ext4
power_fresh_world
some_states "acknowledged_means_durable: ext4, the server's disk loses power" server alive 1
some_states "every_start_is_a_recovery: ext4, both disks lose power" "server collector" dead 2
FS=xfs
power_fresh_world
some_states "every_start_is_a_recovery: XFS, the collector's disk loses power" collector dead 1
some_states "acknowledged_means_durable: XFS, both disks lose power" "server collector" dead 1
done_testing
