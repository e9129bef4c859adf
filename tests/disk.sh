#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks that fill, rot and break, under both ends.
#
#   tests/disk.sh                                all of it
#   SIZES=20 FLIPS=50 SEED=7 tests/disk.sh       less of it
#   ONLY=full|flips|sectors tests/disk.sh        one part
#
# The last line counts: `disk: N cases, N sizes, N flips, N violations`.
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=disk/full.sh
. "$(dirname "$0")/disk/full.sh"

# shellcheck source=disk/flips.sh
. "$(dirname "$0")/disk/flips.sh"
# shellcheck source=disk/sectors.sh
. "$(dirname "$0")/disk/sectors.sh"

SIZES=${SIZES:-300} FLIPS=${FLIPS:-1500}
RANDOM=$SEED
violations=0 cases=0
note "seed $SEED"

part() { case $1 in *"${ONLY:-}"*) ;; *) return 1 ;; esac; }

part full && full_sizes "$SIZES"
part flips && rot_all "$FLIPS"
part sectors && sectors_all
echo "disk: $cases cases, $sizes sizes, $flips flips, $violations violations"
[ $((violations + failures)) = 0 ] && [ $((cases + sizes)) -gt 0 ]
