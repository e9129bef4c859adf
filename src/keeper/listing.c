/* SPDX-License-Identifier: GPL-2.0-or-later */
/* listing - where a page begins and where it ends. */
#include "keeper/listing.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "keeper/catalogue_rows.h"
#include "keeper/manifest.h"
#include "keeper/order.h"
#include "keeper/task.h"
#include "keeper/vault.h"

#define BATCH 256u

struct pen {
	const struct listing *listing;
	struct task *task;
	size_t room;
	char *next; /* once the room is used up */
};

static bool
tell(struct pen *p, const char *path, const struct entry *entry)
{
	size_t cost = strlen(path) + ORDER_NAME_COST;

	p->listing->name(path, entry, p->listing->arg);
	p->room = cost < p->room ? p->room - cost : 0;
	return p->room > 0;
}

/* ---- places: "n path" in the manifest, "b version first path" among the blobs ---- */

static int
end_at_name(struct pen *p, const char *path)
{
	return asprintf(&p->next, "n %s", path) < 0 ? err_set(ERR_NOMEM, "out of memory for a list of names") : 0;
}

static int
end_at_blob(struct pen *p, const struct blob_row *row)
{
	return asprintf(&p->next, "b %" PRIu32 " %" PRIu32 " %s", row->version, row->first, row->path) < 0
	    ? err_set(ERR_NOMEM, "out of memory for a list of names") : 0;
}

static bool
read_number(const char **at, uint32_t *ret_n)
{
	char *end;
	unsigned long long n = **at >= '0' && **at <= '9' ? strtoull(*at, &end, 10) : UINT64_MAX;

	if (n > UINT32_MAX || *end != ' ')
		return false;
	*at = end + 1;
	*ret_n = (uint32_t)n;
	return true;
}

/* A place in the manifest gives a path alone; one among the blobs, what finds its row again. */
static int
read_place(const char *place, const char **ret_path, struct blob_row *ret_row)
{
	const char *at = place + 2;
	bool good = strncmp(place, "n ", 2) == 0;

	if (strncmp(place, "b ", 2) == 0 && read_number(&at, &ret_row->version) && read_number(&at, &ret_row->first)) {
		ret_row->path = (char *)(uintptr_t)at;
		good = true;
	}
	if (!good || !relpath_valid(at))
		return err_set(ERR_USAGE, "a list of names cannot go on there: that is no place where one ended");
	*ret_path = at;
	return 0;
}

/* ---- a page ---- */

static int
tell_manifest(struct pen *p, struct vault *v, const struct set_row *set, const char *after)
{
	struct manifest_reader *manifest;
	const struct manifest_row *row;
	int err = manifest_open(v->manifests, set->name, set->manifest, &manifest);

	if (err)
		return err;
	while (!p->next && (err = manifest_next(manifest, &row)) == 0) {
		bool wanted = !row->area && (!after || manifest_compare(row->path, after) > 0);

		if (wanted && !tell(p, row->path, &row->entry))
			err = end_at_name(p, row->path);
		if (!err)
			err = task_check(p->task);
		if (err)
			break;
	}
	manifest_close(manifest);
	return err < 0 ? err : 0;
}

static int
tell_rows(struct pen *p, const struct blob_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!tell(p, rows[i].path, &rows[i].entry))
			return end_at_blob(p, &rows[i]);
	return task_check(p->task);
}

static int
tell_blobs(struct pen *p, struct vault *v, const struct set_row *set, const struct blob_row *after)
{
	struct blob_row *rows = NULL, *old = NULL;
	size_t n, n_old = 0;
	int err;

	do {
		n = 0;
		err = catalogue_blobs(v->catalogue, set->number, "", n_old ? &old[n_old - 1] : after, BATCH, &rows, &n);
		blob_rows_free(old, n_old);
		old = err ? NULL : rows;
		n_old = err ? 0 : n;
		if (!err)
			err = tell_rows(p, old, n_old);
	} while (!err && !p->next && n);
	blob_rows_free(old, n_old);
	return err;
}

int
listing_page(struct vault *v, const struct set_row *set, const struct listing *listing, struct task *task, char **ret_next)
{
	struct pen p = {.listing = listing, .task = task, .room = listing->page};
	struct blob_row row = {0};
	const char *after = NULL;
	int err = *listing->after ? read_place(listing->after, &after, &row) : 0;

	if (!err && !row.path)
		err = tell_manifest(&p, v, set, after);
	if (!err && !p.next)
		err = tell_blobs(&p, v, set, row.path ? &row : NULL);
	if (!err && !p.next && !(p.next = strdup("")))
		err = err_set(ERR_NOMEM, "out of memory for a list of names");
	if (err)
		free(p.next);
	else
		*ret_next = p.next;
	return err;
}
