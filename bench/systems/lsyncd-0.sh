# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lsyncd with delay 0: an rsync for each event, or for the events that came while the last one ran.
. bench/systems/lsyncd.sh

LSYNCD_DELAY=0
