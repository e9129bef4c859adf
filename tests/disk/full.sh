# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks that fill, at either end, at ever other places: nothing is lost, no half set, and it goes on by itself.
#
# One world has both its ends on small disks and serves many sizes: a disk is made as small as what it holds and a seeded rest, work runs
# into the wall, there is room again, everything must arrive.  Sourced after tests/integration/lib.sh.

FULL_WORKS="flow backup midway start"
FULL_WORLD=8	# sizes of one world: databases that once grew would not grow again
FULL_ROOM=5000000	# the works need less
FULL_DISK=500m	# the collector begins no job below 256 MiB
FULL_INODES=100000
full_round=0 sizes=0

full_world() {	# full_world TYPE COPIER: tmpfs or ext4 under the server's store and the collector's state; DBCOPY builtin or ours
	FULL_TYPE=$1 COPIER=$2 PROFILE_KEYS=
	cleanup
	PID=() STARTED=() WORLDS=() MOUNTS=()
	trap 'exit 143' TERM INT
	world_new
	[ "$COPIER" = builtin ] || full_dbcopy
	mkdir "$W/disk.server" "$W/disk.collector"
	if [ "$FULL_TYPE" = tmpfs ]; then
		mount_tmpfs "$W/disk.server" $FULL_DISK && mount_tmpfs "$W/disk.collector" $FULL_DISK
	else
		full_image "$W/disk.server" && full_image "$W/disk.collector"
	fi || { not_ok "disk: small disks are mounted"; exit 1; }
	STORE=$W/disk.server/store STATE=$W/disk.collector/state
	write_server_conf
	write_collector_conf collector
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	world_start
	# Without a first set the whole of local staging must still find room.
	[ $((sizes % 2)) = 0 ] || backup >"$W/.first" || { not_ok "disk: a first backup is good" "$W/.first"; exit 1; }
	FIRST=
	full_know_pids
}

# The daemons are root's here, so nothing may be kept back for root.
full_image() { mount_image "$1" ext4 $FULL_DISK && tune2fs -m 0 "$(findmnt -no SOURCE "$1")" >/dev/null; }

full_know_pids() { PIDS="${PID[server]} $(keeper_pid) ${PID[collector]} $(watcher_pid)"; }

full_alive() {
	full_know_pids_now="${PID[server]} $(keeper_pid) ${PID[collector]} $(watcher_pid)"
	[ "$full_know_pids_now" = "$PIDS" ] || echo "a daemon died: $PIDS, now $full_know_pids_now (server, keeper, collector, watcher)"
}

# ---- the wall ----

# What the disk has left is ROOM bytes, as near as its blocks allow, or, where the wall is one of inodes, ROOM inodes.
full_shrink() {	# full_shrink END ROOM
	local disk=$W/disk.$1 used free
	# What writes meanwhile makes the first size too small to be taken.
	if [ "$WALL" = inodes ]; then
		until used=$(df --output=iused "$disk" | tail -n 1) && mount -o "remount,nr_inodes=$((used + $2))" "$disk" 2>/dev/null; do :; done
	elif [ "$FULL_TYPE" = tmpfs ]; then
		until used=$(df --output=used -B1 "$disk" | tail -n 1) && mount -o "remount,size=$((used + $2))" "$disk" 2>/dev/null; do :; done
	else
		free=$(stat -f -c '%f * %S' "$disk")
		[ $((free - $2)) -le 0 ] || fallocate -l $((free - $2)) "$disk/ballast" 2>/dev/null
	fi
}

full_widen() {	# full_widen END
	if [ "$FULL_TYPE" = tmpfs ]; then mount -o "remount,size=$FULL_DISK,nr_inodes=$FULL_INODES" "$W/disk.$1"; else rm -f "$W/disk.$1/ballast"; fi
}

# ---- the works ----

