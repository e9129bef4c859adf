/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listing - the names of a set, a page at a time: those of the manifest, then those of the blob areas.
 *
 * Who lists a set of millions of names holds one page of them, and asks for the next with the place where it ended.  A place is
 * a text that only this module reads; it holds as long as the set does.  Threads: any, one at a time for a vault.
 */
#ifndef KEEPER_LISTING_H
#define KEEPER_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "wire/entry.h"

struct set_row;
struct task;
struct vault;

struct listing {
	const char *after; /* a place, "" = the first name */
	size_t page;       /* bytes: it ends with the name that fills it; each counts ORDER_NAME_COST and its path */
	void (*name)(const char *path, const struct entry *entry, void *arg); /* borrows */
	void *arg;
};

/* Tells a page.  *Gives* the place of the next one, "" when that was all.  -ERR_USAGE: `after` is no place. */
int listing_page(struct vault *v, const struct set_row *set, const struct listing *listing, struct task *task, char **ret_next);

#endif
