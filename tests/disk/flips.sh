# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Bits that flip where nobody writes: each is named by verify, set aside with a word in a log, or mended from the other side; none ends
# a daemon, and none is sealed as good.  What a restore gives is compared with what was there by trees.py and rsync.
#
# Sourced after tests/integration/lib.sh and disk/full.sh (its edits).

rot() { "$PYTHON" "$TESTS/tools/rot.py" "$@"; }
flips=0 rot_round=0

rot_world() {	# three sets, blobs that came, went and came again between them
	local i
	world_new
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	world_start
	mkdir "$W/was"
	for i in 1 2 3; do
		full_round=$((full_round + 1))
		full_edit
		full_churn
		echo "version $i" >"$PO/offiles/fd0/again"
		sync_wait	# what is removed after T0 stays in the set
		backup >"$W/.first" || { not_ok "disk: a set to be damaged is made" "$W/.first"; exit 1; }
		restore po1 "$SET" "$W/was/$SET" >"$W/.first" && compare_tree "$PO" "$W/was/$SET" >"$W/.first" ||
			{ not_ok "disk: a set is what was there before anything is damaged" "$W/.first"; exit 1; }
		rm "$PO/offiles/fd0/again"
		sync_wait
	done
}

# ---- what was sealed ----

# Under which name a set knows a file of the store.
rot_name() {
	sed -E "s|^$STORE/po1/||; s|^backups/weeknow/[^/]+/||; s|^state/manifests/||; s|^blobs/versions/[0-9]+/||; s|^blobs/||"
}

# Every name that verify finds a fault with, in any set.
rot_named() {
	local set
	for set in $(sealed); do tms verify po1 "$set" 2>&1; done >"$W/.verify"
	sed -nE 's/^([^:]+): (its content is not|cannot be read|has [0-9]+ bytes|.*manifest).*/\1/p' "$W/.verify" | sort -u
}

# rot_sealed SEED COUNT PATH...: bits of so many files flip at once; exactly these are named, and none when they are mended.
rot_sealed() {
	local seed=$1 bad
	mapfile -t bad < <(rot pick "$@")
	flips=$((flips + ${#bad[@]})) cases=$((cases + 1))
	rot flip "$seed" "${bad[@]}"
	comm -3 <(printf '%s\n' "${bad[@]}" | rot_name | sort -u) <(rot_named) >"$W/.verdict"
	rot flip "$seed" "${bad[@]}"
	rot_named >>"$W/.verdict"
	[ ! -s "$W/.verdict" ] || { violations=$((violations + 1)); not_ok "disk: not what verify names, of ${#bad[@]} flips (seed $seed)" "$W/.verdict"; }
}

# ---- what is written every day ----

rot_end_all() {
	local watcher
	watcher=$(watcher_pid)
	collector_kill
	server_kill
	[ -z "$watcher" ] || { kill -KILL "$watcher"; proc gone "$watcher" 10; }
}

rot_keep() { rot_end_all; cp -a "$STORE" "$W/kept.store" && cp -a "$STATE" "$W/kept.state"; }
rot_put_back() { rm -rf "${STORE:?}" "${STATE:?}" && cp -a "$W/kept.store" "$STORE" && cp -a "$W/kept.state" "$STATE"; }

ROT_TARGETS=${ROT_TARGETS:-state:journal state:blockmap state:journal.full state:memo state:jobs state:backups store:state/index
	store:state/catalogue store:state/ledger store:state/jobs store:gre_data store:blobs identity:collector identity:server}

rot_paths() {	# rot_paths TARGET
	case $1 in
	# Of local staging the databases, which DBCOPY compares page by page.  It believes size and time of the rest, as the replicator does,
	# so what rots there is not sent; but a test cannot change a byte without a change time that tells of it.
	state:backups) find "$STATE/po1/backups" -name '*.db' ;;
	# LMDB's lock file is made anew by whoever opens it first.
	state:journal|state:blockmap) echo "$STATE/po1/${1#*:}/data.mdb" ;;
	state:*) echo "$STATE/po1/${1#*:}" ;;
	store:state/index|store:state/catalogue) echo "$STORE/po1/${1#*:}/data.mdb" ;;
	store:*) echo "$STORE/po1/${1#*:}" ;;
	identity:collector) echo "$STATE/identity" ;;
	identity:server) echo "$STORE/.identity" ;;
	esac
}

rot_file() { rot_paths "$2" | xargs "$PYTHON" "$TESTS/tools/rot.py" pick "$1" 1; }	# rot_file SEED TARGET

