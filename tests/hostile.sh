#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Hostile peers: a collector that means harm, a server that means harm, and users of the host who are nobody's friends.
#
#   tests/hostile.sh                       all parts
#   tests/hostile.sh collector             one: collector limits server local
#   ONLY=C7 SEED=3 tests/hostile.sh        one suite or case, with another seed
#
# The last line counts: `hostile: N cases, N mutants, N violations`.
# shellcheck source=integration/lib.sh
. "$(dirname "$0")/integration/lib.sh"
# shellcheck source=hostile/lib.sh
. "$(dirname "$0")/hostile/lib.sh"
note "seed $SEED"

PARTS=${*:-collector limits server local}
for part in $PARTS; do
	# shellcheck source=/dev/null # named above
	. "$TESTS/hostile/$part.sh"
done
echo "hostile: $cases cases, $mutants mutants, $violations violations"
[ $((violations + failures)) = 0 ] && [ "$cases" -gt 0 ]
