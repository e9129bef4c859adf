#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The command line as scripts use it: verbs, JSON, exit codes, configuration, schedule.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 61
T=$BIN/tidemark

# --- without any daemon ----------------------------------------------------------------------------------------------
expect 0 '^tidemark [0-9]+\.[0-9]+' "version" "$T" version
expect 0 'tidemark backup po1 --wait' "help begins with examples" "$T" help
expect 0 'restore +PROFILE SET --to DIR' "help lists the verbs" "$T" --help
for verb in token enrol status sync backup stop pause resume "job list" "job show" "set list" "set show" verify restore \
	"config validate" "config show" "config generate" doctor version help; do
	"$T" help | grep -q "^  $verb" || { not_ok "help lists $verb"; continue; }
	listed=$((${listed:-0} + 1))
done
same "help lists every verb of the contract" 20 "$listed"
expect 2 'there is no verb' "an unknown verb is a usage error" "$T" bakcup po1
expect 2 'unknown option' "an unknown option is one" "$T" status --verbose
expect 2 'unknown option' "options are not abbreviated" "$T" --js status
expect 2 'usage: tidemark backup' "a missing word is one" "$T" --socket /none backup
expect 2 'usage: tidemark sync' "a word too many is one" "$T" --socket /none sync po1 po2
expect 2 'needs a value' "a missing value is one" "$T" --config
expect 2 'stop takes no --wait; usage: tidemark stop PROFILE' "an option of another verb is one" "$T" --socket /none stop po1 --wait
expect 2 'status takes no --to' "whatever the option" "$T" --socket /none status po1 --to /r --watch
expect 2 'takes no --ttl' "and whatever the verb" "$T" version --ttl 3h
expect 0 '^usage: tidemark backup PROFILE \[--wait\]$' "help of a verb" "$T" help backup
expect 0 '^  --wait .*progress' "tells its options" "$T" backup --help
same "and no other verb's" 1 "$("$T" help backup | grep -c '^usage')"
same "of two words, too" "usage: tidemark job show [ID [PROFILE]]" "$("$T" help job show | head -n 1)"
same "of a first word, all that begin with it" 2 "$("$T" job --help | grep -c '^usage')"
expect 2 'no verb "bakcup"' "but not of one that is none" "$T" help bakcup
for words in "config generate server" "--json config generate server" help version; do
	expect 1 'not whole' "$words, where there is no room for it: 1" sh -c "'$T' $words >/dev/full"
done
expect 1 'not whole' "nor is the line of a new key lost" sh -c "'$BIN/tidemark-release' key '$W/lost.key' >/dev/full"
expect 13 '' "no daemon: 13" tm status
expect 13 '"exit":13' "and the same in JSON on standard output" tm --json status
expect 2 'for the collector' "a verb of the collector with the server's configuration" tms sync po1

# --- configuration -------------------------------------------------------------------------------------------------------
expect 0 good "config validate" tm config validate
expect 0 "path *= *$PO" "config show tells values" tm config show
expect 0 'default' "and where they come from" tm config show
for side in server collector; do
	expect 0 '^#? ?\[' "config generate $side" "$T" config generate $side
	cp "$W/.out" "$W/generated.$side"
	sed "s|/var/lib/tidemark|$W/gen|; s|/run/tidemark|$W/genrun|" "$W/generated.$side" >"$W/gen.conf"
	if [ -f "$TESTS/../conf/$side.conf" ]; then
		check "conf/$side.conf is what config generate prints" cmp "$TESTS/../conf/$side.conf" "$W/generated.$side"
	else
		skip "conf/$side.conf is what config generate prints" "no conf folder yet"
	fi
done
expect 0 '"good":true' "config validate --json" tm --json config validate
expect 0 '"key":"path","value":"/[^}]*"origin":"[^"]*collector.conf:' "config show --json tells where values come from" tm --json config show
expect 0 '"type":"config"' "config generate --json" "$T" --json config generate server
expect 0 '"verb":"backup"' "help --json" "$T" --json help
sed "s|^path .*|path = $W/nowhere|; s|^type .*|&\ndbcopy = /nowhere/dbcopy|" "$W/collector.conf" >"$W/look.conf"
expect 3 'look.conf:[0-9]+: path: .*nowhere' "config validate tells of a path that is not there" "$T" --config "$W/look.conf" config validate
expect 3 'look.conf:[0-9]+: dbcopy: .*cannot be run' "and of a DBCOPY that is not" "$T" --config "$W/look.conf" config validate
expect 3 '"warnings":\[\{[^}]*"key":"path"' "also in JSON" "$T" --config "$W/look.conf" --json config validate
sed "s|^address .*|&\nweb = 127.0.0.1:1|" "$W/server.conf" >"$W/web.conf"
expect 3 'web.conf:[0-9]+: web: .*nothing listens' "and of an address at which nothing listens" "$T" --config "$W/web.conf" config validate
sed "s|^.*\[server\]|$(printf '\\xef\\xbb\\xbf')[ server ]|" "$W/server.conf" >"$W/spaced.conf"
expect 0 good "the server's file is known by whatever spelling of [server] the server takes" "$T" --config "$W/spaced.conf" config validate
expect 2 '' "config validate fails on a wrong file" "$T" --config "$W/none.conf" config validate

