/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * order - what the receiver asks of the keeper, and what the keeper reports: structs and their bytes on the socket pair
 * between them.  Pure.
 *
 * u32 length, then the packed order or report; at most ORDER_BYTES_MAX.  Orders of one profile are carried out one after
 * another (a SEAL before what waits), of different profiles side by side.  Every order ends in exactly one DONE or FAILED
 * report of its id.  Reports of id 0 are the scrub's, which nobody ordered: a FINDING each, then DONE with the set.
 */
#ifndef KEEPER_ORDER_H
#define KEEPER_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pack.h"
#include "base/relpath.h"
#include "base/treemap.h"

#define ORDER_BYTES_MAX (4u * 1024u * 1024u)
#define ORDER_PATHS_MAX 4096u
#define ORDER_PLACE_MAX (RELPATH_MAX + 32u) /* where a page of names ended */
#define ORDER_NAME_COST 32u      /* bytes: what a name of a page counts for beside its path */
#define ORDER_DOUBTFUL_MAX 1024u /* doubtful paths a report names; the rest is found at the next try */

enum order_kind {
	ORDER_SEAL = 1, /* make the day's set; then retention, then the scrub of what is new in it */
	ORDER_STOP,     /* the running seal, verify or restore with id `target`: end it, leave nothing */
	ORDER_VERIFY,   /* set "" = the newest */
	ORDER_RESTORE,
	ORDER_SETS,
	ORDER_SHOW,     /* what one set holds, a page of it: an ENTRY for each name */
};

struct order {
	uint64_t id;
	enum order_kind kind;
	char *profile;
	uint64_t target;           /* STOP */

	/* SEAL */
	uint8_t layout;            /* enum layout_type */
	uint64_t job;
	uint32_t date;             /* yyyymmdd */
	int64_t t0_ns;
	uint64_t fresh_t0;         /* head of the fresh list when the job began: later removals do not count for this set */
	uint64_t fresh_seal;       /* head of the fresh list now: later blobs are not in this set */
	struct treemap_sum total;  /* of the index now; until the order's end only blobs may be applied, above fresh_seal */
	char *note;                /* warnings the set carries, "" = none */
	uint32_t keep_days;

	/* VERIFY, RESTORE, SHOW */
	char *set;                 /* "latest" allowed */
	char *to;                  /* absolute directory, absent or empty */
	char **paths;              /* set paths to restore; none = all */
	size_t n_paths;

	/* SHOW */
	char *after;               /* `next` of the page before; "" = from the first name */
	uint32_t page;             /* bytes: it ends with the name that fills it */
};

/* GONE: any number of them before the DONE of a SEAL; a day's removals may be more than one report holds. */
enum report_kind { REPORT_PROGRESS = 1, REPORT_FINDING, REPORT_DONE, REPORT_FAILED, REPORT_GONE, REPORT_ENTRY };

/* What a name of a set is; as in struct entry. */
struct report_entry {
	uint8_t kind;
	uint32_t mode;
	uint64_t size;
	int64_t mtime_ns;
};

/* A blob path none of whose versions is on disk any more.  `version` is the highest that was: the receiver forgets the
 * path only while its index knows no higher one, for the path may have come again meanwhile. */
struct report_gone {
	char *path;
	uint32_t version;
};

struct report_set {
	char *name;
	char *profile;
	int64_t started_ns, sealed_ns, scrubbed_ns; /* 0 = not yet */
	uint64_t files, bytes;     /* all of it, blobs included */
	uint64_t new_bytes;        /* copied for this set */
	uint8_t verified;          /* enum set_verified */
	bool warnings;
	char *note;
};

struct report {
	uint64_t id;
	enum report_kind kind;
	char *phase;               /* PROGRESS: "check", "copy", "blobs", "sync", "rename", "retention", "verify", "restore" */
	uint64_t done, total;
	int32_t code;              /* FAILED: enum err; DONE: 0 or -ERR_DIFFERS... as exit status asks */
	char *text;                /* FAILED: sentence; FINDING: what is wrong with the path; DONE: a note */
	char *path;                /* FINDING, ENTRY: set path, or a word that is none ("catalogue") */
	struct report_entry entry; /* ENTRY */
	struct report_set *sets;   /* DONE of SEAL (one), SETS (all, newest last) */
	size_t n_sets;
	char *next;                /* DONE of SHOW: `after` of the next page, "" = that was all */
	uint64_t fresh_done;       /* DONE of SEAL: rows up to here may be trimmed */
	struct report_gone *gone;  /* GONE */
	size_t n_gone;
	char **doubtful;           /* FAILED of SEAL with DIFFERS, DONE of SEAL (index files): staged paths whose bytes are not what the index says */
	size_t n_doubtful;
};

void order_pack(struct pack_out *o, const struct order *order);
int order_unpack(const void *data, size_t len, struct order *ret_order); /* -ERR_PEER */
void order_fini(struct order *order);

/* The arrays of a report are read from, never kept. */
void report_pack(struct pack_out *o, const struct report *report);
int report_unpack(const void *data, size_t len, struct report *ret_report);
void report_fini(struct report *report);

#endif
