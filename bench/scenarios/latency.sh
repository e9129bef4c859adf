# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# From close() of a new blob of 4 KiB to its being safe, at so many new blobs a second.
#
#   close_p50, close_p99   ms   tidemark: until the answer that it is durable; the others: until it lies under its name in the copy
#   close_lost             count   blobs that had not arrived a minute after the last was closed

# shellcheck disable=SC2086 # a list of words
for SYSTEM in $(turns $LIVE_SYSTEMS); do
	scene offiles
	office --users 2 --msgdbs 2 --blobs 300 --blob-bytes 4k
	prepare "$SYSTEM" && sys_first >>"$S/first.log" 2>&1 || { lost "the first sync failed"; scene_end; continue; }
	for ROUND in $(seq "$ROUNDS"); do
		! can slow || [ "$ROUND" -le "$SLOW_ROUNDS" ] || continue
		for rate in $LATENCY_RATES; do
			if [ "$SYSTEM" = tidemark ]; then
				set -- ask "$S/run-collector/collector.sock" po1
			else
				set -- arrive "$(sys_arrives)/fd0"
			fi
			"$PYTHON" bench/latency.py "$OFFICE/offiles" "$ROUND-$rate" "$rate" "$LATENCY_SECONDS" "$@" >"$S/figures" 2>>"$S/latency.log" ||
				{ lost "latency at $rate a second"; break 2; }
			while read -r metric unit value; do result "$metric" "$unit" "$value" "$rate"; done <"$S/figures"
		done
	done
	scene_end
done
