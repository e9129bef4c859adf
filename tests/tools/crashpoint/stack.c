/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elfutils/libdwfl.h>
#include <stdbool.h>

#include "tests/tools/crashpoint/stack.h"

/* What is known of the objects of each process.  More processes than slots only cost time. */
static struct known {
	pid_t pid;
	Dwfl *dwfl;
} known[16];
#define N_KNOWN (sizeof known / sizeof *known)

/* How to unwind is in each object itself; to look for more would ask the network, on some machines. */
static int
no_debuginfo(Dwfl_Module *mod, void **data, const char *name, Dwarf_Addr at, const char *file, const char *link, GElf_Word crc, char **ret_path)
{
	(void)mod, (void)data, (void)name, (void)at, (void)file, (void)link, (void)crc, (void)ret_path;
	return -1;
}

static void
forget(struct known *k)
{
	if (k->dwfl)
		dwfl_end(k->dwfl);
	*k = (struct known){0};
}

void
stack_forget(pid_t pid)
{
	for (size_t i = 0; i < N_KNOWN; i++)
		if (known[i].pid == pid)
			forget(&known[i]);
}

static bool
report(Dwfl *dwfl, pid_t pid)
{
	dwfl_report_begin(dwfl);
	return dwfl_linux_proc_report(dwfl, pid) == 0 && dwfl_report_end(dwfl, NULL, NULL) == 0;
}

static struct known *
learn(pid_t pid)
{
	static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf, .find_debuginfo = no_debuginfo};
	static size_t next;
	struct known *k = &known[next++ % N_KNOWN];

	forget(k);
	*k = (struct known){pid, dwfl_begin(&callbacks)};
	if (k->dwfl && report(k->dwfl, pid) && dwfl_linux_proc_attach(k->dwfl, pid, true) == 0)
		return k;
	forget(k);
	return NULL;
}

static struct known *
known_of(pid_t pid)
{
	for (size_t i = 0; i < N_KNOWN; i++)
		if (known[i].pid == pid)
			return &known[i];
	return learn(pid);
}

struct walk {
	Dwfl *dwfl;
	uint64_t *frames;
	size_t n;
	bool stranger; /* an object that was loaded since the last report */
};

static int
on_frame(Dwfl_Frame *frame, void *arg)
{
	struct walk *walk = arg;
	Dwfl_Module *module;
	Dwarf_Addr pc, start;
	bool exact; /* else a return address, which may lie behind its function's end */

	if (!dwfl_frame_pc(frame, &pc, &exact))
		return DWARF_CB_ABORT;
	module = dwfl_addrmodule(walk->dwfl, exact ? pc : pc - 1);
	walk->stranger = !module;
	if (!module)
		return DWARF_CB_ABORT;
	dwfl_module_info(module, NULL, &start, NULL, NULL, NULL, NULL, NULL);
	walk->frames[walk->n++] = pc - start;
	return walk->n < STACK_FRAMES ? DWARF_CB_OK : DWARF_CB_ABORT;
}

size_t
stack_of(pid_t pid, pid_t tid, uint64_t frames[STACK_FRAMES])
{
	struct known *k = known_of(pid);
	struct walk walk = {.frames = frames};

	if (!k)
		return 0;
	walk.dwfl = k->dwfl;
	(void)dwfl_getthread_frames(k->dwfl, tid, on_frame, &walk); /* ends with an error at the outermost frame, too */
	if (walk.stranger && report(k->dwfl, pid)) {
		walk.n = 0;
		(void)dwfl_getthread_frames(k->dwfl, tid, on_frame, &walk);
	}
	return walk.n;
}