# New blobs of all sizes up to those that travel in pieces, changed index files, names that go.
full_edit() {
	"$PYTHON" - "$PO" $full_round "$SEED" <<'PY'
import os, random, sys
po, number, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
r = random.Random(seed * 100003 + number)
for i in range(40 + r.randrange(2) * 600):
    folder = "%s/offiles/fd%X" % (po, r.randrange(7))
    os.makedirs(folder, exist_ok=True)
    with open("%s/full%d-%d" % (folder, number, i), "wb") as f:
        f.write(r.randbytes(int(10 ** r.uniform(1, 5.6 if i < 40 else 2))))
for folder, _, names in os.walk(po + "/offiles"):
    for name in names:
        if name.startswith("full") and int(name[4:].split("-")[0]) < number - 2:
            os.unlink(folder + "/" + name)
with open(po + "/ofuser/index/full%d.idx" % (number % 3), "ab") as f:
    f.write(r.randbytes(r.randrange(1, 60000)))
PY
}

full_churn() { "$GWSIM" churn "$PO" --fraction 8% --seed $full_round >/dev/null; }

# Until all is there, or the status says what is wrong: `sync --wait` says it, too, but only after five tries.
full_flow() {	# full_flow END ROOM
	local syncing line ear reason
	full_shrink "$@"
	full_edit
	[ $((full_round % 6)) != 0 ] || { sync_wait 60; return; }
	exec {ear}< <(exec "$BIN/tidemark" --config "$W/collector.conf" --json status po1 --watch 2>/dev/null)
	sync_wait 60 &
	syncing=$!
	while kill -0 $syncing 2>/dev/null; do
		read -r -t 0.5 -u "$ear" line || continue
		[[ $line =~ \"reason\":\"([^\"]*) ]] || continue
		reason=${BASH_REMATCH[1]}
		[[ $reason =~ space|full ]] || continue
		echo "status: $reason"
		kill $syncing
		wait $syncing
		exec {ear}<&-
		return 15
	done
	exec {ear}<&-
	wait $syncing
}

full_backup() {
	full_churn
	full_shrink "$@"
	timeout 90 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait
}

# The disk fills when a job that found space enough is on its way: DBCOPY waits for it, before its work or after.
full_midway() {	# full_midway END ROOM
	local job moments=(before after)
	full_edit
	full_churn
	echo "${moments[full_round / 2 % 2]}" >"$W/strike"
	timeout 90 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait &
	job=$!
	read -r -t 30 -u "$COPYING" || echo "DBCOPY did not begin"
	full_shrink "$@"
	echo go >&"$GO"
	wait $job
}

full_dbcopy() {
	mkfifo "$W/copying" "$W/go"
	exec {COPYING}<>"$W/copying" {GO}<>"$W/go"
	cat >"$W/dbcopy" <<-SCRIPT
	#!/bin/bash
	moment=\$(cat "$W/strike" 2>/dev/null)
	rm -f "$W/strike"
	wall() { echo copying >"$W/copying"; read -r _ <"$W/go"; }
	[ "\$moment" != before ] || wall
	"$TESTS/tools/fake_dbcopy.sh" good "\$@"
	status=\$?
	[ "\$moment" != after ] || wall
	exit \$status
	SCRIPT
	chmod +x "$W/dbcopy"
	PROFILE_KEYS="dbcopy = $W/dbcopy"
}

# Killed and started again while there is no room; one that cannot live then says so and ends.
full_start() {
	full_edit
	full_shrink "$@"
	if [ "$1" = server ]; then server_kill; server_start; else collector_kill; collector_start; fi || {
		tail -n 3 "$W/$1.log"
		grep -Eq 'space|full' <(tail -n 3 "$W/$1.log") || return 1
		return 15
	}
	sync_wait 6
}

# ---- one size ----

# What must hold although the disk is full.
full_wall() {	# full_wall STATUS
	case $1 in
	0) ;;
	15) grep -Eq 'space|full' "$W/.work" || { echo "it does not say that a disk is full:"; cat "$W/.work"; } ;;
	13|124) [ "$WORK" = start ] && grep -Eq 'space|full' <<<"$(field reason)" || { echo "it does not say that a disk is full: $(field reason)"; cat "$W/.work"; } ;;
	*) echo "it ended with status $1:"; cat "$W/.work" ;;
	esac
	[ "$WORK" = start ] || full_alive
	[ -z "$(half_state)" ] || echo "half a set is left: $(half_state)"
	tms --json status po1 2>/dev/null | q profiles.0.state >/dev/null || echo "the server answers nobody"
}

