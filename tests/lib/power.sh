# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Power loss: a world on recorded disks, the moment at which one or both lose power, and what such a disk may then hold.
#
# The server's store, the collector's state and, in some worlds, the live tree lie on file systems of their own, each on a loop device
# on a recorded disk (tests/tools/blocklog.c).  A *moment* ends the power at a seeded write; a *state* is one of the images that
# tests/tools/powercut.py makes of what was written until then: it is mounted, so that the file system replays its journal, and the
# daemons start on it.
# Sourced after tests/integration/lib.sh and tests/lib/crash.sh, whose checks end each state.

BLOCKLOG=$TOOLDIR/blocklog
RECORDS=300	# a cut comes within so many: a small edit and its sync write some 60, a backup some 200
KEEP_BYTES=2000000	# of each of three blobs that nobody touches: to send them again would be seen
declare -A TELL=() HEAR=() RECORDER=() AT=()	# of each disk: its pipes, its recorder, its mount
states=0 lost=0 moments=0
DISKS="server collector"	# or "server collector live"
POWER_END=${POWER_END:-cut}	# or shutdown
declare -A tried=()	# states on each file system

witness() { "$PYTHON" -ES "$TESTS/tools/witness.py" "$@"; }

declare -A MOUNT_OPTIONS=([ext4]=commit=1 [xfs]=rw)

power_can() { [ "$ROOT" = yes ] && [ -x "$BLOCKLOG" ] && [ -c /dev/fuse ] && [ -e /dev/loop-control ]; }

# ---- disks ----

power_mkfs() {	# power_mkfs IMAGE
	case $FS in
	ext4) truncate -s 448M "$1" && mkfs.ext4 -q -J size=4 -E nodiscard "$1" ;;
	xfs) truncate -s 448M "$1" && mkfs.xfs -q -K "$1" ;;
	esac >"$W/mkfs.log" 2>&1
}

# Puts DISK/base under a recorder and mounts it.  Fails when it cannot be mounted: such a disk is lost.
power_on() {	# power_on DISK
	local disk=$1 dir=$W/$1.disk tell hear
	mkdir -p "$dir/fuse"
	cp --sparse=always "$dir/base" "$dir/now"
	[ -p "$dir/tell" ] || mkfifo "$dir/tell" "$dir/hear"
	exec {tell}<>"$dir/tell" {hear}<>"$dir/hear"
	TELL[$disk]=$tell HEAR[$disk]=$hear
	"$BLOCKLOG" "$dir/fuse" "$dir/log" "$dir/now" <"$dir/tell" >"$dir/hear" 2>>"$W/blocklog.log" &
	RECORDER[$disk]=$!
	STARTED+=($!)
	MOUNTS+=("$dir/fuse" "${AT[$disk]}")
	power_hear "$disk" up && power_mount "$dir/fuse/disk" "${AT[$disk]}" 2>"$W/mount.err"
}

# Not by `mount -o loop`: that takes a loop device again which seems to have the same file, by numbers that the file system of a recorder
# inherits from one that is gone.
power_mount() {	# power_mount FILE DIR
	local device status
	device=$(losetup -f --show "$1") || return
	mount -o "${MOUNT_OPTIONS[$FS]}" "$device" "$2"
	status=$?
	losetup -d "$device"	# as soon as nobody uses it
	return $status
}

power_hear() {	# power_hear DISK WORD
	local line
	while read -r -t 60 line <&"${HEAR[$1]}"; do [ "$line" != "$2" ] || return 0; done
	return 1
}

power_tell() { echo "$2" >&"${TELL[$1]}" && power_hear "$1" "${3:-$2}"; }	# power_tell DISK COMMAND [ANSWER]

# What the dead had open is let go a little after they are gone, which nothing tells of.
power_umount() {	# power_umount DIR
	local i
	for i in $(seq 100); do
		grep -q " $1 " /proc/self/mounts || return 0	# mountpoint(1) would ask a file system that is shut down
		umount "$1" 2>"$W/umount.err" && return
		sleep 0.05
	done
	not_ok "power: $1 can be unmounted" "$W/umount.err"
	exit 1
}

