/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * seal - what the three files of a seal share; nobody but backupset*.c includes it.
 */
#ifndef KEEPER_SEAL_H
#define KEEPER_SEAL_H

#include "base/crew.h"
#include "keeper/backupset.h"
#include "keeper/copy.h"
#include "keeper/custody.h"
#include "keeper/manifest.h"

/* The directory that the last file went to, and the previous set's one of that name: neighbours are built one after another. */
struct spot {
	char *dir;      /* NULL: none yet */
	int made, prev; /* prev < 0: the previous set has none */
};

struct seal {
	struct vault *vault;
	const struct order *order;
	struct task *task;
	struct doubtful *doubtful;

	struct index *index;
	struct block_key key;
	struct copy *copies[CREW_MAX];         /* one a hand */
	struct custody *custodies[CREW_MAX];
	unsigned hands;
	struct set_row set;                    /* becomes the pending row */

	struct manifest_reader *prev_manifest; /* NULL: nothing to link to */
	int prev;                              /* its set's directory */
	int dir;                               /* creating/<set> */
	struct manifest_writer *manifest;
	struct spot spot;

	bool named;                            /* it has its name, and could not be taken back from it */
	uint64_t databases;                    /* outside the root */
	bool root_database;
	uint64_t left_out;                     /* files of INDEX areas */
	char *left_first;
	char *warning;                         /* further ones, "" = none */
};

/* Builds creating/<set> and its manifest from the index's nodes. */
int seal_tree(struct seal *s);

/* Stages what changed among the blobs since the last seal, each new file read and compared once. */
int seal_blobs(struct seal *s);

/* Remembers a path whose bytes differ; the seal goes on to find them all, and fails at its end. */
int seal_doubt(struct seal *s, const char *path);
/* The same of an index file, without which the set is made; those beyond ORDER_DOUBTFUL_MAX are found by the next seal. */
int seal_doubt_index_file(struct seal *s, const char *path);

#endif
