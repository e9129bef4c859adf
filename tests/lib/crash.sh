# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Crash at every call: the workloads, the kill, the way back, and the one check that follows every kill.
#
# One world serves many points: after each the replica is compared with the live tree, so the next point begins where everything is
# known to be good, and only the victim is started again.  Sourced after tests/integration/lib.sh.  A point is VICTIM WORKLOAD N MODE:
# the program VICTIM is killed before, after or half-way through its N-th call that changes something (tests/tools/crashpoint.c).

# LeakSanitizer wants to trace the threads itself, which are ours here: it would wait for ever.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0
TOOLDIR=$(realpath "build/${FLAVOUR:-release}/tools")
CRASHPOINT=$TOOLDIR/crashpoint
EVIDENCE=build/${FLAVOUR:-release}/violations	# what the daemons said before each of them
CRASH_WORKLOADS="edit rename backup rotate lostmap overflow upgrade"
CRASH_VICTIMS="watcher collector server keeper dbcopy"
SET_EVERY=${SET_EVERY:-20}	# so many points of the flow share one look at a whole set
WORLD_LASTS=80	# points: their sets add up, and each point looks at them all
points=0 violations=0 strangers=0 round=0 works=0 DONE=''

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
	*.upgrade) [ "$1" = collector ] ;;
	keeper.*|dbcopy.*|watcher.backup|watcher.rotate|watcher.lostmap) false ;;
	*) true ;;
	esac
}

crash_world() {	# crash_world VICTIM: everything is up, the victim is traced, nothing is armed
	VICTIM=$1 CARRIER=$(crash_carrier "$1")
	world_new
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	CONTROL=$W/control CALLS_BACK=0
	mkfifo "$CONTROL.in" "$CONTROL.out"
	exec {TELL}<>"$CONTROL.in" {HEAR}<>"$CONTROL.out"
	if [ "$CARRIER" = server ]; then crash_carrier_start 0 none && collector_start; else server_start && crash_carrier_start 0 none; fi ||
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

# Under the tracer; returns when it is ready, or at once when something is going to happen to it on its way.
crash_carrier_start() {	# crash_carrier_start N MODE
	# A child of the one before, forked for DBCOPY, holds the lock until it ends, too; the unit would try again after two seconds.
	[ "$CARRIER" != collector ] || [ ! -e "$STATE/collector.lock" ] || flock -w 20 "$STATE/collector.lock" true
	# shellcheck disable=SC2086 # TRACE and WITH are lists of words
	"$CRASHPOINT" ${TRACE:-} "$CONTROL" "tidemark-$VICTIM" "$@" -- ${WITH:-} "$BIN/tidemark-$CARRIER" --config "$W/$CARRIER.conf" >>"$W/$CARRIER.log" 2>&1 </dev/null &
	PID[$CARRIER]=$!
	disown	# its end is heard, and needs no words of the shell
	STARTED=("${PID[@]}")	# the numbers of those before may be anybody's by now
	[ "$2" != none ] || crash_until "ready ${PID[$CARRIER]}"
}

# Not the tracer: the programs that it holds would end some time after it.
crash_carrier_kill() { echo kill >&"$TELL" && crash_until "killed *" && KILLED='' ENDED=''; }	# an end that is ours

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
	if [ "$CARRIER" = collector ]; then crash_carrier_kill; else daemon_end collector KILL; fi
	printf 'unseen %d' $round >"$PO/offiles/fd3/unseen$((round % 4))"
	rm -rf "$STATE/po1/blockmap"
	if [ "$CARRIER" = collector ]; then
		crash_carrier_start "$@"
		[ "$2" = none ] || crash_ready_or_killed
	else
		crash_ask arm "$@" && collector_start
	fi
}

# More events than the kernel's queue holds, while the watcher sleeps: equal ones in a row would be one, so two files take turns.
crash_overflow() {
	local watcher i pairs=$(($(cat /proc/sys/fs/inotify/max_queued_events) / 2 + 500)) blobs=$PO/offiles/fd$((round % 6))
	watcher=$(watcher_pid) && kill -STOP "$watcher"
	for ((i = 0; i < pairs; i++)); do : >>"$blobs/flood-a"; : >>"$blobs/flood-b"; done
	printf 'unseen %d' $round >"$blobs/unseen$round"
	rm -f "$blobs"/flood-? "$PO"/offiles/fd*/unseen$((round - 3))
	[ -z "$watcher" ] || kill -CONT "$watcher"
	sync_wait 60
}