# Leaves DISK/now as the disk was left, and DISK/log.
power_take_down() {	# power_take_down DISK
	local disk=$1 pid=${RECORDER[$1]:-} tell=${TELL[$1]:-} hear=${HEAR[$1]:-}
	[ -n "$pid" ] || return 0
	power_umount "${AT[$disk]}"
	echo end >&"$tell"
	wait "$pid"
	forget_started "$pid"
	exec {tell}<&- {hear}<&-
	unset "RECORDER[$disk]"
}

# ---- the world ----

power_world() {	# power_world: FS says on what, DISKS of whom
	local disk far
	world_new
	LEDGER=$W/ledger AT=([server]=$STORE [collector]=$STATE [live]=$PO)
	far=$PORT PORT=$(proc port)
	"$PYTHON" "$TESTS/tools/proxy.py" "$PORT" "$far" --count "$W/bytes" >"$W/proxy.log" 2>&1 &
	STARTED+=($!)
	write_collector_conf collector
	sed -i "s/^address .*/address = 127.0.0.1:$PORT/" "$W/server.conf"
	for disk in $DISKS; do
		mkdir -p "${AT[$disk]}" "$W/$disk.disk"
		power_mkfs "$W/$disk.disk/base" && power_on "$disk" || { not_ok "power: $disk has a disk" "$W/mount.err"; exit 1; }
	done
	power_office
	server_start && collector_start || { not_ok "power: the world starts" "$W/server.log"; exit 1; }
	enrol po1 >"$W/enrol.log" 2>&1 && sync_wait && witness promise "$PO" "$LEDGER" && power_backup 1 && [ "$(cat "$W/bytes")" -gt $((3 * KEEP_BYTES)) ] ||
		{ not_ok "power: the world is good before the first cut" "$W/.workload"; exit 1; }
}

# Databases that are on the medium from the start: an agent's own promises are not ours to keep.
power_office() {
	local n
	rmdir "$PO/lost+found" 2>/dev/null
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	for n in 1 2 3; do head -c $KEEP_BYTES /dev/urandom >"$PO/offiles/fd$n/keep"; done
	sync -f "$PO"
}

power_fresh_world() {
	power_clear
	cleanup
	declare -gA PID=() RECORDER=()
	STARTED=() WORLDS=() MOUNTS=()
	trap 'exit 143' TERM INT
	power_world
}

# ---- the workload, which writes down what it is promised ----

power_backup() {
	local name
	case $DISKS in
	*live*) ;;
	*) witness forget "$LEDGER" others; "$GWSIM" churn "$PO" --fraction 5% --seed "$1" >/dev/null ;;
	esac
	name=$(timeout 90 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait 2>"$W/.workload") &&
		witness promise-set "$PO" "$LEDGER" "$name" && witness promise "$PO" "$LEDGER"
}

power_edit() { witness edit "$PO" "$LEDGER" "$1" && sync_wait 40 && witness promise "$PO" "$LEDGER"; }

# Until the power fails or something is refused because of it.
power_work() {	# power_work SEED
	local n=$1
	until [ -e "$W/.cut" ]; do
		power_edit $((SEED % 100000 * 1000 + n)) || return
		[ $((n++ % 3)) != 0 ] || power_backup $n || return
	done >"$W/.workload" 2>&1
}

# ---- the moment ----

power_offspring() {	# power_offspring PID
	local child
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do echo "$child $(power_offspring "$child")"; done
}

power_kill_work() {
	local pids
	pids="$WORK $(power_offspring "$WORK")"
	# shellcheck disable=SC2086 # a list
	kill -KILL $pids 2>/dev/null
	DYING+=" $pids"
}

power_kill() {	# power_kill server|collector: with all that it started; nobody is waited for, the disk holds them
	local pids
	pids="${PID[$1]} $(power_offspring "${PID[$1]}") $([ "$1" = server ] || watcher_pid)"
	# shellcheck disable=SC2086 # a list
	kill -KILL $pids 2>/dev/null
	DYING+=" $pids"
}

power_reap() {
	local pid
	proc gone "$DYING" 20 || { not_ok "power: not all of $DYING are dead"; exit 1; }
	for pid in $DYING; do forget_started "$pid"; done
}

