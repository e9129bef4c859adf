# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Races: several processes do everything at once to the same few names of both watched areas, while the watcher and the
# collector follow.  Ten seeds at a time, each in trees of its own; then everything is compared.

# The trees of these seeds, which are removed for the next ones: that, too, must arrive.
races_round() {	# races_round FIRST COUNT
	local seed racers=() racer bad=0
	rm -rf "$W/restored" "$OUTSIDE" "${BLOBS:?}"/* "${INDEX:?}"/*
	mkdir "$OUTSIDE"
	for ((seed = $1; seed < $1 + $2; seed++)); do
		mkdir "$OUTSIDE/$seed"
		"$TOOLDIR/racer" "$OUTSIDE/$seed" $seed "$BLOBS" "$INDEX" &
		racers+=($!)
	done
	for racer in "${racers[@]}"; do wait "$racer" || bad=1; done
	[ $bad = 0 ] || { echo "a race did not come to its end"; return 1; }
	watching_check
}

# Which seeds of a round are in what the comparison said; all, when it names none.
races_guilty() {	# races_guilty FIRST COUNT
	local named
	named=$(grep -oE 'watching/s[0-9]+' "$W/.round" | grep -oE '[0-9]+$' | sort -nu | tr '\n' ' ')
	echo "${named:-$1 to $(($1 + $2 - 1))}"
}

watching_races() {	# watching_races FIRST COUNT
	local first=$1 left=$2 now bad=0
	watching_world
	while [ "$left" -gt 0 ]; do
		now=$((left < 10 ? left : 10))
		if ! races_round "$first" $now >"$W/.round" 2>&1; then
			bad=$((bad + 1))
			not_ok "overflow_is_a_rescan: races: seeds $(races_guilty "$first" $now) (again: SEED=$first SEEDS=$now ONLY=races make watching)" "$W/.round"
			watching_fresh_world
		fi
		seeds=$((seeds + now)) first=$((first + now)) left=$((left - now))
		[ $((seeds % 500)) != 0 ] || note "$seeds seeds, $bad rounds with violations, $(watching_figure overflows) overflows"
	done
	[ $bad != 0 ] || ok "races: after each of $2 seeds from $((first - $2)) on the replica was the live tree"
}
