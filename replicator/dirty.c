/* SPDX-License-Identifier: GPL-2.0-or-later */
/* dirty - an unknown hash is a dirty block, and neighbours travel together: decided here and nowhere else. */
#include "replicator/dirty.h"

static bool
is_dirty(const struct hash128 *old, size_t n_old, const struct hash128 *now, size_t i)
{
	return i >= n_old || (!old[i].lo && !old[i].hi) || !hash128_equal(old[i], now[i]);
}

/* True when block `i` continues the range `r`; a hole costs no bytes, so its length is not limited. */
static bool
joins(const struct dirty_range *r, size_t i, bool hole, uint32_t max_count)
{
	return r->first + r->count == i && r->hole == hole && (hole || r->count < max_count);
}

size_t
dirty_ranges(const struct hash128 *old, size_t n_old, const struct hash128 *now, const bool *hole, size_t n, uint32_t max_count,
    struct dirty_range *out)
{
	size_t n_out = 0;

	for (size_t i = 0; i < n; i++) {
		bool in_hole = hole && hole[i];

		if (!is_dirty(old, n_old, now, i))
			continue;
		if (n_out && joins(&out[n_out - 1], i, in_hole, max_count))
			out[n_out - 1].count++;
		else
			out[n_out++] = (struct dirty_range){.first = (uint32_t)i, .count = 1, .at = (uint32_t)i, .hole = in_hole};
	}
	return n_out;
}
