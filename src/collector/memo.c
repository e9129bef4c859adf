/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memo - one small text file, replaced whole. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fsio.h"
#include "base/log.h"
#include "base/relpath.h"
#include "base/workpool.h"
#include "collector/memo.h"

#define FORM "tidemark-memo 1 paused=%d last_slot=%" SCNd64 " last_dbcopy=%" SCNd64 " root=%" SCNx64 ".%" SCNx64 "\n"

#define TEXT_MAX (256u + CLOCK_BOOT_ID + MEMO_VOLUMES_MAX * (4u * MEMO_DIR_MAX + 32u))

struct memo {
	struct workpool *pool;
	int lane;
	int dir;
	struct memo_facts facts;
	struct job job;
	bool writing, again, closed;
	struct memo_facts written; /* what the lane is writing */
	int err;
};

static void
destroy(struct memo *m)
{
	close(m->dir);
	free(m);
}

/* The first line, then one a volume: "volume=<file system> <directory>", then "boot=<id>".  *Gives*; NULL when out of memory. */
static char *
format(const struct memo_facts *f)
{
	char *text = malloc(TEXT_MAX);
	int n = text ? snprintf(text, TEXT_MAX, FORM, f->paused, f->last_slot_s, f->last_dbcopy_ns, f->fsid, f->inode) : 0;

	for (size_t i = 0; text && i < f->n_volumes; i++) {
		char *dir = relpath_escape(f->volumes[i].dir);

		if (!dir) { /* a memo without it would forget that it was mounted */
			free(text);
			return NULL;
		}
		n += snprintf(text + n, TEXT_MAX - (size_t)n, "volume=%" PRIx64 " %s\n", f->volumes[i].fsid, dir);
		free(dir);
	}
	if (text && *f->boot_id)
		snprintf(text + n, TEXT_MAX - (size_t)n, "boot=%s\n", f->boot_id);
	return text;
}

/* False: it is not a memo. */
static bool
parse(char *text, struct memo_facts *ret_facts)
{
	struct memo_facts f = {0};
	char *save = NULL;
	int paused, at = 0;

	if (sscanf(text, FORM "%n", &paused, &f.last_slot_s, &f.last_dbcopy_ns, &f.fsid, &f.inode, &at) != 5 || !at)
		return false;
	f.paused = paused;
	for (char *line = strtok_r(text + at, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct memo_volume *v = &f.volumes[f.n_volumes];
		int name = 0;
		char *dir;

		if (sscanf(line, "boot=%39s", f.boot_id) == 1 || f.n_volumes == MEMO_VOLUMES_MAX)
			continue;
		if (sscanf(line, "volume=%" SCNx64 " %n", &v->fsid, &name) != 1 || !name || !(dir = relpath_unescape(line + name)))
			continue;
		snprintf(v->dir, sizeof v->dir, "%s", dir);
		free(dir);
		f.n_volumes++;
	}
	*ret_facts = f;
	return true;
}

static void
write_run(struct job *job)
{
	struct memo *m = (struct memo *)((char *)job - offsetof(struct memo, job));
	char *text = format(&m->written);

	m->err = text ? fsio_replace_file(m->dir, "memo", text, strlen(text), 0600, "memo.store") : err_set(ERR_NOMEM, "writing the profile's memo");
	free(text);
}

static void
write_done(struct job *job, bool cancelled)
{
	struct memo *m = (struct memo *)((char *)job - offsetof(struct memo, job));

	if (cancelled)
		write_run(job);
	m->writing = false;
	if (m->err)
		log_warn("memo.store", "the profile's memo cannot be written (%s): a restart may forget a pause or repeat a backup", err_words(m->err));
	if (m->again && !cancelled)
		memo_store(m);
	else if (m->closed)
		destroy(m);
}

int
memo_open(const char *dir, struct workpool *pool, int lane, struct memo **ret_memo)
{
	struct memo *m = calloc(1, sizeof *m);
	char *text = NULL;
	size_t len;
	int err;

	if (!m)
		return err_set(ERR_NOMEM, "reading the profile's memo");
	m->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir < 0) {
		free(m);
		return err_sys("opening %s", dir);
	}
	m->pool = pool;
	m->lane = lane;
	err = fsio_read_file(m->dir, "memo", TEXT_MAX, &text, &len);
	if (err == 0)
		(void)parse(text, &m->facts);
	free(text);
	/* One that is there and could not be read is not absent: a pause, and what was mounted in the tree, would be forgotten for good. */
	if (err && err != -ERR_GONE && err != -ERR_LIMIT) {
		destroy(m);
		return err_prefix(err, "reading the profile's memo");
	}
	*ret_memo = m;
	return 0;
}

void
memo_close(struct memo *m)
{
	if (!m)
		return;
	m->closed = true;
	if (!m->writing)
		destroy(m);
}

struct memo_facts *
memo_facts(struct memo *m)
{
	return &m->facts;
}

void
memo_store(struct memo *m)
{
	m->again = m->writing;
	if (m->writing)
		return;
	m->writing = true;
	m->written = m->facts;
	m->job = (struct job){.run = write_run, .done = write_done};
	workpool_submit(m->pool, m->lane, &m->job);
}