# The power of the victims fails after a seeded number of writes, flushes and discards of the first one's disk.  With `dead`, the other
# side's processes die with them, and any number of states can be made of the one moment; with `alive` it goes on, as another
# machine does, and the victim is one disk.
power_moment() {	# power_moment VICTIMS dead|alive
	local victims=$1 rest=$2 disk part
	moments=$((moments + 1)) DYING=''
	rm -f "$W/.cut"
	power_work $((moments * 7)) &
	WORK=$!
	"power_end_by_$POWER_END" $((1 + RANDOM % RECORDS)) $victims
	touch "$W/.cut"
	case " $victims " in *" live "*) power_kill_work ;; esac
	if [ "$rest" = dead ]; then power_kill server; power_kill collector; else power_kill "$victims"; fi
	for disk in $victims; do power_tell "$disk" off; done
	power_reap
	if [ "$rest" = dead ]; then
		wait "$WORK"
		unset "PID[server]" "PID[collector]"
		for disk in $DISKS; do power_take_down "$disk"; done
	else
		unset "PID[$victims]"
		power_take_down "$victims"
	fi
	for disk in $DISKS; do
		[ -z "${RECORDER[$disk]:-}" ] || continue
		for part in log base now; do mv "$W/$disk.disk/$part" "$W/$disk.disk/cut.$part"; done
	done
}

# How it ends.  `cut`: the recorders hold whatever comes later, so that nobody is told of it.
power_end_by_cut() {	# power_end_by_cut RECORDS DISK...
	local records=$1 disk
	shift
	for disk; do
		power_tell "$disk" "cut $records" cut || { not_ok "power: the power of the $disk fails" "$W/.workload"; exit 1; }
		records=0
	done
}

# `shutdown`: the file system itself drops what it has not written; the daemons see a disk that fails under them before they die.
power_end_by_shutdown() {	# power_end_by_shutdown RECORDS DISK...
	local records=$1 disk
	shift
	power_tell "$1" "tell $records" told || { not_ok "power: the disk of the $1 is told to end" "$W/.workload"; exit 1; }
	for disk; do "$PYTHON" -ES "$TESTS/tools/powercut.py" --shutdown "${AT[$disk]}"; done
}

# ---- one state ----

# Makes and mounts what the disks hold: the victims' by choice, that of a survivor as it is, as that of a file system that ended itself.
# Status 1: a disk is lost.
power_make() {	# power_make VICTIMS SEED
	local disk dir
	CHOICE=
	for disk in $DISKS; do
		dir=$W/$disk.disk
		[ -z "${RECORDER[$disk]:-}" ] || continue
		case "$POWER_END $1 " in
		"cut "*"$disk "*)
			rm -f "$dir/base"	# that of the state before is not tried twice
			CHOICE+="$disk: $("$PYTHON" -ES "$TESTS/tools/powercut.py" "$dir/cut.log" "$dir/cut.base" "$dir/base" "$2" ${LIAR:+--liar}); " ||
				{ not_ok "power: a state of the $disk is made"; exit 1; } ;;
		*) cp --sparse=always "$dir/cut.now" "$dir/base" ;;
		esac
		power_on "$disk" || return 1
	done
}

# How many writes were in caches when the power failed: the choices of the present moment.
power_unflushed() { grep -oE '[0-9]+ writes unflushed' <<<"$CHOICE" | awk '{ n += $1 } END { print n + 0 }'; }

# The bytes that went over the wire since the count BEFORE: what was not promised, some talk and databases, but no full transfer.
power_bytes() {	# power_bytes BEFORE MOST
	local sent=$(($(cat "$W/bytes") - $1))
	[ $sent -lt $(($2 + KEEP_BYTES)) ] || { echo "$sent bytes went over the wire, of which $2 had not been there: a full transfer"; return 1; }
}

# No half set, and everything that was promised: on the disk as it came back, and still after the server's recovery, as long as nobody can
# send it once more or change it.
power_audit() {
	[ -z "${PID[server]:-}" ] || wait "$WORK"
	witness check "$STORE/po1" "$LEDGER" || return
	[ -z "${PID[server]:-}" ] || return 0
	server_start || { echo "the server does not start"; return 1; }
	[ -n "${PID[collector]:-}" ] || witness check "$STORE/po1" "$LEDGER"
}

