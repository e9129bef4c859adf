/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL /* failmalloc.so brings no library into the program that it is loaded into */
#include <xxhash.h>

#include "tests/tools/places/places.h"

/* Some ten times what a program has: probes stay short. */
#define SLOTS ((size_t)1 << 16)

struct places {
	_Atomic uint64_t slots[SLOTS]; /* 0 = free */
};

struct places *
places_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *map = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, sizeof(struct places)) == 0)
		map = mmap(NULL, sizeof(struct places), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	return map == MAP_FAILED ? NULL : map;
}

uint64_t
places_key(const uint64_t *words, size_t n)
{
	uint64_t key = XXH64(words, n * sizeof *words, 0);

	return key ? key : 1;
}

bool
places_has(const struct places *places, uint64_t key)
{
	uint64_t there;

	for (size_t i = 0; i < SLOTS; i++) {
		there = atomic_load(&places->slots[(key + i) % SLOTS]);
		if (there == key || there == 0)
			return there == key;
	}
	return true;
}

bool
places_add(struct places *places, uint64_t key)
{
	uint64_t there;

	for (size_t i = 0; i < SLOTS; i++) {
		there = 0;
		if (atomic_compare_exchange_strong(&places->slots[(key + i) % SLOTS], &there, key))
			return true;
		if (there == key)
			return false;
	}
	return false;
}
