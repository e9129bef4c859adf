/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blockmap_doubt - forgets by what files are seen to be unchanged, and nothing of what the server holds. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "journal/blockmap_internal.h"

struct paths {
	char **all;
	size_t n, cap;
};

struct doubt {
	const struct blockmap *map;
	bool (*within)(const char *dir, void *arg);
	void *arg;
	struct paths dirs, files;
};

static int
add(struct paths *p, const char *path)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 64;
		char **grown = realloc(p->all, cap * sizeof *grown);

		if (!grown)
			return err_set(ERR_NOMEM, "doubting the block map");
		p->all = grown;
		p->cap = cap;
	}
	p->all[p->n] = strdup(path);
	return p->all[p->n] ? (p->n++, 0) : err_set(ERR_NOMEM, "doubting the block map");
}

static void
clear(struct paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->all[i]);
	free(p->all);
	*p = (struct paths){0};
}

static int
visit_dir(const char *dir, const struct treemap_sum *sum, void *arg)
{
	struct doubt *d = arg;

	(void)sum;
	return d->within(dir, d->arg) ? add(&d->dirs, dir) : 0;
}

static int
visit_child(const char *path, struct store_value value, void *arg)
{
	struct doubt *d = arg;

	(void)value;
	return add(&d->files, path);
}

static int
forget_stat(struct store_txn *txn, const struct treemap *tree, const char *path)
{
	struct treemap_weight weight;
	struct blockmap_stat stat;
	struct store_value value;
	struct pack_out o = {0};
	struct entry entry;
	int err = treemap_get(txn, tree, path, &value, &weight);

	if (err)
		return err < 0 ? err : 0;
	err = blockmap_node_unpack(value, &entry, &stat);
	if (err)
		return err;
	stat.inode = 0;
	stat.ctime_ns = 0;
	blockmap_node_pack(&o, &entry, &stat);
	err = o.failed ? err_set(ERR_NOMEM, "entry of the block map") : treemap_put(txn, tree, path, o.data, o.len, &weight);
	pack_out_fini(&o);
	entry_fini(&entry);
	return err;
}

static int
work(struct store_txn *txn, void *arg)
{
	struct doubt *d = arg;
	const struct treemap *tree = &d->map->tree;
	int err;

	clear(&d->dirs);
	clear(&d->files);
	err = treemap_dirs(txn, tree, "", visit_dir, d);
	for (size_t i = 0; i < d->dirs.n && !err; i++)
		err = treemap_children(txn, tree, d->dirs.all[i], NULL, visit_child, d);
	for (size_t i = 0; i < d->files.n && !err; i++)
		err = forget_stat(txn, tree, d->files.all[i]);
	return err;
}

int
blockmap_doubt(struct blockmap *m, bool (*within)(const char *dir, void *arg), void *arg)
{
	struct doubt d = {.map = m, .within = within, .arg = arg};
	int err = store_write(m->store, work, &d);

	clear(&d.dirs);
	clear(&d.files);
	return err;
}
