# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash at every call: the workloads, the kill, the way back, and the one check that follows every kill.
#
# One world serves many points: after each the whole replica is compared with the live tree, so the next point begins where
# everything is known to be good.  Sourced after tests/integration/lib.sh.  A point is VICTIM WORKLOAD N MODE: the program
# VICTIM is killed before, after or half-way through its N-th call that changes something (tests/tools/crashpoint.c).

# LeakSanitizer wants to trace the threads itself, which are ours here: it would wait for ever.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
TOOLDIR=$(realpath "build/${FLAVOUR:-release}/tools")
CRASHPOINT=$TOOLDIR/crashpoint
CRASH_WORKLOADS="edit rename backup rotate lostmap overflow"
CRASH_VICTIMS="watcher collector server keeper dbcopy"
points=0 violations=0 round=0

# Which of the two daemons carries the tracer: it sees the programs that one starts.
crash_carrier() { case $1 in server|keeper) echo server ;; *) echo collector ;; esac; }

# In memory where there is room: the calls are what is tried here, not the disk.
crash_in_memory() {
	[ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "$(df --output=avail -m /dev/shm | tail -n 1)" -ge 500 ] && export TMPDIR=/dev/shm
}

# Fails for a program that has no part in the workload.
crash_has_part() {	# crash_has_part VICTIM WORKLOAD
	case $1.$2 in
	keeper.backup|keeper.rotate|dbcopy.backup|dbcopy.rotate) true ;;
	keeper.*|dbcopy.*|watcher.backup|watcher.rotate|watcher.lostmap) false ;;
	*) true ;;
	esac
}

crash_world() {	# crash_world VICTIM: everything is up, the victim is traced, nothing is armed
	VICTIM=$1 CARRIER=$(crash_carrier "$1")
	world_new
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	CONTROL=$W/control
	mkfifo "$CONTROL.in" "$CONTROL.out"
	exec {TELL}<>"$CONTROL.in" {HEAR}<>"$CONTROL.out"
	if [ "$CARRIER" = server ]; then crash_carrier_start && collector_start; else server_start && crash_carrier_start; fi ||
		{ not_ok "crash: the world starts" "$W/$CARRIER.log"; exit 1; }
	enrol po1 >"$W/enrol.log" 2>&1 && sync_wait && backup >"$W/.first" 2>&1 || { not_ok "crash: the world is good before the first kill" "$W/.first"; exit 1; }
}

# The same after the last one was ended and removed.
crash_fresh_world() {
	cleanup
	declare -gA PID=()
	STARTED=() WORLDS=()
	trap 'exit 143' TERM INT
	crash_world "$1"
}

crash_carrier_start() {	# crash_carrier_start [N MODE]: under the tracer
	local program=tidemark-$CARRIER
	WITH="$CRASHPOINT $CONTROL tidemark-$VICTIM $* --" daemon_start "$CARRIER" "$program"
}

# ---- the workloads: what is done to the live tree, then what is asked for ----

crash_edit() {
	local blobs=$PO/offiles/fd$((round % 7))
	printf 'blob of round %d' $round >"$blobs/made$round"
	head -c $((9000 + round % 5 * 4096)) /dev/urandom >"$blobs/large$round"
	printf 'index %d' $round >>"$PO/ofuser/index/crash.idx"
	rm -f "$PO"/offiles/fd*/made$((round - 3)) "$PO"/offiles/fd*/large$((round - 3))
	sync_wait 40
}

crash_rename() {
	local blobs=$PO/offiles/fd$((round % 5))
	mkdir -p "$PO/offiles/crash/deep$((round % 2))"
	printf 'one %d' $round >"$blobs/one$round"
	printf 'two %d' $round >"$blobs/two" && mv "$blobs/two" "$blobs/replaced"
	mv "$blobs/one$round" "$PO/offiles/crash/deep$((round % 2))/one"
	rm -rf "$PO/offiles/moved" && mv "$PO/offiles/crash" "$PO/offiles/moved"
	sync_wait 40
}

crash_backup() {
	printf 'blob of round %d' $round >"$PO/offiles/fd1/backup$round"
	"$GWSIM" churn "$PO" --fraction 5% --seed $round >/dev/null
	timeout 90 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait 
}

# The day's set is replaced by the next one, and blobs that no set names any more go.
crash_rotate() {
	rm -f "$PO"/offiles/fd1/backup* "$PO"/offiles/fd*/rotate*
	printf 'blob of round %d' $round >"$PO/offiles/fd2/rotate$round"
	timeout 90 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait 
}

crash_lostmap() { crash_all_up && sync_wait 40; }

# Its beginning, which cannot run beside us: the collector comes back without what it knew.
crash_lose_map() {	# crash_lose_map N MODE
	daemon_end collector KILL
	printf 'unseen %d' $round >"$PO/offiles/fd3/unseen$((round % 4))"
	rm -rf "$STATE/po1/blockmap"
	if [ "$CARRIER" = collector ]; then crash_carrier_start "$@"; else crash_ask arm "$@" && collector_start; fi
}

