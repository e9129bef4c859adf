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
#include "base/workpool.h"
#include "collector/memo.h"

#define FORM "tidemark-memo 1 paused=%d last_slot=%" SCNd64 " last_dbcopy=%" SCNd64 " root=%" SCNx64 ".%" SCNx64 "\n"

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

static void
write_run(struct job *job)
{
	struct memo *m = (struct memo *)((char *)job - offsetof(struct memo, job));
	char text[256];
	int n = snprintf(text, sizeof text, FORM, m->written.paused, m->written.last_slot_s, m->written.last_dbcopy_ns, m->written.fsid, m->written.inode);

	m->err = fsio_replace_file(m->dir, "memo", text, (size_t)n, 0600, "memo.store");
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
	int paused;

	if (!m)
		return err_set(ERR_NOMEM, "reading the profile's memo");
	m->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->dir < 0) {
		free(m);
		return err_sys("opening %s", dir);
	}
	m->pool = pool;
	m->lane = lane;
	if (fsio_read_file(m->dir, "memo", 4096, &text, &len) == 0) {
		struct memo_facts f = {0};

		if (sscanf(text, FORM, &paused, &f.last_slot_s, &f.last_dbcopy_ns, &f.fsid, &f.inode) == 5) {
			f.paused = paused;
			m->facts = f;
		}
		free(text);
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