# --- a world ---------------------------------------------------------------------------------------------------------------
server_start
expect 4 'no collector is enrolled.*token create po1' "a profile that is configured and has no collector is not green" tms status po1
expect 0 '^tm1|^[A-Za-z0-9_.:-]{40,}' "token create prints one string" tms token create po1 --ttl 2h
same "and nothing else" 1 "$(wc -l <"$W/.out")"
expect 2 'not a duration' "a wrong --ttl" tms token create po1 --ttl soon
server_stop
world_start
expect 0 '"type":"token"' "token create --json" tms --json token create po1

json() {	# json SENTENCE FIELDS COMMAND...: one object a line, "v":1, with these fields
	local sentence=$1 fields=$2
	shift 2
	"$@" >"$W/.json" 2>"$W/.err"
	if "$PYTHON" - "$W/.json" "$fields" >"$W/.check" 2>&1 <<'PY'
import json, sys
lines = open(sys.argv[1]).read().splitlines()
assert lines, "nothing was printed"
for line in lines:
    o = json.loads(line)
    assert isinstance(o, dict) and o["v"] == 1 and o["type"], line
for field in sys.argv[2].split():
    value = o
    for key in field.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
PY
	then ok "$sentence"; else not_ok "$sentence" "$W/.check"; fi
}

