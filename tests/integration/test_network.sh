#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A seeded handful of what `make network` tries in full: connections that are cut anywhere, a server put back to an earlier copy.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=../disk/full.sh
. "$(dirname "$0")/../disk/full.sh"
# shellcheck source=../network/proxied.sh
. "$(dirname "$0")/../network/proxied.sh"
# shellcheck source=../network/history.sh
. "$(dirname "$0")/../network/history.sh"
note "seed $SEED"
RANDOM=$((SEED % 32768))

net_faults 14
net_rollbacks 3
done_testing
