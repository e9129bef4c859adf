# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Syncthing: two instances on loopback, TLS; everything at its default but discovery, relays and reports, which are off.

sys_available() { command -v syncthing; }
sys_version() { syncthing --version; }
sys_durability() { echo "each file and its folder are synced"; }
sys_slow() { :; }

sys_prepare() {
	mkdir -p "$S/copy" && mkdir -p "$SOURCE/.stfolder" "$S/copy/.stfolder" || return
	syncthing generate --home="$S/home-a" --no-default-folder && syncthing generate --home="$S/home-b" --no-default-folder || return
	"$PYTHON" bench/systems/syncthing.py "$S/home-a" "$SOURCE" "$(proc port)" "$S/home-b" "$S/copy" "$(proc port)" || return
	start_instance b
}
start_instance() {	# start_instance a|b
	# STMONITORED: one process instead of two, so that the pid is the one that works.
	STMONITORED=yes STNOUPGRADE=1 syncthing serve --home="$S/home-$1" --no-browser --no-restart --no-upgrade >>"$S/$1.log" 2>&1 &
	STARTED+=("$!")
	echo $! >"$S/pid-$1"
}
sys_settle() { until_equal "$SOURCE" "$S/copy"; }
sys_first() { start_instance a && sys_settle; }
sys_again() { sys_settle; }
sys_hold() { kill -STOP "$(cat "$S/pid-a")"; }
sys_go() { kill -CONT "$(cat "$S/pid-a")"; }
sys_arrives() { echo "$S/copy"; }
sys_pids() { cat "$S/pid-a"; }
sys_all_pids() { cat "$S/pid-a" "$S/pid-b"; }
sys_away() { kill "$(cat "$S/pid-b")" && proc gone "$(cat "$S/pid-b")" 30; }
sys_back() { start_instance b; }
sys_stop() {
	local pid
	for pid in $(cat "$S/pid-a" "$S/pid-b" 2>/dev/null); do kill -CONT "$pid"; kill "$pid"; proc gone "$pid" 20 || kill -KILL "$pid"; done
	rm -rf "$SOURCE/.stfolder"
}