expect 0 'po1 +ok' "status says ok with exit status 0" tm status
json "status --json of one profile has the contract's fields" "profile state connected pending_changes pending_bytes oldest_pending_seconds wire_bytes_sent last_set job" tm --json status po1
json "status --json of all has them in profiles" "profiles.0.profile profiles.0.type profiles.0.state profiles.0.job" tm --json status
json "the server's status too" "profiles.0.profile profiles.0.state profiles.0.connected profiles.0.last_set profiles.0.job" tms --json status
expect 0 'po1 +ok' "the server's status of one profile" tms status po1
same "and nothing is said beside it" "" "$(cat "$W/.err")"
expect 10 'no profile' "status of an unknown profile: 10" tm status nobody
expect 10 '' "on the server too" tms status nobody
expect 10 '' "backup of an unknown profile: 10" tm backup nobody
expect 10 '' "sets of an unknown profile: 10" tms set list nobody
expect 0 '' "sync without --wait" tm sync po1
json "sync --wait --json" "type" tm --json sync po1 --wait
expect 0 '^[0-9]+$' "backup without --wait prints the job" tm backup po1
check "the job ends" wait_status 30 'p["job"] is None and p["last_set"]'
expect 0 '^[a-z]{6}[0-9]{2}-2$' "backup --wait prints the set's name" tm backup po1 --wait
json "backup --wait --json streams the job" "id phase origin result set t0 phase_ms.seal" tm --json backup po1 --wait
same "the job's origin is the user" "user $(id -un)" "$(q origin <"$W/.json")"
holds "each phase was told" "$(q --all phase <"$W/.json" | sort -u | wc -l)" -ge 5
grep '"phase":"copy"' "$W/.json" >"$W/copy.json"
same "a copy is told in bytes of all that has to be copied" "$(q --max total <"$W/copy.json")" "$(q --max "done" <"$W/copy.json")"
holds "and there is something" "$(q --max total <"$W/copy.json")" -gt 0
check "the steps of the seal are told" grep -q '"phase":"seal".*"step":"blobs"' "$W/.json"
json "set list --json" "sets.0.name sets.0.started_at sets.0.sealed_at sets.0.files sets.0.bytes sets.0.verified sets.0.state" tms --json set list po1
same "newest last" "$(q sets.-1.name <"$W/.json")" "$(field last_set.name)"
same "times are RFC 3339 in UTC" 1 "$(q sets.0.sealed_at <"$W/.json" | grep -cE '^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]+Z$')"
expect 10 '' "set show of an unknown set: 10" tms set show po1 never
json "set show --json" "type" tms --json set show po1 latest
tms --json set show po1 latest >"$W/show.json"
entry() { grep '"path":"wphost.db"' "$W/show.json" | q "$1"; }
same "set show --json: each name with its kind, size and mode" "entry file $(stat -c '%s 0%a' "$PO/wphost.db")" "$(entry type) $(entry kind) $(entry size) $(entry mode)"
same "and its time" "$(date -ud "@$(stat -c %Y "$PO/wphost.db")" +%FT%T)" "$(entry mtime | cut -c 1-19)"
tm --json set show po1 latest >"$W/show.collector"
same "set show --json on the collector: the same names" "$(grep '"type":"entry"' "$W/show.json")" "$(grep '"type":"entry"' "$W/show.collector")"
same "and the same set" "$(tail -n 1 "$W/show.json" | q set.name)" "$(tail -n 1 "$W/show.collector" | q set.name)"
expect 10 'never' "set show of an unknown set on the collector: 10, too" tm set show po1 never
expect 10 '' "and of an unknown profile" tm set show po9 latest
same "a sealed job's record on the collector has its set's size" "$(tms --json set list po1 | q sets.-1.bytes)" "$(tm --json job show | q set_bytes)"
json "job list --json" "jobs.0.id jobs.0.phase jobs.0.origin jobs.0.result" tm --json job list
json "job list --json of the server" "jobs.0.id" tms --json job list
same "a job has one id on both sides" "$(tm --json job list | q jobs.0.id)" "$(tms --json job list | q jobs.0.id)"
json "job show --json" "id log phase_ms.copy files_copied wire_bytes" tm --json job show
expect 10 '' "job show of an unknown job: 10" tm job show 12345
expect 0 'databases? *copied|files copied' "job show has DBCOPY's output" tm job show
json "verify --json" "type" tms --json verify po1
expect 2 'needs --to' "restore without --to" tms restore po1 latest
mkdir "$W/here"
expect 2 'needs --to' "an empty word after --to is not the folder one stands in" env -C "$W/here" "$T" --config "$W/server.conf" restore po1 latest --to ''
expect 2 "^tidemark: $W/nowhere is not there: make it first" "restore below a folder that is not there says what to do" tms restore po1 latest --to "$W/nowhere/po1"
expect 10 'ofuser/nobody.db is not in set' "restore of a name that no set has: 10" tms restore po1 latest --to "$W/r0" ofuser/nobody.db
refuse "and leaves nothing behind" test -e "$W/r0"
expect 0 '' "restore into a relative folder" env -C "$W" "$T" --config "$W/server.conf" restore po1 latest --to relative
check "it lies where the caller stood" test -f "$W/relative/wphost.db"
json "restore --json" "type" tms --json restore po1 latest --to "$W/r2"
expect 0 'files, .* in the set' "verify tells what it read" tms verify po1
expect 2 'not UTF-8' "verify of a set whose name cannot be said is no verify of the newest" tms verify po1 $'mon\xff'
expect 10 '' "restore of a path that is not UTF-8 and not in the set is not a restore of everything" tms restore po1 latest --to "$W/r3" $'ofuser/\xff\xfe'
echo strange >"$PO/offiles/fd0/"$'s\xff\n'
sync_wait && backup
expect 0 '' "restore of a path that is not UTF-8" tms restore po1 latest --to "$W/r4" $'offiles/fd0/s\xff\n'
check "gives that file" cmp "$PO/offiles/fd0/"$'s\xff\n' "$W/r4/offiles/fd0/"$'s\xff\n'
same "and no other" 1 "$(find "$W/r4" -type f -print0 | tr -dc '\0' | wc -c)"
json "doctor --json" "verdict checks.0.verdict checks.0.what checks.0.text" tm --json doctor
tm doctor >"$W/.out"; code=$?
note "doctor: exit status $code"
same "doctor: each line OK, WARN or FAIL" 0 "$(grep -cvE '^(OK|WARN|FAIL) ' "$W/.out")"
same "doctor finds no FAIL in a healthy collector" 0 "$(grep -c '^FAIL' "$W/.out")"
tms doctor >"$W/.out"
same "nor on a healthy server" 0 "$(grep -c '^FAIL' "$W/.out")"

