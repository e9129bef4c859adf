# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rsync -a --fsync to a daemon.
. bench/systems/rsync.sh

sys_available() { command -v rsync && rsync --help | grep -q -- --fsync; }
sys_durability() { echo "each file is synced, its name is not"; }
sys_way() { rsync -a --fsync "$@" "$(cat "$S/address")/copy/"; }
sys_slow() { :; } # it waits for the disk, file by file
