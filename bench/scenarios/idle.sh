# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What those that watch cost while nothing happens.
#
#   idle          core   processor time of all processes of both sides, as a part of one core
#   idle_memory   B      private memory of those on the post office's host

for SYSTEM in $(turns tidemark lsyncd-0 syncthing); do
	scene offiles
	office --users 2 --msgdbs 2 --blobs "$SMALL_FILES" --blob-bytes 4k --db-share 1%
	prepare "$SYSTEM" && sys_first >>"$S/first.log" 2>&1 || { lost "the first sync failed"; scene_end; continue; }
	for ROUND in $(seq "$ROUNDS"); do
		here=$(sys_pids) && all=$(sys_all_pids) || { lost "not all of it runs"; break; }
		# shellcheck disable=SC2086 # lists of numbers
		{ result idle core "$("$PYTHON" bench/until.py cpu "$IDLE_SECONDS" $all)" && result idle_memory B "$(proc memory $here)"; } || break
	done
	scene_end
done
