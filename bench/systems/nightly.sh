# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The original's nightly job: cp -a of the databases into staging, rsync of everything, cp -a of the databases into the day's set.
# Where the file system can, cp shares extents, as the keeper does.
# STORE_DIR (else S): where the server's side lies.
. bench/systems/rsync.sh

sys_available() { command -v rsync; }
sys_version() { echo "$(rsync --version | head -n 1), $(cp --version | head -n 1)"; }
sys_only_offices() { :; }

sys_prepare() {
	mkdir -p "$S/staging" "${STORE_DIR:-$S}/m/po" "${STORE_DIR:-$S}/sets"
	[ -z "${STORE_DIR:-}" ] || ln -s "$STORE_DIR/m" "$S/m"
	daemon_of_rsync
}
stage_databases() {
	mkdir -p "$S/staging/ofuser" "$S/staging/ofmsg"
	(cd "$OFFICE" && cp -a ./*.db ./*.dc ngwguard.rfl "$S/staging/" && cp -a ofuser/. "$S/staging/ofuser/" && cp -a ofmsg/. "$S/staging/ofmsg/" &&
		cp -a ofviews "$S/staging/")
}
sys_again() {
	local to=${STORE_DIR:-$S} number=1 code
	while [ -e "$to/sets/$number" ]; do number=$((number + 1)); done
	stage_databases || return
	rsync -a --delete "$S/staging/" "$(cat "$S/address")/po/sync/" || return
	rsync -a --delete "$OFFICE/offiles/" "$(cat "$S/address")/po/offiles/"
	code=$?
	[ $code = 0 ] || [ $code = 24 ] || return
	cp -a "$to/m/po/sync" "$to/sets/$number" && echo $number >"$S/latest"
}
sys_first() { sys_again; }
sys_restore() {	# sys_restore DIR [PATH]
	local to=${STORE_DIR:-$S} path=${2:-.}
	mkdir -p "$1/$(dirname "$path")" && cp -a "$to/sets/$(cat "$S/latest")/$path" "$1/$(dirname "$path")/" || return
	[ "$path" != . ] || cp -a "$to/m/po/offiles" "$1/"
}
