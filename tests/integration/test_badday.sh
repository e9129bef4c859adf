#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bad days: each says what happened, what it means and what to do; nothing is lost, and when the trouble is over the flow
# goes on by itself.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
note "seed $SEED"

world_new
po_tiny 51

says() {	# says STATE WORDS SENTENCE: state and reason of the collector's status, as it comes
	local state=$1 words=$2 sentence=$3
	if wait_status "${4:-30}" "p['state'] == '$state' and __import__('re').search(r'''$words''', p['reason'])"; then
		ok "$sentence"
	else
		not_ok "$sentence"
		note "  status says: $(field state): $(field reason)"
	fi
}

# --- configuration -------------------------------------------------------------------------------------------------
for program in tidemark-server tidemark-collector; do
	expect 2 "$W/none.conf" "$program without its configuration names the file" "$BIN/$program" --config "$W/none.conf"
done
printf '[server]\nlisten = nowhere\nstroe = /x\n' >"$W/bad.conf"
expect 2 'bad\.conf:2: listen:' "a wrong value is told with file, line and key" "$BIN/tidemark-server" --config "$W/bad.conf"
expect 2 'bad\.conf:3: .*store' "and so is an unknown key, with the nearest name, in the same run" "$BIN/tidemark-server" --config "$W/bad.conf"
printf '[collector]\nserver = 127.0.0.1:1\nstate = %s/s\nrun-dir = %s/r\n[profile "po1"]\npath = relative\nschedule = Mon 25:00\n' "$W" "$W" >"$W/bad.conf"
expect 2 'bad\.conf:6: path:.*absolute' "a relative path is told" "$BIN/tidemark-collector" --config "$W/bad.conf"
expect 2 'bad\.conf:7: schedule:' "and a wrong schedule" "$BIN/tidemark-collector" --config "$W/bad.conf"
expect 2 'error .*cannot be read: Is a directory' "a configuration that cannot be read is told as an error" "$BIN/tidemark-collector" --config "$W"
sed "s|^state .*|state = $PO/state|" "$W/collector.conf" >"$W/bad.conf"
expect 2 'inside the watched tree' "a state within the watched tree is refused" "$BIN/tidemark-collector" --config "$W/bad.conf"

# --- not enrolled, no server, a foreign server ------------------------------------------------------------------------
expect 13 'daemon' "no collector: the command says so" tm status
collector_start || { not_ok "the collector starts without a server" "$W/collector.log"; exit 1; }
says failed 'not enrolled.*tidemark token create' "not enrolled: status says what to do"
expect 12 'enrolled' "not enrolled: no backup" tm backup po1 --wait
server_start
token=$(tms token create po1)
expect 2 'damaged' "a damaged token is refused before it goes anywhere" tm enrol po1 "${token%??????}AAAAAA"
check "the right one is taken" tm enrol po1 "$token"
same "and when that is said, the collector is connected" true "$(field connected)"
expect 12 '' "and good only once" tm enrol po1 "$token"
check "the collector connects" wait_status 20 'p["connected"] and p["watcher"]'
check "the first comparison ends" sync_wait
check "a first backup is good" backup
FIRST=$SET

# --- no descriptor for another connection -------------------------------------------------------------------------------
reconnects() { collector_stop && collector_start && wait_status 20 'p["connected"]'; }
lowest() { local n=0; while [ -e "/proc/$1/fd/$n" ]; do n=$((n + 1)); done; echo "$n"; }	# the number that is given next
if prlimit --pid "${PID[server]}" --nofile="$(lowest "${PID[server]}"):" 2>/dev/null; then
	exec 9<>"/dev/tcp/127.0.0.1/$PORT"
	check "a server without a descriptor for a collector says so" wait_log server 'server.accept.*raise LimitNOFILE'
	sleep 3
	holds "now and then, not without end ($(grep -c server.accept "$W/server.log"))" "$(grep -c server.accept "$W/server.log")" -le 4
	prlimit --pid "${PID[server]}" --nofile=1024:
	exec 9>&-
	check "and takes collectors again when that is over" reconnects
else
	skip "a server without a descriptor for a collector says so" "no prlimit"
fi
server_stop
says degraded 'not connected.*remembered' "server unreachable: status says that changes are remembered"
expect 4 '' "server unreachable: the exit status of status is 4" tm status po1
expect 13 'not connected.*no backup' "server unreachable: no backup is begun, with the reason" tm backup po1 --wait
echo "made while the server was away" >"$PO/offiles/fd0/away"
check "server unreachable: the change waits" wait_status 20 'p["pending_changes"] > 0'
mv "$STORE" "$W/store.real"
server_start
says failed '' "a server with other keys is not spoken to"
holds "the reason is told" -n "$(field reason)"
note "it says: $(field reason)"
server_stop && rm -rf "$STORE" && mv "$W/store.real" "$STORE" && server_start
check "server back: the collector connects by itself" wait_status 60 'p["connected"]'
check "server back: sync ends" sync_wait
check "server back: what was made meanwhile is there" compare_replica