# The machine of the collector comes up as another boot, which is what the memo's name for the last one says.
power_reboot() { sed -i 's/^boot=.*/boot=the-one-before/' "$STATE/po1/memo" 2>/dev/null; }

# Blobs that the live tree's disk lost without a trace, and the server kept, are given back, as an administrator would; then both are
# the same.
power_blobs() {
	local line path file said status=0 given=0
	said=$(crash_blobs) && return
	while IFS= read -r line; do
		path=${line%%: other bytes in *} file=${line#*: other bytes in }
		case $line in
		*" files compared, "*) ;;
		*": other bytes in "*) witness kept "$PO" "$LEDGER" "$path" "$file" && cp --preserve=timestamps "$file" "$PO/$path" && given=$((given + 1)) || status=1 ;;
		*) status=1 ;;
		esac
	done <<<"$said"
	[ $status = 0 ] || { echo "$said"; return 1; }
	note "the live tree's disk lost the bytes of $given blobs, which the server kept"
	sync_wait 60 && crash_blobs
}

# Then all converges, and what was promised stays.
power_converge() {
	local before most
	before=$(cat "$W/bytes") most=$(witness unpromised "$PO" "$LEDGER")
	[ -n "${PID[collector]:-}" ] || { power_reboot; collector_start; } || { echo "the collector does not start"; return 1; }
	wait "$WORK"
	crash_all_up || { echo "not everything comes up again"; return 1; }
	# A new mutable file that neither the server acknowledged nor the live tree kept may lie in the staging, without a row: no set holds it.
	case $DISKS in *live*) sync_wait 60 && power_blobs ;; *) crash_check_flow ;; esac || return
	crash_check_set || return
	power_bytes "$before" "$most" || return
	# A live tree that lost what nobody had synced is what the replica becomes.
	case $DISKS in *live*) witness forget "$LEDGER" all; witness sets "$STORE/po1" ;; *) witness check "$STORE/po1" "$LEDGER" ;; esac
}

# A file system that its own checker finds broken is a disk that broke, not a program that did.
power_disk_is_broken() {
	local disk
	power_clear
	for disk in $DISKS; do
		case $FS in
		ext4) e2fsck -fn "$W/$disk.disk/now" ;;
		xfs) xfs_repair -n "$W/$disk.disk/now" ;;
		esac >"$W/fsck" 2>&1 || return 0
	done
	return 1
}

# Status 0: the state is good, or its disk is lost; 1: a violation, which was told.  What runs, runs on.
power_state() {	# power_state VICTIMS SEED
	if ! power_make "$@"; then
		lost=$((lost + 1))
		note "a disk is lost: $CHOICE$(cat "$W/mount.err")"
		return 2
	fi
	states=$((states + 1))
	tried[$FS]=$((${tried[$FS]:-0} + 1))
	{ power_audit && { [ -n "${LIAR:-}" ] || power_converge; }; } >"$W/.verdict" 2>&1 && return 0
	violations=$((violations + 1))
	return 1
}

# What a violation is looked into with: the recorded disks as they were when the power failed, and all else.
power_keep_evidence() {
	local dir=$EVIDENCE/power-$FS-$states-$$ disk
	mkdir -p "$dir"
	for disk in $DISKS; do
		mkdir -p "$dir/$disk"
		cp --sparse=always "$W/$disk.disk"/{cut.log,cut.base,base} "$dir/$disk" 2>/dev/null
	done
	cp -a "$W"/*.log "$W/.verdict" "$LEDGER" "$PO" "$dir"
	echo "$CHOICE" >"$dir/choice"
	note "  all of it in $dir"
}

# All stops, so that another state of the same moment can be made.
power_clear() {
	local disk program
	DYING=''
	for program in server collector; do
		[ -z "${PID[$program]:-}" ] || power_kill "$program"
	done
	power_reap
	unset "PID[server]" "PID[collector]"
	for disk in $DISKS; do power_take_down "$disk"; done
}
