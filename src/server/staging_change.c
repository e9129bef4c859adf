/* SPDX-License-Identifier: GPL-2.0-or-later */
/* staging_change - a message on its way, its batch, the transfer it belongs to, the frame it points into: made elsewhere, ended here. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/staging_private.h"

void
payload_free(struct payload *p)
{
	if (!p)
		return;
	wire_frame_free(p->frame);
	free(p->unpacked);
	free(p);
}

size_t
payloads_free(struct payloads *list)
{
	struct payload *p;
	size_t bytes = 0;

	while ((p = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, link);
		bytes += p->bytes;
		payload_free(p);
	}
	return bytes;
}

void
staging_transfer_free(struct transfer *t)
{
	if (!t)
		return;
	if (t->held_fd >= 0 && t->held_fd != t->fd)
		close(t->held_fd);
	if (t->fd >= 0)
		close(t->fd);
	block_digest_free(t->digest);
	free(t->path);
	free(t->place);
	free(t);
}

void
staging_change_fini(struct change *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	if (c->last)
		staging_transfer_free(c->transfer);
	wire_msg_fini(&c->msg);
	free(c->place);
	free(c->text);
}

void
staging_batch_free(struct batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n_before; i++)
		if (b->before[i].kind == INDEX_ARM)
			free((void *)(uintptr_t)b->before[i].path);
	for (size_t i = 0; i < b->n; i++)
		staging_change_fini(&b->changes[i]);
	free(b->before);
	free(b->changes);
	free(b->text);
	free(b);
}

void
change_refuse(struct change *c, int err, const char *text)
{
	if (c->err)
		return;
	c->err = err < 0 ? err : -err;
	c->text = strdup(text);
	c->row = ROW_NONE;
	c->act = ACT_NONE;
	c->unlink = false;
}

void
partial_name(const struct block_key *key, const char *path, char out[PARTIAL_NAME])
{
	hash128_hex(block_hash(key, path, strlen(path)), out);
}
