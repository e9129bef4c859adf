#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The oracle of the other tests, tested: a clean office is called clean, and every planted fault is found and named.
set -u

BIN=${BIN:-build/bin}
GWSIM=$(realpath "$BIN/gwsim")
SEED=${SEED:-1}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/test_gwsim.XXXXXX")
PIDS=
failures=0 tests=0

cleanup() {
	for pid in $PIDS; do kill "$pid" 2>/dev/null; done
	rm -rf "$WORK"
}
trap cleanup EXIT
cd "$WORK" || exit 1
echo "# seed $SEED"

report() {	# report CODE SENTENCE
	tests=$((tests + 1))
	if [ "$1" = 0 ]; then
		echo "ok - $2"
	else
		echo "not ok - $2"
		failures=$((failures + 1))
	fi
}

expect() {	# expect CODE WORDS SENTENCE COMMAND...: the exit code, and a line of output that matches WORDS
	local code=$1 words=$2 sentence=$3 got
	shift 3
	"$@" >out 2>err
	got=$?
	if [ "$got" = "$code" ] && grep -Eq -- "$words" out err; then
		report 0 "$sentence"
	else
		report 1 "$sentence"
		echo "# exit code $got, expected $code; expected words: $words"
		head -5 out err | sed 's/^/# /'
	fi
}

only_finding() {	# only_finding SENTENCE: the last check found one thing only
	grep -q ': 1 finding;' out
	report $? "$1"
}

fresh() { rm -rf po && cp -a clean po; }

differing_pages() {	# differing_pages OLD NEW: the pages that differ, without the header
	cmp -l "$1" "$2" | awk '{ page = int(($1 - 1) / 4096); if (page > 0 && !seen[page]++) print page }'
}

put_page() { dd if="$1" of="$2" bs=4096 skip="$3" seek="${4:-$3}" count=1 conv=notrunc status=none; }

first_blob() { find po/offiles -type f | LC_ALL=C sort | head -n 1; }

# --- a clean office -----------------------------------------------------------------------------------------------
"$GWSIM" make small --seed "$SEED" >/dev/null
expect 0 'clean; run [0-9a-f]{16}, 21 databases .* 2000 blobs' "a small office is clean" "$GWSIM" check small
rm -r small
make_tiny() { "$GWSIM" make "$1" --profile custom --blobs 300 --blob-bytes 6k --seed "$2"; }
make_tiny clean "$SEED" >made || { report 1 "an office is made"; exit 1; }
grep -q " seed=$SEED " made
report $? "making prints the seed"
expect 0 'clean; run [0-9a-f]{16}, 21 databases .* 300 blobs' "a fresh office is clean" "$GWSIM" check clean
for path in wphost.db ngwguard.db ngwguard.dc ngwguard.rfl gwpo.dc ofmsg/msg0.db ofmsg/ngwdfr.db \
	ofmsg/guardbak/ngwguard.fbk offiles/fd0 offiles/fdF6 ofwork oftemp wpcsin/0 wpcsin/7 wpcsout/ofs/0 \
	wpcsout/ofs/7 ofviews/win/mail01.vew; do
	[ -e "clean/$path" ] || { echo "# missing: $path"; false; } || layout=bad
done
[ "${layout:-good}" = good ] && [ "$(find clean/offiles -mindepth 1 -type d | wc -l)" = 247 ] &&
	ls clean/ofuser/user???.db clean/ofuser/index/???.idx >/dev/null
report $? "the office has the layout of a post office"

# --- determinism --------------------------------------------------------------------------------------------------
make_tiny same "$SEED" >/dev/null && diff -r clean same >/dev/null
report $? "the same seed makes the same bytes"
make_tiny other "$((SEED + 1))" >/dev/null && ! cmp -s clean/wphost.db other/wphost.db
report $? "another seed makes other bytes"
"$GWSIM" churn same --fraction 2% --seed 3 >a && cp -a clean again && "$GWSIM" churn again --fraction 2% --seed 3 >b &&
	cmp -s a b && diff -r same again >/dev/null
