# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lsyncd: inotify, then rsync to a daemon after a delay, the default of 15 s.  lsyncd-0 is this without a delay.
. bench/systems/rsync.sh

LSYNCD_DELAY=15

sys_available() { command -v lsyncd && command -v rsync; }
sys_version() { lsyncd --version; }
sys_durability() { echo "nothing is synced"; }
sys_slow() { :; }

sys_prepare() {
	daemon_of_rsync || return
	mkdir -p "$S/m/copy"
	cat >"$S/lsyncd.lua" <<-LUA
	settings { nodaemon = true, logfile = "$S/lsyncd.log", statusFile = "$S/status", insist = true }
	sync { default.rsync, source = "$SOURCE", target = "$(cat "$S/address")/copy/", delay = $LSYNCD_DELAY,
		exclude = { "/ofwork", "/oftemp", "/wpcs*" }, rsync = { archive = true } }
	LUA
}
sys_go_first() {
	lsyncd -log Normal "$S/lsyncd.lua" >>"$S/lsyncd.out" 2>&1 &
	STARTED+=("$!")
	echo $! >"$S/pid"
}
sys_settle() { until_equal "$SOURCE" "$S/m/copy"; }
sys_first() { sys_go_first && sys_settle; }
sys_again() { sys_settle; }
sys_hold() { kill -STOP "$(cat "$S/pid")"; }
sys_go() { kill -CONT "$(cat "$S/pid")"; }
sys_arrives() { echo "$S/m/copy"; }
sys_pids() { cat "$S/pid"; }
sys_all_pids() { cat "$S/pid" "$S/daemon"; }
sys_away() { kill "$(cat "$S/daemon")" && proc gone "$(cat "$S/daemon")" 10; }
sys_back() { local port; port=$(cat "$S/address"); port=${port##*:}; daemon_back "${port%/m}"; }
sys_stop() {
	local pid
	for pid in $(cat "$S/pid" "$S/daemon" 2>/dev/null); do kill -CONT "$pid"; kill "$pid"; proc gone "$pid" 10 || kill -KILL "$pid"; done
}
