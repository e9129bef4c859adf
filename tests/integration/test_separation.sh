#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Receiver and keeper are two users, and a receiver that was taken over (tests/tools/usurper.c) changes nothing that is sealed: C17.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
if [ "$ROOT" = no ]; then
	skip "receiver and keeper are two users" "only root can start them as such"
	done_testing
fi
AS_RECEIVER=games AS_KEEPER=man	# two users that every Debian has
if ! id $AS_RECEIVER $AS_KEEPER >/dev/null 2>&1; then
	skip "receiver and keeper are two users" "there are no users $AS_RECEIVER and $AS_KEEPER"
	done_testing
fi
note "seed $SEED"
USURPER=$(realpath "$BIN/../tools/usurper" 2>/dev/null || realpath "build/${FLAVOUR:-release}/tools/usurper")

other() { setpriv --reuid "$(id -u games)" --regid "$(id -g games)" --clear-groups "$@"; }
# In memory where there is room: nothing here is about the disk, and a scrub on a busy one takes its time.
[ ! -w /dev/shm ] || [ "$(df --output=avail -m /dev/shm | tail -n 1)" -lt 500 ] || export TMPDIR=/dev/shm
other test -x "${TMPDIR:-/tmp}" || export TMPDIR=/tmp

# As its unit starts it: of root's capabilities with those that stand there, and no other.
AS_UNIT="setpriv --bounding-set -all$(sed -n 's/^CapabilityBoundingSet=//p' "$TESTS/../conf/tidemark-server.service" | tr '[:upper:]' '[:lower:]' | sed 's/ *cap_/,+/g')"
server_start() { WITH=$AS_UNIT daemon_start server tidemark-server && keeper_pid >/dev/null; }
capabilities() { sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$1/status"; }

# A world that others may enter, with programs that others may start.
separated_world() {
	world_new
	chmod 755 "$W" && mkdir "$W/bin" "$W/place" && chown $AS_KEEPER "$W/place"
	other "$BIN/tidemark-keeper" --version >/dev/null 2>&1 || { cp "$BIN"/tidemark* "$W/bin" && BIN=$W/bin; }
	printf '[profile "po2"]\n' >>"$W/server.conf"
	po_tiny
}

user_of() { stat -c %U "/proc/$1"; }
start_of() { stat -c %Y "/proc/$1"; }
# The first: a child that looks through a store before it is opened may be there beside it for a moment.
warden_pid() { proc children "${PID[server]}" | awk '{ print $1; exit }'; }
users() { echo "$(user_of "${PID[server]}") $(user_of "$(warden_pid)") $(user_of "$(keeper_pid)")"; }
# Every set is read again: the keeper has nothing left to do by itself.
all_read() {
	local set
	for set in $(sealed); do tms verify po1 "$set" || return 1; done
	sets_scrubbed
}
# A seal that was disturbed names what is then sent again.
backup_in_the_end() {
	local _
	for _ in 1 2 3; do
		wait_status 30 'p["connected"]' && sync_wait && backup && return
	done
	return 1
}

# Names, bytes, modes, times and inodes of what sets are made of; of blobs, those that are sealed now.  The time of a folder in which the
# receiver may make names is not its own.
sealed_things() {
	local part
	for part in backups state/catalogue state/ledger state/manifests; do trees sums "$STORE/po1/$part" | sed "s|^|$part |"; done | grep -v 'lock\.mdb$'
	find "$STORE/po1/backups" -type l -printf '%P -> %l\n'
	find "$STORE/po1/blobs" -user "${SEALS:-$AS_KEEPER}" \( -type d -printf '%P %i %m %u\n' -o -type f -printf '%P %i %m %T@ %s %u\n' -exec sha256sum {} + \)
}
sealed_names() { find "$STORE"/po1/{backups,state/catalogue,state/ledger,state/manifests} "$STORE/po1/blobs" -mindepth 1; }
unchanged() {	# unchanged BEFORE: what was there is there; other names may have come
	local lost
	lost=$(comm -23 <(sort <<<"$1") <(sealed_things | sort))
	[ -z "$lost" ] || { echo "changed or gone:"; head -n 10 <<<"$lost"; return 1; }
}

# usurper_begins [-r SEED]: takes the receiver's descriptors and holds what is still its own.
usurper_begins() {
	mkfifo "$W/word" 2>/dev/null
	"$USURPER" "$@" "$(id -u $RUNS_AS)" "$(id -g $RUNS_AS)" "${PID[server]}" "$(keeper_pid)" "$STORE" po1 <"$W/word" >"$W/usurper.out" 2>&1 &
	USURPING=$!
	STARTED+=("$USURPING")
	exec {WORD}>"$W/word"
	until grep -q '^ready' "$W/usurper.out"; do
		kill -0 "$USURPING" 2>/dev/null || return 1
		sleep 0.02	# a line of a file
	done
}
# The receiver stands still meanwhile: it is the usurper now.
usurper_attacks() {
	kill -STOP "${PID[server]}"
	{ echo go; sealed_names; echo; } >&"$WORD"
	exec {WORD}>&-
	wait "$USURPING"
	local status=$?
	kill -CONT "${PID[server]}"
	[ $status = 0 ] || { cat "$W/usurper.out"; return 1; }
}
held() { sed -n 's/^ready with \([0-9]*\) .*/\1/p' "$W/usurper.out"; }
usurper_did() { sed -n 's/^tried [0-9]*, done //p' "$W/usurper.out"; }
usurper_tried() { sed -n 's/^tried \([0-9]*\),.*/\1/p' "$W/usurper.out"; }
owns_all_that_is_sealed() {
	local found
	found=$(find "$STORE/po1/blobs" "$STORE/po1/backups" -not -user $AS_KEEPER) && [ -z "$found" ] || { head -n 5 <<<"$found"; return 1; }
	found=$(find "$STORE/po1/blobs" -type f -not -perm 0440 -o -type d -not -perm 1770) && [ -z "$found" ] || { head -n 5 <<<"$found"; return 1; }
}
restored() { rm -rf "$W/place/po" && restore po1 latest "$W/place/po" && compare_tree "$PO" "$W/place/po"; }

RUNS_AS=$AS_RECEIVER
separated_world
world_start
same "the receiver, what stays root, and the keeper are three users" "$AS_RECEIVER root $AS_KEEPER" "$(users)"
# shellcheck disable=SC2086 # a list of words
same "it has the capabilities of its unit" "$($AS_UNIT sed -n 's/^CapPrm:[[:space:]]*//p' /proc/self/status)" "$(capabilities "$(warden_pid)")"
same "and the two others have none" "0000000000000000 0000000000000000" "$(capabilities "${PID[server]}") $(capabilities "$(keeper_pid)")"
check "doctor names both" grep -q "^OK .*receiver is $AS_RECEIVER, keeper $AS_KEEPER" <(tms doctor)

usurper_begins && ok "a usurper takes the receiver's descriptors and holds its blobs before they are sealed" || { not_ok "a usurper takes the receiver's descriptors" "$W/usurper.out"; exit 1; }
check "a set is sealed while they are held for writing" backup
same "of each that was held a copy was sealed that nobody ever held" "$(held)" "$(grep -c 'keeper: custody\.copied' "$W/server.log")"
check "what a set is made of is the keeper's" owns_all_that_is_sealed
check "it is read again" all_read
before=$(sealed_things)
check "the usurper tries everything" usurper_attacks
same "and nothing is let through" 0 "$(usurper_did)"
grep -m 10 '^done' "$W/usurper.out" | sed 's/^/# /'
holds "it tried a thousand things and more" "$(usurper_tried)" -gt 1000
note "tried $(usurper_tried)"
check "C17: sealed sets, their blobs and the catalogue are what they were" unchanged "$before"
expect 0 "" "C17: verify says so, too" tms verify po1
check "the set is restored to a place of the keeper's" restored
expect 1 "install -d -o" "a place that is not says what to do" restore po1 latest "$W/elsewhere"

echo "another content" >"$PO/offiles/fd0/changed-after-all"
mkdir -p "$PO/offiles/new-folder" && echo "soon gone" >"$PO/offiles/new-folder/short-lived"
check "blobs in a new folder arrive" sync_wait
find "$PO/offiles" -type f -name '*.*' | head -n 3 | while read -r blob; do echo "changed" >"$blob.new" && mv "$blob.new" "$blob"; done
rm -r "$PO/offiles/new-folder"
check "a blob that changes after all becomes another version" sync_wait
check "and is sealed" backup
check "what came and went before a set was made is removed from the receiver's folder" test ! -e "$STORE/po1/blobs/offiles/new-folder/short-lived"
same "where nobody held anything, nothing was copied" "$(held)" "$(grep -c 'keeper: custody\.copied' "$W/server.log")"
check "the next set is restored" restored
refuse "the blobs before are still there" test -z "$(find "$STORE/po1/blobs/versions" -type f)"

sealed_rounds=0
for round in 1 2 3 4 5 6; do	# three, and more until one of them is sealed, which the usurper may well keep from happening
	[ $round -le 3 ] || [ $sealed_rounds = 0 ] || break
	"$GWSIM" churn "$PO" --fraction 20% --seed $((SEED + round)) >/dev/null 2>&1
	for i in $(seq 40); do head -c 3000 /dev/urandom >"$PO/offiles/fd1/race-$round-$i"; done
	sync_wait
	check "round $round: a usurper writes to blobs and exchanges their folders" usurper_begins -r $((SEED + round))
	backup >"$W/raced.out" 2>&1 && raced=sealed || raced=refused	# either is right
	note "round $round: $raced"
	check "round $round: what is sealed is good" all_read
	# A blob that a refused seal took over is in no set, and a descriptor from before may still write to it: verify judges those.
	before=$(sealed_things)
	check "round $round: it tries everything" usurper_attacks
	note "round $round: tried $(usurper_tried)"
	[ $raced = refused ] || { sealed_rounds=$((sealed_rounds + 1)) && check "round $round: what was sealed is what it was" unchanged "$before"; }
	check "round $round: verify says so, too" all_read
done
note "$sealed_rounds of $round rounds were sealed"
# What a race left in the receiver's own folder: links where folders were, whose blobs are sent again.
server_stop
find "$STORE/po1/blobs" -type l -delete
check "after all this the server starts" server_start
check "and seals a set" backup_in_the_end
check "and is the tree" restored

check "a keeper that is killed" keeper_kill
check "is started again as the same user" grep -q $AS_KEEPER <(user_of "$(keeper_pid)")
warden=$(warden_pid)
server_kill
check "a receiver that is killed takes keeper and warden with it" proc gone "$warden" 25
check "a server is started again" server_start
same "and its owners are as they were" "$AS_RECEIVER root $AS_KEEPER" "$(users)"
check "it goes on" sync_wait
collector_stop && server_stop

# ---- a server that somebody else starts ----

world_new
chmod 755 "$W" && mkdir "$W/mine" && chown games "$W/mine" && chmod 644 "$W/server.conf"
STORE=$W/mine/store
sed -i "s|^store .*|store = $STORE|; s|^run-dir.*|run-dir = $W/mine/run|; s|^user = .*|user = no-such-user|" "$W/server.conf"
PID[server]=$(proc launch "$W/server.log" "$W/mine/run/server.sock" setpriv --reuid games --regid games --clear-groups "$BIN/tidemark-server" --config "$W/server.conf")
STARTED+=("${PID[server]}")
same "all of it is one user" "games games" "$(user_of "${PID[server]}") $(user_of "$(keeper_pid)")"
check "and doctor says so" grep -q '^WARN .*separation .*both run as games.*start the server as root' <(tms doctor)
check "it ends" server_stop

# ---- a store that was one user's ----

TWO="$AS_RECEIVER $AS_KEEPER" AS_RECEIVER=root AS_KEEPER=root
separated_world
read -r AS_RECEIVER AS_KEEPER <<<"$TWO"
world_start
check "one user seals a set" backup
check "doctor warns of one user" grep -q '^WARN .*separation .*both run as root' <(tms doctor)
check "it is read again" all_read
server_stop
sed -i "s/^user = .*/user = $AS_RECEIVER/; s/^keeper-user = .*/keeper-user = $AS_KEEPER/" "$W/server.conf"
chown $AS_KEEPER "$W/place"
RUNS_AS=root
refuse "a start that dies before all has its owner" env TIDEMARK_FAILPOINT=ownership.mark:3 "$BIN/tidemark-server" --config "$W/server.conf"
check "is begun again" server_start
same "and two users go on with the store" "$AS_RECEIVER root $AS_KEEPER" "$(users)"
check "all that is sealed is the keeper's" owns_all_that_is_sealed
expect 0 "" "and is what it was" tms verify po1
check "the collector goes on" sync_wait
check "a further set is sealed" backup
check "and restored" restored
server_stop

# ---- the same attack where there is no separation ----

sed -i "s/^user = .*/user = root/" "$W/server.conf"
check "one user again" server_start
check "seals" sync_wait
echo "a new blob" >"$PO/offiles/fd1/new-again" && sync_wait
check "a usurper of the one user's takes its descriptors" usurper_begins
check "a set is sealed" backup
all_read >"$W/verify.out" 2>&1
SEALS=root
chown -R root "$STORE/po1/blobs"
before=$(sealed_things)
nobody_died_of_himself
MAY_DIE=yes	# the keeper, of an index that was forged
usurper_attacks >"$W/attacked" 2>&1	# it may kill what it tries
holds "without separation the same program does damage" "$(grep -c '^done' "$W/usurper.out")" -gt 100
refuse "and the same manifest shows it" unchanged "$before"
collector_stop
daemon_end server KILL

sed -i "s/^user = .*/user = no-such-user/" "$W/server.conf"
expect 2 "no user no-such-user" "a user that the machine does not have is a mistake" "$BIN/tidemark-server" --config "$W/server.conf"
sed -i "s/^user = .*/user = $AS_KEEPER/" "$W/server.conf"
expect 2 "the same user" "one user twice is a mistake" "$BIN/tidemark-server" --config "$W/server.conf"
done_testing