# The collector upgrades itself to the same programs of a later version, while a blob is made.
crash_upgrade() {
	local i
	printf 'blob of round %d' $round >"$PO/offiles/fd4/upgrade$((round % 4))"
	for i in 1 2 3 4 5 6; do	# a release that began too often has to be asked for again
		crash_ask_upgrade || break
		grep -qm1 '^current 999' < <(exec timeout 10 tail -n +1 -F "$STATE/upgrade/versions" 2>/dev/null) && crash_all_up && sync_wait 40 && return
	done
	echo "for a minute it does not upgrade itself: $(tm upgrade)"
	return 1
}

# Who was killed is away for a moment.
crash_ask_upgrade() {
	local end=$((SECONDS + 20 * PATIENCE))
	until tm upgrade now; do [ $SECONDS -le $end ] || return 1; done
}

# Its beginning, which cannot run beside us either: the collector comes back as it was installed.
crash_forget_upgrade() {	# crash_forget_upgrade N MODE
	[ -e "$W/keys" ] || crash_offer_release >"$W/.release" || return
	crash_carrier_kill
	rm -rf "$STATE/upgrade"
	crash_carrier_start "$@"
	[ "$2" = none ] || crash_ready_or_killed
}

crash_offer_release() {
	local release="$BIN/tidemark-release" signer
	mkdir "$W/releases" && "$release" pack "$BIN/../next" "$W/releases/next.release" || return
	for signer in ann ben; do "$release" key "$W/$signer" >>"$W/keys" && "$release" sign "$W/releases/next.release" "$W/$signer" || return; done
	sed -i "/^store /a releases = $W/releases" "$W/server.conf" && sed -i "/^state /a upgrade-keys = $W/keys" "$W/collector.conf"
	server_stop && server_start
}

# ---- what the tracer and the workload say ----

# Takes one line in, and keeps what it says.  A kill is told before the answer to what was asked meanwhile.
crash_hear() {	# crash_hear SECONDS
	read -r -t "$1" LINE <&"$HEAR" || return 1
	case $LINE in
	killed\ *) KILLED=${LINE#killed } ;;
	lost\ *) LOST=${LINE#lost } ;;
	failed\ *) FAILED=${LINE#failed } ;;
	ended\ *) ENDED="$ENDED${LINE#ended };" ;;
	"finished $works "*) DONE=${LINE##* } ;;	# that of an earlier one may still lie there
	esac
}

crash_until() {	# crash_until PATTERN: a line like this, for a minute
	while crash_hear 60; do
		# shellcheck disable=SC2053 # a pattern
		[[ $LINE != $1 ]] || return 0
	done
	return 1
}

# Or ended by itself, as one does that an error meets while it starts.
crash_ready_or_killed() {
	local before=$ENDED
	while [ -z "$KILLED" ] && [ "$ENDED" = "$before" ] && crash_hear 60; do
		[ "$LINE" != "ready ${PID[$CARRIER]}" ] || break
	done
}

# One that lost its command answers no more.
crash_ask() {	# crash_ask COMMAND...: the answer in ANSWER
	echo "$*" >&"$TELL"
	while crash_hear 20; do
		case $LINE in
		armed*|calls*) ANSWER=$LINE; return 0 ;;
		killed*) [ "$VICTIM" != "$CARRIER" ] || return 0 ;;
		esac
	done
	return 1
}

# Something that runs beside us; its end is heard.
crash_work() {	# crash_work COMMAND...: its process in WORK
	DONE='' works=$((works + 1))
	{ "$@" >"$W/.workload" 2>&1; echo "finished $works $?" >&"$HEAR"; } &
	WORK=$!
}

crash_begin() {	# crash_begin WORKLOAD N MODE
	KILLED='' FAILED='' ENDED='' LOST='' ARMED=yes
	case $1 in
	lostmap) crash_lose_map "$2" "$3" ;;
	upgrade) crash_forget_upgrade "$2" "$3" ;;
	*) crash_ask arm "$2" "$3" || ARMED= ;;
	esac
	crash_work "crash_$1"
}

crash_work_over() {
	[ -n "$DONE" ] || crash_until "finished $works *"
	wait "$WORK"
}

# Ends with the work (KILLED is then empty) or as soon as the victim is dead; the work runs on then.
crash_await() {
	while [ -z "$KILLED$DONE" ]; do
		crash_hear 120 || KILLED="hung: neither finished nor killed"
	done
	[ -n "$KILLED" ] || crash_ask disarm
}

