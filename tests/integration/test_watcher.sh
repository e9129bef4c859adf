#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The watcher's program on the real kernel: no name is lost, every gap is a rescan, and nothing of ours keeps a tree busy.
# shellcheck source=tests/integration/lib.sh
source "$(dirname "$0")/lib.sh"

TOOLDIR=$(realpath "${TOOLDIR:-build/${FLAVOUR:-release}/tools}")
talk() { python3 "$TESTS/tools/watcher_talk.py" "$1" "$SOCKET" "${@:2}"; }
dump() { "$TOOLDIR/journal_dump" "$STATE/po1" po1 "$@"; }
barrier() { talk barrier "$STATE/po1/cookies" "$TOOLDIR/journal_dump" "$STATE/po1" po1 "${1:-0}" >"$W/rows"; }
head_seq() { dump | tail -n 1 | cut -d' ' -f1; }
figure() { talk status | grep -oE "$1=[^ ]+" | cut -d= -f2; }

watcher_start() {
	PID[watcher]=$(proc launch "$W/watcher.log" "$SOCKET" "$BIN/tidemark-watcher" --config "$W/collector.conf" --profile po1) || return
	STARTED+=("${PID[watcher]}")
}
watcher_end() { daemon_end watcher "$1"; }

# names_in_rows LIST: the rows name every path of the list (escaped, one a line)
names_in_rows() {
	awk '$2 == "TOUCHED" { sub(/^[^ ]+ [^ ]+ [^ ]+ /, ""); print }' "$W/rows" | LC_ALL=C sort -u >"$W/named"
	LC_ALL=C sort -u "$1" >"$W/wanted"
	[ -s "$W/wanted" ] && LC_ALL=C comm -23 "$W/wanted" "$W/named" >"$W/lost"
	[ ! -s "$W/lost" ] || { echo "$(wc -l <"$W/lost") lost, first:"; head -n 3 "$W/lost"; return 1; }
}

world_new
SOCKET=$W/run-collector/watcher-po1.sock
mkdir -p "$W/run-collector"
po_tiny
echo "# seed $SEED"

# --- start, burst -------------------------------------------------------------------------------------------------
watcher_start || { not_ok "the watcher starts" "$W/watcher.log"; done_testing; }
ok "the watcher starts"
check "it tells what the configured log-level asks for" wait_log watcher ' debug '
barrier
same "its first row is a rescan of everything" "RESCAN ." "$(cut -d' ' -f2,4 "$W/rows" | head -n 1)"
expect 11 'has a watcher already' "a second watcher is refused" "$BIN/tidemark-watcher" --config "$W/collector.conf" --profile po1
old=${PID[watcher]}
"$BIN/tidemark-watcher" --config "$W/collector.conf" --profile po1 --replace >"$W/replacing.log" 2>&1 &
PID[watcher]=$! STARTED+=($!)
check "one that shall replace it takes its place" wait_log replacing watcher.ready
check "and the former has ended by itself" proc gone "$old" 20
forget_started "$old"
same "the profile's watcher is the new one" "${PID[watcher]}" "$(watcher_pid)"
expect 10 'no profile' "an unknown profile is named" "$BIN/tidemark-watcher" --config "$W/collector.conf" --profile po9

# In bursts that the kernel's queue holds: a machine may be slow, or busy with other things than the watcher.
after=$(head_seq)
burst=$(($(cat /proc/sys/fs/inotify/max_queued_events) / 5))	# two events a file, of two processes
[ "$burst" -le 5000 ] || burst=5000
for ((made = 0; made < 10000; made += burst)); do
	"$TOOLDIR/burst" "$PO/offiles" one-$made $burst >/dev/null &
	first=$!
	"$TOOLDIR/burst" "$PO/offiles" two-$made $burst >/dev/null &
	wait $first $!
	barrier "$after"
done
(cd "$PO" && find offiles -name 'one-*' -o -name 'two-*') >"$W/made"
same "two processes made all their files, more than the queue holds" $((2 * made)) "$(wc -l <"$W/made")"
check "not one of them is lost" names_in_rows "$W/made"
same "no burst was more than the queue holds" 0 "$(figure overflows)"
same "the barrier's row is the last" COOKIE "$(tail -n 1 "$W/rows" | cut -d' ' -f2)"
took=$(talk latency "$PO/offiles/fd1" 20)
note "close to row: $took ms"
holds "a closed file is told of by a poke, not by the tick of five seconds" "${took:-9999}" -lt 4000

