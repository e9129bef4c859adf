/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows how a database comes into being: pages in order, the header last. */
#include "bench/gwsim/database.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/gwsim/die.h"

enum { BUFFER_PAGES = 256 };

static void
write_pages(struct builder *b, const union page *pages, uint32_t count, uint32_t first)
{
	const char *at = (const char *)pages;
	size_t size = (size_t)count * PAGE_BYTES;
	off_t offset = (off_t)first * PAGE_BYTES;

	while (size) {
		ssize_t n = pwrite(b->fd, at, size, offset);

		if (n <= 0)
			die_errno("cannot write %s", b->path);
		at += n;
		size -= (size_t)n;
		offset += n;
	}
}

static void
flush_buffer(struct builder *b)
{
	for (uint32_t i = 0; i < b->buffered; i++)
		page_seal(&b->buffer[i]);
	write_pages(b, b->buffer, b->buffered, b->first);
	b->first += b->buffered;
	b->buffered = 0;
}

void
builder_begin(struct builder *b, const char *path, const char *name, uint64_t run_id, enum page_kind kind)
{
	struct header *header = &b->header.header;

	*b = (struct builder){ .path = path, .first = 1 };
	b->buffer = must_calloc(BUFFER_PAGES, sizeof *b->buffer);
	b->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (b->fd < 0)
		die_errno("cannot create %s", path);
	header->head = (struct page_head){
		.magic = PAGE_MAGIC, .database_id = database_id(name), .run_id = run_id, .txid = 1, .kind = PAGE_HEADER,
	};
	memccpy(header->name, name, 0, sizeof header->name - 1);
	header->page_count = 1;
	header->data_kind = kind;
}

union page *
builder_page(struct builder *b, struct rng *rng)
{
	struct header *header = &b->header.header;
	union page *page;

	if (b->buffered == BUFFER_PAGES)
		flush_buffer(b);
	page = &b->buffer[b->buffered++];
	page_fresh(page, header, rng);
	header_add(header, page->head.no, page->head.txid);
	return page;
}

void
builder_end(struct builder *b)
{
	flush_buffer(b);
	page_seal(&b->header);
	write_pages(b, &b->header, 1, 0);
	if (close(b->fd) < 0)
		die_errno("cannot write %s", b->path);
	free(b->buffer);
}