# What must hold when there is room again.
full_after() {
	local before=$SECONDS
	if [ "$WORK" = start ]; then
		{ [ -n "${PID[$1]:-}" ] && kill -0 "${PID[$1]}" 2>/dev/null; } || "${1}_start" || { echo "it does not start again"; return; }
		wait_status 60 'p["connected"] and p["watcher"]' || { echo "not everything comes up again"; return; }
	fi
	if [ $((full_round % 8)) = 0 ]; then
		wait_status 60 'p["connected"] and p["troubled"] == 0 and p["pending_changes"] == 0 and p["rescans_open"] == 0' || echo "it does not go on by itself within a minute"
	fi
	sync_wait 60 || { echo "sync does not end"; return; }
	[ $((SECONDS - before)) -le 60 ] || echo "it took $((SECONDS - before)) s to go on"
	compare_replica
	[ "$WORK" = flow ] && [ $((full_round % 5)) != 0 ] && return
	backup || { echo "no set can be made"; return; }
	rm -rf "$W/restored"
	restore po1 latest "$W/restored" >"$W/.restore" 2>&1 || cat "$W/.restore"
	compare_tree "$PO" "$W/restored"
	[ -n "$FIRST" ] || { FIRST=$SET && trees sums "$STORE/po1/backups/weeknow/$FIRST" >"$W/first.sums"; }
	trees sums "$STORE/po1/backups/weeknow/$FIRST" | cmp - "$W/first.sums" || echo "the first set has changed"
}

# full_size END WORK ROOM: one size; status 1 is a violation, which was told.
full_size() {
	local status
	WORK=$2
	full_round=$((full_round + 1)) sizes=$((sizes + 1))
	"full_$WORK" "$1" "$3" >"$W/.work" 2>&1
	status=$?
	full_wall $status >"$W/.verdict" 2>&1
	full_widen "$1"
	full_after "$1" >"$W/.after" 2>&1
	grep -v ' 0 differences$' "$W/.after" >>"$W/.verdict"
	[ -z "${VERBOSE:-}" ] || note "size $sizes: $FULL_TYPE $1 $WORK room $3: status $status, $(tail -n 1 "$W/.work" | cut -c -200)"
	full_know_pids
	[ $status != 15 ] || walls=$((walls + 1))
	[ ! -s "$W/.verdict" ] || { not_ok "disk: $FULL_TYPE, $1 full, $WORK with room for $3 $WALL (size $sizes)" "$W/.verdict"; return 1; }
}

# Small rooms are as frequent as large ones; the collector's databases use again what they once had.
full_room() {	# full_room END
	local most=200000
	[ "$1" != server ] || most=$FULL_ROOM
	[ "$WALL" != inodes ] || most=100
	"$PYTHON" -c "import random; print(int($most ** random.Random($SEED * 1000 + $sizes).uniform(0.1, 1)))"
}

# full_sizes COUNT: seeded sizes at both ends, a few of each world.
full_sizes() {
	local n end work types=(tmpfs ext4) copiers=(builtin ours) works before=$violations number=$((SEED % 4))
	walls=0
	read -ra works <<<"$FULL_WORKS"
	for ((n = 0; n < $1; n++)); do
		[ $((n % FULL_WORLD)) != 0 ] || { number=$((number + 1)) && full_world "${types[number % 2]}" "${copiers[number / 2 % 2]}"; }
		end=server
		[ $((RANDOM % 2)) = 0 ] || end=collector
		work=${works[RANDOM % ${#works[@]}]}
		WALL=bytes
		[ "$FULL_TYPE" != tmpfs ] || [ $((RANDOM % 3)) != 0 ] || WALL=inodes	# ext4 knows its inodes when it is made
		case $COPIER.$end.$work in
		*.collector.backup) work=flow ;;	# it would not begin
		builtin.*.midway) work=flow ;;
		esac
		full_size $end $work "$(full_room $end)" || { violations=$((violations + 1)); full_world "$FULL_TYPE" "$COPIER"; }
	done
	[ "$1" -lt 6 ] || [ $walls != 0 ] || { violations=$((violations + 1)) && not_ok "disk: of $1 sizes some meet a wall"; }
	[ $violations != "$before" ] || ok "a disk that is full at either end loses nothing and resumes: $1 sizes, $walls walls"
}
