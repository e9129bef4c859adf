#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Promises that show from outside only with a tool: a power cut, a tracer, a crowd at the door.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
note "seed $SEED"

world_new
po_tiny 71

# --- nothing slow on the loop ---------------------------------------------------------------------------------------
world_start
SLOW=fsync,fdatasync,syncfs,sync_file_range,msync,copy_file_range,sendfile,fallocate,ftruncate
traced=()
if strace -o "$W/trace.self" -e "trace=$SLOW" true 2>/dev/null; then
	# Without -f a tracer sees one thread only: the one that runs the loop.
	for who in "server ${PID[server]}" "keeper $(keeper_pid)" "collector ${PID[collector]}"; do
		strace -y -o "$W/trace.${who% *}" -e "trace=$SLOW,pread64" -p "${who#* }" 2>"$W/attached.${who% *}" &
		STARTED+=("$!")
		traced+=("$!")
		until grep -q attached "$W/attached.${who% *}" || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
	done
fi
"$GWSIM" run "$PO" --rate 300 --processes 2 --every 0 --for 6s --seed "$SEED" >"$W/agents.log" 2>&1 &
agents=$!
STARTED+=("$agents")
slowest=0
(backup_in_use && tms verify po1) >"$W/.backup" 2>&1 &
work=$!
while kill -0 $work 2>/dev/null; do
	start=$(date +%s%N)
	tm status po1 >/dev/null && tms status po1 >/dev/null
	t=$((($(date +%s%N) - start) / 1000000))
	[ $t -le $slowest ] || slowest=$t
done
wait $work
same "a backup makes a set that is verified while all are watched" 0 $?
bounded "nothing_slow_on_the_loop: both daemons answer while agents, backup and verify run (at most $slowest ms later)" $slowest $((2000 * PATIENCE))
wait $agents
sync_wait
for pid in "${traced[@]}"; do kill -INT "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
if [ -s "$W/attached.collector" ] && grep -q attached "$W/attached.collector"; then
	for who in server keeper collector; do
		grep -E "^($(echo $SLOW | tr , '|'))\(|pread64\([0-9]+<($PO|$STORE/[a-z]|$STATE/[a-z]+/[^i])" "$W/trace.$who" >"$W/.slow"
		if [ -s "$W/.slow" ]; then not_ok "nothing_slow_on_the_loop: no sync, no file data on the loop of the $who" "$W/.slow"; else
			ok "nothing_slow_on_the_loop: no sync, no file data on the loop of the $who"; fi
	done
else
	skip "nothing_slow_on_the_loop: no sync, no file data on a loop" "processes cannot be traced here"
fi

# --- bounded ------------------------------------------------------------------------------------------------------------
descriptors() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; }
"$PYTHON" - "$PORT" "$W/crowd" >"$W/crowd.log" 2>&1 <<'PY' &
import os, resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
crowd = []
for i in range(800):
    try:
        s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)
        if i % 2:
            s.sendall(os.urandom(100))
        crowd.append(s)
    except OSError as e:
        print(i, e)
open(sys.argv[2], "w").close()
time.sleep(60)
PY
crowd=$!
STARTED+=("$crowd")
until [ -e "$W/crowd" ] || ! kill -0 $crowd 2>/dev/null; do sleep 0.05; done
fds=$(descriptors "${PID[server]}")
holds "bounded: 800 strangers at the door hold few descriptors of the server ($fds)" "$fds" -le 600
echo "in a crowd" >"$PO/offiles/fd0/crowd"
check "bounded: and do not hold up a collector" sync_wait 30
kill -KILL $crowd; wait $crowd 2>/dev/null
bounded "bounded: the server's private memory stays below 128 MiB" "$(proc memory "${PID[server]}")" $((128 << 20))
server_stop
"$PYTHON" - "$PO/offiles" <<'PY'
import os, sys
for i in range(20000):
    with open("%s/fd%X/backlog%d" % (sys.argv[1], i % 200, i), "wb") as f:
        f.write(b"%d" % i)
for i in range(20000):
    with open("%s/fd1/same" % sys.argv[1], "wb") as f:
        f.write(b"%d" % i)
PY
check "bounded: a backlog of 20,000 changes waits" wait_status 60 'p["pending_changes"] >= 19000 or p["rescans_open"] > 0'
holds "bounded: 20,000 changes of one path are one row" "$(field pending_changes)" -le 22000
m=$(proc memory "${PID[collector]}" "$(watcher_pid)")
bounded "bounded: collector and watcher hold 64 MiB at most with a backlog ($((m >> 20)) MiB)" "$m" $((64 << 20))
server_start
check "bounded: the backlog drains" sync_wait 120
m=$(proc memory "${PID[collector]}" "$(watcher_pid)")
bounded "bounded: and 64 MiB at most after it ($((m >> 20)) MiB)" "$m" $((64 << 20))
check "bounded: nothing was lost" compare_replica
holds "bounded: the collector's descriptors" "$(descriptors "${PID[collector]}")" -le 200
collector_stop
server_stop

# --- acknowledged means durable -----------------------------------------------------------------------------------------------
world_new
po_tiny 72
if [ $ROOT = yes ] && command -v xfs_io >/dev/null && mount_image "$W/disk" ext4 300M; then
	STORE=$W/disk/store && write_server_conf
	world_start
	# Blobs go into the list only after a sync said that they are durable; then the power fails in the middle of more.
	: >"$W/durable"
	for batch in 1 2 3 4 5; do
		"$PYTHON" - "$PO/offiles" "$batch" >"$W/batch" <<'PY'
import os, sys
for i in range(150):
    name = "fd%X/power%s-%d" % (i % 50, sys.argv[2], i)
    with open("%s/%s" % (sys.argv[1], name), "wb") as f:
        f.write(os.urandom(3000 + i * 17))
    print(name)
PY
		if [ "$batch" = 5 ]; then break; fi
		sync_wait && cat "$W/batch" >>"$W/durable"
	done
	xfs_io -F -x -c shutdown "$W/disk" 2>/dev/null || xfs_io -x -c shutdown "$W/disk"
	touch "$W/disk/alive" 2>/dev/null && note "the disk did not stop"
	server_kill
	for i in $(seq 100); do umount "$W/disk" 2>/dev/null && break; sleep 0.05; done
	check "after the power cut the disk is mounted again" mount -o loop "$W/disk.img" "$W/disk"
	lost=0
	while read -r name; do cmp -s "$PO/offiles/$name" "$STORE/po1/blobs/offiles/$name" || lost=$((lost + 1)); done <"$W/durable"
	same "acknowledged_means_durable: of $(wc -l <"$W/durable") blobs acknowledged before a power cut none is lost or torn" 0 $lost
	check "acknowledged_means_durable: the server starts after it" server_start
	check "acknowledged_means_durable: the collector connects" wait_status 60 'p["connected"]'
	check "acknowledged_means_durable: sync ends" sync_wait
	check "acknowledged_means_durable: the replica is whole" compare_replica
	check "acknowledged_means_durable: a set is made" backup
	check "acknowledged_means_durable: and restored" restore po1 latest "$W/r"
	check "acknowledged_means_durable: and equal" compare_tree "$PO" "$W/r"
else
	world_start
	for i in $(seq 300); do echo "blob $i" >"$PO/offiles/fd$((i % 10))/kill$i"; done
	sync_wait
	daemon_end server KILL
	check "acknowledged_means_durable: what was acknowledged before kill -9 is there without any recovery" compare_replica
	skip "acknowledged_means_durable: a power cut" "needs mounts"
fi
done_testing
