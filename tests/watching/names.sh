# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every name of one and two bytes, names of 255 bytes, and paths beyond what one system call takes.

oddnames() { "$PYTHON" "$TESTS/tools/oddnames.py" "$@"; }

# What a set holds of both folders, and the index as it lies in staging.  Not by compare_tree: its tools stop at PATH_MAX.
names_compare() {
	rm -rf "$W/restored"
	oddnames compare "$INDEX" "$STORE/po1/gre_data/ofuser/index/watching" && backup || return
	restore po1 latest "$W/restored" >"$W/.restore" 2>&1 || { cat "$W/.restore"; return 1; }
	oddnames compare "$BLOBS" "$W/restored/offiles/watching" && oddnames compare "$INDEX" "$W/restored/ofuser/index/watching"
}
names_check() { sync_wait 120 && names_compare; }

names_short() {	# names_short SEED
	mkdir "$BLOBS/short" "$INDEX/short"
	same "names: there are 64,768 names of one and two bytes" 64768 "$(oddnames short "$BLOBS/short" "$1" && oddnames short "$INDEX/short" "$1" >"$W/.made")"
	check "names: every name of one and two bytes arrives" names_check
	oddnames churn "$BLOBS/short" "$1" && oddnames churn "$INDEX/short" "$1"
	check "names: deleted, renamed and replaced they arrive" names_check
	rm -rf "$BLOBS/short" "$INDEX/short"
	check "names: and all go" names_check
}

# The watcher cannot watch beyond PATH_MAX; what lies there is compared for each barrier.
names_deep() {
	mkdir "$BLOBS/deep" "$INDEX/deep"
	oddnames deep "$BLOBS/deep" "$1" && oddnames deep "$INDEX/deep" "$1"
	check "names: a path of $1 bytes arrives" names_check
	oddnames touch "$BLOBS/deep" "$1" && oddnames touch "$INDEX/deep" "$1"
	check "names: a change at every depth of it arrives" names_check
	check "names: status says what cannot be watched" wait_status 30 'p["unwatched_directories"] > 0 and p["state"] == "degraded"'
	rm -rf "$BLOBS/deep" "$INDEX/deep"
	check "names: and it goes" names_check
}

watching_names() {	# watching_names SEED
	watching_world
	echo stays >"$BLOBS/stays" && echo stays >"$INDEX/stays"
	names_short "$1"
	names_deep 8000
	names_deep 15800
}
