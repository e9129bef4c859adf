/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layout - the table of what is replicated: areas of a post office or domain, their class, their place on the server.
 * Pure; the one domain noun that both sides share.
 *
 * A *set path* names a file relative to the post office, with the fixed directory names in their canonical lower case
 * ("ofuser/index/x.idx", "offiles/fd3/abc", "wphost.db").  It is the key everywhere: journal, block map, wire, index,
 * manifest, restore.  Rows are tried in order; the first whose directory holds the path decides.
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

enum layout_type { LAYOUT_POST_OFFICE, LAYOUT_DOMAIN, LAYOUT_TYPES };

enum layout_class {
	LAYOUT_SNAPSHOT, /* databases and what belongs to them: copied by DBCOPY, streamed from local staging */
	LAYOUT_INDEX,    /* live, mutable, regenerable: best effort */
	LAYOUT_BLOB,     /* live, write-once */
};

/* What a watcher wants to hear about a directory. */
enum layout_watch {
	LAYOUT_WATCH_NONE,  /* neither it nor anything below is watched */
	LAYOUT_WATCH_NAMES, /* only sub-directories coming and going: a watched area may appear below */
	LAYOUT_WATCH_INDEX,
	LAYOUT_WATCH_BLOB,
};

struct layout_row {
	const char *area;    /* name in status and logs: "ofuser" */
	const char *dir;     /* canonical directory; a component "*" matches any one name; "" = the root itself */
	const char *files;   /* patterns of file names, space separated; NULL = everything below, at any depth */
	enum layout_class class;
	const char *place;   /* folder of the server's profile that holds it: "gre_data/sync", "gre_data", "blobs" */
	bool required;       /* a live tree without this directory is not of this type */
};

const struct layout_row *layout_rows(enum layout_type type, size_t *ret_n);

/* The row that decides about a set path, NULL when it is not replicated.  `is_dir`: the path is a directory. */
const struct layout_row *layout_of(enum layout_type type, const char *path, bool is_dir);

enum layout_watch layout_watch(enum layout_type type, const char *dir);

/* Lower-cases the fixed directory names at the head of a live path, in place, giving its set path. */
void layout_canonical(enum layout_type type, char *path);

/* How many bytes at the head of a set path are fixed directories: "offiles/fd1/x" has 7, "gwdms/lib1/docs/x" 15, "x.db" 0. */
size_t layout_fixed_len(enum layout_type type, const char *path);

/* True for a database: what a set cannot do without. */
bool layout_is_database(const char *path);

/* Databases without which a tree is not of this type: "wphost.db" or "wpdomain.db". */
const char *layout_root_database(enum layout_type type);

/* "post-office", "domain"; the reverse gives false for an unknown word. */
const char *layout_type_name(enum layout_type type);
bool layout_type_from_name(const char *name, enum layout_type *ret_type);

/* The set's name of a civil date: "wedfeb13". `month` 1..12, `weekday` 0 = Sunday. */
void layout_day_name(int weekday, int month, int day, char out[16]);

#endif
