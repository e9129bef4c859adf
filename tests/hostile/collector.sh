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

# So can every one that was sealed meanwhile, whatever its collector meant by it.
hostile_every_set_is_whole() {
	local set sets
	sets=$(tms --json set list evil | "$PYTHON" -c 'import json, sys; print(*(s["name"] for s in json.load(sys.stdin)["sets"]))')
	[ -n "$sets" ] || { echo "there is no set"; return 1; }
	for set in $sets; do tms verify evil "$set" || return 1; done
}
hostile_verdict "C9 C16 every set that was sealed in these attacks is verified" hostile_every_set_is_whole
