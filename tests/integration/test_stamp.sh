#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The purge stamp: agents may delete for good what a good set holds, and nothing that came after the snapshot's start.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
cat >"$W/stamp" <<-SCRIPT
	#!/bin/sh
	echo "\$TIDEMARK_RESULT \$*" >>"$W/stamps" && echo >"$W/stamped"
	SCRIPT
chmod +x "$W/stamp"
mkfifo "$W/stamped" && exec 9<>"$W/stamped"
: >"$W/stamps"
stamped() { read -rt 20 _ <&9; }
PROFILE_KEYS="purge-stamp = $W/stamp --gmttime" write_collector_conf collector
po_tiny 31
world_start

# A backup of some length: the stamp must not be the moment at which it ended.
slow_backup() { tm bandwidth po1 500K && backup; local good=$?; tm bandwidth po1 unlimited; return $good; }
check "a backup is good" slow_backup
check "it is stamped" stamped
started=$(tm --json set list po1 | q sets.-1.started_at)
sealed=$(tm --json set list po1 | q sets.-1.sealed_at)
holds "it took a while" "$(date -d "$sealed" +%s)" -ge $(($(date -d "$started" +%s) + 1))
same "the stamp is the moment at which the snapshot began" "good --gmttime $(date -d "$started" +%s)" "$(cat "$W/stamps")"

# Whatever else was stamped would come before what a good backup stamps.
server_kill
refuse "without the server there is no backup" tm backup po1 --wait
server_start
check "the server is back" wait_status 30 'p["connected"]'
tm bandwidth po1 8K >"$W/slow"
"$GWSIM" churn "$PO" --fraction 50% --seed 3 >"$W/churn"
tm backup po1 --wait >"$W/stopped" 2>&1 &
job=$!
check "a job runs" wait_status 30 'p["job"] is not None'
check "and is stopped" tm stop po1
wait $job
tm bandwidth po1 unlimited >"$W/fast"
check "another backup is good" backup
check "and stamped" stamped
same "a backup that fails stamps nothing" "good good" "$(cut -d' ' -f1 "$W/stamps" | xargs)"
done_testing
