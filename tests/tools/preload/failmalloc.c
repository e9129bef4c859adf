/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * failmalloc.so - lets the n-th allocation of one program fail.
 *
 *   LD_PRELOAD=failmalloc.so FAILMALLOC_PROGRAM=name FAILMALLOC_CONTROL=file [FAILMALLOC_PLACES=file]
 *
 * The file has two lines of 32 bytes.  The first is the order: a number N, or 0 for "nothing".  Each time it changes, counting
 * begins anew, over all threads; the N-th allocation from there gives NULL.  The second then becomes "failed WHO" (which whoever
 * writes the next order takes away): the library that asked for it, or the program.  Where it was goes to standard error, as addresses
 * for addr2line; so does where it dies, if it dies of it.  Programs of any other name, and a program without the file, are let alone.
 * Whoever writes the order must not cut the file: it is mapped.
 *
 * With FAILMALLOC_PLACES any order but 0 is for the first allocation from a place, by its whole stack, that is not in that file yet.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/tools/places/places.h"

#define LINE_BYTES 32
#define FRAMES 48

/* The allocator behind the names that are taken here. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static char *control; /* NULL: nothing is done */
static struct places *places; /* NULL: they are counted */
static atomic_ulong order, count;

static void
on_death(int signal_number)
{
	void *callers[32];

	backtrace_symbols_fd(callers, backtrace(callers, 32), STDERR_FILENO);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* Before main, so there is no thread yet. */
__attribute__((constructor)) static void
open_control(void)
{
	const char *program = getenv("FAILMALLOC_PROGRAM"), *path = getenv("FAILMALLOC_CONTROL");
	int fd = -1;
	void *map;

	if (program && path && strcmp(program, program_invocation_short_name) == 0)
		fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	map = mmap(NULL, 2 * LINE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	if (getenv("FAILMALLOC_PLACES") && !(places = places_open(getenv("FAILMALLOC_PLACES"))))
		abort();
	backtrace((void *[1]){0}, 1); /* its first call allocates */
	signal(SIGSEGV, on_death);
	signal(SIGBUS, on_death);
	signal(SIGABRT, on_death);
	control = map;
}

static const char failed[] = "failed";

/* The innermost object that is neither this one nor the C library. */
static const char *
who_asked(void *const *callers, int n)
{
	Dl_info who;
	const char *name;

	for (int i = 0; i < n; i++) {
		if (dladdr(callers[i], &who) == 0)
			continue;
		name = strrchr(who.dli_fname, '/');
		name = name ? name + 1 : who.dli_fname;
		if (strcmp(name, "failmalloc.so") != 0 && strncmp(name, "libc.so", 7) != 0)
			return name;
	}
	return "";
}

static void
tell(void)
{
	void *callers[16];
	int n = backtrace(callers, 16);
	char line[LINE_BYTES];
	int len = snprintf(line, sizeof line, "%s %s", failed, who_asked(callers, n));

	for (int i = 0; i < len && i < LINE_BYTES - 1; i++)
		control[LINE_BYTES + i] = line[i];
	backtrace_symbols_fd(callers, n, STDERR_FILENO);
}

/* Two threads that see a new order at once begin to count twice: a few allocations are missed, none is failed twice. */
static bool
is_the_nth(unsigned long wanted)
{
	if (wanted != atomic_load(&order)) {
		atomic_store(&order, wanted);
		atomic_store(&count, 0);
	}
	return atomic_fetch_add(&count, 1) + 1 == wanted;
}

static bool
is_the_first_from_here(void)
{
	void *callers[FRAMES];
	uint64_t words[FRAMES];
	int n = backtrace(callers, FRAMES);
	Dl_info who;

	for (int i = 0; i < n; i++)
		words[i] = (uint64_t)(uintptr_t)callers[i] - (dladdr(callers[i], &who) != 0 ? (uint64_t)(uintptr_t)who.dli_fbase : 0);
	return places_add(places, places_key(words, (size_t)n));
}

static bool
fails(void)
{
	unsigned long wanted = 0;

	if (!control || control[LINE_BYTES] == *failed) /* once: not in its successor, too */
		return false;
	for (const char *c = control; *c >= '0' && *c <= '9'; c++)
		wanted = wanted * 10 + (unsigned long)(*c - '0');
	if (!wanted || !(places ? is_the_first_from_here() : is_the_nth(wanted)))
		return false;
	tell();
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}

void *
memalign(size_t alignment, size_t size)
{
	return fails() ? NULL : __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
	void *memory = memalign(alignment, size);

	if (!memory)
		return ENOMEM;
	*ret_memory = memory;
	return 0;
}
