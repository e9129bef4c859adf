/* SPDX-License-Identifier: GPL-2.0-or-later */
/* change - the bytes of one change: version, kind, first seen, path. */
#include <stdlib.h>

#include "base/err.h"
#include "base/relpath.h"
#include "journal/change.h"

bool
change_is_scan(enum change_kind kind)
{
	return kind == CHANGE_RESCAN || kind == CHANGE_BLIND;
}

void
change_pack(struct pack_out *o, const struct change *c)
{
	pack_u8(o, CHANGE_VERSION);
	pack_u8(o, (uint8_t)c->kind);
	pack_i64(o, c->seen_ns);
	pack_str(o, c->path);
}

/* Only a scan may mean the whole tree. */
static bool
path_fits(uint8_t kind, const char *path)
{
	return relpath_valid(path) || (change_is_scan((enum change_kind)kind) && !*path);
}

int
change_unpack(const void *data, size_t len, struct change *ret_change)
{
	struct pack_in in = pack_in(data, len);
	uint8_t version = unpack_u8(&in), kind = unpack_u8(&in);
	int64_t seen_ns = unpack_i64(&in);
	char *path = unpack_str(&in, RELPATH_MAX);

	if (!unpack_done(&in) || version != CHANGE_VERSION || kind < CHANGE_TOUCHED || kind >= CHANGE_KINDS ||
	    !path_fits(kind, path)) {
		free(path);
		return err_set(ERR_CORRUPT, "a change of the journal cannot be read");
	}
	*ret_change = (struct change){.kind = (enum change_kind)kind, .seen_ns = seen_ns, .path = path};
	return 0;
}

void
change_fini(struct change *c)
{
	free(c->path);
	*c = (struct change){0};
}

enum change_kind
change_fold(enum change_kind a, enum change_kind b)
{
	if (a == CHANGE_BLIND || b == CHANGE_BLIND)
		return CHANGE_BLIND;
	if (a == CHANGE_RESCAN || b == CHANGE_RESCAN)
		return CHANGE_RESCAN;
	return b == CHANGE_DELETED ? b : a;
}