report $? "the same churn makes the same bytes"
expect 1 'is not empty' "a directory in use is not made again" "$GWSIM" make clean

# --- planted faults -----------------------------------------------------------------------------------------------
fresh
"$GWSIM" churn po --fraction 5% --seed 9 >/dev/null
page=$(differing_pages clean/ofmsg/msg3.db po/ofmsg/msg3.db | head -n 1)
cp po/ofmsg/msg3.db good.db
dd if=clean/ofmsg/msg3.db of=po/ofmsg/msg3.db bs=2048 skip="$((2 * page))" seek="$((2 * page))" count=1 conv=notrunc \
	status=none
expect 14 "^torn page: ofmsg/msg3.db page $page: the checksum" "half a page of another version is torn" "$GWSIM" check po
only_finding "a torn page is one finding"

cp good.db po/ofmsg/msg3.db
put_page clean/ofmsg/msg3.db po/ofmsg/msg3.db "$page"
expect 14 "^torn page: ofmsg/msg3.db page $page: holds transaction 1, but transaction" \
	"a page of an older transaction is named" "$GWSIM" check po

"$GWSIM" make large --profile custom --msgdbs 1 --blobs 200 --blob-bytes 3k --db-share 90% --seed "$SEED" >/dev/null
cp large/ofmsg/msg0.db before.db
"$GWSIM" churn large --fraction 3% >/dev/null
cp large/ofmsg/msg0.db between.db
"$GWSIM" churn large --fraction 60% --seed 2 >/dev/null
page=$(comm -23 <(differing_pages before.db between.db | sort) <(differing_pages between.db large/ofmsg/msg0.db | sort) |
	head -n 1)
put_page before.db large/ofmsg/msg0.db "$page"
expect 14 "^torn page: ofmsg/msg0.db page $page: holds transaction 1, but transaction" \
	"an old page is named even when the header has forgotten its change" "$GWSIM" check large

cp good.db po/ofmsg/msg3.db
put_page clean/ofmsg/msg3.db po/ofmsg/msg3.db 0
expect 14 '^torn page: ofmsg/msg3.db page [0-9]+: holds transaction [0-9]+, the header ends with transaction 1' \
	"a header older than its pages is found" "$GWSIM" check po

cp good.db po/ofmsg/msg3.db
put_page good.db po/ofmsg/msg3.db 4 5
expect 14 '^misplaced page: ofmsg/msg3.db page 5: is page 4' "a page in another's place is found" "$GWSIM" check po

cp good.db po/ofmsg/msg3.db
put_page po/ofmsg/msg2.db po/ofmsg/msg3.db 5
expect 14 '^foreign page: ofmsg/msg3.db page 5' "a page of another database is found" "$GWSIM" check po

cp good.db po/ofmsg/msg3.db
dd if=/dev/zero of=po/ofmsg/msg3.db bs=4096 seek=6 count=1 conv=notrunc status=none
expect 14 '^torn page: ofmsg/msg3.db page 6: is no database page' "a page of zeros is found" "$GWSIM" check po

cp good.db po/ofmsg/msg3.db
truncate -s -4096 po/ofmsg/msg3.db
expect 14 '^short database: ofmsg/msg3.db: the header counts' "a database without its last page is found" "$GWSIM" check po
truncate -s -1000 po/ofmsg/msg3.db
expect 14 '^ragged database: ofmsg/msg3.db' "a database cut within a page is found" "$GWSIM" check po
: >po/ofmsg/msg3.db
expect 14 '^empty database: ofmsg/msg3.db' "an empty database is found" "$GWSIM" check po

fresh
cp other/ofmsg/msg3.db po/ofmsg/msg3.db
expect 14 '^foreign run: ofmsg/msg3.db: belongs to run' "a database of another run is found" "$GWSIM" check po

