# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A small world on loopback: one server, collectors, post offices, and the words in which the tests speak of them.
#
# A test sources this, builds a world with world_new, and ends with done_testing.  Whatever happens, what it started is
# ended by pid and its folders are removed; when something failed, the ends of the logs are printed first.
#
# Seconds that a test gives are those of a quiet machine, for something that must come: PATIENCE times as many are waited.
set -u

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BIN=$(realpath "${BIN:-build/bin}")
SEED=${SEED:-$(date +%s)}
ROOT=$([ "$(id -u)" = 0 ] && echo yes || echo no)
PATIENCE=${PATIENCE:-4}
# In the environment of all that we start, however often it forks: process numbers are few, and come again while a test runs.
TIDEMARK_TEST=$$.$(date +%s%N) && export TIDEMARK_TEST

declare -A PID=()       # daemons of the present world: server, collector, ...
STARTED=()              # every pid that must not survive us
WORLDS=() MOUNTS=() LOOPS=()
W=                      # the present world's folder
failures=0 tests=0

GWSIM=$BIN/gwsim
PYTHON=$(PATH=/usr/bin:$PATH python3 -c 'import sys; print(sys.executable)')	# not a wrapper that looks for it each time
# Without what a machine adds to its Python, which may cost more than what is asked.
proc() { "$PYTHON" -ES "$TESTS/tools/proc.py" "$@"; }
q() { "$PYTHON" -ES "$TESTS/tools/jsonq.py" "$@"; }
trees() { "$PYTHON" -ES "$TESTS/tools/trees.py" "$@"; }

# ---- TAP ----

note() { printf '# %s\n' "$*"; }

ok() { tests=$((tests + 1)); printf 'ok - %s\n' "$1"; }

not_ok() {	# not_ok SENTENCE [FILE]: with the end of a file that tells more
	tests=$((tests + 1)) failures=$((failures + 1))
	printf 'not ok - %s\n' "$1"
	[ -z "${2:-}" ] || fold -w 280 "$2" | tail -n 12 | sed 's/^/#   /'
	[ -z "${BAIL:-}" ] || exit 1
}

# A bound on the product's memory or patience: a sanitizer has its own, and much more.
bounded() {	# bounded SENTENCE VALUE MOST
	if [ "${FLAVOUR:-release}" = release ]; then holds "$1" "$2" -le "$3"; else skip "$1" "a bound of the flavour release"; fi
}

skip() { tests=$((tests + 1)); printf 'ok - %s # SKIP %s\n' "$1" "$2"; }

check() {	# check SENTENCE COMMAND...: it must succeed; its output is shown when it does not
	local sentence=$1
	shift
	if "$@" >"$W/.check" 2>&1; then ok "$sentence"; else not_ok "$sentence" "$W/.check"; fi
}

refuse() {	# refuse SENTENCE COMMAND...: it must fail
	local sentence=$1
	shift
	if "$@" >"$W/.check" 2>&1; then not_ok "$sentence" "$W/.check"; else ok "$sentence"; fi
}

same() {	# same SENTENCE WANT GOT
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1"; note "  wanted \"$2\", got \"$3\""; fi
}

holds() {	# holds SENTENCE CONDITION...: a condition of test(1)
	local sentence=$1
	shift
	if [ "$@" ]; then ok "$sentence"; else not_ok "$sentence"; note "  not so: $*"; fi
}

expect() {	# expect CODE WORDS SENTENCE COMMAND...: the exit code, and words (a pattern) in what it says
	local code=$1 words=$2 sentence=$3 got
	shift 3
	"$@" >"$W/.out" 2>"$W/.err"
	got=$?
	if [ $got = "$code" ] && { [ -z "$words" ] || grep -Eq -- "$words" "$W/.out" "$W/.err"; }; then
		ok "$sentence"
	else
		not_ok "$sentence"
		note "  exit status $got, expected $code; expected words: $words"
		head -n 8 "$W/.out" "$W/.err" | sed 's/^/#   /'
	fi
}

