# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The words in which scenarios and systems speak: whose turn it is, the clock, a line of results.
#
# bench/README.md tells what a system and a scenario are.  W is the folder of the present scenario, OFFICE its post office, S the
# folder of the system that is spoken to, SOURCE what it shall replicate: OFFICE whole, or OFFICE/offiles alone (PART).
. tests/integration/lib.sh

declare -A STANDING=()	# systems that were prepared and not ended: the folder of their scene
declare -A HELD=()	# systems that are still until their turn
declare -A LOST=()	# systems that failed in this scenario, and are left out of the rest of it
SYSTEM='' FS='' ROUND=1 COLD=no

say() { printf '%s\n' "$*" >&2; }

now() { date +%s%N; }
since() { awk "BEGIN { printf \"%.4f\", ($(now) - $1) / 1e9 }"; }	# since NANOSECONDS: in seconds

# What crossed the loopback: every packet of every connection, headers and acknowledgements too.  Only in a network of our own
# (run.sh makes one) does nobody else count.
wire_now() { awk '$1 == "lo:" { print $10 }' /proc/net/dev; }

# ---- results ----

# result METRIC UNIT VALUE [X]: a line of the present scenario, system, file system and round.  X: what the cost grows with.
# All values are such that less is better.
result() {
	[ -n "$3" ] || { lost "no value for $1"; return; }
	printf '{"type":"result","scenario":"%s","system":"%s","metric":"%s","unit":"%s","value":%s,"fs":"%s","round":%d,"x":%s}\n' \
		"$SCENARIO" "$SYSTEM" "$1" "$2" "$3" "$FS" "$ROUND" "${4:-null}" >>"$RESULTS"
	say "  $SYSTEM: $1 $3 $2${4:+ at $4}"
}

