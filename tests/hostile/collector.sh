# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Suites C1-C16: a collector with a valid certificate that means harm.
hostile_world
hostile_suites "${ONLY:-}"

# What was sealed before all this can still be verified and restored.
hostile_first_set_is_whole() {
	local first
	first=$(tms --json set list evil | q sets.0.name)
	tms verify evil "$first" && restore evil "$first" "$W/restored-evil" && compare_tree "$W/po-evil" "$W/restored-evil"
}
hostile_verdict "C16 the set from before the attacks is verified, and restored as it was" hostile_first_set_is_whole
