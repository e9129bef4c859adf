#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The churn of the integration tests, longer and with one seed after another: SEED is the first, SEEDS how many.
first=${SEED:-$(date +%s)} bad=0
for seed in $(seq "$first" $((first + ${SEEDS:-5} - 1))); do
	SEED=$seed CHURN=${CHURN:-25} bash "$(dirname "$0")/../integration/test_churn.sh" || bad=1
done
exit $bad