# The older sets give what they held, or it is told that they do not.
rot_old_sets() {
	local set
	for set in $(cd "$W/was" && echo *); do
		rm -rf "$W/old"
		restore po1 "$set" "$W/old" >"$W/.restore" 2>&1 || continue	# it was refused or named
		trees compare --plain --content "$W/was/$set" "$W/old" >"$W/.old" && continue
		tms verify po1 "$set" >"$W/.restore" 2>&1 && { echo "set $set is not what was sealed, and nobody says so"; cat "$W/.old"; }
	done
}

rot_alive() {
	grep -hE 'signal [0-9]+|dumped core' "$W/server.log" "$W/collector.log" | head -n 3
	kill -0 "${PID[server]}" "${PID[collector]}" || echo "a daemon died"
}

# The words that tell which file of an identity is of no use.
rot_identity_told() {
	grep -qiE 'identity|certificate|authority|key|pin|enrol|token' <(tail -n 5 "$W/server.log" "$W/collector.log"; field reason) || echo "nobody says what is wrong with the identity"
}

rot_aftermath() {	# rot_aftermath TARGET
	server_start && collector_start || {
		case $1 in identity:*) rot_identity_told ;; *) echo "it does not start"; tail -n 3 "$W/server.log" "$W/collector.log" ;; esac
		return
	}
	full_round=$((full_round + 1))
	full_edit
	full_churn
	wait_status 15 'p["connected"] and p["watcher"]' >"$W/.up" || {
		case $1 in
		identity:*) rot_identity_told; return ;;
		# It remembers which tree it was, and no longer knows this one: the status tells what to do.
		state:memo) [[ $(field reason) == *"tidemark resume"* ]] && tm resume po1 >/dev/null && wait_status 15 'p["connected"] and p["watcher"]' ;;
		*) false ;;
		esac || { cat "$W/.up"; return; }
	}
	sync_wait 60 || { echo "sync does not end"; return; }
	backup || backup || backup || { echo "no set can be made"; return; }
	rm -rf "$W/restored"
	restore po1 "$SET" "$W/restored" >"$W/.restore" 2>&1 || cat "$W/.restore"
	compare_tree "$PO" "$W/restored" || tms verify po1 "$SET"
	rot_old_sets
	rot_alive
}

# rot_state SEED TARGET: one file of the target is damaged while nobody runs.
rot_state() {
	local file did
	rot_put_back
	mapfile -t file < <(rot_file "$1" "$2")
	[ -n "${file[0]}" ] || return
	did=$(rot damage "$1" "${file[0]}")
	flips=$((flips + 1)) cases=$((cases + 1))
	: >"$W/server.log"; : >"$W/collector.log"
	rot_aftermath "$2" >"$W/.after" 2>&1
	grep -v ' 0 differences$' "$W/.after" >"$W/.verdict"
	[ -z "${VERBOSE:-}" ] || note "flip $flips: ${file[0]#"$W"/}: $did"
	[ ! -s "$W/.verdict" ] || {
		violations=$((violations + 1))
		not_ok "disk: ${file[0]#"$W"/} was damaged (seed $1): $did" "$W/.verdict"
		[ -z "${KEEP:-}" ] || exit 1
	}
	rot_end_all
}

# rot_all COUNT: files of sealed sets by the dozen, of states one by one.
rot_all() {
	local i target before=$violations targets
	rot_world
	# shellcheck disable=SC2086 # a list of words
	read -ra targets <<<"$(echo $ROT_TARGETS)"
	for ((i = 0; i < $1 / 100 + 1; i++)); do
		rot_sealed "$SEED.$i" 40 "$STORE/po1/backups/weeknow" "$STORE/po1/blobs"
		[ $((i % 4)) != 0 ] || rot_sealed "$SEED.m$i" 1 "$STORE/po1/state/manifests"
	done
	[ $violations != "$before" ] || ok "every bit that flips in a sealed set is named by verify: $flips flips"
	before=$violations
	rot_keep
	for target in "${targets[@]}"; do
		[ -n "$(rot_file "$SEED" "$target")" ] || { violations=$((violations + 1)) && not_ok "disk: there is something of $target that can rot"; }
	done
	for ((i = 0; flips < $1; i++)); do
		target=${targets[i % ${#targets[@]}]}
		rot_state "$SEED.$i" "$target"
	done
	[ $violations != "$before" ] || ok "what rots in a journal, a map, an index, a catalogue is set aside or mended, and never sealed: $i files"
}
