#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A file that is written, and closed, without rest: named with its cause, nobody else waits for it, and a sync tries it at once.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
note "seed $SEED"
world_new
po_tiny 51
world_start
check "a first backup" backup
# --- a file that changes faster than it can be read ---------------------------------------------------------------------
"$PYTHON" - "$PO/offiles/fd3/restless" <<'PY' &
import os, sys, time
f = open(sys.argv[1], "wb+", buffering=0)
f.write(b"x" * 8000000)
end = time.monotonic() + 150
n = 0
while time.monotonic() < end:
    n += 1
    f.seek((n * 4096) % 8000000)
    f.write(b"%d" % n)
    if n % 50 == 0:
        os.close(os.open(sys.argv[1], os.O_WRONLY))     # an event
PY
restless=$!
STARTED+=("$restless")
if wait_status 90 'p["troubled"] > 0'; then
	ok "a file that changes faster than it can be read is counted as troubled"
	expect 4 'restless: .*chang' "status names it with the cause" tm status po1
else
	not_ok "a file that changes faster than it can be read is counted as troubled"
fi
echo "another blob" >"$PO/offiles/fd3/another"
until [ -s "$STORE/po1/blobs/offiles/fd3/another" ] || [ $((i = ${i:-0} + 1)) -gt 200 ]; do sleep 0.05; done
expect 3 'restless' "a sync of the others ends, and names it" sync_wait 60
check "it holds nobody else back" cmp "$PO/offiles/fd3/another" "$STORE/po1/blobs/offiles/fd3/another"
kill -KILL $restless; wait $restless 2>/dev/null
check "once it rests a sync sends it at once" sync_wait 10
check "the trouble is over" wait_status 20 'p["troubled"] == 0 and p["pending_changes"] < 10'
check "a backup of it is good" backup
check "that is restored" restore po1 latest "$W/rested"
check "and it is whole" cmp "$PO/offiles/fd3/restless" "$W/rested/offiles/fd3/restless"
rm -rf "$W/rested"
rm "$PO/offiles/fd3/restless"

done_testing
