#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Another tree is put in the place of the one that is watched, as by a restore, and the advice is followed as it stands.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny
world_start
cp -a "$PO" "$W/another" && mv "$PO" "$W/before" && mv "$W/another" "$PO"
check "a tree that was replaced is noticed" wait_status 30 'p["state"] == "failed"'
expect 1 'FAIL .*po1 .*replaced on purpose, restart the collector' "doctor says what to do" tm doctor
collector_stop; collector_start
check "then another tree lies there" wait_status 30 '"tidemark resume po1" in (p["reason"] or "")'
check "which resume accepts" tm resume po1
check "and it is sent" sync_wait
done_testing