# What its own fault ended is started again, and a sanitizer's words stand in a log: neither is seen by what is compared afterwards.
# MAY_DIE: what a test does from here on may well end a program.
nobody_died_of_himself() {
	local world found
	[ -z "${MAY_DIE:-}" ] || return 0
	for world in "${WORLDS[@]}"; do
		found=$(grep -hE 'ERROR: [A-Za-z]+Sanitizer|WARNING: ThreadSanitizer|: runtime error: |ended by signal (4|6|7|8|11|31) ' "$world"/*.log 2>/dev/null) || continue
		not_ok "a program died of itself, or was about to"
		head -n 5 <<<"$found" | sed 's/^/#   /'
	done
}

done_testing() {
	nobody_died_of_himself
	printf '1..%d\n' "$tests"
	[ "$failures" = 0 ]
	exit
}

# ---- the end ----

log_tails() {
	local log
	for log in "$1"/*.log; do
		[ -s "$log" ] || continue
		note "--- end of ${log##*/} of ${1##*/}"
		tail -n "${LINES_OF_LOG:-25}" "$log" | cut -c -300 | sed 's/^/#   /'
	done
}

# The number of one that ended may be a stranger's by now, another test's daemon among them.
ours() { grep -qsz "^TIDEMARK_TEST=$TIDEMARK_TEST$" "/proc/$1/environ"; }

cleanup() {
	local world pid socket owner mount loop
	trap '' TERM INT
	[ "$failures" = 0 ] || for world in "${WORLDS[@]}"; do log_tails "$world"; done
	# Collectors and servers first: they would start watchers and keepers again.
	for pid in "${STARTED[@]}"; do ! ours "$pid" || kill -KILL "$pid" 2>/dev/null; done
	for world in "${WORLDS[@]}"; do
		for socket in "$world"/run-*/watcher-*.sock; do
			[ -S "$socket" ] && owner=$(proc owner "$socket") && kill -KILL "$owner" 2>/dev/null
		done
	done
	for mount in "${MOUNTS[@]}"; do umount -l "$mount" 2>/dev/null; done
	for loop in "${LOOPS[@]}"; do losetup -d "$loop" 2>/dev/null; done
	[ -n "${KEEP:-}" ] && { note "kept: ${WORLDS[*]}"; return; }
	for world in "${WORLDS[@]}"; do chmod -R u+rwx "$world" 2>/dev/null; rm -rf "$world"; done
}
trap cleanup EXIT
trap 'exit 143' TERM INT

# ---- a world ----

# world_new: folders, a free port, server.conf, and collector.conf with the profiles po1 (post office $W/po) and, with
# world_new domain, dom1 ($W/dom).  More keys of a section: SERVER_KEYS, PROFILE_KEYS (newline between them).
world_new() {
	W=$(mktemp -d "${TMPDIR:-/tmp}/tm.XXXXXX") || exit 1
	WORLDS+=("$W")
	PORT=$(proc port)
	PO=$W/po STORE=$W/store STATE=$W/state
	write_server_conf
	write_collector_conf collector "$@"
}

write_server_conf() {
	cat >"$W/server.conf" <<-CONF
	[server]
	listen  = 127.0.0.1:$PORT
	address = 127.0.0.1:$PORT
	store   = $STORE
	run-dir = $W/run-server
	user = ${AS_RECEIVER:-root}
	keeper-user = ${AS_KEEPER:-root}
	log-level = debug

	[profile "po1"]
	${SERVER_KEYS:-}
	CONF
}

write_collector_conf() {	# write_collector_conf NAME [domain]
	local name=$1
	cat >"$W/$name.conf" <<-CONF
	[collector]
	server  = 127.0.0.1:$PORT
	state   = $STATE
	run-dir = $W/run-$name
	log-level = debug

	[profile "po1"]
	type     = post-office
	path     = $PO
	schedule = ${SCHEDULE:-off}
	index-poll = 1s
	${PROFILE_KEYS:-}
	CONF
	[ "${2:-}" != domain ] || cat >>"$W/$name.conf" <<-CONF

	[profile "dom1"]
	type     = domain
	path     = $W/dom
	schedule = off
	CONF
}

# A tiny post office (5 MB) or what is asked for.
po_make() { "$GWSIM" make "$PO" --seed 7 "${@:---profile=custom}" >"$W/gwsim.log" 2>&1; }
po_tiny() { "$GWSIM" make "$PO" --profile custom --blobs 300 --blob-bytes 6k --seed "${1:-7}" >"$W/gwsim.log" 2>&1; }

tm() { "$BIN/tidemark" --config "$W/collector.conf" "$@"; }
tms() { "$BIN/tidemark" --config "$W/server.conf" "$@"; }

daemon_start() {	# daemon_start NAME PROGRAM
	local socket=$W/run-$1/collector.sock
	[ "$1" = server ] && socket=$W/run-server/server.sock
	# shellcheck disable=SC2086 # WITH is a list of words
	PID[$1]=$(proc launch "$W/$1.log" "$socket" ${WITH:-} "$BIN/$2" --config "$W/$1.conf") || return
	STARTED+=("${PID[$1]}")
}
server_start() { daemon_start server tidemark-server && keeper_pid >/dev/null; }
collector_start() { daemon_start "${1:-collector}" tidemark-collector; }

daemon_end() {	# daemon_end NAME SIGNAL
	local pid=${PID[$1]:-}
	[ -n "$pid" ] || return 0
	kill "-$2" "$pid" 2>/dev/null
	proc gone "$pid" $((20 * PATIENCE)) || { not_ok "$1 ends"; kill -KILL "$pid"; return 1; }
	unset "PID[$1]"
	forget_started "$pid"
}
# The number of one that has ended may soon be that of a stranger, whom our end must not kill.
forget_started() {
	local pid kept=()
	for pid in "${STARTED[@]}"; do [ "$pid" = "$1" ] || kept+=("$pid"); done
	STARTED=("${kept[@]}")
}
server_stop() { daemon_end server TERM; }
collector_stop() { daemon_end "${1:-collector}" TERM; }
collector_kill() { daemon_end "${1:-collector}" KILL; }
server_kill() {	# the receiver alone; the keeper has to notice by itself
	local keeper
	keeper=$(keeper_pid)
	daemon_end server KILL
	[ -z "$keeper" ] || proc gone "$keeper" $((20 * PATIENCE))
}
# The keeper is the server's child, or its warden's where they are two users; between two of its lives there is none.
keeper_pid() {
	local child children parent until=$((SECONDS + 15 * PATIENCE))	# one that was killed again and again is started after a pause
	while :; do
		children=$(proc children "${PID[server]}" 2>/dev/null)
		for child in $children $(for parent in $children; do proc children "$parent" 2>/dev/null; done); do
			if [ "$(cat "/proc/$child/comm" 2>/dev/null)" = tidemark-keeper ]; then
				STARTED+=("$child")
				echo "$child"
				return 0
			fi
		done
		[ $SECONDS -lt $until ] || return 1
		sleep 0.05	# nothing tells of a fork from outside
	done
}
keeper_kill() { local pid; pid=$(keeper_pid) && kill -KILL "$pid" && proc gone "$pid" 10; }
watcher_pid() { proc owner "$W/run-${2:-collector}/watcher-${1:-po1}.sock"; }
# It falls asleep with nothing to write down: in the middle of a commit it would hold the journal's lock, and all that writes there.
watcher_sleeps() { sync_wait && kill -STOP "$(watcher_pid)"; }
watcher_wakes() { kill -CONT "$(watcher_pid)"; }
watcher_kill() { local pid; pid=$(watcher_pid "$@") && kill -KILL "$pid" && proc gone "$pid" 10; }

enrol() {	# enrol PROFILE [COLLECTOR]
	local token
	token=$(tms token create "$1") && "$BIN/tidemark" --config "$W/${2:-collector}.conf" enrol "$1" "$token"
}

world_start() {	# everything up, the first comparison over
	server_start || { not_ok "the server starts" "$W/server.log"; exit 1; }
	collector_start || { not_ok "the collector starts" "$W/collector.log"; exit 1; }
	enrol po1 >"$W/enrol.log" 2>&1 || { not_ok "the collector is enrolled" "$W/enrol.log"; exit 1; }
	wait_status 30 'p["connected"] and p["watcher"]' || { not_ok "the collector connects"; exit 1; }
	tm sync po1 --wait >"$W/sync.log" 2>&1 || { not_ok "the first comparison ends" "$W/sync.log"; exit 1; }
}

# wait_status SECONDS EXPRESSION: of the collector, as it happens; prints what was seen last when it does not.  wait_server: of the server.
wait_line() {	# wait_line CONFIG PROFILE SECONDS EXPRESSION
	local tail
	coproc WATCH { exec "$BIN/tidemark" --config "$1" --json status ${2:+"$2"} --watch 2>"$W/.watch"; }
	tail=$WATCH_PID
	q --until "$(($3 * PATIENCE))" "$4" <&"${WATCH[0]}" >"$W/.status" 2>"$W/.until"
	local found=$?
	kill "$tail" 2>/dev/null
	wait "$tail" 2>/dev/null
	[ $found = 0 ] || { echo "never so: $4"; cat "$W/.watch" "$W/.until"; }
	return $found
}
wait_status() { wait_line "$W/collector.conf" po1 "$@"; }
wait_server() { wait_line "$W/server.conf" po1 "$@"; }
wait_file() { grep -qm1 -e "$2" < <(exec timeout $((20 * PATIENCE)) tail -n +1 -F "$1" 2>/dev/null) || { tail -n 5 "$1"; return 1; }; }	# wait_file FILE PATTERN
wait_log() { wait_file "$W/$1.log" "$2"; }	# wait_log NAME PATTERN

field() { tm --json status po1 2>/dev/null | q "$1"; }	# field NAME: of the collector's status now
server_field() { tms --json status po1 2>/dev/null | q "$1"; }

sync_wait() { timeout $((${1:-60} * PATIENCE)) "$BIN/tidemark" --config "$W/collector.conf" sync po1 --wait; }

# A backup that must be good; leaves its name in SET.
backup() {
	SET=$(tm backup "${1:-po1}" --wait 2>"$W/backup.err") || { cat "$W/backup.err"; return 1; }
	[ -n "$SET" ]
}

# Beside agents: a set, with a warning when blobs of every copy were deleted before they could be sent; agents on a slow machine may be
# faster than the flow.  Leaves in STATE how the set must then be listed.
backup_in_use() {
	STATE=good
	backup "$@" && return
	STATE=warnings
	[ -n "$SET" ]
}

sets() { tms --json set list "${1:-po1}" 2>/dev/null | q sets.#; }
sealed() { find "$STORE/${1:-po1}/backups/weeknow" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort; }
# Until the keeper has re-read every set from disk, and writes no more by itself; "verified" is true from the sealing on.
sets_scrubbed() {	# sets_scrubbed [PROFILE]
	local set
	for set in $(sealed "$@"); do
		until tms --json set show "${1:-po1}" "$set" 2>/dev/null | grep -q '"scrubbed_at": *"'; do sleep 0.05; done	# nothing tells of its end
	done
}
half_state() { find "$STORE/${1:-po1}/backups/creating" -mindepth 1 -maxdepth 1 2>/dev/null; }

restore() {	# restore PROFILE SET DIR [PATH...]
	local profile=$1 set=$2 dir=$3
	shift 3
	tms restore "$profile" "$set" --to "$dir" "$@"
}

# compare_tree LIVE COPY: twice, with two tools that share no code with the product: rsync's checksums and SHA-256.
compare_tree() {
	local differences
	differences=$(rsync -rcn --delete --itemize-changes --no-links --no-devices --no-specials \
		--exclude='/of[tw]*' --exclude='/wpcs*' "$1/" "$2/" 2>&1 | grep -v '^skipping non-regular')
	[ -z "$differences" ] || { echo "rsync finds differences:"; echo "$differences" | head -n 15; return 1; }
	trees compare "$1" "$2"
}

# The replica of the continuous flow itself, without a set: every live blob lies in the server's store, whole.  Blobs that
# were deleted may still lie there: the keeper removes them when no set names them.
compare_replica() {
	local line version differences=
	while IFS= read -r line; do
		for version in "$STORE"/po1/blobs/versions/*; do
			[ ! -e "$version/offiles/${line#* }" ] || continue 2	# sent again: the newest version lies there
		done
		differences+=$line$'\n'
	done < <(rsync -rcn --itemize-changes --no-links "$PO/offiles/" "$STORE/po1/blobs/offiles/" 2>&1 | grep '^[<>]')
	[ -z "$differences" ] || { echo "rsync finds differences:"; head -n 15 <<<"$differences"; return 1; }
	trees replica "$PO" "$STORE/po1/blobs" offiles
}

# Where the server's copy of the index area is not the live one, by content: "<" and ">" are files it lacks or has otherwise, "*deleting" is what it
# has besides. Links lie in its index only.
index_differences() {
	rsync -rcn --delete --itemize-changes --no-links "$PO/ofuser/index/" "$STORE/po1/gre_data/ofuser/index/" 2>&1 | grep -v '^skipping non-regular'
}

# Loop-mounted or in memory, for root only: mount_tmpfs DIR SIZE; mount_image DIR TYPE SIZE.
mount_tmpfs() { mkdir -p "$1" && mount -t tmpfs -o "size=$2" tmpfs "$1" 2>/dev/null && MOUNTS+=("$1"); }
mount_image() {
	local loop
	truncate -s "$3" "$1.img" && "mkfs.$2" -q "$1.img" >/dev/null 2>&1 && mkdir -p "$1" || return
	# Past the page cache of the file system that holds the image: else everything is kept in memory, and written, twice.
	loop=$(losetup -f --show --direct-io=on "$1.img" 2>/dev/null || losetup -f --show "$1.img" 2>/dev/null) || return
	mount "$loop" "$1" 2>/dev/null && MOUNTS+=("$1")
	losetup -d "$loop"	# as soon as nothing is mounted from it
}
