# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Sectors that cannot be read, below the live tree and below the store: strace makes reads of one file fail in a running program.
#
# A file that cannot be read is named, with its cause; it never becomes zeros, and what was sealed of it stays.
# Sourced after tests/integration/lib.sh, disk/full.sh and disk/flips.sh.

TRACER=
sector_bad() {	# sector_bad PID FILE: in that process and all it starts
	strace -f -qq -o /dev/null -P "$2" -e inject=read,pread64,readv,preadv,copy_file_range,sendfile:error=EIO -p "$1" 2>"$W/tracer" &
	TRACER=$!
	STARTED+=("$TRACER")
	# It says nothing when it is quiet; the kernel tells.
	until grep -q "^TracerPid:[[:space:]]*$TRACER$" "/proc/$1/status"; do
		kill -0 $TRACER 2>/dev/null || { cat "$W/tracer"; return 1; }
		sleep 0.02
	done
}

sector_good() { kill -INT "$TRACER" && wait "$TRACER"; TRACER=; }

sector_judge() {	# sector_judge SENTENCE: what .after says is a violation
	cases=$((cases + 1))
	grep -v ' 0 differences$' "$W/.after" >"$W/.verdict"
	if [ -s "$W/.verdict" ]; then violations=$((violations + 1)); not_ok "$1" "$W/.verdict"; else ok "$1"; fi
}

# All is well again: a set is what is there.
sector_mended() {
	sync_wait 60 || { echo "sync does not end"; return; }
	backup || { echo "no set can be made"; return; }
	rm -rf "$W/restored"
	restore po1 "$SET" "$W/restored" >"$W/.restore" 2>&1 || cat "$W/.restore"
	compare_tree "$PO" "$W/restored"
}

named_in() {	# named_in FILE WORDS...: every one of them, or what it says instead
	local word file=$1
	shift
	for word in "$@"; do grep -q -- "$word" "$file" || { echo "\"$word\" is not said:"; head -n 8 "$file"; return; }; done
}

# A blob of SIZE bytes that cannot be read.
sector_blob() {	# sector_blob NAME SIZE
	local blob=$PO/offiles/fd3/$1 status
	sector_bad "${PID[collector]}" "$blob"
	head -c "$2" /dev/urandom >"$blob"
	sync_wait 60 >"$W/.work" 2>&1
	wait_status 60 'p["troubled"] > 0' || echo "no file is in trouble"
	tm status po1 >"$W/.work" 2>&1
	named_in "$W/.work" "$1" 'Input/output error'
	timeout 120 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait >"$W/.work" 2>&1
	status=$?
	[ $status != 0 ] || echo "a backup without it is good, and says nothing"
	named_in "$W/.work" "$1"
	[ ! -e "$STORE/po1/blobs/offiles/fd3/$1" ] || cmp "$blob" "$STORE/po1/blobs/offiles/fd3/$1"
	sector_good
	sector_mended 2>&1
}

sector_database() {
	local database
	database=$(find "$PO/ofuser" -name '*.db' -type f | sort | head -n 1)
	full_churn
	sector_bad "${PID[collector]}" "$database"
	timeout 60 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait >"$W/.work" 2>&1 && echo "a backup without it is good"
	named_in "$W/.work" "${database##*/}" 'Input/output error'
	sector_good
	[ -z "$(half_state)" ] || echo "half a set is left: $(half_state)"
	sector_mended 2>&1
}

# A file of a sealed set, or one of its blobs.
sector_store() {	# sector_store FILE NAME
	sector_bad "$(keeper_pid)" "$1"
	tms verify po1 "$SET" >"$W/.work" 2>&1 && echo "verify finds nothing"
	named_in "$W/.work" "$2" 'cannot be read'
	rm -rf "$W/restored"
	restore po1 "$SET" "$W/restored" >"$W/.work" 2>&1 && echo "a restore of it is good"
	named_in "$W/.work" "$2"
	sector_good
	tms verify po1 "$SET" >"$W/.work" 2>&1 || cat "$W/.work"
	sector_mended 2>&1
}

# What is staged and about to be sealed.
sector_staging() {
	local staged=$STORE/po1/gre_data/sync/ofmsg/msg0.db
	full_churn
	sector_bad "$(keeper_pid)" "$staged"
	timeout 60 "$BIN/tidemark" --config "$W/collector.conf" backup po1 --wait >"$W/.work" 2>&1 && echo "a set is sealed of what cannot be read"
	named_in "$W/.work" msg0.db
	sector_good
	[ -z "$(half_state)" ] || echo "half a set is left: $(half_state)"
	sector_mended 2>&1
}

sectors_all() {
	local database
	if ! strace -o /dev/null true 2>/dev/null; then skip "sectors that cannot be read" "processes cannot be traced here"; return; fi
	world_new
	"$GWSIM" make "$PO" --profile custom --users 2 --msgdbs 1 --blobs 40 --blob-bytes 2k --seed "$SEED" >"$W/gwsim.log" 2>&1
	world_start
	backup >"$W/.first" || { not_ok "disk: a first backup is good" "$W/.first"; exit 1; }
	sector_blob small 3000 >"$W/.after"
	sector_judge "a small blob that cannot be read is named by status and by the backup"
	sector_blob large 700000 >"$W/.after"
	sector_judge "so is a large one"
	sector_database >"$W/.after"
	sector_judge "a database that cannot be read is named, and no set is made"
	database=$(find "$STORE/po1/backups/weeknow/$SET" -name '*.db' -type f | sort | head -n 1)
	sector_store "$database" "${database##*/}" >"$W/.after"
	sector_judge "a database of a set that cannot be read is named by verify and by a restore"
	sector_store "$STORE/po1/blobs/offiles/fd3/large" large >"$W/.after"
	sector_judge "so is a blob"
	sector_staging >"$W/.after"
	sector_judge "what cannot be read on the server is not sealed"
}
