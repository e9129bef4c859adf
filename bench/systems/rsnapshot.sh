# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rsnapshot on the same host: rsync into a new tree of hard links to the last one.  No network.
# STORE_DIR (else S): where the trees lie.

sys_available() { command -v rsnapshot; }
sys_version() { rsnapshot version; }
sys_durability() { echo "nothing is synced; no network"; }
sys_prepare() {
	tr '|' '\t' >"$S/rsnapshot.conf" <<-CONF
	config_version|1.2
	snapshot_root|${STORE_DIR:-$S}/trees/
	cmd_rsync|$(command -v rsync)
	cmd_cp|$(command -v cp)
	rsync_long_args|--delete --numeric-ids --delete-excluded
	retain|day|20
	verbose|2
	logfile|$S/rsnapshot.log
	lockfile|$S/rsnapshot.lock
	link_dest|1
	exclude|/ofwork
	exclude|/oftemp
	exclude|/wpcs*
	backup|$SOURCE/|copy/
	CONF
	mkdir -p "${STORE_DIR:-$S}/trees"
}
sys_first() { sys_again; }
sys_again() {
	rsnapshot -c "$S/rsnapshot.conf" day
	local code=$?
	[ $code = 2 ] || return $code	# warnings: files that vanished meanwhile
}
sys_restore() {	# sys_restore DIR [PATH]
	local from=${STORE_DIR:-$S}/trees/day.0/copy
	mkdir -p "$1/$(dirname "${2:-.}")" && cp -a "$from/${2:-.}" "$1/$(dirname "${2:-.}")/"
}
sys_stop() { :; }
