# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# borg into a repository on the same host: no network; encrypted, as tidemark's link is; compression at its default.
# STORE_DIR (else S): where the repository lies.

export BORG_PASSPHRASE=bench BORG_RELOCATED_REPO_ACCESS_IS_OK=yes BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
run_borg() { BORG_BASE_DIR=$S BORG_REPO=${STORE_DIR:-$S}/repository borg "$@"; }

sys_available() { command -v borg; }
sys_version() { borg --version; }
sys_durability() { echo "segments are synced; no network"; }
sys_prepare() { run_borg init -e repokey-blake2; }
sys_first() { sys_again; }
sys_again() {
	(cd "$SOURCE" && run_borg create --exclude 'ofwork' --exclude 'oftemp' --exclude 'sh:wpcs*' "::{now:%s.%f}" .)
	local code=$?
	[ $code = 1 ] || return $code	# warnings: files that vanished or changed meanwhile
}
sys_restore() {	# sys_restore DIR [PATH]
	local to=$1 name
	name=$(run_borg list --last 1 --short) || return
	mkdir -p "$to" && (cd "$to" && run_borg extract "::$name" ${2:+"$2"})
}
sys_forget() { :; }	# it tells the kernel to drop each file that it has read (posix_fadvise)
sys_stop() { :; }
