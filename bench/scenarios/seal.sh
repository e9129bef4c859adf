# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The keeper alone (build/release/bench/bench_seal): what a seal costs against the number of blobs and against how many are new.
#
#   seal_*           s    one seal, so many percent of the blobs new and as many gone; 64 MiB of databases changed
#   seal_beside_*    s    the same without what a plain copy and sync of those databases takes at that moment

[ -n "$(turns tidemark)" ] || return 0
scene
become tidemark
for ROUND in $(seq "$SERIES_ROUNDS"); do
	for fraction in $SEAL_FRACTIONS; do
		# shellcheck disable=SC2086 # a list of numbers
		build/release/bench/bench_seal "$W" "$fraction" $SEAL_SERIES >"$W/seal" || { lost "bench_seal failed"; break 2; }
		while read -r blobs _ seal copy; do
			result "seal_$fraction" s "$seal" "$blobs"
			result "seal_beside_$fraction" s "$(awk "BEGIN { print ($seal > $copy + 0.0001) ? $seal - $copy : 0.0001 }")" "$blobs"
		done <"$W/seal"
	done
done
scene_end
