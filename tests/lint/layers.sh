#!/bin/bash
# The architecture as a test: who may include whom, and which one file knows which library.
#
#   check FOLDER 'allowed|prefixes'      every project include in FOLDER begins with one of them
#   own 'header pattern' 'file|file'     only these files include it
#
# A rule about nothing, because a folder has moved or git does not list the files, is a mistake as well.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0

includes() { grep -HnoE '^#include "[^"]+"' "$@" 2>/dev/null | sed -E 's/#include "([^"]+)"/\1/'; }

check() {
	local found
	compgen -G "$1/*.c" >/dev/null || { printf 'layer: %s has no files\n' "$1"; bad=1; }
	found=$(includes "$1"/*.c "$1"/*.h | grep -v '_main\.c:' | grep -vE ":[0-9]+:($2)")
	[ -z "$found" ] || { printf 'layer: %s may include only %s\n%s\n' "$1" "$2" "$found"; bad=1; }
}

own() {
	local found
	found=$(git ls-files '*.c' '*.h' | grep -vE '^(tests|bench)/' | xargs grep -lE "^#include <$1" 2>/dev/null | grep -vxE "$2")
	git ls-files '*.c' '*.h' | grep -xE "$2" | xargs grep -qE "^#include <$1" || { printf 'library: <%s> is included by none of %s\n' "$1" "$2"; bad=1; }
	[ -z "$found" ] || { printf 'library: <%s> belongs to %s, but is included by\n%s\n' "$1" "$2" "$found"; bad=1; }
}

SHARED='base/|layout\.h|jobs\.h'
check src/base    'base/'
check src/wire    'base/|wire/'
check src         "$SHARED|livetree\.h|spelling\.h|mounts\.h"
check journal     'base/|journal/|wire/entry\.h'
check watcher     "base/|layout\.h|livetree\.h|watcher/|journal/change\.h"
check replicator  "base/|wire/|layout\.h|livetree\.h|journal/|replicator/"
check src/release 'base/|wire/signing\.h|release/'
check src/server  "$SHARED|wire/|server/|keeper/order\.h|release/release\.h"
check src/keeper  "base/|layout\.h|wire/entry\.h|server/index\.h|server/config\.h|keeper/"
check src/collector "$SHARED|wire/|livetree\.h|journal/|replicator/|release/|collector/"
check src/control "$SHARED|wire/|collector/|server/|keeper/order\.h|journal/journal\.h|replicator/replicator\.h|control/"

check bench/gwsim 'bench/gwsim/'	# the oracle shares nothing with what it judges

own 'lmdb\.h'        'src/base/store[a-z_]*\.c'
own 'xxhash\.h'      'src/base/block\.c|src/base/store[a-z_]*\.c|src/base/treemap\.c'
own 'inotifytools/'  'watcher/source_inotify\.c'
own 'zstd\.h'        'src/wire/wire_frame\.c'
own 'jansson\.h'     'src/control/[a-z_]+\.[ch]|src/tidemark_main\.c'
own 'openssl/ssl\.h' 'src/wire/(identity|wire_conn)[a-z_]*\.[ch]'
own 'openssl/evp\.h' 'src/base/digest\.c|src/wire/identity_keys\.h'
own 'seccomp\.h|linux/landlock\.h' 'src/base/confine\.c'
own 'event2/http'    'src/control/[a-z_]+\.c'
own 'pthread\.h'     'src/base/(workpool|crew|courier|digest|store|log)[a-z_]*\.[ch]|src/collector/copy(run|finish)\.c'

# Durability has one home.
found=$(git ls-files 'src/*.c' 'watcher/*.c' 'journal/*.c' 'replicator/*.c' | grep -v '^src/base/fsio' |
	xargs grep -nE '\b(fsync|fdatasync|syncfs|rename|renameat2?|openat2)\(' | grep -vE '^[^:]+:[0-9]+:\s*(/?\*|//)')
[ -z "$found" ] || { printf 'durability: belongs to src/base/fsio.c\n%s\n' "$found"; bad=1; }

# The watcher is linked with a GPL-2-only library and must stay free of OpenSSL.
for flavour in release asan tsan; do
	program=build/$flavour/bin/tidemark-watcher
	if [ -x "$program" ] && readelf -d "$program" | grep -qE 'lib(ssl|crypto)'; then
		echo "licence: $program is linked with OpenSSL"; bad=1
	fi
done

[ $bad = 0 ] && echo "layers: clean"
exit $bad