# --- revoked, and a second collector ------------------------------------------------------------------------------------
mkdir "$W/state2" && cp -a "$STATE/." "$W/state2/"
sed "s|$STATE|$W/state2|; s|run-collector|run-second|" "$W/collector.conf" >"$W/second.conf"
WITH='' daemon_start second tidemark-collector && PID[second_pid]=${PID[second]}
if wait_line "$W/second.conf" po1 20 '"another collector" in p["reason"]'; then
	ok "a second collector with a copied state is told that another one is connected"
else
	not_ok "a second collector with a copied state is told that another one is connected" "$W/second.log"
fi
same "the first one stays connected" true "$(field connected)"
echo "beside a second collector" >"$PO/offiles/fd0/beside"
check "and its flow goes on" sync_wait
daemon_end second TERM
pid=$("$PYTHON" "$TESTS/tools/proc.py" owner "$W/run-second/watcher-po1.sock") && kill -TERM "$pid"
check "the certificate is revoked" tms revoke po1
says failed '' "revoked: status turns red within seconds" 15
note "it says: $(field reason)"
same "revoked: the link is down" false "$(field connected)"
token=$(tms token create po1)
check "enrolled again" tm enrol po1 "$token"
check "enrolled again: connected" wait_status 60 'p["connected"]'
check "enrolled again: sync ends" sync_wait

# --- strange things in the tree ------------------------------------------------------------------------------------------
ln -s /etc/passwd "$PO/offiles/fd1/link"
ln -s ../../.. "$PO/offiles/fd1/linkdir"
mkfifo "$PO/offiles/fd1/fifo" "$PO/ofuser/index/fifo"
"$PYTHON" -c 'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$PO/offiles/fd1/socket"
[ $ROOT = no ] || mknod "$PO/offiles/fd1/zero" c 1 5
"$PYTHON" - "$PO/offiles/fd2" <<'PY'
import os, sys
top = os.fsencode(sys.argv[1])
for name in (b"a\nnew line", b"bad \xff\xfe utf-8", b"x" * 255, b" -rf *", b"tab\tback\\slash"):
    with open(top + b"/" + name, "wb") as f:
        f.write(name)
os.makedirs(top + b"/deep" + b"/d\n\xff" * 20)
with open(top + b"/deep" + b"/d\n\xff" * 20 + b"/leaf", "wb") as f:
    f.write(b"leaf")
PY
check "links, FIFOs, sockets and devices do not stop the flow" sync_wait 30
check "nor does any name" compare_replica
check "nor a backup" backup
tms set show po1 "$SET" >"$W/show"
check "a backup with odd names is restored" restore po1 "$SET" "$W/odd"
check "and equal, names included" compare_tree "$PO" "$W/odd"
same "no device, FIFO or foreign file was made by the receiver" "" "$(find "$STORE/po1/blobs" "$STORE/po1/gre_data" ! -type f ! -type d)"
rm -rf "$PO/offiles/fd1/"{link,linkdir,fifo,socket,zero} "$PO/ofuser/index/fifo" "$W/odd"

# --- no index ----------------------------------------------------------------------------------------------------------
mv "$PO/ofuser/index" "$W/index"
expect 3 'no ofuser/index' "an office without its index is backed up, and that is said" tm backup po1 --wait
same "its set says so, too" warnings "$(tms --json set list po1 | q sets.-1.state)"
mv "$W/index" "$PO/ofuser/index"

# --- DBCOPY missing; not a post office -------------------------------------------------------------------------------------
PROFILE_KEYS="dbcopy = /nowhere/dbcopy -v" && write_collector_conf collector && collector_stop && collector_start && wait_status 20 'p["connected"]'
expect 2 'DBCOPY cannot be run: /nowhere/dbcopy.*no backup' "DBCOPY missing: the backup fails and says so" tm backup po1 --wait
expect 1 'DBCOPY cannot be run' "DBCOPY missing: doctor finds it before the night" tm doctor
says failed 'last backup failed' "DBCOPY missing: status stays red until a backup is good"
PROFILE_KEYS='' && write_collector_conf collector && collector_stop && collector_start && wait_status 20 'p["connected"]'
mv "$PO/wphost.db" "$W/wphost.away"
expect 1 'wphost\.db.*put (it back|back what is missing)' "the root database is gone: the backup says which file, and what to do" \
	tm backup po1 --wait