# ---- the way back ----

# What nobody else starts again is started; the calls on its way are counted.
crash_revive() {	# crash_revive N MODE
	if [ "$VICTIM" = "$CARRIER" ]; then crash_carrier_start "$@"; else crash_ask arm "$@"; fi
}

# A carrier whose way back is cut short, too: while it starts, or while what was interrupted is done once more.
crash_revive_and_kill() {	# crash_revive_and_kill WORKLOAD M MODE
	local before=$WORK
	crash_carrier_start "$2" "$3"
	crash_ready_or_killed
	if [ -z "$KILLED" ]; then
		crash_work crash_once_more "$1"
		crash_await
	fi
	[ -z "$KILLED" ] || crash_carrier_start 0 none
	wait "$before"
}

crash_once_more() {	# crash_once_more WORKLOAD
	sync_wait 60 || return
	case $1 in backup|rotate) crash_all_up && backup ;; esac
}

# What is asked for before all are up is refused, and says that it will be better soon.
crash_all_up() { wait_server 60 'o["keeper"]' && wait_status 60 'p["connected"] and p["watcher"]'; }

crash_blobs() { trees replica "$PO" "$STORE/po1/blobs" offiles; }

# The flow's own replica is the live tree, as soon as a sync has returned: by SHA-256, and of the index by rsync.
crash_check_flow() {
	local differences
	sync_wait 60 || { echo "sync does not end"; return 1; }
	[ "$DONE" = 0 ] || crash_blobs || return 1	# else it was so before already
	differences=$(index_differences | grep -v '/$')
	[ -n "$differences" ] || return 0
	# A file that no row tells of may stay (src/server/DESIGN.md, window 4), if it is in no set.
	! grep -qv '^\*deleting ' <<<"$differences" && crash_check_set && note "left behind, and in no set: $differences" && return 0
	echo "rsync finds differences in the index:"
	echo "$differences"
	return 1
}

# A set, and what is restored from it, is the live tree: by rsync, by SHA-256, and by the office's own check.
crash_check_set() {
	local tries
	for tries in 1 2 3; do	# a job that the kill left is ended first, and says so
		backup >"$W/.backup" 2>&1 && break
		cat "$W/.backup"
		[ $tries != 3 ] || { echo "no set can be made"; return 1; }
		crash_all_up && sync_wait 60 && wait_status 60 'p["job"] is None'	# one whose command was cut off goes on
	done
	[ -z "${CONTROL:-}" ] || crash_ask disarm	# the keeper that reads a set for us is not what is tried
	crash_all_up	# the second kill may have come right behind the seal
	[ -z "$(half_state)" ] || { echo "half a set is left: $(half_state)"; return 1; }
	rm -rf "$W/restored"
	restore po1 latest "$W/restored" >"$W/.restore" 2>&1 || { cat "$W/.restore"; return 1; }
	compare_tree "$PO" "$W/restored" && "$GWSIM" check "$W/restored" --live "$PO" >"$W/.gwsim" || { tail -n 5 "$W/.gwsim"; return 1; }
}

