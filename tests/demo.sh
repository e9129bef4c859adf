#!/bin/bash
# The whole backup on real programs: `make demo`, or `make demo PO=/grpwise/po1` for a tree of yours, which is only read.
#
# Everything lives in a fresh temporary folder, on loopback, and is gone at the end.
set -u
cd "$(dirname "$0")/.." || exit 1
BIN=${BIN:-build/bin}
W=$(mktemp -d "${TMPDIR:-/tmp}/tidemark-demo.XXXXXX")
PIDS=()
T=("$BIN/tidemark")

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '  $ %s\n' "$*" | sed "s#$W#\$W#g; s#$BIN/##g"; "$@"; }

end() {
	local status=$? pid
	for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null; done
	[ ! -S "$W/run/watcher-po1.sock" ] || python3 -c 'import socket,sys
s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"quit\n"); s.recv(4096)' "$W/run/watcher-po1.sock" 2>/dev/null
	for pid in "${PIDS[@]}"; do wait "$pid" 2>/dev/null; done
	if [ $status != 0 ]; then
		for log in server collector; do [ -f "$W/$log.log" ] && { echo "--- the end of $log.log"; tail -n 15 "$W/$log.log"; }; done
	fi
	rm -rf "$W"
	exit $status
}
trap end EXIT
trap 'exit 130' INT TERM
fail() { echo; echo "demo: FAILED: $*"; exit 1; }

# Waits, at most 20 s, until a command succeeds: for sockets of daemons that are starting.
until_ready() {
	local deadline=$((SECONDS + 20))
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || return 1
		read -rt 0.1 <> <(:) || :
	done
}

LIVE=${PO:-$W/po}
TYPE=post-office
if [ -n "${PO:-}" ]; then
	[ -d "$PO" ] || fail "$PO is not a directory"
	LIVE=$(cd "$PO" && pwd)
	find "$LIVE" -maxdepth 1 -iname wpdomain.db | grep -q . && TYPE=domain
	say "1. A post office: yours at $LIVE, which is only read"
else
	say "1. A post office that is in use"
	run "$BIN/gwsim" make "$LIVE" --profile small --seed 7 || fail "the simulated post office could not be made"
	mkdir -p "$W/deleted"
	"$BIN/gwsim" run "$LIVE" --rate 200 --for 10m --processes 2 --keep-deleted "$W/deleted" >"$W/agent.log" 2>&1 &
	AGENT=$!
	PIDS+=("$AGENT")
	echo "  the simulated agent (pid $AGENT) delivers, reads, deletes and indexes mail from now on"
fi

say "2. The server and the collector"
mkdir -p "$W/run"
PORT=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
cat >"$W/server.conf" <<C
[server]
listen  = 127.0.0.1:$PORT
address = 127.0.0.1:$PORT
store   = $W/store
run-dir = $W/run
C
cat >"$W/collector.conf" <<C
[collector]
server  = 127.0.0.1:$PORT
state   = $W/collector
run-dir = $W/run

[profile "po1"]
type     = $TYPE
path     = $LIVE
schedule = Mon..Fri 22:30
C
"$BIN/tidemark-server" --config "$W/server.conf" 2>"$W/server.log" &
PIDS+=($!)
S=("${T[@]}" --config "$W/server.conf")
C=("${T[@]}" --config "$W/collector.conf")
until_ready "${S[@]}" status || fail "the server did not start"
TOKEN=$("${S[@]}" token create po1) || fail "no enrolment token"
"$BIN/tidemark-collector" --config "$W/collector.conf" 2>"$W/collector.log" &
PIDS+=($!)
until_ready test -S "$W/run/collector.sock" || fail "the collector did not start"
run "${C[@]}" enrol po1 "$TOKEN" || fail "enrolment"

say "3. Continuous replication"
run "${C[@]}" sync po1 --wait || fail "the first synchronisation"
run "${C[@]}" status
MARK=tidemark-demo-$$
if [ -z "${PO:-}" ]; then
	head -c 20000 /dev/urandom >"$LIVE/offiles/fd0/$MARK"
	run "${C[@]}" sync po1 --wait || fail "synchronisation of a new blob"
	cmp "$LIVE/offiles/fd0/$MARK" "$W/store/po1/blobs/offiles/fd0/$MARK" || fail "the new blob is not on the server"
	echo "  a blob written a moment ago is durable on the server"
fi

say "4. The Standard backup"
T0=$(date +%s)
SET=$("${C[@]}" backup po1 --wait)
STATUS=$?
[ $STATUS = 0 ] || [ $STATUS = 3 ] || fail "the backup was not sealed (exit status $STATUS)"
[ -n "${PO:-}" ] || kill -0 "$AGENT" 2>/dev/null || fail "the simulated agent was not at work: $(tail -n 1 "$W/agent.log")"
echo "  sealed: $SET"
run "${C[@]}" job show | sed 's/^/  /'

say "5. The sealed set, as administrators know it"
run ls -l "$W/store/po1/backups/weeknow/$SET"
run "${S[@]}" set list po1
run "${S[@]}" verify po1 "$SET" || fail "verify"

say "6. Restored, and proved by a program that shares no code with the daemons"
run "${S[@]}" restore po1 "$SET" --to "$W/restored" || fail "restore"
if [ -z "${PO:-}" ]; then
	run "$BIN/gwsim" check "$W/restored" || fail "the restored post office is not whole"
	cmp "$LIVE/offiles/fd0/$MARK" "$W/restored/offiles/fd0/$MARK" || fail "a blob of the set differs"
else
	run python3 tests/tools/compare.py "$LIVE" "$W/restored" --since "$T0" || fail "the restored tree differs from $LIVE"
fi
WIRE=$("${C[@]}" --json status po1 | python3 -c 'import json,sys; print(json.load(sys.stdin)["wire_bytes_sent"])')
FILES=$(find "$W/restored" -type f | wc -l)
echo
echo "demo: OK set $SET sealed, verified, restored: $FILES files, $(du -sm "$W/restored" | cut -f1) MiB, $((WIRE >> 20)) MiB on the wire"