fresh
put_page other/ofmsg/msg3.db po/ofmsg/msg3.db 5
expect 14 '^foreign run: ofmsg/msg3.db page 5' "a page of another run is found" "$GWSIM" check po

fresh
user=$(cd po && echo ofuser/user???.db) && user=${user%% *}
rm "po/$user"
expect 14 "^missing database: $user is registered" "a lost user database is found" "$GWSIM" check po
only_finding "a lost database is one finding"
rm po/ngwguard.db
expect 14 '^missing file: ngwguard.db' "a lost guardian database is found" "$GWSIM" check po
expect 14 "^missing database: $user is in the live office" "a lost database is found by comparing with the live office" \
	"$GWSIM" check po --live clean
fresh
rm po/ofmsg/msg*.db
expect 14 '^missing database: there is no ofmsg/msg' "an office without message databases is found" "$GWSIM" check po

fresh
cp po/ofmsg/msg0.db po/ofmsg/msg99.db
expect 14 'ofmsg/msg99.db' "a database under a wrong name is found" "$GWSIM" check po

fresh
blob=$(first_blob)
rm "$blob"
expect 14 "^missing blob: ${blob#po/} \\(ofmsg/msg[0-9].db page" "a missing blob is found" "$GWSIM" check po
only_finding "a missing blob is one finding"

fresh
truncate -s -1 "$blob"
expect 14 "^truncated blob: ${blob#po/} .* bytes recorded" "a truncated blob is found" "$GWSIM" check po
only_finding "a truncated blob is one finding"

fresh
printf x >>"$blob"
expect 14 "^oversized blob: ${blob#po/}" "a blob with a byte too many is found" "$GWSIM" check po

fresh
size=$(stat -c %s "$blob")
dd if=/dev/zero of="$blob" bs=1 seek="$((size - 16))" count=16 conv=notrunc status=none
expect 14 "^corrupted blob: ${blob#po/} .* SHA-256 differs" "a corrupted blob is found" "$GWSIM" check po
only_finding "a corrupted blob is one finding"

for path in wphost.db gwpo.dc ngwguard.dc ngwguard.rfl ofmsg/guardbak/ngwguard.fbk; do
	fresh
	rm "po/$path"
	expect 14 "^missing file: $path" "a missing $path is found" "$GWSIM" check po
done
fresh
printf x | dd of=po/gwpo.dc bs=1 seek=5000 conv=notrunc status=none
expect 14 '^damaged file: gwpo.dc has other content' "a damaged dictionary is found" "$GWSIM" check po
fresh
rm -r po/offiles
expect 14 '^missing directory: offiles' "a missing offiles is found" "$GWSIM" check po
expect 0 'clean' "a staging tree may lack offiles" "$GWSIM" check po --databases-only
mkdir empty
expect 14 '^missing file: wphost.db' "an empty directory is no office" "$GWSIM" check empty

# --- names and links ----------------------------------------------------------------------------------------------
fresh
mv po/offiles blobs && ln -s ../blobs po/offiles
expect 0 'clean.* 300 blobs' "offiles may be a symbolic link" "$GWSIM" check po
rm po/offiles && mv blobs po/OFFILES && mv po/OFFILES/fdF6 po/OFFILES/FDf6 && mv po/ofmsg po/OfMsg &&
	mv po/wphost.db po/WPHOST.DB && mv po/OfMsg/msg1.db po/OfMsg/MSG1.DB
expect 0 'clean.* 21 databases .* 300 blobs' "names match in any case" "$GWSIM" check po

# --- a live office ------------------------------------------------------------------------------------------------
fresh
"$GWSIM" churn po --fraction 1% >/dev/null
expect 14 '^newer than live: ofmsg/msg0.db' "a copy newer than the live office is found" "$GWSIM" check po --live clean
expect 0 'clean.* at most [1-9][0-9]* transactions behind' "a copy older than the live office is clean" \
	"$GWSIM" check clean --live po

