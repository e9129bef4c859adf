#!/bin/bash
# clang-tidy and cppcheck over our own C, shellcheck over our scripts; any finding is a failure.
set -u
cd "$(dirname "$0")/../.." || exit 1
mapfile -t files < <(git ls-files '*.c' | grep -vE '^tests/')
bad=0

export FLAGS="-I. -Isrc -D_GNU_SOURCE -DTIDEMARK_VERSION=\"0\" -std=gnu11"
# One file a run: after another file clang-tidy no longer sees that va_start() fills a va_list.
# shellcheck disable=SC2016 # expanded by the inner shell
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 1 sh -c 'clang-tidy --quiet --warnings-as-errors="*" "$@" -- $FLAGS 2>/dev/null' tidy || bad=1
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j "$(nproc)" -I. -Isrc -D_GNU_SOURCE --include=/usr/include/x86_64-linux-gnu/sys/queue.h --include=/usr/include/jansson.h \
	--enable=warning,portability,performance --suppress=missingIncludeSystem --suppress=normalCheckLevelMaxBranches "${files[@]}" || bad=1
# Scripts are sourced into one another: what one sets another uses (SC2034, SC2154), with the arguments of some (SC2120); a list in a
# `case` is a test (SC2194).
git ls-files | xargs grep -lE '^#!/bin/(ba)?sh|^# shellcheck shell=' | grep -vE '\.(md|c)$' |
	xargs shellcheck -x -S warning -e SC2034,SC2154,SC2120,SC2194 || bad=1
[ $bad = 0 ] && echo "analyze: clean"
exit $bad