mv "$W/wphost.away" "$PO/wphost.db"
mv "$PO" "$W/po.away"
says failed 'gone|not mounted' "the tree is gone: status says that nothing is taken for deleted" 60
refuse "the tree is gone: no backup" tm backup po1 --wait
mkdir "$PO"
collector_stop && collector_start
says failed 'wphost|post office' "path not a post office: status says so" 30
rmdir "$PO" && mv "$W/po.away" "$PO"
collector_stop && collector_start
check "the tree is back: connected" wait_status 60 'p["connected"] and p["watcher"]'
check "the tree is back: sync ends" sync_wait
check "the tree is back: nothing was taken for deleted" compare_replica
check "the tree is back: a backup is good" backup
expect 0 '' "nothing that was sealed has changed" tms verify po1 "$FIRST"

# --- for root: disks that fill, a tree that is unmounted ------------------------------------------------------------------------
if [ $ROOT = yes ] && mkdir "$W/small" && mount_tmpfs "$W/small" 64m; then
	server_stop
	STORE=$W/small/store write_server_conf
	cp -a "$STORE" "$W/small/store" && STORE=$W/small/store
	server_start
	check "a store of 64 MB is connected to" wait_status 60 'p["connected"]'
	"$PYTHON" - "$PO/offiles" <<'PY'
import os, sys
for i in range(90):
    with open("%s/fd%X/big%d" % (sys.argv[1], i % 8, i), "wb") as f:
        f.write(os.urandom(1 << 20))
PY
	if wait_status 60 '__import__("re").search("space|full", p["reason"])'; then
		ok "server full: the collector's status says so"
	else
		not_ok "server full: the collector's status says so"
		note "  status says: $(field state): $(field reason)"
	fi
	expect 15 'space' "server full: a backup fails with the status for it" timeout 120 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait
	same "server full: no half set" "" "$(half_state)"
	expect 0 '' "server full: what was sealed is whole" tms verify po1
	mount -o remount,size=400m "$W/small"
	check "space again: what waited is sent, by itself" wait_status 240 'p["troubled"] == 0 and p["pending_changes"] < 10'
	check "space again: sync ends" sync_wait 120
	check "space again: a backup is good" backup
	check "space again: that is restored" restore po1 latest "$W/refilled"
	check "space again: nothing was lost" compare_tree "$PO" "$W/refilled"
	rm -rf "$W/refilled"
	rm -f "$PO"/offiles/fd?/big*

	collector_stop
	pid=$(watcher_pid) && kill -TERM "$pid" && proc gone "$pid" 10
	mkdir "$W/smallstate" && mount_tmpfs "$W/smallstate" 24m
	STATE=$W/smallstate write_collector_conf collector
	cp -a "$STATE/." "$W/smallstate/" && STATE=$W/smallstate
	rm -rf "$STATE/po1/backups"
	collector_start
	check "a state of 24 MB: connected" wait_status 60 'p["connected"] and p["watcher"]'
	dd if=/dev/zero of="$STATE/filler" bs=64k status=none 2>/dev/null
	for i in $(seq 3000); do echo "$i" >"$PO/offiles/fd4/full$i"; done
	expect 15 'space|full|free' "collector disk full: a backup fails and says so" timeout 60 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait
	rm -f "$STATE/filler"
	mount -o remount,size=900m "$W/smallstate"
	check "space again on the collector: all are up" wait_status 60 'p["connected"] and p["watcher"]'
	check "space again on the collector: sync ends" sync_wait 120
	check "space again on the collector: no change was lost" compare_replica
	truncate -s 2G "$PO/ofmsg/msgbig.db"
	expect 15 'need 2[0-9]{3} MiB more.*only [0-9]+ MiB are free' "databases that find no room are not begun to be copied" tm backup po1 --wait
	same "and nothing of them is in local staging" "" "$(find "$STATE/po1/backups" -name msgbig.db)"
	rm "$PO/ofmsg/msgbig.db"

	mkdir "$W/other" && mv "$PO" "$W/real" && mkdir "$PO" && mount --bind "$W/real" "$PO" && MOUNTS+=("$PO")
	collector_stop; collector_start
	wait_status 30 'p["watcher"]'; tm resume po1 >/dev/null 2>&1
	check "a mounted post office: sync ends" sync_wait 60
	umount "$PO" 2>/dev/null || umount -l "$PO"
	says failed 'not mounted|gone' "post office unmounted under us: status says so" 90
	refuse "post office unmounted: no backup" tm backup po1 --wait
	check "post office unmounted: nothing is taken for deleted" test -s "$STORE/po1/blobs/offiles/fd4/full1"
	mount --bind "$W/real" "$PO"
	check "mounted again: it goes on by itself" wait_status 90 'p["connected"] and "mounted" not in p["reason"].split("failed:")[0]'
	check "mounted again: sync ends" sync_wait 60
	check "mounted again: a good backup makes it green" backup
	same "mounted again: and it is" ok "$(field state)"
	check "mounted again: nothing is missing" compare_replica
else
	skip "server full, collector disk full, post office unmounted" "needs mounts"
fi
done_testing
