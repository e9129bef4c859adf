# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# restic into a repository on the same host: no network, encrypted as always.
# STORE_DIR (else S): where the repository lies.

export RESTIC_PASSWORD=bench
run_restic() { restic --quiet --cache-dir "$S/cache" -r "${STORE_DIR:-$S}/repository" "$@"; }

sys_available() { command -v restic; }
sys_version() { restic version; }
sys_durability() { echo "packs and index are synced; no network"; }
sys_prepare() { run_restic init; }
sys_first() { sys_again; }
sys_again() {
	(cd "$SOURCE" && run_restic backup --exclude="$SOURCE/ofwork" --exclude="$SOURCE/oftemp" --exclude="$SOURCE/wpcs*" .)
	local code=$?
	[ $code = 3 ] || return $code	# files that vanished meanwhile
}
sys_restore() {	# sys_restore DIR [PATH]
	local to=$1
	run_restic restore latest --target "$S/restored" ${2:+--include "$2"} && mkdir -p "$to" && mv "$S/restored"/* "$to/" && rm -rf "$S/restored"
}
sys_stop() { :; }
