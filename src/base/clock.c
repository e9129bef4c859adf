/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock - where the kernel tells which of its lives this is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fsio.h"

int
clock_boot_id(char ret_id[CLOCK_BOOT_ID])
{
	char *text;
	size_t len;
	int err = fsio_read_path("/proc/sys/kernel/random/boot_id", CLOCK_BOOT_ID, &text, &len);

	if (err)
		return err;
	snprintf(ret_id, CLOCK_BOOT_ID, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	return 0;
}
