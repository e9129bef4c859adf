#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every start is a recovery: processes killed, states lost, links cut, events lost - the replica converges, and only what
# differs travels.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
note "seed $SEED"

world_new
"$GWSIM" make "$PO" --profile small --seed 41 >/dev/null
SIZE=$(du -sb "$PO/offiles" | cut -f1)

# --- the first comparison over a link that breaks again and again ---------------------------------------------------
FAR=$PORT
PORT=$(proc port)
"$PYTHON" "$TESTS/tools/proxy.py" "$PORT" "$FAR" --cut-every 12000000 3 >"$W/proxy.log" 2>&1 &
proxy=$!
STARTED+=("$proxy")
until grep -q listening "$W/proxy.log"; do sleep 0.02; done
write_collector_conf collector
sed -i "s/^address .*/address = 127.0.0.1:$PORT/" "$W/server.conf"
server_start && collector_start
check "enrolment goes through the proxy" enrol po1
check "every_start_is_a_recovery: the first comparison ends over a link that is cut three times" sync_wait 120
check "and the replica equals the live blobs" compare_replica
wire=$(field wire_bytes_sent)
note "$(grep -c '^cut' "$W/proxy.log") cuts, $wire bytes on the wire for a tree of $SIZE"
holds "the link was cut indeed" "$(grep -c '^cut' "$W/proxy.log")" -ge 2
holds "every_start_is_a_recovery: what had arrived before a cut is not sent again" "$wire" -le $((SIZE + 3 * 16000000))
kill -USR1 $proxy
check "a reset of an idle link is noticed and mended" wait_status 30 'p["connected"]'
kill -TERM $proxy
collector_stop
PORT=$FAR write_collector_conf collector
PORT=$FAR
collector_start
check "the collector comes back without the proxy" wait_status 20 'p["connected"]'
check "a first backup is good" backup
FIRST=$SET

# --- kill -9 of each process, idle and in the middle of traffic ------------------------------------------------------
restart() {	# restart VICTIM: killed, then whatever nobody else starts again
	case $1 in
	server) server_kill && server_start ;;
	keeper) keeper_kill && keeper_pid >/dev/null ;;
	collector) collector_kill && collector_start ;;
	watcher) watcher_kill ;;
	"collector and watcher") local w; w=$(watcher_pid); collector_kill; kill -KILL "$w"; proc gone "$w" 10; collector_start ;;
	esac
}
for victim in server keeper collector watcher "collector and watcher"; do
	sync_wait >/dev/null
	case $victim in collector*) before=0 ;; *) before=$(field wire_bytes_sent) ;; esac
	restart "$victim" >"$W/.restart" 2>&1 || not_ok "the $victim restarts" "$W/.restart"
	check "the $victim was killed: all are up again" wait_status 30 'p["connected"] and p["watcher"]'
	echo "made after the death of the $victim" >"$PO/offiles/fd2/after $victim"
	check "every_start_is_a_recovery: $victim killed, sync ends" sync_wait
	after=$(field wire_bytes_sent)
	holds "every_start_is_a_recovery: $victim killed, no re-transfer" $((after - before)) -le $((SIZE / 50))
	same "the change made after it is on the server" "made after the death of the $victim" "$(cat "$STORE/po1/blobs/offiles/fd2/after $victim")"
done

"$GWSIM" run "$PO" --rate 300 --processes 2 --every 0 --seed "$SEED" >"$W/agents.log" 2>&1 &
agents=$!
STARTED+=("$agents")
for victim in server keeper collector watcher; do
	wait_status 30 'p["files_sent"] > 20' >/dev/null # in the middle of traffic
	restart "$victim" >"$W/.restart" 2>&1 || not_ok "the $victim restarts in traffic" "$W/.restart"
	check "the $victim was killed in traffic: all are up again" wait_status 30 'p["connected"] and p["watcher"]'