lost() {	# lost WORDS: the present system cannot go on in this scenario
	say "  $SYSTEM: LOST: $*"
	LOST[$SYSTEM]=1
	printf '{"type":"lost","scenario":"%s","system":"%s","what":"%s"}\n' "$SCENARIO" "$SYSTEM" "${*//[\"\\]/}" >>"$RESULTS"
	tail -n 8 "$W/$SYSTEM"/*.log 2>/dev/null | cut -c -200 | sed 's/^/    /' >&2
	return 1
}

# ---- systems ----

become() {	# become SYSTEM: the verbs are now its own
	local verb
	for verb in $(compgen -A function sys_); do unset -f "$verb"; done
	SYSTEM=$1 S=$W/$1
	# shellcheck source=/dev/null
	. "bench/systems/$1.sh"
}
can() { [ "$(type -t "sys_$1")" = function ]; }	# can VERB: of the present system

# turns SYSTEM...: those that are installed, asked for and not lost, beginning with another one each round.
turns() {
	local each list=()
	for each in "$@"; do
		case " $PRESENT " in *" $each "*) [ -n "${LOST[$each]:-}" ] || list+=("$each") ;; esac
	done
	[ ${#list[@]} = 0 ] || printf '%s\n' "${list[@]:$((ROUND % ${#list[@]}))}" "${list[@]:0:$((ROUND % ${#list[@]}))}"
}

# fresh SYSTEM FILES MIB: its folder, for so much, is a new file system of the office's kind, so that nobody finds what those before
# have left: ext4 keeps away from inodes that were freed lately.  Root only.
fresh() {
	case $ROOT.$FS in yes.ext4|yes.xfs) mount_image "$W/$1" "$FS" "$(($3 + $2 / 50))M" ;; esac	# an inode each 16 KiB
}

# prepare SYSTEM: everything that may happen before a clock runs.
prepare() {
	become "$1"
	mkdir -p "$S"
	STANDING[$1]=$W
	sys_prepare >>"$S/prepare.log" 2>&1 || lost "it could not be prepared"
}

# be_still: the present system, where it watches by itself, does nothing until the clock of its turn runs.
be_still() { if can hold; then sys_hold >>"$S/hold.log" 2>&1 && HELD[$SYSTEM]=1; fi; }

# warm: whoever comes after one that makes the kernel forget what it has read (sys_forget) finds it in the page cache, too.
warm() {
	[ $COLD = yes ] || return 0
	find "$SOURCE" -type f -print0 | xargs -0 cat >/dev/null
	COLD=no
}

# timed METRIC X VERB [ARG...]: the present system's verb against the clock; leaves SECONDS_TOOK and WIRE.
timed() {
	local metric=$1 x=$2 verb=$3 start wire
	shift 3
	[ "$SETTLE" = no ] || { sync; warm; }
	wire=$(wire_now)
	start=$(now)
	if [ -n "${HELD[$SYSTEM]:-}" ]; then
		sys_go >>"$S/hold.log" 2>&1 || { lost "it does not go on"; return 1; }
		unset "HELD[$SYSTEM]"
	fi
	! can forget || COLD=yes
	"sys_$verb" "$@" >>"$S/$verb.log" 2>&1 || { lost "$verb failed"; return 1; }
	SECONDS_TOOK=$(since "$start")
	WIRE=$(($(wire_now) - wire))
	result "$metric" s "$SECONDS_TOOK" "$x"
}

end_all() {	# end_all SYSTEM...: of those that were prepared
	local each
	for each in "$@"; do
		[ -n "${STANDING[$each]:-}" ] || continue
		become "$each"
		sys_stop >>"$S/stop.log" 2>&1
		if mountpoint -q "$S"; then umount "$S" && rm -rf "$S" "$S.img"; else rm -rf "$S"; fi
		unset "STANDING[$each]"
	done
}

# ---- scenes ----

scene() {	# scene [PART]: a folder for this scenario; FS is that of the folder
	W=$(mktemp -d "${TMPDIR:-/tmp}/tm.XXXXXX") || exit 1
	WORLDS+=("$W")
	scene_in "$W" "${1:-}"
}

scene_in() {	# scene_in DIR [PART]: DIR may be on another file system
	W=$1 OFFICE=$1/po PART=${2:-}
	SOURCE=$OFFICE${PART:+/$PART}
	FS=$(stat -f -c %T "$W" | sed 's,ext2/ext3,ext4,')
	LOST=() HELD=()
	WORLDS+=("$W")
}

scene_end() {
	end_all "${!STANDING[@]}"
	rm -rf "${W:?}"/*
}

office() { rm -rf "$OFFICE" && "$GWSIM" make "$OFFICE" --profile custom --seed "${OFFICE_SEED:-2}" "$@" >"$W/gwsim.log" 2>&1 || { cat "$W/gwsim.log" >&2; exit 1; }; }

unmade() { say "  what was to be measured is not there: $*"; exit 1; }	# no system's fault: the scenario ends here

churn() { "$GWSIM" churn "$OFFICE" --fraction "$1" --seed "$2" "${@:3}" >"$W/churn.json" || unmade "changes"; }	# churn FRACTION SEED [OPTION...]
churned() { q "$1" <"$W/churn.json"; }	# churned FIELD

new_blobs() { build/release/tools/burst "$OFFICE/offiles" "$1" "$2" 0 4096 >/dev/null || unmade "new blobs"; }	# new_blobs TAG COUNT

until_equal() { "$PYTHON" bench/until.py equal "$1" "$2" "${3:-600}"; }	# until_equal SOURCE COPY [SECONDS]

phase_of() {	# phase_of NAME [X]: of tidemark's last job, where it knows one of that name
	local ms
	ms=$(W=$S tm --json job show | q "phase_ms.$1")
	[ "$ms" = null ] || result "phase_$1" s "$(percent "$ms" 1000)" "${2:-}"
}

phases() {	# phases NAME...: of tidemark's last job together, in seconds
	W=$S tm --json job show | q phase_ms | "$PYTHON" -c 'import json, sys
ms = json.load(sys.stdin); print(sum(ms[p] for p in sys.argv[1:]) / 1000)' "$@"
}

percent() { awk "BEGIN { printf \"%.9g\", $1 / $2 }"; }	# percent A B: the plain quotient

sample() {	# keeps the greatest private memory of all sys_pids of the present system together in $W/memory
	local m
	# shellcheck disable=SC2046 # a list of numbers
	m=$(proc memory $(sys_pids 2>/dev/null) 2>/dev/null) && [ "$m" -gt "$(cat "$W/memory" 2>/dev/null || echo 0)" ] && echo "$m" >"$W/memory"
}
sampling() {	# from now on, until sampled, which leaves it in MEMORY
	rm -f "$W/sampled" "$W/memory"
	(
		trap - EXIT
		while [ ! -e "$W/sampled" ] && [ -d "$S" ]; do
			sample
			sleep 0.2	# a sample a fifth of a second; nothing tells when memory grows
		done
	) &
	SAMPLER=$!
}
sampled() { touch "$W/sampled"; wait "$SAMPLER"; sample; MEMORY=$(cat "$W/memory"); }