fresh
"$GWSIM" churn po --fraction 10% --seed 4 >figures
pages=0
for db in $(cd clean && find . -name '*.db'); do
	n=$(cmp -l "clean/$db" "po/$db" 2>/dev/null | awk '{ seen[int(($1 - 1) / 4096)] } END { print length(seen) }')
	grown=$((($(stat -c %s "po/$db") - $(stat -c %s "clean/$db")) / 4096))
	pages=$((pages + n + grown))
done
new=$(diff -rq clean/offiles po/offiles | grep -c '^Only in po')
gone=$(diff -rq clean/offiles po/offiles | grep -c '^Only in clean')
expect 0 "\"changed_db_pages\":$pages,\"changed_db_bytes\":$((pages * 4096)),\"new_blobs\":$new,.*\"deleted_blobs\":$gone," \
	"churn tells exactly what it changed" cat figures
other=0
for file in $(diff -rq clean po | sed -n 's/^Files clean\/\(.*\) and .* differ$/\1/p' | grep -v '\.db$'); do
	case $file in
	ngwguard.rfl) other=$((other + $(stat -c %s "po/$file") - $(stat -c %s "clean/$file"))) ;;
	*) other=$((other + $(stat -c %s "po/$file"))) ;;
	esac
done
blobs=$(diff -rq clean/offiles po/offiles | sed -n 's/^Only in po\(.*\): \(.*\)$/po\1\/\2/p' | xargs stat -c %s | awk '{ n += $1 } END { print n }')
expect 0 "\"index_files\":[1-9].*\"changed_bytes\":$((pages * 4096 + other + blobs))," \
	"the sum of churn is every byte that differs, indexes and logs too" cat figures
expect 0 'clean' "a churned office is clean" "$GWSIM" check po

fresh
"$GWSIM" churn po --fraction 20% --only "$user" >figures
expect 0 '"changed_databases":1,.*"index_bytes":0,"log_bytes":0,' "one database can be churned alone" cat figures
[ "$(cd po && find . -name '*.db' | sort | while read -r db; do cmp -s "../clean/$db" "$db" || echo "$db"; done)" = "./$user" ]
report $? "and no other is touched"
expect 1 'has no database ofmsg/none.db' "a database that is not there cannot be churned" "$GWSIM" churn po --fraction 1% --only ofmsg/none.db

fresh
"$GWSIM" run po --for 2s --processes 3 --every 1s --seed "$SEED" >totals 2>live
code=$?
[ $code = 0 ] && grep -q ' failed_processes=0$' totals && grep -q '^run: ' live
report $? "agents work for the time given and print figures"
expect 0 'clean' "an office at rest is clean" "$GWSIM" check po

