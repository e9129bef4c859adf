# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Changes without an event: stores through a mapping, and writes through a link outside the tree.  The index is found by its poll,
# a blob by the slow scan.

# The copy follows the file, as it happens in the copy's folder.
silent_arrives() {	# silent_arrives FILE COPY [SECONDS]
	local watch found=1 end=$((SECONDS + ${3:-15}))
	coproc FOLDER { exec "$PYTHON" "$TESTS/tools/watchdir.py" "${2%/*}"; }
	watch=$FOLDER_PID
	while ! cmp -s "$1" "$2" || ! found=0; do
		[ $SECONDS -lt $end ] && read -r -t 1 <&"${FOLDER[0]}" || [ $SECONDS -lt $end ] || break
	done
	kill "$watch"
	wait "$watch" 2>/dev/null
	return $found
}

silent_map() { coproc MAPPED { exec "$PYTHON" "$TESTS/tools/mapped.py" "$1"; }; STARTED+=("$MAPPED_PID"); }
silent_tell() { echo "$*" >&"${MAPPED[1]}" && read -r -t 10 <&"${MAPPED[0]}"; }

# SIZE decides whether it travels whole or in patches.
silent_mapping() {	# silent_mapping NAME SIZE
	local file=$INDEX/$1 copy=$STORE/po1/gre_data/ofuser/index/watching/$1 i
	head -c "$2" /dev/urandom >"$file"
	sync_wait 30
	silent_map "$file"
	silent_tell store 100 first
	check "mapped: $1: a store is found by the poll, with no event and nothing closed" silent_arrives "$file" "$copy"
	# Each only when the one before has arrived: the page is still dirty, and nothing moves the file's times.
	for i in second third fourth; do
		silent_tell store 100 $i
		check "mapped: $1: so is a $i, into a page that is dirty still" silent_arrives "$file" "$copy"
	done
	silent_tell store $(($2 - 10)) fifth
	silent_tell sync
	check "mapped: $1: so is one into another page, synced" silent_arrives "$file" "$copy"
	kill "$MAPPED_PID"
	wait "$MAPPED_PID" 2>/dev/null
}

# A write through a name that nobody watches.
silent_link() {	# silent_link FILE COPY SENTENCE
	ln "$1" "$PO/elsewhere" || return
	printf 'written outside' | dd of="$PO/elsewhere" bs=1 seek=50 conv=notrunc status=none
	check "$3" silent_arrives "$1" "$2"
	rm "$PO/elsewhere"
}

silent_links() {
	head -c 9000 /dev/urandom >"$INDEX/linked"
	head -c 9000 /dev/urandom >"$BLOBS/linked"
	echo one >"$BLOBS/again" && sync_wait 30
	echo two >"$BLOBS/again"	# the folder of second versions is there to be watched
	check "links: both files are there" watching_check
	silent_link "$INDEX/linked" "$STORE/po1/gre_data/ofuser/index/watching/linked" "links: an index that is written by a link outside is found by its poll"
	silent_link "$BLOBS/linked" "$STORE/po1/blobs/versions/2/offiles/watching/linked" "links: a blob that is written by a link outside is found by the slow scan"
	check "links: and everything else is as it was" watching_check
}

watching_silent() {
	[ "$ROOT" = yes ] || { skip "changes without events" "needs mounts"; return; }
	# On a disk: in memory only the first store into a page moves a file's times.
	OFFICE_ON=ext4 INDEX_POLL=1s PROFILE_KEYS='rescan = 3s' watching_world || { skip "changes without events" "no loop device"; return; }
	silent_mapping small 9000
	silent_mapping large 700000
	silent_links
}
