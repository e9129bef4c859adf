# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How large and how often, in one place: tiny proves that all of it runs, quick is `make bench`, full is `make bench-full`.
# Any of these may be set from outside.

set_default() { [ -n "${!1:-}" ] || printf -v "$1" '%s' "$2"; }
choose() {	# choose NAME TINY QUICK FULL
	case $SCALE in
	tiny) set_default "$1" "$2" ;;
	quick) set_default "$1" "$3" ;;
	full) set_default "$1" "$4" ;;
	*) echo "bench: SCALE is tiny, quick or full, not \"$SCALE\"" >&2; exit 2 ;;
	esac
}

choose SETTLE         no       yes             yes           # sync the disk before each clock
choose ROUNDS         1        2               5
choose OFFICE_BLOBS   300      5000            270000        # office: mean 20 KiB, 12 % databases: 7 MB, 0.1 GB, 6 GB
choose OFFICE_USERS   12       40              300
choose FRACTIONS      "1"      "1"             "0.1 1 10"    # percent of a day's changes
choose SLOW_ROUNDS    1        1               3             # of systems that wait many seconds by themselves
choose LIVE_RATE      20       50              200           # events a second while the backup runs
choose SMALL_FILES    300      10000           100000        # 4 KiB each
choose PAGES_MIB      8        256             1024          # the large database
choose LATENCY_RATES  "100"    "1 300"         "1 10 100 300 1000 3000"
choose LATENCY_SECONDS 2       5               30
choose BURST          300      10000           100000
choose LIVE_SYSTEMS   "tidemark lsyncd-0" "tidemark lsyncd-0" "tidemark lsyncd-0 lsyncd syncthing"
choose WATCHING       "lsyncd-0" "lsyncd-0" "lsyncd-0 lsyncd syncthing"  # beside tidemark in office
choose OUTAGE         200      10000           100000        # blobs that are new when the server comes back
choose SEAL_SERIES    "300 1000" "3000 30000"   "10000 30000 100000 300000 1000000 3000000"
choose SEAL_FRACTIONS "1"      "1"             "0.1 1 10"
choose SERIES         "300 1000" "3000 10000 30000" "10000 30000 100000 300000 1000000 3000000"
choose SERIES_ROUNDS  1        1               3
choose SERIES_OLD     no       no              yes           # again when the files are ten minutes old
choose IDLE_SECONDS   2        10              60
choose DAYS           2        14              14
choose DAYS_BLOBS     200      3000            30000
