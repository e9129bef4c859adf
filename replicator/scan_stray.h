/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan_stray - rows of the map whose directory has no row: a walk from row to row never comes there, and as the server holds
 * the same rows no sum tells of them.
 */
#ifndef REPLICATOR_SCAN_STRAY_H
#define REPLICATOR_SCAN_STRAY_H

#include "replicator/scan_gone.h"

struct blockmap;
struct origin;

/* Adds to `strays` the origin's directories at or below `under` that hold rows, have none themselves, and are not there.  Those
 * that are there are met by the walk, and their own row is on its way. */
int scan_strays(struct blockmap *map, const struct origin *origin, const char *under, struct scan_gone *strays);

#endif
