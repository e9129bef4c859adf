/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the scan share: its levels, and how one of them tells what it found. */
#ifndef REPLICATOR_SCAN_OWN_H
#define REPLICATOR_SCAN_OWN_H

#include <dirent.h>
#include <sys/stat.h>

#include "replicator/scan.h"
#include "replicator/scan_batch.h"
#include "replicator/scan_seen.h"

enum scan_phase { SCAN_LIST, SCAN_MISSING, SCAN_SUBDIRS, SCAN_GONE };

struct scan_row {
	char *path;
	bool is_dir;
};

struct scan_level {
	enum scan_phase phase;
	struct scan_dir *dir;
	DIR *stream;         /* SCAN_LIST, with what follows */
	struct scan_batch *batch;
	bool ended, half;    /* the listing: to its end, or broken off */
	struct treemap_sum met; /* the map's rows that the listing met */
	struct scan_seen seen;
	int64_t stamp_ns;
	/* SCAN_MISSING, SCAN_SUBDIRS, SCAN_GONE: a page of the map's rows, and the name to go on after */
	struct scan_row *rows;
	size_t n_rows, next_row;
	char *after;
	bool last_page;
};

/* The innermost level; NULL when there is none. */
struct scan_level *scan_top(struct scan *s);
void scan_pop(struct scan *s);

/* The first error is kept, with its sentence; the scan goes on, and no directory that is open now counts as compared. */
void scan_note_error(struct scan *s, int err, bool held);
void scan_out_of_memory(struct scan *s);

/* A name that wants a look.  scan_give *takes* the path. */
void scan_give(struct scan *s, char *path, struct scan_dir *dir);
void scan_give_copy(struct scan *s, const char *path, struct scan_dir *dir);

/* Opens a directory that is there, or was: pushes the level that suits, and so moves the levels. */
void scan_enter(struct scan *s, const char *path);
void scan_push_gone(struct scan *s, const char *path);

/* Compares one name with the map; true when it wants a look. */
bool scan_differs(struct scan *s, const char *path, const struct stat *st, bool *ret_was_dir);
/* What the slow scan finds, and somebody should have told. */
void scan_count_drift(struct scan *s, int64_t changed_ns);

void scan_step_list(struct scan *s);

#endif
