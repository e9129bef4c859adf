#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Stands where GroupWise's DBCOPY would: fake_dbcopy.sh VARIANT [-v] SRC DST.  Copies what is missing or newer, its log
# mmddgwbk.nnn goes to DST, and pointed at a post office it wants the blobs too.
#
# VARIANT: good; brief-blob-once, brief-blob-always (a blob comes and goes while it copies); exit1; logs-error (exit 0); talks (400 KB); skips-database; hangs; empties-database
set -u
variant=$1
shift
while [ "${1#-}" != "$1" ]; do
	case $1 in -t|-i) shift 2 ;; *) shift ;; esac
done
src=$1 dst=$2
log=$dst/$(date +%m%d)gwbk.001 failed=0
echo "$dst copies $src" >"$log"

copy() {	# copy FILES... into a folder below DST
	local folder=$1
	shift
	mkdir -p "$dst/$folder"
	for file in "$@"; do
		[ -f "$file" ] || continue
		case $variant:${file##*/} in skips-database:msg1.db) continue ;; esac
		if cp -pu "$file" "$dst/$folder/"; then
			echo "copied ${file##*/}" >>"$log"
		else
			failed=1	# and cp has said why
			continue
		fi
		case $variant:${file##*/} in empties-database:msg1.db) : >"$dst/$folder/msg1.db"; touch -r "$file" "$dst/$folder/msg1.db" ;; esac
	done
}

if [ "$variant" = hangs ]; then
	echo $$ >>"$dst/../../hanging"
	exec sleep 600
fi
copy . "$src"/*.db "$src"/*.dc "$src"/ngwguard.*
copy ofuser "$src"/ofuser/*.db
copy ofmsg "$src"/ofmsg/*.db
copy ofmsg/guardbak "$src"/ofmsg/guardbak/*
for folder in $(cd "$src" && find -L ofviews -type d 2>/dev/null); do copy "$folder" "$src/$folder"/*; done
for folder in $(cd "$src" && find -L offiles -type d 2>/dev/null); do copy "$folder" "$src/$folder"/*; done
echo "blobs seen: $(find -L "$src/offiles" -type f 2>/dev/null | wc -l)"
case $variant in
brief-blob-*)
	echo $$ >>"$dst/../../copies"
	if [ "$variant" = brief-blob-always ] || [ "$(wc -l <"$dst/../../copies")" = 1 ]; then
		blob=$(dirname "$(realpath "$src/wphost.db")")/offiles/fd0/brief	# we are shown no blobs
		exec 3>"$blob" && echo brief >&3 && rm "$blob"	# still open: nobody has looked at it
		exec 3>&-
	fi ;;
exit1) echo "the disk is on fire"; exit 1 ;;
talks) for ((i = 0; i < 5000; i++)); do printf 'copied file %d of many, as -v would tell of a post office with many databases\n' $i; done ;;
logs-error) echo "Error [C04F] while reading ngwguard.db" >>"$log" ;;
esac
exit $failed
