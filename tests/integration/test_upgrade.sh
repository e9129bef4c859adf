#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The collector upgrades itself from the server: only to what two of its keys signed, to nothing older, and back from what does not come up.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

world_new
po_tiny 64
NEXT=$BIN/../next STILLBORN=$BIN/../tools/stillborn
RELEASE() { "$BIN/tidemark-release" "$@"; }
mkdir "$W/releases" "$W/signers" "$W/stillborn"
for who in ann ben stranger; do RELEASE key "$W/signers/$who" >"$W/signers/$who.pub"; done
cat "$W/signers/ann.pub" "$W/signers/ben.pub" >"$W/keys"
sed -i "/^store /a releases = $W/releases" "$W/server.conf"
sed -i "/^state /a upgrade-keys = $W/keys" "$W/collector.conf"
HERE=$("$BIN/tidemark" version) HERE=${HERE##* }

upgrade() { tm --json upgrade | q "$1"; }
runs() { readlink "/proc/${PID[collector]}/exe"; }
now() { tm upgrade now >/dev/null; }
wait_upgrade() {	# wait_upgrade SECONDS KEY PATTERN
	local end=$((SECONDS + $1 * PATIENCE)) got
	while [ $SECONDS -le $end ]; do
		got=$(upgrade "$2" 2>/dev/null) && [[ $got =~ $3 ]] && return
	done
	echo "$2 is \"$got\", and not $3"
	return 1
}
connected_backup() { wait_status 20 'p["connected"]' && backup; }
restored_is_the_tree() { restore po1 latest "$W/$1" && compare_tree "$PO" "$W/$1"; }
# What a supervisor does. A release that dies before it listens is one more start.
supervised_start() {
	local i
	for i in 1 2 3 4 5 6; do
		collector_start 2>/dev/null && { note "start $i stayed"; return; }
	done
	return 1
}
stillborn() {	# stillborn VERSION FILE: a release of programs that do not come up, signed by both
	local program
	for program in tidemark-collector tidemark-watcher tidemark-dbcopy; do cp "$STILLBORN" "$W/stillborn/$program"; done
	echo "$1" >"$W/stillborn/version"
	RELEASE pack "$W/stillborn" "$2" && RELEASE sign "$2" "$W/signers/ann" "$W/signers/ben"
}

# --- making a release -----------------------------------------------------------------------------------------------------------------
offered=$W/releases/next.release
check "a release is packed from programs that tell one version" RELEASE pack "$NEXT" "$offered"
expect 0 'version +999\.0\.0' "and shown" RELEASE show "$offered"
expect 12 'only 0 of the 2' "unsigned it is not trusted" RELEASE show "$offered" "$W/keys"
expect 11 'never written over' "a key is not made over another" RELEASE key "$W/signers/ann"
expect 2 'another version' "programs of two versions make no release" bash -c '
	mkdir "$1/mixed" && cp "$2"/* "$1/mixed" && cp "$3/tidemark-dbcopy" "$1/mixed/" && exec "$3/tidemark-release" pack "$1/mixed" "$1/mixed.release"' - "$W" "$NEXT" "$BIN"

cp "$offered" "$W/renewed" && RELEASE sign "$W/renewed" "$W/signers/ann" "$W/signers/ben"
expect 0 'trusted +yes' "signed by two it is trusted" RELEASE show "$W/renewed" "$W/keys"
check "its time begins anew" RELEASE renew "$W/renewed" 30
expect 12 'only 0 of the 2' "and then it is to be signed again" RELEASE show "$W/renewed" "$W/keys"

# --- what is not signed by two is not run -------------------------------------------------------------------------------------------------
world_start
check "the first set, by the installed programs" backup
check "doctor says that it upgrades itself" bash -c '"$1" --config "$2" doctor | grep "OK *upgrade"' - "$BIN/tidemark" "$W/collector.conf"
now
check "a release that nobody signed is refused" wait_upgrade 20 reason 'only 0 of the 2 signatures'
RELEASE sign "$offered" "$W/signers/ann" "$W/signers/stranger"
now
check "one that a stranger signed, too" wait_upgrade 20 reason 'only 1 of the 2 signatures'
expect 4 'only 1 of the 2' "and the status is degraded, and says why" tm status
same "nothing of it was fetched" "" "$(ls "$STATE/upgrade")"

# --- the upgrade, while files are being made -------------------------------------------------------------------------------------------------
watcher_before=$(proc owner "$W/run-collector/watcher-po1.sock")
pid=${PID[collector]}
mkdir "$PO/offiles/busy"
( for ((i = 0; i < 3000; i++)); do echo "$i" >"$PO/offiles/busy/$i"; done ) & busy=$!
RELEASE sign "$offered" "$W/signers/ben"
now
check "one that two signed is fetched and begun" wait_upgrade 60 running '^999\.0\.0$'
check "it proves itself, and is kept" wait_file "$STATE/upgrade/versions" '^current 999\.0\.0$'
wait "$busy"
check "in the process that its supervisor knows" kill -0 "$pid"
same "from the state's folder" "$STATE/upgrade/999.0.0/tidemark-collector" "$(runs)"
check "what changed meanwhile is on the server" sync_wait
check "and nothing else" compare_replica
same "the watcher that was replaced is reaped" "" "$(ps -o pid=,stat=,comm= --ppid "$pid" | awk '$2 ~ /Z/')"
watcher=$(proc owner "$W/run-collector/watcher-po1.sock")
holds "the watcher is another one" "$watcher" != "$watcher_before"
same "of the release" "$STATE/upgrade/999.0.0/tidemark-watcher" "$(readlink "/proc/$watcher/exe")"
check "a backup by the release" backup
check "and a restore of its set is the tree" restored_is_the_tree released
expect 0 '999\.0\.0 runs; the server has' "upgrade tells which runs" tm upgrade
collector_stop; collector_start
same "after a restart the installed program becomes it again" "$STATE/upgrade/999.0.0/tidemark-collector" "$(runs)"

# --- what does not come up gives way -----------------------------------------------------------------------------------------------------------
stillborn 999.1.0 "$W/releases/stillborn.release"
now_is_dead() { local pid=${PID[collector]}; now; local end=$((SECONDS + 60 * PATIENCE)); while [ $SECONDS -le $end ]; do kill -0 "$pid" 2>/dev/null || return 0; done; return 1; }
check "a release that dies at once is begun" now_is_dead
check "its supervisor starts it until it has failed three times" supervised_start
same "then what ran before runs again" "$STATE/upgrade/999.0.0/tidemark-collector" "$(runs)"
same "the release is noted as failed" "failed 999.1.0" "$(grep ^failed "$STATE/upgrade/versions")"
check "it is not tried again by itself" wait_upgrade 60 reason 'was tried and did not come up'
expect 4 'did not come up' "and the status is degraded for it" tm status
check "the backup goes on" backup
rm "$W/releases/stillborn.release"

# What it becomes is told by the environment: here a program that says how it was called.
expect 0 'nowhere\.conf' "one on trial that cannot start gives way to the installed program, whatever its supervisor does" \
	env TIDEMARK_LAUNCHED_BY=/bin/echo TIDEMARK_ON_TRIAL=1 "$BIN/tidemark-collector" --config "$W/nowhere.conf"
expect 2 'nowhere\.conf' "one that was proved ends with its error" env TIDEMARK_LAUNCHED_BY=/bin/echo "$BIN/tidemark-collector" --config "$W/nowhere.conf"

# --- nothing older ----------------------------------------------------------------------------------------------------------------------------
stillborn 998.0.0 "$W/releases/older.release"
rm "$offered"
now
check "an older release is refused, however well it is signed" wait_upgrade 20 reason 'older than what runs here'
rm "$W/releases/older.release"
now
check "a server that has none any more is told of" wait_upgrade 20 reason 'no release for'

# --- what lies in the state is read before it runs -------------------------------------------------------------------------------------------
collector_stop
chmod u+w "$STATE/upgrade/999.0.0/tidemark-dbcopy"
printf 'X' | dd of="$STATE/upgrade/999.0.0/tidemark-dbcopy" bs=1 seek=9000 conv=notrunc status=none
collector_start
same "a release with a changed byte does not run: the installed program does" "$(realpath "$BIN/tidemark-collector")" "$(runs)"
check "and says why" wait_log collector 'release 999\.0\.0 does not run here: .*tidemark-dbcopy: it is not what was signed'
check "the backup goes on by it" connected_backup
check "a set of both is the tree" restored_is_the_tree both
same "it is the version that is installed" "$HERE" "$(upgrade running)"

# --- switched off -----------------------------------------------------------------------------------------------------------------------------
collector_stop
sed -i '/^upgrade-keys/d' "$W/collector.conf"
collector_start
expect 0 'upgrades are off' "without keys upgrades are off" tm upgrade
expect 1 'upgrades are off' "and cannot be asked for" tm upgrade now
done_testing
