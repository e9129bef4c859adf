# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Mounts that go and come while everything is in use: nothing that was unmounted is taken for deleted, nothing of another disk is
# taken for ours, and what happened before and after arrives.

# The blobs lie on a volume of their own, where the races see them by another path: an unmounting does not stop them.
mounts_world() {
	OFFILES_ON=volume watching_world
	OUTSIDE=$W/volume/outside BLOBS=$W/volume/offiles/watching
	mkdir "$OUTSIDE"
}

mounts_gone() { wait_status 60 'p["state"] == "failed" and "mount" in p["reason"]'; }
mounts_back() { wait_status 90 'p["connected"] and p["watcher"] and "gone or not mounted" not in p["reason"] and p["rescans_open"] == 0'; }

# What was deleted stays on the server's disk for the sets that name it, and when it comes again it is another version: the office's own
# blobs, which nobody changes, have none.
mounts_kept() { ! find "$STORE/po1/blobs" -path '*/versions/*' -not -path '*/offiles/watching/*' -type f | grep .; }

# Unmounted half-way through a race, which goes on where nobody sees it.
mounts_unmount() {	# mounts_unmount SEED
	local racer
	"$TOOLDIR/racer" -w -n 2000 "$OUTSIDE" "$1" "$BLOBS" &
	racer=$!
	proc gone $racer "0.0$(($1 % 9 + 1))"
	umount "$PO/offiles" || umount -l "$PO/offiles" || return 1
	wait $racer
	! tm backup po1 --wait >"$W/.refused" 2>&1 || { echo "a backup was made of what is left"; return 1; }
	mounts_gone || { echo "status does not say that it is gone"; return 1; }
}

mounts_round() {	# mounts_round SEED
	mounts_unmount "$1" || return
	if [ $(($1 % 2)) = 0 ]; then	# an empty disk in its place, for a while
		mount -t tmpfs tmpfs "$PO/offiles" || return
		mkdir "$PO/offiles/fd0" && echo foreign >"$PO/offiles/fd0/foreign"
		! timeout 5 "$BIN/tidemark" --config "$W/collector.conf" sync po1 --wait >"$W/.refused" 2>&1 || { echo "another disk was taken for ours"; return 1; }
		umount "$PO/offiles"
	fi
	mount --bind "$W/volume/offiles" "$PO/offiles" || return
	mounts_back || { echo "it does not go on"; return 1; }
	"$TOOLDIR/racer" -w "$OUTSIDE" $(($1 + 1000)) "$BLOBS" && watching_check || return
	mounts_kept || { echo "what was unmounted was taken for deleted, and sent again"; return 1; }
	[ ! -e "$STORE/po1/blobs/offiles/fd0/foreign" ] || { echo "a file of another disk was sent"; return 1; }
}

watching_mounts() {	# watching_mounts SEED COUNT
	local i bad=0
	[ "$ROOT" = yes ] || { skip "mounts" "needs mounts"; return; }
	mounts_world
	for ((i = 0; i < $2; i++)); do
		if ! mounts_round $(($1 + i)) >"$W/.round" 2>&1; then
			bad=$((bad + 1))
			not_ok "mounts: round $i (again: SEED=$(($1 + i)) MOUNTS_TRIED=1 ONLY=mounts make watching)" "$W/.round"
			watching_end
			mounts_world
		fi
	done
	[ $bad != 0 ] || ok "mounts: $2 times unmounted in a race, mounted again or exchanged: nothing was taken for deleted, nothing lost"
}
