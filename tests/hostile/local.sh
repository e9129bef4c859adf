# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Suites L1-L6: users of the same host, who may log in and nothing else.
if [ "$ROOT" = no ]; then
	skip "hostile L: another user of the host" "only root can be somebody else"
	return 0
fi
[ -n "${KEPT:-}" ] || hostile_world
chmod 755 "$W"	# so that it is the product's own rights that keep them out

nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
nobody "$PYTHON" -c 'import os, sys; os.listdir(sys.argv[1])' "$W" || { not_ok "hostile L: another user comes as far as $W, and can run what tries to come further"; exit 1; }

nothing_is_readable() {
	local found
	found=$(nobody find "$STATE" "$W/state-evil" "$STORE" "$W"/run-* \( -type f -o -type s -o -type d \) \( -readable -o -writable \) 2>/dev/null | grep -v "/run-[a-z]*$")
	[ -z "$found" ] || { echo "$found" | head -n 10; return 1; }
}

keys_are_private() {
	local found
	found=$(find "$STATE/identity" "$W/state-evil/identity" "$STORE/.identity" -perm /077) && [ -z "$found" ] || { echo "$found"; return 1; }
}

sockets_are_closed_to_others() {
	local socket sockets=0
	for socket in "$W"/run-*/*.sock; do
		[ -S "$socket" ] || continue
		sockets=$((sockets + 1))
		! nobody "$PYTHON" "$TESTS/tools/proc.py" owner "$socket" 2>/dev/null || { echo "${socket##*/} lets anybody in"; return 1; }
	done
	[ $sockets -ge 3 ]
}

commands_of_others_are_refused() {
	local verb
	cp "$BIN/tidemark" "$W/tidemark-for-all" && chmod 755 "$W/tidemark-for-all"
	for verb in "status" "stop po1" "set list po1" "restore po1 latest --to /tmp/x" "token create po1"; do
		# shellcheck disable=SC2086 # a verb and its words
		! nobody "$W/tidemark-for-all" --socket "$W/run-server/server.sock" $verb || { echo "$verb is obeyed"; return 1; }
	done
	rm "$W/tidemark-for-all"
}

secrets_are_not_shown() {
	local token pid
	token=$(tms token create evil) || return 1
	! grep -F "$token" "$W"/*.log || return 1
	for pid in "${PID[server]}" "${PID[collector]}" "$(keeper_pid)" "$(watcher_pid)"; do
		! tr '\0' '\n' <"/proc/$pid/cmdline" | grep -F "$token" || return 1
		! tr '\0' '\n' <"/proc/$pid/environ" | grep -F -e "$token" -e "PRIVATE KEY" || return 1
	done
	! grep -l "PRIVATE KEY" "$W"/*.log
}

restore_follows_nobody() {
	ln -s "$W/elsewhere" "$W/way" && chown -h 65534:65534 "$W/way"
	! restore po1 latest "$W/way/here" || { echo "the restore went over nobody's link"; return 1; }
	! restore po1 latest "$W/way" || { echo "the restore went to nobody's link"; return 1; }
	rm "$W/way"
	[ -z "$(ls -A "$W/elsewhere")" ]
}

socket_is_no_link() {
	collector_stop && watcher_kill	# whose socket is planted over could not be found again
	touch "$W/scratch/precious" && ln -sf "$W/scratch/precious" "$W/run-collector/collector.sock" && ln -sf "$W/elsewhere/sock" "$W/run-collector/watcher-po1.sock"
	collector_start && sync_wait || { echo "the collector does not start beside a planted link"; return 1; }
	[ -f "$W/scratch/precious" ] && [ -z "$(ls -A "$W/elsewhere")" ]
}

# Planted where the next backup writes: it may fail, it may not follow.
staging_follows_nobody() {	# staging_follows_nobody FOLDER
	mv "$1" "$1.aside" && ln -s "$W/elsewhere" "$1"
	"$GWSIM" churn "$PO" --fraction 20% --seed $((cases + 50)) >/dev/null
	backup
	[ -L "$1" ] && rm "$1"
	[ -e "$1" ] || mv "$1.aside" "$1"
	rm -rf "$1.aside"
	[ -z "$(ls -A "$W/elsewhere")" ] || { echo "written: $(ls -A "$W/elsewhere")"; return 1; }
	sync_wait && backup && restore po1 latest "$W/restored-$cases" && compare_tree "$PO" "$W/restored-$cases"
}
local_staging() { find "$STATE/po1/backups/weeknow" -mindepth 1 -maxdepth 1 -type d | head -n 1; }

case "L1 L2 L4 L5 L6 local" in *"${ONLY:-}"*)
	hostile_verdict "L1 L6 state, store, staging and sets are open to no other user" nothing_is_readable
	hostile_verdict "L1 private keys, pins and tokens are their owner's alone" keys_are_private
	hostile_verdict "L1 L5 no socket answers another user" sockets_are_closed_to_others
	hostile_verdict "L5 the command line does nothing for another user" commands_of_others_are_refused
	hostile_verdict "L4 neither tokens nor keys are in logs, arguments or environments" secrets_are_not_shown
	hostile_verdict "L2 a restore follows nobody's link to its target" restore_follows_nobody
	hostile_verdict "L2 links planted for the sockets are replaced and not followed" socket_is_no_link
	hostile_verdict "L2 a link planted in the collector's staging is not written through" staging_follows_nobody "$(local_staging)/ofmsg"
	hostile_verdict "L2 a link planted where the server builds its sets is not written through" staging_follows_nobody "$STORE/po1/backups/creating"
	hostile_verdict "L2 a link planted in the server's staging is not written through" staging_follows_nobody "$STORE/po1/gre_data/sync/ofmsg"
esac