expect 1 'not whole' "a list that finds no room: 1" sh -c "'$T' --config '$W/server.conf' set show po1 latest >/dev/full"
expect 1 'not whole' "nor is a token lost without a word" sh -c "'$T' --config '$W/server.conf' token create po1 >/dev/full"

# --- watch, pause, bandwidth -------------------------------------------------------------------------------------------------
watched() { timeout 20 "$T" --config "$W/$1.conf" --json status "${@:2}" --watch | head -n 3 | wc -l; }	# ends with the third line
same "status PROFILE --watch goes on" 3 "$(watched collector po1)"
same "status --watch of all profiles goes on" 3 "$(watched collector)"
same "on the server too" 3 "$(watched server)"
same "and of one profile there" 3 "$(watched server po1)"
expect 0 '' "pause" tm pause po1
check "pause: status says so" wait_status 10 'p["state"] == "paused"'
expect 4 'paused' "pause: exit status 4" tm status po1
echo paused >"$PO/offiles/fd0/paused"
check "pause: changes are remembered" wait_status 10 'p["pending_changes"] >= 1'
head -c 3000000 /dev/urandom >"$PO/offiles/fd0/paused.large"
check "pause: status tells how much waits" wait_status 10 'p["pending_changes"] >= 2 and (p["pending_bytes"] or 0) >= 3000000'
expect 4 'pending [0-9]+ \(2\.9 MiB\)' "pause: in words, too" tm status po1
refuse "pause: but not sent" test -e "$STORE/po1/blobs/offiles/fd0/paused"
expect 11 'paused' "pause: no backup" tm backup po1 --wait
collector_stop; collector_start
check "pause: outlives a restart" wait_status 20 'p["state"] == "paused"'
server_stop
check "pause: and without a server what waits has its size" wait_status 20 'not p["connected"] and (p["pending_bytes"] or 0) >= 3000000'
server_start
expect 0 '' "resume" tm resume po1
check "resume: what waited is sent" sync_wait
server_stop
timeout $((60 * PATIENCE)) "$T" --config "$W/collector.conf" sync po1 --wait >/dev/null 2>"$W/waits.log" & waits=$!
check "a sync without a server says why it waits" wait_log waits 'the server is not connected .*the sync waits until it is'
check "and waits on" kill -0 $waits
server_start
check "until it is" wait $waits
check "resume: nothing of it waits any more" wait_status 10 'p["pending_bytes"] == 0'
check "resume: it is there" cmp "$PO/offiles/fd0/paused" "$STORE/po1/blobs/offiles/fd0/paused"
expect 0 '' "bandwidth" tm bandwidth po1 400K
head -c 2000000 /dev/urandom >"$PO/offiles/fd0/slow"
start=$(date +%s%N)
check "bandwidth: a limited sync ends" timeout 60 "$T" --config "$W/collector.conf" --json sync po1 --wait
cp "$W/.check" "$W/sync.json"
took=$((($(date +%s%N) - start) / 1000000))
holds "bandwidth: 2 MB at 400 KiB/s takes its time ($took ms)" $took -ge 2500
holds "sync --wait tells what was sent meanwhile" "$(q --max wire_bytes <"$W/sync.json")" -gt 0
head -c 2000000 /dev/urandom >"$PO/offiles/fd0/slower"
script -qec "$T --config $W/collector.conf sync po1 --wait" /dev/null >"$W/tty" 2>&1
check "on a terminal it is one line that is drawn again" grep -Eq $'\rsync +[0-9]+:[0-9]+ .*[KM]iB sent' "$W/tty"	# what waits is told while no scan is open
tm bandwidth po1 40K >"$W/.out"	# most of it still waits when the databases are copied, however slowly
head -c 2000000 /dev/urandom >"$PO/offiles/fd0/slowest"
"$T" --config "$W/collector.conf" backup po1 --wait >"$W/out" 2>"$W/err" & asked=$!
check "a backup waits for the flow" wait_status 20 'j.get("phase") == "barrier"'
kill -INT $asked
wait $asked
same "an interrupt ends the asking" 130 $?
check "and says that the backup goes on, and what ends it" grep -q 'the backup goes on.*tidemark stop po1' "$W/err"
expect 0 '' "bandwidth: unlimited" tm bandwidth po1 unlimited
check "it does go on, to its end" wait_status 30 'p["job"] is None and p["last_job"]["result"] == "good"'
SET=$(field last_set.name)
expect 2 'not a rate' "bandwidth: a wrong rate" tm bandwidth po1 fast
expect 2 '20M = 20 MiB per second' "bandwidth: a number without a unit that is no rate of anybody's" tm bandwidth po1 20

