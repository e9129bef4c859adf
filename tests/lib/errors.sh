# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Error at every call: the tracer and the worlds of crash.sh, but the N-th call of the victim fails instead of killing it.
#
# An error comes once, or lasts ("EIO+": all calls of its kind on files, or on sockets) for as long as somebody may take to see it.
# Then it is gone, what ended is started again as its supervisor would, and everything must converge.  The program may go on or end;
# it ends by itself and says why.  "malloc" is an allocation that fails (tests/tools/preload/failmalloc.c).
# Sourced after lib/crash.sh.

ERRORS_ONCE="EIO ENOSPC EDQUOT EINTR EAGAIN EMFILE ENOMEM EACCES EROFS ENOENT short malloc"
ERRORS_LASTING="EIO+ ENOSPC+ EDQUOT+ EMFILE+ ENOMEM+ EACCES+ EROFS+ ENOENT+ short+"	# the others would be "for ever, no"
LASTING_S=2	# how long: programs that wait before they try again must not be waited for
injected=0

# A world in which calls of the victim can be made to fail, or its allocations.
errors_world() {	# errors_world VICTIM ERROR
	WORLD_BEGAN=$injected WITH='' TRACE="-e${PLACES:+ -p $PLACES/$1}"
	rm -f "${ORDERS:-}"
	if [ "$2" = malloc ]; then
		ORDERS=$(mktemp "${TMPDIR:-/tmp}/tm-orders.XXXXXX")
		errors_order 0
		WITH="env LD_PRELOAD=$TOOLDIR/failmalloc.so FAILMALLOC_PROGRAM=tidemark-$1 FAILMALLOC_CONTROL=$ORDERS${PLACES:+ FAILMALLOC_PLACES=$PLACES/$1-malloc}"
	fi
	crash_fresh_world "$1"
}

errors_order() { printf '%-31s\n%-31s\n' "$1" "" 1<>"$ORDERS"; }

# ---- one point ----

errors_arm() {	# errors_arm WORKLOAD N ERROR
	SAID=$(stat -c %s "$W/$CARRIER.log")
	if [ "$3" = malloc ]; then
		errors_order "$2"
		crash_begin "$1" 0 none
	else
		crash_begin "$1" "$2" "$3"
	fi
}

# Ends with the work, with the end of a carrier, or when an error has lasted long enough.
errors_await() {	# errors_await ERROR
	local until=$((SECONDS + 120))
	while [ -z "$DONE" ] && ! errors_carrier_ended && [ $SECONDS -lt $until ]; do
		case ${FAILED:+failed}$1 in
		failed*+) crash_hear $LASTING_S || break ;;
		*) crash_hear 120 || break ;;
		esac
	done
}

errors_carrier_ended() { [ -n "$ENDED" ] && [ "$VICTIM" = "$CARRIER" ]; }

# The error is gone.  FAILED is empty when there were not so many calls.
errors_over() {	# errors_over ERROR
	local second
	if [ "$1" = malloc ]; then
		{ read -r; read -r second; } <"$ORDERS"
		case $second in failed*) FAILED="malloc of ${second#failed }" ;; esac
		errors_order 0
	fi
	errors_carrier_ended || crash_ask disarm
	! errors_carrier_ended || crash_carrier_start 0 none
	crash_work_over
}

# Two libraries follow the pointer that malloc did not give (ARCHITECTURE.md, section 8): that is a crash, and is survived as one.
errors_of_blind_library() { case $FAILED in "malloc of libinotifytools"*|"malloc of libseccomp"*) true ;; *) false ;; esac; }

# A program that was ended by its own fault, or that says nothing when it ends: what it said before this point is not meant, nor what the
# command says that waited for it.
errors_bad_end() {
	local end
	while IFS= read -r -d ';' end; do
		case $end in
		"status 0"|"signal 9"|"signal 15") ;;
		signal*) errors_of_blind_library || { echo "$VICTIM ended by $end"; return 0; } ;;
		*) grep -qE ' (error|warn) |out of memory|^tidemark' <(tail -c +$((SAID + 1)) "$W/$CARRIER.log") || { echo "$VICTIM ended with $end and says nothing"; return 0; } ;;
		esac
	done <<<"$ENDED"
	return 1
}

errors_check() {	# errors_check WORKLOAD
	errors_bad_end && return 1
	crash_check "$1" && return
	# One that cannot go on may notice it only now: whoever watches over it starts it again.
	errors_carrier_ended || crash_hear 1
	errors_carrier_ended && ! errors_bad_end && crash_carrier_start 0 none && crash_check "$1"
}

# errors_point WORKLOAD N ERROR.  Status as of crash_point.
errors_point() {
	round=$((round + 1)) ANSWER=''
	errors_arm "$@"
	errors_await "$3"
	errors_over "$3"
	if [ -z "$FAILED" ]; then
		[ "$DONE$ARMED" = 0yes ] && return 1
		# What the error before broke is noticed within five seconds: the end that follows, with a word, is that one's.
		errors_carrier_ended && errors_check "$1" >"$W/.verdict" 2>&1 && return 1
		crash_violation "errors: $VICTIM, $1: it fails although nothing was done to it" "$W/.workload"
		return 2
	fi
	injected=$((injected + 1))
	if ! errors_check "$1" >"$W/.verdict" 2>&1; then
		crash_violation "errors: $VICTIM, $1, $3 at call $2: ${FAILED//$W/}" "$W/.verdict"
		return 2
	fi
	crash_forget_pauses
}