# --- young files, names, directories --------------------------------------------------------------------------------
after=$(head_seq)
exec 7>"$PO/offiles/fd2/young"
barrier "$after"
same "a file that is still open comes before the cookie" "TOUCHED offiles/fd2/young" \
	"$(grep -B1 COOKIE "$W/rows" | head -n 1 | cut -d' ' -f2,4)"
exec 7>&-

after=$(head_seq)
: >"$PO/offiles/fd3/new"$'\n'"line"
: >"$PO/offiles/fd3/bad-"$'\xff\xfe'"-utf8"
: >"$PO/offiles/fd3/back\\slash and %s"
barrier "$after"
printf '%s\n' 'offiles/fd3/new\x0aline' 'offiles/fd3/bad-\xff\xfe-utf8' 'offiles/fd3/back\\slash and %s' >"$W/odd"
check "names are bytes" names_in_rows "$W/odd"

after=$(head_seq)
mkdir -p "$PO/offiles/fdnew/a/b" && : >"$PO/offiles/fdnew/a/b/early"
barrier "$after"
check "a new tree is compared" grep -q ' RESCAN .* offiles/fdnew' "$W/rows"
after=$(head_seq)
: >"$PO/offiles/fdnew/a/b/late"
barrier "$after"
echo offiles/fdnew/a/b/late >"$W/late"
check "and then watched" names_in_rows "$W/late"
after=$(head_seq)
mv "$PO/offiles/fdnew" "$PO/offiles/fdmoved" && : >"$PO/offiles/fdmoved/a/b/moved"
barrier "$after"
check "a moved tree is compared where it was" grep -q ' RESCAN .* offiles/fdnew$' "$W/rows"
check "and where it went" grep -q ' RESCAN .* offiles/fdmoved$' "$W/rows"
after=$(head_seq)
: >"$PO/offiles/fdmoved/a/b/again"
barrier "$after"
echo offiles/fdmoved/a/b/again >"$W/again"
check "and is watched under its new name" names_in_rows "$W/again"
for i in $(seq 30); do rm -rf "$PO/offiles/fdmoved" && mkdir -p "$PO/offiles/fdmoved/a"; done
barrier "$after"
after=$(head_seq)
: >"$PO/offiles/fdmoved/a/reborn"
barrier "$after"
echo offiles/fdmoved/a/reborn >"$W/reborn"
check "a directory deleted and made again thirty times is watched" names_in_rows "$W/reborn"

# --- its ends -----------------------------------------------------------------------------------------------------
after=$(head_seq)
watcher_end KILL
: >"$PO/offiles/fd1/unseen"
watcher_start
barrier "$after"
check "killed and started again it asks for a rescan" grep -qE '^[0-9]+ RESCAN [0-9]+ \.$' "$W/rows"
after=$(head_seq)
"$TOOLDIR/burst" "$PO/offiles" last 3000 >/dev/null
watcher_end TERM
dump "$after" >"$W/rows"
(cd "$PO" && find offiles -name 'last-*') >"$W/made"
check "asked to end it first remembers what it saw" names_in_rows "$W/made"
holds "and takes its socket away" ! -e "$SOCKET"
watcher_start
talk quit
check "a client may ask it to end" proc gone "${PID[watcher]}" 20

# --- a tree that is not there yet -------------------------------------------------------------------------------------
mv "$PO" "$W/unmounted"
"$PYTHON" -uc 'import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True: print(s.recv(4096).decode())' "$W/manager" >"$W/told.log" & manager=$!
until [ -S "$W/manager" ]; do sleep 0.05; done
export NOTIFY_SOCKET=$W/manager
watcher_start
unset NOTIFY_SOCKET
check "a service manager that starts a watcher before its tree is mounted is not left waiting" wait_log told 'READY=1'
refuse "although it watches nothing yet" grep -q STATUS=watching "$W/told.log"
mv "$W/unmounted" "$PO"
check "the watcher finds it" wait_log told 'STATUS=watching'
refuse "and was not taken for one that ends" grep -q STOPPING "$W/told.log"
watcher_end TERM
check "before it does" wait_log told 'STOPPING=1'
kill $manager

