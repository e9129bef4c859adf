#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Speed beside rsync, in one run: bench/run.sh [PART...], PART of small first backup latency memory; all of them without.
#
#   FULL=1      the mixed tree has 6 GB instead of 2
#   ROUNDS=3    of each measurement; the report takes medians
#   DIR=...     where the trees lie (TMPDIR)
#
# Each measurement appends "KEY VALUE" to build/bench/figures; bench/report.py makes bench/RESULTS.md of them, whose words define
# every number before it is stated.
cd "$(dirname "$0")/.." || exit 1
TMPDIR=${DIR:-${TMPDIR:-/tmp}}
export TMPDIR
. tests/integration/lib.sh
ROUNDS=${ROUNDS:-3}
FILES=${FILES:-100000}
BLOBS=$((${FULL:-0} ? 270000 : 90000))
BLOBS=${BLOBS_WANTED:-$BLOBS}
mkdir -p build/bench
OUT=$PWD/build/bench/figures
[ $# -gt 0 ] || rm -f "$OUT"

say() { echo "$1 $2" | tee -a "$OUT"; }	# say KEY VALUE
now() { date +%s%N; }
took() { awk "BEGIN { printf \"%.3f\", ($(now) - $1) / 1e9 }"; }
fail() { echo "bench: $*" >&2; failures=1; log_tails "$W"; exit 1; }

quiet_conf() { sed -i 's/^log-level = debug/log-level = info/; s/^index-poll = 1s/index-poll = 5m/' "$W"/*.conf; }

rsync_start() {	# a daemon whose modules are below $W/rsync
	local port
	port=$(proc port)
	mkdir -p "$W/rsync"
	printf 'use chroot = no\nmax connections = 0\nlog file = %s/rsyncd.log\npid file = %s/rsyncd.pid\n[m]\npath = %s/rsync\nread only = no\n%s' \
		"$W" "$W" "$W" "$([ $ROOT = yes ] && printf 'uid = 0\ngid = 0\n')" >"$W/rsyncd.conf"
	rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config="$W/rsyncd.conf" >/dev/null 2>&1 &
	STARTED+=("$!")
	RSYNC=rsync://127.0.0.1:$port/m
	until rsync "$RSYNC/" >/dev/null 2>&1; do sleep 0.05; done
}

world_end() {
	local pid
	collector_stop
	pid=$(watcher_pid) && kill -KILL "$pid" && proc gone "$pid" 10
	server_stop
	[ -z "${RSYNC:-}" ] || kill "$(cat "$W/rsyncd.pid")" 2>/dev/null
	RSYNC=
	rm -rf "${W:?}"/*
}

# --- durable small files ----------------------------------------------------------------------------------------------
make_small() {	# make_small DIR N: N files of 4 KiB in 200 folders
	"$PYTHON" - "$1" "$2" <<'PY'
import os, sys
top, n = sys.argv[1], int(sys.argv[2])
for d in range(200):
    os.makedirs("%s/fd%X" % (top, d))
for i in range(n):
    with open("%s/fd%X/%08x.%03x" % (top, i % 200, i * 2654435761 % (1 << 32), i % 4096), "wb") as f:
        f.write(os.urandom(4096))
PY
}

# The flow is paused while the tree is moved in: the clock runs from resume to the answer of sync, which is "all durable".
flow_seconds() {	# flow_seconds KEY
	local start
	tm resume po1 || fail "resume"
	start=$(now)
	tm sync po1 --wait || fail "sync"
	say "$1" "$(took "$start")"
}

sample_memory() {	# the greatest private memory of collector and watcher, sampled until the file $W/sampled appears
	local most=0 m
	while [ ! -e "$W/sampled" ]; do
		m=$(proc memory "${PID[collector]}" "$(watcher_pid)" 2>/dev/null) && [ "$m" -gt $most ] && most=$m
		sleep 0.2
	done
	echo $most >"$W/memory"
}

part_small() {
	local round start
	for round in $(seq "$ROUNDS"); do
		world_new
		po_tiny 1
		rm -rf "$PO/offiles" && mkdir "$PO/offiles"
		quiet_conf
		world_start
		make_small "$W/tree" "$FILES"
		rsync_start
		sync
		start=$(now); rsync -a "$W/tree/" "$RSYNC/plain/" || fail rsync; say small.rsync "$(took "$start")"
		sync
		start=$(now); rsync -a --fsync "$W/tree/" "$RSYNC/fsync/" || fail rsync; say small.rsync_fsync "$(took "$start")"
		rm -rf "$W/rsync"/* && sync
		tm pause po1
		mv "$W/tree" "$PO/offiles/tree"
		(sample_memory) &
		flow_seconds small.tidemark
		touch "$W/sampled"; wait $!
		say "memory.$FILES" "$(cat "$W/memory")"
		world_end
	done
}

# --- first sync of a mixed tree, and the day after ------------------------------------------------------------------------
QUEUES=(--exclude='/ofwork' --exclude='/oftemp' --exclude='/wpcs*')

nightly() {	# the original's nightly job, on one host
	mkdir -p "$W/night/staging" "$W/rsync/po" "$W/night/sets/day$1"
	(cd "$PO" && cp -a ./*.db ./*.dc ngwguard.rfl "$W/night/staging/" && mkdir -p "$W/night/staging/ofuser" "$W/night/staging/ofmsg" &&
		cp -a ofuser/. "$W/night/staging/ofuser/" && cp -a ofmsg/. "$W/night/staging/ofmsg/" && cp -a ofviews "$W/night/staging/") || return
	rsync -a --delete "$W/night/staging/" "$RSYNC/po/sync/" || return
	rsync -a --delete "$PO/offiles/" "$RSYNC/po/offiles/" || return
	cp -a "$W/rsync/po/sync/." "$W/night/sets/day$1/"
}

part_backup() {	# part_backup FILESYSTEM
	local fs=${1:-ext4} start round changed before json
	world_new
	if [ "$fs" = xfs ]; then
		mount_image "$W/xfs" xfs "$((BLOBS / 1000 * 110 + 4000))M" || { echo "bench: no XFS can be mounted, left out"; return; }
		W=$W/xfs PO=$W/xfs/po STORE=$W/xfs/store STATE=$W/xfs/state
		write_server_conf
		write_collector_conf collector
	fi
	"$GWSIM" make "$PO" --profile custom --users 300 --msgdbs 100 --blobs "$BLOBS" --blob-bytes 20k --db-share 12% --seed 2 | tee build/bench/tree.txt
	quiet_conf
	mkdir "$W/away"
	mv "$PO/offiles" "$W/away/" && mkdir "$PO/offiles"
	world_start
	rsync_start
	tm pause po1
	mv "$W/away/offiles"/* "$PO/offiles/"
	sync
	# First sync: each side sends the whole tree to an empty other side.
	start=$(now); rsync -a "${QUEUES[@]}" "$PO/" "$RSYNC/first/" || fail rsync; say "first.$fs.rsync" "$(took "$start")"
	rm -rf "$W/rsync/first" && sync
	start=$(now)
	tm resume po1 && tm sync po1 --wait || fail sync
	say "first.$fs.tidemark_blobs" "$(took "$start")"
	SET=$(tm backup po1 --wait) || fail backup
	say "first.$fs.tidemark" "$(took "$start")"
	nightly 0 || fail nightly
	for round in $(seq "$ROUNDS"); do
		before=$(field wire_bytes_sent)
		json=$("$GWSIM" churn "$PO" --fraction 1% --seed "$round")
		changed=$(echo "$json" | "$PYTHON" -c 'import json,sys; o=json.load(sys.stdin); print(o["changed_db_bytes"]+o["new_blob_bytes"])')
		if [ $((round % 2)) = 1 ]; then
			start=$(now); nightly "$round" || fail nightly; say "backup.$fs.nightly" "$(took "$start")"
		fi
		start=$(now)
		tm backup po1 --wait >/dev/null || fail backup
		say "backup.$fs.tidemark" "$(took "$start")"
		say "backup.$fs.phases" "$(tm --json job show | q phase_ms | tr -d ' ')"
		say "wire.$fs" "$(awk "BEGIN { printf \"%.4f\", ($(field wire_bytes_sent) - $before) / $changed }")"
		if [ $((round % 2)) = 0 ]; then
			start=$(now); nightly "$round" || fail nightly; say "backup.$fs.nightly" "$(took "$start")"
		fi
	done
	"$GWSIM" check "$PO" >/dev/null || fail "the office"
	tms restore po1 latest --to "$W/restored" >/dev/null && "$GWSIM" check "$W/restored" --sizes-only || fail "the restored set"
	[ "$fs" = xfs ] && W=${W%/xfs}
	world_end_in "$fs"
}

world_end_in() {
	local top=$W
	[ "$1" = xfs ] && W=$W/xfs
	world_end
	if [ "$1" = xfs ]; then umount "$W"; W=$top; rm -f "$W/xfs.img"; fi
}

# --- close() to durable --------------------------------------------------------------------------------------------------------
part_latency() {
	world_new
	po_tiny 3
	quiet_conf
	world_start
	for round in $(seq "$ROUNDS"); do
		"$PYTHON" bench/latency.py "$W/run-collector/collector.sock" po1 "$PO/offiles/fd0" 300 20 "$round" | while read -r key value; do say "$key" "$value"; done
	done
	world_end
}

# --- memory with few files ---------------------------------------------------------------------------------------------------------
part_memory() {
	world_new
	po_tiny 4
	rm -rf "$PO/offiles" && mkdir "$PO/offiles"
	quiet_conf
	world_start
	make_small "$W/tree" 10000
	tm pause po1
	mv "$W/tree" "$PO/offiles/tree"
	(sample_memory) &
	tm resume po1 && tm sync po1 --wait && tm backup po1 --wait >/dev/null || fail "first sync"
	touch "$W/sampled"; wait $!
	say memory.10000 "$(cat "$W/memory")"
	world_end
}

for part in "${@:-small latency memory backup}"; do
	for each in $part; do
		case $each in
		small) part_small ;;
		latency) part_latency ;;
		memory) part_memory ;;
		backup|first) part_backup ext4; [ $ROOT = no ] || part_backup xfs ;;
		*) echo "usage: bench/run.sh [small|latency|memory|backup ...]" >&2; exit 2 ;;
		esac
	done
done
"$PYTHON" bench/report.py "$OUT" bench/RESULTS.in.md >bench/RESULTS.md && tail -n 45 bench/RESULTS.md