fresh
index() { (cd "$1/ofuser/index" && ls *.inc 2>/dev/null; sha256sum *.idx) | sort; }
"$GWSIM" run po --for 700ms --day 1h --every 0 --seed "$SEED" >totals
grep -q ' nights=0 ' totals && ls po/ofuser/index/*.inc >/dev/null &&
	[ "$(index clean)" = "$(index po | grep -v '\.inc$')" ]
report $? "by day only .inc files grow"
"$GWSIM" run po --for 1s --day 500ms --every 0 --seed "$SEED" >totals
grep -q ' nights=[1-9]' totals && [ "$(index clean)" != "$(index po | grep -v '\.inc$')" ]
report $? "at night the .idx files are written anew"
"$GWSIM" make equal --profile custom --blobs 50 --blob-bytes 4k --same-size >/dev/null &&
	[ "$(find equal/offiles -type f -size 4096c | wc -l)" = 50 ]
report $? "blobs of one size are of that size"

mkdir kept
"$GWSIM" run po --processes 3 --every 0 --keep-deleted kept --seed "$((SEED + 1))" >totals &
agents=$!
PIDS=$agents
expect 0 'clean' "a live office can be checked" "$GWSIM" check po
rm -rf plain
mkdir -p plain/ofmsg plain/ofuser
cp po/*.db plain/ && cp po/ofmsg/*.db plain/ofmsg/ && cp po/ofuser/*.db plain/ofuser/
# What a reader gets that is slow enough: of each page that an agent changes meanwhile, the beginning from before and the rest from after.
timeout 60 python3 - po/ofmsg/msg0.db plain/ofmsg/msg0.db <<'PY'
import sys
read = lambda: open(sys.argv[1], "rb").read()
before = read()
while (after := read())[:len(before)] == before:
    pass
mixed = bytearray(before)
for at in range(0, len(before), 4096):
    differs = [i for i in range(at, min(at + 4096, len(after))) if i < len(before) and before[i] != after[i]]
    if differs:
        middle = (differs[0] + differs[-1] + 1) // 2
        mixed[middle:at + 4096] = after[middle:at + 4096]
open(sys.argv[2], "wb").write(mixed)
PY
"$GWSIM" check plain --databases-only >out
[ $? = 14 ] && grep -q '^torn page: ' out
report $? "a copy that ignores the locks is torn"
complete=yes
for round in 1 2 3; do
	rm -rf copy
	"$GWSIM" copy po copy --databases-only >/dev/null && "$GWSIM" check copy --databases-only --live po >out || complete=no
	cp -al po/offiles copy/offiles 2>/dev/null
	cp -al kept/. copy/offiles/ 2>/dev/null
	find copy/offiles -name '*.tmp' -delete
	"$GWSIM" check copy --live po >out || { complete=no; head -5 out | sed "s/^/# round $round: /"; }
done
[ $complete = yes ]
report $? "databases copied under their locks and blobs copied later, deleted ones kept, are clean"
kill -TERM $agents
wait $agents
code=$?
PIDS=
[ $code = 0 ] && grep -q '^totals: .*failed_processes=0$' totals
report $? "agents stop at SIGTERM with their totals"
expect 0 'clean' "the office they leave is clean" "$GWSIM" check po

expect 0 ' deleted_blobs=100 ' "a mass expiry deletes the number asked for" "$GWSIM" run po --mass-expiry 100 --every 0
expect 0 'clean' "the office after a mass expiry is clean" "$GWSIM" check po

mkdir nothing
expect 14 '^missing database: there is none' "where there is no database, databases alone are not clean" "$GWSIM" check nothing --databases-only

# --- a domain -----------------------------------------------------------------------------------------------------
"$GWSIM" make domain --type domain --seed "$SEED" >/dev/null
"$GWSIM" churn domain --fraction 5% >figures
expect 0 '"changed_db_pages":[1-9].*"index_bytes":0,"log_bytes":0,' "a domain has neither index nor log to churn" cat figures
expect 0 'clean; run .*, 1 databases' "a fresh domain is clean" "$GWSIM" check domain
expect 0 ' admin=[1-9]' "a domain's database is worked on" "$GWSIM" run domain --for 300ms --every 0
expect 0 'clean' "a domain that was worked on is clean" "$GWSIM" check domain
rm domain/wpdomain.db
expect 14 '^missing file: wpdomain.db' "a domain without its database is found" "$GWSIM" check domain

# --- usage --------------------------------------------------------------------------------------------------------
expect 2 'gwsim make po' "no verb shows the examples" "$GWSIM"
expect 0 'gwsim check copy --live po' "help shows examples of a verb" "$GWSIM" help check
expect 2 'no option --colour' "an unknown option is wrong usage" "$GWSIM" check clean --colour
expect 2 '--rate cannot be "fast"' "a wrong value is wrong usage" "$GWSIM" run clean --rate fast
expect 2 'which directory' "a missing directory is wrong usage" "$GWSIM" check

echo "1..$tests"
[ $failures = 0 ]