done
# In the middle of a backup: the keeper sleeps, so that the job is in its seal when death comes.
for victim in server collector watcher keeper; do
	before=$(sealed)
	keeper=$(keeper_pid)
	kill -STOP "$keeper"
	tm backup po1 >"$W/job.out" 2>&1 || not_ok "a backup starts" "$W/job.out"
	check "a backup is in its seal" wait_status 30 "j.get('phase') in ('notify', 'seal')"
	kill -KILL "$keeper" && proc gone "$keeper" 10
	restart "$victim" >"$W/.restart" 2>&1 || not_ok "the $victim restarts in a backup" "$W/.restart"
	check "the $victim was killed in a backup: all are up again" wait_status 30 'p["connected"] and p["watcher"]'
	check "the job is over" wait_status 60 'p["job"] is None'
	check "on the server too" wait_server 60 'p["job"] is None'
	same "set_appears_by_one_rename: $victim killed in the seal, no half set" "" "$(half_state)"
	for set in $(comm -13 <(echo "$before") <(sealed)); do
		check "set_appears_by_one_rename: $victim killed in the seal, set $set that is there is whole" tms verify po1 "$set"
	done
done
kill -TERM $agents && wait $agents
check "sync ends" sync_wait 120
check "a backup is good after all that" backup
check "its set is restored" restore po1 latest "$W/r1"
check "every_start_is_a_recovery: it equals the live tree" compare_tree "$PO" "$W/r1"
rm -rf "$W/r1"
expect 0 '' "sealed_means_immutable: the first set is still what it was" tms verify po1 "$FIRST"

# --- states lost -----------------------------------------------------------------------------------------------------
watcher=$(watcher_pid)
for part in journal blockmap; do
	collector_stop
	watcher=$(watcher_pid) && kill -TERM "$watcher" && proc gone "$watcher" 10
	rm -rf "${STATE:?}/po1/$part"
	rm "$(find "$PO/offiles" -type f | sort | sed -n 5p)" && echo "new while $part was lost" >"$PO/offiles/fd3/lost $part"
	collector_start
	check "without its $part the collector starts" wait_status 30 'p["connected"] and p["watcher"]'
	check "every_start_is_a_recovery: $part lost, sync ends" sync_wait 120
	holds "every_start_is_a_recovery: $part lost, only differences travel" "$(field wire_bytes_sent)" -le $((SIZE / 10))
	check "$part lost: a backup is good" backup
	check "$part lost: its set is restored" restore po1 latest "$W/r"
	check "$part lost: it equals the live tree" compare_tree "$PO" "$W/r"
	rm -rf "$W/r"
done

server_stop
cp -a "$STORE" "$W/store.old"
server_start && wait_status 30 'p["connected"]'
"$GWSIM" churn "$PO" --fraction 10% --seed 9 >"$W/churn.json"
changed=$(q new_blob_bytes <"$W/churn.json")
sync_wait
server_stop
rm -rf "$STORE" && mv "$W/store.old" "$STORE"
before=$(field wire_bytes_sent)
server_start
check "a server that was set back to an older copy is connected to" wait_status 60 'p["connected"]'
check "every_start_is_a_recovery: server set back, sync ends" sync_wait 120
wire=$(($(field wire_bytes_sent) - before))
note "$wire bytes on the wire for $changed changed"
holds "every_start_is_a_recovery: server set back, only differences travel" $wire -le $((changed + SIZE / 10))
check "server set back: a backup is good" backup
check "server set back: its set is restored" restore po1 latest "$W/r"
check "server set back: it equals the live tree" compare_tree "$PO" "$W/r"
rm -rf "$W/r"

# --- a damaged catalogue ----------------------------------------------------------------------------------------------
check "a set is made while a blob is there" backup
OLD=$SET
gone=$(find "$PO/offiles" -type f -printf '%P\n' -quit)
cp "$PO/offiles/$gone" "$W/gone"
rm "$PO/offiles/$gone"
sync_wait >/dev/null
check "another is made after it was deleted" backup
server_stop
dd if=/dev/urandom of="$STORE/po1/state/catalogue/data.mdb" bs=4096 count=2 conv=notrunc 2>/dev/null
server_start
check "catalogue damaged: it was made again from the ledger" wait_log server 'made again from the ledger'
check "catalogue damaged: the older set is restored" restore po1 "$OLD" "$W/r"
check "catalogue damaged: the blob that was deleted since is in it" cmp "$W/gone" "$W/r/offiles/$gone"
rm -rf "$W/r"
expect 0 '' "catalogue damaged: that set is good" tms verify po1 "$OLD"
check "catalogue damaged: a backup is good" backup
check "catalogue damaged: its set is restored" restore po1 latest "$W/r"
check "catalogue damaged: it equals the live tree" compare_tree "$PO" "$W/r"
rm -rf "$W/r"

