#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A connection that swallows everything without a word, in one state of its life: tests/network/halfopen.sh STATE.
#
# The product's own deadlines find it, 45 s at most; the next connection flows, and everything arrives.
# shellcheck source=../integration/lib.sh
. "$(dirname "$0")/../integration/lib.sh"
# shellcheck source=../disk/full.sh
. "$(dirname "$0")/../disk/full.sh"
# shellcheck source=proxied.sh
. "$(dirname "$0")/proxied.sh"
note "seed $SEED"

# A new connection is silent after N bytes.
dialled() { order stall "$1"; kill -USR1 "$PROXY"; }

silent_in() {
	case $1 in
	accept) dialled 0 ;;
	tls) dialled 700 ;;
	hello) dialled 3200 ;;
	flow) order stall 30000 ;;
	snapshot) order stall 500; tm backup po1 >"$W/.work" 2>&1 ;;
	seal)
		keeper=$(keeper_pid)
		kill -STOP "$keeper"
		tm backup po1 >"$W/.work" 2>&1
		check "$1: the job is in its seal" wait_status 30 "j.get('phase') in ('notify', 'seal')"
		order stall 0
		kill -CONT "$keeper" ;;
	esac
}

net_world
silent_in "$1"
full_edit
until grep -q stall "$W/proxy.log"; do sleep 0.05; done
start=$SECONDS
sync_wait 80 >"$W/.work" 2>&1
same "$1: a silent connection is found, and what waited is sent" 0 $?
holds "$1: within 45 s and a dial ($((SECONDS - start)) s)" $((SECONDS - start)) -le 55
check "$1: no job is left over" wait_status 60 'p["job"] is None'
net_converge backup >"$W/.after" 2>&1
grep -v ' 0 differences$' "$W/.after" >"$W/.verdict"
if [ -s "$W/.verdict" ]; then not_ok "$1: everything arrives" "$W/.verdict"; else ok "$1: everything arrives"; fi
done_testing