# --- a tree that is mounted -----------------------------------------------------------------------------------------
if [ $ROOT = yes ] && mkdir "$W/away" && mv "$PO" "$W/copy" && mount_tmpfs "$PO" 200m; then
	cp -a "$W/copy/." "$PO/"
	watcher_start
	barrier
	holds "its directories are watched" "$(figure directories)" -gt 200
	check "a watched tree can be unmounted" umount "$PO"
	check "the watcher says that the root is gone" talk until root=gone
	same "and watches nothing" 0 "$(figure directories)"
	after=$(head_seq)
	barrier "$after"
	same "an unmounted tree is no deletion" "" "$(grep -v COOKIE "$W/rows")"
	check "the operator is told" grep -q 'gone or not mounted' "$W/watcher.log"
	mount_tmpfs "$PO" 200m && cp -a "$W/copy/." "$PO/"
	talk until root=gone
	same "another file system in its place is not taken for it" gone "$(figure root)"
	umount "$PO"
	watcher_end TERM
	if mount_image "$W/disk" ext4 300M; then
		umount "$W/disk"
		mount -o loop "$W/disk.img" "$PO" && MOUNTS+=("$PO")
		cp -a "$W/copy/." "$PO/"
		watcher_start
		after=$(head_seq)
		check "a disk that is watched can be unmounted" umount "$PO"
		talk until root=gone
		mount -o loop "$W/disk.img" "$PO" && MOUNTS+=("$PO")
		check "mounted again it is found" talk until root=ok
		barrier "$after"
		check "and compared" grep -qE '^[0-9]+ RESCAN [0-9]+ \.$' "$W/rows"
		after=$(head_seq)
		: >"$PO/offiles/fd1/after"
		barrier "$after"
		echo offiles/fd1/after >"$W/after"
		check "and watched" names_in_rows "$W/after"
		watcher_end TERM
		umount "$PO"
	else
		skip "a disk that is watched can be unmounted" "no loop device"
	fi
else
	skip "a watched tree can be unmounted" "not root"
fi


# --- no memory for an event -----------------------------------------------------------------------------------------------
# The cookie that was made after a file lies behind it in the kernel's queue: once the file's event is lost, no barrier may see it.
if [ "${FLAVOUR:-release}" = release ]; then
	daemon_end watcher TERM
	world_new
	SOCKET=$W/run-collector/watcher-po1.sock
	mkdir -p "$W/run-collector"
	po_tiny 33
	printf '%-31s\n%-31s\n' 0 "" >"$W/orders"
	LD_PRELOAD=$TOOLDIR/failmalloc.so FAILMALLOC_PROGRAM=tidemark-watcher FAILMALLOC_CONTROL=$W/orders watcher_start
	barrier
	kill -STOP "${PID[watcher]}"
	echo unseen >"$PO/offiles/fd1/unseen"
	: >"$STATE/po1/cookies/behind"
	printf '%-31s\n' 1 1<>"$W/orders"
	kill -CONT "${PID[watcher]}"
	check "a watcher that has no memory for an event ends" proc gone "${PID[watcher]}" 10
	check "and says what that means" grep -q 'ending; the next start compares the whole tree' "$W/watcher.log"
	refuse "barrier_before_seal: what came behind the lost event is not remembered" grep -q COOKIE <(dump | grep behind)
else
	skip "barrier_before_seal: what came behind the lost event is not remembered" "allocations fail in the flavour release"
fi

# --- a path that was wrong, and is corrected -------------------------------------------------------------------------------
collector_stop
server_stop
world_new
po_tiny 32
right=$PO
PO=$W/wrong write_collector_conf collector
mkdir "$W/wrong"
server_start
collector_start
enrol po1 >/dev/null
check "a wrong path is told" wait_status 20 'p["state"] == "failed" and "wphost.db" in p["reason"]'
check "its watcher answers, and waits for the tree" wait_status 20 'p["watcher"]'
PO=$right write_collector_conf collector
collector_stop && collector_start
check "the path is corrected: the watcher of the wrong one makes room" wait_status 30 'p["connected"] and p["watcher"] and p["watched_directories"] > 1'
check "the path is corrected: sync ends" sync_wait
done_testing