# A sync that has returned well has promised that everything is there, before anything else is asked for.
# A name that a set keeps although it is gone stays in all later ones: of the flow's points every SET_EVERY-th looks for it.
crash_check() {	# crash_check WORKLOAD
	if [ "$DONE" = 0 ]; then
		crash_blobs || { echo "the workload ended well, and not everything was there"; return 1; }
	fi
	crash_check_flow || return 1
	case $1 in backup|rotate) ;; *) [ $((round % SET_EVERY)) = 0 ] || return 0 ;; esac
	crash_check_set || return 1
	for log in "$W"/*.log; do : >"$log"; done
}

# Kills of the keeper within a minute double the pause before its next start: it would soon be waited for longest.
crash_forget_pauses() { [ "$VICTIM" != keeper ] || { crash_carrier_kill && crash_carrier_start 0 none && sync_wait; }; }

crash_violation() {	# crash_violation SENTENCE FILE
	local kept=$EVIDENCE/$VICTIM-$round-$$
	while crash_hear 0.1; do :; done
	# Process numbers are few: somebody else's test, at its end, may have killed what it believed to be its own.
	[ "$LOST" != "signal 9" ] || { strangers=$((strangers + 1)) && note "$1: the $CARRIER was killed by a stranger: no violation, and not settled"; return; }
	violations=$((violations + 1))
	mkdir -p "$kept"
	cp "$W"/*.log "$W"/.[a-z]* "$kept/" 2>/dev/null
	{ tm --json status po1; tms --json status po1; } >"$kept/status" 2>&1
	[ -z "${CORES:-}" ] || gcore -o "$kept/core" "${PID[@]}" >"$kept/gcore.log" 2>&1	# of those that no tracer holds
	not_ok "$1" "$2"
	note "  seed $SEED; ${LOST:+the $CARRIER was lost: $LOST; }logs in $kept"
}

# crash_point WORKLOAD N MODE [M]: with M, the way back is cut short at its M-th call, too.  Status 1: the workload has no
# N-th call; 2: a violation, which was told, and the world is of no more use.
crash_point() {
	local workload=$1 n=$2 mode=$3 again=${4:-} first
	round=$((round + 1)) ANSWER=''
	crash_begin "$workload" "$n" "$mode"
	crash_await
	if [ -z "$KILLED" ]; then
		crash_work_over
		[ "$DONE$ARMED" = 0yes ] && return 1
		crash_violation "crash: $VICTIM, $workload: $([ -n "$ARMED" ] && echo "it fails although nobody was killed" || echo "the tracer hears nothing")" "$W/.workload"
		return 2
	fi
	first=$KILLED KILLED=''
	if [ -z "$again" ]; then
		crash_revive 0 none
	elif [ "$VICTIM" = "$CARRIER" ]; then
		crash_revive_and_kill "$workload" "$again" "$mode"
	else
		crash_revive "$again" "$mode"	# it dies in the check
	fi
	crash_work_over
	if ! crash_check "$workload" >"$W/.verdict" 2>&1; then
		[ -z "$again" ] || first="$first; again at call $again: $KILLED"
		crash_violation "crash: $VICTIM, $workload, call $n: ${first//$W/}" "$W/.verdict"
		return 2
	fi
	case $ANSWER in calls*) ;; *) crash_ask disarm ;; esac
	if [ -z "$again" ]; then
		CALLS_BACK=${ANSWER#calls } CALLS_BACK=${CALLS_BACK% *}
	elif [ -z "$KILLED" ]; then
		points=$((points - 1))	# its way back has not so many calls: only one kill, which was tried before
	fi
	points=$((points + 1))
	crash_forget_pauses
	KILLED=$first
}

# ---- all points ----

crash_parts() {	# those of ONLY: "VICTIM WORKLOAD" a line
	local victim workload
	for victim in $CRASH_VICTIMS; do
		for workload in $CRASH_WORKLOADS; do
			crash_has_part "$victim" "$workload" || continue
			case "$victim $workload" in *"${ONLY:-}"*) echo "$victim $workload" ;; esac
		done
	done
}

# The points since the last look at a set, before their world is given up.
crash_last_look() {
	[ $((round % SET_EVERY)) = 0 ] || crash_check_set >"$W/.verdict" 2>&1 || crash_violation "crash: $VICTIM: the set after the last points" "$W/.verdict"
}

# What a part counted; one that tried nothing, although a program cannot work without calls, was blind.
crash_counted() {	# crash_counted VICTIM WORKLOAD N UNIT [WORDS]
	[ "$3" != 0 ] || [ -n "${PLACES:-}" ] || [ $((violations + strangers)) != 0 ] || { violations=1 && not_ok "crash: $1, $2: nothing was tried"; }
	[ $violations -ge $failures ] || violations=$failures	# what the words of tests/integration/lib.sh found
	echo "counted $1 $2: $3 $4, $violations violations, $strangers not settled${5:-}"
}

# Each part in a process and a world of its own, JOBS at a time; sums up what they counted.
crash_run_parts() {	# crash_run_parts NAME UNIT
	local line words n=0 bad=0 open=0 status=1
	while IFS= read -r line; do
		read -ra words <<<"$line"
		case $line in
		"counted "*) n=$((n + words[3])) bad=$((bad + words[5])) open=$((open + words[7])) ;;	# as crash_counted says
		"all parts "*) status=${words[2]}; continue ;;
		esac
		printf '%s\n' "$line"
	done < <(crash_parts | xargs -P "$JOBS" -L 1 "$0" part 2>&1; echo "all parts $?")
	[ $open = 0 ] || note "$open not settled: somebody killed a daemon that was tried"
	echo "$1: $n $2, $bad violations"
	# Nothing is left to be tried only where a folder of places says so.
	[ $((bad + open)) = 0 ] && [ "$status" = 0 ] && { [ $n -gt 0 ] || [ -n "${PLACES:-}" ]; }
}
