#!/bin/sh
# Installs what tidemark needs to be built, tested and analysed on Debian 12.
#
#   ./install-deps.sh run       libraries alone, for a host that gets the programs from elsewhere
#   ./install-deps.sh build     compiler and libraries
#   ./install-deps.sh test      the same, and what the tests need
#   ./install-deps.sh analyze   the same, and the analyzers
#   ./install-deps.sh fuzz      what the tests need, and clang with libFuzzer
#   ./install-deps.sh bench     what the tests need, and the systems that tidemark is measured beside
#
# Does nothing when everything is there, so that it can be called every time.
set -eu

RUN="libevent-core-2.1-7 libevent-extra-2.1-7 libinotifytools0 libxxhash0 liblmdb0 libssl3 libzstd1 libjansson4 libseccomp2 tzdata"
BUILD="gcc make pkgconf libc6-dev libevent-dev libinotifytools0-dev libxxhash-dev liblmdb-dev libssl-dev libzstd-dev libjansson-dev libseccomp-dev"
TEST="$BUILD tzdata libcmocka-dev rsync python3 strace faketime libfuse3-dev libdw-dev e2fsprogs xfsprogs util-linux procps openssl"
ANALYZE="$TEST clang-tidy cppcheck shellcheck"
FUZZ="$TEST clang llvm libclang-rt-dev"
BENCH="$TEST iproute2 e2fsprogs openssh-client openssh-server lsyncd syncthing restic borgbackup rsnapshot"

case ${1:-build} in
run)     want=$RUN ;;
build)   want=$BUILD ;;
test)    want=$TEST ;;
analyze) want=$ANALYZE ;;
fuzz)    want=$FUZZ ;;
bench)   want=$BENCH ;;
*)       echo "usage: $0 run|build|test|analyze|fuzz|bench" >&2; exit 2 ;;
esac

missing=
for package in $want; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "$0: missing:$missing; install them as root" >&2; exit 1; }
	sudo=sudo
fi
echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q >/dev/null
# shellcheck disable=SC2086 # a list of names
$sudo apt-get install -y -q --no-install-recommends $missing >/dev/null
