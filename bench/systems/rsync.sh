# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rsync -a to a daemon on loopback, plain text.  rsync-fsync and rsync-ssh are this with another way (sys_way).

QUEUES=(--exclude=/ofwork --exclude=/oftemp '--exclude=/wpcs*')

sys_available() { command -v rsync; }
sys_version() { rsync --version; }
sys_durability() { echo "nothing is synced"; }

daemon_of_rsync() {	# a daemon whose module "m" is $S/m; leaves its address in $S/address
	local port
	port=$(proc port)
	mkdir -p "$S/m"
	cat >"$S/rsyncd.conf" <<-CONF
	use chroot = no
	log file = $S/rsyncd.log
	pid file = $S/rsyncd.pid
	$([ $ROOT = yes ] && printf 'uid = 0\ngid = 0')
	[m]
	path = $S/m
	read only = no
	CONF
	echo "rsync://127.0.0.1:$port/m" >"$S/address"
	daemon_back "$port"
}
daemon_back() {	# daemon_back PORT
	rm -f "$S/rsyncd.pid"
	rsync --daemon --no-detach --address=127.0.0.1 --port="$1" --config="$S/rsyncd.conf" >/dev/null 2>&1 &
	STARTED+=("$!")
	echo $! >"$S/daemon"
	"$PYTHON" bench/until.py listens "$1"
}

sys_way() { rsync -a "$@" "$(cat "$S/address")/copy/"; }

sys_prepare() { daemon_of_rsync; }
sys_first() { sys_way --delete "${QUEUES[@]}" "$SOURCE/"; }
sys_again() {
	sys_way --delete "${QUEUES[@]}" "$SOURCE/"
	local code=$?
	[ $code = 24 ] || return $code	# files that vanished meanwhile
}
sys_restore() {	# sys_restore DIR [PATH]
	mkdir -p "$1/$(dirname "${2:-.}")" && cp -a "$S/m/copy/${2:-.}" "$1/$(dirname "${2:-.}")/"
}
sys_disk() { echo "$S/m"; }
sys_stop() { [ ! -f "$S/daemon" ] || { kill "$(cat "$S/daemon")"; proc gone "$(cat "$S/daemon")" 10; }; }