server_stop
rm -rf "${STORE:?}/po1/"{gre_data,blobs,state,backups}
server_start
check "a server that lost the whole profile is connected to" wait_status 60 'p["connected"]'
check "every_start_is_a_recovery: profile lost on the server, sync ends" sync_wait 120
check "profile lost on the server: the replica is whole again" compare_replica
check "profile lost on the server: a backup is good" backup

# --- an index file whose bytes went wrong on the server, though nobody changes it ---
mkdir -p "$PO/ofuser/index"
echo "as it was sent" >"$PO/ofuser/index/lost.idx"
check "index file lost: it is on the server" sync_wait
echo "as it is found" >"$STORE/po1/gre_data/ofuser/index/lost.idx"
expect 3 '1 index files are not in the set, first ofuser/index/lost.idx' "index file lost: the set is made, and says that it lacks it" tm backup po1 --wait
check "index file lost: the server says that it is sent again" wait_log server 'sealing.lost .* first ofuser/index/lost.idx'
check "index file lost: the connection ends, so that both sides are compared" wait_log collector 'link.down .*both sides are compared'
check "index file lost: sync ends" sync_wait
same "index file lost: it is on the server again" "as it was sent" "$(cat "$STORE/po1/gre_data/ofuser/index/lost.idx")"
check "index file lost: the next backup is good" backup

# --- files that are gone from where the server keeps them, though its index tells of them, and change on the live side ---
db=$(basename "$(find "$PO/ofuser" -maxdepth 1 -name '*.db' | sort | head -n 1)")
truncate -s 1000000 "$PO/ofuser/$db"
head -c 1000000 /dev/zero >"$PO/ofuser/index/lost.idx"
check "files lost: a backup has them" backup
rm "$STORE/po1/gre_data/sync/ofuser/$db" "$STORE/po1/gre_data/ofuser/index/lost.idx"
printf 'changed' | tee >(dd of="$PO/ofuser/$db" bs=1 seek=900000 conv=notrunc status=none) | dd of="$PO/ofuser/index/lost.idx" bs=1 seek=900000 conv=notrunc status=none
check "files lost: what cannot be patched is sent whole, and the backup is good" backup
check "files lost: its set is restored" restore po1 latest "$W/r"
check "files lost: the database is in it" cmp "$PO/ofuser/$db" "$W/r/ofuser/$db"
check "files lost: the index file is in it" cmp "$PO/ofuser/index/lost.idx" "$W/r/ofuser/index/lost.idx"
rm -rf "$W/r"

# --- lost events -----------------------------------------------------------------------------------------------------
queue=$(cat /proc/sys/fs/inotify/max_queued_events)
if [ "$queue" -le 70000 ]; then
	before=$(field queue_overflows)
	watcher_sleeps
	"$PYTHON" - "$PO/offiles" "$queue" <<'PY'
import os, sys
top, queue = sys.argv[1], int(sys.argv[2])
for i in range(queue // 2 + 1500):      # two events a file
    folder = "%s/fd%X" % (top, i % 16)
    with open("%s/burst%05d" % (folder, i), "wb") as f:
        f.write(b"%d" % i)
os.makedirs(top + "/late/tree")
with open(top + "/late/tree/blob", "wb") as f:
    f.write(b"in a folder that nobody could see being made")
for i in range(100):
    os.unlink("%s/fd%X/burst%05d" % (top, i % 16, i))
PY
	watcher_wakes
	check "overflow_is_a_rescan: sync ends after a burst above the kernel's queue" sync_wait 120
	check "overflow_is_a_rescan: the overflow was counted" wait_status 20 "p['queue_overflows'] > $before"
	check "overflow_is_a_rescan: nothing is missing" compare_replica
else
	skip "overflow_is_a_rescan: a burst above the kernel's queue" "the queue holds $queue events"
fi
done_testing
