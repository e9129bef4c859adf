#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A seeded handful of what `make disk` tries in full: disks that fill at either end, and bits that flip in what is kept.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../disk/full.sh
. "$(dirname "$0")/../disk/full.sh"
# shellcheck source=../disk/flips.sh
. "$(dirname "$0")/../disk/flips.sh"
note "seed $SEED"
RANDOM=$((SEED % 32768)) violations=0 cases=0
FULL_WORLD=3	# sizes of one world: memory, then ext4

if [ "$ROOT" = yes ]; then
	full_sizes 6
else
	skip "a full disk loses nothing and resumes" "only root can mount small disks"
fi
ROT_TARGETS="state:journal store:state/index" rot_all 43
done_testing
