/* SPDX-License-Identifier: GPL-2.0-or-later */
/* planted - which bug this process has.  An empty object in every flavour but `planted`. */
#include "base/planted.h"

#ifdef TIDEMARK_WITH_PLANTED

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
#define X(name) #name,
    PLANTED_BUGS(X)
#undef X
};
_Static_assert(sizeof names / sizeof *names == PLANTED_COUNT, "every bug has its name");

static enum planted_bug now = PLANTED_COUNT; /* none */

/* A constructor, as that of the failpoints: there is no thread yet to race with. */
__attribute__((constructor)) static void
planted_read_environment(void)
{
	const char *name = getenv("TIDEMARK_PLANTED");

	if (!name || !*name)
		return;
	for (now = 0; now < PLANTED_COUNT; now++)
		if (strcmp(names[now], name) == 0)
			return;
	fprintf(stderr, "TIDEMARK_PLANTED: there is no planted bug \"%s\"\n", name);
	_Exit(2);
}

bool
planted(enum planted_bug bug)
{
	return bug == now;
}

#endif
