/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_resident - how much of its map a process keeps.
 *
 * LMDB reads through a mapping of the whole file, so whoever reads a large store once has all of it in its page tables, and counts as
 * large as that, for as long as it lives.  The pages are clean and lie in the page cache as well: given up, they cost a minor fault each
 * time they are wanted again, and nobody who reads meanwhile sees more of it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/store_internal.h"

#define KEPT_BYTES (12u << 20)
#define READS_PER_LOOK 64 /* /proc costs some microseconds */

/* Bytes of files that this process has in its page tables, of all its mappings; 0 when nobody tells.  Records no error: our callers may
 * be on their way out with one. */
static size_t
resident_files(void)
{
	char text[256], *at = text;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	size_t pages = 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	for (int field = 0; field < 3; field++) /* size, resident, shared */
		pages = strtoul(at, &at, 10);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Gives up the pages of the mapping that holds `inside`.  LMDB does not tell where its map lies; the kernel does. */
static void
give_up_around(const void *inside)
{
	uintptr_t from, to, at = (uintptr_t)inside;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof line, maps))
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && at >= from && at < to) {
			(void)madvise((char *)(uintptr_t)inside - (at - from), to - from, MADV_DONTNEED);
			break;
		}
	if (maps)
		(void)fclose(maps);
}

/* The reader keeps the map where it is. */
static void
give_up(struct store_txn *reader)
{
	struct store_value key, value;

	for (unsigned t = 0; t < reader->store->n_tables; t++)
		if (store_last(reader, t, &key, &value) == 0) {
			give_up_around(key.data);
			break;
		}
	atomic_store(&reader->store->resident_others, resident_files());
}

static bool
keeps_too_much(struct store *s)
{
	size_t now = resident_files(), others = atomic_load(&s->resident_others);

	if (now < others) /* another store gave up its own */
		atomic_store(&s->resident_others, now);
	return now > others + KEPT_BYTES;
}

void
store_resident_begin(struct store *s)
{
	atomic_store(&s->resident_others, resident_files());
}

void
store_resident_read(struct store_txn *reader)
{
	struct store *s = reader->store;

	if (atomic_fetch_add(&s->reads, 1) % READS_PER_LOOK == READS_PER_LOOK - 1 && keeps_too_much(s))
		give_up(reader);
}

void
store_resident_written(struct store *s)
{
	struct store_txn *reader;

	if (!keeps_too_much(s) || store_read_begin(s, &reader) < 0)
		return;
	give_up(reader);
	store_read_end(reader);
}
