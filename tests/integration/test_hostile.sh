#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A handful of what `make hostile` tries in full: a collector with a valid certificate that means harm.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../hostile/lib.sh
. "$(dirname "$0")/../hostile/lib.sh"
note "seed $SEED"

hostile_world
for name in odd_names specials_are_only_recorded digests_that_lie one_job_one_set operations_out_of_order packed_frames_that_lie half_closed; do
	hostile_suites "$name" || not_ok "hostile: there is a case $name"
done
done_testing
