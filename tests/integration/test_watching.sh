#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A seeded handful of what `make watching` tries in full: after races, an overflow and under a watch limit the replica is the live tree.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../lib/crash.sh
. "$(dirname "$0")/../lib/crash.sh"
# shellcheck source=../lib/watching.sh
. "$(dirname "$0")/../lib/watching.sh"
note "seed $SEED"
crash_in_memory

watching_races "$SEED" 10
watching_end
WAY=twice watching_overflows "$SEED" 1
watching_end
watching_limits "$SEED" short
done_testing