# More files than the kernel's queue holds, while the watcher sleeps.
crash_overflow() {
	local watcher
	watcher=$(watcher_pid) && kill -STOP "$watcher"
	"$TOOLDIR/burst" "$PO/offiles" "flood" $(($(cat /proc/sys/fs/inotify/max_queued_events) / 2 + 500)) >/dev/null
	[ -z "$watcher" ] || kill -CONT "$watcher"
	find "$PO/offiles" -name 'flood*' -delete
	sync_wait 60
}

# ---- one point ----

# Asks the tracer; what it said of itself before the answer is kept in KILLED.  One that lost its command answers no more.
crash_ask() {	# crash_ask COMMAND...: the answer in ANSWER
	local line
	echo "$*" >&"$TELL"
	while read -r -t 20 line <&"$HEAR"; do
		case $line in
		killed*) KILLED=$line; [ "$VICTIM" != "$CARRIER" ] || return 0 ;;
		armed|calls*) ANSWER=$line; return 0 ;;
		esac
	done
	return 1
}

# Ends with the workload (KILLED is then empty) or as soon as the victim is dead; WORK runs on then.
crash_await() {
	local line
	KILLED=''
	while read -r -t 120 line <&"$HEAR"; do
		case $line in
		killed*) KILLED=$line; return ;;
		"finished $round "*) DONE=${line##* }; return ;; # that of an earlier round may still lie there
		esac
	done
	KILLED="hung: neither finished nor killed"
}

# What nobody else starts again is started.
crash_revive() {	# crash_revive [N MODE]
	[ "$VICTIM" = "$CARRIER" ] || return 0
	unset "PID[$CARRIER]"
	crash_carrier_start "$@"
}

# What is asked for before all are up is refused, and says that it will be better soon.
crash_all_up() { wait_server 60 'o["keeper"]' && wait_status 60 'p["connected"] and p["watcher"]'; }

# A set, and what is restored from it, is the live tree: by rsync, by SHA-256, and by the office's own check.
crash_check() {
	local tries
	crash_all_up || { echo "not everything comes up again"; return 1; }
	sync_wait 60 || { echo "sync does not end"; return 1; }
	for tries in 1 2 3; do	# a job that the kill left is ended first, and says so
		backup >"$W/.backup" 2>&1 && break
		cat "$W/.backup"
		[ $tries != 3 ] || { echo "no set can be made"; return 1; }
		crash_all_up && sync_wait 60
	done
	[ -z "$(half_state)" ] || { echo "half a set is left: $(half_state)"; return 1; }
	rm -rf "$W/restored"
	restore po1 latest "$W/restored" >"$W/.restore" 2>&1 || { cat "$W/.restore"; return 1; }
	compare_tree "$PO" "$W/restored" && "$GWSIM" check "$W/restored" --live "$PO" >"$W/.gwsim" || { tail -n 5 "$W/.gwsim"; return 1; }
}

# Two kills of a child within a minute double the pause before its next start: it would soon be waited for longest.
crash_forget_pauses() {
	case $VICTIM in keeper|watcher) daemon_end "$CARRIER" KILL && crash_carrier_start && crash_all_up ;; esac
}

# crash_point WORKLOAD N MODE [M]: with M, the way back is cut short at its M-th call, too.  Status 1: the workload has no
# N-th call; 2: a violation, which was told, and the world is of no more use.
crash_point() {
	local workload=$1 n=$2 mode=$3 again=${4:-} first
	round=$((round + 1)) ANSWER=''
	if [ "$workload" = lostmap ]; then crash_lose_map "$n" "$mode"; else crash_ask arm "$n" "$mode"; fi
	{ "crash_$workload" >"$W/.workload" 2>&1; echo "finished $round $?" >&"$HEAR"; } &
	WORK=$!
	crash_await
	[ -n "$KILLED" ] || crash_ask disarm
	if [ -z "$KILLED" ]; then
		[ "$DONE" = 0 ] && return 1
		violations=$((violations + 1))
		not_ok "crash: $VICTIM, $workload: it fails although nobody was killed" "$W/.workload"
		return 2
	fi
	first=$KILLED
	if [ -n "$again" ] && [ "$VICTIM" = "$CARRIER" ]; then
		crash_revive "$again" "$mode"
		crash_await
		[ -n "$KILLED" ] || crash_ask disarm
		first="$first; again at call $again: $KILLED"
	fi
	[ -z "$KILLED" ] || crash_revive
	wait "$WORK"
	KILLED=$first
	points=$((points + 1))
	if ! crash_check >"$W/.verdict" 2>&1; then
		violations=$((violations + 1))
		not_ok "crash: $VICTIM, $workload, call $n: ${first//$W/}" "$W/.verdict"
		return 2
	fi
	crash_forget_pauses
}
