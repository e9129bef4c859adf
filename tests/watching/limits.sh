# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Watch limits, in a user namespace of the collector's and its watcher's own: what cannot be watched is polled, doctor and status
# say so, and a barrier never passes over a change because nobody could watch its directory.

limits_restart() {	# limits_restart LIMIT
	collector_stop
	watcher_kill
	WITH="$TESTS/tools/few_watches.sh $1" collector_start
}

limits_told() {
	wait_status 30 'p["connected"] and p["watcher"] and p["unwatched_directories"] > 0 and p["state"] == "degraded" and "cannot be watched" in p["reason"]' || return 1
	tm doctor >"$W/.doctor" 2>&1
	grep -q 'WARN.*not watched but polled.*max_user_watches' "$W/.doctor" || { cat "$W/.doctor"; return 1; }
}

# Twice at once: the second is over long before what cannot be watched is polled again.
limits_race() {	# limits_race SEED
	local seed
	for seed in $1 $(($1 + 1)); do
		"$TOOLDIR/racer" "$OUTSIDE" "$seed" "$BLOBS" && "$TOOLDIR/racer" "$OUTSIDE" "$seed" "$INDEX" && watching_check || return 1
	done
}

# Who writes a blob in pieces, in a directory that is not watched: between them it looks as if it were whole.
limits_pieces() {
	local dir=$BLOBS/pieces.$1
	mkdir "$dir" && exec 7>"$dir/blob" && head -c 2000 /dev/urandom >&7 || return 1
	# Its age is what matters, and nothing tells of that: old enough for the directory to be taken for quiet.
	until [ "$(date +%s)" -gt "$(($(stat -c %Z "$dir/blob") + 3))" ]; do sleep 0.5; done
	sync_wait && head -c 2000 /dev/urandom >&7 && exec 7>&- && watching_check
}

# limits_one SEED LIMIT WORDS
limits_one() {
	limits_restart "$2" || { not_ok "limits: the collector starts with $3" "$W/collector.log"; return; }
	check "limits: $3: status and doctor say what to do" limits_told
	check "barrier_before_seal: $3: a sync that ends has all that was changed before" limits_race "$1"
	check "barrier_before_seal: $3: and all of a blob that is written in pieces" limits_pieces "$1"
}

# Without even the cookie folder's watch no barrier can pass, and none does.
limits_none() {
	limits_restart 0
	check "limits: no watch at all: status says that the watcher does not answer" wait_status 30 'p["connected"] and not p["watcher"] and "watcher" in p["reason"]'
	refuse "limits: no watch at all: no sync ends" sync_wait 3
	check "limits: the limit is raised" "$TESTS/tools/few_watches.sh" --set 100000 "${PID[collector]}"
	check "limits: raised: the watcher comes up by itself" wait_status 75 'p["watcher"]'
	check "limits: raised: nothing is missing" watching_check
}

# In the life of one watcher: directories that come when the limit is reached, and a limit that is raised later.
limits_on_the_way() {	# limits_on_the_way SEED
	limits_restart $(($(field watched_directories) + 1))	# one for the cookies
	check "limits: just enough: nothing is told" wait_status 30 'p["connected"] and p["watcher"] and p["unwatched_directories"] == 0'
	check "barrier_before_seal: the limit is reached on the way: a sync has all" limits_race "$1"
	check "limits: reached on the way: status and doctor say so" limits_told
	"$TESTS/tools/few_watches.sh" --set 100000 "${PID[collector]}"
	check "limits: raised on the way: within a minute all is watched" wait_status 75 'p["unwatched_directories"] == 0 and p["state"] == "ok"'
	check "limits: raised on the way: and seen" limits_race $(($1 + 2))
}

watching_limits() {	# watching_limits SEED [short]
	local all
	unshare --user true 2>/dev/null || { skip "watch limits" "no user namespaces"; return; }
	watching_world
	all=$(field watched_directories)
	limits_one "$1" $((all / 2)) "half of the watches"
	[ "${2:-}" != short ] || return 0
	limits_one $(($1 + 10)) 1 "one watch, the cookies'"
	limits_one $(($1 + 20)) $((all / 10)) "a tenth of the watches"
	limits_one $(($1 + 30)) "$all" "one watch too few"
	limits_none
	limits_on_the_way $(($1 + 40))
}
