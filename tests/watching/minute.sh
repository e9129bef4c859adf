# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A minute of blobs as fast as one program can make them: the default queue does not overflow, and every one is on the server.

minute_blobs() {	# minute_blobs SECONDS: how many were made
	"$PYTHON" - "$PO/offiles" "$1" <<'PY'
import os, sys, time
top, end, data, n = sys.argv[1], time.time() + float(sys.argv[2]), os.urandom(4096), 0
for i in range(16):
    os.makedirs("%s/fd%X" % (top, i), exist_ok=True)
while time.time() < end:
    for _ in range(200):
        with open("%s/fd%X/minute%07d" % (top, n % 16, n), "wb") as f:
            f.write(data)
        n += 1
print(n)
PY
}

watching_minute() {	# watching_minute SECONDS
	local made start
	# On a disk: a million blobs, on either side, are too many for the memory.
	[ "${TMPDIR:-}" != /dev/shm ] || local TMPDIR=/tmp
	watching_world
	made=$(minute_blobs "$1")
	holds "watching: blobs are made all the time" "${made:-0}" -gt 0
	start=$SECONDS
	check "watching: a sync after $1 s of blobs ends" sync_wait 300
	note "$made blobs in $1 s; the sync took $((SECONDS - start)) s more"
	same "watching: the kernel's queue did not overflow" 0 "$(field queue_overflows)"
	check "watching: every blob is on the server" compare_replica
}
