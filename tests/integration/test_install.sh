#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What `make install` puts where, and that it is whole.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

W=$(mktemp -d "${TMPDIR:-/tmp}/tm.XXXXXX") && WORLDS+=("$W")
SOURCE=$(cd "$TESTS/.." && pwd)
(cd "$SOURCE" && DESTDIR=$W/root PREFIX=/usr BIN=$BIN ./install.sh) >"$W/install.log" || not_ok "it is installed" "$W/install.log"
for program in tidemark tidemark-collector tidemark-watcher tidemark-server tidemark-keeper tidemark-dbcopy tidemark-release; do
	expect 0 "$program" "$program is installed and tells its usage" "$W/root/usr/bin/$program" --help
	expect 0 '[0-9]+\.[0-9]+' "$program tells its version" "$W/root/usr/bin/$program" --version
	expect 2 'usage|unknown option' "$program refuses an option it does not know" "$W/root/usr/bin/$program" --nonsense
done
same "no unit has a place left to fill in" "" "$(grep -l '@[A-Z]*@' "$W/root/lib/systemd/system/"*)"
for unit in "$W/root/lib/systemd/system/"*.service; do
	check "${unit##*/} starts a program that is installed" test -x "$W/root$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit")"
	check "${unit##*/} names a document that is installed" test -f "$W/root$(sed -n 's/^Documentation=file:..\(.*\)/\1/p' "$unit")"
	refuse "${unit##*/} lets a restore, DBCOPY and the state lie where the operator says" grep -Eq '^(ProtectSystem=strict|ReadOnlyPaths=)' "$unit"
done
expect 0 good "the server's example is a good configuration" "$BIN/tidemark" --config "$W/root/usr/share/doc/tidemark/server.conf.example" config validate server
expect 2 'server: ' "the collector's lacks only what nobody can fill in for the administrator" "$BIN/tidemark" --config "$W/root/usr/share/doc/tidemark/collector.conf.example" config validate collector
done_testing
