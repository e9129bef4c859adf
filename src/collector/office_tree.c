/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * office_tree - is what lies at the profile's path the tree that was backed up before, with everything that was mounted in it?
 *
 * A tree that was taken for complete while a file system in it was not mounted would be a mass deletion.  So the memo
 * remembers the root and the mounted directories, and only an operator's `resume` accepts others.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/planted.h"
#include "collector/config.h"
#include "collector/memo.h"
#include "collector/office_private.h"
#include "collector/watcher_link.h"
#include "livetree.h"

static void __attribute__((format(printf, 3, 4)))
trouble(struct office *p, const char *event, const char *fmt, ...)
{
	char text[sizeof p->trouble];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (strcmp(text, p->trouble) != 0)
		log_error(event, "profile=%s: %s", p->name, text);
	memcpy(p->trouble, text, sizeof text);
}

/* Whether the tree has the volume now; a file system without an identity is known by its place alone. */
static bool
has_volume(const struct livetree_volume *volumes, size_t n, const struct memo_volume *known)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(volumes[i].dir, known->dir) == 0)
			return !known->fsid || volumes[i].fsid == known->fsid;
	return false;
}

static const struct memo_volume *
missing_volume(struct office *p)
{
	const struct memo_facts *memo = memo_facts(p->memo);
	struct livetree_volume volumes[MEMO_VOLUMES_MAX];
	size_t n = livetree_volumes(p->tree, volumes, MEMO_VOLUMES_MAX);

	for (size_t i = 0; i < memo->n_volumes; i++)
		if (!has_volume(volumes, n, &memo->volumes[i]) && !PLANTED(lost_volume_forgotten))
			return &memo->volumes[i];
	return NULL;
}

void
office_learn_volumes(struct office *p)
{
	struct memo_facts *memo = memo_facts(p->memo);
	struct livetree_volume volumes[MEMO_VOLUMES_MAX];
	size_t n = p->tree ? livetree_volumes(p->tree, volumes, MEMO_VOLUMES_MAX) : 0, known = memo->n_volumes;

	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < memo->n_volumes && !found; k++)
			found = strcmp(memo->volumes[k].dir, volumes[i].dir) == 0;
		if (found || memo->n_volumes == MEMO_VOLUMES_MAX || strlen(volumes[i].dir) >= MEMO_DIR_MAX)
			continue;
		snprintf(memo->volumes[memo->n_volumes].dir, MEMO_DIR_MAX, "%s", volumes[i].dir);
		memo->volumes[memo->n_volumes++].fsid = volumes[i].fsid;
		log_info("profile.mount", "profile=%s: something is mounted at %s/%s: when it is not, nothing is taken for deleted", p->name, p->config->path,
		    volumes[i].dir);
	}
	if (memo->n_volumes != known)
		memo_store(p->memo);
}

static void
hold_for_volume(struct office *p, const struct memo_volume *v)
{
	trouble(p, "profile.volume",
	    "%s/%s was a file system of its own, which is not mounted: nothing is sent and nothing is taken for deleted; mount it, or, if the tree is "
	    "right as it is now, `tidemark resume %s` accepts it",
	    p->config->path, v->dir, p->name);
	p->volume_missing = true;
	livetree_close(p->tree);
	p->tree = NULL;
}

void
office_open_tree(struct office *p)
{
	struct memo_facts *known = memo_facts(p->memo);
	const struct memo_volume *missing;
	struct livetree_id id;

	if (livetree_open(p->config->path, (enum layout_type)p->config->type, &p->tree) != 0) {
		trouble(p, "profile.tree", "%s: nothing is sent until it is there", err_text());
		return;
	}
	id = livetree_id(p->tree);
	if ((known->fsid || known->inode) && (known->fsid != id.fsid || known->inode != id.inode)) {
		p->other_root = true;
		trouble(p, "profile.root",
		    "another tree lies at %s than the one that was backed up: nothing is sent; if it is right, `tidemark resume %s` accepts it",
		    p->config->path, p->name);
		return;
	}
	if ((missing = missing_volume(p))) {
		hold_for_volume(p, missing);
		return;
	}
	/* The watcher may have begun before it was mounted, of which nothing tells it. */
	if (p->volume_missing && p->watcher)
		watcher_link_replace(p->watcher);
	p->volume_missing = false;
	if (!known->inode) {
		known->fsid = id.fsid;
		known->inode = id.inode;
		memo_store(p->memo);
	}
	office_learn_volumes(p);
	p->trouble[0] = '\0';
}

void
office_accept_tree(struct office *p)
{
	struct memo_facts *memo = memo_facts(p->memo);

	if (p->other_root) {
		struct livetree_id id = livetree_id(p->tree);

		memo->fsid = id.fsid;
		memo->inode = id.inode;
	} else if (!p->volume_missing) {
		return;
	}
	log_warn("profile.accepted", "profile=%s: the tree at %s was accepted by an operator as it lies there now", p->name, p->config->path);
	/* What the watcher knew of the tree is no longer so, and what went is found by its start's comparison. */
	if (p->watcher)
		watcher_link_replace(p->watcher);
	p->other_root = p->volume_missing = false;
	p->trouble[0] = '\0';
	memo->n_volumes = 0;
	memo_store(p->memo);
	office_learn_volumes(p);
}
