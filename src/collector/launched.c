/* SPDX-License-Identifier: GPL-2.0-or-later */
/* launched - two variables of the environment. */
#include "collector/launched.h"

#include <stdlib.h>

#include "base/err.h"

#define LAUNCHED_BY "TIDEMARK_LAUNCHED_BY"
#define ON_TRIAL "TIDEMARK_ON_TRIAL"

const char *
launched_by(void)
{
	return getenv(LAUNCHED_BY);
}

bool
launched_on_trial(void)
{
	return getenv(ON_TRIAL) != NULL;
}

int
launched_note(const char *installed, bool trial)
{
	if (setenv(LAUNCHED_BY, installed, 1) != 0 || (trial && setenv(ON_TRIAL, "1", 1) != 0))
		return err_set(ERR_NOMEM, "starting a release");
	return 0;
}

void
launched_forget(void)
{
	unsetenv(LAUNCHED_BY);
	unsetenv(ON_TRIAL);
}