# --- reload --------------------------------------------------------------------------------------------------------------------
PROFILE_KEYS="dbcopy = /nowhere/dbcopy" write_collector_conf collector
kill -HUP "${PID[collector]}"
check "SIGHUP: the configuration is read again" wait_log collector 'collector.reload'
expect 2 '/nowhere/dbcopy' "SIGHUP: the new DBCOPY is in force" tm backup po1 --wait
sed -i 's/^path .*/path = nonsense/' "$W/collector.conf"
kill -HUP "${PID[collector]}"
check "SIGHUP: a wrong configuration changes nothing" wait_log collector 'old configuration stays'
PROFILE_KEYS='' write_collector_conf collector
chmod u+w "$STORE/po1/backups/weeknow/$SET/wphost.db"
printf 'X' | dd of="$STORE/po1/backups/weeknow/$SET/wphost.db" bs=1 seek=9000 conv=notrunc status=none
expect 14 '"type":"difference","path":"wphost.db","what":"its content' "verify --json names the path, and what differs" tms --json verify po1
expect 14 '^wphost.db: its content' "verify names it to a reader" tms verify po1
expect 14 'look at the disk' "verify of a damaged set says what to do" tms verify po1
expect 1 'differs from its manifest' "and the server's status is red from then on" tms status po1
expect 0 '' "revoke" tms revoke po1
both_end() { collector_stop && server_stop; }
check "SIGTERM: both end" both_end

# --- the schedule, and silence -----------------------------------------------------------------------------------------------------
FAKE=$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null | head -n 1)
if [ -n "$FAKE" ] && ! [[ ${FLAVOUR:-release} =~ asan|tsan ]]; then
	# Wall clocks jump, timers do not: what a laptop's or a virtual machine's clock does after a sleep.
	world_new
	po_tiny 62
	export TZ=UTC
	SCHEDULE='Mon..Sun 22:30' PROFILE_KEYS='timezone = UTC' write_collector_conf collector
	clock() { echo "$1" >"$W/clock.new" && mv "$W/clock.new" "$W/clock"; }
	offset() { echo "+$(($(date -d "$1" +%s) - $(date +%s)))"; }
	DAY=$(date -d 'now + 3 days' +%F)
	clock "$(offset "$DAY 22:00:00")"
	WITH="env LD_PRELOAD=$FAKE FAKETIME_TIMESTAMP_FILE=$W/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1"
	world_start
	same "schedule: nothing runs before its time" 0 "$(sets)"
	same "schedule: status tells the next run" "${DAY}T22:30:00" "$(field next_run | cut -c 1-19)"
	clock "$(offset "$DAY 22:29:59")"
	check "schedule: the run begins by itself and seals" wait_status 100 'p["last_set"] and not p["job"]'
	same "schedule: its origin is the schedule" schedule "$(tm --json job show | q origin)"
	same "schedule: it stands for its date" "$(LC_ALL=C date -d "$DAY UTC" +%a%b%d | tr '[:upper:]' '[:lower:]')" "$(sealed)"
	clock "$(offset "$DAY 22:29:58")"
	check "schedule: the clock was set back, the flow goes on" sync_wait
	kill -HUP "${PID[collector]}" && sync_wait >/dev/null	# a reload looks at the schedule at once
	same "schedule: a date runs once, also when the clock is set back" 1 "$(sets)"
	first=$(sealed)
	collector_stop
	clock "$(offset "$DAY 22:29:00 UTC + 27 hours")"
	# Two sides, one word: the server too has to find its set too old, with nobody telling it.
	check "silence_is_failure: with no collector the server's set turns late by itself" wait_server 30 'p["state"] == "late"'
	expect 4 'late' "silence_is_failure: its exit status is 4" tms status po1
	collector_start
	check "schedule: a missed run runs late" wait_status 60 "p['last_set'] and not p['job'] and p['last_set']['name'] != '$first'"
	NEXT=$(date -d "$DAY UTC + 1 day" +%F)
	check "schedule: under the date it was due" test -d "$STORE/po1/backups/weeknow/$(LC_ALL=C date -d "$NEXT UTC" +%a%b%d | tr '[:upper:]' '[:lower:]')"
	same "schedule: once" 2 "$(sets)"
	check "silence_is_failure: a new set makes it green again" wait_server 30 'p["state"] == "ok"'
else
	skip "schedule; silence_is_failure" "no faketime for this flavour"
fi
done_testing
