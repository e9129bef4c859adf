#!/bin/sh
# Installs the programs, the commented configuration and the service units below DESTDIR/PREFIX.
set -eu
bin=${DESTDIR:-}${PREFIX:-/usr/local}/bin
doc=${DESTDIR:-}${PREFIX:-/usr/local}/share/doc/tidemark
units=${DESTDIR:-}/lib/systemd/system
conf=${DESTDIR:-}/etc/tidemark

install -d "$bin" "$doc" "$units" "$conf"
for program in tidemark tidemark-collector tidemark-watcher tidemark-server tidemark-keeper tidemark-dbcopy tidemark-release; do
	install -m 755 "${BIN:-build/bin}/$program" "$bin/$program"
done
for file in conf/*.conf; do
	install -m 644 "$file" "$doc/$(basename "$file").example"
done
install -m 644 README.md ARCHITECTURE.md CHANGELOG.md LICENSE src/wire/PROTOCOL.md "$doc"
for unit in conf/*.service; do
	sed "s#@BIN@#${PREFIX:-/usr/local}/bin#g; s#@DOC@#${PREFIX:-/usr/local}/share/doc/tidemark#g" "$unit" >"$units/$(basename "$unit")"
	chmod 644 "$units/$(basename "$unit")"
done
# On this machine, not in a package's folder: receiver and keeper are two users (ARCHITECTURE.md, section 1).
if [ -z "${DESTDIR:-}" ] && [ "$(id -u)" = 0 ]; then
	for user in tidemark tidemark-keeper; do
		getent passwd "$user" >/dev/null || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
	done
fi
echo "installed below ${DESTDIR:-}${PREFIX:-/usr/local}; write $conf/server.conf or $conf/collector.conf next (README.md)"
